"""
A webhook as one Flask view::

    @app.route("/wechat", methods=["GET", "POST"])
    @webhook(token=..., aes_key=..., appid=...)
    def wechat(message: Message) -> str | None:
        return f"You wrote {message.content}" if isinstance(message, TextMessage) else None
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeAlias, TypeVar, Unpack, overload

from flask import Response, request

from wxmiddleware._runtime.checks import is_async
from wxmiddleware.exceptions import ConfigurationError

from ._flow import Answer, Options
from ._gate import Push
from ._handlers import check_handler
from ._threads import serve
from .messages import Message
from .replies import Reply
from .wsgi import plain_environ, wsgi_webhook

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["webhook"]

P = ParamSpec("P")
S = TypeVar("S")
Handler: TypeAlias = "Callable[Concatenate[Message, P], Reply | str | None]"


class Decorator(Protocol):
    """What `webhook` makes: for functions, and for methods of class-based views."""

    @overload
    def __call__(self, handler: Handler[P], /) -> Callable[P, Response]: ...

    @overload
    def __call__(
        self, handler: Callable[Concatenate[S, Message, P], Reply | str | None], /
    ) -> Callable[Concatenate[S, P], Response]: ...


def webhook(*, token: str | Collection[str], **options: Unpack[Options]) -> Decorator:
    """
    Make a view of a function that is given a message and returns what to answer: a reply, a string or ``None``.

    It may be a method of a class-based view, ``def post(self, message)``, as well.

    The view answers GET and POST. The function runs in a thread of its own, with the request's context: Flask's
    ``request`` and ``current_token()`` are there, and ``request.get_data()`` is the body, decrypted. What is torn down
    when a request ends is gone after the deadline. Code that runs before the view may read the body with
    ``request.get_data()``, which keeps it.

    Args:
        token: The Token that stands beside the URL on WeChat's site; while it is replaced, several.
        **options: As for `wxmiddleware.webhook.Webhook`.

    Raises:
        ConfigurationError: One of these cannot be right; or the function is async, or takes no message.
    """
    endpoint = wsgi_webhook(token=token, **options)

    def decorate(handler: Any) -> Any:
        if isinstance(handler, staticmethod | classmethod):
            return type(handler)(decorate(handler.__func__))
        check_handler(handler)
        if is_async(handler):
            raise ConfigurationError("The function under @webhook must not be async in Flask: no event loop runs.")

        @functools.wraps(handler)
        def view(*bound: Any, **kwargs: Any) -> Response:
            def work(push: Push, deliver: Callable[[Answer], None]) -> None:
                _leave_body(push)
                # What Flask takes from the URL comes by name; what comes by place is the object of a method.
                deliver(endpoint.answer(push, handler(*bound, push.message, **kwargs)))

            answer = serve(endpoint, request.environ, work)
            return Response(answer.body, answer.status, answer.headers, content_type=answer.content_type)

        return view

    return decorate


# What werkzeug's request has worked out from the body, or from the headers that speak of it.
_OF_THE_BODY = (
    "stream",
    "form",
    "files",
    "values",
    "data",
    "content_length",
    "_cached_json",
    "_parsed_content_type",
)


def _leave_body(push: Push) -> None:
    """Let Flask's request have the body that the push has, decrypted, as often as it is asked for."""
    plain_environ(request.environ, push)
    kept: dict[str, Any] = request._get_current_object().__dict__  # type: ignore[attr-defined]
    for name in _OF_THE_BODY:
        kept.pop(name, None)
    kept["_cached_data"] = push.body
