"""The plain ASGI middleware around Quart: one line on app.asgi_app."""

from __future__ import annotations

from typing import Any

import pytest
import quart
from starlette.testclient import TestClient

from wxmiddleware import TokenProvider, acurrent_token, current_token
from wxmiddleware.asgi import TokenMiddleware
from wxmiddleware.simulator import WeChat


@pytest.fixture
def app(provider: TokenProvider) -> quart.Quart:
    app = quart.Quart("shop")
    app.asgi_app = TokenMiddleware(app.asgi_app, provider)  # type: ignore[method-assign]
    return app


def client_of(app: Any) -> TestClient:
    """A client of an app whose scopes are typed more narrowly than Starlette types them."""
    return TestClient(app)


def test_request(app: quart.Quart, provider: TokenProvider, wechat: WeChat) -> None:
    """A view finds the token in the scope's state, and as the current one."""

    @app.get("/")
    async def view() -> Any:
        return [quart.request.scope["state"]["wx_token"], await acurrent_token(), current_token()]

    found = client_of(app).get("/").json()

    assert found == [provider.get_token()] * 3
    assert wechat.fetches() == 1


def test_sync_view(app: quart.Quart, provider: TokenProvider) -> None:
    """A sync view runs in a thread and is served there."""

    @app.get("/")
    def view() -> str:
        return current_token()

    assert client_of(app).get("/").text == provider.get_token()


def test_websocket(app: quart.Quart, provider: TokenProvider) -> None:
    """A websocket is served."""

    @app.websocket("/socket")
    async def socket() -> None:
        await quart.websocket.send(await acurrent_token())

    with client_of(app).websocket_connect("/socket") as session:
        assert session.receive_text() == provider.get_token()


def test_lifespan(app: quart.Quart, provider: TokenProvider) -> None:
    """Quart's own start and end go through."""
    happened: list[str] = []
    app.before_serving(lambda: happened.append("start"))
    app.after_serving(lambda: happened.append("end"))

    with client_of(app):
        assert happened == ["start"]
    assert happened == ["start", "end"]
