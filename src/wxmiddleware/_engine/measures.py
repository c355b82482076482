"""
What is counted and timed, for observers that add up.

A `TokenEvent` is news: a person may want to read each. A `Measurement` is one of many of its kind, of which only sums
and distributions tell anything: a store is read every half minute, and a thousand callers may wait for one refresh. So
it is a type of its own: what logs events, or sends them to a chat, is not flooded, and where nobody adds up, none is
made.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from .flight import Flight
    from .token import Status


class Measure(StrEnum):
    """The kinds of measurement."""

    REQUEST = "request"  # one request to a token endpoint
    REFRESH = "refresh"  # a refresh has ended; of many only the store was read
    WAITING = "waiting"  # a caller begins to wait for a refresh; told in the caller's own thread or task
    WAIT = "wait"  # its wait has ended
    REJECTION = "rejection"  # a caller's call was rejected; told in the caller's own thread or task
    STORE_CALL = "store_call"
    PUSH = "push"  # a request to the webhook was answered
    HANDLING = "handling"  # a handler of the webhook begins
    HANDLED = "handled"  # and has ended


@dataclass(frozen=True, slots=True)
class Measurement:
    """
    One thing that was counted or timed.

    Attributes:
        name: What; one of `Measure`.
        outcome: What came of it, in a word: ``ok``, ``error`` or another one (docs/metrics.md).
        seconds: How long it took.
        at: The wall clock, in seconds since 1970, when it ended, or soon after.
        appid: Whose token, if it is about one.
        app: Which app of it: WeCom's AgentId, or the AppID of the platform that the account has authorised.
        kind: The kind of token, such as ``stable``.
        flight: The refresh that it belongs to, as a number of this process.
        reason: Why the token is refreshed.
        generation: Which token, as a number that rises.
        errcode: WeChat's error code.
        rid: WeChat's id of the request.
        host: Whom the request went to.
        store: Which store, if it is about that.
        operation: What was called: ``load`` or ``save`` of a store.
        status: The token's, after a refresh.
    """

    name: Measure
    outcome: str = "ok"
    seconds: float | None = None
    at: float = 0.0
    appid: str = ""
    app: str = ""
    kind: str = ""
    flight: int | None = None
    reason: str | None = None
    generation: int | None = None
    errcode: int | None = None
    rid: str | None = None
    host: str | None = None
    store: str | None = None
    operation: str | None = None
    status: Status | None = None


@runtime_checkable
class Meter(Protocol):
    """An observer that is told measurements, too."""

    def measure(self, measurement: Measurement) -> object:
        """Take a measurement. As of an observer, what it raises goes no further; it had better be quick."""


class Waiting:
    """
    One caller's wait for a token, which is measured if there is one at all.

    Args:
        tell: Told its begin and its end: what, and the fields of the `Measurement`.
    """

    __slots__ = ("_flight", "_since", "_tell")

    def __init__(self, tell: Callable[..., None]) -> None:
        self._tell = tell
        self._flight: int | None = None
        self._since = 0.0

    def for_flight(self, flight: Flight[Any]) -> None:
        """Note that the caller waits for this one now."""
        if self._flight is None and not flight.done:
            self._flight, self._since = flight.number, time.monotonic()
            self._tell(Measure.WAITING, flight=flight.number)

    def __enter__(self) -> Waiting:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._flight is not None:
            outcome = "ok" if kind is None else "error" if issubclass(kind, Exception) else "cancelled"
            self._tell(Measure.WAIT, outcome=outcome, seconds=time.monotonic() - self._since, flight=self._flight)
