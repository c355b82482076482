"""
What the simulator's tests share.

The plugin's own fixtures (``wechat_clock``, ``wechat``, ``wechat_server``) are used throughout: they are tested by use.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests

from wxmiddleware.simulator import SimulatorServer, WeChat


class Client:
    """A client that knows nothing of wxmiddleware."""

    def __init__(self, wechat: WeChat, url: str) -> None:
        self.wechat = wechat
        self.url = url

    def fetch(self, slot: str = "classic", **changes: Any) -> requests.Response:
        asked = {"grant_type": "client_credential", "appid": self.wechat.appid, "secret": self.wechat.secret}
        asked = {name: value for name, value in {**asked, **changes}.items() if value is not None}
        if slot == "classic":
            return requests.get(f"{self.url}/cgi-bin/token", params=asked, timeout=10)
        return requests.post(f"{self.url}/cgi-bin/stable_token", json=asked, timeout=10)

    def call(self, method: str, path: str, token: str | None = None, **rest: Any) -> requests.Response:
        params = {**rest.pop("params", {}), **({} if token is None else {"access_token": token})}
        return requests.request(method, self.url + path, params=params, timeout=10, **rest)


@pytest.fixture
def client(wechat: WeChat, wechat_server: SimulatorServer) -> Client:
    return Client(wechat, wechat_server.url)


@pytest.fixture
def token(wechat: WeChat) -> str:
    """A good token of the default account."""
    return str(wechat.token()["access_token"])


@pytest.fixture
def stable(wechat: WeChat) -> Callable[..., dict[str, Any]]:
    """Ask for a stable token of the default account, in memory."""

    def ask(**changes: Any) -> dict[str, Any]:
        body = {"grant_type": "client_credential", "appid": wechat.appid, "secret": wechat.secret, **changes}
        return wechat.stable_token(body)

    return ask
