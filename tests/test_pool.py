"""Many accounts: providers made on demand, bounded, and none waiting for another."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from support.sources import EndlessSource
from werkzeug.test import Client

from wxmiddleware import (
    Account,
    ConfigurationError,
    NoProvider,
    ProviderPool,
    Runtime,
    StableToken,
    TokenProvider,
    TokenRefused,
    TokenUnavailable,
    asgi,
    current_token,
    wsgi,
)
from wxmiddleware.simulator import SimulatorServer, WeChat
from wxmiddleware.sources import Cause, Failure, Grant
from wxmiddleware.stores.jsonfile import JSONFileStore
from wxmiddleware.stores.memory import MemoryStore

PATIENCE = 20.0


class Bench:
    """A pool, and what it makes; one AppID may have to wait until it is let go."""

    def __init__(self) -> None:
        self.source = EndlessSource("88_{appid}")
        self.made: list[str] = []
        self.slow: str | None = None
        self.arrived = threading.Event()
        self.let_go = threading.Event()
        self.error: BaseException | None = None

    def make(self, appid: str) -> TokenProvider | None:
        self.made.append(appid)
        if appid == self.slow:
            self.arrived.set()
            assert self.let_go.wait(PATIENCE)
        if self.error is not None:
            raise self.error
        return None if appid.startswith("unknown") else TokenProvider(Account(appid, "secret"), source=self.source)

    def pool(self, **options: Any) -> ProviderPool:
        return ProviderPool(self.make, **options)


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.let_go.set()


def test_made_once(bench: Bench) -> None:
    """A provider is made when it is first wanted, and handed out from then on."""
    pool = bench.pool()
    providers = [pool.get("wx1"), pool.get("wx1"), anyio.run(pool.aget, "wx1"), anyio.run(pool.aget, "wx1")]

    assert 1 == len(set(map(id, providers)))
    assert (["wx1"], 1) == (bench.made, len(pool))
    assert "88_wx1" == providers[0].get_token()


@pytest.mark.parametrize("colour", ["threads", "tasks"])
def test_one_making_for_all_who_wait(bench: Bench, colour: str) -> None:
    """Whoever wants an account while it is being made gets the same provider."""
    bench.slow = "wx1"
    pool = bench.pool()
    if colour == "threads":
        found: list[TokenProvider] = []
        threads = [threading.Thread(target=lambda: found.append(pool.get("wx1"))) for _ in range(16)]
        for thread in threads:
            thread.start()
        assert bench.arrived.wait(PATIENCE)
        bench.let_go.set()
        for thread in threads:
            thread.join(PATIENCE)
    else:

        async def main() -> list[TokenProvider]:
            tasks = [asyncio.create_task(pool.aget("wx1")) for _ in range(16)]
            await asyncio.sleep(0)
            bench.let_go.set()
            return await asyncio.gather(*tasks)

        found = asyncio.run(main())

    assert (16, 1, ["wx1"]) == (len(found), len(set(map(id, found))), bench.made)


def test_made_in_this_very_moment(bench: Bench) -> None:
    """Who has just missed that an account was made does not make it again."""
    pool = bench.pool()
    under_way = pool._under_way

    def late(appid: str, here: bool, before: Any) -> Any:
        pool._under_way = under_way  # type: ignore[method-assign]
        pool.get(appid)  # somebody else, between our two looks
        return under_way(appid, here, before)

    pool._under_way = late  # type: ignore[method-assign]
    provider = pool.get("wx1")

    assert ["wx1"] == bench.made
    assert provider is pool.get("wx1")


def test_slow_making_keeps_no_other_account_waiting(bench: Bench) -> None:
    """While one account is being made, others are made and served, to threads and to tasks."""
    bench.slow = "wx-slow"
    pool = bench.pool()
    pool.get("wx-old")
    order: list[str] = []
    thread = threading.Thread(target=lambda: order.append(pool.get("wx-slow").account.appid))
    thread.start()
    assert bench.arrived.wait(PATIENCE)

    for appid in ("wx-old", "wx-new"):
        order.append(pool.get(appid).get_token())
    order.append(anyio.run(_token, pool, "wx-newer"))
    order.append(anyio.run(_token, pool, "wx-newest", backend="trio"))
    bench.let_go.set()
    thread.join(PATIENCE)

    assert ["88_wx-old", "88_wx-new", "88_wx-newer", "88_wx-newest", "wx-slow"] == order


def test_the_event_loop_goes_on(bench: Bench) -> None:
    """A task that waits for an account to be made does not hold up the tasks beside it."""
    bench.slow = "wx-slow"
    pool = bench.pool()
    order: list[str] = []

    async def main() -> None:
        async def slow() -> None:
            order.append(await _token(pool, "wx-slow"))

        async with anyio.create_task_group() as group:
            for _ in range(100):  # more than there are worker threads
                group.start_soon(slow)
            await anyio.to_thread.run_sync(bench.arrived.wait, PATIENCE)
            order.append(await _token(pool, "wx-quick"))
            bench.let_go.set()

    anyio.run(main)

    assert ["88_wx-quick", *["88_wx-slow"] * 100] == order


def test_hanging_endpoint(wechat_server: SimulatorServer, wechat_account: Account) -> None:
    """An account whose endpoint hangs does not hold up the others: they have their tokens while it still hangs."""
    hanging = WeChat()
    fault = hanging.faults.add("/cgi-bin/stable_token", "hang", None)
    with SimulatorServer(hanging) as server:
        accounts = {
            hanging.appid: Account(hanging.appid, hanging.secret, base_url=server.url),
            wechat_account.appid: wechat_account,
        }
        pool = ProviderPool(lambda appid: TokenProvider(accounts[appid], source=StableToken(timeout=60)))
        order: list[str] = []

        def want() -> None:
            pool.get(hanging.appid).get_token(timeout=PATIENCE)
            order.append("hanging")

        threads = [threading.Thread(target=want) for _ in range(8)]
        for thread in threads:
            thread.start()
        assert hanging.wait_for(lambda: fault.hits == 1, PATIENCE)
        for _ in range(3):
            pool.get(wechat_account.appid).get_token()
            order.append("quick")
        hanging.faults.clear()
        for thread in threads:
            thread.join(PATIENCE)

    assert ["quick"] * 3 + ["hanging"] * 8 == order
    assert 1 == hanging.fetches()


def test_bound(bench: Bench) -> None:
    """There are never more than so many, and the least recently used one goes."""
    pool = bench.pool(maxsize=3)
    for number in range(20):
        pool.get(f"wx{number}")
        pool.get("wx0")  # in use all the time
        assert len(pool) <= 3

    assert ["wx0" in pool, "wx18" in pool, "wx19" in pool, "wx17" in pool] == [True, True, True, False]
    assert 1 == bench.made.count("wx0")


def test_nothing_is_left_behind(bench: Bench) -> None:
    """However many AppIDs come by, no more is held than the pool may hold."""
    pool = ProviderPool(lambda appid: TokenProvider(Account(appid, "secret"), source=bench.source), maxsize=100)
    gone = weakref.ref(pool.get("wx-first"))
    for number in range(2000):
        pool.get(f"wx{number}")
    gc.collect()

    assert 100 == len(pool)
    assert gone() is None
    assert {} == pool._making


@pytest.mark.parametrize("kept", ["memory", "file"])
def test_no_second_fetch_after_eviction(bench: Bench, kept: str, tmp_path: Any) -> None:
    """An account that went and comes back has its token still: from the process's memory, or from the store."""
    store = JSONFileStore(tmp_path / "tokens.json") if kept == "file" else None
    pool = ProviderPool(
        lambda appid: TokenProvider(Account(appid, "secret"), source=bench.source, store=store), maxsize=1
    )
    appids = [f"wx-{kept}-{number}" for number in range(5)]
    tokens = [pool.get(appid).get_token() for appid in appids * 3]

    assert [f"88_{appid}" for appid in appids] * 3 == tokens
    assert appids == [account.appid for account in bench.source.asked]


def test_who_holds_it_goes_on(bench: Bench) -> None:
    """A provider that has gone from the pool is not closed."""
    pool = bench.pool(maxsize=1)
    provider = pool.get("wx1")
    pool.get("wx2")

    assert "88_wx1" == provider.get_token()
    assert not provider.closed


def test_discard(bench: Bench) -> None:
    """A discarded account is made anew: its secret may be another one."""
    pool = bench.pool()
    first = pool.get("wx1")
    pool.discard("wx1")
    pool.discard("wx-nobody")

    assert first is not pool.get("wx1")
    assert ["wx1", "wx1"] == bench.made


def test_discarded_while_it_is_made(bench: Bench) -> None:
    """What was begun before it was discarded is not kept."""
    bench.slow = "wx1"
    pool = bench.pool()
    found: list[TokenProvider] = []
    thread = threading.Thread(target=lambda: found.append(pool.get("wx1")))
    thread.start()
    assert bench.arrived.wait(PATIENCE)
    pool.discard("wx1")
    bench.let_go.set()
    thread.join(PATIENCE)

    assert 1 == len(found)
    assert "wx1" not in pool
    assert pool.get("wx1") is not found[0]


@pytest.mark.parametrize("colour", ["thread", "task"])
def test_unknown(bench: Bench, colour: str) -> None:
    """An AppID that nobody knows is a LookupError, and not remembered: it may be added in a moment."""
    pool = bench.pool()
    for _ in range(2):
        with pytest.raises(LookupError, match="knows no such account"):
            pool.get("unknown") if colour == "thread" else anyio.run(pool.aget, "unknown")

    assert (["unknown"] * 2, 0, {}) == (bench.made, len(pool), pool._making)


def test_error_of_make(bench: Bench) -> None:
    """What the user's function raises reaches all who wait, and the next one tries again."""
    bench.error = ConnectionError("the database")
    pool = bench.pool()
    with pytest.raises(ConnectionError, match="the database"):
        pool.get("wx1")
    bench.error = None

    assert "88_wx1" == pool.get("wx1").get_token()


def test_make_that_ends_its_thread(bench: Bench) -> None:
    """What ends a thread does not end those who wait for it."""
    bench.error = SystemExit(1)
    pool = bench.pool()
    with pytest.raises(TokenUnavailable, match="broken off"):
        anyio.run(pool.aget, "wx1")
    with pytest.raises(SystemExit):  # here it is the caller's own
        pool.get("wx1")


def test_make_that_makes_nonsense() -> None:
    """The function has to return a provider."""
    with pytest.raises(TypeError, match="not a str"):
        ProviderPool(lambda appid: appid).get("wx1")


@pytest.mark.parametrize("colour", ["thread", "task"])
def test_patience(bench: Bench, colour: str) -> None:
    """Nobody waits for ever for the user's function, and it is not called a second time meanwhile."""
    bench.slow = "wx1"
    pool = bench.pool(timeout=0.05)
    first = threading.Thread(target=pool.get, args=("wx1",))
    first.start()
    assert bench.arrived.wait(PATIENCE)
    for _ in range(2):
        with pytest.raises(TokenUnavailable, match="still being made"):
            pool.get("wx1") if colour == "thread" else anyio.run(pool.aget, "wx1")

    assert ["wx1"] == bench.made
    bench.let_go.set()
    first.join(PATIENCE)


def test_without_threads(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no thread can be started, one of the loop's own makes it."""

    real = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        if thread.name == "wxmiddleware-refresh":
            raise RuntimeError("can't start new thread")
        real(thread)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        provider = asyncio.run(bench.pool().aget("wx1"))

    assert "wx1" == provider.account.appid


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_fork_while_it_is_made(bench: Bench) -> None:
    """A child makes by itself what its parent was just making, and has the rest."""
    bench.slow = "wx-slow"
    pool = bench.pool()
    pool.get("wx-old")
    thread = threading.Thread(target=pool.get, args=("wx-slow",))
    thread.start()
    assert bench.arrived.wait(PATIENCE)
    pid = os.fork()
    if pid == 0:
        bench.slow = None
        good = pool.get("wx-slow").account.appid == "wx-slow" and bench.made.count("wx-old") == 1
        os._exit(0 if good else 1)
    _, status = os.waitpid(pid, 0)
    bench.let_go.set()
    thread.join(PATIENCE)

    assert 0 == status


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"make": None}, "make must be a function"),
        ({"make": "wx1"}, "make must be a function"),
        ({"maxsize": 0}, "maxsize"),
        ({"maxsize": True}, "maxsize"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": "1"}, "timeout"),
        ({"appid_of": "wx1"}, "appid_of must be a function"),
    ],
)
def test_options(bench: Bench, options: dict[str, Any], word: str) -> None:
    """What cannot be right is said at construction."""
    with pytest.raises(ConfigurationError, match=word):
        ProviderPool(**{"make": bench.make, **options})


def test_no_coroutines(bench: Bench) -> None:
    """An async function would give a coroutine for a provider."""

    async def appid_of(request: Any) -> str:
        raise AssertionError

    with pytest.raises(ConfigurationError, match="appid_of must not be async"):
        ProviderPool(lambda appid: None, appid_of=appid_of)  # type: ignore[arg-type]


@pytest.mark.parametrize("appid", [None, 1, b"wx1"])
def test_appid_is_text(bench: Bench, appid: Any) -> None:
    """An AppID is a str."""
    with pytest.raises(TypeError, match="appid must be a str"):
        bench.pool().get(appid)


def test_repr(bench: Bench) -> None:
    """It says how full it is."""
    pool = bench.pool(maxsize=7)
    pool.get("wx1")

    assert "<ProviderPool of 1, at most 7>" == repr(pool)


# As the provider of a middleware


def _of_path(request: Any) -> str | None:
    path = request.get("PATH_INFO") or request.get("path")
    return path.split("/")[1] or None


def _wsgi_app(environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    token = current_token() if environ.get("wxmiddleware.token") else "none"
    return [token.encode()]


def test_wsgi(bench: Bench) -> None:
    """Each request has the token of its own account; one without an account, or of nobody's, goes through untouched."""
    client = Client(wsgi.TokenMiddleware(_wsgi_app, bench.pool(appid_of=_of_path)))
    texts = [client.get(path).text for path in ("/wx1/a", "/wx2/a", "/wx1/b", "/", "/unknown/a")]

    assert ["88_wx1", "88_wx2", "88_wx1", "none", "none"] == texts
    assert ["wx1", "wx2", "unknown"] == bench.made


def test_unknown_account(bench: Bench) -> None:
    """Whoever wants a token all the same is told that the pool may not know the account."""

    def app(environ: Any, start_response: Any) -> list[bytes]:
        return [current_token().encode()]

    client = Client(wsgi.TokenMiddleware(app, bench.pool(appid_of=_of_path)))
    with pytest.raises(NoProvider, match=r"with a ProviderPool, that its make\(appid\) knows the account"):
        client.get("/unknown/a")


def test_asgi(bench: Bench) -> None:
    """So under ASGI, where an account that is made for the first time is awaited."""

    def answer(request: Any) -> PlainTextResponse:
        return PlainTextResponse(getattr(request.state, "wx_token", "none"))

    pool = bench.pool(appid_of=_of_path)
    app = Starlette(
        routes=[Route("/{rest:path}", answer)], middleware=[Middleware(asgi.TokenMiddleware, provider=pool)]
    )
    with TestClient(app) as client:
        texts = [client.get(path).text for path in ("/wx1/a", "/wx2/a", "/wx1/b", "/", "/unknown/a")]

    assert ["88_wx1", "88_wx2", "88_wx1", "none", "none"] == texts
    assert ["wx1", "wx2", "unknown"] == bench.made


def test_whose_request(bench: Bench) -> None:
    """A pool that was not told whose a request is says so."""
    client = Client(wsgi.TokenMiddleware(_wsgi_app, bench.pool()))
    with pytest.raises(ConfigurationError, match="appid_of="):
        client.get("/wx1")


def test_asgi_does_not_wait(bench: Bench) -> None:
    """For a scope, what takes long is something to await."""
    bench.slow = "wx1"
    pool = bench.pool(appid_of=_of_path)

    async def main() -> str:
        answer = pool({"type": "http", "path": "/wx1"})
        assert not bench.let_go.is_set()
        bench.let_go.set()
        provider: TokenProvider = await answer
        return provider.account.appid

    assert "wx1" == anyio.run(main)


async def _token(pool: ProviderPool, appid: str) -> str:
    return await (await pool.aget(appid)).aget_token()


class TestAsyncMake:
    """`make` may be awaited, in the loop of the task that wants the account."""

    @pytest.mark.parametrize("backend", ["asyncio", "trio"])
    def test_made_once(self, backend: str) -> None:
        """However many tasks want the account, `make` runs once, in their own loop."""
        loops: list[Any] = []

        async def make(appid: str) -> TokenProvider:
            await anyio.sleep(0)
            loops.append(threading.get_ident())
            return TokenProvider(Account(appid, "secret"), source=EndlessSource("88_{appid}"))

        found: list[TokenProvider] = []

        async def main() -> None:
            pool = ProviderPool(make)

            async def want() -> None:
                found.append(await pool.aget("wx1"))

            async with anyio.create_task_group() as group:
                for _ in range(8):
                    group.start_soon(want)
            assert pool.get("wx1") is found[0]  # what is there needs no waiting

        anyio.run(main, backend=backend)

        assert (8, 1) == (len(found), len(set(map(id, found))))
        assert [threading.get_ident()] == loops

    @pytest.mark.parametrize("backend", ["asyncio", "trio"])
    def test_cancelled(self, backend: str) -> None:
        """The end of the task that came first is not the end of the making."""
        go: list[anyio.Event] = []

        async def make(appid: str) -> TokenProvider:
            await go[0].wait()
            return TokenProvider(Account(appid, "secret"), source=EndlessSource("88_{appid}"))

        async def main() -> TokenProvider:
            go.append(anyio.Event())
            pool = ProviderPool(make)
            with anyio.move_on_after(0.01):
                await pool.aget("wx1")
            go[0].set()
            return await pool.aget("wx1")

        assert "88_wx1" == anyio.run(main, backend=backend).get_token()

    def test_error(self) -> None:
        """What it raises goes to those who wait, and is not remembered."""
        made: list[str] = []

        async def make(appid: str) -> TokenProvider:
            made.append(appid)
            raise KeyError(appid)

        async def main() -> None:
            pool = ProviderPool(make)
            for _ in range(2):
                with pytest.raises(KeyError):
                    await pool.aget("wx1")

        anyio.run(main)

        assert ["wx1"] * 2 == made

    def test_threads_cannot(self) -> None:
        """A thread is told that it cannot wait for it."""

        async def make(appid: str) -> TokenProvider:
            raise AssertionError

        with pytest.raises(ConfigurationError, match="make is async"):
            ProviderPool(make).get("wx1")


class Refusing(EndlessSource):
    """A token endpoint that takes one secret."""

    def __init__(self, good: str) -> None:
        super().__init__(f"88_{good}")
        self.good = good

    @property
    def secrets(self) -> list[str]:
        return [str(account.secret) for account in self.asked]

    def fetch(self, account: Account, *, force: bool = False) -> Grant | Failure:
        if account.secret != self.good:
            self.answer(Failure(Cause.PERMANENT, "The secret is wrong.", errcode=40125))
        return super().fetch(account, force=force)


class TestWrongSecret:
    """When WeChat calls the secret wrong, `make` is asked again: the secret may have been changed."""

    @pytest.fixture(params=["sync", "async"])
    def ask(self, request: pytest.FixtureRequest) -> Any:
        """Ask the pool of a worker for a token: `make` gives `self.secret`."""
        self.now, self.secret, self.made = 1000.0, "old", 0
        self.error: Exception | None = None
        self.source = Refusing("new")
        store = MemoryStore(clock=lambda: self.now)

        def make(appid: str) -> TokenProvider:
            self.made += 1
            if self.error is not None:
                raise self.error
            account = Account(appid, self.secret)
            return TokenProvider(account, source=self.source, store=store, runtime=Runtime(clock=lambda: self.now))

        async def amake(appid: str) -> TokenProvider:
            return make(appid)

        pool = ProviderPool(amake if request.param == "async" else make)

        async def get() -> str:
            provider = await pool.aget("wx1")
            return await provider.aget_token()

        return lambda: anyio.run(get) if request.param == "async" else pool.get("wx1").get_token()

    def test_made_anew(self, ask: Any) -> None:
        """The new secret is found without a restart, at once after WeChat's refusal."""
        with pytest.raises(TokenRefused):
            ask()
        self.secret = "new"

        assert "88_new" == ask()
        assert (2, ["old", "new"]) == (self.made, self.source.secrets)

    def test_after_the_pause(self, ask: Any) -> None:
        """So it is if nobody asked in the pause."""
        with pytest.raises(TokenRefused):
            ask()
        self.secret = "new"
        self.now += 700

        assert "88_new" == ask()

    def test_once_for_each_refusal(self, ask: Any) -> None:
        """As long as the secret is wrong, `make` is asked once for each of WeChat's answers, and not for each call."""
        for _ in range(3):
            for _ in range(20):
                with pytest.raises(TokenRefused):
                    ask()
            self.now += 700

        assert 3 == len(self.source.asked)
        assert self.made <= 4

    def test_make_fails(self, ask: Any) -> None:
        """If `make` fails then, the provider stays, and says what WeChat said."""
        with pytest.raises(TokenRefused):
            ask()
        self.error = OSError("the database is down")
        for _ in range(3):
            with pytest.raises(TokenRefused):
                ask()

        assert 2 == self.made

    def test_a_good_token_is_not_given_up(self, ask: Any) -> None:
        """While there is a good token, a wrong secret is no reason to make the provider anew."""
        self.source.good = "old"
        token = ask()
        self.source.good, self.now = "new", self.now + 6900
        for _ in range(3):
            assert token == ask()
            assert until(lambda: self.source.secrets == ["old", "old"])

        assert 1 == self.made


def until(what: Any) -> bool:
    """Wait until it is so."""
    waiting = threading.Event()
    for _ in range(2000):
        if what():
            return True
        waiting.wait(0.01)
    return False
