"""Whole requests: the two examples behind real servers, asked by wrk, with the middleware and without."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import requests

from wxmiddleware.simulator import SimulatorServer, WeChat

from .. import testbed, wrk
from ..report import Table

ROOT = Path(__file__).parents[2]
TOKEN = "bench"
CONNECTIONS = 8
SHORT = 2  # seconds that a token lives where it is renewed during each run
ROUNDS = 9
GUNICORN = "gunicorn --worker-class gthread --workers 1 --threads 4 --bind 127.0.0.1:{port} benchmarks.apps:app"
UVICORN = "uvicorn --no-access-log --log-level warning --port {port} benchmarks.apps:app"
# The example, and what serves it.
SERVERS = {
    "Flask": ("flask_app", GUNICORN),
    "Starlette, uvloop": ("starlette_app", f"{UVICORN} --loop uvloop --http httptools"),
    "Starlette, asyncio": ("starlette_app", f"{UVICORN} --loop asyncio --http h11"),
}
WAYS = ("without", "without, again", "by hand", "with", "with, across a refresh")


def run(*, quick: bool) -> Iterator[Table]:
    """Measure."""
    seconds, rounds = (1, 1) if quick else (SHORT, ROUNDS)
    table = Table(
        "end-to-end",
        f"wrk with {CONNECTIONS} connections, GET /wechat (a signature is checked), medians of {rounds} x {seconds} s",
        [
            "example",
            "middleware",
            "requests/s",
            "of without",
            *(f"{each}, ms" for each in wrk.PERCENTILES),
            "errors",
            "fetches",
        ],
        notes=[
            "gunicorn has one worker with four threads, uvicorn one process; wrk shares the two cores with them.",
            "All take turns, in another order each round. Of without: the median of the ratios within a round.",
            "Without, again: the same once more. How far that is from 1 is noise.",
            "By hand: a closure that puts a fixed token into the environ or scope and a context variable.",
            f"Across a refresh: tokens live for {SHORT} s, and are fetched again while wrk asks.",
            "Uvicorn with uvloop and httptools, which its extra 'standard' brings; and on asyncio's own loop with h11.",
        ],
    )
    if not wrk.is_installed():
        table.notes.append("wrk is not installed.")
        yield table
        return
    with ExitStack() as stack:
        for example in SERVERS:
            servers = {way: stack.enter_context(_serving(example, way)) for way in WAYS}
            found: dict[str, list[wrk.Figures]] = {way: [] for way in WAYS}
            fetched = dict.fromkeys(WAYS, 0)
            for number in range(rounds):
                for way in random.Random(number).sample(WAYS, len(WAYS)):
                    url, wechat = servers[way]
                    requests.get(_signed(url), timeout=5)  # it has a token: what is measured is not a cold start
                    before = wechat.fetches()
                    asked = wrk.Request(_signed(url))
                    found[way].append(wrk.ask(asked, connections=CONNECTIONS, seconds=seconds))
                    fetched[way] += wechat.fetches() - before
            for way in WAYS:
                rate = statistics.median(each.rate for each in found[way])
                ratio = statistics.median(each.rate / base.rate for each, base in zip(found[way], found["without"]))
                percentiles = map(statistics.median, zip(*(each.percentiles for each in found[way])))
                errors = sum(each.errors for each in found[way])
                table.add(example, way, rate, ratio, *percentiles, errors, fetched[way])
    yield table


@contextmanager
def _serving(example: str, way: str) -> Iterator[tuple[str, WeChat]]:
    wechat = WeChat(lifetime=SHORT if way == WAYS[-1] else 7200, token_latency=0.05)
    with SimulatorServer(wechat) as simulator:
        port, (folder, command) = testbed.free_port(), SERVERS[example]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "src"))),
            "WECHAT_APPID": wechat.appid,
            "WECHAT_SECRET": wechat.secret,
            "WECHAT_BASE_URL": simulator.url,
            "WECHAT_TOKEN": TOKEN,
            "BENCH_EXAMPLE": folder,
            "BENCH_MIDDLEWARE": way.partition(",")[0],
        }
        program, *options = command.format(port=port).split()
        server = subprocess.Popen(
            [str(Path(sys.executable).with_name(program)), *options],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            url = f"http://127.0.0.1:{port}/wechat"
            _await(url, server)
            yield url, wechat
        finally:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def _signed(url: str) -> str:
    words = {"timestamp": str(int(time.time())), "nonce": "n"}
    signature = hashlib.sha1("".join(sorted((TOKEN, *words.values()))).encode()).hexdigest()
    return f"{url}?{urlencode({**words, 'signature': signature, 'echostr': 'hello'})}"


def _await(url: str, server: subprocess.Popen[Any]) -> None:
    for _ in range(400):
        assert server.poll() is None, f"{server.args!r} ended."
        try:
            answer = requests.get(_signed(url), timeout=5)
        except requests.ConnectionError:
            time.sleep(0.05)
        else:
            assert answer.status_code == 200, answer.status_code
            return
    raise AssertionError(f"{server.args!r} does not listen.")
