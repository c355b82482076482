"""
A token in the state of every ASGI request and websocket::

    app = Starlette(routes=..., middleware=[Middleware(TokenMiddleware, provider=provider)])

    request.state.wx_token    # also wxmiddleware.current_token() and await wxmiddleware.acurrent_token()
"""

from __future__ import annotations

import inspect
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from wxmiddleware._middleware import (
    DEFAULT_WAIT,
    SORRY,
    UNKNOWN,
    check_app,
    check_exclude,
    check_selection,
    check_wait,
    is_provider,
    retry_after_seconds,
    tell_of_no_account,
    worth_waiting,
)
from wxmiddleware._rules.paths import Prefixes, without_root
from wxmiddleware.context import Binding, serving_var
from wxmiddleware.exceptions import ConfigurationError, TokenError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, MutableMapping

    from starlette.types import Receive, Scope, Send

    from wxmiddleware._engine.provider import TokenProvider

__all__ = ["TOKEN_KEY", "TokenMiddleware"]

#: Where the token stands in ``scope["state"]``. Absent, not ``None``, when there is none.
TOKEN_KEY = "wx_token"  # noqa: S105 - a key

_logger = logging.getLogger("wxmiddleware")


class TokenMiddleware:
    """
    Put a good token into the state of the requests and websockets it chooses, and serve `current_token` meanwhile.

    Others go through untouched. `current_token` is served in the app's lifespan, too, and in the tasks started there,
    if there is one provider. Works under asyncio and trio.

    Args:
        app: The ASGI application.
        provider: Gives the token; or a function of the scope, async or not, that returns a provider for this request
            (several accounts), or ``None`` to let it through untouched. If it raises a `LookupError`, the request is
            for no account that is known, and answered 404 (a websocket that cannot have that: closed with 1008).
        paths: Choose the requests at or below these paths, as the wrapped app sees them: without ``root_path``,
            wherever it is mounted. ``"/wechat"`` means ``/wechat`` and ``/wechat/x``, not ``/wechatx``; also
            ``//wechat`` and what else a router may read as that. ``$APPID$`` stands for any one part of a path.
        only: Choose the requests for which this function of the scope is true. Not together with `paths`.
        exclude: Never choose the requests at or below these paths, such as ``["/healthz", "/metrics"]``.
        wait: Seconds a request waits at most when the token is not at hand. Then it goes on without one. It does not
            wait while that is in vain: others have waited for the same refresh, or the last one has just failed.
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
        exclude: str | Collection[str] | None = None,
        wait: float = DEFAULT_WAIT,
        required: bool = False,
        warm: bool = False,
    ) -> None:
        check_app(app, speaks="asgi")
        self._app = app
        self._wait = check_wait(wait)
        prefixes = check_selection(paths, only)
        self._chosen = _excluding(check_exclude(exclude, prefixes), _chooser(prefixes) or only)
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
            if kind == "lifespan" and self._binding is not None:
                await self._live(scope, receive, send)
            else:
                await self._app(scope, receive, send)
            return
        if self._chosen is not None and not self._chosen(scope):
            await self._app(scope, receive, send)
            return
        binding = self._binding
        if binding is None:
            try:
                provider = await self._find_provider(scope)
            except LookupError as unknown:
                tell_of_no_account(unknown)
                await _answer(scope, receive, send, 404, UNKNOWN, closing=(1008, "Not found."))
                return
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
                retry = (b"retry-after", b"%d" % retry_after_seconds(error))
                await _answer(scope, receive, send, 503, SORRY, retry, closing=(1013, "Try again later."))
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

    async def _live(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve `current_token` in the app's start-up and shutdown, and in the tasks that are started there."""
        assert self._binding is not None  # who calls this has looked
        if self._warm:
            await self._warm_up()
        mark = serving_var.set((Binding(self._binding.provider), None))
        try:
            await self._app(scope, receive, send)
        finally:
            with suppress(ValueError):  # collected as garbage in another context, after its loop had ended
                serving_var.reset(mark)

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


def _excluding(excluded: tuple[str, ...], chosen: Callable[[Scope], bool] | None) -> Callable[[Scope], bool] | None:
    if not excluded:
        return chosen
    exactly = frozenset(excluded)
    below = tuple(path + "/" for path in excluded)

    def left(scope: Scope) -> bool:
        path = without_root(scope["path"], (scope.get("root_path") or "").rstrip("/"))
        return not (path.startswith(below) or path in exactly) and (chosen is None or chosen(scope))

    return left


async def _attach(binding: Binding, state: MutableMapping[str, Any]) -> TokenError | None:
    try:
        state[TOKEN_KEY] = await binding.provider.aget_token(timeout=worth_waiting(binding.provider, binding.wait))
    except TokenError as error:
        # An outer middleware may have left another account's token here.
        state.pop(TOKEN_KEY, None)
        return error
    return None


async def _answer(
    scope: Scope,
    receive: Receive,
    send: Send,
    status: int,
    body: bytes,
    *more: tuple[bytes, bytes],
    closing: tuple[int, str],
) -> None:
    prefix = ""
    if scope["type"] == "websocket":
        if (await receive())["type"] != "websocket.connect":
            return  # the client has gone
        if "websocket.http.response" not in (scope.get("extensions") or {}):
            await send({"type": "websocket.close", "code": closing[0], "reason": closing[1]})
            return
        prefix = "websocket."
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
        *more,
    ]
    if scope.get("method") == "HEAD":
        body = b""
    await send({"type": prefix + "http.response.start", "status": status, "headers": headers})
    await send({"type": prefix + "http.response.body", "body": body, "more_body": False})
