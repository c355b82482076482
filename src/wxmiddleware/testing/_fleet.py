"""
A fleet in a test's hand: processes that share a store and nothing else, a token endpoint with a script, and a clock.

A process may be frozen: right after it has looked at the store, or right after it has claimed the lease.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from .._engine.provider import TokenProvider
from .._rules.models import Account, Cause, Failure, Grant, Loaded, Record
from .._runtime.clock import Clock
from .._runtime.runtime import Runtime
from ..simulator import SimulatedClock
from ..stores import TokenStore
from ._data import ACCOUNT

PATIENCE = 30.0
_POLL = 0.01
# Servers expire by real time. So far ahead of it, nothing ends there before it ends in the test.
_HEAD_START = 3600.0


class ClockedStore:
    """
    A store whose clock is in the test's hand, so that leases and tokens end without waiting.

    Everything else is the store's own. Start the clock at ``time.time()`` or later and only advance it, as the store
    may drop records by real time.

    Args:
        store: Where the records are.
        clock: What `Loaded.now` is read from; give the provider the same.
    """

    def __init__(self, store: TokenStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def __repr__(self) -> str:
        return f"ClockedStore({self._store!r})"

    @property
    def shared(self) -> bool:
        """The store's own."""
        return self._store.shared

    def load(self, key: str) -> Loaded:
        """Read the record of `key`, its version, and the test's clock."""
        return replace(self._store.load(key), now=self._clock())

    def save(self, key: str, record: Record, version: Any) -> Any | None:
        """Replace the record of `key`, if nothing was saved since `version` was loaded."""
        return self._store.save(key, record, version)


class Pause:
    """A place where one thread stands still until the test lets it go on."""

    def __init__(self) -> None:
        self._reached = threading.Event()
        self._over = threading.Event()

    def stand(self) -> None:
        """Stand still."""
        self._reached.set()
        self._over.wait(2 * PATIENCE)

    def reached(self) -> bool:
        """Wait until a thread stands here."""
        return self._reached.wait(PATIENCE)

    def end(self) -> None:
        """Let it go on."""
        self._over.set()


class ScriptedSource:
    """
    A token endpoint that answers what the test says, and counts.

    Args:
        answers: A token, a `Grant` or a `Failure` each, in order. Beyond them every fetch fails.

    Attributes:
        fetches: How often it was asked.
    """

    kind = "stable"
    timeout = 5.0
    refresh_ahead = 290.0
    revokes_previous = False
    can_force = False

    def __init__(self, *answers: str | Grant | Failure) -> None:
        self.fetches = 0
        self._answers: deque[tuple[str | Grant | Failure, Pause | None]] = deque()
        self._lock = threading.Lock()
        self.answer(*answers)

    def answer(self, *answers: str | Grant | Failure) -> None:
        """Answer these next, at once."""
        self._answers.extend((one, None) for one in answers)

    def hold(self, answer: str | Grant | Failure) -> Pause:
        """Answer this next, when the test calls `Pause.end` of what it gets here."""
        pause = Pause()
        self._answers.append((answer, pause))
        return pause

    def fetch(self, account: Account, *, force: bool = False) -> Grant | Failure:
        """Give the next answer."""
        with self._lock:
            self.fetches += 1
            answer, pause = self._answers.popleft() if self._answers else (_TOO_MANY, None)
        if pause is not None:
            pause.stand()
        return Grant(answer, 7200) if isinstance(answer, str) else answer


_TOO_MANY = Failure(Cause.PERMANENT, "One fetch too many.")


class Process:
    """A provider that shares the store with the others of its fleet, and nothing else."""

    def __init__(self, fleet: Fleet, store: TokenStore) -> None:
        self._fleet = fleet
        self._store = _Freezer(store, fleet)
        self.provider = TokenProvider(
            ACCOUNT,
            source=fleet.source,
            store=self._store,
            timeout=PATIENCE,
            runtime=Runtime(clock=fleet.clock, time=fleet.clock, sleep=self._sleep, random=lambda: 0.0),
        )

    def ask(self, rejected: str | None = None) -> Future[str]:
        """Ask for a token, in a thread."""
        future = self._fleet.threads.submit(self.provider.get_token, rejected)
        future.add_done_callback(lambda _: self._fleet.stands(self))
        return future

    def token(self) -> str | BaseException:
        """Ask for a token and wait for it."""
        return outcome(self.ask())

    def freeze_after_look(self) -> Pause:
        """Freeze it when it has looked at the store the next time."""
        self._store.after_look = self._fleet.pause()
        return self._store.after_look

    def freeze_after_claim(self) -> Pause:
        """Freeze it when it has taken the lease the next time."""
        self._store.after_claim = self._fleet.pause()
        return self._store.after_claim

    def drain(self) -> None:
        """Wait for what it does in the background."""
        flight = self.provider._own.flight
        if flight is not None:
            flight.wait(PATIENCE)

    def _sleep(self, _seconds: float) -> None:
        # Its clock stands still; only the look at the store is to be repeated.
        self._fleet.stands(self)
        time.sleep(_POLL)


class Fleet:
    """
    Processes over one store, or over two ways to it in turn.

    Attributes:
        clock: Everybody's.
        source: The token endpoint.
        threads: Where callers wait.
        errors: What the store has raised.
    """

    def __init__(self, *stores: TokenStore) -> None:
        self.clock = SimulatedClock(time.time() + _HEAD_START)
        self.source = ScriptedSource()
        self.threads = ThreadPoolExecutor(64)
        self.errors: list[str] = []
        self._stores = stores
        self._processes: list[Process] = []
        self._pauses: list[Pause] = []
        self._standing: set[Process] = set()
        self._moved = threading.Condition()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for pause in (*self._pauses, *(pause for _, pause in self.source._answers if pause is not None)):
            pause.end()
        self.threads.shutdown()
        for process in self._processes:
            process.drain()
            process.provider.close()

    def process(self) -> Process:
        """Start one more."""
        self._processes.append(Process(self, self._stores[len(self._processes) % len(self._stores)]))
        return self._processes[-1]

    def processes(self, count: int) -> list[Process]:
        """Start so many more."""
        return [self.process() for _ in range(count)]

    def pause(self) -> Pause:
        """Make a place to stand, which ends with the fleet."""
        self._pauses.append(Pause())
        return self._pauses[-1]

    def hold(self, answer: str | Failure) -> Pause:
        """Have the endpoint give this answer next, but not yet."""
        self._pauses.append(self.source.hold(answer))
        return self._pauses[-1]

    def herd(self, processes: list[Process], rejected: str | None = None, *, threads: int = 4) -> list[Future[str]]:
        """Run `threads` callers in each process (thundering herd); all read the store before one of them goes on."""
        pauses = [process.freeze_after_look() for process in processes]
        asked = [process.ask(rejected) for process in processes for _ in range(threads)]
        all_looked = all(pause.reached() for pause in pauses)
        for pause in pauses:
            pause.end()
        assert all_looked, "A provider did not look at the store."
        return asked

    def stands(self, process: Process) -> None:
        """`process` waits for another one's token, or has come to its end."""
        with self._moved:
            self._standing.add(process)
            self._moved.notify_all()

    def wait_standing(self, count: int) -> bool:
        """Wait until so many processes wait for another one's token, or have come to their end."""
        with self._moved:
            return self._moved.wait_for(lambda: len(self._standing) >= count, PATIENCE)


class _Freezer(ClockedStore):
    """A process's way to the store, on which it may be frozen; and what the store raises is noted."""

    def __init__(self, store: TokenStore, fleet: Fleet) -> None:
        super().__init__(store, fleet.clock)
        self._fleet = fleet
        self.after_look: Pause | None = None
        self.after_claim: Pause | None = None

    def load(self, key: str) -> Loaded:
        try:
            loaded = super().load(key)
        except Exception as exc:
            self._fleet.errors.append(f"load() raised {type(exc).__name__}")
            raise
        pause, self.after_look = self.after_look, None
        if pause is not None:
            pause.stand()
        return loaded

    def save(self, key: str, record: Record, version: Any) -> Any | None:
        try:
            saved = super().save(key, record, version)
        except Exception as exc:
            self._fleet.errors.append(f"save() raised {type(exc).__name__}")
            raise
        if saved is not None and record.lease is not None:
            pause, self.after_claim = self.after_claim, None
            if pause is not None:
                pause.stand()
        return saved


def outcome(asked: Future[str]) -> str | BaseException:
    """The token that a caller got, or its error."""
    return outcomes([asked])[0]


def outcomes(asked: list[Future[str]]) -> list[str | BaseException]:
    """Collect what each of many callers got."""
    done, _ = wait(asked, PATIENCE)
    late = TimeoutError("no token came")
    return [one.exception() or one.result() if one in done else late for one in asked]
