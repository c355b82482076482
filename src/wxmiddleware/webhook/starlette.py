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

import anyio.to_thread

# Not for annotations alone: FastAPI reads the signature at run time.
from starlette.requests import Request
from starlette.responses import Response

from ._conversation import Answer, Options, Webhook
from ._gate import Push
from ._tasks import serve
from .asgi import MESSAGE_KEY
from .messages import Message
from .replies import Reply

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["webhook"]

_Said: TypeAlias = "Reply | str | None"
Handler: TypeAlias = "Callable[Concatenate[Message, ...], _Said | Awaitable[_Said]]"


def webhook(
    *, token: str | Collection[str], **options: Unpack[Options]
) -> Callable[[Handler], Callable[..., Awaitable[Response]]]:
    """
    Make an endpoint of a function that is given a message and returns what to answer: a reply, a string or ``None``.

    The endpoint answers GET and POST. The function may be async, or else runs in a thread. If it has a parameter called
    ``request`` it is given the request; in FastAPI its other parameters are dependencies. What is torn down when a
    request ends is gone after the deadline.

    Args:
        token: The Token that stands beside the URL on WeChat's site; while it is replaced, several.
        **options: As for `wxmiddleware.webhook.Webhook`.

    Raises:
        ConfigurationError: One of these cannot be right.
    """
    endpoint = Webhook(token=token, **options)

    def decorate(handler: Handler) -> Callable[..., Awaitable[Response]]:
        signature, wants_request = _signature_for(handler)
        is_async = inspect.iscoroutinefunction(handler)

        @functools.wraps(handler)
        async def view(request: Request, **kwargs: Any) -> Response:
            if wants_request:
                kwargs["request"] = request

            async def work(push: Push, deliver: Callable[[Answer], None]) -> None:
                setattr(request.state, MESSAGE_KEY, push.message)
                call = functools.partial(handler, push.message, **kwargs)
                said = await call() if is_async else await anyio.to_thread.run_sync(call)  # type: ignore[misc]
                deliver(endpoint.answer(push, said))

            answer = await serve(endpoint, request.scope, request.receive, work)
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
    rest = list(signature.parameters.values())[1:]
    first = inspect.Parameter("request", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Request)
    others = [each for each in rest if each.name != "request"]
    return signature.replace(parameters=[first, *others], return_annotation=Response), len(others) < len(rest)
