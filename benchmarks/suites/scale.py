"""Many accounts in one process: memory, lookup, and how long it takes until all are refreshed."""

from __future__ import annotations

import gc
import json
import random
import resource
import subprocess
import sys
import time
import timeit
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from wxmiddleware import Account, ProviderPool, Runtime, TokenProvider
from wxmiddleware._runtime.clock import clock
from wxmiddleware.simulator import SimulatorServer, WeChat
from wxmiddleware.sources import Failure, Grant
from wxmiddleware.stores import Record

from ..report import Table

THREADS = 16


def run(*, quick: bool) -> Iterator[Table]:
    """Measure, each size in a process of its own."""
    table = Table(
        "scale",
        "Accounts in one ProviderPool",
        ["accounts", "KiB each", "pool.get and get_token, ns", f"all refreshed by {THREADS} threads, s", "each, µs"],
        notes=[
            "KiB: resident memory over the number of accounts, tokens included; of few, pages count.",
            "Lookup: the best of 31 rounds, each over up to 100 accounts in turn.",
            "Refreshed: all tokens expired, from a source that answers at once, so it is our own work.",
        ],
    )
    for accounts in (1, 100, 1000) if quick else (1, 10, 100, 1000, 10_000, 100_000):
        ran = subprocess.run(
            [sys.executable, "-m", "benchmarks.suites.scale", str(accounts)], capture_output=True, text=True, check=True
        )
        found = json.loads(ran.stdout)
        table.add(accounts, found["kib"], found["lookup"], found["refresh"], found["refresh"] / accounts * 1e6)
    yield table
    yield _over_http((20,) if quick else (100, 1000))


class Counting:
    """A source that answers at once, each time with another token."""

    kind, timeout, refresh_ahead, revokes_previous, can_force = "scripted", 5.0, 600.0, False, False

    def __init__(self) -> None:
        self.fetches = 0

    def fetch(self, account: Account, *, force: bool = False) -> Grant | Failure:
        self.fetches += 1  # about right is enough: threads may lose one
        return Grant(f"60_{account.appid:k<154}", 7200)


class Shifted:
    """The process's clock, which can be moved on."""

    ahead = 0.0

    def __call__(self) -> float:
        return clock() + self.ahead


def measure(accounts: int) -> dict[str, float]:
    """Fill a pool, look things up, and let all tokens expire."""
    source, now = Counting(), Shifted()
    gc.collect()
    before = _resident()
    pool = ProviderPool(
        lambda appid: TokenProvider(Account(appid, f"{appid}-secret"), source=source, runtime=Runtime(clock=now)),
        maxsize=accounts,
    )
    appids = [f"wx{number:016x}" for number in range(accounts)]
    for appid in appids:
        _give_token(pool.get(appid), now())
    gc.collect()
    used = _resident() - before
    # As many as are in use at a time: of thousands, one would measure the processor's caches.
    few = random.Random(accounts).sample(appids, min(accounts, 100))

    def look_up() -> None:
        for appid in few:
            pool.get(appid).get_token()

    look_up()
    repeat = max(1, 1000 // len(few))
    lookup = min(timeit.repeat(look_up, number=repeat, repeat=31))
    now.ahead = 7300.0
    begin = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as threads:
        for _ in threads.map(lambda appid: pool.get(appid).get_token(), appids, chunksize=64):
            pass
    refresh = time.perf_counter() - begin
    assert len(pool) == accounts
    return {"kib": used / accounts / 1024, "lookup": lookup / repeat / len(few) * 1e9, "refresh": refresh}


def _over_http(sizes: tuple[int, ...]) -> Table:
    table = Table(
        "scale-http",
        f"All tokens fetched over HTTP by {THREADS} threads",
        ["accounts", "fetches", "failed", "s", "each, ms"],
        notes=["The simulator is in the same process, and does most of the work."],
    )
    for accounts in sizes:
        wechat = WeChat()
        for number in range(accounts):
            wechat.add_account(f"wx{number:016x}", f"{number:032x}")
        with SimulatorServer(wechat) as server:
            pool = ProviderPool(_Made(server.url), maxsize=accounts)
            failed: list[Exception] = []

            def fetch(number: int, pool: Any = pool, failed: list[Exception] = failed) -> None:
                try:
                    pool.get(f"wx{number:016x}").get_token()
                except Exception as error:
                    failed.append(error)

            begin = time.perf_counter()
            with ThreadPoolExecutor(THREADS) as threads:
                list(threads.map(fetch, range(accounts)))
            taken = time.perf_counter() - begin
            table.add(accounts, wechat.fetches(), len(failed), taken, taken / accounts * 1e3)
    return table


class _Made:
    """Makes the provider of an account at the simulator."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __call__(self, appid: str) -> TokenProvider:
        return TokenProvider(Account(appid, f"{int(appid[2:], 16):032x}", base_url=self._url))


def _give_token(provider: TokenProvider, now: float) -> None:
    """What a fetch leaves behind, without its thread: a record in the store, and a snapshot of it here."""
    cached = provider._own
    value = f"60_{provider.account.appid:k<154}"
    record = Record(1, value, expires_at=now + 7200, sent_at=now, received_at=now)
    cached.amend(lambda _before, _now: record)


def _resident() -> int:
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:  # not Linux: the most it has ever been
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]))))
