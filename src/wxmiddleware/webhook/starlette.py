"""
A webhook as one Starlette or FastAPI endpoint::

    @webhook(token=..., aes_key=..., appid=...)
    async def wechat(message: Message) -> str | None:
        return f"You wrote {message.content}" if isinstance(message, TextMessage) else None

    Route("/wechat", wechat, methods=["GET", "POST"])
    app.api_route("/wechat", methods=["GET", "POST"])(wechat)    # FastAPI
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Concatenate, TypeAlias, Unpack

# Not for annotations alone: FastAPI reads the signature at run time.
from starlette.requests import Request
from starlette.responses import Response

from wxmiddleware._runtime.checks import is_async

from ._flow import Answer, Options, Webhook
from ._gate import Push
from ._handlers import check_handler, is_method
from ._tasks import BodyTaken, run_handler, serve
from .asgi import plain_scope
from .messages import Message
from .replies import Reply

if TYPE_CHECKING:
    from collections.abc import Collection

    from starlette.types import Message as ASGIMessage
    from starlette.types import Receive

__all__ = ["webhook"]

_Said: TypeAlias = "Reply | str | None"
_Returned: TypeAlias = "_Said | Awaitable[_Said]"
Handler: TypeAlias = (
    "Callable[Concatenate[Message, ...], _Returned] | Callable[Concatenate[Any, Message, ...], _Returned]"
)


def webhook(
    *, token: str | Collection[str], **options: Unpack[Options]
) -> Callable[[Handler], Callable[..., Awaitable[Response]]]:
    """
    Make an endpoint of a function that is given a message and returns what to answer: a reply, a string or ``None``.

    It may be a method of an `HTTPEndpoint`, ``async def post(self, message)``, as well.

    The endpoint answers GET and POST. The function may be async, or else runs in a thread. If it has a parameter called
    ``request`` it is given the request, with the body decrypted; in FastAPI its other parameters are dependencies. What
    is torn down when a request ends is gone after the deadline. A dependency may read the body with
    ``await request.body()``, which keeps it.

    Args:
        token: The Token that stands beside the URL on WeChat's site; while it is replaced, several.
        **options: As for `wxmiddleware.webhook.Webhook`.

    Raises:
        ConfigurationError: One of these cannot be right; or the function takes no message.
    """
    endpoint = Webhook(token=token, **options)

    def decorate(handler: Any) -> Any:
        if isinstance(handler, staticmethod | classmethod):
            return type(handler)(decorate(handler.__func__))
        check_handler(handler)
        signature, wants_request = _signature_for(handler)
        awaited = is_async(handler)

        @functools.wraps(handler)
        async def view(*args: Any, **kwargs: Any) -> Response:
            # What comes by place is the object of a method, if it is one, and the request unless that has its name.
            *bound, request = args if "request" not in kwargs else (*args, kwargs.pop("request"))
            if wants_request:
                kwargs["request"] = request

            async def work(push: Push, deliver: Callable[[Answer], None]) -> None:
                _leave_body(request, push)
                call = functools.partial(handler, *bound, push.message, **kwargs)
                said = await (call() if awaited else run_handler(call))
                deliver(endpoint.answer(push, said))

            answer = await serve(endpoint, request.scope, _receive_of(request), work)
            headers = {**dict(answer.headers), "Content-Type": answer.content_type}
            return Response(answer.body, answer.status, headers)

        view.__signature__ = signature  # type: ignore[attr-defined]  # functools and FastAPI look for it
        return view

    return decorate


def _signature_for(handler: Handler) -> tuple[inspect.Signature, bool]:
    """What FastAPI is to see: the request in the place of the message, then the handler's dependencies."""
    try:
        signature = inspect.signature(handler, eval_str=True)
    except NameError:  # an annotation that only a type checker can read
        signature = inspect.signature(handler)
    parameters = list(signature.parameters.values())
    before = parameters[: is_method(handler)]
    rest = parameters[len(before) + 1 :]
    first = inspect.Parameter("request", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Request)
    others = [each for each in rest if each.name != "request"]
    return signature.replace(parameters=[*before, first, *others], return_annotation=Response), len(others) < len(rest)


def _receive_of(request: Request) -> Receive:
    """Where the body comes from: what the request keeps, if a dependency has asked it for its body."""
    if not hasattr(request, "_body") and not getattr(request, "_stream_consumed", False):
        return request.receive

    async def receive() -> ASGIMessage:
        if not hasattr(request, "_body"):  # somebody took it from request.stream() or form()
            raise BodyTaken
        return {"type": "http.request", "body": request._body, "more_body": False}

    return receive


def _leave_body(request: Request, push: Push) -> None:
    """Let the request have the body that the push has, decrypted, as often as it is asked for."""
    request.scope = plain_scope(request.scope, push)
    for name in ("_headers", "_json"):
        vars(request).pop(name, None)
    request._form = None
    request._body = push.body
