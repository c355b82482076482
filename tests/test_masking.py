"""HTTP clients log URLs; what they log of ours has no secret in it."""

from __future__ import annotations

import asyncio
import logging

import httpx
import pytest
import requests

from wxmiddleware import Account, TokenProvider
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

    def test_other_lines_are_left_alone(self, provider: TokenProvider, caplog: pytest.LogCaptureFixture) -> None:
        """What has no secret in it is logged as it was, with its arguments."""
        with caplog.at_level(logging.DEBUG, "urllib3.connectionpool"):
            logging.getLogger("urllib3.connectionpool").debug("Starting new connection (%d): %s:%s", 1, "host", 80)

        assert (1, "host", 80) == caplog.records[0].args


def test_account_of_the_simulator_is_not_taken_for_swapped(wechat: WeChat) -> None:
    """The simulator's own AppID passes the check that finds swapped values."""
    assert Account(wechat.appid, wechat.secret).appid == wechat.appid
