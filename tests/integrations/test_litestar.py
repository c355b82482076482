"""The plain ASGI middleware in Litestar: one entry in its list of middleware."""

from __future__ import annotations

from typing import Any

import pytest
from litestar import Litestar, Request, WebSocket, get, websocket
from litestar.middleware import DefineMiddleware
from litestar.testing import TestClient

from wxmiddleware import TokenProvider, acurrent_token, current_token
from wxmiddleware.asgi import TokenMiddleware
from wxmiddleware.simulator import WeChat


@get("/async")
async def async_view(request: Request[Any, Any, Any]) -> list[str]:
    return [request.state.wx_token, await acurrent_token()]


@get("/sync", sync_to_thread=True)
def sync_view(request: Request[Any, Any, Any]) -> list[str]:
    return [request.state.wx_token, current_token()]


@websocket("/socket")
async def socket(socket: WebSocket[Any, Any, Any]) -> None:
    await socket.accept()
    await socket.send_json([socket.state.wx_token, await acurrent_token()])
    await socket.close()


VIEWS = [async_view, sync_view, socket]


def listed(provider: TokenProvider) -> Any:
    return Litestar(VIEWS, middleware=[DefineMiddleware(TokenMiddleware, provider=provider)])


def around(provider: TokenProvider) -> Any:
    return TokenMiddleware(Litestar(VIEWS), provider)


@pytest.fixture(params=[listed, around])
def app(request: pytest.FixtureRequest, provider: TokenProvider) -> Any:
    return request.param(provider)


@pytest.fixture(params=["asyncio", "trio"])
def client(request: pytest.FixtureRequest, app: Any) -> Any:
    with TestClient(app, backend=request.param) as client:
        yield client


@pytest.mark.parametrize("path", ["/async", "/sync"])
def test_request(client: Any, provider: TokenProvider, wechat: WeChat, path: str) -> None:
    """A view finds the token in the request's state, and as the current one."""
    found = client.get(path).json()

    assert found == [provider.get_token()] * 2
    assert wechat.fetches() == 1


def test_websocket(client: Any, provider: TokenProvider) -> None:
    """A websocket finds its token likewise."""
    with client.websocket_connect("/socket") as session:
        assert session.receive_json() == [provider.get_token()] * 2
