"""What this process has seen of its tokens, for a page: the last events, and when each token came and went."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from cachetools import LRUCache

from .._engine.events import EventType, TokenEvent
from .._engine.measures import Measure, Measurement
from .._runtime import fork

_EVENTS: Final = 500
_OF_ONE: Final = 64  # marks of one token's row: more than its hours can show
_TOKENS: Final = 1000
_LIFE: Final = 7500.0  # seconds: WeChat gives 7200

_NEW: Final = (EventType.FETCH_DONE, EventType.ADOPTED)
_TROUBLE: Final = (EventType.FETCH_FAILED, EventType.REJECTED)
_QUIET: Final = (EventType.FETCH_BEGUN, EventType.ADOPTED)

Whose = tuple[str, str | None, str]


@dataclass(frozen=True, slots=True)
class Mark:
    """
    One moment in a token's row.

    Attributes:
        at: When, in seconds since 1970.
        what: ``token``: a new one; ``rejected``; ``failed``: a fetch.
        generation: Which token, if that is known.
    """

    at: float
    what: str
    generation: int | None = None


class History:
    """An observer that keeps the last hours in memory. It holds what events hold: no token and no secret."""

    def __init__(self) -> None:
        self._events: deque[TokenEvent] = deque(maxlen=_EVENTS)
        self._pushes: dict[str, int] = {}
        self._pushed_at: float | None = None
        self._marks: LRUCache[Whose, deque[Mark]] = LRUCache(_TOKENS)
        fork.begin(self)

    def after_fork(self) -> None:
        """Forget a lock that another thread may have held. What the parent saw is true of the child's tokens, too."""
        self._lock = threading.RLock()

    def __call__(self, event: TokenEvent) -> None:
        """Take an event down."""
        with self._lock:
            if event.name not in _QUIET:
                self._events.append(event)
            what = "token" if event.name in _NEW else {EventType.REJECTED: "rejected"}.get(event.name, "failed")
            if event.name in (*_NEW, *_TROUBLE):
                marks = self._marks.setdefault((event.appid, event.app, event.kind), deque(maxlen=_OF_ONE))
                marks.append(Mark(event.at, what, event.generation))

    def measure(self, measurement: Measurement) -> None:
        """Count a request to a webhook."""
        if measurement.name is Measure.PUSH:
            with self._lock:
                self._pushes[measurement.outcome] = self._pushes.get(measurement.outcome, 0) + 1
                self._pushed_at = measurement.at

    def pushes(self) -> tuple[dict[str, int], float | None]:
        """How many requests the webhooks of this process have answered, by outcome, and when the last one came."""
        with self._lock:
            return dict(self._pushes), self._pushed_at

    def events(self, whose: Collection[Whose], most: int) -> list[TokenEvent]:
        """
        The last events that say something to a person, the newest first.

        Args:
            whose: Of which tokens: a page that shows one tenant's says nothing of the others'.
            most: How many at most.
        """
        with self._lock:
            found = [each for each in self._events if (each.appid, each.app, each.kind) in whose]
        return found[-most:][::-1]

    def marks(self, whose: Whose) -> list[Mark]:
        """What happened to one token, the oldest first."""
        with self._lock:
            return list(self._marks.get(whose, ()))


def lives(marks: list[Mark], now: float) -> list[tuple[float, float]]:
    """From when until when each token was in use: until the next one came, or its life was over."""
    begun = [mark.at for mark in marks if mark.what == "token"]
    return [(at, min(after, at + _LIFE)) for at, after in pairwise([*begun, now])]
