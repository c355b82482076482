"""What the frameworks' tests share: the real provider at a simulated WeChat."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from wxmiddleware import Account, TokenProvider, with_token
from wxmiddleware.simulator import SimulatorServer, WeChat


@pytest.fixture
def provider(wechat_account: Account) -> Iterator[TokenProvider]:
    with TokenProvider(wechat_account) as provider:
        yield provider


@pytest.fixture
def no_token(wechat: WeChat) -> None:
    """WeChat gives nobody a token: the machine's address is not on its list."""
    wechat.faults.add("/cgi-bin/stable_token", "errcode", None, errcode=40164)


@pytest.fixture
def call_api(wechat_server: SimulatorServer) -> Callable[[], Any]:
    """Call WeChat as a view does, with a bare @with_token."""

    @with_token
    def call_api(access_token: str) -> Any:
        url = f"{wechat_server.url}/cgi-bin/getcallbackip"
        return requests.get(url, params={"access_token": access_token}, timeout=10).json()

    return call_api
