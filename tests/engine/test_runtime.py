"""A token's life where Python and the machine are at their edge: no thread to be had, no interpreter of one's own."""

from __future__ import annotations

import _thread
import gc
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from typing import Any

import anyio
import anyio.to_thread
import pytest
import requests
import requests.adapters
from trio._core import _thread_cache

from engine.world import Tasks, World
from wxmiddleware import TokenProvider, TokenUnavailable, with_token
from wxmiddleware._engine import flight
from wxmiddleware._engine.registry import registry
from wxmiddleware._runtime import threads
from wxmiddleware.requests import WeChatAuth
from wxmiddleware.sources import _connect


@pytest.fixture(autouse=True)
def _no_idle_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trio keeps idle threads for ten seconds, also those of earlier tests; here it begins without any."""
    monkeypatch.setattr(_thread_cache, "THREAD_CACHE", _thread_cache.ThreadCache())


@pytest.fixture
def refuse_threads(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From when it is called, no thread can be started, as at a container's limit."""

    def refused(*_: object, **__: object) -> None:
        raise RuntimeError("can't start new thread")

    def refuse() -> None:
        monkeypatch.setattr(threading.Thread, "start", refused)
        monkeypatch.setattr(_thread, "start_new_thread", refused)

    return refuse


class TestNoThread:
    def test_cold(self, world: World, refuse_threads: Callable[[], None]) -> None:
        """A thread fetches by itself; a task cannot without blocking its loop, and is told what to do."""
        world.script("T1")
        provider = world.provider()
        refuse_threads()

        if isinstance(world.face, Tasks):
            error = world.error(provider)
            assert (TokenUnavailable, 1.0) == (type(error), error.retry_after)
            assert "limit of threads" in str(error)
        assert "T1" == provider.get_token()

    def test_out_of_touch(self, world: World, refuse_threads: Callable[[], None]) -> None:
        """After a quiet minute, in which nobody has looked at the store, the token that is good is given."""
        world.script("T1")
        provider = world.provider()
        world.get(provider)
        refuse_threads()
        for _ in range(3):
            world.advance(61)
            assert "T1" == world.get(provider)

    def test_ahead(self, world: World, refuse_threads: Callable[[], None]) -> None:
        """A renewal ahead of the end is put off; the token is good all the same, also for who only peeks."""
        world.script("T1")
        provider = world.provider()
        world.get(provider)
        world.advance(6560)
        world.get(provider)  # who was asked nothing for long looks at the store first
        world.drain()
        refuse_threads()
        world.advance(41)

        assert ("T1", "T1", "ahead") == (world.get(provider), provider.peek(), provider.status().state)

    def test_rejected(self, world: World, refuse_threads: Callable[[], None]) -> None:
        """Whose call was rejected gets WeChat's answer where no other token can be had; others keep the token."""
        rejection = {"errcode": 40001, "errmsg": "invalid credential"}
        world.script("T1", "T2")
        provider = world.provider()
        world.get(provider)
        refuse_threads()

        if not isinstance(world.face, Tasks):
            assert "T2" == world.get(provider, "T1")
            return

        @with_token(provider)
        async def call(access_token: str) -> dict[str, Any]:
            return rejection

        assert world.face.run(call) is rejection
        assert "T1" == world.get(provider)

    def test_threads_are_back(
        self, world: World, refuse_threads: Callable[[], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As soon as there are threads again, the next caller has one."""
        world.script("T1")
        provider = world.provider()
        refuse_threads()
        if isinstance(world.face, Tasks):
            world.error(provider)
        monkeypatch.undo()

        assert "T1" == world.get(provider)

    @pytest.mark.parametrize("face", ["asyncio", "trio"], indirect=True)
    def test_interpreter_without_threads(
        self, world: World, refuse_threads: Callable[[], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where there can never be one, as in an isolated subinterpreter, a task fetches in its loop."""
        world.script("T1")
        provider = world.provider()

        def refused(*_: object, **__: object) -> None:
            raise RuntimeError("thread is not supported for isolated subinterpreters")

        monkeypatch.setattr(threading.Thread, "start", refused)
        monkeypatch.setattr(_thread, "start_new_thread", refused)

        assert "T1" == world.get(provider)


def test_context_of_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread of ours does not inherit its starter's context, as threads do in a free-threaded Python 3.14."""
    said: ContextVar[str] = ContextVar("said", default="nothing")
    seen: list[str] = []
    said.set("by the request")
    context, run = copy_context(), threading.Thread.run
    monkeypatch.setattr(threading.Thread, "run", lambda thread: context.run(run, thread))
    thread = threads.start_thread(lambda: seen.append(said.get()), "test")
    assert thread is not None
    thread.join(20)

    assert ["nothing"] == seen


class TestNoDaemons:
    """A subinterpreter with a GIL of its own makes no thread that may be left running (Python 3.12)."""

    @pytest.fixture(autouse=True)
    def no_daemons(self, monkeypatch: pytest.MonkeyPatch) -> None:
        made = threading.Thread.__init__

        def init(thread: threading.Thread, *args: Any, daemon: bool | None = None, **options: Any) -> None:
            if daemon:
                raise RuntimeError("daemon threads are disabled in this (sub)interpreter")
            made(thread, *args, daemon=daemon, **options)

        monkeypatch.setattr(threading.Thread, "__init__", init)
        monkeypatch.setattr(
            "wxmiddleware._runtime.threads._thread.daemon_threads_allowed", lambda: False, raising=False
        )

    def test_renewals(self, world: World) -> None:
        """Tokens are fetched, looked for and renewed by threads that the interpreter waits for."""
        world.script("T1", "T2")
        provider = world.provider()
        first = world.get(provider)
        world.advance(6700)
        world.get(provider)
        world.drain()

        assert ("T1", "T2") == (first, world.get(provider))

    def test_started_unnoticed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """No thread is started that is not joined at the interpreter's end, which would break on it."""
        ran = threading.Event()
        monkeypatch.setattr("wxmiddleware._runtime.threads._thread.start_new_thread", None)

        assert threads.start_unnoticed(ran.set)
        assert ran.wait(20)


PROGRAM = """
import asyncio, sys
sys.path[:0] = {path!r}
from wxmiddleware import Account, TokenProvider
from wxmiddleware.stores.jsonfile import JSONFileStore
from wxmiddleware.testing import ScriptedSource

account, source, store = Account("wx0123456789abcdef", "s"), ScriptedSource("T1", "T2"), JSONFileStore({file!r})
provider = TokenProvider(account, source=source, store=store)
async def main():
    return await provider.aget_token(rejected="T1")
print(provider.get_token(), asyncio.run(main()))
"""


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="later ones import nothing that was not made for them")
def test_isolated_subinterpreter(tmp_path: Any) -> None:
    """An isolated subinterpreter, which has no threads at all, has its tokens in both colours."""
    code = PROGRAM.format(path=sys.path, file=str(tmp_path / "token.json"))
    run = (
        "import _xxsubinterpreters as s, sys\n"
        "made = s.create(isolated=True)\ns.run_string(made, sys.stdin.read())\ns.destroy(made)"
    )
    ended = subprocess.run([sys.executable, "-c", run], input=code, capture_output=True, text=True, check=False)

    assert ("T1 T2", 0) == (ended.stdout.strip(), ended.returncode), ended.stderr


@pytest.fixture
def answer_late(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let the issuer hold its next answer back until somebody waits for it."""
    wait = flight.Flight.wait

    def waits(waited: flight.Flight[Any], timeout: float) -> Any:
        assert world.issuer.gate is not None
        world.issuer.gate.set()
        return wait(waited, timeout)

    def close_gate() -> None:
        world.issuer.gate = threading.Event()

    monkeypatch.setattr(flight.Flight, "wait", waits)
    return close_gate


class Refusing(requests.adapters.HTTPAdapter):
    """Connects to nothing."""

    def send(self, *args: Any, **options: Any) -> Any:
        raise requests.ConnectionError


class TestBlockedLoop:
    """`get_token` in a thread that runs an event loop. What it says when it has to wait, and that it is silent else."""

    pytestmark = pytest.mark.parametrize("face", ["asyncio", "trio"], indirect=True)

    def test_it_waits(self, world: World, face: Tasks, answer_late: Callable[[], None]) -> None:
        """The line that blocks the loop is warned of."""
        world.script("T1")
        provider = world.provider()
        answer_late()

        async def main() -> str:
            return provider.get_token()

        with pytest.warns(RuntimeWarning, match=r"await provider.aget_token\(\)") as told:
            assert "T1" == face.run(main)
        assert [__file__] == [each.filename for each in told]

    def test_under_the_decorator(self, world: World, face: Tasks, answer_late: Callable[[], None]) -> None:
        """Of a decorated function it is the line that calls it, and so for a token that was rejected."""
        world.script("T1", "T2")
        answers = [{"errcode": 40001}, {"errcode": 0}]
        answer_late()

        @with_token(world.provider())
        def call(access_token: str) -> dict[str, int]:
            answer_late()
            return answers.pop(0)

        async def main() -> dict[str, int]:
            return call()

        with pytest.warns(RuntimeWarning, match="async def") as told:
            assert {"errcode": 0} == face.run(main)
        assert [__file__] * 2 == [each.filename for each in told]

    def test_under_a_client(self, world: World, face: Tasks, answer_late: Callable[[], None]) -> None:
        """Of a client's request it is the line that makes it, and none of the client's."""
        world.script("T1")
        session = requests.Session()
        session.auth = WeChatAuth(world.provider(), timeout=20)
        session.mount("https://", Refusing())
        answer_late()

        async def main() -> None:
            with pytest.raises(requests.ConnectionError):
                session.get("https://api.weixin.qq.com/cgi-bin/user/info")

        with pytest.warns(RuntimeWarning, match="httpx.AsyncClient") as told:
            face.run(main)
        assert [__file__] == [each.filename for each in told]

    def test_it_answers_at_once(self, world: World, face: Tasks) -> None:
        """A token that is at hand, also near its end: nobody is warned."""
        world.script("T1", "T2")
        provider = world.provider()

        async def main() -> list[str]:
            found = [await provider.aget_token(), provider.get_token()]
            world.advance(6560)
            await provider.aget_token()
            world.advance(41)
            found.append(provider.get_token())
            world.issuer.wait_for(2)
            return found

        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert ["T1"] * 3 == face.run(main)

    def test_a_worker_thread(self, world: World, face: Tasks) -> None:
        """A thread beside the loop may wait."""
        world.script("T1")
        provider = world.provider()

        async def main() -> str:
            return await anyio.to_thread.run_sync(provider.get_token)

        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert "T1" == face.run(main)


class Holder:
    """Takes a lock as all do."""

    def __init__(self, lock: Any) -> None:
        self._lock = lock

    def call(self, work: Callable[[], object]) -> None:
        with self._lock:
            work()


class TestReentry:
    """A signal handler or a finaliser asks in a thread that is at it itself: it is answered, or told, at once."""

    pytestmark = pytest.mark.parametrize("face", ["threads"], indirect=True)

    @staticmethod
    def interrupted(hold: Any, ask: Callable[[], object]) -> object:
        """What somebody gets who asks in a thread that holds this; who waits for ever, gets nothing."""
        results: list[object] = []

        def asked() -> None:
            began = time.monotonic()
            try:
                results.append(ask())
            except Exception as error:
                results.append(error)
            results.append(time.monotonic() - began < 2.0)

        caller = threading.Thread(target=Holder(hold).call, args=(asked,), daemon=True)
        caller.start()
        caller.join(5)
        assert [True] == results[1:], "it was not answered at once"
        return results[0]

    def test_in_a_decision(self, world: World) -> None:
        """Who has no token yet is told so, and the rejected one is not handed out."""
        world.script("T1")
        provider = world.provider()
        lock = provider._own._lock

        cold = self.interrupted(lock, provider.get_token)
        world.get(provider)
        world.advance(61)
        warm = self.interrupted(lock, provider.get_token)
        rejected = self.interrupted(lock, lambda: provider.get_token("T1"))

        assert (TokenUnavailable, "T1", TokenUnavailable) == (type(cold), warm, type(rejected))
        assert "Ask again" in str(cold)

    @pytest.mark.parametrize("where", ["store", "registry", "connections", "endings", "another account"])
    def test_where_the_refresh_has_to_go(self, worlds: Callable[..., World], where: str) -> None:
        """Who holds a lock that the refresh may need does not wait for it; the refresh goes on afterwards."""
        world, other = worlds(), worlds()
        world.script("T1")
        provider = world.provider()
        hold = {
            "store": world.store._lock,
            "registry": registry._lock,
            "connections": _connect._look_ups._lock,
            "endings": flight._endings._changed,
            "another account": other.provider()._own._lock,
        }[where]

        world.issuer.gate = threading.Event()

        told = self.interrupted(hold, provider.get_token)
        world.issuer.gate.set()

        assert TokenUnavailable is type(told)
        assert "T1" == world.get(provider)

    def test_finaliser(self, world: World) -> None:
        """A finaliser that runs wherever garbage is collected never hangs, whatever it has interrupted."""
        world.script("T1")
        provider = world.provider()
        got: list[object] = []

        class Client:
            def __init__(self) -> None:
                self.me = self  # so that only the collector finds it

            def __del__(self) -> None:
                try:
                    got.append(provider.get_token())
                except TokenUnavailable as error:
                    got.append(error)

        def ask() -> None:
            threshold = gc.get_threshold()
            # At nearly every allocation. Without a GIL at every 512th of a thread, and the 0 says that this is enough.
            free_threaded = "t" in sys.abiflags
            gc.set_threshold(1, *[0] * free_threaded)
            try:
                for _ in range(20):
                    world.advance(61)
                    for _ in range(100 if free_threaded else 1):
                        Client()
                    provider.peek()
                    TokenProvider(world.account, source=world.issuer, store=world.store)
            finally:
                gc.set_threshold(*threshold)

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        thread.join(60)

        assert not thread.is_alive()
        assert {"T1"} >= {each for each in got if isinstance(each, str)}
        assert got
