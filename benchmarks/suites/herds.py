"""Many callers at once, in one process: what WeChat is asked for, who fails, and how long the unluckiest waits."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import time_machine

from wxmiddleware.simulator import SimulatorServer, WeChat

from ..async_peers import ASYNC_PEERS, AsyncPeer
from ..async_peers import Ours as AsyncOurs
from ..peers import Fixed, Ours, Peer, Refused, installed, living_in
from ..report import Table

LATENCY = 0.05  # seconds that WeChat's token endpoint takes
PATH = "/cgi-bin/token"
SITUATIONS = {
    "cold": "no token yet",
    "ahead": "near its end, inside the window of whoever is measured",
    "expired": "past its end",
    "rejected": "revoked by WeChat while it seems good",
    "down, ahead": "the token endpoint answers 502, the old token lives",
    "down, cold": "the token endpoint answers 502, and there is no token",
}
STILL = "Down: the clock stands still meanwhile. We ask WeChat again after a second, and a thousand calls take longer."


@dataclass
class Outcome:
    """
    What became of a herd.

    Attributes:
        fetches: Requests to the token endpoint.
        failed: Callers whose call failed.
        token: Seconds that the unluckiest waited for a token.
        call: Seconds that the unluckiest took for token and call together.
    """

    fetches: int
    failed: int
    token: float
    call: float


class Scene:
    """A simulated WeChat behind a socket, and a time that can be moved on for every library there is."""

    def __init__(self, overlap: float) -> None:
        self.wechat = WeChat(clock=time.time, overlap=overlap, token_latency=LATENCY)
        self.server = SimulatorServer(self.wechat)
        self._traveller: Any = None

    @contextmanager
    def playing(self) -> Iterator[Scene]:
        with time_machine.travel(time.time(), tick=True) as self._traveller, self.server:
            yield self

    def set(self, situation: str, window: float) -> None:
        """Bring about the situation; but for "cold" and "down, cold" the caller has fetched a token."""
        if situation.endswith("ahead"):
            self._traveller.shift(self.wechat.lifetime - window)
        if situation == "expired":
            self._traveller.shift(self.wechat.lifetime + 1)
        if situation == "rejected":
            self.wechat.revoke()
        if situation.startswith("down"):
            self.wechat.faults.add(PATH, "status", times=None)
            self._traveller.move_to(time.time(), tick=False)
        self.wechat.reset_counters()

    def outcome(self, waits: list[tuple[float, float]], failed: int) -> Outcome:
        """What became of it, once the last fetch has come to its end."""
        time.sleep(2 * LATENCY)  # who renews in the background is under way
        self.wechat.wait_for(lambda: not self.wechat.in_progress, 20.0)
        return Outcome(self.wechat.calls(PATH), failed, *map(max, zip(*waits)))


def threads(peer: type[Peer], situation: str, count: int, overlap: float) -> Outcome:
    """Let so many threads make a call at the same moment."""
    with Scene(overlap).playing() as scene:
        subject = living_in(time.time, peer, scene.wechat.appid, scene.wechat.secret, scene.server.url)
        if not situation.endswith("cold"):
            subject.token()
        scene.set(situation, subject.window)
        waits: list[tuple[float, float]] = []
        errors: list[BaseException] = []
        gate = threading.Barrier(count)

        def caller() -> None:
            gate.wait()
            begin = got = time.perf_counter()
            try:
                try:
                    subject.token()
                finally:
                    got = time.perf_counter()
                subject.call()
            except BaseException as error:
                errors.append(error)
            waits.append((got - begin, time.perf_counter() - begin))

        crowd = [threading.Thread(target=caller, daemon=True) for _ in range(count)]
        for each in crowd:
            each.start()
        for each in crowd:
            each.join()
        return scene.outcome(waits, len(errors))


def tasks(peer: type[AsyncPeer], situation: str, count: int, overlap: float) -> Outcome:
    """Let so many tasks of one event loop make a call at the same moment; it is judged in memory."""
    with Scene(overlap).playing() as scene:
        wechat = scene.wechat

        async def judged(access_token: str) -> dict[str, Any]:
            await asyncio.sleep(0)
            return wechat.check(access_token) or {"errcode": 0}

        async def play() -> tuple[list[tuple[float, float]], int]:
            subject = peer(wechat.appid, wechat.secret, scene.server.url, judged)
            if not situation.endswith("cold"):
                await subject.token()
            scene.set(situation, subject.window)
            return await _herd(subject, count)

        waits, failed = asyncio.run(play())
        return scene.outcome(waits, failed)


async def _herd(subject: AsyncPeer, count: int) -> tuple[list[tuple[float, float]], int]:
    waits: list[tuple[float, float]] = []
    failed = 0

    async def caller() -> None:
        nonlocal failed
        begin = got = time.perf_counter()
        try:
            try:
                await subject.token()
            finally:
                got = time.perf_counter()
            answer = await subject.call()
            if answer["errcode"]:
                raise Refused(answer["errcode"])
        except Exception:
            failed += 1
        waits.append((got - begin, time.perf_counter() - begin))

    await asyncio.gather(*(caller() for _ in range(count)))
    return waits, failed


def run(*, quick: bool) -> Iterator[Table]:
    """Measure."""
    there, missing = installed()
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # a pool that is full is what a herd is about
    logging.getLogger("botocore").setLevel(logging.CRITICAL)  # so is a refresh that fails
    yield _storm([peer for peer in there if peer.heals], 8 if quick else 64, missing)
    yield _peers(there, 8 if quick else 64, missing)
    yield _sizes((8,) if quick else (1, 8, 64, 256, 1000))
    yield _tasks((100,) if quick else (1, 100, 10_000))


_COLUMNS = ("fetches", "failed calls", "longest wait for a token, s", "with the call, s")


def _storm(peers: list[type[Peer]], count: int, missing: list[str]) -> Table:
    table = Table(
        "storm",
        f"A rejected token: {count} threads, which get a token and make a call",
        ["who", "overlap, s", *_COLUMNS],
        notes=[
            "Overlap: seconds for which WeChat still honours the token before the last.",
            "A day's quota is 2000 fetches. WeRoBot does not look at the errcode.",
            "google-auth, authlib and botocore are not here: they look for HTTP 401 or for nothing; WeChat says 200.",
            *_missing(missing),
        ],
    )
    for overlap in (0.0, 300.0):
        for peer in peers:
            found = threads(peer, "rejected", count, overlap)
            table.add(peer.name, int(overlap), found.fetches, found.failed, found.token, found.call)
    return table


def _peers(peers: list[type[Peer]], count: int, missing: list[str]) -> Table:
    table = Table(
        "herds-peers",
        f"{count} threads, which get a token and make a call; overlap 0",
        ["situation", "who", *_COLUMNS],
        notes=[
            *(f"{name}: {what}." for name, what in SITUATIONS.items() if name != "rejected"),
            "Overlap 0, ahead: a new token kills the old one, so who goes on with that must heal, or fails.",
            STILL,
            *_missing(missing),
        ],
    )
    for situation in SITUATIONS:
        if situation == "rejected":
            continue
        several: list[type[Peer]] = peers if situation != "ahead" else [*peers, Fixed]
        for peer in several:
            found = threads(peer, situation, count, 0.0)
            table.add(situation, peer.name, found.fetches, found.failed, found.token, found.call)
    return table


def _sizes(counts: tuple[int, ...]) -> Table:
    table = Table(
        "herds",
        "wxmiddleware: threads, which get a token and make a call, over HTTP",
        ["situation", "overlap, s", "threads", *_COLUMNS],
        notes=[
            "Simulator and callers share the cores, so calls of many take long by themselves: see the fixed token.",
            "Overlap 0, ahead: who has the old token when the new one is there calls twice.",
            "Refused: who is early has the old token at once and waits in its call; who is late waits for the new.",
            "A thread that loses its turn while it asks waits for the turns of all others, as anywhere in Python.",
            STILL,
        ],
    )
    for situation in SITUATIONS:
        for overlap in (0.0, 300.0) if not situation.startswith("down") else (0.0,):
            for count in counts:
                found = threads(Ours, situation, count, overlap)
                table.add(situation, int(overlap), count, found.fetches, found.failed, found.token, found.call)
    for count in counts:
        found = threads(Fixed, "ahead", count, 0.0)
        table.add(Fixed.name, 0, count, found.fetches, found.failed, found.token, found.call)
    return table


def _tasks(counts: tuple[int, ...]) -> Table:
    table = Table(
        "herds-tasks",
        "Tasks of one event loop, which get a token and make a call; calls judged in memory, overlap 0",
        ["situation", "who", "tasks", *_COLUMNS],
        notes=[
            "The others are asked by up to 100 tasks. Which of 100 tokens is kept last is chance: 99 or 100 fail.",
            "Refused: google-auth and authlib do not look at the errcode.",
            STILL,
        ],
    )
    for situation in SITUATIONS:
        for peer in ASYNC_PEERS:
            for count in counts:
                if count <= 100 or peer is AsyncOurs:
                    found = tasks(peer, situation, count, 0.0)
                    table.add(situation, peer.name, count, found.fetches, found.failed, found.token, found.call)
    return table


def _missing(names: list[str]) -> list[str]:
    return [f"Not installed: {', '.join(names)}. make bench brings them."] if names else []
