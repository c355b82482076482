"""
The way to the store: the only place that calls `load` and `save`, and the only one that knows the store's clock.

What is loaded comes out in times of this process's clock, and goes back in those of the store's (clock offset). So
everything above compares leases, back-offs and ends of life as they stand. Each save is a compare-and-swap.

When the store is called again. Every refresh begins with a read, and polls the store every 0.1 s while another process
holds the lease. Only to read, a refresh is started

- every `Timing.revalidate_every` seconds while the token is good (`StoreLink.revalidate_at`);
- at most once a second while no request is sent to WeChat (`StoreLink.may_read_in_backoff`);
- before the token is handed out, where each fetch ends the token before and the store was not read for a minute
  (`StoreLink.out_of_touch`).

After the store failed

- once or twice in a row: by the next refresh, as before;
- `FAILURE_THRESHOLD` times in a row: not for `OPEN_SECONDS`, as the circuit breaker is open;
- with a call that hung, which did not return for `CALL_TIMEOUT` and is noticed when another flight is started
  (`StoreLink.hangs`): not for `OPEN_AFTER_HANG`;
- then, until `RECOVERY_WINDOW` after the last failure, or after that pause, every `OPEN_SECONDS` or so.

While the circuit breaker is open these are tried all the same: a look whether the store is back, but not after a hang
(`Session.is_back`); the save of a refresh token (`Session.insist`); what a user asks for (`StoreLink.read`, `amend`).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final

from .._rules.breaker import CircuitBreaker
from .._rules.copies import replace
from .._rules.models import NEVER, Loaded, Record
from .._rules.policies import (
    CALL_TIMEOUT,
    OPEN_SECONDS,
    OUT_OF_TOUCH,
    Timing,
    no_token,
    revalidate_at,
    sanitized,
)
from .._runtime import fork
from .._runtime.clock import Clock
from ..exceptions import StoreError
from ..stores import TokenStore
from ..stores._codec import LaterVersion
from ..stores._sealed import readable
from .events import EventType

_TRIES = 20  # compare-and-swaps that other processes may win before `amend` gives up
_SLOW = 0.5  # seconds that a save may take without a lease being longer for it
_READ_IN_BACKOFF = 1.0  # seconds between two reads during a back-off
_CARRIES_ON = "This process carries on with what it has in memory."
_HANGS = "The store does not answer."
_NEVER_ANSWERED = " It has not answered since this process was started, so its settings are probably wrong."
_TIMES_KEPT = 256  # of calls, until they are told
_EMPTY = Record()  # one for all stores that have none


@dataclass(frozen=True, slots=True)
class CallTime:
    """How long a call to the store took: ``load`` or ``save``, and whether it failed."""

    operation: str
    seconds: float
    failed: bool


@dataclass(frozen=True, slots=True)
class Seen:
    """
    A record as it was found, and how to write over it.

    Attributes:
        record: In times of the process's clock.
        version: What a save must name (compare-and-swap); ``None`` if the store cannot be reached or written.
        offset: The clock offset: the process's clock minus the store's.
        problem: Why no process can use the token that is there; empty if there is none, or it can be used.
    """

    record: Record
    version: Any | None = None
    offset: float = 0.0
    problem: str = ""

    def store_time(self, now: float) -> float:
        """What the store's clock says when the process's says `now`. All processes that share the store agree on it."""
        return now - self.offset


class StoreLink:
    """
    What one process knows of one record in a store.

    It has a lock of its own, which is never held while the store is called.

    Args:
        store: Where the record is.
        key: Under which name.
        clock: The process's.

    Attributes:
        known: The record as the store last showed it or this process last wrote it, in times of the process's clock. It
            has what this process has spent while the store could not be written.
        save_takes: Seconds that the last save took, if they are worth reckoning with: a slow disk, a busy server.
        problem: What went wrong with the store last; empty if it has answered since.
        later: Whether the store holds what only a later version of this package can read, as far as is known.
        times: How long the last calls took, until the observers that add up have been told.
    """

    __slots__ = (
        "__weakref__",
        "_answered",
        "_breaker",
        "_checked_at",
        "_clock",
        "_lag_told",
        "_lock",
        "_pending",
        "_read_in_backoff_at",
        "key",
        "known",
        "later",
        "problem",
        "save_takes",
        "store",
        "times",
    )

    def __init__(self, store: TokenStore, key: str, clock: Clock) -> None:
        self.store: Final = store
        self.key: Final = key
        self.known = _EMPTY
        self.save_takes = 0.0
        self.later = False
        self.problem = ""
        self._clock = clock
        self._breaker = CircuitBreaker()
        self._answered = False  # whether the store has ever answered this process
        self._checked_at = NEVER  # when it was last asked, whether or not it answered
        self._read_in_backoff_at = NEVER
        self._lag_told = False  # whether the observers know that its reads lag behind its writes
        fork.begin(self)

    def after_fork(self) -> None:
        """Forget who was at the store in the parent, and a lock that another thread may have held."""
        # Re-entrant: a signal handler or a finaliser may come here while this very thread is inside.
        self._lock = threading.RLock()
        self.times: deque[CallTime] = deque(maxlen=_TIMES_KEPT)
        self._pending: Session | None = None  # who waits for the store's answer

    # When to call it

    def revalidate_at(self, now: float, timing: Timing, draw: float) -> float:
        """
        When to read the store again while the token is good.

        Soon after it was down other processes may still have to tell it what they fetched on their own.
        """
        with self._lock:
            return revalidate_at(now, OPEN_SECONDS if self._breaker.recovering(now) else timing.revalidate_every, draw)

    def recovering(self, now: float) -> bool:
        """Whether the store has failed a moment ago, so that processes may have fetched on their own."""
        with self._lock:
            return self._breaker.recovering(now)

    def may_read_in_backoff(self, now: float) -> bool:
        """Whether to read the store during a back-off: another process may have fetched a token."""
        return now >= self._read_in_backoff_at

    def reads_in_backoff(self, now: float) -> None:
        """Note that a read was started during a back-off."""
        with self._lock:
            self._read_in_backoff_at = now + _READ_IN_BACKOFF

    def out_of_touch(self, now: float) -> bool:
        """Whether the store, which others write to, was not read for so long that the token may be dead by now."""
        return self.store.shared and now - self._checked_at > OUT_OF_TOUCH

    def hangs(self, now: float) -> str:
        """
        Open the circuit breaker if a call has not returned although it should have.

        Its late answer then counts for nothing.

        Returns:
            What to tell the observers; empty if nothing hangs, or they know.
        """
        with self._lock:
            if self._pending is None:
                return ""
            self._pending, self.problem = None, _HANGS
            return self._problem(_HANGS) if self._breaker.trip(now) else ""

    # What is known

    def checked(self) -> None:
        """Note that the store was asked, also if it is down: callers wait for that once, not again and again."""
        with self._lock:
            self._checked_at = self._clock()

    def learn(self, record: Record) -> None:
        """Note what the store holds now, or would hold if it could be written."""
        with self._lock:
            self.known = record

    def took(self, seconds: float) -> None:
        """Note how long a save took."""
        with self._lock:
            self.save_takes = seconds if seconds > _SLOW else 0.0

    def lags(self) -> bool:
        """Note that the store does not show what it has just taken. ``True`` for the first time."""
        with self._lock:
            first, self._lag_told = not self._lag_told, True
            return first

    # What is brought to this process, and not fetched

    def read(self) -> Record:
        """
        Read the record.

        Raises:
            StoreError: The store failed.
        """
        return self._read()[0].record

    def amend(self, change: Callable[[Record, float], Record]) -> Record:
        """
        Change the record. If another process saves in between, it is done again (compare-and-swap).

        Args:
            change: Makes the new record of the old one, both in times of the process's clock, and of the store's own
                time, which generations are made of. If it gives the old one back, nothing is saved.

        Returns:
            The record as it is in the store now.

        Raises:
            StoreError: The store failed, or another process saved each time. Nothing has been saved then.
        """
        for _ in range(_TRIES):
            seen, now = self._read()
            record = change(seen.record, now)
            if record is seen.record:
                return record
            stored = record.shifted(-seen.offset)
            saved = self._safely("save", lambda: self.store.save(self.key, stored, seen.version))  # noqa: B023 - called here
            if saved is not None:
                self.learn(record)
                return record
        raise StoreError("The store takes nothing: somebody else has saved each time.")

    def _read(self) -> tuple[Seen, float]:
        before = self._clock()
        loaded: Loaded = self._safely("load", lambda: readable(self.store.load(self.key)))
        return _seen(loaded, before, self._clock()), loaded.now

    def _safely(self, operation: str, call: Callable[[], Any]) -> Any:
        try:
            return self.timed(operation, call)
        except StoreError:
            raise
        except Exception as exc:
            problem = _what(exc)
        raise StoreError(problem)

    def timed(self, operation: str, call: Callable[[], Any]) -> Any:
        """Call the store, and note how long that takes in real seconds, whatever clock a test has passed in."""
        begun, failed = perf_counter(), True
        try:
            answer = call()
            failed = False
        finally:
            self.times.append(CallTime(operation, perf_counter() - begun, failed))
        return answer

    # For sessions

    def begin(self, session: Session, *, probe: bool = False) -> bool:
        """
        Note that `session` calls the store now.

        Args:
            probe: Only to see whether it is back: also if it failed a moment ago, unless it hangs.

        Returns:
            ``False`` if it must not: the circuit breaker is open.
        """
        with self._lock:
            now = self._clock()
            if not self._breaker.may_probe(now) if probe else self._breaker.is_open(now):
                return False
            self._pending = session
            return True

    def succeeded(self, session: Session) -> bool:
        """Note that the call has returned. ``True`` if the observers are to be told that the store answers again."""
        with self._lock:
            self._answered, self.later, self.problem = True, False, ""
            return self._done(session) and self._breaker.success(tell=session.works)

    def failed(self, session: Session, problem: str, *, probe: bool = False, later: bool = False) -> str:
        """Note that the call has failed. Returns what to tell the observers; empty if they know."""
        with self._lock:
            self.later, self.problem = self.later or later, problem
            news = self._done(session) and self._breaker.failure(self._clock(), probe=probe)
            return self._problem(problem) if news else ""

    def broken_off(self, session: Session) -> None:
        """Note that the call neither returned nor failed: its thread ends."""
        with self._lock:
            self._done(session)

    def insist(self) -> None:
        """Close the circuit breaker: the next call must be tried."""
        with self._lock:
            self._breaker.close()

    def _done(self, session: Session) -> bool:
        """End a call. ``False`` if it was taken for hanging: then neither its answer nor its error counts."""
        if self._pending is not session:
            return False
        self._pending = None
        return True

    def _problem(self, what: str) -> str:
        """Say of an outage also if the store has never worked: then it is none."""
        return f"{what} {_CARRIES_ON}{'' if self._answered else _NEVER_ANSWERED}"


class Session:
    """
    One refresh's calls to the store, through the circuit breaker. What the store raises is told once, and stays here.

    Args:
        link: The way to the store.
        due: Called with the seconds within which the call that begins should end.
        note: Called with what the observers are to be told.

    Attributes:
        failed: Whether a call has failed, or was not made as the circuit breaker is open.
    """

    __slots__ = ("_due", "_link", "_note", "_unwritten", "failed")

    def __init__(
        self, link: StoreLink, *, due: Callable[[float], object], note: Callable[[EventType, str], object]
    ) -> None:
        self._link = link
        self._due = due
        self._note = note
        self._unwritten = False  # a save has failed, so that a read says nothing of whether the store works again
        self.failed = False

    @property
    def works(self) -> bool:
        """Whether the store can be used, as far as this refresh knows: it may be readable, and take no saves."""
        return not self.failed and not self._unwritten

    def load(self) -> Seen | None:
        """Read the record; again, if that took so long that the clock offset cannot be told. ``None`` if that fails."""
        link = self._link
        for _ in range(2):
            before = link._clock()
            loaded: Loaded | None = self._call("load", lambda: readable(link.store.load(link.key)))
            if loaded is None:
                return None
            after = link._clock()
            seen = _seen(loaded, before, after)
            if after - before < 1.0:
                break
        return seen

    def save(self, record: Record, over: Seen) -> Seen | None:
        """
        Write `record` in place of what was seen (compare-and-swap).

        Returns:
            What is in the store now; ``None`` if another process has saved meanwhile, or the store failed.
        """
        link, stored = self._link, record.shifted(-over.offset)
        before, self._unwritten = link._clock(), False
        version = self._call("save", lambda: link.store.save(link.key, stored, over.version))
        self._unwritten = self.failed
        if version is not None:
            link.took(link._clock() - before)
        return None if version is None else Seen(record, version, over.offset, over.problem)

    def insist(self) -> None:
        """Let the next call be tried, although others have failed."""
        self._link.insist()
        self.failed = False

    def is_back(self) -> bool:
        """Whether the store answers again, after it failed; then it is called again."""
        link = self._link
        self.failed = False
        answered: Loaded | None = self._call("load", lambda: readable(link.store.load(link.key)), probe=True)
        return answered is not None

    def _call(self, operation: str, call: Callable[[], Any], *, probe: bool = False) -> Any:
        link, problem = self._link, ""
        if not link.begin(self, probe=probe):
            self.failed = True
            return None
        self._due(CALL_TIMEOUT)
        try:
            answer = link.timed(operation, call)
        except Exception as exc:
            self.failed = True
            problem = link.failed(self, _what(exc), probe=probe, later=isinstance(exc, LaterVersion))
            answer = None
        except BaseException:
            link.broken_off(self)
            raise
        else:
            if link.succeeded(self):
                self._note(EventType.STORE_BACK, "The store answers again.")
        if problem:
            self._note(EventType.STORE_FAILED, problem)
        return answer


def _seen(loaded: Loaded, before: float, after: float) -> Seen:
    """
    Move a record to the process's clock, by the offset `before` the read: rather too early an end than too late.

    Only a lease ends rather too late, as if it had been read `after`: too early, it would not be honoured.
    """
    offset = before - loaded.now
    if loaded.record is None:
        return Seen(_EMPTY, loaded.version, offset)
    record = sanitized(loaded.record, loaded.now).shifted(offset)
    if record.lease is not None and after > before:
        record = replace(record, lease=replace(record.lease, until=record.lease.until + (after - before)))
    return Seen(record, loaded.version, offset, _unusable(loaded))


def _unusable(loaded: Loaded) -> str:
    record = loaded.record
    if record is None or record.value is None:
        return ""
    if loaded.now >= record.expires_at > NEVER:
        return f"its token is over since {loaded.now - record.expires_at:.0f} s"
    return no_token(record, loaded.now)


def _what(exc: Exception) -> str:
    """Say what went wrong. A client's own exception may quote its URL, so only its kind is said."""
    if isinstance(exc, StoreError):
        return str(exc)
    from ..stores._advice import advise  # not before a store fails

    return f"The store failed ({type(exc).__name__}). {advise(exc)}".rstrip()
