"""The least that anybody can write: what the hot paths are measured against."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

RETRYABLE = (40001, 40014, 42001)

_token: ContextVar[str | None] = ContextVar("by_hand", default=None)


class Snapshot:
    __slots__ = ("end", "value")

    def __init__(self, value: str, end: float) -> None:
        self.value, self.end = value, end


class Bare:
    """One attribute, one clock, one comparison."""

    __slots__ = ("clock", "snapshot")

    def __init__(self, token: str, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.snapshot = Snapshot(token, clock() + 7200)

    def get(self) -> str:
        snapshot = self.snapshot
        if self.clock() < snapshot.end:
            return snapshot.value
        raise LookupError

    async def aget(self) -> str:
        snapshot = self.snapshot
        if self.clock() < snapshot.end:
            return snapshot.value
        raise LookupError


class WSGI:
    """A middleware as one writes it: puts the token into the environ and a context variable; below some paths only."""

    __slots__ = ("_app", "_bare", "_below")

    def __init__(self, app: Any, bare: Bare, below: tuple[str, ...] | None = None) -> None:
        self._app, self._bare, self._below = app, bare, below

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        if self._below is not None and not environ["PATH_INFO"].startswith(self._below):
            return self._app(environ, start_response)
        token = environ["wxmiddleware.token"] = self._bare.get()
        mark = _token.set(token)
        try:
            return self._app(environ, start_response)
        finally:
            _token.reset(mark)


def wsgi(app: Any, bare: Bare, below: tuple[str, ...] | None = None) -> Any:
    """The same as a closure, which Python calls faster than an object."""

    def middleware(environ: dict[str, Any], start_response: Any) -> Any:
        if below is not None and not environ["PATH_INFO"].startswith(below):
            return app(environ, start_response)
        token = environ["wxmiddleware.token"] = bare.get()
        mark = _token.set(token)
        try:
            return app(environ, start_response)
        finally:
            _token.reset(mark)

    return middleware


class ASGI:
    """The same for ASGI."""

    __slots__ = ("_app", "_bare", "_below")

    def __init__(self, app: Any, bare: Bare, below: tuple[str, ...] | None = None) -> None:
        self._app, self._bare, self._below = app, bare, below

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] not in ("http", "websocket") or (
            self._below is not None and not scope["path"].startswith(self._below)
        ):
            await self._app(scope, receive, send)
            return
        token = scope.setdefault("state", {})["wx_token"] = self._bare.get()
        mark = _token.set(token)
        try:
            await self._app(scope, receive, send)
        finally:
            _token.reset(mark)


def asgi(app: Any, bare: Bare, below: tuple[str, ...] | None = None) -> Any:
    """The same as a closure."""

    async def middleware(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] not in ("http", "websocket") or (below is not None and not scope["path"].startswith(below)):
            await app(scope, receive, send)
            return
        token = scope.setdefault("state", {})["wx_token"] = bare.get()
        mark = _token.set(token)
        try:
            await app(scope, receive, send)
        finally:
            _token.reset(mark)

    return middleware


def noop_wsgi(app: Any) -> Any:
    """A middleware that does nothing."""

    def middleware(environ: dict[str, Any], start_response: Any) -> Any:
        return app(environ, start_response)

    return middleware


def noop_asgi(app: Any) -> Any:
    """A middleware that does nothing."""

    async def middleware(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await app(scope, receive, send)

    return middleware


def looks_at_answer(bare: Bare, *, method: bool = False) -> Callable[[Any], Any]:
    """A decorator that puts the token first (after ``self``), and calls once more if the answer says it is rejected."""

    def decorate(function: Any) -> Any:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            result = function(bare.get(), *args, **kwargs)
            if isinstance(result, dict) and result.get("errcode") in RETRYABLE:
                return function(bare.get(), *args, **kwargs)
            return result

        @functools.wraps(function)
        def method_wrapper(self: Any, *args: Any, **kwargs: Any) -> Any:
            result = function(self, bare.get(), *args, **kwargs)
            if isinstance(result, dict) and result.get("errcode") in RETRYABLE:
                return function(self, bare.get(), *args, **kwargs)
            return result

        return method_wrapper if method else wrapper

    return decorate


def looks_at_answer_async(bare: Bare) -> Callable[[Any], Any]:
    """The same for ``async def``."""

    def decorate(function: Any) -> Any:
        @functools.wraps(function)
        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            result = await function(await bare.aget(), *args, **kwargs)
            if isinstance(result, dict) and result.get("errcode") in RETRYABLE:
                return await function(await bare.aget(), *args, **kwargs)
            return result

        return wrapper

    return decorate
