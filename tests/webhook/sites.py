"""One handler in four sites: behind either middleware, and under either decorator."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import anyio.to_thread
import flask
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient
from werkzeug.test import Client

from wxmiddleware import Runtime
from wxmiddleware.webhook import Message, Webhook, asgi, wsgi
from wxmiddleware.webhook import flask as in_flask
from wxmiddleware.webhook import starlette as in_starlette
from wxmiddleware.webhook._gate import Push
from wxmiddleware.webhook._wire import Format

from .wechat import NOW, Pushed

Handler = Callable[[Message], Any]
AT_NOW = Runtime(time=lambda: float(NOW))  # when a `Pusher` pushes
FACES = ["wsgi", "asgi", "flask", "starlette"]


@dataclass(frozen=True)
class Got:
    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def short(self) -> tuple[int, bytes]:
        return self.status, self.body


class Site:
    """
    An app with a webhook.

    Args:
        face: How it is made.
        handler: What answers.
        options: The webhook's.
    """

    def __init__(self, face: str, handler: Handler, **options: Any) -> None:
        self.face = face
        self.inner: list[dict[str, Any]] = []  # what an app behind a middleware has got
        options = {"token": "AAAAA", "runtime": AT_NOW, **options}
        self._ends = ExitStack()
        self._client: Any = getattr(self, f"_{face}")(handler, options)

    def push(self, pushed: Pushed, method: str = "POST", **more: Any) -> Got:
        return self.send(method, pushed.url, pushed.body if method == "POST" else b"", **more)

    def send(self, method: str, url: str, body: bytes | Iterator[bytes] = b"", **headers: str) -> Got:
        if isinstance(self._client, TestClient):
            got = self._client.request(method, url, content=body, headers=headers)
            return Got(got.status_code, got.content, {name.title(): value for name, value in got.headers.items()})
        given = {"data": body} if isinstance(body, bytes) else {"input_stream": body}
        answer = self._client.open(url, method=method, headers=headers, **given)
        return Got(answer.status_code, answer.get_data(), dict(answer.headers))

    def close(self) -> None:
        self._ends.close()

    def _wsgi(self, handler: Handler, options: Any) -> Client:
        def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            if "wxmiddleware.message" not in environ:
                start_response("200 OK", [("Content-Type", "text/html")])
                return [b"elsewhere"]
            self.inner.append({**environ, "body": environ["wsgi.input"].read()})
            body = said(environ["wxmiddleware.message"], handler)
            start_response("200 OK", [("Content-Type", "text/xml"), ("Content-Length", str(len(body))), ("X-App", "1")])
            return [body[:3], body[3:]]

        return Client(wsgi.WebhookMiddleware(app, path="/wechat", **options))

    def _asgi(self, handler: Handler, options: Any) -> TestClient:
        async def endpoint(request: Request) -> Response:
            if not hasattr(request.state, "wx_message"):
                return Response("elsewhere")
            self.inner.append({**request.headers, "body": await request.body()})
            body = await anyio.to_thread.run_sync(said, request.state.wx_message, handler)
            return Response(body, media_type="text/xml", headers={"X-App": "1"})

        app = Starlette(routes=[Route("/{path:path}", endpoint, methods=["GET", "POST"])])
        wrapped = asgi.WebhookMiddleware(app, path="/wechat", **options)
        return self._ends.enter_context(TestClient(wrapped, raise_server_exceptions=False))

    def _flask(self, handler: Handler, options: Any) -> Client:
        app = flask.Flask("site")
        app.add_url_rule("/wechat", "wechat", in_flask.webhook(**options)(handler), methods=["GET", "POST", "PUT"])
        app.add_url_rule("/other", "other", lambda: "elsewhere")
        return app.test_client()

    def _starlette(self, handler: Handler, options: Any) -> TestClient:
        view = in_starlette.webhook(**options)(handler)
        other = Route("/other", lambda _: Response("elsewhere"))
        app = Starlette(routes=[Route("/wechat", view, methods=["GET", "POST", "PUT"]), other])
        return self._ends.enter_context(TestClient(app, raise_server_exceptions=False))


_maker = Webhook(token="x")


def said(message: Message, handler: Handler) -> bytes:
    """What an app of somebody's would answer with."""
    return _maker.answer(Push(message, b"", Format.XML, None), handler(message)).body
