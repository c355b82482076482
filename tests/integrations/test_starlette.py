"""wxmiddleware.starlette and the plain middleware in real Starlette apps. The middleware alone: ../test_asgi.py."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocket, WebSocketDisconnect
from support.fake_provider import fake_provider

from wxmiddleware import (
    Account,
    NoProvider,
    TokenProvider,
    acurrent_token,
    current_provider,
    current_token,
    use_provider,
)
from wxmiddleware.asgi import TokenMiddleware
from wxmiddleware.exceptions import (
    ConfigurationError,
    ProviderClosed,
    TokenError,
    TokenUnavailable,
    WxMiddlewareError,
)
from wxmiddleware.simulator import WeChat
from wxmiddleware.starlette import get_token, init_app, provider_from


@pytest.fixture(params=["asyncio", "trio"])
def client(request: pytest.FixtureRequest) -> Callable[[Any], TestClient]:
    return lambda app: TestClient(app, backend=request.param)


async def tokens(request: Request) -> Response:
    """Answer with the token from every place where an endpoint may look."""
    return JSONResponse(
        [request.state.wx_token, await get_token(request), await acurrent_token(), current_token()],
    )


async def one_token(request: HTTPConnection) -> Response:
    return PlainTextResponse(await get_token(request))


class TestPlain:
    """Without `init_app`: three lines of Starlette's own."""

    def test_token(self, client: Any, provider: TokenProvider, wechat: WeChat) -> None:
        """An endpoint finds the token in every place where it may look; all of it is one fetch."""
        app = Starlette(routes=[Route("/", tokens)], middleware=[Middleware(TokenMiddleware, provider=provider)])

        found = client(app).get("/").json()

        assert found == [provider.get_token()] * 4
        assert wechat.fetches() == 1

    def test_around(self, client: Any, provider: TokenProvider) -> None:
        """It may also stand around the finished app."""
        app = TokenMiddleware(Starlette(routes=[Route("/", tokens)]), provider)

        assert client(app).get("/").json() == [provider.get_token()] * 4

    def test_mounted(self, client: Any, provider: TokenProvider) -> None:
        """Within a mounted app the paths are that app's own."""
        inner = TokenMiddleware(Starlette(routes=[Route("/wechat", one_token)]), provider, paths=["/wechat"])

        assert client(Starlette(routes=[Mount("/api", inner)])).get("/api/wechat").text == provider.get_token()


class TestRequest:
    def test_sync_endpoint(self, client: Any, provider: TokenProvider) -> None:
        """A sync endpoint runs in a thread, and may wait for its token there."""
        app = init_app(
            Starlette(routes=[Route("/", lambda request: PlainTextResponse(current_token()))]), provider, wait=0
        )

        assert client(app).get("/").text == provider.get_token()

    def test_heals(self, client: Any, provider: TokenProvider, wechat: WeChat, call_api: Callable[[], Any]) -> None:
        """An endpoint that calls WeChat with a rejected token is healed, and its request's own token is the new one."""
        old = provider.get_token()

        def endpoint(request: Request) -> Response:
            wechat.revoke()
            return JSONResponse([call_api(), request.state.wx_token])

        answer, own = client(init_app(Starlette(routes=[Route("/", endpoint)]), provider)).get("/").json()

        assert "ip_list" in answer
        assert own == provider.get_token() != old

    def test_stream_and_background(self, client: Any, provider: TokenProvider) -> None:
        """A streamed body and a background task are served."""
        found: list[str] = []

        async def endpoint(request: Request) -> Response:
            async def body() -> Any:
                yield await acurrent_token()

            async def later() -> None:
                found.append(await acurrent_token())

            return StreamingResponse(body(), background=BackgroundTask(later))

        found.append(client(init_app(Starlette(routes=[Route("/", endpoint)]), provider)).get("/").text)

        assert found == [provider.get_token()] * 2

    def test_base_http_middleware(self, client: Any, provider: TokenProvider) -> None:
        """A BaseHTTPMiddleware between ours and the endpoint hides nothing."""

        class Between(BaseHTTPMiddleware):
            async def dispatch(self, request: Request, call_next: Any) -> Any:
                return await call_next(request)

        app = Starlette(routes=[Route("/", tokens)], middleware=[Middleware(Between)])

        assert client(init_app(app, provider)).get("/").json() == [provider.get_token()] * 4

    def test_websocket(self, client: Any, provider: TokenProvider) -> None:
        """A websocket finds its token, and later the one that is good then."""

        async def endpoint(websocket: WebSocket) -> None:
            await websocket.accept()
            await websocket.send_text(websocket.state.wx_token)
            old = await websocket.receive_text()
            await provider.aget_token(rejected=old)
            await websocket.send_text(await get_token(websocket))
            await websocket.close()

        app = init_app(Starlette(routes=[WebSocketRoute("/", endpoint)]), provider)
        with client(app).websocket_connect("/") as session:
            first = session.receive_text()
            session.send_text(first)
            second = session.receive_text()

        assert second == provider.get_token() != first

    def test_error(self, client: Any, provider: TokenProvider) -> None:
        """The app's own handling of errors is served too."""

        async def endpoint(request: Request) -> Response:
            raise HTTPException(418)

        async def handler(request: Request, error: Exception) -> Response:
            return await one_token(request)

        app = Starlette(routes=[Route("/", endpoint)], exception_handlers={418: handler})

        assert client(init_app(app, provider)).get("/").text == provider.get_token()


class TestRequired:
    def test_http(self, client: Any, provider: TokenProvider, no_token: None) -> None:
        """Without a token the answer is 503 with Retry-After."""
        app = init_app(Starlette(routes=[Route("/", tokens)]), provider, required=True)

        response = client(app).get("/")

        assert response.status_code == 503
        assert int(response.headers["Retry-After"]) >= 1

    def test_websocket(self, client: Any, provider: TokenProvider, no_token: None) -> None:
        """Where the server can answer a handshake, a websocket gets the 503 too."""
        app = init_app(Starlette(), provider, required=True)

        with pytest.raises(WebSocketDenialResponse) as denied, client(app).websocket_connect("/"):
            raise AssertionError

        assert denied.value.status_code == 503

    def test_websocket_close(self, client: Any, provider: TokenProvider, no_token: None) -> None:
        """Elsewhere it is closed with the code for "try again later"."""
        app = init_app(Starlette(), provider, required=True)

        async def server(scope: Any, receive: Any, send: Any) -> None:
            await app({**scope, "extensions": {}}, receive, send)

        with pytest.raises(WebSocketDisconnect) as closed, client(server).websocket_connect("/"):
            raise AssertionError

        assert closed.value.code == 1013


class TestWarm:
    def test_start(self, client: Any, provider: TokenProvider, wechat: WeChat) -> None:
        """When the server has started, the token is there."""
        app = init_app(Starlette(), provider, warm=True)

        with client(app):
            assert wechat.fetches() == 1
            assert provider.peek() is not None

    def test_fails(self, client: Any, provider: TokenProvider, no_token: None) -> None:
        """Where WeChat gives no token, the server starts all the same."""
        app = init_app(Starlette(routes=[Route("/", lambda request: PlainTextResponse("up"))]), provider, warm=True)

        with client(app) as session:
            assert session.get("/").text == "up"

    def test_cold(self, client: Any, provider: TokenProvider, wechat: WeChat) -> None:
        """Without the option nothing is fetched at the start."""
        with client(init_app(Starlette(), provider)):
            assert wechat.fetches() == 0


class TestProviderFrom:
    def test_request(self, client: Any, provider: TokenProvider) -> None:
        """An endpoint finds the provider, whether its request was chosen or not."""
        found: list[Any] = []

        async def endpoint(request: Request) -> Response:
            found.append(provider_from(request))
            return await one_token(request)

        app = init_app(
            Starlette(routes=[Route("/wechat", endpoint), Route("/", endpoint)]), provider, paths=["/wechat"]
        )
        answers = [client(app).get(path).text for path in ("/wechat", "/")]

        assert found == [provider, provider]
        assert answers == [provider.get_token()] * 2

    def test_use_provider(self, client: Any, provider: TokenProvider) -> None:
        """A use_provider block counts more."""

        async def endpoint(request: Request) -> Response:
            async with use_provider(fake_provider("other")):
                return await one_token(request)

        assert client(init_app(Starlette(routes=[Route("/", endpoint)]), provider)).get("/").text == "other"

    def test_accounts(self, client: Any) -> None:
        """With several accounts each request has its own."""
        app = init_app(Starlette(routes=[Route("/{account}", one_token)]), lambda scope: fake_provider(scope["path"]))

        assert [client(app).get(path).text for path in ("/a", "/b")] == ["/a", "/b"]

    @pytest.mark.parametrize("app", [Starlette(), init_app(Starlette(), lambda scope: None), None])
    def test_none(self, app: Any) -> None:
        """Where there is none the error says what to call."""
        request = Request({"type": "http", **({} if app is None else {"app": app})})

        with pytest.raises(NoProvider, match=r"init_app\(app, provider\)"):
            provider_from(request)


class TestInitApp:
    def test_returns(self) -> None:
        """The app comes back, with its own type."""

        class Shop(Starlette):
            pass

        shop = Shop()

        assert init_app(shop, fake_provider()) is shop

    def test_twice(self) -> None:
        """The second time is an error."""
        app = init_app(Starlette(), fake_provider())

        with pytest.raises(ConfigurationError, match="before"):
            init_app(app, fake_provider())

    def test_wrong(self) -> None:
        """A wrong option is said at once, not at the first request, and leaves the app as it was."""
        app = Starlette()

        with pytest.raises(ConfigurationError, match="slash"):
            init_app(app, fake_provider(), paths=["wechat"])
        assert app.user_middleware == []

    def test_closed(self) -> None:
        """So is a provider that was closed."""
        with pytest.raises(ProviderClosed):
            init_app(Starlette(), fake_provider(closed=True))


class TestNoToken:
    @pytest.mark.parametrize("make", [Starlette, FastAPI])
    def test_503(self, client: Any, provider: TokenProvider, no_token: None, make: Any) -> None:
        """An endpoint that fails for want of a token is a 503 that tells a stranger nothing."""
        app = init_app(make(routes=[Route("/", one_token)]), provider, wait=0)

        answer = client(app).get("/")

        assert 503 == answer.status_code
        assert int(answer.headers["Retry-After"]) >= 1
        assert "40164" not in answer.text
        assert provider.account.appid not in answer.text

    def test_websocket(self, client: Any, provider: TokenProvider, no_token: None) -> None:
        """A websocket is closed: try again later."""

        async def endpoint(websocket: WebSocket) -> None:
            await websocket.accept()
            await get_token(websocket)

        app = init_app(Starlette(routes=[WebSocketRoute("/", endpoint)]), provider, wait=0)
        with client(app).websocket_connect("/") as websocket, pytest.raises(WebSocketDisconnect) as caught:
            websocket.receive_text()

        assert 1013 == caught.value.code

    @pytest.mark.parametrize("kind", [503, HTTPException])
    def test_page_of_the_app(self, client: Any, provider: TokenProvider, no_token: None, kind: Any) -> None:
        """The app's own page for 503 is used."""
        app = init_app(Starlette(routes=[Route("/", one_token)]), provider, wait=0)
        app.add_exception_handler(kind, lambda request, error: PlainTextResponse("my page", error.status_code))

        answer = client(app).get("/")

        assert ("my page", 503) == (answer.text, answer.status_code)

    @pytest.mark.parametrize("kind", [TokenUnavailable, TokenError, WxMiddlewareError, Exception])
    @pytest.mark.parametrize("first", [False, True])
    def test_handler_of_the_app(
        self, client: Any, wechat_account: Account, wechat: WeChat, kind: type[Exception], first: bool
    ) -> None:
        """A handler of the app's, for this error or for all, is the one that counts, whenever it was registered."""
        wechat.faults.add("/cgi-bin/stable_token", "errcode", None, errcode=-1)

        async def mine(request: Request, error: Exception) -> Response:
            return PlainTextResponse(f"mine: {type(error).__name__}", 418)

        with TokenProvider(wechat_account) as provider:
            app = Starlette(routes=[Route("/", one_token)])
            if not first:
                init_app(app, provider, wait=0)
            app.add_exception_handler(kind, mine)
            if first:
                init_app(app, provider, wait=0)

            answer = client(app).get("/")

        assert ("mine: TokenUnavailable", 418) == (answer.text, answer.status_code)


def test_lifespan(client: Any, provider: TokenProvider) -> None:
    """The provider is known in the app's start-up, and in the tasks that are started there."""
    found: list[Any] = []

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with anyio.create_task_group() as group:
            group.start_soon(task)
            yield
        found.append(current_provider())

    async def task() -> None:
        found.append(await acurrent_token())

    with client(init_app(Starlette(lifespan=lifespan), provider)):
        pass

    assert [provider.get_token(), provider] == found
