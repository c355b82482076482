"""HTTP clients log URLs; what they log of ours has no secret in it."""

from __future__ import annotations

import asyncio
import logging
import re
from pathlib import Path

import httpx
import httpx2
import pytest
import requests
from leaks import shown

from wxmiddleware import Account, TokenProvider, _masking
from wxmiddleware.simulator import SimulatorServer, WeChat


@pytest.fixture
def provider(wechat_account: Account) -> TokenProvider:
    """Any provider: the first one of a process puts the filter in place."""
    return TokenProvider(wechat_account)


class TestClients:
    def test_requests(
        self, provider: TokenProvider, wechat_server: SimulatorServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        """At DEBUG urllib3's line has the path, and *** for the token."""
        token = provider.get_token()
        with caplog.at_level(logging.DEBUG):
            requests.get(f"{wechat_server.url}/cgi-bin/user/info", {"access_token": token, "openid": "o1"}, timeout=5)

        assert token not in caplog.text
        assert "access_token=***&openid=o1" in caplog.text

    def test_httpx(
        self, provider: TokenProvider, wechat_server: SimulatorServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        """At INFO httpx's line has the URL, and *** for the token."""
        token = provider.get_token()

        async def call() -> None:
            async with httpx.AsyncClient(base_url=wechat_server.url) as client:
                await client.get("/cgi-bin/user/info", params={"access_token": token, "openid": "o1"})

        with caplog.at_level(logging.INFO, "httpx"):
            asyncio.run(call())

        assert token not in caplog.text
        assert "access_token=***&openid=o1" in caplog.text

    @pytest.mark.parametrize("name", _masking.LOGGERS)
    def test_every_logger(self, provider: TokenProvider, caplog: pytest.LogCaptureFixture, name: str) -> None:
        """Each logger that may quote a URL is masked: in text, in arguments, in a header as bytes."""
        logger = logging.getLogger(name)
        with caplog.at_level(logging.DEBUG, name):
            logger.debug("GET /x?access_token=88_abc&a=1")
            logger.debug("%s %r", "/x?secret=88_abc", [(b"Location", b"/y?access_token=88_abc")])

        assert "88_abc" not in caplog.text
        assert "/x?access_token=***&a=1" in caplog.text
        assert "b'/y?access_token=***')" in caplog.text

    def test_loggers_are_all_there_are(self) -> None:
        """The clients have no logger that quotes a URL and is not masked."""
        import httpcore
        import httpcore2
        import urllib3

        roots = [Path(one.__file__).parent for one in (httpcore, httpcore2, urllib3, httpx, httpx2)]
        found: set[str] = set()
        for root in roots:
            for file in root.rglob("*.py"):
                text = file.read_text(encoding="utf-8")
                found.update(re.findall(r'getLogger\("([\w.]+)"\)', text))
                if "getLogger(__name__)" in text:
                    found.add(".".join(file.relative_to(root.parent).with_suffix("").parts))
        # These are named, and quote none.
        quiet = {"urllib3.__init__", "urllib3.contrib.pyopenssl", "urllib3.contrib.emscripten.response"}

        assert set() == found - set(_masking.LOGGERS) - quiet

    def test_other_lines_are_left_alone(self, provider: TokenProvider, caplog: pytest.LogCaptureFixture) -> None:
        """What has no secret in it is logged as it was, with its arguments."""
        with caplog.at_level(logging.DEBUG, "urllib3.connectionpool"):
            logging.getLogger("urllib3.connectionpool").debug("Starting new connection (%d): %s:%s", 1, "host", 80)

        assert (1, "host", 80) == caplog.records[0].args


def test_account_of_the_simulator_is_not_taken_for_swapped(wechat: WeChat) -> None:
    """The simulator's own AppID passes the check that finds swapped values."""
    assert Account(wechat.appid, wechat.secret).appid == wechat.appid


class TestErrors:
    def test_everything_behind_an_error(self) -> None:
        """Arguments, attributes, causes and contexts are masked where they lie."""
        inner = ValueError("/x?access_token=88_abc")
        error = RuntimeError("secret=88_abc", inner, 7)
        error.url = "/x?access_token=88_abc&b=1"  # type: ignore[attr-defined]
        error.__cause__ = KeyError("access_token=88_abc")
        error.__cause__.__context__ = error
        _masking.mask_error(error)

        assert "88_abc" not in shown(error)
        assert ("secret=***", inner, 7) == error.args
        assert "/x?access_token=***&b=1" == error.url  # type: ignore[attr-defined]
