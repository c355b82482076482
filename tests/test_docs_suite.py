"""The code in docs/suite.md, and in its Chinese twin, does what the page says."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from wxmiddleware.simulator import Pusher, SimulatedSuite, SimulatorServer, WeChat, WSGITransport
from wxmiddleware.suite import Suite

DOCS = Path(__file__).parent.parent / "docs"
PROVIDER, SUITE = "ww1a2b3c4d5e6f7081", "ww5d0f2a8c4be1790a"
TOKEN, KEY = "any-word", "a" * 43


def blocks(page: str) -> list[str]:
    """The Python blocks of a page."""
    return re.findall(r"^```python\n(.*?)^```$", (DOCS / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def run(code: str, names: dict[str, Any]) -> None:
    exec(compile(code, "suite.md", "exec"), names)


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedSuite]:
    """A suite at a WeCom that goes by the machine's clock, as the page's code does."""
    wechat = WeChat(clock=time.time)
    with SimulatorServer(wechat) as server:
        yield suite_at(wechat, server.url, tmp_path, monkeypatch)


def suite_at(wechat: WeChat, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimulatedSuite:
    names = {
        "WECOM_SUITE_ID": SUITE,
        "WECOM_SUITE_SECRET": "secret-of-the-suite",
        "WECOM_PROVIDER_CORPID": PROVIDER,
        "WECOM_PROVIDER_SECRET": "secret-of-the-provider",
        "WECOM_BASE_URL": url,
        "WECHAT_TOKEN": TOKEN,
        "WECHAT_AES_KEY": KEY,
        "WXM_STORE": f"file:{tmp_path}/tokens.json",
    }
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    return wechat.add_provider(PROVIDER, names["WECOM_PROVIDER_SECRET"]).add_suite(SUITE, names["WECOM_SUITE_SECRET"])


def test_twins() -> None:
    """Both pages have the same code, but for comments."""
    english, chinese = ([re.sub(r" *#.*", "", code) for code in blocks(page)] for page in ("suite.md", "zh/suite.md"))

    assert english == chinese
    assert 4 == len(english)


@pytest.mark.parametrize("page", ["suite.md", "zh/suite.md"])
def test_code(page: str, there: SimulatedSuite) -> None:
    """From the first ticket to a call for a corp."""
    setup, callback, authorised, later = blocks(page)
    names: dict[str, Any] = {"__name__": __name__}
    run(setup, names)
    suite: Suite = names["suite"]
    run(callback, names)
    with Pusher(
        WeChat(clock=time.time),
        WSGITransport(names["app"]),
        token=TOKEN,
        aes_key=KEY,
        profile="suite",
        receiver=SUITE,
        provider=PROVIDER,
        url="http://127.0.0.1/suite",
    ) as pusher:
        assert [] == pusher.verify().codes
        there.push_ticket()
        assert suite.status().ticket == "missing"
        assert [] == pusher.push(there.notices[-1]).codes
    assert suite.status().ticket == "good"

    names["auth_code"] = there.install("ww0000000000000001")
    run(authorised, names)
    corpid = there.provider.open_corpid("ww0000000000000001")
    assert corpid == names["provider"].account.appid
    assert "state=abc1" in names["url"]
    names["corpid"] = corpid
    run(later, names)
    assert suite.corp(corpid).get_token() == names["pool"].get(corpid).get_token()
