"""
For Starlette apps::

    app = init_app(Starlette(routes=...), provider)

    async def wechat(request):
        await get_token(request)    # also request.state.wx_token
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, TypeVar, cast

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

# Not for annotations alone: FastAPI reads them at run time.
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse

from wxmiddleware._engine.provider import TokenProvider
from wxmiddleware._middleware import SORRY, retry_after_seconds, tell_of_no_token
from wxmiddleware.asgi import TokenMiddleware
from wxmiddleware.context import acurrent_token, serving_now
from wxmiddleware.exceptions import ConfigurationError, NoProvider, TokenError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Unpack

    from starlette.types import Scope

    from wxmiddleware._middleware import Options

    class AsgiOptions(Options, total=False):
        warm: bool


__all__ = ["get_token", "init_app", "provider_from"]

StarletteT = TypeVar("StarletteT", bound=Starlette)

_NAME = "wxmiddleware"


def init_app(
    app: StarletteT,
    provider: TokenProvider | Callable[[Scope], TokenProvider | Awaitable[TokenProvider | None] | None],
    **options: Unpack[AsgiOptions],
) -> StarletteT:
    """
    Give the requests and websockets of `app` a token, and return `app`.

    Args:
        app: The Starlette or FastAPI app, not started yet.
        provider: As in `wxmiddleware.asgi.TokenMiddleware`.
        **options: ``paths``, ``only``, ``exclude``, ``wait``, ``required`` and ``warm``, as there.

    An endpoint that fails for want of a token (`TokenError`) is answered 503 with ``Retry-After``, as an
    `HTTPException` with that status would be, and a websocket is closed with 1013; unless the app has an exception
    handler for it, or for one of its bases.

    Raises:
        ConfigurationError: An argument is wrong, or `app` has been given to this function before.
        ProviderClosed: The provider was closed.
        RuntimeError: The app has started.
    """
    if hasattr(app.state, _NAME):
        raise ConfigurationError("init_app() was called for this app before. Call it once for each app.")
    # Starlette builds its middleware at the first request. What is wrong with ours should be said now.
    TokenMiddleware(app, provider, **options)
    app.add_middleware(TokenMiddleware, provider, **options)
    setattr(app.state, _NAME, provider)
    app.exception_handlers.setdefault(TokenError, _answer)
    return app


async def _answer(request: Any, error: Exception) -> Any:
    """Answer a request or a websocket whose endpoint has no token."""
    assert isinstance(error, TokenError)  # it is registered for those
    handlers: Any = request.app.exception_handlers
    # A handler of the app's for all errors is for this one, too.
    theirs = next((handlers[kind] for kind in TokenError.__mro__[1:] if kind in handlers), None)
    if theirs is not None:
        return await _call(theirs, request, error)
    tell_of_no_token(error)
    if request.scope["type"] == "websocket":
        return await request.close(1013, "Try again later.")
    unavailable = no_token(error)
    theirs = handlers.get(503) or handlers.get(HTTPException)
    if theirs is not None:
        return await _call(theirs, request, unavailable)
    return PlainTextResponse(unavailable.detail, 503, unavailable.headers)


async def _call(handler: Any, request: Any, error: Exception) -> Any:
    if inspect.iscoroutinefunction(handler):
        return await handler(request, error)
    return await run_in_threadpool(handler, request, error)


def no_token(error: TokenError) -> HTTPException:
    """Make the 503 of an endpoint that has no token."""
    return HTTPException(503, SORRY.decode().strip(), {"Retry-After": str(retry_after_seconds(error))})


def provider_from(request: HTTPConnection) -> TokenProvider:
    """
    Get the provider of `request`, or of its app if the middleware did not choose this request.

    Raises:
        NoProvider: There is none, or the app has several accounts and this request belongs to none.
    """
    serving = serving_now()
    if serving is not None:
        return serving[0].provider
    app = request.scope.get("app")
    provider: Any = getattr(getattr(app, "state", None), _NAME, None)
    if not hasattr(provider, "peek"):
        raise NoProvider(
            "There is no provider for this request. Call init_app(app, provider) first, and check that the function "
            "which finds a provider finds one for it."
        )
    return cast("TokenProvider", provider)


async def get_token(request: HTTPConnection) -> str:
    """
    Get the token that is good now for `request`, waiting no longer than the middleware's ``wait``.

    Raises:
        NoProvider: Nobody knows whose token to use.
        TokenRefused: The account or its secret is wrong.
        TokenUnavailable: No token can be had at the moment.
    """
    if serving_now() is not None:
        return await acurrent_token()
    return await provider_from(request).aget_token()
