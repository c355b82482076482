"""wechatpy with its own session in a real Redis: it uses what we own, and we follow what it owns."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
import requests
from requests.adapters import HTTPAdapter
from stores.redis_server import RedisServer
from wechatpy import WeChatClient
from wechatpy.session.redisstorage import RedisStorage

from wxmiddleware import Account, TokenProvider
from wxmiddleware.layouts import LayoutToken, WechatpyRedis
from wxmiddleware.requests import WeChatAuth
from wxmiddleware.simulator import SimulatorServer, WeChat
from wxmiddleware.sources import ClassicToken

pytestmark = [pytest.mark.servers]
APPID, SECRET = "wxneighbour", "5ecret"


class Elsewhere(HTTPAdapter):
    """Sends to the simulator what is meant for WeChat: wechatpy has no option for that."""

    def __init__(self, base: str) -> None:
        super().__init__()
        self._base = base

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        meant, sent = urlsplit(request.url or ""), request.copy()
        sent.url = f"{self._base}{meant.path}?{meant.query}"
        return super().send(sent, *args, **options)


@pytest.fixture
def client(tmp_path: Path) -> Iterator[redis.Redis]:
    with RedisServer(tmp_path) as server:
        client = server.client()
        yield client
        client.close()


@pytest.fixture
def server() -> Iterator[SimulatorServer]:
    with SimulatorServer(WeChat(appid=APPID, secret=SECRET, overlap=0.0)) as server:
        yield server


def wechatpy(client: redis.Redis, url: str, *, auto_retry: bool = True) -> WeChatClient:
    """Another process's wechatpy."""
    made = WeChatClient(APPID, SECRET, session=RedisStorage(client), auto_retry=auto_retry)
    made._http = requests.Session()
    made._http.mount("https://", Elsewhere(url))
    return made


def test_we_own(client: redis.Redis, server: SimulatorServer) -> None:
    """wechatpy uses our token, and the next one after a theft, and fetches none."""
    account = Account(APPID, SECRET, base_url=server.url)
    layout = WechatpyRedis(client, APPID)
    neighbour = wechatpy(client, server.url, auto_retry=False)
    with TokenProvider(account, source=ClassicToken(), mirrors=[layout]) as provider:
        token: str | None = None
        for fetches in (1, 2):
            token = provider.get_token(rejected=token)
            while (kept := layout.read()) is None or kept.value != token:
                time.sleep(0.01)

            assert 0 == neighbour.message.send_text("oNeighbour", "你好")["errcode"]
            assert fetches == server.wechat.fetches()
            server.wechat.steal()


def test_we_follow(client: redis.Redis, server: SimulatorServer) -> None:
    """We use wechatpy's token without the secret; when it has fetched again, a rejected call is healed by that."""
    neighbour = wechatpy(client, server.url)
    neighbour.message.send_text("oNeighbour", "你好")
    account = Account(APPID, base_url=server.url)
    url = f"{server.url}/cgi-bin/get_api_domain_ip"
    source = LayoutToken(WechatpyRedis(client, APPID))
    with TokenProvider(account, source=source) as provider, requests.Session() as session:
        session.auth = WeChatAuth(provider)
        assert "ip_list" in session.get(url, timeout=20).json()

        neighbour.fetch_access_token()

        assert "ip_list" in session.get(url, timeout=20).json()
        assert server.wechat.current() == provider.peek()
    assert 2 == server.wechat.fetches()
