"""A provider that does as it is told, for what only touches a provider's surface."""

from __future__ import annotations

from typing import Any, cast

import anyio.lowlevel

from wxmiddleware._engine.provider import TokenProvider


class FakeProvider:
    """
    Hands out `at_hand` at once, and `fetched` only to those who wait; or raises `error` for these.

    `waits` lists the timeouts that were asked for, `drained` counts the calls of `drain`.
    """

    def __init__(
        self, at_hand: str | None = "T1", fetched: str = "T2", error: Exception | None = None, closed: bool = False
    ) -> None:
        self.at_hand = at_hand
        self.fetched = fetched
        self.error = error
        self.closed = closed
        self.waits: list[float | None] = []
        self.drained = 0

    def peek(self) -> str | None:
        return self.at_hand

    def get_token(self, rejected: str | None = None, *, timeout: float | None = None) -> str:
        self.waits.append(timeout)
        if self.error is not None:
            raise self.error
        self.at_hand = self.fetched
        return self.fetched

    async def aget_token(self, rejected: str | None = None, *, timeout: float | None = None) -> str:
        await anyio.lowlevel.checkpoint()
        return self.get_token(rejected, timeout=timeout)

    def drain(self) -> None:
        self.drained += 1


def fake_provider(*args: Any, **options: Any) -> Any:
    """Make a FakeProvider that type checkers take for the real one."""
    return cast("TokenProvider", FakeProvider(*args, **options))
