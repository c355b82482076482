"""The status page, as a browser and a program get it from each kind of server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from werkzeug.test import Client

from wxmiddleware import Account, ConfigurationError, TokenProvider, TokenRefused
from wxmiddleware.simulator import SimulatorServer, WeChat
from wxmiddleware.status import StatusPage

Get = Callable[..., tuple[int, str, Any]]


@pytest.fixture
def server() -> Iterator[SimulatorServer]:
    with SimulatorServer() as server:
        yield server


@pytest.fixture
def provider(server: SimulatorServer) -> Iterator[TokenProvider]:
    wechat: WeChat = server.wechat
    with TokenProvider(Account(wechat.appid, wechat.secret, base_url=server.url)) as provider:
        yield provider


def _by_wsgi(page: Any) -> Get:
    def get(path: str = "/", method: str = "GET", **headers: str) -> tuple[int, str, Any]:
        answer = Client(page).open(path, method=method, headers=headers)
        return answer.status_code, answer.get_data(as_text=True), answer.headers

    return get


def _by_asgi(page: Any) -> Get:
    def get(path: str = "/", method: str = "GET", **headers: str) -> tuple[int, str, Any]:
        answer = TestClient(page).request(method, path, headers=headers)
        return answer.status_code, answer.text, answer.headers

    return get


@pytest.fixture(params=[_by_wsgi, _by_asgi])
def get(request: pytest.FixtureRequest, provider: TokenProvider) -> Get:
    found: Get = request.param(StatusPage(provider))
    return found


def test_first_line(get: Get, provider: TokenProvider) -> None:
    before = get()[1]
    token = provider.get_token()
    status, after, headers = get("/?lang=zh")

    assert "The account has no token; this process shares its tokens with no other." in before
    assert 200 == status
    assert token not in after
    assert "no-store" == headers["Cache-Control"]


def test_in_chinese(get: Get, provider: TokenProvider) -> None:
    provider.get_token()

    assert "账号有可用的 token" in get("/?lang=zh")[1]
    assert "账号有可用的 token" in get(**{"Accept-Language": "zh-CN,zh;q=0.9,en;q=0.8"})[1]
    assert "The account has a token" in get(**{"Accept-Language": "de,en;q=0.8,zh;q=0.1"})[1]


def test_json(server: SimulatorServer, provider: TokenProvider) -> None:
    page = StatusPage(provider)
    token = provider.get_token()
    server.wechat.revoke()
    provider.get_token(rejected=token)
    # Events are told after the callers have their token.
    assert server.wechat.wait_for(lambda: len(page._history.marks((server.wechat.appid, None, "stable"))) == 3)
    assert server.wechat.wait_for(lambda: len(page._history.events({(server.wechat.appid, None, "stable")}, 9)) == 3)
    found = page.facts()

    assert (1, 1) == (found["count"], found["with_token"])
    assert ["token", "rejected", "token"] == [mark["what"] for mark in found["accounts"][0]["marks"]]
    assert ["fetch_done", "rejected", "fetch_done"] == [event["name"] for event in found["events"]]


def test_content_is_chosen(get: Get) -> None:
    assert get(Accept="application/json")[1].startswith("{")
    assert get(Accept="text/html,application/xhtml+xml,*/*;q=0.8")[1].startswith("<!doctype html>")
    assert get()[1].startswith("<!doctype html>")


def test_only_read(get: Get) -> None:
    assert 405 == get(method="POST")[0]
    assert (200, "") == get(method="HEAD")[:2]
    assert 404 == get("/etc")[0]


def test_nothing_secret_and_nothing_of_html(server: SimulatorServer) -> None:
    account = Account(server.wechat.appid, "<script>" + "0" * 24, base_url=server.url)
    with TokenProvider(account) as provider:
        page = StatusPage(provider)
        with pytest.raises(TokenRefused):
            provider.get_token()
        _, text, headers = _by_wsgi(page)()

    assert "40125" in text
    assert "script" not in text
    assert "default-src 'none'" in headers["Content-Security-Policy"]


@pytest.mark.parametrize("given", [(), (object(),), (TokenProvider,)])
def test_wrong(given: Any) -> None:
    with pytest.raises(ConfigurationError):
        StatusPage(*given)


def _below_flask(page: StatusPage) -> Any:
    from flask import Flask
    from werkzeug.middleware.dispatcher import DispatcherMiddleware

    app = Flask(__name__)
    app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/ops/wx-status": page})  # type: ignore[method-assign]
    return _by_wsgi(app)


def _below_fastapi(page: StatusPage) -> Any:
    from fastapi import FastAPI

    app = FastAPI()
    app.mount("/ops/wx-status", page)
    return _by_asgi(app)


def _below_two(page: StatusPage) -> Any:
    from starlette.applications import Starlette
    from starlette.routing import Mount

    app = Starlette(routes=[Mount("/ops", routes=[Mount("/wx-status", page)])])
    return _by_asgi(app)


@pytest.mark.parametrize("mounted", [_below_flask, _below_fastapi, _below_two])
def test_mounted_below_a_prefix(mounted: Callable[[StatusPage], Any], provider: TokenProvider) -> None:
    provider.get_token()
    get = mounted(StatusPage(provider))

    assert "账号有可用的 token" in get("/ops/wx-status/?lang=zh")[1]
    assert 'href="?lang=en"' in get("/ops/wx-status/?lang=zh")[1]
    assert get("/ops/wx-status/", Accept="application/json")[1].startswith("{")
    assert 404 == get("/ops/wx-status/etc")[0]


def test_head_has_the_headers_of_get(get: Get) -> None:
    with_body, without = get("/"), get("/", "HEAD")

    assert with_body[2]["Content-Type"] == without[2]["Content-Type"]
    assert int(without[2]["Content-Length"]) > 1000
    assert "" == without[1]


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS", "DELETE"])
def test_headers(get: Get, method: str) -> None:
    """Nothing is kept, framed or guessed, whatever is asked."""
    headers = get("/", method)[2]

    assert "no-store" == headers["Cache-Control"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert "nosniff" == headers["X-Content-Type-Options"]


def test_pictures_are_small() -> None:
    """`make screenshots` takes them."""
    from demo.screenshots import LARGEST

    images = Path(__file__).parents[2] / "docs" / "images"
    sizes = {each.name: each.stat().st_size for each in images.glob("status-*.png")}

    assert {"status-en.png", "status-zh.png"} == set(sizes)
    assert max(sizes.values()) <= LARGEST


def test_served_by_itself(provider: TokenProvider) -> None:
    """It starts and ends with a server that has no other app."""
    with TestClient(StatusPage(provider)) as client:
        assert 200 == client.get("/").status_code
