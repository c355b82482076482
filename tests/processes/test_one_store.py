"""Two services with real servers, on one store. Their tests without a store: test_servers.py."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from stores.redis_server import RedisServer
from support.prelude import mark

from wxmiddleware.simulator import SimulatorServer, WeChat

from .server import Kind, Server

FLASK = Kind(
    "gunicorn-preload",
    "gunicorn --bind {address} --workers 4 --worker-class sync --preload processes.flask_example:app",
    4,
    preloads=True,
)
STARLETTE = Kind("uvicorn", "uvicorn --port {port} --workers 4 --log-level warning processes.starlette_example:app", 4)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path) as server:
        yield server


def test_boot(redis: RedisServer) -> None:
    """Flask under gunicorn with four workers, and Starlette under uvicorn with four: one fetch, and one for a theft."""
    wechat = WeChat(overlap=0)
    with SimulatorServer(wechat) as simulator:
        env = {
            "WECHAT_APPID": wechat.appid,
            "WECHAT_SECRET": wechat.secret,
            "WECHAT_BASE_URL": simulator.url,
            "WXM_STORE": redis.url,
        }
        servers: list[Server] = []
        try:
            servers.append(Server(FLASK, {**env, "WX_TEST_PRELOAD": "1"}))
            servers.append(Server(STARLETTE, env))
            boot = [token for server in servers for token in server.visit("/token")]
            first, fetched = wechat.current(slot="stable"), wechat.fetches()

            wechat.steal(slot="stable")
            second = wechat.current(slot="stable")
            sent = [json.loads(told) for server in servers for told in server.visit("/notify/oAda", {"text": "hello"})]
            stolen = [token for server in servers for token in server.visit("/token")]
        finally:
            for server in servers:
                server.close()

    assert {mark(str(first))} == set(boot)
    assert fetched == 1
    assert {mark(str(second))} == set(stolen)
    assert wechat.fetches() == 2
    assert {answer["errcode"] for answer in sent} == {0}
