"""What a refresh costs at the store. `benchmarks/suites/round_trips.py` prints it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
from fleet.backends import BACKENDS
from stores.wire import Wire

from wxmiddleware import Account, Runtime, TokenProvider
from wxmiddleware.simulator import SimulatedClock
from wxmiddleware.stores import store_from_url
from wxmiddleware.testing import ScriptedSource

pytestmark = pytest.mark.servers
SERVERS = ("redis", "mariadb", "postgresql", "memcached")


@dataclass
class Trips:
    """Round trips to a store's server, over a connection that is open."""

    first: int
    fresh: int
    look: int
    ahead: int
    rejected: int


def count(url: str) -> Trips:
    """Count the round trips of a token's life in the store at `url`."""
    port = urlsplit(url).port
    assert port is not None
    clock = SimulatedClock(1_700_000_000.0)
    with Wire(port) as wire:
        store: Any = store_from_url(url.replace(f":{port}", f":{wire.port}", 1))

        def provider(appid: str) -> TokenProvider:
            source = ScriptedSource("T1", "T2", "T3")
            return TokenProvider(
                Account(appid, "s"), source=source, store=store, runtime=Runtime(clock=clock, random=lambda: 0.0)
            )

        def ask(rejected: str | None = None) -> str:
            token = here.get_token(rejected)
            if here._own.flight is not None:
                here._own.flight.wait(30)
            return token

        provider("wx0").get_token()  # it has made its table, and knows its scripts
        here = provider("wx1")
        trips = Trips(
            first=wire.during(ask),
            fresh=wire.during(lambda: [ask() for _ in range(100)]),
            look=wire.during(lambda: (clock.advance(60), ask())),
            ahead=wire.during(lambda: (clock.advance(7000), ask())),
            rejected=wire.during(lambda: (clock.advance(10), ask("T2"))),  # not in the first seconds of its life
        )
        assert here.get_token() == "T3"
        store.close()
        return trips


@pytest.fixture(params=SERVERS)
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    backend = BACKENDS[request.param]()
    yield backend.url
    backend.close()


def test_round_trips(url: str) -> None:
    """A token in use costs none, a look at the store one, and a refresh three: look, claim, publish."""
    # memcached tells the number that a swap needs only when it is asked, so over an item a save is two.
    first, again = (4, 5) if url.startswith("memcached:") else (3, 3)

    assert Trips(first=first, fresh=0, look=1, ahead=again, rejected=again) == count(url)
