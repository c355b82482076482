"""A body that other code has read before the webhook, and one that the handler asks for."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import flask
import pytest
from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient
from werkzeug.test import Client
from werkzeug.wrappers import Request as WerkzeugRequest

from wxmiddleware.webhook import Message, asgi, wsgi
from wxmiddleware.webhook import flask as in_flask
from wxmiddleware.webhook import starlette as in_starlette

from .sites import AT_NOW
from .wechat import Pushed, Pusher, text

OPTIONS: dict[str, Any] = {"token": "AAAAA", "runtime": AT_NOW}
XML, FORM = "text/xml", "application/x-www-form-urlencoded"
JSON_TEXT = '{"ToUserName":"gh_1","FromUserName":"oAda","CreateTime":1,"MsgType":"text","Content":"hi","MsgId":7}'
TAKEN = 500


@pytest.fixture
def sealed(pusher: Pusher) -> Pushed:
    return pusher.sealed(text())


@pytest.fixture
def options(safe: dict[str, Any]) -> dict[str, Any]:
    return {**OPTIONS, **safe}


class Reading(io.RawIOBase):
    """A stream that cannot be read twice, as that of a server."""

    def __init__(self, body: bytes) -> None:
        self._stream = io.BytesIO(body)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._stream.readinto(buffer)


def flask_site(handler: Callable[[Message], Any], before: Callable[[], object], options: dict[str, Any]) -> flask.Flask:
    app = flask.Flask("x")

    @app.before_request
    def look() -> None:
        before()

    app.add_url_rule("/wechat", "wechat", in_flask.webhook(**options)(handler), methods=["POST"])
    return app


def post(app: Any, pushed: Pushed, kind: str = XML) -> Any:
    """Send a push whose body can be read once."""
    environ = {"wsgi.input": Reading(pushed.body), "CONTENT_LENGTH": str(len(pushed.body))}
    return Client(app).post(pushed.url, content_type=kind, environ_overrides=environ)


class TestFlask:
    @pytest.mark.parametrize("kind", [XML, FORM, "application/json"])
    @pytest.mark.parametrize(
        "before",
        [
            lambda: flask.request.get_data(cache=True),
            lambda: flask.request.data,
            lambda: flask.request.get_json(force=True, silent=True),
            lambda: (flask.request.get_data(), flask.request.form, flask.request.values),
            lambda: flask.request.stream,
        ],
        ids=["get_data", "data", "json", "get_data, then form", "stream not read"],
    )
    def test_kept(self, pusher: Pusher, sealed: Pushed, options: Any, before: Any, kind: str) -> None:
        """What Flask's request keeps of the body is taken."""
        answer = post(flask_site(lambda message: "hello", before, options), sealed, kind)
        if (kind, before.__code__.co_names[-1]) == (FORM, "data"):  # of a form Flask keeps nothing there
            assert TAKEN == answer.status_code
            return

        assert 200 == answer.status_code
        assert "hello" in pusher.opened(answer.data)

    def test_form_of_xml(self, pusher: Pusher, sealed: Pushed, options: Any) -> None:
        """Who asks XML for a form has read nothing."""
        answer = post(flask_site(lambda message: "hello", lambda: flask.request.form, options), sealed)

        assert "hello" in pusher.opened(answer.data)

    @pytest.mark.parametrize(
        ("before", "kind"),
        [
            (lambda: flask.request.get_data(cache=False), XML),
            (lambda: flask.request.stream.read(-1), XML),
            (lambda: flask.request.stream.read(10), XML),
            (lambda: flask.request.form, FORM),
        ],
        ids=["get_data(cache=False)", "stream", "stream, in part", "form"],
    )
    @pytest.mark.parametrize("chunked", [False, True])
    def test_lost(
        self, sealed: Pushed, options: Any, before: Any, kind: str, chunked: bool, caplog: pytest.LogCaptureFixture
    ) -> None:
        """What nobody has kept is an error of the server's, and the log says what to do."""
        app = flask_site(lambda message: "hello", before, options)
        environ: dict[str, Any] = {"wsgi.input": Reading(sealed.body)}
        if chunked:
            environ |= {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
        else:
            environ["CONTENT_LENGTH"] = str(len(sealed.body))
        answer = Client(app).post(sealed.url, content_type=kind, environ_overrides=environ)

        if chunked and answer.status_code == 403:  # a part of it is no message, and nobody knows its length
            assert "no message" in caplog.text
            return
        assert TAKEN == answer.status_code
        assert "get_data()" in caplog.text

    def test_too_long(self, sealed: Pushed, options: Any) -> None:
        """What was kept has the same limit."""
        app = flask_site(lambda message: "hello", lambda: flask.request.get_data(cache=True), {**options, "limit": 100})
        environ = {"wsgi.input": Reading(sealed.body), "wsgi.input_terminated": True, "CONTENT_LENGTH": ""}
        environ["HTTP_TRANSFER_ENCODING"] = "chunked"

        assert 413 == Client(app).post(sealed.url, content_type=XML, environ_overrides=environ).status_code

    @pytest.mark.parametrize("deadline", [5.0, None])
    @pytest.mark.parametrize("before", [lambda: flask.request.get_data(cache=True), lambda: flask.request.mimetype])
    def test_handler_reads(self, pusher: Pusher, options: Any, before: Any, deadline: Any) -> None:
        """The handler finds the body, decrypted, in every way that Flask has, and headers that fit."""
        found: list[Any] = []

        def handler(message: Message) -> None:
            asked = flask.request
            found.append((asked.get_data(), asked.get_data(), asked.data, asked.stream.read(), asked.json))
            found.append((asked.content_length, asked.headers["Content-Length"], asked.mimetype, dict(asked.form)))

        post(flask_site(handler, before, {**options, "deadline": deadline}), pusher.sealed(JSON_TEXT))

        body = JSON_TEXT.encode()
        assert (body, body, body, body, flask.json.loads(body)) == found[0]
        assert (len(body), str(len(body)), "application/json", {}) == found[1]

    def test_handler_reads_xml(self, sealed: Pushed, options: Any) -> None:
        """So it is with XML."""
        found: list[Any] = []

        def handler(message: Message) -> None:
            found.append((flask.request.get_data(as_text=True), flask.request.mimetype))

        post(flask_site(handler, lambda: None, options), sealed)

        assert [(text(), "application/xml")] == found


class TestWSGI:
    @pytest.mark.parametrize("face", ["flask", "wsgi"])
    @pytest.mark.parametrize("kept", [True, False])
    def test_middleware(self, pusher: Pusher, sealed: Pushed, options: Any, face: str, kept: bool) -> None:
        """A middleware in front that has read the body does no harm if it, or the server, has kept it."""
        inner: Any = flask_site(lambda message: "hello", lambda: None, options)
        if face == "wsgi":
            inner = wsgi.WebhookMiddleware(answering, path="/wechat", **options)

        def logging(environ: Any, start_response: Any) -> Any:
            body = environ["wsgi.input"].read()
            if kept:
                environ["wsgi.input"] = io.BytesIO(body)
            return inner(environ, start_response)

        answer = post(logging, sealed) if kept else Client(logging).post(sealed.url, data=sealed.body)

        assert 200 == answer.status_code
        assert "hello" in pusher.opened(answer.data)

    def test_of_werkzeug(self, pusher: Pusher, sealed: Pushed, options: Any) -> None:
        """One that asks werkzeug has kept it."""
        inner = wsgi.WebhookMiddleware(answering, path="/wechat", **options)

        def logging(environ: Any, start_response: Any) -> Any:
            WerkzeugRequest(environ).get_data()
            return inner(environ, start_response)

        assert "hello" in pusher.opened(post(logging, sealed).data)

    def test_lost(self, sealed: Pushed, options: Any) -> None:
        """Where the server's stream is at its end, nobody knows why: a bad request."""
        inner = wsgi.WebhookMiddleware(answering, path="/wechat", **options)

        def logging(environ: Any, start_response: Any) -> Any:
            environ["wsgi.input"].read()
            return inner(environ, start_response)

        environ = {"wsgi.input": Reading(sealed.body), "CONTENT_LENGTH": str(len(sealed.body))}

        assert 400 == Client(logging).post(sealed.url, environ_overrides=environ).status_code


def answering(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/xml")])
    return [b"<xml><MsgType>text</MsgType><Content>hello</Content></xml>"]


async def hello(message: Message) -> str:
    return "hello"


def starlette_app(handler: Any, options: dict[str, Any], **more: Any) -> Starlette:
    view = in_starlette.webhook(**options)(handler)
    return Starlette(routes=[Route("/wechat", view, methods=["POST"])], **more)


def send(app: Any, pushed: Pushed) -> Any:
    with TestClient(app, raise_server_exceptions=False) as client:
        return client.post(pushed.url, content=pushed.body, headers={"Content-Type": XML})


async def ask_body(request: Request) -> None:
    await request.body()


async def ask_json(request: Request) -> None:
    await request.json()


async def ask_stream(request: Request) -> None:
    async for _ in request.stream():
        pass


class TestStarlette:
    @pytest.mark.parametrize("ask", [ask_body, ask_json])
    def test_dependency(self, pusher: Pusher, options: Any, ask: Any) -> None:
        """A dependency of FastAPI's that has read the body does no harm."""

        async def wechat(message: Message, _: None = Depends(ask)) -> str:
            return "hello"

        app = FastAPI()
        app.add_api_route("/wechat", in_starlette.webhook(**options)(wechat), methods=["POST"])

        assert "hello" in pusher.opened(send(app, pusher.sealed(JSON_TEXT)).content)

    def test_lost(self, sealed: Pushed, options: Any, caplog: pytest.LogCaptureFixture) -> None:
        """One that has not kept it is an error of the server's, and the log says what to do."""

        async def wechat(message: Message, _: None = Depends(ask_stream)) -> str:
            raise AssertionError

        app = FastAPI()
        app.add_api_route("/wechat", in_starlette.webhook(**options)(wechat), methods=["POST"])

        assert TAKEN == send(app, sealed).status_code
        assert "await request.body()" in caplog.text

    @pytest.mark.parametrize("face", ["starlette", "asgi"])
    @pytest.mark.parametrize(("ask", "status"), [(ask_body, 200), (ask_stream, TAKEN)])
    def test_middleware(self, pusher: Pusher, sealed: Pushed, options: Any, face: str, ask: Any, status: int) -> None:
        """A middleware of Starlette's that has read the body does no harm if it has kept it."""

        async def dispatch(request: Request, call_next: Any) -> Any:
            await ask(request)
            return await call_next(request)

        reading = Middleware(BaseHTTPMiddleware, dispatch=dispatch)
        if face == "starlette":
            app = starlette_app(hello, options, middleware=[reading])
        else:
            webhook = Middleware(asgi.WebhookMiddleware, path="/wechat", **options)
            app = Starlette(routes=[Route("/wechat", responding, methods=["POST"])], middleware=[reading, webhook])
        answer = send(app, sealed)

        assert status == answer.status_code
        assert status != 200 or "hello" in pusher.opened(answer.content)

    def test_too_long(self, sealed: Pushed, options: Any) -> None:
        """What was kept has the same limit."""

        async def dispatch(request: Request, call_next: Any) -> Any:
            request.scope["headers"] = [each for each in request.scope["headers"] if each[0] != b"content-length"]
            await request.body()
            return await call_next(request)

        reading = Middleware(BaseHTTPMiddleware, dispatch=dispatch)

        assert 413 == send(starlette_app(hello, {**options, "limit": 100}, middleware=[reading]), sealed).status_code

    @pytest.mark.parametrize("first", [True, False], ids=["looked at before", "untouched"])
    def test_handler_reads(self, pusher: Pusher, options: Any, first: bool) -> None:
        """The handler finds the body, decrypted, in every way that Starlette has, and headers that fit."""
        found: list[Any] = []

        async def handler(message: Message, request: Request) -> None:
            streamed = b"".join([part async for part in request.stream()])
            found.append((await request.body(), streamed, await request.json()))
            found.append((request.headers["content-length"], request.headers["content-type"]))

        async def look(request: Request) -> None:
            if first:
                await request.json()
                assert request.headers["content-type"] == "text/xml"

        async def view(request: Request) -> Response:
            await look(request)
            return await in_starlette.webhook(**options)(handler)(request)

        app = Starlette(routes=[Route("/wechat", view, methods=["POST"])])

        assert 200 == send(app, pusher.sealed(JSON_TEXT)).status_code
        body = JSON_TEXT.encode()
        assert (body, body, flask.json.loads(body)) == found[0]
        assert (str(len(body)), "application/json; charset=utf-8") == found[1]

    def test_others_see_what_came(self, sealed: Pushed, options: Any) -> None:
        """What is outside the view keeps its scope."""
        lengths: list[bytes] = []

        async def outer(scope: Any, receive: Any, send: Any) -> None:
            await inner(scope, receive, send)
            if scope["type"] == "http":
                lengths.append(dict(scope["headers"])[b"content-length"])

        inner = starlette_app(hello, options)
        send(outer, sealed)

        assert [b"%d" % len(sealed.body)] == lengths


async def responding(request: Request) -> Response:
    return Response("<xml><MsgType>text</MsgType><Content>hello</Content></xml>")
