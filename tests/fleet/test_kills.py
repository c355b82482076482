"""The one who refreshes is killed or stopped, at each step of a refresh."""

from __future__ import annotations

import pytest

from .backends import BACKENDS
from .conftest import MakeWorld
from .fork_server import Member
from .worker import LEASE
from .world import World

CROWD = 4
SOURCES = ("classic", "stable")

pytestmark = pytest.mark.timeout(600)
stores = pytest.mark.parametrize("store", BACKENDS)
sources = pytest.mark.parametrize("kind", SOURCES)


def wait_in_line(member: Member) -> int:
    """Let a crowd ask while somebody else refreshes; the order's number, when it has seen that it has to wait."""
    order = member.send("crowd", count=CROWD)
    member.event("waits")
    return order


def sent(world: World, *, executed: bool) -> Member:
    """A leader whose request lies with WeChat."""
    hang = world.wechat.faults.add(world.path, "hang", executed=executed)
    leader = world.worker()
    leader.send("crowd", count=CROWD)
    assert world.wechat.wait_for(lambda: world.wechat.minted() if executed else hang.hits, 60)
    return leader


def held(world: World, point: str) -> Member:
    """A leader who stands at a point of its refresh."""
    leader = world.worker(hold=point)
    leader.send("crowd", count=CROWD)
    leader.event("held")
    return leader


def leader_at(world: World, point: str) -> Member:
    return sent(world, executed=True) if point == "sent" else held(world, point)


@stores
@sources
@pytest.mark.parametrize(("point", "fetches"), [("claimed", 1), ("sent", 2), ("publish", 2)])
def test_killed(make_world: MakeWorld, store: str, kind: str, point: str, fetches: int) -> None:
    """Nobody waits for a dead leader's lease; the clock stands still."""
    world = make_world(store, kind)
    leader, others = leader_at(world, point), world.workers(2)
    orders = [wait_in_line(member) for member in others]

    leader.kill()
    tokens = [token for member, order in zip(others, orders) for token in member.answer(order)]

    assert tokens == [world.agreed(*others)] * 2 * CROWD
    assert world.fetches == fetches


@stores
def test_killed_and_asked_all_the_same(make_world: MakeWorld, store: str) -> None:
    """A dead leader's request takes effect when the others have a token: one rejected call later they have another."""
    world = make_world(store)
    leader, others = sent(world, executed=False), world.workers(2)
    orders = [wait_in_line(member) for member in others]
    leader.kill()
    tokens = {token for member, order in zip(others, orders) for token in member.answer(order)}
    assert tokens == {world.agreed(*others)}

    world.wechat.faults.clear()
    assert world.wechat.wait_for(lambda: world.wechat.minted() == 2, 60)
    assert not any(map(world.wechat.is_valid, tokens))
    world.clock.advance(31)

    assert [world.call(member)[1] for member in others] == [1, 1]
    assert world.agreed(*others) not in tokens
    assert world.fetches == 3


@stores
@sources
@pytest.mark.parametrize("point", ["claimed", "sent", "publish"])
def test_stopped(make_world: MakeWorld, store: str, kind: str, point: str) -> None:
    """A leader stops for longer than its lease; what it brings then never wins over what is newer."""
    world = make_world(store, kind)
    leader, others = leader_at(world, point), world.workers(2)
    leader.stop()
    orders = [wait_in_line(member) for member in others]
    before = world.fetches

    world.clock.advance(LEASE + 0.5)
    tokens = [token for member, order in zip(others, orders) for token in member.answer(order)]
    assert tokens == [world.agreed(*others)] * 2 * CROWD
    assert world.fetches == before + 1

    world.wechat.faults.clear()  # if its request hangs, the answer is there when it wakes up
    leader.cont()
    leader.go_on()
    leader.do("drain")

    assert {world.agreed(leader, *others)} == set(tokens)
    assert world.fetches == before + 1
    newcomer = world.worker()
    assert {world.agreed(newcomer)} == set(tokens)


@stores
def test_stopped_and_nobody_came(make_world: MakeWorld, store: str) -> None:
    """A leader stops for longer than its lease, and nobody needed a token meanwhile: what it brings is published."""
    world = make_world(store)
    leader = held(world, "publish")
    leader.stop()
    world.clock.advance(LEASE + 0.5)
    leader.cont()
    leader.go_on()
    leader.do("drain")

    world.agreed(leader, *world.workers(2))
    assert world.fetches == 1


@stores
def test_stopped_and_minted_last(make_world: MakeWorld, store: str) -> None:
    """
    WeChat acts on a stopped leader's request only after the others'.

    Nobody can know that: both were under way at the same time. It takes one rejected call to find out.
    """
    world = make_world(store)
    leader, others = sent(world, executed=False), world.workers(2)
    leader.stop()
    orders = [wait_in_line(member) for member in others]
    world.clock.advance(LEASE + 0.5)
    tokens = {token for member, order in zip(others, orders) for token in member.answer(order)}
    assert tokens == {world.agreed(*others)}

    world.wechat.faults.clear()
    assert world.wechat.wait_for(lambda: world.wechat.minted() == 2, 60)
    leader.cont()
    leader.do("drain")
    assert not any(map(world.wechat.is_valid, tokens))
    world.clock.advance(31)

    everybody = [*others, leader]
    assert sum(world.call(member)[1] for member in everybody) <= 3
    world.agreed(*everybody)
    assert world.fetches == 3
