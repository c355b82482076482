"""What the hub costs: tokens from it and calls through it, beside the plain ones, and beside nginx, which forwards."""

from __future__ import annotations

import json
import random
import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import redis
import requests

from wxmiddleware.hub import hash_key, new_key

from .. import servers, testbed, wrk
from ..report import Table
from ..servers import Server
from ..wrk import Request

CONNECTIONS = (1, 64)
ROUNDS, SECONDS = 5, 2
APPID = "wx8a1b2c3d4e5f6a7b"
# Seconds that a token lives. Who asks again in the last ten minutes is answered as one who asks for the first time;
# earlier it is taken to mean that its token was rejected, which is asked WeChat.
LIFE = 590
PLAIN, NGINX = "plain", "through nginx"
COLUMNS = [
    *("what", "who", "connections", "requests/s", "p50, ms", "p50, of nginx's", "p99, ms"),
    *("CPU each, µs", "CPU, of nginx's", "requests/s and core", "errors"),
]
_JSON = {"Content-Type": "application/json"}
_MESSAGE = '{"touser": "oABC", "msgtype": "text", "text": {"content": "hello"}}'
_FILE = """
store = { env = "STORE" }
secrets = { env = "SIGNS" }
[accounts.%s]
secret = { env = "APP_SECRET" }
base_url = "%s"
[callers.own]
keys = ["%s"]
accounts = ["%s"]
[callers.real]
keys = ["%s"]
accounts = ["%s"]
tokens = "wechat"
"""


@dataclass(frozen=True)
class Way:
    """Who is asked for what, what the answer must have in it, and whether it is the hub."""

    server: Server
    request: Request
    says: str
    is_hubs: bool = False

    def check(self) -> None:
        """See that it is answered rightly: the hub's refusals have status 200, as WeChat's."""
        asked = self.request
        answer = requests.request(asked.method, asked.url, headers=asked.headers, data=asked.body or None, timeout=10)
        assert self.says in answer.text, answer.text


class Audit:
    """What the hub writes down of its answers."""

    def __init__(self, path: Path) -> None:
        self._path, self._read = path, 0

    def failed(self) -> int:
        """How many were not served since it was asked last. Clients that leave are wrk's, at the end of its time."""
        with self._path.open() as lines:
            lines.seek(self._read)
            new = lines.read()
        whole = new.rpartition("\n")[0]
        self._read += len(whole) + bool(whole)  # it is ASCII
        return sum(json.loads(line)["result"] not in ("ok", "client left") for line in whole.splitlines())


@dataclass
class Measured:
    """The rounds of one way."""

    figures: list[wrk.Figures] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)  # microseconds for each request
    commands: int = 0  # at the store
    failed: int = 0  # as the audit says

    @property
    def requests(self) -> int:
        """All that were answered."""
        return sum(each.requests for each in self.figures)


def run(*, quick: bool) -> Iterator[Table]:
    """Measure."""
    rounds, seconds = (1, 1) if quick else (ROUNDS, SECONDS)
    table = Table(
        "hub",
        f"wrk on loopback, medians of {rounds} x {seconds} s",
        COLUMNS,
        notes=[
            "Plain: the upstream itself, an nginx with one answer. Through nginx: another one, which forwards to it.",
            "Both have one worker and write no log; the hub is one process with its audit. All keep their connections.",
            "Its token, WeChat's token: of which kind the token is that is asked for, or in the call.",
            "CPU each: what one request costs the hub, the nginx that forwards, the bare uvicorn or the upstream.",
            "Requests/s and core: the inverse. The requests/s are fewer: wrk, the upstream and others take their part.",
            "All take turns, in another order each round; of nginx's: the median of the ratios within a round.",
            "Errors: wrk's, and what the hub's audit has besides \"ok\".",
        ],
    )
    store = Table(
        "hub-store",
        "Commands at the hub's Redis while it was asked for tokens",
        ["what", "connections", "requests", "commands"],
        notes=["Between requests, the engine looks at the store about once a minute."],
    )
    absent = [name for name, is_there in (("nginx", servers.nginx()), ("wrk", wrk.is_installed())) if not is_there]
    if absent:
        table.notes.append(f"Not measured: {' and '.join(absent)} {'is' if len(absent) == 1 else 'are'} not installed.")
        yield table
        return
    with ExitStack() as stack:
        backend = stack.enter_context(testbed.backend("redis"))
        if backend is None:
            table.notes.append("Not measured: redis-server is not installed.")
            yield table
            return
        room = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wx-hub-")))
        room.chmod(0o755)  # the workers of nginx are another user's, if root starts it
        commands, audit = _commands(backend.url), Audit(room / "audit.log")
        for what, ways in _ways(stack, room, backend.url).items():
            for connections in CONNECTIONS:
                measured = _take_turns(ways, connections, rounds, seconds, commands, audit)
                _add(table, what, connections, measured)
                if what == "a token":
                    for who in (each for each in ways if ways[each].is_hubs):
                        store.add(who, connections, measured[who].requests, measured[who].commands)
    yield table
    yield store


def _ways(stack: ExitStack, room: Path, store: str) -> dict[str, dict[str, Way]]:
    """Start all that is asked, and say what of whom."""
    upstream = stack.enter_context(servers.upstream(room, LIFE))
    nginx = stack.enter_context(servers.forwarding(room, upstream))
    own, real = new_key(), new_key()
    file = _FILE % (APPID, upstream.url, hash_key(own), APPID, hash_key(real), APPID)
    env = {"STORE": store, "SIGNS": new_key(), "APP_SECRET": "s" * 32}
    hub = stack.enter_context(servers.hub(room, file, env))
    bare = stack.enter_context(servers.bare(room))

    def token(server: Server, key: str) -> Way:
        query = f"grant_type=client_credential&appid={APPID}&secret={key}"
        return Way(server, Request(f"{server.url}/cgi-bin/token?{query}"), '"access_token"', is_hubs=server is hub)

    def call(server: Server, token: str, body: str) -> Way:
        asked = _call(f"{server.url}/cgi-bin/message/custom/send?access_token={token}", body)
        return Way(server, asked, '"errcode":0', is_hubs=server is hub)

    def by_key(body: str) -> Way:
        url = f"{hub.url}/{APPID}/cgi-bin/message/custom/send"
        return Way(hub, _call(url, body, Authorization=f"Bearer {own}"), '"errcode":0', is_hubs=True)

    native = {"Authorization": f"Bearer {real}", "Wxmiddleware": "1"}
    given = requests.get(token(hub, own).request.url, timeout=10).json()["access_token"]
    return {
        "a token": {
            PLAIN: token(upstream, own),
            NGINX: token(nginx, own),
            "a bare uvicorn": token(bare, own),
            "/cgi-bin/token, its token": token(hub, own),
            "/cgi-bin/token, WeChat's token": token(hub, real),
            "/v1/tokens": Way(
                hub, Request(f"{hub.url}/v1/tokens/{APPID}", headers=native), '"access_token"', is_hubs=True
            ),
        },
        **{
            what: {
                PLAIN: call(upstream, given, body),
                NGINX: call(nginx, given, body),
                "the hub, with a key": by_key(body),
                "the hub, with its token": call(hub, given, body),
            }
            for what, body in (("GET", ""), ("POST", _MESSAGE))
        },
    }


def _call(url: str, body: str, **headers: str) -> Request:
    return Request(url, "POST", {**_JSON, **headers}, body) if body else Request(url, headers=headers)


def _take_turns(
    ways: dict[str, Way], connections: int, rounds: int, seconds: int, commands: Callable[[], int], audit: Audit
) -> dict[str, Measured]:
    measured = {who: Measured() for who in ways}
    for number in range(rounds):
        for who in random.Random(number).sample(list(ways), len(ways)):
            way, found = ways[who], measured[who]
            way.check()
            cpu, sent = way.server.cpu(), commands()
            found.figures.append(wrk.ask(way.request, connections=connections, seconds=seconds))
            found.commands += commands() - sent
            found.cpu.append((way.server.cpu() - cpu) / found.figures[-1].requests * 1e6)
            way.check()
            if way.is_hubs:
                found.failed += audit.failed()
    return measured


def _add(table: Table, what: str, connections: int, measured: dict[str, Measured]) -> None:
    nginx = measured[NGINX]
    for who, found in measured.items():
        p50, p99, _ = (statistics.median(each) for each in zip(*(each.percentiles for each in found.figures)))
        slower = statistics.median(
            ours.percentiles[0] / its.percentiles[0] for ours, its in zip(found.figures, nginx.figures)
        )
        dearer = statistics.median(ours / its for ours, its in zip(found.cpu, nginx.cpu))
        cpu, rate = statistics.median(found.cpu), statistics.median(each.rate for each in found.figures)
        errors = found.failed + sum(each.errors for each in found.figures)
        table.add(what, who, connections, rate, p50, slower, p99, cpu, dearer, 1e6 / cpu, errors)


def _commands(url: str) -> Callable[[], int]:
    """Count the commands that a Redis was sent by others."""
    at = urlsplit(url)
    assert at.hostname is not None
    assert at.port is not None
    client = redis.Redis(at.hostname, at.port)

    def counted() -> int:
        stats = client.info("commandstats")
        return sum(each["calls"] for name, each in stats.items() if name != "cmdstat_info")

    counted()  # what it says when it connects is not the hub's
    return counted
