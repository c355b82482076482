"""
Apps of all kinds of routers with a webhook's view in them, each behind the middleware, for one process.

The view is one that was there before: it looks at nothing and says whether its request was let in by the check.
``X-App`` chooses the app; the path stays as it came.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import bottle
import flask
import litestar
import quart
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import re_path
from django.views.decorators.csrf import csrf_exempt
from fastapi import FastAPI
from litestar import Request as LitestarRequest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from support.django import set_up_django
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from wxmiddleware.webhook import asgi, wsgi

METHODS = ["GET", "POST"]
TOKEN = "AAAAA"
ROOT = "/api"  # a prefix that only the framework knows

#: What the views said, by app.
calls: Counter[tuple[str, str]] = Counter()


def say(name: str, message: object) -> str:
    word = "OPEN" if message is None else "HANDLED"
    calls[name, word] += 1
    return word


def say_wsgi(name: str, environ: dict[str, Any]) -> str:
    return say(name, environ.get("wxmiddleware.message"))


def say_asgi(name: str, scope: Any) -> str:
    return say(name, (scope.get("state") or {}).get("wx_message"))


def _flask(name: str, rule: str) -> flask.Flask:
    app = flask.Flask(name)

    @app.route(rule, methods=METHODS, strict_slashes=False)
    def view(**_: str) -> str:
        return say_wsgi(name, flask.request.environ)

    return app


def _bottle(name: str, rule: str) -> bottle.Bottle:
    app = bottle.Bottle()

    def view(**_: str) -> str:
        return say_wsgi(name, bottle.request.environ)

    for each in (rule, rule + "/"):
        app.route(each, METHODS, view)
    return app


def _quart(name: str, rule: str) -> quart.Quart:
    app = quart.Quart(name)

    @app.route(rule, methods=METHODS, strict_slashes=False)
    async def view(**_: str) -> str:
        return say_asgi(name, quart.request.scope)

    return app


def _routes(name: str, rule: str) -> list[Route]:
    async def view(request: Request) -> PlainTextResponse:
        return PlainTextResponse(say_asgi(name, request.scope))

    return [Route(each, view, methods=METHODS) for each in dict.fromkeys((rule, rule.rstrip("/") + "/"))]


def _fastapi(name: str, root_path: str = "") -> FastAPI:
    app = FastAPI()
    app.root_path = root_path  # the argument warns; what it does is this
    app.router.routes.extend(_routes(name, "/wechat"))
    return app


def _litestar(name: str, rule: str, **options: Any) -> litestar.Litestar:
    async def view(request: LitestarRequest[Any, Any, Any]) -> str:
        return say_asgi(name, request.scope)

    handler = litestar.route(rule, http_method=["GET", "POST"], media_type="text/plain", status_code=200)(view)
    return litestar.Litestar([handler], openapi_config=None, logging_config=None, **options)


def _django_view(request: Any, **_: str) -> HttpResponse:
    if hasattr(request, "scope"):
        return HttpResponse(say_asgi("django-asgi", request.scope))
    return HttpResponse(say_wsgi("django", request.META))


class Urls:
    urlpatterns = (re_path(r"^wechat/?$", csrf_exempt(_django_view)),)


class PlatformUrls:
    urlpatterns = (re_path(r"^p/(?P<appid>[^/]+)/callback/?$", csrf_exempt(_django_view)),)


def _set(forced: bool, urls: Any) -> None:
    settings.ROOT_URLCONF, settings.FORCE_SCRIPT_NAME = urls, ROOT if forced else None


@contextmanager
def settings_kept() -> Iterator[None]:
    """The apps set Django's settings, each its own; afterwards they are as they were."""
    set_up_django()
    before = settings.ROOT_URLCONF, settings.FORCE_SCRIPT_NAME
    try:
        yield
    finally:
        settings.ROOT_URLCONF, settings.FORCE_SCRIPT_NAME = before


def _django_wsgi(forced: bool, urls: Any = Urls) -> Any:
    set_up_django()
    app = get_wsgi_application()

    def inner(environ: Any, start_response: Any) -> Any:
        _set(forced, urls)
        return app(environ, start_response)

    return inner


def _django_asgi(forced: bool) -> Any:
    set_up_django()
    app = get_asgi_application()

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        _set(forced, Urls)
        await app(scope, receive, send)

    return inner


Wrap = Callable[..., Any]

PLATFORM = "/$APPID$/callback"

#: How each is made, what its webhook's path is, and on which paths a push is right.
WSGI_APPS: dict[str, tuple[Callable[[str], Any], str, list[str]]] = {
    "flask": (lambda name: _flask(name, "/wechat"), "/wechat", ["/wechat", "/wechat/"]),
    "flask-mounted": (
        lambda name: DispatcherMiddleware(_flask("root", "/else"), {ROOT: _flask(name, "/wechat")}),
        "/wechat",
        ["/api/wechat", "/api/wechat/"],
    ),
    "flask-platform": (lambda name: _flask(name, "/<appid>/callback"), PLATFORM, ["/wx1/callback", "/wx1/callback/"]),
    "flask-root": (lambda name: _flask(name, "/"), "/", ["/"]),
    "django": (lambda name: _django_wsgi(False), "/wechat", ["/wechat", "/wechat/"]),
    "django-forced": (lambda name: _django_wsgi(True), "/wechat", ["/wechat", "/wechat/"]),
    "django-platform": (lambda name: _django_wsgi(False, PlatformUrls), "/p" + PLATFORM, ["/p/wx1/callback"]),
    "bottle": (lambda name: _bottle(name, "/wechat"), "/wechat", ["/wechat", "/wechat/"]),
    "bottle-mounted": (
        lambda name: _mounted(bottle.Bottle(), _bottle(name, "/wechat")),
        "/wechat",
        ["/api/wechat", "/api/wechat/"],
    ),
    "bottle-platform": (lambda name: _bottle(name, "/<appid>/callback"), PLATFORM, ["/wx1/callback"]),
}
ASGI_APPS: dict[str, tuple[Callable[[str], Any], str, list[str]]] = {
    "quart": (lambda name: _quart(name, "/wechat"), "/wechat", ["/wechat", "/wechat/"]),
    "quart-platform": (lambda name: _quart(name, "/callback/<appid>"), "/callback/$APPID$", ["/callback/wx1"]),
    "quart-root": (lambda name: _quart(name, "/"), "/", ["/"]),
    "starlette": (lambda name: Starlette(routes=_routes(name, "/wechat")), "/wechat", ["/wechat", "/wechat/"]),
    "starlette-mounted": (
        lambda name: Starlette(routes=[Mount(ROOT, routes=_routes(name, "/wechat"))]),
        "/wechat",
        ["/api/wechat", "/api/wechat/"],
    ),
    "starlette-platform": (
        lambda name: Starlette(routes=_routes(name, "/{appid}/callback")),
        PLATFORM,
        ["/wx1/callback", "/wx1/callback/"],
    ),
    "starlette-root": (lambda name: Starlette(routes=_routes(name, "/")), "/", ["/"]),
    "fastapi": (_fastapi, "/wechat", ["/wechat", "/wechat/"]),
    "fastapi-rooted": (
        lambda name: _fastapi(name, root_path=ROOT),
        "/wechat",
        ["/wechat", "/api/wechat", "/api/wechat/"],
    ),
    # The path as the world sees it, given where the framework takes its prefix off, or finds none.
    "fastapi-rooted-in-full": (lambda name: _fastapi(name, root_path=ROOT), "/api/wechat", ["/api/wechat"]),
    "litestar": (lambda name: _litestar(name, "/wechat"), "/wechat", ["/wechat", "/wechat/"]),
    "litestar-path": (lambda name: _litestar(name, "/wechat", path=ROOT), "/wechat", ["/api/wechat"]),
    "litestar-platform": (lambda name: _litestar(name, "/{appid:str}/callback"), PLATFORM, ["/wx1/callback"]),
    "litestar-root": (lambda name: _litestar(name, "/"), "/", ["/"]),
    "django-asgi": (lambda name: _django_asgi(False), "/wechat", ["/wechat", "/wechat/"]),
    "django-asgi-forced": (lambda name: _django_asgi(True), "/wechat", ["/wechat", "/api/wechat", "/api/wechat/"]),
    "django-asgi-forced-in-full": (lambda name: _django_asgi(True), "/api/wechat", ["/api/wechat"]),
}


def _mounted(root: bottle.Bottle, app: bottle.Bottle) -> bottle.Bottle:
    root.mount(ROOT + "/", app)
    return root


def make(name: str, *, guarded: bool = True) -> Any:
    """Make an app; with `guarded` the middleware is around it."""
    build, path, _ = {**WSGI_APPS, **ASGI_APPS}[name]
    app = build(name)
    if not guarded:
        return app
    if name == "starlette":  # inside, as its users write it
        app.user_middleware = [Middleware(asgi.WebhookMiddleware, path=path, token=TOKEN)]
        return app
    if name in WSGI_APPS:
        return wsgi.WebhookMiddleware(app, path=path, token=TOKEN)
    return asgi.WebhookMiddleware(app, path=path, token=TOKEN)


def name_of(name: str) -> str:
    """Under which name its view counts: Django's have one for each protocol."""
    return "django-asgi" if name.startswith("django-asgi") else "django" if name.startswith("django") else name


def _report() -> bytes:
    return repr(dict(calls)).encode()


def serve_wsgi() -> Any:
    """All WSGI apps as one."""
    apps = {name: make(name) for name in WSGI_APPS}

    def app(environ: Any, start_response: Any) -> Any:
        name = environ["HTTP_X_APP"]
        if name == "report":
            start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(_report())))])
            return [_report()]
        return apps[name](environ, start_response)

    return app


def serve_asgi() -> Any:
    """All ASGI apps as one."""
    apps = {name: make(name) for name in ASGI_APPS}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while True:
                kind = (await receive())["type"].removeprefix("lifespan.")
                await send({"type": f"lifespan.{kind}.complete"})
                if kind == "shutdown":
                    return
        name = dict(scope["headers"])[b"x-app"].decode()
        if name == "report":
            await PlainTextResponse(_report())(scope, receive, send)
            return
        await apps[name](scope, receive, send)

    return app


if os.environ.get("WX_TEST_ROUTERS") == "wsgi":
    application = serve_wsgi()
elif os.environ.get("WX_TEST_ROUTERS") == "asgi":
    application = serve_asgi()
