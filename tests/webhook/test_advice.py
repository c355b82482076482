"""The URL verifies, and each push fails in the app: the log says why, once for each cause."""

from __future__ import annotations

import io
import logging
from typing import Any

import anyio
import flask
import pytest
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from support.gateway import noting
from werkzeug.test import Client

from wxmiddleware.webhook import asgi, wsgi

from . import routers
from .sites import AT_NOW
from .wechat import Pusher, text

OPTIONS: dict[str, Any] = {"path": "/wechat", "token": "AAAAA", "runtime": AT_NOW}


def push(app: Any, number: int) -> int:
    """Send a push of its own to an app, and give the status."""
    pushed = Pusher().plain(text(msg_id=str(number)), nonce=str(number))
    if isinstance(app, wsgi.WebhookMiddleware):
        return Client(app).post(pushed.url, data=pushed.body).status_code
    client = TestClient(app, follow_redirects=False)
    return int(client.post(pushed.url, content=pushed.body).status_code)


def guarded(speaks: str, status: int, location: str | None = None) -> Any:
    """An app that gives one answer, behind the middleware."""
    headers = {} if location is None else {"Location": location}
    if speaks == "wsgi":

        def app(environ: Any, start_response: Any) -> list[bytes]:
            start_response(f"{status} X", list(headers.items()))
            return []

        return wsgi.WebhookMiddleware(app, **OPTIONS)
    return asgi.WebhookMiddleware(PlainTextResponse("", status, headers), **OPTIONS)


@pytest.mark.parametrize("speaks", ["wsgi", "asgi"])
@pytest.mark.parametrize(
    ("status", "location", "cure"),
    [
        (308, "/wechat/?signature=abc", "end alike"),
        (307, "http://testserver/wechat/", "end alike"),
        (301, "https://testserver/wechat", "begin with https://"),
        (302, "/login?next=/wechat", "out of logins"),
        (302, "http://[", "out of logins"),
        (302, None, "out of logins"),
        (404, None, "No view is there"),
        (405, None, "takes no POST"),
        (403, None, "@csrf_exempt"),
        (401, None, "@csrf_exempt"),
        (400, None, "csrf.exempt"),
        (422, None, "WeChat sends XML"),
        (204, None, "takes 200 only"),
        (202, None, "takes 200 only"),
    ],
)
def test_causes(speaks: str, status: int, location: str | None, cure: str, caplog: pytest.LogCaptureFixture) -> None:
    """Each cause is told once, with the path and the cure, without the signature."""
    app = guarded(speaks, status, location)
    assert [status, status] == [push(app, 1), push(app, 2)]
    (record,) = [each for each in caplog.records if each.name == "wxmiddleware"]

    assert logging.WARNING == record.levelno
    assert f"POST '/wechat' with {status}" in record.getMessage()
    assert cure in record.getMessage()
    assert "abc" not in record.getMessage()


@pytest.mark.parametrize("speaks", ["wsgi", "asgi"])
@pytest.mark.parametrize("status", [200, 500, 503])
def test_others(speaks: str, status: int, caplog: pytest.LogCaptureFixture) -> None:
    """What was handled, or has failed, is not the middleware's business."""
    assert status == push(guarded(speaks, status), 1)
    assert [] == [each for each in caplog.records if each.name == "wxmiddleware"]


def test_two_causes(caplog: pytest.LogCaptureFixture) -> None:
    """Another cause is told as well, also if it is another redirect."""
    answers = ["/wechat/", "https://testserver/wechat", "/wechat/"]

    def app(environ: Any, start_response: Any) -> list[bytes]:
        start_response("301 X", [("Location", answers.pop(0))])
        return []

    middleware = wsgi.WebhookMiddleware(app, **OPTIONS)
    for number in range(3):
        push(middleware, number)

    assert 2 == len([each for each in caplog.records if each.name == "wxmiddleware"])


def test_flask(caplog: pytest.LogCaptureFixture) -> None:
    """A route of Flask that ends in a slash."""
    app = flask.Flask("x")
    app.add_url_rule("/wechat/", "w", lambda: "success", methods=["POST"])
    push(wsgi.WebhookMiddleware(app, **OPTIONS), 1)

    assert "with 308 to '/wechat/'. The redirect adds the slash" in caplog.text


def test_starlette(caplog: pytest.LogCaptureFixture) -> None:
    """A route of Starlette that ends in a slash, or takes GET only."""
    ends = Starlette(routes=[Route("/wechat/", PlainTextResponse("success"))])
    only_get = Starlette(routes=[Route("/wechat", lambda request: PlainTextResponse("success"), methods=["GET"])])
    push(asgi.WebhookMiddleware(ends, **OPTIONS), 1)
    push(asgi.WebhookMiddleware(only_get, **OPTIONS), 2)

    assert "with 307 to '/wechat/'" in caplog.text
    assert "with 405. The view there takes no POST" in caplog.text


class Urls:
    urlpatterns = (path("wechat", lambda request: HttpResponse("success")),)


@pytest.mark.parametrize("speaks", ["wsgi", "asgi"])
def test_django(speaks: str, caplog: pytest.LogCaptureFixture) -> None:
    """A view of Django's without csrf_exempt."""
    with routers.settings_kept():
        settings.ROOT_URLCONF = Urls
        settings.MIDDLEWARE = ["django.middleware.csrf.CsrfViewMiddleware"]
        try:
            app: Any = wsgi.WebhookMiddleware(get_wsgi_application(), **OPTIONS)
            if speaks == "asgi":
                app = asgi.WebhookMiddleware(get_asgi_application(), **OPTIONS)
            assert 403 == push(app, 1)
        finally:
            settings.MIDDLEWARE = []

    assert "with 403. The app itself has refused it, as CSRF protection" in caplog.text


@pytest.mark.parametrize("speaks", ["wsgi", "asgi"])
@pytest.mark.parametrize(
    ("status", "method", "length", "options", "why"),
    [
        (405, "PUT", 3, {}, "405, its method"),
        (413, "POST", 300_000, {}, "413, its body is too large. limit="),
        (400, "POST", 10, {}, "400, its body was cut off"),
        (408, "POST", 10, {"body_timeout": 0.05}, "408, its body has not come in time. body_timeout="),
    ],
)
def test_refusals(
    speaks: str,
    status: int,
    method: str,
    length: int,
    options: dict[str, Any],
    why: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A refusal before the handler is told, with who it was and what to do."""
    query = Pusher().plain("").url.partition("?")[2]
    if speaks == "asgi":
        sent: list[Any] = []

        async def receive() -> Any:
            if status == 408:
                await anyio.sleep_forever()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": method,
            "path": "/wechat",
            "query_string": query.encode(),
            "headers": [(b"content-length", b"%d" % length)],
            "client": ("203.0.113.9", 1),
        }
        anyio.run(asgi.WebhookMiddleware(PlainTextResponse("no"), **OPTIONS, **options), scope, receive, send)
        got = sent[0]["status"]
    else:

        class Slow(io.RawIOBase):
            def readinto(self, buffer: Any) -> int:
                if status == 408:
                    anyio.run(anyio.sleep, 1)
                return 0

        environ = {
            "REQUEST_METHOD": method,
            "PATH_INFO": "/wechat",
            "QUERY_STRING": query,
            "CONTENT_LENGTH": str(length),
            "REMOTE_ADDR": "203.0.113.9",
            "wsgi.input": Slow(),
        }
        started: list[str] = []
        wsgi.WebhookMiddleware(lambda environ, start: [], **OPTIONS, **options)(environ, noting(started))
        got = int(started[0][:3])

    assert status == got
    assert f"Refused a push to the webhook from 203.0.113.9: {why}" in caplog.text
