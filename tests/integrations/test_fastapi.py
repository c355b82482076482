"""wxmiddleware.fastapi in real FastAPI apps. What it shares with Starlette: test_starlette.py."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI, WebSocket
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from wxmiddleware import TokenProvider
from wxmiddleware.fastapi import DepProvider, DepToken, init_app
from wxmiddleware.simulator import WeChat


@pytest.fixture(params=["asyncio", "trio"])
def client(request: pytest.FixtureRequest) -> Any:
    return lambda app: TestClient(app, backend=request.param)


def app_of(provider: TokenProvider, **options: Any) -> FastAPI:
    app = init_app(FastAPI(), provider, **options)

    @app.get("/async")
    async def async_endpoint(token: DepToken, found: DepProvider) -> list[Any]:
        return [token, found is provider]

    @app.get("/sync")
    def sync_endpoint(token: DepToken, found: DepProvider) -> list[Any]:
        return [token, found is provider]

    @app.websocket("/socket")
    async def socket(websocket: WebSocket, token: DepToken) -> None:
        await websocket.accept()
        await websocket.send_text(token)
        await websocket.close()

    return app


@pytest.mark.parametrize("options", [{}, {"wait": 0}, {"paths": ["/elsewhere"]}])
@pytest.mark.parametrize("path", ["/async", "/sync"])
def test_endpoint(client: Any, provider: TokenProvider, wechat: WeChat, path: str, options: dict[str, Any]) -> None:
    """An endpoint is given token and provider, however the middleware was set up; all of it is one fetch."""
    found = client(app_of(provider, **options)).get(path).json()

    assert found == [provider.get_token(), True]
    assert wechat.fetches() == 1


def test_websocket(client: Any, provider: TokenProvider) -> None:
    """A websocket is given its token."""
    with client(app_of(provider)).websocket_connect("/socket") as session:
        assert session.receive_text() == provider.get_token()


def test_no_token(client: Any, provider: TokenProvider, wechat: WeChat, no_token: None) -> None:
    """Without a token the endpoint is not called: the answer is 503 with Retry-After, and tells nothing secret."""
    response = client(app_of(provider)).get("/async")

    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) >= 1
    assert wechat.appid not in response.text
    assert "40164" not in response.text


def test_websocket_no_token(client: Any, provider: TokenProvider, no_token: None) -> None:
    """Without a token a websocket is closed with the code for "try again later"."""
    with pytest.raises(WebSocketDisconnect) as closed, client(app_of(provider)).websocket_connect("/socket"):
        raise AssertionError

    assert closed.value.code == 1013


def test_schema(client: Any, provider: TokenProvider) -> None:
    """The token is no parameter of the API."""
    schema = client(app_of(provider)).get("/openapi.json").json()

    assert "parameters" not in schema["paths"]["/async"]["get"]
