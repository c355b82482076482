"""
The hot paths beside hand-written ones, in one run: ``make bench``.

Each pair takes turns, so that a busy machine slows both; the ratio of the best rounds is what counts. Nothing here
fails on a time. The memory of an account is measured with tracemalloc over many accounts.
"""

from __future__ import annotations

import argparse
import functools
import gc
import json
import platform
import random
import resource
import statistics
import sys
import time
import timeit
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from wxmiddleware import Account, ProviderPool, TokenProvider, with_token
from wxmiddleware._clock import clock
from wxmiddleware.asgi import TokenMiddleware as AsgiMiddleware
from wxmiddleware.sources import Failure, Grant
from wxmiddleware.stores import Record
from wxmiddleware.wsgi import TokenMiddleware as WsgiMiddleware

TOKEN = "60_" + "k" * 153
ROUNDS = 15

Loop = Callable[[int], object]


class Scripted:
    """A source that answers at once: what is measured here is the way of a token that is there."""

    kind, timeout, ahead, kills, forcible = "scripted", 5.0, 600.0, False, False

    def fetch(self, account: Account, *, force: bool = False) -> Grant | Failure:
        return Grant(TOKEN, 7200)


class Snapshot:
    __slots__ = ("end", "value")

    def __init__(self, value: str, end: float) -> None:
        self.value, self.end = value, end


class Bare:
    """The least that anybody can write: one attribute, one clock, one comparison."""

    __slots__ = ("clock", "snapshot")

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.snapshot = Snapshot(TOKEN, clock() + 7200)

    def get(self) -> str:
        snapshot = self.snapshot
        if self.clock() < snapshot.end:
            return snapshot.value
        raise LookupError

    async def aget(self) -> str:
        snapshot = self.snapshot
        if self.clock() < snapshot.end:
            return snapshot.value
        raise LookupError


_minimal: ContextVar[str | None] = ContextVar("minimal", default=None)


def minimal_wsgi(app: Any, bare: Bare) -> Any:
    def middleware(environ: dict[str, Any], start_response: Any) -> Any:
        token = environ["wxmiddleware.token"] = bare.get()
        mark = _minimal.set(token)
        try:
            return app(environ, start_response)
        finally:
            _minimal.reset(mark)

    return middleware


def minimal_asgi(app: Any, bare: Bare) -> Any:
    async def middleware(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] in ("http", "websocket"):
            token = scope.setdefault("state", {})["wx_token"] = bare.get()
            mark = _minimal.set(token)
            try:
                await app(scope, receive, send)
            finally:
                _minimal.reset(mark)
        else:
            await app(scope, receive, send)

    return middleware


def _wsgi_app(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]


async def _asgi_app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})


def _start_response(*_: object) -> None:
    return None


async def _send(_: object) -> None:
    return None


def calls(function: Callable[[], object]) -> Loop:
    def loop(number: int) -> None:
        for _ in range(number):
            function()

    return loop


def awaits(function: Callable[[], Any]) -> Loop:
    def loop(number: int) -> None:
        for _ in range(number):
            with suppress(StopIteration):
                function().send(None)  # nothing here ever waits, so no event loop is needed

    return loop


def requests_of(app: Any) -> Loop:
    def loop(number: int) -> None:
        for _ in range(number):
            list(app({"PATH_INFO": "/"}, _start_response))

    return loop


def scopes_of(app: Any) -> Loop:
    return awaits(lambda: app({"type": "http", "path": "/"}, None, _send))


def pairs(provider: TokenProvider) -> dict[str, tuple[Loop, Loop]]:
    bare = Bare(clock)

    def answer(access_token: str, openid: str) -> dict[str, object]:
        return {"errcode": 0, "openid": openid}

    async def async_answer(access_token: str, openid: str) -> dict[str, object]:
        return {"errcode": 0, "openid": openid}

    def by_hand(function: Any) -> Any:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            result = function(bare.get(), *args, **kwargs)
            if isinstance(result, dict) and result.get("errcode") in (40001, 40014, 42001):
                return function(bare.get(), *args, **kwargs)
            return result

        return wrapper

    def by_hand_async(function: Any) -> Any:
        @functools.wraps(function)
        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            result = await function(await bare.aget(), *args, **kwargs)
            if isinstance(result, dict) and result.get("errcode") in (40001, 40014, 42001):
                return await function(await bare.aget(), *args, **kwargs)
            return result

        return wrapper

    looked_at, async_looked_at = by_hand(answer), by_hand_async(async_answer)
    decorated, async_decorated = with_token(provider)(answer), with_token(provider)(async_answer)
    return {
        "get_token": (calls(bare.get), calls(provider.get_token)),
        "get_token, bare one on time.monotonic": (calls(Bare(time.monotonic).get), calls(provider.get_token)),
        "aget_token": (awaits(bare.aget), awaits(provider.aget_token)),
        "WSGI middleware": (
            requests_of(minimal_wsgi(_wsgi_app, bare)),
            requests_of(WsgiMiddleware(_wsgi_app, provider)),
        ),
        "ASGI middleware": (scopes_of(minimal_asgi(_asgi_app, bare)), scopes_of(AsgiMiddleware(_asgi_app, provider))),
        "with_token, sync": (calls(lambda: looked_at("o1")), calls(lambda: decorated("o1"))),
        "with_token, async": (awaits(lambda: async_looked_at("o1")), awaits(lambda: async_decorated("o1"))),
    }


def compare(theirs: Loop, ours: Loop, number: int) -> dict[str, float]:
    """Nanoseconds per call of both, best of the rounds, and their ratio."""
    times: dict[str, list[float]] = {"hand": [], "ours": []}
    for loop in (theirs, ours):
        loop(number // 10)
    for _ in range(ROUNDS):
        for name, loop in (("hand", theirs), ("ours", ours)):
            begin = time.perf_counter_ns()
            loop(number)
            times[name].append((time.perf_counter_ns() - begin) / number)
    best = {name: min(values) for name, values in times.items()}
    medians = {f"{name}_median": statistics.median(values) for name, values in times.items()}
    return {**best, **medians, "ratio": best["ours"] / best["hand"]}


def memory_per_account(accounts: int) -> float:
    """Bytes of a provider with its token, over so many accounts."""
    source = Scripted()
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    # A token of its own for each, as in life: 156 characters.
    providers = [
        TokenProvider(Account(f"wx{number:016x}", f"{number:032x}"), source=source) for number in range(accounts)
    ]
    for provider in providers:
        provider.get_token()
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return (after - before) / accounts + sys.getsizeof(TOKEN)


def pool_of(accounts: int) -> dict[str, float]:
    """A full pool: bytes of an account with its token, and nanoseconds of a `get` and `get_token` by AppID."""
    source = Scripted()
    gc.collect()
    before = _resident()
    pool = ProviderPool(
        lambda appid: TokenProvider(Account(appid, f"{appid}-secret"), source=source), maxsize=max(accounts, 1)
    )
    appids = [f"wx{number:016x}" for number in range(accounts)]
    for appid in appids:
        _give_token(pool.get(appid))
    gc.collect()
    used = _resident() - before
    # As many as are in use at a time: of thousands, one would measure the processor's caches.
    few = random.Random(accounts).sample(appids, min(accounts, 100))

    def want() -> None:
        for appid in few:
            pool.get(appid).get_token()

    want()  # their turn to look at the store has come while the others were made
    best = min(timeit.repeat(want, number=1, repeat=ROUNDS)) / len(few)
    assert len(pool) == accounts
    return {"bytes": used / accounts, "get": best * 1e9}


def _give_token(provider: TokenProvider) -> None:
    """What a fetch leaves behind, without its thread: a record in the store, and a snapshot of it here."""
    keeper, now = provider._own, clock()
    value = f"60_{provider.account.appid:k<153}"
    record = Record(1, value, expires_at=now + 7200, sent_at=now, received_at=now)
    keeper.store.save(keeper.key, record, keeper.store.load(keeper.key).version)
    keeper.inform(record, 0.0)


def _resident() -> int:
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:  # not Linux: the most it has ever been
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=50_000, help="calls in a round")
    parser.add_argument("--accounts", type=int, default=2_000, help="accounts for the measure of memory")
    parser.add_argument("--pool", type=int, default=100_000, help="accounts in the big pool")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    provider = TokenProvider(Account("wx0123456789abcdef", "a-secret-of-nobody"), source=Scripted())
    provider.get_token()

    print(f"Python {platform.python_version()}, {platform.system()} {platform.machine()}")
    print(f"{'nanoseconds per call, best of ' + str(ROUNDS):40} {'by hand':>9} {'ours':>9} {'ratio':>7}")
    figures: dict[str, Any] = {}
    for name, (theirs, ours) in pairs(provider).items():
        row = figures[name] = compare(theirs, ours, options.number)
        print(f"{name:40} {row['hand']:9.0f} {row['ours']:9.0f} {row['ratio']:7.2f}", flush=True)
    memory = figures["bytes per account"] = memory_per_account(options.accounts)
    print(f"{'memory of an account and its token':40} {memory / 1024:9.1f} KiB")
    for accounts in sorted({min(1_000, options.pool), options.pool}):
        row = figures[f"pool of {accounts}"] = pool_of(accounts)
        size = f"{row['bytes'] / 1024:.1f} KiB an account"
        print(f"{f'pool of {accounts}: get and get_token':40} {'':>9} {row['get']:9.0f}         {size}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
