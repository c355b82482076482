"""The store goes down under a busy fleet, and comes back: with what it had, with nothing, or with old data."""

from __future__ import annotations

from itertools import product

import pytest

from .backends import BACKENDS
from .conftest import MakeWorld, nightly
from .fork_server import Member
from .world import World

WORKERS = 8
CONVERGENCE = 60.0


BACK = ("kept", "empty", "old")
KINDS = ("classic", "stable")

pytestmark = pytest.mark.timeout(600)

# Everything with everything is for the night. Each push has every store with every return, and both kinds with either
# (the pairs); where that is one test of three, each store once.
CASES = [
    (store, back, kind)
    for store, back, kind in product(BACKENDS, BACK, KINDS)
    if store != "memcached" or back == "empty"  # it remembers nothing
]
PAIRS = {(store, back, KINDS[(i + j) % 2]) for (i, store), (j, back) in product(enumerate(BACKENDS), enumerate(BACK))}
ONCE = {
    (store, "empty" if store == "memcached" else BACK[i % 3], KINDS[i // 3 % 2]) for i, store in enumerate(BACKENDS)
}


def pass_time(world: World, fleet: list[Member], seconds: float, step: float) -> int:
    """Let every worker call at every step, one after the other; how many calls were rejected at first."""
    rejected = 0
    end = world.clock() + seconds
    while world.clock() < end:
        world.clock.advance(step)
        for member in fleet:
            rejected += world.try_call(member)[1]
            world.clock.advance(0.02)  # no two tokens in the same millisecond
    return rejected


def life_left(world: World) -> float:
    return world.record.expires_at - world.clock()


def populated(world: World, back: str) -> list[Member]:
    """A fleet with a token; the second one, if the store is to come back with the first."""
    fleet = world.workers(WORKERS)
    pass_time(world, fleet, 1, 1)
    if back == "old":
        world.backend.remember(world.key)
        world.clock.advance(life_left(world) - 200)
        pass_time(world, fleet, 60, 20)
    world.agreed(*fleet)
    assert world.fetches == (2 if back == "old" else 1)
    world.wechat.reset_counters()
    return fleet


def come_back(world: World, back: str) -> None:
    world.backend.up()
    if back == "empty":
        world.backend.wipe()
    elif back == "old":
        world.backend.put_back()


@pytest.mark.parametrize(("store", "back", "kind"), nightly(CASES, but=ONCE))
def test_in_the_middle_of_a_life(make_world: MakeWorld, store: str, back: str, kind: str) -> None:
    """Nobody notices, and nobody asks WeChat."""
    world = make_world(store, kind, overlap=300.0)
    fleet = populated(world, back)
    pass_time(world, fleet, 600, 100)

    world.backend.down()
    assert pass_time(world, fleet, 200, 20) == 0
    come_back(world, back)
    assert pass_time(world, fleet, 120, 20) == 0

    assert world.agreed(*fleet, world.worker())
    assert world.fetches == 0


def over_the_end(world: World, fleet: list[Member], back: str) -> tuple[int, int]:
    """
    The store is down for the last minutes of a life and the first of the next.

    Returns:
        How many fetches that cost, and how many calls were rejected at first.
    """
    world.clock.advance(life_left(world) - 1000)
    pass_time(world, fleet, 50, 50)
    assert world.fetches == 0

    world.backend.down()
    assert pass_time(world, fleet, 750, 125) == 0
    assert world.fetches == 0
    rejected = pass_time(world, fleet, 270, 45)
    fetches = world.fetches
    assert fetches <= WORKERS + rejected

    come_back(world, back)
    began = world.clock()
    while True:
        calls = [world.try_call(member) for member in fleet]
        rejected += sum(times for _, times in calls)
        if {token for token, _ in calls} == {world.current}:
            return fetches, rejected
        world.clock.advance(5)
        assert world.clock() - began < CONVERGENCE


@pytest.mark.parametrize(("store", "back", "kind"), nightly(CASES, but=PAIRS))
def test_over_the_end_of_a_life(make_world: MakeWorld, store: str, back: str, kind: str) -> None:
    """Each worker gets a token for itself, once; when the store is back they agree on the one that is newest."""
    world = make_world(store, kind, overlap=300.0)
    world.wechat.keep_previous = WORKERS
    fleet = populated(world, back)

    fetches, rejected = over_the_end(world, fleet, back)

    assert fetches <= WORKERS
    assert rejected == 0
    assert pass_time(world, fleet, 120, 20) == 0
    assert world.agreed(*fleet, world.worker())
    assert world.fetches == fetches


@pytest.mark.parametrize(
    ("store", "back"),
    nightly(dict.fromkeys(case[:2] for case in CASES), but={case[:2] for case in ONCE}),
)
def test_tokens_that_kill_each_other(make_world: MakeWorld, store: str, back: str) -> None:
    """
    Each worker gets a token for itself, and only the last two of these are good.

    Without a store nobody can know of the others'. Who is rejected asks again, at most once in 30 s.
    """
    world = make_world(store, "classic", overlap=300.0)
    fleet = populated(world, back)

    fetches, rejected = over_the_end(world, fleet, back)

    assert rejected > 0
    assert world.fetches <= fetches + 1
    world.clock.advance(31)
    assert pass_time(world, fleet, 120, 20) == 0
    assert world.agreed(*fleet, world.worker())
