"""
A token in the state of every ASGI request and websocket::

    app = Starlette(routes=..., middleware=[Middleware(TokenMiddleware, provider=provider)])

    request.state.wx_token    # also wxmiddleware.current_token() and await wxmiddleware.acurrent_token()
"""

from __future__ import annotations

import inspect
import logging
from typing import TYPE_CHECKING, Any

from wxmiddleware._context import Binding, serving_var
from wxmiddleware._paths import Prefixes, without_root
from wxmiddleware._selection import (
    DEFAULT_WAIT,
    SORRY,
    check_app,
    check_selection,
    check_wait,
    is_provider,
    retry_after_seconds,
)
from wxmiddleware.exceptions import ConfigurationError, TokenError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, MutableMapping

    from starlette.types import Receive, Scope, Send

    from wxmiddleware._provider import TokenProvider

__all__ = ["TOKEN_KEY", "TokenMiddleware"]

#: Where the token stands in ``scope["state"]``. Absent, not ``None``, when there is none.
TOKEN_KEY = "wx_token"  # noqa: S105 - a key

_logger = logging.getLogger("wxmiddleware")


class TokenMiddleware:
    """
    Put a good token into the state of the requests and websockets it chooses, and serve `current_token` meanwhile.

    Others go through untouched, and so does lifespan unless `warm` is set. Works under asyncio and trio.

    Args:
        app: The ASGI application.
        provider: Gives the token; or a function of the scope, async or not, that returns a provider for this request
            (several accounts), or ``None`` to let it through untouched.
        paths: Choose the requests at or below these paths, as the wrapped app sees them: without ``root_path``,
            wherever it is mounted. ``"/wechat"`` means ``/wechat`` and ``/wechat/x``, not ``/wechatx``; also
            ``//wechat`` and what else a router may read as that. ``$APPID$`` stands for any one part of a path.
        only: Choose the requests for which this function of the scope is true. Not together with `paths`.
        wait: Seconds a request waits at most when the token is not at hand. Then it goes on without one.
        required: Answer 503 with ``Retry-After`` (to a websocket that cannot have that: close with 1013, try again
            later) instead of going on without a token.
        warm: Get a token when the server starts, before the app's own start-up. Waits up to the provider's own limit;
            if there is none to be had, that is logged and the app starts all the same.

    Raises:
        ConfigurationError: One of these cannot be right.
        ProviderClosed: The provider was closed; here, or in a later request.
    """

    __slots__ = ("_app", "_binding", "_chosen", "_find", "_required", "_wait", "_warm")

    def __init__(
        self,
        app: Callable[[Any, Any, Any], Awaitable[None]],
        provider: TokenProvider | Callable[[Scope], TokenProvider | Awaitable[TokenProvider | None] | None],
        *,
        paths: str | Collection[str] | None = None,
        only: Callable[[Scope], bool] | None = None,
        wait: float = DEFAULT_WAIT,
        required: bool = False,
        warm: bool = False,
    ) -> None:
        check_app(app, speaks="asgi")
        self._app = app
        self._wait = check_wait(wait)
        self._chosen = _chooser(check_selection(paths, only)) or only
        self._binding: Binding | None = None
        self._find: Any = provider
        if is_provider(provider, may_be_async=True):
            self._binding = self._bind(provider)
        elif warm:
            raise ConfigurationError("warm= needs one provider: at start-up there is no request to find one for.")
        self._required = required
        self._warm = warm

    # Frameworks type the three arguments differently; like this, all of theirs fit.
    async def __call__(
        self, scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
    ) -> None:
        """Serve one scope."""
        kind = scope["type"]
        if kind not in ("http", "websocket"):
            if self._warm and kind == "lifespan":
                await self._warm_up()
            await self._app(scope, receive, send)
            return
        if self._chosen is not None and not self._chosen(scope):
            await self._app(scope, receive, send)
            return
        binding = self._binding
        if binding is None:
            provider = await self._find_provider(scope)
            if provider is None:
                await self._app(scope, receive, send)
                return
            binding = self._bind(provider)

        state = scope.setdefault("state", {})
        token = binding.provider.peek()
        if token is not None:
            state[TOKEN_KEY] = token
        else:
            error = await _attach(binding, state)
            if error is not None and self._required:
                await _say_no(scope, receive, send, error)
                return

        mark = serving_var.set((binding, state))
        try:
            await self._app(scope, receive, send)
        finally:
            try:  # noqa: SIM105 - contextlib.suppress would cost each request an object and two calls
                serving_var.reset(mark)
            except ValueError:
                pass  # collected as garbage in another context, after its loop had ended: nothing of ours is set there

    def _bind(self, provider: Any) -> Binding:
        if not hasattr(provider, "peek"):
            raise ConfigurationError(
                f"The function that finds the provider returned a {type(provider).__name__}, not a TokenProvider."
            )
        return Binding(provider, TOKEN_KEY, self._wait)

    async def _find_provider(self, scope: Scope) -> Any:
        provider = self._find(scope)
        return await provider if inspect.isawaitable(provider) else provider

    async def _warm_up(self) -> None:
        # Before the app is called at all: one that knows no lifespan, and raises, is warm too.
        assert self._binding is not None  # __init__ saw to it
        try:
            await self._binding.provider.aget_token()
        except TokenError as error:
            _logger.warning("No token at start-up: %s Requests will try again.", error)


def _chooser(prefixes: tuple[str, ...] | None) -> Callable[[Scope], bool] | None:
    if prefixes is None:
        return None
    paths = Prefixes(prefixes)
    exactly, below, usual, matches = paths.exactly, paths.below, paths.usual, paths.matches

    def chosen(scope: Scope) -> bool:
        path: str = scope["path"]
        root: str | None = scope.get("root_path")
        if root:
            path = without_root(path, root.rstrip("/"))
        return path.startswith(below) or path in exactly or (not usual(path) and matches(path))

    return chosen


async def _attach(binding: Binding, state: MutableMapping[str, Any]) -> TokenError | None:
    try:
        state[TOKEN_KEY] = await binding.provider.aget_token(timeout=binding.wait)
    except TokenError as error:
        # An outer middleware may have left another account's token here.
        state.pop(TOKEN_KEY, None)
        return error
    return None


async def _say_no(scope: Scope, receive: Receive, send: Send, error: TokenError) -> None:
    prefix = ""
    if scope["type"] == "websocket":
        if (await receive())["type"] != "websocket.connect":
            return  # the client has gone
        if "websocket.http.response" not in (scope.get("extensions") or {}):
            await send({"type": "websocket.close", "code": 1013, "reason": "Try again later."})
            return
        prefix = "websocket."
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(SORRY)),
        (b"retry-after", b"%d" % retry_after_seconds(error)),
        (b"cache-control", b"no-store"),
    ]
    body = b"" if scope.get("method") == "HEAD" else SORRY
    await send({"type": prefix + "http.response.start", "status": 503, "headers": headers})
    await send({"type": prefix + "http.response.body", "body": body, "more_body": False})
