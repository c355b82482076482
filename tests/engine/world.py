"""
A world in the test's hand: the clock, the issuer and the store; and callers of three colours.

The issuer is scripted. One fetch too many fails the test, whoever catches the error.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import anyio
import pytest
from support.background import landed

from wxmiddleware import Account, EventType, Runtime, TokenEvent, TokenProvider
from wxmiddleware.sources import Cause, Failure, Grant
from wxmiddleware.stores import TokenStore
from wxmiddleware.stores.memory import MemoryStore

SECRET = "s3cr3t-of-this-test"
BUSY = Failure(Cause.TRANSIENT, "WeChat is busy.", errcode=-1)
LOST = Failure(Cause.AMBIGUOUS, "The answer was lost.")
WRONG = Failure(Cause.PERMANENT, "The secret is wrong.", errcode=40125)
QUOTA = Failure(Cause.QUOTA, "The quota is used up.", errcode=45009)


class Clock:
    """Seconds that pass only when the test says so."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Issuer:
    """A token endpoint that answers what the script says, and nothing beyond it."""

    kind: str = "classic"
    timeout: float = 5.0
    refresh_ahead: float = 600.0
    revokes_previous: bool = True
    can_force: bool = False
    script: deque[Any] = field(default_factory=deque)
    asked: list[bool] = field(default_factory=list)  # one entry a fetch: whether it was forced
    too_many: int = 0
    gate: threading.Event | None = None
    during: Callable[[], object] | None = None
    _changed: threading.Condition = field(default_factory=threading.Condition)

    __hash__ = object.__hash__

    @property
    def fetches(self) -> int:
        return len(self.asked)

    def fetch(self, account: Account, *, force: bool = False) -> Grant | Failure:
        with self._changed:
            self.asked.append(force)
            if not self.script:
                self.too_many += 1
                self._changed.notify_all()
                return Failure(Cause.PERMANENT, "One fetch too many.")
            answer = self.script.popleft()
            gate = self.gate  # whoever has waited for this fetch may take it away for the next one
            self._changed.notify_all()
        if gate is not None:
            assert gate.wait(20)
        if self.during is not None:
            self.during()
        if isinstance(answer, BaseException):
            raise answer
        return Grant(answer, 7200) if isinstance(answer, str) else answer

    def wait_for(self, fetches: int) -> None:
        """Wait until so many fetches have arrived."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.fetches >= fetches, 20)


class World:
    """What a scenario plays in."""

    def __init__(self, make_store: Callable[[Clock], TokenStore], face: Face, *, stable: bool = False) -> None:
        self.clock = Clock(50_000.0)
        self.wall = Clock(1_700_000_000.0)
        self.issuer = Issuer()
        if stable:
            self.issuer = Issuer("stable", refresh_ahead=290.0, revokes_previous=False, can_force=True)
        self.store: Any = make_store(self.clock)  # scenarios look inside, and replace its methods
        self.face = face
        self.account = Account("wx0123456789abcdef", SECRET)
        self.events: list[TokenEvent] = []
        self.draws = 0.0
        self._providers: list[TokenProvider] = []

    def provider(self, **options: Any) -> TokenProvider:
        """A provider of this world's account; each one made with `elsewhere` plays another process."""
        options.setdefault("store", self.store)
        runtime = Runtime(
            clock=self.clock,
            time=options.pop("time", self.wall),
            sleep=options.pop("sleep", self.clock.advance),
            random=options.pop("random", self._draw),
        )
        provider = TokenProvider(
            self.account,
            source=options.pop("source", self.issuer),
            observers=[self.events.append],
            runtime=runtime,
            **options,
        )
        self._providers.append(provider)
        return provider

    def elsewhere(self, **options: Any) -> TokenProvider:
        """A provider of another process: it shares the store and nothing else."""
        return self.provider(random=lambda: self.draws, **options)

    def _draw(self) -> float:
        return self.draws

    def script(self, *answers: Any) -> None:
        """What the issuer answers next: a token, a Grant, a Failure, or an exception to raise."""
        self.issuer.script.extend(answers)

    def advance(self, seconds: float) -> None:
        """Both clocks go on."""
        self.clock.advance(seconds)
        self.wall.advance(seconds)

    def get(self, provider: TokenProvider, rejected: str | None = None, **options: Any) -> str:
        """One caller."""
        return self.face.one(provider, rejected, **options)

    def error(self, provider: TokenProvider, rejected: str | None = None, **options: Any) -> Any:
        """One caller, who gets none."""
        with pytest.raises(Exception) as caught:
            self.face.one(provider, rejected, **options)
        return caught.value

    def herd(self, provider: TokenProvider, rejected: str | None = None, *, size: int = 64) -> list[Any]:
        """So many callers at once; what each got, or the error it got."""
        return self.face.many(provider, rejected, size)

    def drain(self, *providers: TokenProvider) -> None:
        """Wait until no refresh is under way."""
        for provider in providers or self._providers:
            flight = provider._own.flight
            if flight is not None:
                assert flight.wait(20) is not None

    def names(self) -> list[EventType]:
        """What the observers were told, in order. Flights talk when their waiters have been served."""
        landed()
        return [event.name for event in self.events]

    def check(self) -> None:
        """Nobody asked WeChat once too often, and no secret was told."""
        assert self.issuer.too_many == 0
        assert not [event for event in self.events if SECRET in repr(event) or "T1" in repr(event)]


class Face:
    """How callers come: as threads or as tasks."""

    def one(self, provider: TokenProvider, rejected: str | None, **options: Any) -> str:
        raise NotImplementedError

    def many(self, provider: TokenProvider, rejected: str | None, size: int) -> list[Any]:
        raise NotImplementedError


class Threads(Face):
    def one(self, provider: TokenProvider, rejected: str | None, **options: Any) -> str:
        return provider.get_token(rejected, **options)

    def many(self, provider: TokenProvider, rejected: str | None, size: int) -> list[Any]:
        results: list[Any] = []
        ready = threading.Barrier(size)

        def call() -> None:
            ready.wait(20)
            try:
                results.append(provider.get_token(rejected))
            except Exception as exc:
                results.append(exc)

        threads = [threading.Thread(target=call) for _ in range(size)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        return results


class Tasks(Face):
    def __init__(self, backend: str) -> None:
        self.backend = backend

    def run(self, main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """In an event loop of its own, so that a scenario with two calls has seen two loops."""
        return asyncio.run(main()) if self.backend == "asyncio" else anyio.run(main, backend=self.backend)

    def one(self, provider: TokenProvider, rejected: str | None, **options: Any) -> str:
        async def main() -> str:
            return await provider.aget_token(rejected, **options)

        token: str = self.run(main)
        return token

    def many(self, provider: TokenProvider, rejected: str | None, size: int) -> list[Any]:
        results: list[Any] = []

        async def call() -> None:
            try:
                results.append(await provider.aget_token(rejected))
            except Exception as exc:
                results.append(exc)

        async def main() -> None:
            async with anyio.create_task_group() as group:
                for _ in range(size):
                    group.start_soon(call)

        self.run(main)
        return results


class FleetStore(MemoryStore):
    """A store that other processes write, too, as far as its users know."""

    shared = True


FACES: dict[str, Callable[[], Face]] = {
    "threads": Threads,
    "asyncio": lambda: Tasks("asyncio"),
    "trio": lambda: Tasks("trio"),
}
STORES: dict[str, Callable[[Clock], TokenStore]] = {
    "memory": lambda clock: MemoryStore(clock=clock),
    "fleet": lambda clock: FleetStore(clock=clock),
}
