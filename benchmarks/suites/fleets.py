"""Several processes that share a store: what WeChat is asked for by all of them together."""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from wxmiddleware.simulator import SimulatorServer, WeChat

from .. import testbed
from ..peers import Dict, Ours, Wechatpy
from ..report import Table

LATENCY = 0.05  # seconds that WeChat's token endpoint takes
CROWD = 4  # threads in each process


def run(*, quick: bool) -> Iterator[Table]:
    """Measure."""
    yield _peers((2,) if quick else (1, 2, 4, 8, 16))
    yield _stores(("redis",) if quick else tuple(testbed.BACKENDS), (2,) if quick else (1, 2, 4, 8, 16))


# Ours, on each store


def _stores(names: tuple[str, ...], sizes: tuple[int, ...]) -> Table:
    from fleet.fork_server import ForkServer, all_do

    table = Table(
        "fleets",
        f"wxmiddleware: processes on one store, {CROWD} threads in each, classic endpoint, overlap 0",
        ["store", "situation", *(f"{size} proc." for size in sizes)],
        notes=[
            "Fetches / callers that got no token. Leader killed: who fetches is killed, its token being minted.",
            "In the end all processes, the store and WeChat agree on one token, or the benchmark stops.",
        ],
    )
    with ForkServer() as fork_server:
        for name in names:
            with testbed.backend(name) as backend:
                if backend is None:
                    table.notes.append(f"{name} is not installed.")
                    continue
                rows: dict[str, list[str]] = {
                    "cold": [],
                    "ahead": [],
                    "expired": [],
                    "rejected": [],
                    "leader killed": [],
                }
                for size in sizes:
                    with _world(backend, fork_server) as world:
                        fleet = world.workers(size)

                        def crowd(world: Any = world, fleet: Any = fleet) -> str:
                            before = world.fetches
                            answers = [token for each in all_do(fleet, "crowd", count=CROWD) for token in each]
                            all_do(fleet, "drain")
                            return f"{world.fetches - before} / {sum(map(_is_error, answers))}"

                        rows["cold"].append(crowd())
                        world.agreed(*fleet)
                        world.clock.advance(7200 - 300)
                        rows["ahead"].append(crowd())
                        all_do(fleet, "drain")
                        world.clock.advance(60)
                        all_do(fleet, "ask")  # who has the old one looks at the store
                        world.agreed(*fleet)
                        world.clock.advance(7300)
                        rows["expired"].append(crowd())
                        old = world.agreed(*fleet)
                        world.clock.advance(60)
                        world.wechat.revoke()
                        before = world.fetches
                        all_do(fleet, "ask", rejected=old)
                        rows["rejected"].append(f"{world.fetches - before} / 0")
                        world.agreed(*fleet)
                        fork_server.clear()
                    with _world(backend, fork_server) as world:
                        rows["leader killed"].append(_killed(world, size))
                        fork_server.clear()
                for situation, cells in rows.items():
                    table.add(name, situation, *cells)
    return table


def _killed(world: Any, size: int) -> str:
    world.wechat.faults.add(world.path, "hang", executed=True)
    leader, *others = world.workers(max(size, 2))
    leader.send("crowd", count=CROWD)
    assert world.wechat.wait_for(world.wechat.minted, 60)
    orders = [(member, member.send("crowd", count=CROWD)) for member in others]
    for member in others:
        member.event("waits")
    leader.kill()
    answers = [token for member, order in orders for token in member.answer(order)]
    world.agreed(*others)
    return f"{world.fetches} / {sum(map(_is_error, answers))}"


@contextmanager
def _world(backend: Any, fork_server: Any) -> Iterator[Any]:
    from fleet.world import World
    from support.prelude import SharedClock

    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="wx-bench-"))
        clock = stack.enter_context(SharedClock.create(Path(folder) / "clock", time.time()))
        wechat = WeChat(clock=clock, overlap=0.0, token_latency=LATENCY)
        server = stack.enter_context(SimulatorServer(wechat))
        yield World(backend, "classic", wechat, server, clock, fork_server)


def _is_error(answer: str) -> bool:
    return "(" in answer  # the repr of an error


# Beside others


def _peers(sizes: tuple[int, ...]) -> Table:
    table = Table(
        "fleets-peers",
        f"Processes on one Redis, {CROWD} threads in each, one call by each; overlap 0",
        ["who", "situation", *(f"{size} proc." for size in sizes)],
        notes=[
            "Fetches / calls that failed. The dict cache shares nothing: it stands for the libraries without a store."
        ],
    )
    with testbed.backend("redis") as backend:
        if backend is None:
            table.notes.append("redis-server is not installed.")
            return table
        for name in (Ours.name, Wechatpy.name, Dict.name):
            rows: dict[str, list[str]] = {"cold": [], "rejected": []}
            for size in sizes:
                for situation, cell in _in_processes(name, backend.url, size):
                    rows[situation].append(cell)
                backend.wipe()
            for situation, cells in rows.items():
                table.add(name, situation, *cells)
    return table


def _in_processes(name: str, url: str, size: int) -> Iterator[tuple[str, str]]:
    wechat = WeChat(overlap=0.0, token_latency=LATENCY)
    context = multiprocessing.get_context("spawn")
    gate, results = context.Barrier(size + 1), context.SimpleQueue()
    with SimulatorServer(wechat) as server:
        arguments = (name, wechat.appid, wechat.secret, server.url, url, gate, results)
        fleet = [context.Process(target=_process, args=arguments, daemon=True) for _ in range(size)]
        for each in fleet:
            each.start()
        for situation in ("cold", "rejected"):
            gate.wait(120)  # all are there
            wechat.revoke()
            wechat.reset_counters()
            wechat.daily_quota = 2000 + wechat.quota_used()  # a new day
            gate.wait(120)  # go
            failed = sum(results.get() for _ in fleet)
            yield situation, f"{wechat.fetches()} / {failed}"
        for each in fleet:
            each.join(60)


def _process(name: str, appid: str, secret: str, url: str, store: str, gate: Any, results: Any) -> None:
    """One process: a crowd of threads makes a call each, twice."""
    import logging
    import threading

    logging.disable(logging.CRITICAL)
    subject: Any
    if name == Ours.name:
        from wxmiddleware.stores import store_from_url

        subject = Ours(appid, secret, url, store=store_from_url(store))
    elif name == Wechatpy.name:
        import redis
        from wechatpy.session.redisstorage import RedisStorage

        subject = Wechatpy(appid, secret, url, session=RedisStorage(redis.Redis.from_url(store.partition("?")[0])))
    else:
        subject = Dict(appid, secret, url)

    failed: list[BaseException] = []

    def call() -> None:
        try:
            subject.call()
        except BaseException as error:
            failed.append(error)

    for _ in range(2):
        gate.wait(120)
        gate.wait(120)
        failed.clear()
        crowd = [threading.Thread(target=call) for _ in range(CROWD)]
        for each in crowd:
            each.start()
        for each in crowd:
            each.join()
        results.put(len(failed))
