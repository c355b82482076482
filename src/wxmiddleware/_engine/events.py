"""
What happened to a token and its store, as events for observers; and what was measured, for those that add up.

An observer is a function of one `TokenEvent`. Observers are called outside every lock, after the callers have their
token, or, where no refresh is started, in the asking thread right before its answer; so they had better be quick. What
they raise is logged and goes no further. Standard logging is such an observer, and always there. An observer with a
method ``measure`` is told measurements, too (`measures.py`).

An observer is one provider's (``observers=``), or the whole process's (`observe`).

The logger has no handler of its own, not even a NullHandler: where nobody has configured logging, Python itself shows
warnings and errors on the standard error (`logging.lastResort`), and a NullHandler would swallow them.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from .._rules.models import Cause
from .._runtime import fork
from .._runtime.checks import is_async
from ..exceptions import ConfigurationError
from .measures import Measurement, Meter

logger = logging.getLogger("wxmiddleware")


class EventType(StrEnum):
    """The kinds of event."""

    FETCH_BEGUN = "fetch_begun"
    FETCH_DONE = "fetch_done"
    FETCH_FAILED = "fetch_failed"
    ADOPTED = "adopted"  # another process's token was taken from the store
    REJECTED = "rejected"  # an API rejected the token in use
    KEPT = "kept"  # a rejection causes no fetch: it came too soon (rate limit), the budget is spent, or the like
    HEALED = "healed"  # a call was rejected, repeated with another token, and accepted
    NOT_HEALED = "not_healed"  # a call was rejected, and not repeated, or in vain
    BACKING_OFF = "backing_off"  # no request for a while (back-off): a fetch failed, or the day's budget is spent
    OTHER_SYSTEM = "other_system"  # another system seems to fetch tokens for this account
    OWNER_LATE = "owner_late"  # this process only follows, and the token was not renewed long after it should have been
    STORE_FAILED = "store_failed"
    STORE_BACK = "store_back"
    STORE_LAGS = "store_lags"  # the store's reads do not show yet what was saved
    MIRROR_FAILED = "mirror_failed"  # a token could not be written where another program looks
    MIRROR_BACK = "mirror_back"


@dataclass(frozen=True, slots=True)
class TokenEvent:
    """
    One thing that happened.

    Attributes:
        name: What; one of `EventType`.
        appid: Whose token.
        kind: The kind of token, such as ``stable``.
        app: Which app of it: WeCom's AgentId, or the AppID of the platform that the account has authorised.
        message: A sentence for people. Neither it nor anything else here holds a token or a secret.
        generation: Which token, as a number that rises.
        seconds: How long it took, or how long it will (see the name).
        reason: Why a token was fetched: ``first``, ``ahead``, ``expired``, ``rejected``.
        cause: Why a fetch failed.
        errcode: WeChat's error code.
        rid: WeChat's id of the request.
        store: Which store, if it is about that: its kind and where it is, without a password.
        mirror: Which mirror, if it is about that: the program's layout and the key, table or file.
        at: The wall clock, in seconds since 1970, when it happened.
    """

    name: EventType
    appid: str
    kind: str
    message: str
    generation: int | None = None
    seconds: float | None = None
    reason: str | None = None
    cause: Cause | None = None
    errcode: int | None = None
    rid: str | None = None
    store: str | None = None
    mirror: str | None = None
    app: str | None = None
    at: float = 0.0


Observer = Callable[[TokenEvent], object]

_LEVELS = {
    EventType.FETCH_BEGUN: logging.DEBUG,
    EventType.ADOPTED: logging.DEBUG,
    EventType.FETCH_FAILED: logging.WARNING,
    EventType.BACKING_OFF: logging.WARNING,
    EventType.REJECTED: logging.WARNING,
    EventType.KEPT: logging.WARNING,
    EventType.OTHER_SYSTEM: logging.WARNING,
    EventType.OWNER_LATE: logging.WARNING,
    EventType.STORE_FAILED: logging.WARNING,
    EventType.STORE_LAGS: logging.WARNING,
    EventType.MIRROR_FAILED: logging.WARNING,
}


def log(event: TokenEvent) -> None:
    """The observer that is always there: logger ``wxmiddleware``, the event's fields as ``wx_…`` in ``extra``."""
    level = _LEVELS.get(event.name, logging.INFO)
    if logger.isEnabledFor(level):
        values = ((name, getattr(event, name)) for name in TokenEvent.__match_args__)
        fields = {f"wx_{name}": value for name, value in values if value is not None}
        logger.log(
            level, "%s (appid %s, %s): %s", event.name.value, event.appid, event.kind, event.message, extra=fields
        )


def checked_observers(observers: Iterable[Observer]) -> tuple[Observer, ...]:
    """
    The observers, each of which can be called.

    Raises:
        ConfigurationError: One is no function, or an asynchronous one: nobody would await it.
    """
    if not isinstance(observers, Iterable) or isinstance(observers, (str, bytes)):
        raise ConfigurationError("observers must be a list of functions, as in observers=[function].")
    observers = tuple(observers)
    for observer in observers:
        if not callable(observer):
            raise ConfigurationError(f"An observer is a function of one event, not {type(observer).__name__}.")
        if is_async(observer) or is_async(getattr(observer, "measure", None)):
            raise ConfigurationError(
                "An observer must not be async: it is called in the thread of the refresh. "
                "Have it hand the event over, as with loop.call_soon_threadsafe(queue.put_nowait, event)."
            )
    return observers


class _Everywhere:
    """The observers of the whole process."""

    def __init__(self) -> None:
        self.observers: tuple[Observer, ...] = ()
        fork.begin(self)

    def after_fork(self) -> None:
        """Forget a lock that another thread may have held. A child has its parent's observers."""
        self._lock = threading.RLock()

    def add(self, observer: Observer) -> None:
        with self._lock:
            self.remove(observer)
            self.observers = (*self.observers, *checked_observers([observer]))

    def remove(self, observer: Observer) -> None:
        with self._lock:
            self.observers = tuple(each for each in self.observers if each != observer)


_everywhere = _Everywhere()


def observe(observer: Observer) -> None:
    """
    Have an observer told what happens to each token and store of this process, whichever provider it is of.

    Args:
        observer: As for ``TokenProvider(observers=...)``. One that is there already is told once.

    Raises:
        ConfigurationError: It is no function, or an asynchronous one.
    """
    _everywhere.add(observer)


def unobserve(observer: Observer) -> None:
    """Tell an observer no more that was given to `observe`; nothing happens if it was not."""
    _everywhere.remove(observer)


def notify(events: Iterable[TokenEvent], observers: Iterable[Observer]) -> None:
    """Tell each event to each observer, and survive what they raise; nobody is left to be told at the very end."""
    if sys.is_finalizing():
        return
    everyone = (log, *_everywhere.observers, *observers)
    for event in events:
        for observer in everyone:
            _tell(observer, event)


def meters_of(observers: Iterable[Observer] = ()) -> list[Meter]:
    """Those of the observers, and of the whole process's, that add up."""
    everyone: tuple[object, ...] = (*_everywhere.observers, *observers)
    return [each for each in everyone if isinstance(each, Meter)]


def measure(measurement: Measurement, meters: Iterable[Meter]) -> None:
    """Tell a measurement to each of these, and survive what they raise."""
    if not sys.is_finalizing():
        for meter in meters:
            _tell(meter.measure, measurement)


def _tell(observer: Callable[[Any], object], what: object) -> None:
    try:
        observer(what)
    except Exception as exc:  # an observer must not break a refresh; its error may quote anything
        with suppress(Exception):
            logger.error("An observer of wxmiddleware's events raised %s.", type(exc).__name__)
