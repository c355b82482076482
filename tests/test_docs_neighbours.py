"""The code in docs/neighbours.md does what the page says."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from test_docs import python

from wxmiddleware import TokenProvider
from wxmiddleware.layouts import Kept, Layout
from wxmiddleware.simulator import SimulatorServer, WeChat

PATIENCE = 20.0


class FakeRedis:
    """One key."""

    value: bytes | None = None

    def get(self, key: str) -> bytes | None:
        return self.value

    def set(self, key: str, value: str, *, exat: int) -> None:
        self.value = value.encode()


@pytest.mark.parametrize("page", ["neighbours.md", "zh/neighbours.md"])
def test_page(
    page: str, wechat: WeChat, wechat_server: SimulatorServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python owns and the table has the token; a follower reads it there; and a layout of one's own is one."""
    monkeypatch.setenv("WECHAT_APPID", wechat.appid)
    monkeypatch.setenv("WECHAT_SECRET", wechat.secret)
    monkeypatch.setenv("WECHAT_BASE_URL", wechat_server.url)
    url = f"sqlite:///{tmp_path / 'wx.db'}"
    database = sqlalchemy.create_engine(url)
    with database.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE wx_token (id int, type text, expire text, value text)")
    kept: list[Kept] = []

    def serve() -> None:
        """See that the keeper brings the token into the table, without anybody's question."""
        deadline = time.monotonic() + PATIENCE
        while (found := names["provider"]._mirrors[0]._layout.read()) is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        kept.append(found)

    names: dict[str, Any] = {
        "database_url": url,
        "store_url": f"file:{tmp_path / 'token.json'}",
        "serve": serve,
        "redis_client": FakeRedis(),
    }
    for block in python(page):
        exec(compile(block, page, "exec"), names)

    token = wechat.current(slot="stable")
    follower = names["follower"]
    assert isinstance(follower, TokenProvider)
    assert token == kept[0].value == follower.get_token()
    own = names["CompanyKey"]()
    assert isinstance(own, Layout)
    own.write("T", time.time())
    assert Kept("T", None) == own.read()
    names["provider"].close()
    follower.close()
    names["engine"].dispose()
    database.dispose()
