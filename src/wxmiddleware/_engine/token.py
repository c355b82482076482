"""
What one process knows about one token, shared by all providers of the same account.

A `CachedToken` holds the snapshot that is handed out, the flight that is under way (single flight: all callers wait
for the same refresh), and the failure that is remembered (back-off). Under its lock it only decides, by the table of
`_rules/decisions.py`: neither the store, the source nor an observer is called there, and nothing is logged. It may take
the link's lock, which is never held while the store is called, and when a store hangs it imports what names that store.
It does not know what a flight does: the registry hands it that.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol
from weakref import ref

from .._rules.copies import replace
from .._rules.decisions import USABLE, Flying, Reason, Step, View, due, next_move
from .._rules.errcodes import ADDRESS_REFUSED, WRONG_SECRET, with_addresses
from .._rules.identity import record_key
from .._rules.models import NEVER, NOTHING, Account, Cause, Cooldown, Failure, Record, RefreshResult, Snapshot
from .._rules.policies import (
    CALL_TIMEOUT,
    JUST_MINTED,
    KNOWN_AFTER,
    State,
    Timing,
    ahead_at,
    china_day,
    follows,
    minted_later,
    state,
)
from .._rules.rejections import ASK_WHO, Rejections, concerns, overruled
from .._runtime import fork
from .._runtime.clock import ticks_of
from .._runtime.runtime import Runtime
from .._runtime.threads import threads_freeze
from ..sources import TokenSource
from ..stores import TokenStore
from .events import EventType, Observer, TokenEvent, measure, meters_of, notify
from .flight import Flight
from .link import StoreLink
from .measures import Measure, Measurement, Meter

_LOOK_UP = 1.0  # seconds that the hot path goes by the cheapest clock without looking at the process's clock


@dataclass(frozen=True, slots=True)
class Plan:
    """
    A provider's options, checked.

    Attributes:
        timing: When a token is renewed, and how often a shared store is read.
        follow: Whether this process never fetches, since another service writes the store.
        cache: Whether the token in this process's memory is handed out.
        reuse: Whether the store's token is handed out.
    """

    timing: Timing
    follow: bool = False
    cache: bool = True
    reuse: bool = True


@dataclass(frozen=True, slots=True)
class Status:
    """
    The token's status, for a health page or a shell. It never holds the token.

    Attributes:
        appid: Whose.
        kind: The kind of token, such as ``stable``.
        host: Where it is fetched.
        state: ``empty``, ``fresh``, ``ahead``, ``expired`` or ``rejected``.
        expires_in: Seconds that are left of its life, or ``None`` without a token.
        expires_at: When that ends or has ended, in seconds since 1970, or ``None``.
        renews_in: Seconds until it is renewed ahead of its end, or ``None``.
        generation: A number that rises with every token; the same in all processes that share a store.
        backing_off: Seconds for which no request is sent to WeChat after a failure (back-off), or ``None``.
        failure: What went wrong then. Of a token that this process only follows, also that its owner is late.
        fetches_today: Requests to the token endpoint on this day of China's time, of all processes that share the
            store, as far as this process has read it. None are counted of a token that another service owns.
        forced_today: How many of them used the forced mode of the stable endpoint.
    """

    appid: str
    kind: str
    host: str
    state: str
    expires_in: float | None
    expires_at: float | None
    renews_in: float | None
    generation: int
    backing_off: float | None
    failure: str | None
    fetches_today: int
    forced_today: int


class Listener(Protocol):
    """An object with observers, such as a provider."""

    @property
    def observers(self) -> tuple[Observer, ...]: ...


class Work(Protocol):
    """What a flight does."""

    def run(self, flight: Flight[RefreshResult]) -> RefreshResult: ...
    def on_error(self, exc: BaseException) -> RefreshResult: ...
    def on_done(self, flight: Flight[RefreshResult]) -> None: ...


class CachedToken:
    """
    One token of one account in this process.

    Only its own methods change its attributes, under its lock, which guards changes of the ledger of rejections, too.

    Times are seconds on the process's clock.

    Args:
        account: Whose token.
        source: How it is fetched.
        store: Where its record is.
        plan: The provider's options.
        runtime: Clocks, sleep and randomness.
        refresh: Makes what a flight does: for this token, for a reason, for the value that an API rejected if that is
            the reason, after the events that are to be told first.
        alone: Whether the store is of this process only. Its key then tells secrets apart, too.

    Attributes:
        snapshot: The token that is handed out. It is replaced as a whole, and read without the lock.
        flight: The refresh under way that all callers wait for (single flight), or ``None``.
        cooldown: The failure that is remembered, and until when no request is sent (negative caching, back-off).
        link: The way to the store, and what is known of it.
        rejections: The ledger of rejections.
        ticks: The cheapest clock, which the hot path compares with the snapshot's `hot_ticks`.
        rejections_are_advisory: The source's: whether a rejection is only a report, and not WeChat's own answer.
        rotates: The source's: whether each token is asked for with something that came with the one before.
        cheap: The source's: whether somebody else owns the token, so that asking for it costs nothing.
        asks: The source's: whom it asks, for messages.
        listeners: The providers whose observers are told.
    """

    __slots__ = (
        "__weakref__",
        "_before",
        "_late",
        "_lock",
        "_not_allowed",
        "_refresh",
        "_try_again_at",
        "_unknown",
        "account",
        "asks",
        "cheap",
        "cooldown",
        "flight",
        "link",
        "listeners",
        "plan",
        "rejections",
        "rejections_are_advisory",
        "rotates",
        "runtime",
        "snapshot",
        "source",
        "ticks",
    )

    def __init__(
        self,
        account: Account,
        source: TokenSource,
        store: TokenStore,
        plan: Plan,
        runtime: Runtime,
        refresh: Callable[[CachedToken, Reason, str | None, list[TokenEvent]], Work],
        *,
        alone: bool = False,
    ) -> None:
        self.account: Final = account
        self.source: Final = source
        self.plan: Final = plan
        self.runtime: Final = runtime
        self.ticks: Final = ticks_of(runtime.clock)
        self.rotates: Final = bool(getattr(source, "rotates", False))
        self.cheap: Final = bool(getattr(source, "cheap", False))
        self.asks: Final[str] = getattr(source, "asks", "WeChat")
        self.rejections_are_advisory: Final = bool(getattr(source, "rejections_are_advisory", False))
        # What only this process keeps is for who knows the secret.
        key = record_key(account, source.kind) + (f":{account.mark}" if alone else "")
        self._refresh: Final = refresh
        self.rejections: Final = Rejections(revokes_previous=source.revokes_previous, cheap=self.cheap)
        self.link: Final = StoreLink(store, key, runtime.clock)
        self.snapshot: Snapshot = NOTHING
        self.flight: Flight[RefreshResult] | None = None
        self.cooldown: Cooldown | None = None
        self.listeners: tuple[ref[Listener], ...] = ()
        self._before: Snapshot = NOTHING  # the token before the one in use, if it was good when that came
        self._unknown: Snapshot | None = None  # a new token that the APIs do not know yet; the one before serves
        self._try_again_at = math.inf  # when that is over
        self._late = (0, 0.0)  # the token of which was told that its owner is late: number and end
        self._not_allowed: Failure | None = None  # the last for an IP address; it names all that WeChat does not allow
        # Re-entrant: a signal handler or a finaliser may ask for a token while this very thread decides.
        self._lock = threading.RLock()
        fork.register(self)

    def after_fork(self) -> None:
        """Reset what a forked child must not inherit: the parent's flight, and a lock another thread may have held."""
        self._lock = threading.RLock()
        self.flight = None

    @property
    def store(self) -> TokenStore:
        """Where the record is."""
        return self.link.store

    @property
    def key(self) -> str:
        """The record's name in the store."""
        return self.link.key

    # What a caller gets

    def decide(
        self, rejected: str | None = None, *, supersede: bool = False
    ) -> Snapshot | Failure | Flight[RefreshResult]:
        """
        Say what a caller gets: a token, the reason why there is none, or a flight to wait for.

        Args:
            rejected: The token that an API call has just rejected.
            supersede: Start another refresh even if one is under way that should have ended.
        """
        fork.check()
        if self._lock._is_owned():  # type: ignore[attr-defined]  # as all have it for conditions
            return self._amid(rejected)
        events: list[TokenEvent] = []
        with self._lock:
            now = self.runtime.clock()
            if self._unknown is not None:
                self._try_again(now, rejected)
            rejection = concerns(rejected, self.snapshot)
            if rejection and self._fall_back(now, events):
                rejection = False
            kept = self._reject(now, events) if rejection else None
            given = None if kept is None else (kept, None)
            answer, launch = given or self._answer(now, events, rejection=rejection, supersede=supersede)
            if isinstance(answer, Failure):
                self._keep()
        if launch is not None:
            self._launch(launch, awaited=answer is launch)
        else:  # a flight would tell them, before its own
            self.notify(events)
        return answer

    def look(self) -> Flight[RefreshResult] | None:
        """
        Read the shared store now, in the background, since another process may have saved a newer token.

        Nothing is fetched for it; but a token that is near its end is renewed, as after any read.

        Returns:
            What reads it: a flight of this call's, or the refresh under way. ``None`` if there is nothing to read.
        """
        fork.check()
        if not self.store.shared or self._lock._is_owned():  # type: ignore[attr-defined]  # as in `decide`
            return None
        with self._lock:
            now = self.runtime.clock()
            if self.flight is not None and self._view(now).busy:
                return self.flight
            flight = self._flight(Reason.REVALIDATE, now, [])
        self._launch(flight, awaited=False)
        return flight

    def _amid(self, rejected: str | None) -> Snapshot | Failure:
        """Answer a signal handler or a finaliser that has interrupted this very thread in a decision."""
        snapshot = self.snapshot
        return snapshot if self.plan.cache and self.usable() and snapshot.value != rejected else _AMID

    def _answer(
        self, now: float, events: list[TokenEvent], *, rejection: bool, supersede: bool
    ) -> tuple[Snapshot | Failure | Flight[RefreshResult], Flight[RefreshResult] | None]:
        view = self._view(now, rejection=rejection, supersede=supersede)
        step, reason = next_move(view)
        if step is Step.WAIT and self.flight is not None:
            return self.flight, None
        if step is Step.FAIL and self.cooldown is not None:
            return replace(self.cooldown.failure, retry_after=self.cooldown.until - now), None
        if reason is None:
            if view.hot:  # a second is over, and nothing is due all the same
                self._hot_until(self.snapshot.hot_until)
            else:
                self._stay_hot(view, now)
            return self.snapshot, None
        if view.backing_off and reason is Reason.REVALIDATE and step is Step.START:
            self.link.reads_in_backoff(now)
        flight = self._flight(reason, now, events)
        return (flight if step is Step.START else self.snapshot), flight

    def _view(self, now: float, *, rejection: bool = False, supersede: bool = False) -> View:
        """Gather what the decision depends on."""
        snapshot, cooldown = self.snapshot, self.cooldown
        flight = None if self.flight is None or self.flight.done else self.flight
        return View(
            state=State.REJECTED if rejection else state(snapshot, now),
            flying=Flying.NONE if flight is None else Flying.LIVE if now < flight.due else Flying.OVERDUE,
            hot=now < snapshot.hot_until or self._unknown is not None,
            cache=self.plan.cache,
            out_of_touch=self._out_of_touch(now),
            revalidation_due=now >= snapshot.revalidate_at,
            backing_off=cooldown is not None and now < cooldown.until,
            overruled=rejection and cooldown is not None and overruled(cooldown, snapshot.generation),
            may_read_in_backoff=(self.store.shared or self.plan.follow) and self.link.may_read_in_backoff(now),
            supersede=supersede,
            frozen=threads_freeze(),
        )

    def _stay_hot(self, view: View, now: float) -> None:
        """Hand the token out, as nothing is due, until something is or the refresh under way should have ended."""
        if view.busy and self.flight is not None:
            self._hot_until(max(self.flight.due, now + 1.0))
        else:
            self._stay_fresh()

    def expect_the_end(self) -> None:
        """Renew the token with the next call, in the background, as if it were near its end."""
        with self._lock:
            self.snapshot = replace(self.snapshot, ahead_at=-math.inf, hot_until=-math.inf, hot_ticks=-math.inf)

    def await_another(self, seconds: float) -> bool | None:
        """
        Wait where the token comes from until there is another, which is then asked for with the next call.

        A refresh under way is waited for first: it may bring another one itself.

        Returns:
            Whether there is another; ``None`` if one cannot wait there, or has no token.
        """
        wait: Callable[[str, float], bool | None] | None = getattr(self.source, "wait_for_another", None)
        if wait is None:
            return None
        began, flight = time.monotonic(), self.flight
        if flight is not None:
            flight.wait(seconds)
        snapshot, left = self.snapshot, seconds - (time.monotonic() - began)
        if not snapshot.value or left <= 0.0:
            return None
        try:
            news = wait(snapshot.value, left)
        except Exception:  # a user's source; what is wrong with it, the next fetch tells
            return None
        if news:
            self.expect_the_end()
        return news

    def _out_of_touch(self, now: float) -> bool:
        """Whether the store was not read for so long that another process's fetch may have ended the token."""
        return self.source.revokes_previous and self.link.out_of_touch(now)

    def _flight(self, reason: Reason, now: float, events: list[TokenEvent]) -> Flight[RefreshResult]:
        work = self._refresh(self, reason, self.snapshot.value if reason is Reason.REJECTED else None, events)
        if self.flight is not None:
            self.flight.supersede()
            problem = "" if threads_freeze() else self.link.hangs(now)
            if problem:
                events.append(self.event(EventType.STORE_FAILED, problem))
        # Reading a store that is in this process takes no time worth a thread.
        inline = reason is Reason.REVALIDATE and not self.store.shared
        end = now + CALL_TIMEOUT
        self.flight = Flight(work.run, on_error=work.on_error, on_done=work.on_done, due=end, inline=inline)
        if not self._out_of_touch(now):
            self._hot_until(self.flight.due)
        return self.flight

    def _launch(self, flight: Flight[RefreshResult], *, awaited: bool) -> None:
        if flight.inline:
            flight.run()
        elif not awaited:
            flight.start_soon(self.on_no_thread)
        elif not flight.start():
            self.on_no_thread(flight)

    def _stay_fresh(self) -> None:
        """Hand the token out until something is due: a read of the store, or a renewal."""
        backoff_end = -math.inf if self.cooldown is None else self.cooldown.until
        self._hot_until(min(self.snapshot.revalidate_at, max(self.snapshot.ahead_at, backoff_end)))

    def _hot_until(self, until: float) -> None:
        """Keep the token on the hot path until then, or until its end."""
        snapshot = self.snapshot
        if snapshot.value and not snapshot.rejected and self.plan.cache:
            until = min(until, snapshot.expires_at)
            self.snapshot = replace(snapshot, hot_until=until, hot_ticks=self._in_ticks(until))

    def _in_ticks(self, until: float) -> float:
        """Say when the hot path must look at the process's clock at the latest, on the clock that it goes by."""
        if self.ticks is self.runtime.clock:
            return until
        return self.ticks() + min(until - self.runtime.clock(), _LOOK_UP)

    def _fall_back(self, now: float, events: list[TokenEvent]) -> bool:
        """
        Hand out the token before the one in use for a moment, if that was rejected as soon as it was minted.

        WeChat's APIs may not know it yet. A fetch would end the token before, and bring another one that they do not
        know. ``False`` if there is no token before that may be good.
        """
        new, before = self.snapshot, self._before
        good = before.value and now < before.expires_at and not self.rejections.is_revoked(before.value)
        # What processes fetched on their own ends each other's tokens, and those before.
        if (
            not good
            or self.rejections_are_advisory
            or self.cheap  # nobody here knows when it was minted
            or not self.plan.cache
            or now - new.received_at >= JUST_MINTED
            or self.link.recovering(now)
        ):
            return False
        self._unknown, self._try_again_at = new, now + KNOWN_AFTER
        self.snapshot = before
        self._hot_until(self._try_again_at)
        events.append(self.event(EventType.KEPT, _NOT_KNOWN, generation=before.generation))
        return True

    def _try_again(self, now: float, rejected: str | None) -> None:
        """Hand the new token out again, if its time has come or the one before is rejected, too."""
        new, before = self._unknown, self.snapshot
        assert new is not None
        dead = bool(rejected) and rejected == before.value
        if now < min(self._try_again_at, before.expires_at) and not dead:
            return
        if dead:
            self._before = NOTHING
        self._unknown, self._try_again_at = None, math.inf
        self.snapshot = new
        self._stay_fresh()

    def _reject(self, now: float, events: list[TokenEvent]) -> Failure | None:
        """
        Mark the token in use as rejected, so that it is handed out no more.

        Returns:
            ``None``, or why the rejection has no effect: rejections cause one fetch in `REJECTION_PAUSE` (rate limit).
        """
        snapshot, report = self.snapshot, self.rejections.report(self.snapshot, now)
        if report.wait > 0:
            if report.first:
                events.append(self._kept_event(report.why, report.wait))
            return replace(report.why, retry_after=report.wait)
        if report.kept:
            return None  # callers whose calls were not rejected have it until a fetch has brought another
        self.snapshot = replace(snapshot, rejected=True, hot_until=-math.inf, hot_ticks=-math.inf)
        if report.first or not self.cheap:
            told = "WeChat rejected the token in use."
            events.append(self.event(EventType.REJECTED, told, generation=snapshot.generation))
        if report.foreign:
            events.append(self.event(EventType.OTHER_SYSTEM, _other_system(self.source)))
        return None

    def on_no_thread(self, flight: Flight[RefreshResult], *, given_up: bool = False) -> None:
        """
        No thread could be had. Whoever waits will run the flight; if nobody does, try again soon.

        Args:
            given_up: Somebody has waited for it, in a task, and has had none either.
        """
        with self._lock:
            if self.flight is not flight or flight.begun:
                return
            if given_up:
                self.flight = None
                self._keep()
            if state(self.snapshot, self.runtime.clock()) in USABLE:
                self.flight = None
                flight.supersede()  # nobody need wait for a thread to run it
                self._hot_until(self.runtime.clock() + 1.0)

    # What a refresh brings

    def usable(self) -> bool:
        """Whether there is a token to hand out."""
        return state(self.snapshot, self.runtime.clock()) in USABLE

    def newest(self, record: Record) -> int:
        """The newest generation, of what is handed out and of what is in `record`."""
        mine, theirs = (self._unknown or self.snapshot).generation, record.generation
        return theirs if follows(theirs, mine) else mine

    def latest(self) -> Snapshot:
        """The newest token of this process, also while the APIs do not know it yet and the one before is handed out."""
        return self._unknown or self.snapshot

    def adopt(self, record: Record, *, own: bool = False, confirmed: bool = False) -> bool:
        """
        Hand out the token of `record` from now on, if it is newer than what is handed out.

        Args:
            own: This process has fetched it.
            confirmed: WeChat's endpoint has just named it as the current one, so it is handed out although an API
                rejected it.

        Returns:
            Whether it is handed out from now on.
        """
        if record.value is None:
            self._withdraw(record)
            return False
        draw = self.runtime.random()
        with self._lock:
            now = self.runtime.clock()
            if confirmed:
                self.rejections.reinstate(record.value)
            if self._unknown is not None:
                # It is what others compare with; should it be good for longer, it may as well be tried now.
                self._try_again(self._try_again_at, None)
            life = record.expires_at - record.sent_at
            mine = self.snapshot.expires_at - self.snapshot.sent_at
            if record.value == self.snapshot.value and life < mine - 1.0 < math.inf:
                # Another process has reason to doubt that it lives so long. Only lives are compared: clocks may be set.
                self.snapshot = replace(self.snapshot, expires_at=self.snapshot.sent_at + life, ahead_at=now)
                self._hot_until(now)
            newer = follows(record.generation, self.snapshot.generation) or (
                record.value != self.snapshot.value
                and (
                    minted_later(record.sent_at, self.snapshot.received_at)
                    # Another program's, which counts nothing, or not as we do: what is in the store is what all meet.
                    or record.generation == self.snapshot.generation
                    or (self.plan.follow and not record.generation)
                )
            )
            if not newer or now >= record.expires_at or self.rejections.is_revoked(record.value, record.sent_at):
                return False
            self.rejections.replaced(self.snapshot, record, now)
            usable = state(self.snapshot, now) in USABLE and not self.rejections.is_kept(self.snapshot)
            self._before = self.snapshot if usable else NOTHING
            ahead = ahead_at(now, record.expires_at, self.plan.timing, draw)
            then = self.link.revalidate_at(now, self.plan.timing, draw)
            self.snapshot = Snapshot(
                value=record.value,
                generation=record.generation,
                expires_at=record.expires_at,
                ahead_at=ahead,
                revalidate_at=then,
                sent_at=record.sent_at,
                received_at=record.received_at,
                own=own,
            )
            self._hot_until(min(ahead, then))
            self.cooldown = None
            return True

    def _withdraw(self, record: Record) -> None:
        """Hand out nothing any more, if `record` says that an authorisation was taken back after the token came."""
        if not self.rotates or record.refresh is not None or not follows(record.generation, self.latest().generation):
            return
        with self._lock:
            self.snapshot = self._before = NOTHING
            self._unknown = None

    def still(self, record: Record, *, confirmed: bool = False) -> None:
        """
        Note that where the token comes from there is still the one in use: what is due next counts from now.

        Args:
            record: With its end, as it is known now.
            confirmed: As for `adopt`.
        """
        draw = self.runtime.random()
        with self._lock:
            now, snapshot = self.runtime.clock(), self.snapshot
            if record.value != snapshot.value or (snapshot.rejected and not confirmed):
                return
            self.cooldown = None
            self.snapshot = replace(
                snapshot,
                rejected=False,
                expires_at=record.expires_at,
                ahead_at=ahead_at(now, record.expires_at, self.plan.timing, draw),
                revalidate_at=self.link.revalidate_at(now, self.plan.timing, draw),
            )
            self._stay_fresh()

    def amend(self, change: Callable[[Record, float], Record]) -> None:
        """
        Change the record with what was brought to this process and not fetched, and end the back-off here.

        Args:
            change: As for `StoreLink.amend`.

        Raises:
            StoreError: The store failed, or another process saved each time. Nothing has been saved then.
        """
        record = self.link.amend(change)
        with self._lock:
            self.cooldown = None
        self.adopt(record, own=True)
        self.notify([])

    def resume(self, which: Callable[[Failure], bool] = lambda failure: True) -> None:
        """
        End the back-off after a failure of the kind, here and in the store: its reason has been mended.

        Args:
            which: Tells whether the back-off after this failure is to end.

        Raises:
            StoreError: The store failed. In this process the back-off is over all the same.
        """

        def change(record: Record, _: float) -> Record:
            cooldown = record.cooldown
            return record if cooldown is None or not which(cooldown.failure) else replace(record, cooldown=None)

        with self._lock:
            if self.cooldown is not None and which(self.cooldown.failure):
                self.cooldown = None
                self._stay_fresh()
        if self.plan.follow or self.link.read().cooldown is None:
            return
        record = self.link.amend(change)
        if record.cooldown is None:
            self.adopt(record)
        self.notify([])

    def lateness(self) -> str:
        """What to tell if the token's owner should have renewed it long ago, and this process may not; else empty."""
        snapshot, now = self.snapshot, self.runtime.clock()
        if not self.plan.follow or not (snapshot.ahead_at + snapshot.expires_at) / 2 <= now < snapshot.expires_at:
            return ""
        left, trouble = snapshot.expires_at - now, self.store_trouble()
        return f"{trouble or _OWNER_LATE} It ends in {left:.0f} s, and is handed out until then."

    def store_trouble(self) -> str:
        """What to tell who only follows if the store cannot be read; else empty."""
        if not self.link.problem:
            return ""
        from ..stores._advice import name_of  # not before a store fails

        return f"{_CANNOT_READ} {name_of(self.store)}: {self.link.problem}"

    def owner_is_late(self, events: list[TokenEvent]) -> None:
        """Tell the observers so, once for each token."""
        message = self.lateness()
        with self._lock:
            which = self.snapshot.generation, self.snapshot.expires_at
            if message and which != self._late:
                self._late = which
                left = which[1] - self.runtime.clock()
                events.append(self.event(EventType.OWNER_LATE, message, generation=which[0], seconds=left))

    def wrong_until(self) -> float:
        """
        Until when no request is sent since WeChat calls the secret wrong, if there is no good token either.

        Minus infinity if that is not so.
        """
        cooldown = self.cooldown
        if cooldown is None or cooldown.failure.cause is not Cause.PERMANENT:
            return -math.inf
        if cooldown.failure.errcode not in WRONG_SECRET:
            return -math.inf
        return -math.inf if self.usable() and not self.rejections.is_kept(self.snapshot) else cooldown.until

    def revalidated(self, flight: Flight[RefreshResult] | None = None) -> None:
        """
        Note that the store has nothing newer, and read it again later.

        Args:
            flight: The flight that ends with this, if it was started only to read the store. A token that is near its
                end is then renewed by another flight, which no caller waits for.
        """
        launch, draw = None, self.runtime.random()
        with self._lock:
            now = self.runtime.clock()
            current = state(self.snapshot, now)
            if current in USABLE:
                self.snapshot = replace(
                    self.snapshot, revalidate_at=self.link.revalidate_at(now, self.plan.timing, draw)
                )
                self._stay_fresh()
            if current is State.AHEAD and flight is None:
                self._hot_until(self.snapshot.revalidate_at)  # the store is down, and there is time to wait for it
            elif current is State.AHEAD and self.flight is flight and self._unknown is None:
                self.flight = None
                view = self._view(now)
                reason = due(view)
                launch = None if reason is None else self._flight(reason, now, [])
                if launch is None:
                    self._stay_hot(view, now)
        if launch is not None:
            self._launch(launch, awaited=False)

    def remember_failure(self, cooldown: Cooldown, *, expires_at: float = math.inf) -> None:
        """
        Remember a failure: until its end callers get it instead of another request (negative caching).

        Args:
            cooldown: Until when (on the process's clock), and why.
            expires_at: The token in use will not be good for longer than this.
        """
        with self._lock:
            self.cooldown = cooldown
            if self.snapshot.value:
                self.snapshot = replace(self.snapshot, expires_at=min(expires_at, self.snapshot.expires_at))
                self._stay_fresh()
            self._keep()

    def on_done(self, flight: Flight[RefreshResult]) -> None:
        """Forget a flight that has ended."""
        with self._lock:
            if self.flight is flight:
                self.flight = None

    def _keep(self) -> None:
        """
        Keep the rejected token in use: no fetch could replace it.

        An API may reject a token that all others accept. The caller whose call was rejected gets an error, and so does
        every later one. The token is renewed as soon as the back-off is over, unless the rejection was only a report
        (`rejections_are_advisory`).
        """
        if self.snapshot.rejected:
            self.rejections.keep(self.snapshot.generation)
            if not self.rejections_are_advisory:
                self.snapshot = replace(self.snapshot, ahead_at=min(self.snapshot.ahead_at, self.runtime.clock()))
            self.reinstate()

    def reinstate(self) -> None:
        """Reinstate the rejected token: the rejection could not be acted upon, so it is handed out as before."""
        with self._lock:
            if self.snapshot.rejected:
                self.rejections.reinstate(self.snapshot.value)
                self.snapshot = replace(self.snapshot, rejected=False)
                self._stay_fresh()

    # Rejections, of which the ledger knows

    def is_revoked(self, value: str | None, sent_at: float = NEVER) -> bool:
        """Whether this value was rejected lately, and is not handed out again; `sent_at` says when it was asked for."""
        return self.rejections.is_revoked(value, sent_at)

    def takes(self, token: str, *, usable: bool) -> bool:
        """
        Whether to take what a cheap source gives: not what was rejected, unless it insists and there is no other.

        Args:
            token: What it gives.
            usable: Whether there is another token for the waiters.
        """
        with self._lock:
            if self.rejections.insists(token, self.runtime.clock()) and not usable:
                self.rejections.reinstate(token)
            return not self.rejections.is_revoked(token)

    def streak(self, record: Record) -> int:
        """Count the fetches in a row that rejections caused and that cured nothing so far."""
        with self._lock:
            return self.rejections.streak(record)

    def is_news(self, record: Record) -> bool:
        """Whether the record counts fetches that cured nothing, and this process knows that the last one did."""
        return record.rejections > 0 and self.rejections.has_cured(record.generation)

    def held_back(self, record: Record, events: list[TokenEvent], *, alone: bool) -> Failure | None:
        """
        Say why the rejection causes no fetch (rate limit), and then hand the rejected token out as before.

        Args:
            record: The fleet's, in times of the process's clock.
            events: Gets what the observers are to be told: once for each token.
            alone: Whether the store cannot be reached.

        Returns:
            The failure, or ``None`` if the rejection may cause a fetch.
        """
        with self._lock:
            wait = self.rejections.wait(record, self.runtime.clock(), alone=alone)
        return self.throttle(wait, self.rejections.too_soon, events) if wait > 0 else None

    def throttle(self, wait: float, why: Failure, events: list[TokenEvent]) -> Failure:
        """
        Hand the rejected token out as before, and let rejections cause no fetch for so many seconds.

        Args:
            events: Gets what the observers are to be told: once for each token.
        """
        with self._lock:
            self._throttle(wait, self.runtime.clock(), why)
            if self.rejections.untold():
                events.append(self._kept_event(why, wait))
            self.reinstate()
        return replace(why, retry_after=wait)

    def _kept_event(self, why: Failure, wait: float) -> TokenEvent:
        message = why.message if self.cheap else f"{why.message} {ASK_WHO}"
        return self.event(EventType.KEPT, message, seconds=wait)

    def fetched(self, before: Record, record: Record, *, alone: bool) -> None:
        """
        Note that a rejection has caused a fetch, and begin its rate limit.

        Args:
            before: The fleet's record, over which the new token was written.
            record: The one with the new token.
            alone: Whether the store could not be written, so that only this process has it.
        """
        with self._lock:
            now = self.runtime.clock()
            self.rejections.fetched(before, alone=alone)
            self._throttle(self.rejections.pause(record, now), now)

    def _throttle(self, wait: float, now: float, why: Failure | None = None) -> None:
        """Let rejections cause no fetch for so long; another process may refresh, so a shared store is read sooner."""
        self.rejections.throttle(now + (min(wait, 1.0) if self.store.shared else wait), why)

    def with_addresses(self, failure: Failure, before: Failure | None) -> Failure:
        """Name all IP addresses that WeChat refused lately, if `failure` is for one; `before` is the fleet's last."""
        with self._lock:
            failure = with_addresses(failure, before, self._not_allowed)
            if failure.errcode in ADDRESS_REFUSED:
                self._not_allowed = failure
            return failure

    def cured(self, value: str) -> None:
        """
        Note that a rejected call was repeated with the token `value`, and accepted.

        The fleet must know it, or its rate limit for what cures nothing holds it back: a background read of the store
        says so in the record.
        """
        launch = None
        with self._lock:
            if value == self.snapshot.value:
                self.rejections.cured(self.snapshot.generation)
                idle = self.flight is None or self.flight.done
                if idle and self.store.shared and not self.plan.follow and self.is_news(self.link.known):
                    launch = self._flight(Reason.REVALIDATE, self.runtime.clock(), [])
        if launch is not None:
            self._launch(launch, awaited=False)
        self.notify([self.event(EventType.HEALED, "A rejected call was repeated and accepted.")])

    def gave_up(self, errcode: int | None) -> None:
        """Tell that a call whose token was rejected was not repeated, or in vain."""
        told = "A rejected call was not repeated, or not accepted either."
        self.notify([self.event(EventType.NOT_HEALED, told, errcode=errcode)])

    # Telling

    def status(self) -> Status:
        """Tell the token's status, from this process's memory: no I/O."""
        now, snapshot, cooldown, known = self.runtime.clock(), self.snapshot, self.cooldown, self.link.known
        wall = self.runtime.time()
        current, today = state(snapshot, now), china_day(wall)
        cooling = cooldown is not None and cooldown.until > now
        return Status(
            appid=self.account.appid,
            kind=self.source.kind,
            host=self.account.host,
            state=current.value,
            expires_in=None if current is State.EMPTY else max(0.0, snapshot.expires_at - now),
            expires_at=None if current is State.EMPTY else wall + snapshot.expires_at - now,
            renews_in=None if current is State.EMPTY else max(0.0, snapshot.ahead_at - now),
            generation=snapshot.generation,
            backing_off=cooldown.until - now if cooldown is not None and cooling else None,
            failure=cooldown.failure.message if cooldown is not None and cooling else self.lateness() or None,
            fetches_today=known.fetched if known.fetched_day == today else 0,
            forced_today=known.forced if known.forced_day == today else 0,
        )

    def listen(self, listener: Listener) -> None:
        """Tell the observers of `listener`, too, for as long as it exists. Only a weak reference is kept."""
        with self._lock:
            self.listeners = (*(each for each in self.listeners if each() is not None), ref(listener))

    def event(self, name: EventType, message: str, **fields: object) -> TokenEvent:
        """Make an event of this token's."""
        at, known = self.runtime.time(), {"app": self.account._app() or None, **fields}
        if name in _OF_THE_STORE:
            from ..stores._advice import name_of  # not before a store fails

            known = {"store": name_of(self.store), **known}
            message = f"{known['store']}: {message}"
        # Names and types are those of TokenEvent's fields.
        return TokenEvent(name, self.account.appid, self.source.kind, message, at=at, **known)  # type: ignore[arg-type]

    def notify(self, events: list[TokenEvent]) -> None:
        """Tell the observers, also of the calls to the store. Not under the lock."""
        if self.link.times:
            self._measure_calls()
        if events:
            notify(events, self._observers())

    def measure(self, name: Measure, **fields: Any) -> None:
        """Tell a measurement of this token's to the observers that add up; without one, none is made. As `notify`."""
        meters = meters_of(self._observers())
        if meters:
            self._measure(meters, name, fields)

    def _measure(self, meters: list[Meter], name: Measure, fields: dict[str, Any]) -> None:
        fields.setdefault("at", self.runtime.time())
        account = self.account
        measure(Measurement(name, appid=account.appid, app=account._app(), kind=self.source.kind, **fields), meters)

    def _measure_calls(self) -> None:
        meters, times = meters_of(self._observers()), self.link.times
        calls = []
        with suppress(IndexError):  # another thread tells, too
            while True:
                calls.append(times.popleft())
        if meters:
            from ..stores._advice import name_of  # not where nobody adds up

            name = name_of(self.store)
            for call in calls:
                outcome = "error" if call.failed else "ok"
                fields = {"outcome": outcome, "seconds": call.seconds, "store": name, "operation": call.operation}
                self._measure(meters, Measure.STORE_CALL, fields)

    def _observers(self) -> Iterator[Observer]:
        for each in self.listeners:
            listener = each()
            if listener is not None:
                yield from listener.observers


_NOT_KNOWN = (
    "WeChat rejected a token that it had just given: its APIs may not know it yet. For a moment the one before is used."
    " Nothing is fetched."
)
_OWNER_LATE = (
    "The process that may fetch has not renewed the token, which is near its end. Does it run, can it write the store, "
    "and does anybody ask it (`wxmiddleware keep` does)?"
)
_CANNOT_READ = "This process only follows, and cannot read the store, so it sees no newer token."
_OF_THE_STORE = (EventType.STORE_FAILED, EventType.STORE_BACK, EventType.STORE_LAGS)
_AMID = Failure(
    Cause.TRANSIENT,
    "A signal handler or a finaliser has asked for a token while its own thread was deciding about it. Ask again when "
    "that is over.",
    retry_after=1.0,
)


def _other_system(source: TokenSource) -> str:
    """Say which other system ends the tokens, and what to do; WeChat keeps the endpoints' tokens apart."""
    if source.kind == "classic":
        who = (
            "another system fetches from /cgi-bin/token for this appid. Take StableToken() here, the default: that "
            "endpoint does not touch its token. Or let one system fetch, and the others read its store (follow=True)."
        )
    elif source.can_force:
        who = (
            "another system replaces the token of this appid, for instance by stable_token with force_refresh. Have it "
            "stop that; a fetch from /cgi-bin/token is not the reason, as WeChat keeps the two kinds of token apart."
        )
    else:
        who = "another system fetches tokens for this appid. Let one system fetch, and the others read its store."
    return (
        f"Three tokens fetched here were rejected within a quarter of an hour: {who} "
        "If no repeated call was accepted either, the API that refuses takes another kind of token."
    )
