"""The status page of an app under gunicorn with four workers, which load it before they fork."""

from __future__ import annotations

import json
from pathlib import Path

from stores.redis_server import RedisServer

from wxmiddleware.simulator import SimulatorServer, WeChat

from .server import Kind, Server

WORKERS = 4
GUNICORN = Kind(
    "gunicorn-preload",
    f"gunicorn --bind {{address}} --workers {WORKERS} --worker-class sync --preload processes.status_app:app",
    WORKERS,
    preloads=True,
)


def test_each_worker_has_its_own_view(tmp_path: Path) -> None:
    """What lies in the store all say alike, and each says which worker it is."""
    wechat = WeChat()
    with RedisServer(tmp_path) as redis, SimulatorServer(wechat) as simulator:
        env = {
            "WECHAT_APPID": wechat.appid,
            "WECHAT_SECRET": wechat.secret,
            "WECHAT_BASE_URL": simulator.url,
            "WXM_STORE": redis.url,
        }
        server = Server(GUNICORN, env)
        try:
            server.visit("/token")
            found = [json.loads(each) for each in server.visit("/json")]
            pages = server.visit("/?lang=en")
        finally:
            server.close()
        token = wechat.current(slot="stable")

    assert 1 == wechat.fetches()
    assert WORKERS == len({each["process"] for each in found})
    assert {1} == {each["with_token"] for each in found}
    assert {1} == {each["accounts"][0]["fetches_today"] for each in found}
    assert 1 == len({each["accounts"][0]["generation"] for each in found})
    assert all(each["process"] in {seen["name"] for seen in each["processes"]} for each in found)
    assert all("This page was made by process " in page for page in pages)
    assert all("The account has a token; the store answers in " in page for page in pages)
    assert token is not None
    assert not any(token in text for text in [*pages, *map(json.dumps, found)])
