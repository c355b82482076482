from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from starlette.testclient import TestClient

from wxmiddleware import Account, TokenProvider
from wxmiddleware.hub import Caller, Hub, hash_key, new_key
from wxmiddleware.simulator import SimulatorServer, WeChat

SECRET = "0123456789abcdef0123456789abcdef"  # signs the hub's own tokens


@dataclass
class World:
    """A simulated WeChat with one account, a hub before it, and a caller for each kind of token."""

    wechat: WeChat
    provider: TokenProvider
    hub: Hub
    http: TestClient
    keys: dict[str, str] = field(repr=False)

    @property
    def appid(self) -> str:
        return self.wechat.appid

    def token(self, caller: str, **more: str) -> Any:
        """Ask as an SDK does, with the caller's key in the place of the AppSecret."""
        query = {"grant_type": "client_credential", "appid": self.appid, "secret": self.keys[caller]}
        return self.http.get("/cgi-bin/token", params=query | more).json()


@pytest.fixture
def world() -> Iterator[World]:
    with SimulatorServer() as server:
        wechat = server.wechat
        with TokenProvider(Account(wechat.appid, wechat.secret, base_url=server.url)) as provider:
            keys = {"sdk": new_key(), "direct": new_key()}
            callers = [
                Caller("sdk", [hash_key(keys["sdk"])], [wechat.appid]),
                Caller("direct", [hash_key(keys["direct"])], [wechat.appid], tokens="wechat"),
            ]
            hub = Hub([provider], callers=callers, secrets=[SECRET])
            with TestClient(hub) as http:
                yield World(wechat, provider, hub, http, keys)
