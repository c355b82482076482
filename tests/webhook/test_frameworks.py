"""What is special about one framework or event loop. What all have in common is in `test_serving.py`."""

from __future__ import annotations

import threading
from typing import Annotated, Any

import anyio
import anyio.from_thread
import anyio.to_thread
import flask
import pytest
from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route
from starlette.testclient import TestClient
from werkzeug.test import Client

from wxmiddleware import Account, TokenProvider, current_token, with_token
from wxmiddleware._rules.models import Loaded
from wxmiddleware.asgi import TokenMiddleware as ASGITokenMiddleware
from wxmiddleware.exceptions import ConfigurationError
from wxmiddleware.simulator import WeChat
from wxmiddleware.stores.memory import MemoryStore
from wxmiddleware.webhook import Message, Reply, TextReply, asgi, wsgi
from wxmiddleware.webhook import flask as in_flask
from wxmiddleware.webhook import starlette as in_starlette
from wxmiddleware.wsgi import TokenMiddleware as WSGITokenMiddleware

from .sites import AT_NOW
from .wechat import Pusher, text

OPTIONS: dict[str, Any] = {"token": "AAAAA", "runtime": AT_NOW}
PATIENCE = 20.0


def path_of(request: Request) -> str:
    return request.url.path


class TestFlask:
    def test_request(self, pusher: Pusher, wechat_account: Account) -> None:
        """The handler has the request, what came before it, its token and the arguments of its URL."""
        app = flask.Flask("x")
        app.wsgi_app = WSGITokenMiddleware(app.wsgi_app, TokenProvider(wechat_account))  # type: ignore[method-assign]

        @app.before_request
        def before() -> None:
            flask.g.name = "Ada"

        @app.route("/wechat/<page>", methods=["POST"])
        @in_flask.webhook(**OPTIONS)
        def wechat(message: Message, page: str) -> str:
            assert flask.request.environ["wxmiddleware.message"] is message
            assert flask.request.environ["wxmiddleware.token"] == current_token()
            return f"{page} {flask.g.name} {flask.request.method}"

        pushed = pusher.plain(text())
        answer = Client(app).post(pushed.url.replace("?", "/7?"), data=pushed.body)

        assert "7 Ada POST" in answer.text

    def test_abort(self, pusher: Pusher) -> None:
        """What the handler raises, Flask handles."""
        app = flask.Flask("x")

        @app.route("/wechat", methods=["POST"])
        @in_flask.webhook(**OPTIONS)
        def wechat(message: Message) -> None:
            flask.abort(418)

        pushed = pusher.plain(text())

        assert 418 == Client(app).post(pushed.url, data=pushed.body).status_code

    def test_async(self) -> None:
        """An async function is a mistake there."""

        async def handler(message: Message) -> None: ...

        with pytest.raises(ConfigurationError, match="async"):
            in_flask.webhook(**OPTIONS)(handler)  # type: ignore[arg-type]


class TestStarlette:
    @pytest.mark.parametrize("is_async", [True, False])
    def test_request(self, pusher: Pusher, wechat_account: Account, is_async: bool) -> None:
        """The handler has the request if it wants it, and the token."""

        async def in_loop(message: Message, request: Request) -> str:
            assert request.state.wx_message is message
            return f"{request.path_params['page']} {current_token() == request.state.wx_token}"

        def in_thread(message: Message, request: Request) -> str:
            return f"{request.path_params['page']} {current_token() == request.state.wx_token}"

        view = in_starlette.webhook(**OPTIONS)(in_loop if is_async else in_thread)
        app = Starlette(
            routes=[Route("/wechat/{page}", view, methods=["POST"])],
            middleware=[Middleware(ASGITokenMiddleware, provider=TokenProvider(wechat_account))],
        )
        pushed = pusher.plain(text())
        with TestClient(app) as client:
            answer = client.post(pushed.url.replace("?", "/7?"), content=pushed.body)

        assert "7 True" in answer.text

    def test_threads_of_its_own(self, pusher: Pusher) -> None:
        """Handlers that are not async, and the store, take none of the threads that the app's own endpoints have."""
        taken: list[float] = []

        def count() -> None:
            taken.append(anyio.from_thread.run_sync(anyio.to_thread.current_default_thread_limiter).borrowed_tokens)

        class Store(MemoryStore):
            shared = True

            def load(self, key: str) -> Loaded:
                count()
                return super().load(key)

        @in_starlette.webhook(**OPTIONS, store=Store())
        def wechat(message: Message) -> None:
            count()

        pushed = pusher.plain(text())
        with TestClient(Starlette(routes=[Route("/wechat", wechat, methods=["POST"])])) as client:
            assert 200 == client.post(pushed.url, content=pushed.body).status_code

        assert len(taken) > 2
        assert {0} == set(taken)

    def test_unreadable_annotations(self, pusher: Pusher) -> None:
        """Annotations that only a type checker can read do no harm."""

        @in_starlette.webhook(**OPTIONS)
        async def wechat(message: Nowhere, request: Elsewhere) -> Nothing:  # type: ignore[name-defined]  # noqa: F821
            return request.method

        pushed = pusher.plain(text())
        with TestClient(Starlette(routes=[Route("/wechat", wechat, methods=["POST"])])) as client:
            assert "POST" in client.post(pushed.url, content=pushed.body).text

    @pytest.mark.parametrize("backend", ["asyncio", "trio"])
    def test_late_under(self, pusher: Pusher, backend: Any) -> None:
        """A handler goes on after the deadline under either event loop."""
        got: list[Reply] = []
        came, go = threading.Event(), threading.Event()

        async def late(message: Message, reply: Reply) -> None:
            got.append(reply)
            came.set()

        @in_starlette.webhook(**OPTIONS, deadline=0.1, late=late)
        async def wechat(message: Message) -> str:
            await anyio.to_thread.run_sync(go.wait, PATIENCE)
            return "at last"

        app = Starlette(routes=[Route("/wechat", wechat, methods=["POST"])])
        pushed = pusher.plain(text())
        with TestClient(app, backend=backend) as client:
            answer = client.post(pushed.url, content=pushed.body)
            go.set()
            assert came.wait(PATIENCE)

        assert ("success", [TextReply("at last")]) == (answer.text, got)

    @pytest.mark.parametrize("backend", ["asyncio", "trio"])
    def test_client_gone(self, pusher: Pusher, backend: str) -> None:
        """A message whose request is cancelled is handled all the same, and a repeat finds the answer."""
        calls: list[str] = []

        async def main() -> list[Any]:
            begun, go = anyio.Event(), anyio.Event()

            @in_starlette.webhook(**OPTIONS)
            async def wechat(message: Message) -> str:
                calls.append(message.msg_id)
                begun.set()
                await go.wait()
                return "done"

            pushed = pusher.plain(text())
            path, query = pushed.url.split("?")
            scope = {"type": "http", "method": "POST", "path": path, "query_string": query.encode(), "headers": []}

            async def receive() -> Any:
                return {"type": "http.request", "body": pushed.body, "more_body": False}

            async def push() -> Any:
                return await wechat(Request({**scope}, receive))

            async with anyio.create_task_group() as group:
                group.start_soon(push)
                await begun.wait()
                group.cancel_scope.cancel()
            go.set()
            answer = await push()
            return [answer.status_code, b"done" in answer.body]

        assert [200, True] == anyio.run(main, backend=backend)
        assert ["1"] == calls


class TestFastAPI:
    def test_dependencies(self, pusher: Pusher) -> None:
        """The handler's other parameters are FastAPI's business."""

        app = FastAPI()

        @app.post("/wechat/{page}")  # for both methods its schema warns of an id that is there twice
        @in_starlette.webhook(**OPTIONS)
        async def wechat(message: Message, page: int, path: Annotated[str, Depends(path_of)], q: str = "none") -> str:
            return f"{page + 1} {path} {q}"

        pushed = pusher.plain(text())
        with TestClient(app) as client:
            answer = client.post(pushed.url.replace("?", "/7?q=some&"), content=pushed.body)
            schema = client.get("/openapi.json").json()["paths"]["/wechat/{page}"]["post"]

        assert "8 /wechat/7 some" in answer.text
        assert ["page", "q"] == [each["name"] for each in schema["parameters"]]


class TestBehindTheMiddleware:
    def test_token(self, pusher: Pusher, wechat: WeChat, wechat_account: Account) -> None:
        """Inside TokenMiddleware, the app's calls heal a stolen token, also from the thread that it runs in."""
        provider = TokenProvider(wechat_account)
        provider.get_token()
        wechat.steal()

        @with_token
        def call(access_token: str) -> dict[str, Any]:
            import requests

            url = f"{wechat_account.base_url}/cgi-bin/user/info"
            answer: dict[str, Any] = requests.get(url, {"access_token": access_token, "openid": "oAda"}).json()
            return answer

        def app(environ: Any, start_response: Any) -> list[bytes]:
            before = environ["wxmiddleware.token"]
            errcode = call().get("errcode")
            assert environ["wxmiddleware.token"] != before
            start_response("200 OK", [])
            return [f"{errcode}".encode()]

        client = Client(WSGITokenMiddleware(wsgi.WebhookMiddleware(app, path="/wechat", **OPTIONS), provider))
        pushed = pusher.plain(text())

        assert "None" == client.post(pushed.url, data=pushed.body).text

    def test_mounted(self, pusher: Pusher) -> None:
        """The path is the one that the wrapped app sees, wherever it is mounted."""

        async def endpoint(request: Request) -> PlainTextResponse:
            return PlainTextResponse(type(request.state.wx_message).__name__)

        inner = asgi.WebhookMiddleware(
            Starlette(routes=[Route("/wechat", endpoint, methods=["POST"])]), path="/wechat", **OPTIONS
        )
        pushed = pusher.plain(text())
        with TestClient(Starlette(routes=[Mount("/sub", app=inner)])) as client:
            assert "TextMessage" == client.post(f"/sub{pushed.url}", content=pushed.body).text

    def test_stream(self, pusher: Pusher) -> None:
        """An answer that is streamed goes out in one piece; a background task does not hold it up."""
        go, ran = threading.Event(), threading.Event()

        def task() -> None:
            assert go.wait(PATIENCE)
            ran.set()

        async def endpoint(request: Request) -> StreamingResponse:
            return StreamingResponse(iter(["a", "b"]), background=BackgroundTask(task))

        app = Starlette(routes=[Route("/wechat", endpoint, methods=["POST"])])
        pushed = pusher.plain(text())
        with TestClient(asgi.WebhookMiddleware(app, path="/wechat", **OPTIONS)) as client:
            assert "ab" == client.post(pushed.url, content=pushed.body).text
            go.set()
            assert ran.wait(PATIENCE)

    def test_no_answer(self, pusher: Pusher) -> None:
        """An app that ends without an answer has failed."""

        async def app(scope: Any, receive: Any, send: Any) -> None: ...

        pushed = pusher.plain(text())
        client = TestClient(asgi.WebhookMiddleware(app, path="/wechat", **OPTIONS))

        with pytest.raises(RuntimeError, match="without an answer"):
            client.post(pushed.url, content=pushed.body)

    def test_written(self, pusher: Pusher) -> None:
        """What an old app writes instead of returning it is answered, too; its body is closed."""
        closed: list[bool] = []

        class Body(list[bytes]):
            def close(self) -> None:
                closed.append(True)

        def app(environ: Any, start_response: Any) -> Body:
            start_response("200 OK", [])(b"written ")
            return Body([b"returned"])

        pushed = pusher.plain(text())

        assert (
            "written returned"
            == Client(wsgi.WebhookMiddleware(app, path="/wechat", **OPTIONS)).post(pushed.url, data=pushed.body).text
        )
        assert [True] == closed

    def test_wrong_protocol(self) -> None:
        """An app of the other protocol is told where its middleware is."""

        async def asgi_app(scope: Any, receive: Any, send: Any) -> None: ...

        with pytest.raises(ConfigurationError, match=r"wxmiddleware\.webhook\.asgi import WebhookMiddleware"):
            wsgi.WebhookMiddleware(asgi_app, path="/wechat", token="x")  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match=r"wxmiddleware\.webhook\.wsgi import WebhookMiddleware"):
            asgi.WebhookMiddleware(lambda environ, start: [], path="/wechat", token="x")  # type: ignore[arg-type,misc]
