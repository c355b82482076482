"""
A day: 86 400 simulated seconds of four workers on one Redis, undisturbed and with everything that goes wrong.

All libraries read the same time, which is moved on from step to step. Redis counts down its keys in real time, so
their ends are moved on with the rest.
"""

from __future__ import annotations

import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import redis
import time_machine

from wxmiddleware import Runtime
from wxmiddleware.simulator import SimulatorServer, WeChat

from .. import testbed
from ..peers import Dict, Ours, Refused, Wechatpy, installed
from ..report import Table

WORKERS = 4
DAY = 86_400.0
PATH = "/cgi-bin/token"


@dataclass
class Trouble:
    """What goes wrong in a day, in seconds from its beginning; the same for everybody who is measured."""

    rejections: list[float] = field(default_factory=list)
    wechat_down: list[tuple[float, float]] = field(default_factory=list)
    store_down: list[tuple[float, float]] = field(default_factory=list)
    kills: list[float] = field(default_factory=list)
    thefts: list[float] = field(default_factory=list)

    @classmethod
    def of(cls, seed: int, length: float) -> Trouble:
        """Draw a day's trouble."""
        draw = random.Random(seed)

        def moments(count: int) -> list[float]:
            return sorted(draw.uniform(0, length) for _ in range(count))

        return cls(
            rejections=moments(8),
            wechat_down=[(at, at + 600) for at in moments(4)],
            store_down=[(at, at + 300) for at in moments(3)],
            kills=moments(30),
            thefts=[length / 48 * number for number in range(1, 12)],  # half-hourly until six in the morning
        )


def run(*, quick: bool) -> Iterator[Table]:
    """Measure."""
    length = DAY / 48 if quick else DAY
    logging.disable(logging.CRITICAL)
    table = Table(
        "day",
        f"{length:,.0f} simulated seconds, {WORKERS} workers on one Redis, overlap 300 s, the classic endpoint",
        ["trouble", "who", "calls", "failed, a live token existed", "failed, none existed", "fetches", "quota left"],
        notes=[
            "Trouble: 8 rejections; WeChat's token endpoint is down 4 times for 600 s, Redis 3 times for 300 s.",
            "30 workers are killed and replaced; another service fetches every half hour at night (11 times).",
            "Fetches: requests to the token endpoint. Those that it answered 502 are not in the quota; a theft is.",
            "The same moments for all, on a clock that also runs by itself, so one more round may fit into the day.",
            "The dict caches share nothing, one in each worker.",
            "A live token: one that WeChat gave to this library's workers, and honours when the call begins and ends.",
            "The workers are threads in real time, so two runs are not the same to the call.",
        ],
    )
    errors = Table(
        "day-errors",
        "The calls of that day that failed",
        ["trouble", "who", "error", "a live token existed", "what was up", "calls"],
    )
    names = [Ours.name, Dict.name]
    if Wechatpy in installed()[0]:
        names.insert(1, f"{Wechatpy.name} with Redis")
    for title, trouble in (("none", Trouble()), ("yes", Trouble.of(1, length))):
        for name in names:
            with testbed.backend("redis") as backend:
                if backend is None:
                    table.notes.append("redis-server is not installed.")
                    break
                day = Day(name, backend, trouble, length)
                table.add(title, name, *day.pass_by())
                for (error, alive, situation), count in sorted(day.errors.items()):
                    errors.add(title, name, error, alive, situation, count)
    logging.disable(logging.NOTSET)
    yield table
    if errors.rows:
        yield errors


class Day:
    """One library's day."""

    def __init__(self, name: str, backend: Any, trouble: Trouble, length: float) -> None:
        self._name, self._backend, self._trouble, self._length = name, backend, trouble, length
        self._random = random.Random(2)
        self._owed = 0.0  # seconds that Redis has to catch up
        self._calls = 0
        self.errors: Counter[tuple[str, str, str]] = Counter()  # which, whether a live token existed, what was up
        self._faults: list[Any] = []  # in force
        self._stolen: set[str] = set()  # tokens that another service got

    def pass_by(self) -> tuple[int, int, int, int, int]:
        """Let it pass, and tell what came of it."""
        with time_machine.travel(time.time(), tick=True) as traveller:
            # A quota's day ends at midnight in China; this day is to lie within one.
            traveller.shift(86_400 - (time.time() + 8 * 3600) % 86_400 + 1)
            self._wechat = wechat = WeChat(clock=time.time, overlap=300.0)
            with SimulatorServer(wechat) as server, ThreadPoolExecutor(WORKERS) as threads:
                self._url = server.url
                workers = [self._worker() for _ in range(WORKERS)]
                begin, events = time.time(), self._events(workers)
                while (now := time.time() - begin) < self._length:
                    while events and events[0][0] <= now:
                        events.pop(0)[1]()
                    self._ask(threads, workers)
                    step = self._random.uniform(60, 120)
                    traveller.shift(step)
                    self._age(step)
                if self._backend.is_down:
                    self._backend.up()
                with_live, without = (
                    sum(count for (_, alive, _), count in self.errors.items() if alive == word)
                    for word in ("yes", "no")
                )
                left = max(0, wechat.daily_quota - wechat.fetches() - wechat.stolen())
                return self._calls, with_live, without, wechat.calls(PATH), left

    def _ask(self, threads: ThreadPoolExecutor, workers: list[Any]) -> None:
        for failed in filter(None, threads.map(self._failure_of, workers)):
            self.errors[*failed, self._situation()] += 1
        for worker in workers:
            if isinstance(worker, Ours) and (flight := worker.provider._own.flight) is not None:
                flight.wait(20)
        self._wechat.wait_for(lambda: not self._wechat.in_progress, 20)
        self._calls += len(workers)

    def _failure_of(self, worker: Any) -> tuple[str, str] | None:
        """Let a worker call; which error it got, if any, and whether a live token existed all along."""
        before = self._is_one_alive()
        error = _error_of(worker)
        if error is None:
            return None
        # Also now: while one worker fails, another may have fetched, or the token may have died.
        return error, "yes" if before and self._is_one_alive() else "no"

    def _is_one_alive(self) -> bool:
        """Whether WeChat honours, right now, a token that it gave to a worker."""
        wechat = self._wechat
        tokens = [token.value for token in wechat.accounts[wechat.appid].slots["classic"].live]
        return any(wechat.is_valid(token) for token in tokens if token not in self._stolen)

    def _situation(self) -> str:
        up = ["WeChat's token endpoint down"] * bool(self._faults) + ["Redis down"] * self._backend.is_down
        return ", ".join(up) or "nothing"

    def _worker(self) -> Any:
        wechat = self._wechat
        url = self._backend.url.partition("?")[0]
        if self._name == Ours.name:
            from support.on_clock import OnClock

            from wxmiddleware.stores.redis import RedisStore

            # Each worker has a store of its own, and so shares nothing with the others in this process.
            store = OnClock(RedisStore.from_url(url), time.time)
            return Ours(
                wechat.appid, wechat.secret, self._url, store=store, runtime=Runtime(clock=time.time, time=time.time)
            )
        if self._name == Dict.name:
            return Dict(wechat.appid, wechat.secret, self._url)
        from wechatpy.session.redisstorage import RedisStorage

        return Wechatpy(wechat.appid, wechat.secret, self._url, session=RedisStorage(redis.Redis.from_url(url)))

    def _events(self, workers: list[Any]) -> list[tuple[float, Callable[[], object]]]:
        faults = self._faults

        def kill() -> None:
            workers[self._random.randrange(WORKERS)] = self._worker()

        def steal() -> None:
            self._stolen.add(self._wechat.steal())

        def wechat_down() -> None:
            faults.append(self._wechat.faults.add(PATH, "status", times=None))

        def store_down() -> None:
            if not self._backend.is_down:
                self._backend.down()

        def store_up() -> None:
            if self._backend.is_down:
                self._backend.up()

        trouble = self._trouble
        events: list[tuple[float, Callable[[], object]]] = []
        events += [(at, self._wechat.revoke) for at in trouble.rejections]
        events += [(at, kill) for at in trouble.kills]
        events += [(at, steal) for at in trouble.thefts]
        for begin, end in trouble.wechat_down:
            events += [(begin, wechat_down), (end, lambda: faults.pop().remove())]
        for begin, end in trouble.store_down:
            events += [(begin, store_down), (end, store_up)]
        return sorted(events, key=lambda event: event[0])

    def _age(self, seconds: float) -> None:
        """Bring the ends of what Redis holds nearer."""
        self._owed += seconds
        if self._backend.is_down:
            return
        with redis.Redis.from_url(self._backend.url) as client:
            for key in client.scan_iter():
                left = client.pttl(key)
                if left >= 0:
                    client.pexpire(key, max(0, int(left - self._owed * 1000)))
        self._owed = 0.0


def _error_of(worker: Any) -> str | None:
    try:
        worker.call()
    except Exception as error:
        # Nothing of the message: libraries put tokens there.
        errcode = getattr(error, "errcode", None) or (error.args[0] if isinstance(error, Refused) else None)
        return f"{type(error).__name__} {errcode}" if errcode else type(error).__name__
    return None
