"""A day of a fleet of sixteen, in seconds."""

from __future__ import annotations

import random
import select

import pytest

from .backends import BACKENDS
from .conftest import MakeWorld, nightly
from .fork_server import Member
from .world import World

WORKERS = 16
DAY = 86_400.0
MOST = 14  # fetches

pytestmark = pytest.mark.timeout(1200)  # some 6000 round trips to the store; a busy machine takes minutes


class Day:
    """
    Lets a day pass.

    Args:
        world: Where.
        seed: Of all that is random here.
    """

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.fleet = world.workers(WORKERS)
        self.random = random.Random(seed)
        self.handed_out = 0
        self.rejected = 0
        self.fetchers_killed = 0
        self.killed = 0
        self._end = world.clock() + DAY

    def over(self) -> bool:
        self.world.clock.advance(self.random.uniform(80, 120))
        return self.world.clock() >= self._end

    def ask(self) -> None:
        """Let all workers ask at once, and see that each token is accepted, or the next one is."""
        orders = [(member, member.send("ask")) for member in self.fleet]
        for member, order in orders:
            self.check(member, member.answer(order))

    def check(self, member: Member, token: str) -> None:
        self.handed_out += 1
        if not self.world.wechat.is_valid(token):
            self.rejected += 1
            again = member.ask(rejected=token)
            assert self.world.wechat.is_valid(again)
            member.do("confirm", token=again)

    def replace(self, member: Member) -> None:
        """Kill one, and let a new one take its place."""
        member.kill()
        self.killed += 1
        self.fleet[self.fleet.index(member)] = self.world.worker()

    def ask_and_kill_who_fetches(self, *, executed: bool) -> None:
        """As `ask`, but if somebody fetches, WeChat does not answer, and it is killed."""
        hang = self.world.wechat.faults.add(self.world.path, "hang", executed=executed)
        orders = {member: member.send("ask") for member in self.fleet}
        while orders:
            spoken, _, _ = select.select(orders, [], [], 0.01)
            for member in spoken:
                self.check(member, member.answer(orders.pop(member)))
            if not spoken and hang.hits and len(orders) == 1:
                (fetcher,) = orders
                orders.clear()
                self.fetchers_killed += 1
                self.replace(fetcher)
        if not hang.hits:
            hang.remove()


@pytest.mark.parametrize(
    ("store", "kind"),
    nightly(
        [*((store, "classic") for store in BACKENDS), ("redis", "stable")],
        but=[("redis", "classic"), ("jsonfile", "classic")],
    ),
)
def test_day(make_world: MakeWorld, store: str, kind: str) -> None:
    """Every token is good when it is handed out, and hardly any is asked for."""
    world = make_world(store, kind, overlap=300.0)
    day = Day(world, seed=1)
    while not day.over():
        day.ask()

    assert day.handed_out > WORKERS * DAY / 110
    assert day.rejected == 0
    assert world.fetches <= MOST


def test_day_without_overlap(make_world: MakeWorld) -> None:
    """A new token kills the old one at once: who still holds that is rejected once, and nobody fetches for it."""
    world = make_world("redis", overlap=0.0)
    day = Day(world, seed=2)
    while not day.over():
        day.ask()

    assert world.fetches <= MOST
    assert day.rejected <= world.fetches * (WORKERS - 1)


@pytest.mark.parametrize("store", nightly([(store,) for store in BACKENDS], but=[("redis",)]))
def test_day_of_kills(make_world: MakeWorld, store: str) -> None:
    """Every few minutes a worker is killed and replaced, and each second refresh never comes to its end."""
    world = make_world(store, overlap=300.0)
    day = Day(world, seed=3)
    while not day.over():
        if day.fetchers_killed * 2 < world.fetches:
            day.ask_and_kill_who_fetches(executed=day.random.random() < 0.5)
        else:
            day.ask()
        if day.random.random() < 0.25:
            day.replace(day.random.choice(day.fleet))

    assert day.killed > 150
    assert day.fetchers_killed >= 6
    assert world.fetches <= MOST + day.fetchers_killed
