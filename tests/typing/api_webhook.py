"""What type checkers see of webhooks. Checked, never run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, assert_type

from flask import Response as FlaskResponse
from starlette.requests import Request
from starlette.responses import Response

from wxmiddleware import TokenProvider
from wxmiddleware.webhook import (
    AppMessages,
    AuthorizedNotice,
    ContactChangeEvent,
    Delivery,
    Event,
    Message,
    NewsReply,
    Reply,
    SubscribeMsgPopupEvent,
    TextMessage,
    TextReply,
    asgi,
    send_reply,
    wsgi,
)
from wxmiddleware.webhook import flask as in_flask
from wxmiddleware.webhook import starlette as in_starlette
from wxmiddleware.webhook.messages import message_from


def check(provider: TokenProvider, app: Any) -> None:
    @in_flask.webhook(token="x", aes_key=("new", "old"), appid="wx1", late=provider)
    def view(message: Message, page: int) -> str | None:
        return message.content if isinstance(message, TextMessage) else None

    assert_type(view(1), FlaskResponse)
    view("x")  # type: ignore[arg-type]

    @in_starlette.webhook(token="x", late=send_late)
    async def endpoint(message: Message, request: Request) -> Reply | None:
        return TextReply("x")

    takes_endpoint(endpoint)

    @in_starlette.webhook(token="x")
    def plain(message: Message) -> str:
        return "x"

    takes_endpoint(plain)

    @in_flask.webhook(token="x")  # type: ignore[arg-type]
    def number(message: Message) -> int:
        return 7

    wsgi.WebhookMiddleware(app, path="/wechat", token="x", deadline=None)
    asgi.WebhookMiddleware(app, path="/wechat", token="x", senders=["10.0.0.0/8"], trusted_hops=1)
    wsgi.WebhookMiddleware(app, path="/wechat", token="x", dedline=1)  # type: ignore[call-arg]
    wsgi.WebhookMiddleware(app, path="/wechat")  # type: ignore[call-arg]

    assert_type(message_from({}), Message)
    send_reply(provider, "oAda", NewsReply([]))
    assert_type(AppMessages(provider).send("hi", users=["ada"], parties=[1]), Delivery)


def event_name(message: Message) -> str:
    if isinstance(message, Event):
        assert_type(message.event, str)
        return message.event
    assert_type(message.create_time, int)
    return message.kind


def more(message: Message) -> None:
    assert_type(message.all("SendPicsInfo", "PicList"), tuple[Any, ...])
    assert_type(message.as_dict(), dict[str, Any])
    message.all()  # type: ignore[call-arg]
    message.fields["x"] = 1  # type: ignore[index]
    match message:
        case ContactChangeEvent():
            assert_type(message.change_type, str)
            assert_type(message.event, str)
        case SubscribeMsgPopupEvent(templates=templates):
            assert_type(templates, tuple[Mapping[str, Any], ...])
        case AuthorizedNotice(authorizer_appid=appid, auth_code=code):
            assert_type((appid, code), tuple[str, str])


async def send_late(message: Message, reply: Reply) -> None: ...


def takes_endpoint(endpoint: Callable[[Request], Awaitable[Response]]) -> None: ...
