"""What the tests of fleets share: the stores and the fork_server live as long as the session, a world for one test."""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from support.prelude import SharedClock

from wxmiddleware.simulator import SimulatorServer, WeChat

from .backends import BACKENDS, Backend
from .fork_server import ForkServer
from .soak import Seat, Soak
from .world import World

MakeWorld = Callable[..., World]


def nightly(cases: Iterable[tuple[str, ...]], *, but: Container[tuple[str, ...]]) -> list[Any]:
    """Cases of `pytest.mark.parametrize` that `make soak` runs, all but some of them."""
    return [pytest.param(*case, marks=() if case in but else pytest.mark.nightly) for case in cases]


@pytest.fixture(scope="session")
def fork_server() -> Iterator[ForkServer]:
    """Where the workers come from."""
    with ForkServer() as fork_server:
        yield fork_server


@pytest.fixture(scope="session")
def backend_of() -> Iterator[Callable[[str], Backend]]:
    """Give a store by its name. Each is started when it is needed first."""
    started: dict[str, Backend] = {}

    def backend_of(name: str) -> Backend:
        if name not in started:
            started[name] = BACKENDS[name]()
        if started[name].is_down:  # a test has failed meanwhile
            started[name].up()
        return started[name]

    yield backend_of
    for backend in started.values():
        backend.close()


@pytest.fixture
def sabotage(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Break the library in all workers of the soaks that begin from now on; see `fleet.worker.Worker.sabotage`."""

    def begin(what: str) -> None:
        forked = Soak._seat

        def sabotaged(soak: Soak, number: int) -> Seat:
            seat = forked(soak, number)
            seat.member.do("sabotage", what=what)
            return seat

        monkeypatch.setattr(Soak, "_seat", sabotaged)

    return begin


@pytest.fixture
def make_world(fork_server: ForkServer, backend_of: Callable[[str], Backend], tmp_path: Path) -> Iterator[MakeWorld]:
    """Make a world: a store, a simulated WeChat, and a clock that stands still until the test moves it."""
    with ExitStack() as stack:

        def make(store: str, kind: str = "classic", *, overlap: float = 0.0, real_time: bool = False) -> World:
            backend = backend_of(store)
            # Redis and memcached let records end by the real time; ahead of it nothing ends too early.
            clock = None if real_time else stack.enter_context(SharedClock.create(tmp_path / "clock", time.time()))
            wechat = WeChat(clock=clock, overlap=overlap)
            server = stack.enter_context(SimulatorServer(wechat))
            return World(backend, kind, wechat, server, clock, fork_server)

        yield make
        fork_server.clear()
        assert not fork_server.errors, fork_server.errors
