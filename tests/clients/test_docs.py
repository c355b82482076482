"""The page on clients does what it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import anyio
import pytest

from wxmiddleware import APIError
from wxmiddleware.simulator import SimulatorServer, WeChat

PAGE = Path(__file__).parent.parent.parent / "docs" / "clients.md"


async def _picture(names: dict[str, Any]) -> bytes:
    url = names["account"].base_url
    async with names["httpx"].AsyncClient(auth=names["WeChatAuth"](names["provider"]), base_url=url) as client:
        found: bytes = await names["picture"](client, "no-such-media")
        return found


def test_blocks(wechat: WeChat, wechat_server: SimulatorServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks run one after the other, also after another service has taken the token, with one fetch for it."""
    monkeypatch.setenv("WECHAT_APPID", wechat.appid)
    monkeypatch.setenv("WECHAT_SECRET", wechat.secret)
    monkeypatch.setenv("WECHAT_BASE_URL", wechat_server.url)
    names: dict[str, Any] = {"__name__": "app"}
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    for number, block in enumerate(blocks):
        exec(compile(block, f"{PAGE.name}, block {number}", "exec"), names)
        if number == 0:
            wechat.revoke()

    assert 7 == len(blocks)
    with pytest.raises(APIError, match="40007"):
        anyio.run(_picture, names)
    assert "oABC" == names["user"]["openid"] == anyio.run(names["nickname"], "oABC")["openid"]
    assert ["hello", "hello"] == [one.body["text"]["content"] for one in wechat.sent]
    assert (2, 1) == (wechat.fetches(), wechat.rejections())
