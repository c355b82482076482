"""Many corps of one suite, and many processes of one corp, with real stores."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from stores.redis_server import RedisServer
from support.prelude import SharedClock
from support.program import Program

from wxmiddleware import ProviderPool, Runtime
from wxmiddleware.simulator import SimulatedSuite, SimulatorServer, WeChat
from wxmiddleware.stores.jsonfile import JSONFileStore
from wxmiddleware.stores.redis import RedisStore
from wxmiddleware.stores.sql import SQLStore
from wxmiddleware.suite import Suite, SuiteAccount

from .conftest import StartProgram

SUITE, SECRET = "ww5d0f2a8c4be1790a", "secret-of-the-suite"
CORP = "ww0000000000000001"
PROCESSES = 8
TOKEN, SUITE_TOKEN = "/cgi-bin/service/get_corp_token", "/cgi-bin/service/get_suite_token"
# Says what came of each line: a word for a token that was given, or why there is none.
PROGRAM = """
    import os, sys
    from support.prelude import time_of_test
    from wxmiddleware import TokenError
    from wxmiddleware.stores import store_from_url
    from wxmiddleware.stores.jsonfile import JSONFileStore
    from wxmiddleware.suite import Suite, SuiteAccount

    time, url = time_of_test(), os.environ["STORE"]
    store = store_from_url(url) if ":" in url else JSONFileStore(url, clock=time["runtime"].clock)
    account = SuiteAccount(os.environ["SUITE"], os.environ["SECRET"], base_url=os.environ["WECHAT_BASE_URL"])
    suite = Suite(account, store=store, durable=True, **time)
    provider = suite.corp(os.environ["CORP"])
    for line in sys.stdin:
        rejected = line.strip() or None
        try:
            print(provider.get_token(rejected), flush=True)
        except TokenError as error:
            print("none:", str(error).split(".")[0], flush=True)
"""


@pytest.fixture
def wechat_clock(shared_clock: SharedClock) -> SharedClock:
    return shared_clock


@pytest.fixture
def there(wechat: WeChat) -> SimulatedSuite:
    return wechat.add_provider("ww1a2b3c4d5e6f7081", "secret-of-the-provider").add_suite(SUITE, SECRET)


@pytest.fixture(
    params=[pytest.param("sqlite", id="sqlite"), pytest.param("redis", marks=pytest.mark.servers, id="redis")]
)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "file":
        yield f"{tmp_path}/tokens.json"
        return
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/tokens.db"
        return
    with RedisServer(tmp_path) as server:
        yield server.url


def ours(url: str, base_url: str, clock: SharedClock) -> Suite:
    # Databases have a clock of their own, and a test cannot move it.
    file = None if ":" in url else JSONFileStore(url, clock=clock)
    store = file or (RedisStore if url.startswith("redis") else SQLStore).from_url(url)
    runtime = Runtime(clock=clock, time=clock)
    return Suite(SuiteAccount(SUITE, SECRET, base_url=base_url), store=store, durable=True, runtime=runtime)


@pytest.fixture
def suite(url: str, wechat_server: SimulatorServer, shared_clock: SharedClock, there: SimulatedSuite) -> Suite:
    made = ours(url, wechat_server.url, shared_clock)
    made.remember_ticket(there.push_ticket())
    return made


Fleet = Callable[[], list[Program]]


@pytest.fixture
def fleet(program: StartProgram, url: str, there: SimulatedSuite) -> Fleet:
    corp = there.provider.open_corpid(CORP)

    def start() -> list[Program]:
        names = {"SUITE": SUITE, "SECRET": SECRET, "STORE": url, "CORP": corp}
        return [program(PROGRAM, **names) for _ in range(PROCESSES)]

    return start


def all_say(fleet: list[Program], line: str = "") -> list[str]:
    for each in fleet:
        each.say(line)
    return [each.hear() for each in fleet]


def test_dead_in_all(suite: Suite, there: SimulatedSuite, fleet: Fleet, wechat: WeChat) -> None:
    """A corp's token is dead in eight processes: one of them fetches."""
    suite.authorize(there.install(CORP))
    processes = fleet()
    (dead,) = set(all_say(processes))
    app = there.app(CORP)
    assert app is not None
    app.revoke()

    (fresh,) = set(all_say(processes, dead))
    assert dead != fresh
    assert (1, 1) == (wechat.calls(TOKEN), wechat.calls(SUITE_TOKEN))


@pytest.mark.parametrize("url", ["file"], indirect=True)
def test_outage_of_tickets(
    suite: Suite, there: SimulatedSuite, fleet: Fleet, wechat: WeChat, shared_clock: SharedClock
) -> None:
    """No ticket for 31 minutes: no process asks WeCom for anything; after one push all are served again."""
    suite.authorize(there.install(CORP))
    processes = fleet()
    all_say(processes)
    shared_clock.advance(7300 - 1860)
    suite.remember_ticket(there.push_ticket())
    shared_clock.advance(1860)
    wechat.reset_counters()
    for _ in range(3):
        assert all(said.startswith("none: ") for said in all_say(processes))
        shared_clock.advance(20)
    assert 0 == wechat.calls("/cgi-bin/*")

    suite.remember_ticket(there.push_ticket())
    shared_clock.advance(60)
    (token,) = set(all_say(processes))
    assert not token.startswith("none")
    assert (1, 1) == (wechat.calls(TOKEN), wechat.calls(SUITE_TOKEN))


@pytest.mark.parametrize("count", [300, pytest.param(10_000, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_many_corps(
    suite: Suite,
    there: SimulatedSuite,
    wechat: WeChat,
    wechat_server: SimulatorServer,
    url: str,
    shared_clock: SharedClock,
    count: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each corp's token is fetched once in one pool, and none in another process's; the suite's once for all."""
    corps = [f"ww{number:016x}" for number in range(count)]
    for corp in corps:
        with there._desk.lock:
            code = there.install(corp)
            whose = there._codes[code].corp
            there._desk._authorise(there, whose, there._corps[whose])
    began = time.monotonic()
    ids = [there.provider.open_corpid(corp) for corp in corps]
    for corp, whose in zip(corps, ids, strict=True):
        permanent = there.permanent_code(corp)
        assert permanent is not None
        suite.adopt_permanent_code(whose, permanent)
    pool = ProviderPool(suite.corp, maxsize=count)
    with ThreadPoolExecutor(4) as threads:
        first = list(threads.map(lambda whose: pool.get(whose).get_token(), ids))
        again = list(threads.map(lambda whose: pool.get(whose).get_token(), ids))
        other = ProviderPool(ours(url, wechat_server.url, shared_clock).corp, maxsize=count)
        there_too = list(threads.map(lambda whose: other.get(whose).get_token(), ids))
    with capsys.disabled():
        print(f"\n{count} corps: {time.monotonic() - began:.1f} s")

    assert first == again == there_too
    assert (count, len(pool)) == (len(set(first)), count)
    assert (count, 1) == (wechat.calls(TOKEN), wechat.calls(SUITE_TOKEN))
