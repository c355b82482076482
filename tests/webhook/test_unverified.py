"""A view that asks for its message with `message_from` is no open door if no check has run: 403 in each framework."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import bottle
import flask
import litestar
import pytest
import quart
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path as django_path
from django.views.decorators.csrf import csrf_exempt
from fastapi import FastAPI
from litestar import Request as LitestarRequest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from wxmiddleware.exceptions import NotVerified
from wxmiddleware.webhook import asgi, wsgi
from wxmiddleware.webhook.messages import message_from as parsed

from . import routers
from .sites import AT_NOW
from .test_paths import ask_asgi, ask_wsgi
from .wechat import Pusher, text


def in_flask() -> Any:
    app = flask.Flask("x")
    app.add_url_rule("/wechat", "w", lambda: wsgi.message_from(flask.request).msg_id, methods=["POST"])
    return app


def in_flask_by_environ() -> Any:
    app = flask.Flask("x")
    app.add_url_rule("/wechat", "w", lambda: wsgi.message_from(flask.request.environ).msg_id, methods=["POST"])
    return app


def in_bottle() -> Any:
    app = bottle.Bottle()
    app.route("/wechat", ["POST"], lambda: wsgi.message_from(bottle.request).msg_id)
    return app


def django_view(request: Any) -> HttpResponse:
    module: Any = asgi if hasattr(request, "scope") else wsgi
    return HttpResponse(module.message_from(request).msg_id)


class Urls:
    urlpatterns = (django_path("wechat", csrf_exempt(django_view)),)


def in_quart() -> Any:
    app = quart.Quart("x")

    @app.post("/wechat")
    async def view() -> str:
        return asgi.message_from(quart.request).msg_id

    return app


async def starlette_view(request: Request) -> PlainTextResponse:
    return PlainTextResponse(asgi.message_from(request).msg_id)


async def starlette_view_by_scope(request: Request) -> PlainTextResponse:
    return PlainTextResponse(asgi.message_from(request.scope).msg_id)


def in_fastapi() -> Any:
    app = FastAPI()

    @app.post("/wechat")
    async def view(request: Request) -> str:
        return asgi.message_from(request).msg_id

    return app


def in_litestar() -> Any:
    @litestar.post("/wechat", status_code=200)
    async def view(request: LitestarRequest[Any, Any, Any]) -> str:
        return asgi.message_from(request).msg_id

    return litestar.Litestar([view], openapi_config=None, logging_config=None)


WSGI: list[Callable[[], Any]] = [in_flask, in_flask_by_environ, in_bottle, get_wsgi_application]
ASGI: list[Callable[[], Any]] = [
    in_quart,
    in_fastapi,
    in_litestar,
    get_asgi_application,
    lambda: Starlette(routes=[Route("/wechat", starlette_view, methods=["POST"])]),
    lambda: Starlette(routes=[Route("/wechat", starlette_view_by_scope, methods=["POST"])]),
]


@pytest.mark.parametrize("make", [*WSGI, *ASGI])
def test_frameworks(make: Callable[[], Any], caplog: pytest.LogCaptureFixture) -> None:
    """With the check a push is handled; without it, the same request is a 403, and the log says what to do."""
    pushed = Pusher().plain(text())
    request: Any = {"target": "/wechat", "query": pushed.url.partition("?")[2], "body": pushed.body}
    options: Any = {"path": "/wechat", "token": "AAAAA", "runtime": AT_NOW}
    with routers.settings_kept():
        settings.ROOT_URLCONF = Urls
        app = make()
        if make in WSGI:
            statuses = ask_wsgi(wsgi.WebhookMiddleware(app, **options), **request), ask_wsgi(app, **request)
        else:
            statuses = (
                asyncio.run(ask_asgi(asgi.WebhookMiddleware(app, **options), **request)),
                asyncio.run(ask_asgi(app, **request)),
            )

    assert (200, 403) == statuses
    assert "Put WebhookMiddleware around the app" in caplog.text


@pytest.mark.parametrize("find", [wsgi.message_from, asgi.message_from])
def test_error(find: Callable[[Any], Any], caplog: pytest.LogCaptureFixture) -> None:
    """The error is one of ours and says what to do."""
    with caplog.at_level(logging.CRITICAL, "wxmiddleware"), pytest.raises(NotVerified) as caught:
        find({})

    assert "WebhookMiddleware" in caught.value.__notes__[0]


def test_another_thing_under_its_key() -> None:
    """What is no message is none."""
    with pytest.raises(NotVerified):
        wsgi.message_from({wsgi.MESSAGE_KEY: "hello"})


@pytest.mark.parametrize("find", [wsgi.message_from, asgi.message_from])
def test_no_request(find: Callable[[Any], Any]) -> None:
    """What is no request is a mistake in the program."""
    with pytest.raises(TypeError, match="takes a request"):
        find("hello")


def test_message() -> None:
    """The message is given as it is."""
    message = parsed({"MsgType": "text", "Content": "hello"})

    assert message is wsgi.message_from({wsgi.MESSAGE_KEY: message})
    assert message is asgi.message_from({"state": {asgi.MESSAGE_KEY: message}})
