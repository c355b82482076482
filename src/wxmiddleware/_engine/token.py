"""
What one process knows about one token, shared by all providers of the same account.

A `Keeper` holds the snapshot that is handed out, the flight that is under way (single flight: all callers wait for the
same refresh), and the failure that is remembered (negative caching). Under its lock it only decides; nothing is read,
sent, logged or called there.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from typing import Final, Protocol
from weakref import WeakValueDictionary, ref

from cachetools import LRUCache

from .._rules.errcodes import WRONG_SECRET
from .._rules.models import NOTHING, Account, Cause, Cooldown, Failure, Record, Snapshot
from .._rules.policies import (
    REFUSAL_CURED_AFTER,
    STORE_PATIENCE,
    SUSPICION_COUNT,
    SUSPICION_WINDOW,
    State,
    Timing,
    ahead_at,
    follows,
    minted_later,
    state,
)
from .._runtime import fork
from .._runtime.clock import Clock
from .._runtime.threads import threads_freeze
from ..sources import TokenSource
from ..stores import TokenStore
from .events import Event, Happening, Observer, tell
from .flight import Flight
from .link import StoreLink
from .refresh import ASK_WHO, TOO_SOON, Outcome, Reason, Refresh, overruled

_USABLE = (State.FRESH, State.AHEAD)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """
    Clocks, sleep and randomness of a keeper. A test passes its own.

    Attributes:
        clock: Seconds on a clock that nobody steps.
        wall: Seconds since 1970.
        sleep: Waits so many seconds between two reads of a store.
        draw: A random number from 0 to 1, for jitter.
    """

    clock: Clock
    wall: Clock
    sleep: Callable[[float], object]
    draw: Callable[[], float]


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


class Listener(Protocol):
    """An object with observers, such as a provider."""

    @property
    def observers(self) -> tuple[Observer, ...]: ...


class Keeper:
    """
    One token of one account in this process.

    Times are seconds on the process's clock.

    Args:
        account: Whose token.
        source: How it is fetched.
        store: Where its record is.
        plan: The provider's options.
        world: Clocks, sleep and randomness.
        alone: Whether the store is of this process only. Its key then tells secrets apart, too.

    Attributes:
        snapshot: The token that is handed out. It is replaced as a whole, and read without the lock.
        flight: The refresh under way that all callers wait for (single flight), or ``None``.
        cooldown: The failure that is remembered, and until when no request is sent (negative caching, back-off).
        link: The way to the store, and what is known of it.
        refusals_from: Until this time a rejection of the token has no effect (rate limit): it starts no fetch, the
            token stays in use, and who reports the rejection gets a failure.
        first_refusal: The generation that was rejected last, and when that happened for the first time.
        kept_generation: The generation of a token that was rejected, and stays in use as no fetch could replace it.
            Another rejection may start a fetch, and does not take it out of use.
        cured_generation: The generation of the token with which a rejected call was last repeated and accepted.
        dead: The last tokens that were rejected, eight at most (a denylist): none is handed out again, unless it is
            reinstated, or WeChat's endpoint names it as the current one.
        suspects: When young tokens of this process's own were last rejected; several of them tell of another system.
        lonely: Fetches in a row that rejections caused while the store could not be reached.
        not_allowed: The last failure for an IP address that WeChat does not allow; it names all such addresses.
        hearsay: The source's: whether a rejection is only a report, and not WeChat's own answer.
        rotates: The source's: whether each token is asked for with something that came with the one before.
        listeners: The providers whose observers are told.
    """

    __slots__ = (
        "__weakref__",
        "_lock",
        "account",
        "cooldown",
        "cured_generation",
        "dead",
        "first_refusal",
        "flight",
        "hearsay",
        "kept_generation",
        "link",
        "listeners",
        "lonely",
        "not_allowed",
        "plan",
        "refusals_from",
        "rotates",
        "snapshot",
        "source",
        "suspects",
        "world",
    )

    def __init__(
        self,
        account: Account,
        source: TokenSource,
        store: TokenStore,
        plan: Plan,
        world: Surroundings,
        *,
        alone: bool = False,
    ) -> None:
        self.account: Final = account
        self.source: Final = source
        self.plan: Final = plan
        self.world: Final = world
        self.rotates: Final = bool(getattr(source, "rotates", False))
        self.hearsay: Final = bool(getattr(source, "hearsay", False))
        # The key says whose token and which kind. What only this process keeps is for who knows the secret.
        secret = f":{account.mark}" if alone else ""
        key = f"wx:{account.appid}:{source.kind}:{account.fingerprint}{secret}"
        self.link: Final = StoreLink(store, key, world.clock)
        self.snapshot: Snapshot = NOTHING
        self.flight: Flight[Outcome] | None = None
        self.cooldown: Cooldown | None = None
        self.listeners: tuple[ref[Listener], ...] = ()
        self.refusals_from = -math.inf
        self.kept_generation = -1
        self.first_refusal = (0, -math.inf)
        self.cured_generation = -1
        self.dead: tuple[str, ...] = ()
        self.suspects: deque[float] | None = None
        self.not_allowed: Failure | None = None
        self.lonely = 0
        # Re-entrant: a signal handler or a finaliser may ask for a token while this very thread decides.
        self._lock = threading.RLock()
        fork.register(self)

    def after_fork(self) -> None:
        """Reset what a forked child must not inherit: the parent's flight, and a lock another thread may have held."""
        self._lock = threading.RLock()
        self.flight = None
        self.link.after_fork()

    @property
    def store(self) -> TokenStore:
        """Where the record is."""
        return self.link.store

    @property
    def key(self) -> str:
        """The record's name in the store."""
        return self.link.key

    # What a caller gets

    def decide(self, rejected: str | None = None, *, overtake: bool = False) -> Snapshot | Failure | Flight[Outcome]:
        """
        Say what a caller gets: a token, the reason why there is none, or a flight to wait for.

        Args:
            rejected: The token that an API call has just rejected.
            overtake: Start another refresh even if one is under way that should have ended.
        """
        fork.check()
        if self._lock._is_owned():  # type: ignore[attr-defined]  # as all have it for conditions
            return self._amid(rejected)
        events: list[Event] = []
        with self._lock:
            now = self.world.clock()
            accused = bool(rejected) and rejected == self.snapshot.value and not self.snapshot.refused
            kept = self._accuse(now, events) if accused else None
            answer, launch = (kept, None) if kept else self._answer(now, events, accused=accused, overtake=overtake)
            if isinstance(answer, Failure):
                self._keep()
        if launch is not None:
            self._launch(launch, awaited=answer is launch)
        else:  # a flight would tell them, before its own
            self.tell(events)
        return answer

    def _amid(self, rejected: str | None) -> Snapshot | Failure:
        """Answer a signal handler or a finaliser that has interrupted this very thread in a decision."""
        snapshot = self.snapshot
        return snapshot if self.plan.cache and self.usable() and snapshot.value != rejected else _AMID

    def _answer(
        self, now: float, events: list[Event], *, accused: bool, overtake: bool
    ) -> tuple[Snapshot | Failure | Flight[Outcome], Flight[Outcome] | None]:
        snapshot, flight = self.snapshot, self._under_way()
        current = State.REFUSED if accused else state(snapshot, now)
        if self.plan.cache and current in _USABLE:
            if now >= snapshot.hot_until and self._out_of_touch(now):
                # The token may have been replaced, and be dead by now: this one time callers wait until the store has
                # been read, unless it hangs.
                if flight is None:
                    look = self._flight(Reason.LOOK, now, events)
                    return look, look
                if now < flight.due:
                    return flight, None
            launch = self._renewal(now, current) if now >= snapshot.hot_until else None
            return self.snapshot, launch
        if flight is not None and not (overtake and now >= flight.due):
            return flight, None
        cooldown = self.cooldown
        # A rejection is news: what failed in passing may work now, and what was in doubt has been decided.
        mended = accused and cooldown is not None and overruled(cooldown, snapshot.generation)
        if cooldown is not None and now < cooldown.until and not mended:
            if (self.store.shared or self.plan.follow) and self.link.may_probe(now):
                self.link.probed(now)
                launch = self._flight(Reason.LOOK, now, events)
                return launch, launch
            return replace(cooldown.failure, retry_after=cooldown.until - now), None
        launch = self._flight(_REASONS.get(current, Reason.EXPIRED), now, events)
        return launch, launch

    def expect_the_end(self) -> None:
        """Renew the token with the next call, in the background, as if it were near its end."""
        with self._lock:
            self.snapshot = replace(self.snapshot, ahead_at=-math.inf, hot_until=-math.inf)

    def _out_of_touch(self, now: float) -> bool:
        """Whether the store was not read for so long that another process's fetch may have ended the token."""
        return self.source.kills and self.link.out_of_touch(now)

    def _renewal(self, now: float, current: State) -> Flight[Outcome] | None:
        """Start what is due while the token is good: a renewal ahead of its end, or a read of the store."""
        cooldown, flight = self.cooldown, self._under_way()
        if flight is not None and (now < flight.due or threads_freeze()):
            self._hot_until(max(flight.due, now + 1.0))
            return None
        if current is State.AHEAD and (cooldown is None or now >= cooldown.until):
            return self._flight(Reason.AHEAD, now, [])
        if now >= self.snapshot.look_at:
            return self._flight(Reason.LOOK, now, [])
        self._heat()
        return None

    def _flight(self, reason: Reason, now: float, events: list[Event]) -> Flight[Outcome]:
        refresh = Refresh(self, reason, self.snapshot.value if reason is Reason.REFUSED else None, events)
        if self.flight is not None:
            self.flight.overtaken = True
            problem = "" if threads_freeze() else self.link.hangs(now)
            if problem:
                events.append(self.event(Happening.STORE_FAILED, problem))
        # Reading a store that is in this process takes no time worth a thread.
        inline = reason is Reason.LOOK and not self.store.shared
        self.flight = Flight(
            refresh.run, mishap=refresh.mishap, landed=refresh.landed, due=now + STORE_PATIENCE, inline=inline
        )
        if not self._out_of_touch(now):
            self._hot_until(self.flight.due)
        return self.flight

    def _under_way(self) -> Flight[Outcome] | None:
        return None if self.flight is None or self.flight.done else self.flight

    def _launch(self, flight: Flight[Outcome], *, awaited: bool) -> None:
        if flight.inline:
            flight.fly()
        elif not awaited:
            flight.slip_away(self.stranded)
        elif not flight.take_off():
            self.stranded(flight)

    def _heat(self) -> None:
        """Hand the token out until something is due: a read of the store, or a renewal."""
        cooling = -math.inf if self.cooldown is None else self.cooldown.until
        self._hot_until(min(self.snapshot.look_at, max(self.snapshot.ahead_at, cooling)))

    def _hot_until(self, until: float) -> None:
        """Keep the token on the hot path until then, or until its end."""
        snapshot = self.snapshot
        if snapshot.value and not snapshot.refused and self.plan.cache:
            self.snapshot = replace(snapshot, hot_until=min(until, snapshot.expires_at))

    def _accuse(self, now: float, events: list[Event]) -> Failure | None:
        """
        Mark the token in use as rejected, so that it is handed out no more.

        Returns:
            ``None``, or why the rejection has no effect: rejections cause one fetch in `REFUSAL_PAUSE` (rate limit).
        """
        snapshot = self.snapshot
        first = self.first_refusal[0] != snapshot.generation
        if first:
            self.first_refusal = (snapshot.generation, now)
        if now < self.refusals_from:
            wait = self.refusals_from - now
            if first:
                events.append(self.event(Happening.KEPT, f"{TOO_SOON.message} {ASK_WHO}", seconds=wait))
            return replace(TOO_SOON, retry_after=wait)
        if snapshot.generation == self.kept_generation:
            return None  # callers whose calls were not rejected have it until a fetch has brought another
        self.dead = (*self.dead, snapshot.value)[-8:]
        self.snapshot = replace(snapshot, refused=True, hot_until=-math.inf)
        events.append(
            self.event(Happening.REFUSED, "WeChat rejected the token in use.", generation=snapshot.generation)
        )
        if first and snapshot.own and now - snapshot.received_at < SUSPICION_WINDOW:
            suspects = self.suspects = self.suspects or deque(maxlen=SUSPICION_COUNT)
            suspects.append(now)
            if len(suspects) == SUSPICION_COUNT and now - suspects[0] < SUSPICION_WINDOW:
                suspects.clear()
                events.append(self.event(Happening.OTHER_SYSTEM, _other_system(self.source)))
        return None

    def stranded(self, flight: Flight[Outcome], *, given_up: bool = False) -> None:
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
            if state(self.snapshot, self.world.clock()) in _USABLE:
                self.flight = None
                flight.overtaken = True  # nobody need wait for a thread to run it
                self._hot_until(self.world.clock() + 1.0)

    # What a refresh brings

    def usable(self) -> bool:
        """Whether there is a token to hand out."""
        return state(self.snapshot, self.world.clock()) in _USABLE

    def newest(self, record: Record) -> int:
        """The newest generation, of what is handed out and of what is in `record`."""
        mine, theirs = self.snapshot.generation, record.generation
        return theirs if follows(theirs, mine) else mine

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
            return False
        draw = self.world.draw()
        with self._lock:
            now = self.world.clock()
            if confirmed:
                self.dead = tuple(value for value in self.dead if value != record.value)
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
            if not newer or now >= record.expires_at or record.value in self.dead:
                return False
            ahead, look = (
                ahead_at(now, record.expires_at, self.plan.timing, draw),
                self.link.look_at(now, self.plan.timing, draw),
            )
            self.snapshot = Snapshot(
                value=record.value,
                generation=record.generation,
                expires_at=record.expires_at,
                ahead_at=ahead,
                look_at=look,
                hot_until=min(ahead, look) if self.plan.cache else -math.inf,
                sent_at=record.sent_at,
                received_at=record.received_at,
                own=own,
            )
            self.cooldown = None
            return True

    def amend(self, change: Callable[[Record, float], Record]) -> None:
        """
        Change the record with what was brought to this process and not fetched, and end the back-off here.

        Args:
            change: As for `StoreLink.amend`.

        Raises:
            StoreError: The store failed, or another process saved each time. Nothing has been saved then.
        """
        record = self.link.amend(change)
        self.link.learn(record)
        with self._lock:
            self.cooldown = None
        self.adopt(record, own=True)

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
                self._heat()
        if self.plan.follow:
            return
        record = self.link.amend(change)
        if record.cooldown is None:
            self.link.learn(record)
            self.adopt(record)

    def wrong_until(self) -> float:
        """
        Until when no request is sent since WeChat calls the secret wrong, if there is no good token either.

        Minus infinity if that is not so.
        """
        cooldown = self.cooldown
        if cooldown is None or cooldown.failure.cause is not Cause.FINAL:
            return -math.inf
        if cooldown.failure.errcode not in WRONG_SECRET:
            return -math.inf
        kept = self.snapshot.generation == self.kept_generation
        return -math.inf if self.usable() and not kept else cooldown.until

    def looked(self, look: Flight[Outcome] | None = None) -> None:
        """
        Note that the store has nothing newer, and read it again later.

        Args:
            look: The flight that ends with this, if it was started only to read the store. A token that is near its
                end is then renewed by another flight, which no caller waits for.
        """
        launch, draw = None, self.world.draw()
        with self._lock:
            now = self.world.clock()
            current = state(self.snapshot, now)
            if current in _USABLE:
                self.snapshot = replace(self.snapshot, look_at=self.link.look_at(now, self.plan.timing, draw))
                self._heat()
            if current is State.AHEAD and look is None:
                self._hot_until(self.snapshot.look_at)  # the store is down, and there is time to wait for it
            elif current is State.AHEAD and self.flight is look:
                self.flight = None
                launch = self._renewal(now, current)
        if launch is not None:
            self._launch(launch, awaited=False)

    def cool(self, cooldown: Cooldown, *, expires_at: float = math.inf) -> None:
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
                self._heat()
            self._keep()

    def landed(self, flight: Flight[Outcome]) -> None:
        """Forget a flight that has ended."""
        with self._lock:
            if self.flight is flight:
                self.flight = None

    def _keep(self) -> None:
        """
        Keep the rejected token in use: no fetch could replace it.

        An API may reject a token that all others accept. The caller whose call was rejected gets an error, and so does
        every later one. The token is renewed as soon as the back-off is over, unless the rejection was only a report
        (`hearsay`).
        """
        if self.snapshot.refused:
            self.kept_generation = self.snapshot.generation
            if not self.hearsay:
                self.snapshot = replace(self.snapshot, ahead_at=min(self.snapshot.ahead_at, self.world.clock()))
            self.acquit()

    def acquit(self) -> None:
        """Reinstate the rejected token: the rejection could not be acted upon, so it is handed out as before."""
        with self._lock:
            if self.snapshot.refused:
                self.dead = tuple(value for value in self.dead if value != self.snapshot.value)
                self.snapshot = replace(self.snapshot, refused=False)
                self._heat()

    def streak(self, record: Record, *, alone: bool = False) -> int:
        """
        Count the fetches in a row that rejections caused and that cured nothing so far.

        Args:
            record: The fleet's.
            alone: The store cannot be reached. Where each fetch revokes the token before, the processes of this fleet
                then end each other's tokens, and a call that is accepted now proves nothing: the next fetch ends it.
        """
        generation, refused_at = self.first_refusal
        lived = refused_at - record.received_at if generation == record.generation else 0.0
        if lived >= REFUSAL_CURED_AFTER:
            return 0
        uncured = 0 if self.cured_generation == record.generation else record.refusals
        return max(uncured, self.lonely) if alone and self.source.kills else uncured

    def cured(self, value: str) -> None:
        """Note that a rejected call was repeated with the token `value`, and accepted."""
        snapshot = self.snapshot
        if value == snapshot.value:
            self.cured_generation = snapshot.generation
        self.tell([self.event(Happening.HEALED, "A refused call was repeated and accepted.")])

    # Telling

    def listen(self, listener: Listener) -> None:
        """Tell the observers of `listener`, too, for as long as it exists. Only a weak reference is kept."""
        with self._lock:
            self.listeners = (*(each for each in self.listeners if each() is not None), ref(listener))

    def event(self, name: Happening, message: str, **fields: object) -> Event:
        """Make an event of this keeper's."""
        made = Event(name, self.account.appid, self.source.kind, message, at=self.world.wall())
        if name in _OF_THE_STORE:
            from ..stores._advice import name_of  # not before a store fails

            which = name_of(self.store)
            made = replace(made, store=which, message=f"{which}: {message}")
        return replace(made, **fields)  # type: ignore[arg-type]  # names and types are those of Event's fields

    def tell(self, events: list[Event]) -> None:
        """Tell the observers. Not under the lock."""
        if events:
            listeners = [listener for each in self.listeners if (listener := each()) is not None]
            tell(events, [observer for listener in listeners for observer in listener.observers])


_REASONS = {State.EMPTY: Reason.FIRST, State.EXPIRED: Reason.EXPIRED, State.REFUSED: Reason.REFUSED}

_OF_THE_STORE = (Happening.STORE_FAILED, Happening.STORE_BACK, Happening.STORE_LAGS)
_AMID = Failure(
    Cause.PASSING,
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
    elif source.forcible:
        who = (
            "another system replaces the token of this appid, for instance by stable_token with force_refresh. Have it "
            "stop that; a fetch from /cgi-bin/token is not the reason, as WeChat keeps the two kinds of token apart."
        )
    else:
        who = "another system fetches tokens for this appid. Let one system fetch, and the others read its store."
    return (
        f"Three tokens fetched here were refused within a quarter of an hour: {who} "
        "If no repeated call was accepted either, the API that refuses takes another kind of token."
    )


class _Registry:
    """Finds the keeper of an account, so that its providers share the cache and the flight (single flight)."""

    def __init__(self) -> None:
        self._keepers: WeakValueDictionary[Hashable, Keeper] = WeakValueDictionary()
        # An app may make a provider for each request; what was learnt in one (a failure, a rejection) serves the next.
        self._lately: LRUCache[int, Keeper] = LRUCache(1024)
        self._lock = threading.RLock()
        fork.register(self)

    def after_fork(self) -> None:
        self._lock = threading.RLock()

    def keeper(
        self,
        account: Account,
        source: TokenSource,
        store: TokenStore,
        plan: Plan,
        world: Surroundings,
        *,
        remember: bool,
    ) -> Keeper:
        """
        Find the keeper of these in this process, or make it.

        Args:
            remember: Keep it for a while even if nobody holds it: its store is in this process alone.
        """
        fork.check()
        # A source that compares by value is the same wherever it was made; one without a hash is only itself.
        which = source if isinstance(source, Hashable) else id(source)
        identity = (account, which, id(store), plan, world)
        with self._lock:
            found = self._keepers.get(identity)
            if found is None:
                # A finaliser may come here meanwhile, and make it.
                found = self._keepers.setdefault(identity, Keeper(account, source, store, plan, world, alone=remember))
            if remember:
                self._lately[id(found)] = found
            return found


registry = _Registry()
