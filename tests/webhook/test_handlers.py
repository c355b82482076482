"""What may stand under the decorators beside functions."""

from __future__ import annotations

import functools
from typing import Annotated, Any

import flask
import pytest
from fastapi import Depends, FastAPI
from flask.views import MethodView, View
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.routing import Route
from starlette.testclient import TestClient

from wxmiddleware.exceptions import ConfigurationError
from wxmiddleware.webhook import Message
from wxmiddleware.webhook import flask as in_flask
from wxmiddleware.webhook import starlette as in_starlette

from .sites import AT_NOW
from .wechat import Pusher, text

OPTIONS: dict[str, Any] = {"token": "AAAAA", "runtime": AT_NOW}
in_flask_view = in_flask.webhook(**OPTIONS)
in_starlette_view = in_starlette.webhook(**OPTIONS)


class Methods(MethodView):
    @in_flask_view
    def post(self, message: Message, page: str) -> str:
        return f"{type(self).__name__} {message.from_user} {page}"


class OddlyNamed(MethodView):
    @in_flask_view
    def post(this, message: Message, page: str) -> str:  # noqa: N805
        return f"{type(this).__name__} {message.from_user} {page}"


class Dispatched(View):
    methods = ("POST",)

    @in_flask_view
    def dispatch_request(self, message: Message, page: str) -> str:  # type: ignore[override]
        return f"{type(self).__name__} {message.from_user} {page}"


class Static(MethodView):
    @staticmethod
    @in_flask_view
    def post(message: Message, page: str) -> str:
        return f"Static {message.from_user} {page}"


class StaticBelow(MethodView):
    @in_flask_view
    @staticmethod
    def post(message: Message, page: str) -> str:
        return f"StaticBelow {message.from_user} {page}"


class OfClass(MethodView):
    @classmethod
    @in_flask_view
    def post(cls, message: Message, page: str) -> str:
        return f"{cls.__name__} {message.from_user} {page}"


class OfClassBelow(MethodView):
    @in_flask_view
    @classmethod
    def post(cls, message: Message, page: str) -> str:
        return f"{cls.__name__} {message.from_user} {page}"


class Object:
    def __call__(self, message: Message, page: str) -> str:
        return f"{type(self).__name__} {message.from_user} {page}"

    def method(self, message: Message, page: str) -> str:
        return f"{type(self).__name__} {message.from_user} {page}"


class Outer:
    @in_flask_view
    def view(self, message: Message, page: str) -> str:
        return f"Outer {message.from_user} {page}"


def name_and_page(name: str, message: Message, page: str) -> str:
    return f"{name} {message.from_user} {page}"


FLASK = {
    **{
        cls.__name__: cls.as_view("v")
        for cls in (Methods, OddlyNamed, Dispatched, Static, StaticBelow, OfClass, OfClassBelow)
    },
    "Object": in_flask_view(Object()),
    "Outer": Outer().view,
    "partial": in_flask_view(functools.partial(name_and_page, "partial")),
}


@pytest.mark.parametrize("name", FLASK)
def test_flask(pusher: Pusher, name: str) -> None:
    """Methods of every kind, objects and partials work in Flask."""
    app = flask.Flask("x")
    app.add_url_rule("/wechat/<page>", "wechat", FLASK[name], methods=["POST"])
    pushed = pusher.plain(text(msg_id=name), nonce=name)
    answer = app.test_client().post(pushed.url.replace("?", "/7?"), data=pushed.body)

    assert f"{name} oAda 7" in answer.text


def test_bound(pusher: Pusher) -> None:
    """So does a method that is bound already."""
    app = flask.Flask("x")
    app.add_url_rule("/wechat/<page>", "wechat", in_flask_view(Object().method), methods=["POST"])
    pushed = pusher.plain(text(msg_id="bound"), nonce="bound")

    assert "Object oAda 7" in app.test_client().post(pushed.url.replace("?", "/7?"), data=pushed.body).text


class Endpoint(HTTPEndpoint):
    @in_starlette_view
    async def post(self, message: Message, request: Request) -> str:
        return f"{type(self).__name__} {message.from_user} {request.method}"


class SyncEndpoint(HTTPEndpoint):
    @in_starlette_view
    def post(self, message: Message, request: Request) -> str:
        return f"{type(self).__name__} {message.from_user} {request.method}"


class NoRequest(HTTPEndpoint):
    @in_starlette_view
    async def post(this, message: Message) -> str:  # noqa: N805
        return f"{type(this).__name__} {message.from_user} POST"


class StaticEndpoint(HTTPEndpoint):
    @in_starlette_view
    @staticmethod
    async def post(message: Message, request: Request) -> str:
        return f"StaticEndpoint {message.from_user} {request.method}"


class ClassEndpoint(HTTPEndpoint):
    @in_starlette_view
    @classmethod
    async def post(cls, message: Message, request: Request) -> str:
        return f"{cls.__name__} {message.from_user} {request.method}"


class AsyncObject:
    async def __call__(self, message: Message, request: Request) -> str:
        return f"{type(self).__name__} {message.from_user} {request.method}"


async def named(name: str, message: Message, request: Request) -> str:
    return f"{name} {message.from_user} {request.method}"


STARLETTE: dict[str, Any] = {
    **{cls.__name__: cls for cls in (Endpoint, SyncEndpoint, NoRequest, StaticEndpoint, ClassEndpoint)},
    "AsyncObject": in_starlette_view(AsyncObject()),
    "partial": in_starlette_view(functools.partial(named, "partial")),
}


@pytest.mark.parametrize("name", STARLETTE)
def test_starlette(pusher: Pusher, name: str) -> None:
    """Methods of every kind, async objects and partials work in Starlette."""
    pushed = pusher.plain(text(msg_id=name), nonce=name)
    methods = None if isinstance(STARLETTE[name], type) else ["POST"]
    with TestClient(Starlette(routes=[Route("/wechat", STARLETTE[name], methods=methods)])) as client:
        assert f"{name} oAda POST" in client.post(pushed.url, content=pushed.body).text


def page() -> str:
    return "7"


class Service:
    @in_starlette_view
    async def view(self, message: Message, request: Request, number: Annotated[str, Depends(page)]) -> str:
        return f"{type(self).__name__} {message.from_user} {request.method} {number}"


def test_fastapi(pusher: Pusher) -> None:
    """FastAPI sees a bound method's dependencies, and nothing of the message."""
    app = FastAPI()
    app.add_api_route("/wechat", Service().view, methods=["POST"])
    pushed = pusher.plain(text(msg_id="fastapi"), nonce="fastapi")
    with TestClient(app) as client:
        assert "Service oAda POST 7" in client.post(pushed.url, content=pushed.body).text


async def in_loop(message: Message) -> None: ...


class AsyncView(MethodView):
    async def post(self, message: Message) -> None: ...

    @classmethod
    async def handle(cls, message: Message) -> None: ...


@pytest.mark.parametrize(
    "handler",
    [functools.partial(in_loop), AsyncView.post, staticmethod(in_loop), vars(AsyncView)["handle"], AsyncObject()],
)
def test_async_in_flask(handler: Any) -> None:
    """Whatever is async is refused in Flask when it is decorated."""
    with pytest.raises(ConfigurationError, match="async"):
        in_flask_view(handler)


def yielding(message: Message) -> Any:
    yield "hello"


async def yielding_later(message: Message) -> Any:
    yield "hello"


class Forgetful:
    def post(self) -> None: ...


@pytest.mark.parametrize("decorator", [in_flask_view, in_starlette_view])
@pytest.mark.parametrize(
    ("handler", "told"),
    [
        (Methods, "method of Methods"),
        (5, "not for a int"),
        (MethodView.as_view("v"), "no parameter for the message"),
        (lambda: None, "no parameter for the message"),
        (yielding, "must not yield"),
        (yielding_later, "must not yield"),
        (functools.partial(yielding), "must not yield"),
        (Forgetful.post, "no parameter for the message"),
    ],
)
def test_refused(decorator: Any, handler: Any, told: str) -> None:
    """What takes no message is refused when it is decorated."""
    with pytest.raises(ConfigurationError, match=told):
        decorator(handler)
