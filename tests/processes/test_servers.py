"""
Real servers with the examples' apps: they serve, heal a rejected token, and fetch as often as they should.

The simulated WeChat is strict: a new token kills the one before at once. Server, worker
and WeChat keep the same time, which a test moves, by more than the 30 s that have to lie between two rejections.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from support.prelude import GATE, SharedClock, mark

from wxmiddleware.simulator import Fault, SimulatorServer, WeChat

from .conftest import PATHS
from .server import Kind, Server

STABLE = PATHS["stable"]

GUNICORN = "gunicorn --bind {address} --workers 2 --worker-class %s processes.flask_example:app"
UWSGI = (
    "--http-socket {address} --master --processes 2 --need-app --disable-logging --module processes.flask_example:app"
)
UVICORN = "uvicorn --port {port} --workers %d --log-level warning processes.starlette_example:app"

# Debian 12's, whose threads are off by default. It brings a Python 3.11 of its own, and takes our packages only.
FROZEN = Kind(
    "uwsgi-without-threads",
    f"uwsgi_python311 --plugin python311 --pythonpath {{packages}} {UWSGI}",
    2,
    preloads=True,
    python=(3, 11),
)
WORKER_CLASSES = {"sync": "sync", "gthread": "gthread --threads 4", "gevent": "gevent"}
KINDS = [
    *(Kind(f"gunicorn-{name}", GUNICORN % each, 2) for name, each in WORKER_CLASSES.items()),
    *(
        Kind(f"gunicorn-{name}-preload", f"{GUNICORN} --preload" % each, 2, preloads=True)
        for name, each in WORKER_CLASSES.items()
    ),
    Kind("uwsgi", f"pyuwsgi {UWSGI}", 2, preloads=True),
    FROZEN,
    Kind("uvicorn", UVICORN % 1, 1),
    Kind("uvicorn-2", UVICORN % 2, 2),
]


class Fleet:
    """A server, the WeChat that it talks to, and what it cost to get every worker going."""

    def __init__(self, server: Server, wechat: WeChat, clock: SharedClock) -> None:
        self.server = server
        self.wechat = wechat
        self.clock = clock
        self.workers = server.kind.workers
        self.send()
        self.boot = self.counted

    def begin(self) -> None:
        """Make a new start: healthy, all workers with the same token, nothing counted."""
        self.wechat.faults.clear()
        self.wechat.token_latency = 0.0
        self.clock.advance(7300)
        self.send()
        self.clock.advance(60)
        self.wechat.reset_counters()

    def send(self) -> None:
        """Let users send a message through every worker. None of them meets an error."""
        before = len(self.wechat.sent)
        answers = self.server.visit("/notify/oAda", {"text": "hello"})
        assert [json.loads(answer)["errcode"] for answer in answers] == [0] * len(answers)
        assert len(self.wechat.sent) - before == len(answers)

    @property
    def tokens(self) -> set[str]:
        """Which tokens the middleware attaches in the workers."""
        return set(self.server.visit("/token"))

    @property
    def current(self) -> str:
        return mark(str(self.wechat.current(slot="stable")))

    @property
    def counted(self) -> tuple[int, int]:
        return self.wechat.fetches(), self.wechat.minted()


def _fleet(kind: Kind, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with SharedClock.create(tmp_path_factory.mktemp("clock") / "clock") as clock:
        wechat = WeChat(clock=clock, overlap=0)
        with SimulatorServer(wechat) as simulator:
            env = {
                "WECHAT_APPID": wechat.appid,
                "WECHAT_SECRET": wechat.secret,
                "WECHAT_BASE_URL": simulator.url,
                "WX_TEST_CLOCK": str(clock.path),
                "WX_TEST_PRELOAD": "1" if kind.preloads else "",
            }
            server = Server(kind, env)
            try:
                yield Fleet(server, wechat, clock)
            finally:
                server.close()


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.name)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """One server after the other, each for all its tests: most of a test's time is the server's start."""
    yield from _fleet(request.param, tmp_path_factory)


@pytest.fixture
def fleet(running: Fleet) -> Fleet:
    running.begin()
    return running


def test_boot(running: Fleet) -> None:
    """Every worker asks once and is given the same token; if the app got one before the fork, no worker asks."""
    fetches = 1 if running.server.kind.preloads else running.workers

    assert running.boot == (fetches, 1)


def test_stolen(fleet: Fleet) -> None:
    """When another service has replaced the token, a worker that meets a rejection asks once, and no user sees it."""
    fleet.wechat.steal()

    fleet.send()

    assert fleet.tokens == {fleet.current}
    assert fleet.counted == (fleet.workers, 0)


def test_revoked(fleet: Fleet) -> None:
    """When WeChat has revoked the token, the workers share a single new one, and no user sees an error."""
    fleet.wechat.revoke()

    fleet.send()

    assert fleet.tokens == {fleet.current}
    assert fleet.counted == (fleet.workers, 1)


def test_expired(fleet: Fleet) -> None:
    """When the token's life is over, every worker asks once, and no user sees an error."""
    fleet.clock.advance(7300)

    fleet.send()

    assert fleet.tokens == {fleet.current}
    assert fleet.counted == (fleet.workers, 1)


def test_ahead(fleet: Fleet) -> None:
    """Near the token's end a user is served before the next one is there."""
    fleet.clock.advance(7200 - 60 - 200)
    hang = fleet.wechat.faults.add(STABLE, "hang", times=None)

    # A worker whose threads freeze answers, and then stays with the refresh until it is there.
    token = fleet.server.get("/token")

    assert token == fleet.current
    assert fleet.wechat.wait_for(lambda: hang.hits == 1, timeout=20)
    assert fleet.counted == (0, 0)
    hang.remove()
    fleet.send()
    assert fleet.tokens == {fleet.current} != {token}
    assert fleet.counted == (fleet.workers, 1)


def test_renewed(fleet: Fleet) -> None:
    """Near the token's end a single request is enough: its worker fetches the next token with no other request."""
    fleet.clock.advance(7200 - 60 - 200)
    fleet.wechat.token_latency = 0.2

    fleet.server.get("/token")

    assert fleet.wechat.wait_for(lambda: fleet.wechat.minted() == 1, timeout=10)
    fleet.send()
    assert fleet.tokens == {fleet.current}
    assert fleet.counted == (fleet.workers, 1)


@pytest.fixture(scope="module")
def _frozen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    alone = replace(FROZEN, command=FROZEN.command.replace("--processes 2", "--processes 1"), workers=1)
    yield from _fleet(alone, tmp_path_factory)


@pytest.fixture
def frozen(_frozen: Fleet) -> Fleet:
    """A single worker whose threads freeze between requests, with a token near its end."""
    _frozen.begin()
    _frozen.clock.advance(7200 - 60 - 200)
    return _frozen


def freeze(fleet: Fleet) -> Fault:
    """Start a refresh that nobody stays with: it is frozen after its request has been sent, and no answer comes."""
    hang, gate = fleet.wechat.faults.add(STABLE, "hang"), fleet.wechat.faults.add(GATE, "hang")
    with ThreadPoolExecutor(1) as pool:
        served = pool.submit(fleet.server.get, "/peek-and-wait")
        assert fleet.wechat.wait_for(lambda: hang.hits == 1 == gate.hits, timeout=15)
        gate.release()
        served.result()
    return hang


def test_thawed(frozen: Fleet) -> None:
    """A refresh that was frozen at once ends with the next request, and its token is used."""
    frozen.server.get("/peek")
    frozen.clock.advance(5)

    frozen.server.get("/token")

    assert frozen.tokens == {frozen.current}
    assert frozen.counted == (1, 1)


def test_thawed_later(frozen: Fleet) -> None:
    """A refresh that lay frozen beyond its deadlines ends with the next request, too: it is the only one."""
    freeze(frozen).release()
    frozen.clock.advance(180)

    frozen.server.get("/token")

    assert frozen.tokens == {frozen.current}
    assert frozen.counted == (1, 1)


def test_thawed_too_late(frozen: Fleet) -> None:
    """A refresh that lies frozen when the token is over, and has no answer yet, is superseded by another one."""
    hang = freeze(frozen)
    frozen.clock.advance(600)

    frozen.send()

    assert frozen.tokens == {frozen.current}
    assert frozen.counted == (1, 1)
    hang.release()


def test_thawed_refused(frozen: Fleet) -> None:
    """A refresh that lies frozen when the token is rejected, and has no answer yet, is superseded by another one."""
    hang = freeze(frozen)
    frozen.clock.advance(100)
    frozen.wechat.revoke()

    frozen.send()

    assert frozen.tokens == {frozen.current}
    assert frozen.counted == (1, 1)
    hang.release()
