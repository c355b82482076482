"""What the tests of the retry rule share: a provider with a script, and one way to call in both colours."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel


class ScriptedProvider:
    """
    Gives `tokens` one after the other: the first until it is rejected, then the second, and so on.

    A token may be an exception, which is raised instead. `asked` lists every call as (rejected, timeout), `confirmed`
    the tokens that were confirmed.
    """

    def __init__(self, *tokens: str | BaseException) -> None:
        self.tokens = list(tokens or ("T1", "T2", "T3"))
        self.asked: list[tuple[str | None, float | None]] = []
        self.confirmed: list[str] = []
        self.colours: list[str] = []

    @property
    def rejected(self) -> list[str]:
        return [rejected for rejected, _ in self.asked if rejected is not None]

    def get_token(self, rejected: str | None = None, *, timeout: float | None = None) -> str:
        self.colours.append("thread")
        return self._give(rejected, timeout)

    async def aget_token(self, rejected: str | None = None, *, timeout: float | None = None) -> str:
        await anyio.lowlevel.checkpoint()
        self.colours.append("task")
        return self._give(rejected, timeout)

    def confirm(self, token: str) -> None:
        self.confirmed.append(token)

    def _give(self, rejected: str | None, timeout: float | None) -> str:
        self.asked.append((rejected, timeout))
        if rejected is not None and rejected == self.tokens[0]:
            self.tokens.pop(0)
        token = self.tokens[0]
        if isinstance(token, BaseException):
            raise token
        return token


class Thread:
    """Decorates and calls plain functions."""

    colour = "thread"

    def of(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return function

    def call(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)


class Task:
    """Decorates and calls async functions that do what the plain ones do."""

    colour = "task"

    def __init__(self, backend: str) -> None:
        self.backend = backend

    def of(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        async def twin(*args: Any, **kwargs: Any) -> Any:
            await anyio.lowlevel.checkpoint()
            return function(*args, **kwargs)

        return twin

    def call(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        async def main() -> Any:
            return await function(*args, **kwargs)

        return anyio.run(main, backend=self.backend)


FACES: dict[str, Thread | Task] = {"thread": Thread(), "asyncio": Task("asyncio"), "trio": Task("trio")}
REJECTED = {"errcode": 40001, "errmsg": "invalid credential, access_token is invalid or not latest"}
OK = {"errcode": 0, "errmsg": "ok"}
