"""One refresh under way, for threads and for tasks of any loop. What a refresh does: tests/engine."""

from __future__ import annotations

import _thread
import asyncio
import atexit
import contextvars
import sys
import threading
import types
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import pytest

from wxmiddleware._engine import flight as _flight
from wxmiddleware._engine.flight import Flight
from wxmiddleware._runtime.threads import NoThread, run_in_thread, threads_freeze

LONG = 20.0  # real seconds; nothing here takes so long unless it is broken
BACKENDS = ["asyncio", "trio"]


class Work:
    """Waits until it may go on, counts its runs, and returns or raises what it is told to."""

    def __init__(self, result: Any = "done") -> None:
        self.result = result
        self.runs = 0
        self.endings: list[bool] = []
        self.begun = threading.Event()
        self.go_on = threading.Event()
        self.ended = threading.Event()
        self.without_thread: list[Flight[Any]] = []
        self.told = threading.Event()
        self.thread: threading.Thread | None = None

    def __call__(self, flight: Flight[Any]) -> Any:
        self.runs += 1
        self.thread = threading.current_thread()
        self.begun.set()
        assert self.go_on.wait(LONG)
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result

    def end(self, flight: Flight[Any]) -> None:
        self.endings.append(flight.done)
        self.ended.set()

    def on_no_thread(self, flight: Flight[Any]) -> None:
        self.without_thread.append(flight)
        self.told.set()

    def flight(self, *, ready: bool = False) -> Flight[Any]:
        if ready:
            self.go_on.set()
        return Flight(self, on_error=lambda exc: ("error", type(exc)), on_done=self.end, due=0.0)


@pytest.fixture
def work() -> Iterator[Work]:
    made = Work()
    yield made
    made.go_on.set()


@pytest.fixture
def no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flight's thread cannot be started, as at the interpreter's end or at a limit of the system's."""
    start = threading.Thread.start

    def refused(thread: threading.Thread) -> None:
        if thread.name == "wxmiddleware-refresh":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refused)


@pytest.fixture
def frozen_threads(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], None]]:
    """
    A flight's thread starts but is not scheduled, as in uWSGI between two requests.

    The list holds what it would run.
    """
    frozen: list[Callable[[], None]] = []
    start = threading.Thread.start

    def freeze(thread: threading.Thread) -> None:
        if thread.name == "wxmiddleware-refresh":
            frozen.append(thread.run)
        else:
            start(thread)

    monkeypatch.setattr(threading.Thread, "start", freeze)
    monkeypatch.setattr(_flight, "START_GRACE", 0.01)
    return frozen


def in_loop(backend: str, waiting: Callable[[], Any]) -> Any:
    return anyio.run(waiting, backend=backend)


class TestThreads:
    def test_all_share_one_run(self, work: Work) -> None:
        """However many threads wait, the work is done once, and all have its result."""
        flight = work.flight()
        flight.start()
        with ThreadPoolExecutor(32) as pool:
            waiting = [pool.submit(flight.wait, LONG) for _ in range(32)]
            work.go_on.set()
            results = [one.result() for one in waiting]

        assert ["done"] * 32 == results
        assert work.runs == 1

    def test_late_waiter(self, work: Work) -> None:
        """Who comes after the end has the result at once."""
        flight = work.flight(ready=True)
        flight.start()
        flight.wait(LONG)

        assert flight.done
        assert flight.wait(0) == "done"

    def test_timeout(self, work: Work) -> None:
        """A waiter whose time is over gets None, and the flight goes on."""
        flight = work.flight()
        flight.start()
        work.begun.wait(LONG)

        assert flight.wait(0.01) is None
        assert not flight.done
        work.go_on.set()
        assert flight.wait(LONG) == "done"

    @pytest.mark.parametrize("timeout", [0.0, -1.0])
    def test_no_time(self, work: Work, timeout: float) -> None:
        """Who does not wait gets None at once, and flies nothing."""
        flight = work.flight()

        assert flight.wait(timeout) is None
        assert (False, 0) == (flight.begun, work.runs)

    def test_landing(self, work: Work) -> None:
        """The landing comes once, when the waiters have their result."""
        flight = work.flight(ready=True)
        flight.start()
        flight.wait(LONG)

        assert work.ended.wait(LONG)
        assert [True] == work.endings

    def test_a_slow_landing_keeps_nobody(self, work: Work) -> None:
        """Waiters do not wait for what is told after the landing."""
        talking = threading.Event()

        def talk(_: Flight[str]) -> None:
            talking.wait(LONG)

        flight = Flight(lambda _: "done", on_error=lambda _: "", on_done=talk, due=0.0)
        flight.start()
        result = flight.wait(LONG)
        talking.set()

        assert result == "done"

    def test_flies_once(self, work: Work) -> None:
        """Running it a second time does nothing."""
        flight = work.flight(ready=True)
        flight.run()
        flight.run()

        assert (1, [True]) == (work.runs, work.endings)

    def test_own_thread(self, work: Work) -> None:
        """The flight has a thread of its own, that keeps no program from ending."""
        flight = work.flight(ready=True)
        flight.start()
        flight.wait(LONG)

        assert work.thread is not None
        assert (True, "wxmiddleware-refresh") == (work.thread.daemon, work.thread.name)
        assert work.thread is not threading.current_thread()


class TestSlipAway:
    def test_does_not_wait_for_the_thread(self, work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whoever starts it goes on though its thread is not given a turn."""
        turn, start = threading.Event(), threading.Thread.start

        def late(thread: threading.Thread) -> None:
            assert turn.wait(LONG)
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", late)
        flight = work.flight(ready=True)
        flight.start_soon(work.on_no_thread)

        assert not flight.begun
        turn.set()
        assert work.ended.wait(LONG)
        assert (1, []) == (work.runs, work.without_thread)

    def test_thread_that_cannot_start(self, work: Work, no_threads: None) -> None:
        """It is said if there can be no thread; a waiter flies."""
        flight = work.flight(ready=True)
        flight.start_soon(work.on_no_thread)

        assert work.told.wait(LONG)
        assert [flight] == work.without_thread
        assert flight.wait(LONG) == "done"
        assert work.thread is threading.current_thread()

    def test_not_one_thread(self, work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
        """So it is if there cannot even be one that starts it."""

        def full(*_: object) -> None:
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(_thread, "start_new_thread", full)
        flight = work.flight(ready=True)
        flight.start_soon(work.on_no_thread)

        assert [flight] == work.without_thread
        assert flight.no_thread
        assert flight.wait(LONG) == "done"

    def test_threads_that_freeze(self, work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where threads freeze, one that starts another would do so one request later."""

        def frozen(*_: object) -> None:
            raise AssertionError("a second thread")

        def start(_: Flight[str]) -> bool:
            work.begun.set()
            return True

        monkeypatch.setattr(_flight, "threads_freeze", lambda: True)
        monkeypatch.setattr(Flight, "start", start)
        monkeypatch.setattr(_thread, "start_new_thread", frozen)
        work.flight(ready=True).start_soon(work.on_no_thread)

        assert work.begun.is_set()
        assert [] == work.without_thread


@pytest.mark.parametrize("backend", BACKENDS)
class TestTasks:
    def test_all_share_one_run(self, work: Work, backend: str) -> None:
        """However many tasks wait, the work is done once, and the loop goes on meanwhile."""
        flight = work.flight()
        results: list[Any] = []

        async def wait() -> None:
            results.append(await flight.wait_async(LONG))

        async def main() -> None:
            flight.start()
            async with anyio.create_task_group() as tasks:
                for _ in range(50):
                    tasks.start_soon(wait)
                await anyio.wait_all_tasks_blocked()
                work.go_on.set()  # by the loop itself: had a task blocked it, this line would not run

        in_loop(backend, main)

        assert ["done"] * 50 == results
        assert work.runs == 1

    def test_cancelled_waiter(self, work: Work, backend: str) -> None:
        """Cancelling one waiter stops neither the flight nor the others."""
        flight = work.flight()
        results: list[Any] = []

        async def wait() -> None:
            results.append(await flight.wait_async(LONG))

        async def main() -> None:
            flight.start()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(wait)
                with anyio.CancelScope() as scope:
                    async with anyio.create_task_group() as inner:
                        inner.start_soon(wait)
                        await anyio.wait_all_tasks_blocked()
                        scope.cancel()
                work.go_on.set()

        in_loop(backend, main)

        assert ["done"] == results
        assert work.runs == 1

    def test_timeout(self, work: Work, backend: str) -> None:
        """A task whose time is over gets None, and the flight goes on."""
        flight = work.flight()
        flight.start()
        work.begun.wait(LONG)

        first = in_loop(backend, lambda: flight.wait_async(0.01))
        work.go_on.set()

        assert first is None
        assert flight.wait(LONG) == "done"

    @pytest.mark.parametrize("timeout", [0.0, -1.0])
    def test_no_time(self, work: Work, backend: str, timeout: float) -> None:
        """A task that does not wait gets None at once, and flies nothing."""
        flight = work.flight()

        assert in_loop(backend, lambda: flight.wait_async(timeout)) is None
        assert (False, 0) == (flight.begun, work.runs)

    def test_late_waiter(self, work: Work, backend: str) -> None:
        """A task that comes after the end has the result at once, even with no time to wait."""
        flight = work.flight(ready=True)
        flight.run()

        assert in_loop(backend, lambda: flight.wait_async(0)) == "done"

    def test_loop_that_ends_while_its_task_waits(
        self, work: Work, backend: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A loop that is over does not trouble the flight, nor those who wait elsewhere."""
        flight = work.flight()

        async def main() -> None:
            flight.start()
            with anyio.move_on_after(0.01):
                await flight.wait_async(LONG)

        in_loop(backend, main)
        work.go_on.set()

        assert flight.wait(LONG) == "done"
        assert work.ended.wait(LONG)
        assert [] == caplog.records

    def test_thread_that_cannot_start(self, work: Work, backend: str, no_threads: None) -> None:
        """Without a thread of its own a task has the flight run off its loop."""
        flight = work.flight(ready=True)

        assert not flight.start()
        assert in_loop(backend, lambda: flight.wait_async(LONG)) == "done"
        assert work.thread is not threading.main_thread()

    def test_timeout_off_the_loop(self, work: Work, backend: str, no_threads: None) -> None:
        """A task whose time is over does not wait for the loop's thread either, which goes on with the flight."""
        flight = work.flight()
        flight.start()

        async def main() -> tuple[Any, bool]:
            outcome = await flight.wait_async(0.01)
            first = outcome, work.ended.is_set()
            work.go_on.set()
            return first

        assert (None, False) == in_loop(backend, main)
        assert "done" == flight.wait(LONG)

    def test_threads_are_back(self, work: Work, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """A task for which there was no thread at all tries again in a moment."""
        tries: list[bool] = []

        async def full_at_first(*args: Any, **options: Any) -> Any:
            tries.append(True)
            if len(tries) == 1:
                raise NoThread("There is none.")
            return await run_in_thread(*args, **options)

        monkeypatch.setattr(_flight, "run_in_thread", full_at_first)
        monkeypatch.setattr(_flight, "START_GRACE", 0.01)
        monkeypatch.setattr(_flight, "_NO_THREAD_PATIENCE", LONG)
        flight = work.flight(ready=True)

        assert in_loop(backend, lambda: flight.wait_async(LONG)) == "done"
        assert [True, True] == tries

    def test_reserved(self, work: Work, backend: str) -> None:
        """A task that runs a reserved flight hands its result to those who wait, of whom none runs it."""
        flight = work.flight()
        flight.reserve()

        async def refresh() -> str:
            assert flight.begun
            return "done"

        assert in_loop(backend, lambda: flight.run_async(refresh)) is None
        assert ("done", 0, [True]) == (flight.wait(LONG), work.runs, work.endings)

    def test_thread_that_is_never_scheduled(
        self, work: Work, backend: str, frozen_threads: list[Callable[[], None]]
    ) -> None:
        """A task that has waited long enough for the flight's thread has it run elsewhere; the thread is late then."""
        flight = work.flight(ready=True)
        flight.start()

        assert in_loop(backend, lambda: flight.wait_async(LONG)) == "done"
        frozen_threads[0]()
        assert (1, [True]) == (work.runs, work.endings)


class TestGroundedThreads:
    def test_thread_that_cannot_start(self, work: Work, no_threads: None) -> None:
        """Where no thread can be had, a waiter flies."""
        flight = work.flight(ready=True)

        assert not flight.start()
        assert flight.wait(LONG) == "done"
        assert work.thread is threading.current_thread()

    def test_thread_that_is_never_scheduled(self, work: Work, frozen_threads: list[Callable[[], None]]) -> None:
        """Where the thread lies frozen, a waiter flies; when it thaws it finds nothing to do."""
        flight = work.flight(ready=True)

        assert flight.start()
        assert flight.wait(LONG) == "done"
        assert work.thread is threading.current_thread()
        frozen_threads[0]()
        assert (1, [True]) == (work.runs, work.endings)

    def test_a_thread_that_has_begun_is_not_overtaken(self, work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
        """A slow flight is waited for, however short the grace is."""
        monkeypatch.setattr(_flight, "START_GRACE", 0.0)
        flight = work.flight()
        flight.start()
        work.begun.wait(LONG)

        assert flight.wait(0.02) is None
        assert work.runs == 1

    def test_waiters_do_not_fly_twice(self, work: Work, frozen_threads: list[Callable[[], None]]) -> None:
        """Of many waiters over a frozen thread one flies."""
        flight = work.flight(ready=True)
        flight.start()
        with ThreadPoolExecutor(16) as pool:
            results = list(pool.map(lambda _: flight.wait(LONG), range(16)))

        assert ["done"] * 16 == results
        assert work.runs == 1


class TestContext:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="outside")

    def seen_by(self, run: Callable[[Flight[str]], Any]) -> str | None:
        def end(_: Flight[str]) -> None:
            self.variable.set("ended")

        flight: Flight[str] = Flight(lambda _: self.variable.get(), on_error=repr, on_done=end, due=0.0)
        mark = self.variable.set("the request's own")
        try:
            run(flight)
            result = flight.wait(LONG)
            assert self.variable.get() == "the request's own"
            return result
        finally:
            self.variable.reset(mark)

    def test_own_thread(self) -> None:
        """Nothing of the request that was first reaches the refresh."""
        assert self.seen_by(Flight.start) == "outside"

    def test_in_the_waiter(self, no_threads: None) -> None:
        """Neither does it where the waiter flies, nor the other way round."""
        assert self.seen_by(Flight.start) == "outside"

    @pytest.mark.parametrize("backend", BACKENDS)
    def test_in_a_task(self, no_threads: None, backend: str) -> None:
        """Neither does it where a task has it flown."""

        def run(flight: Flight[str]) -> None:
            flight.start()
            in_loop(backend, lambda: flight.wait_async(LONG))

        assert self.seen_by(run) == "outside"


ENDS = [KeyboardInterrupt(), SystemExit(1), GeneratorExit(), asyncio.CancelledError()]


class TestMishaps:
    @pytest.mark.parametrize("raised", [ValueError("x"), MemoryError(), *ENDS], ids=lambda e: type(e).__name__)
    def test_waiters_are_ended(self, raised: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whatever the work raises, those who wait get a result made of it."""
        monkeypatch.setattr(threading, "excepthook", lambda _: None)
        work = Work(raised)
        flight = work.flight()
        flight.start()
        with ThreadPoolExecutor(4) as pool:
            waiting = [pool.submit(flight.wait, LONG) for _ in range(4)]
            work.go_on.set()
            results = [one.result() for one in waiting]

        assert [("error", type(raised))] * 4 == results
        assert work.ended.wait(LONG)

    @pytest.mark.parametrize("raised", ENDS, ids=lambda e: type(e).__name__)
    def test_what_ends_a_thread_ends_it(self, raised: BaseException) -> None:
        """Ctrl-C in a waiter that flies reaches it, once all the others know."""
        work = Work(raised)
        flight = work.flight(ready=True)

        with pytest.raises(type(raised)):
            flight.run()
        assert flight.wait(0) == ("error", type(raised))
        assert [True] == work.endings

    def test_an_exception_does_not_leave_the_flight(self) -> None:
        """An ordinary error is the waiters' affair alone."""
        work = Work(ValueError("x"))
        flight = work.flight(ready=True)

        flight.run()

        assert flight.wait(0) == ("error", ValueError)

    @pytest.mark.parametrize("backend", BACKENDS)
    def test_in_a_task(self, backend: str) -> None:
        """Tasks get it, too."""
        work = Work(ValueError("x"))
        flight = work.flight(ready=True)
        flight.start()

        assert in_loop(backend, lambda: flight.wait_async(LONG)) == ("error", ValueError)


class TestEndings:
    def test_counted_off(self) -> None:
        """The interpreter's end waits only for flights whose events are still being told."""
        endings = _flight._Endings()
        atexit.unregister(endings._wait)
        with endings:
            under_way = endings._count

        assert (1, 0) == (under_way, endings._count)

    def test_task_is_let_go(self) -> None:
        """A task that a loop would not keep alive is held until its end, and no longer."""

        async def main() -> bool:
            go_on, before = asyncio.Event(), set(_flight._tasks)

            async def refresh() -> None:
                await go_on.wait()

            _flight.start_task(refresh)
            (task,) = _flight._tasks - before
            go_on.set()
            await task
            await asyncio.sleep(0)
            return task in _flight._tasks

        assert not asyncio.run(main())


class TestLoops:
    def test_two_loops_and_threads(self, work: Work) -> None:
        """Two event loops, of both kinds, and eight threads wait for the same run."""
        flight = work.flight()

        async def main() -> list[Any]:
            results: list[Any] = []

            async def wait() -> None:
                results.append(await flight.wait_async(LONG))

            async with anyio.create_task_group() as tasks:
                for _ in range(8):
                    tasks.start_soon(wait)
                await anyio.wait_all_tasks_blocked()
                waits.wait(LONG)
            return results

        waits = threading.Barrier(5)
        flight.start()
        with ThreadPoolExecutor(12) as pool:
            loops = [pool.submit(in_loop, backend, main) for backend in 2 * BACKENDS]
            threads = [pool.submit(flight.wait, LONG) for _ in range(8)]
            waits.wait(LONG)
            work.go_on.set()
            results = [one.result() for one in threads] + [one for loop in loops for one in loop.result()]

        assert ["done"] * 40 == results
        assert work.runs == 1

    @pytest.mark.parametrize("backend", BACKENDS)
    def test_two_loops_in_a_row(self, work: Work, backend: str) -> None:
        """Nothing of the first loop is left over for the second."""
        flight = work.flight()
        flight.start()

        first = in_loop(backend, lambda: flight.wait_async(0.01))
        work.go_on.set()

        assert first is None
        assert in_loop(backend, lambda: flight.wait_async(LONG)) == "done"

    def test_loop_closed_under_a_waiting_task(self, work: Work) -> None:
        """A loop that was closed without cancelling its tasks keeps no other waiter from its result."""
        flight = work.flight()
        flight.start()
        loop = asyncio.new_event_loop()
        waiting = flight.wait_async(LONG)
        task = loop.create_task(waiting)
        loop.call_later(0.01, loop.stop)
        loop.run_forever()
        loop.close()
        work.go_on.set()

        assert flight.wait(LONG) == "done"
        assert work.ended.wait(LONG)
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # that is the point


class TestThreadsFreeze:
    @pytest.fixture(autouse=True)
    def fresh(self) -> Iterator[None]:
        threads_freeze.cache_clear()
        yield
        threads_freeze.cache_clear()

    def test_not_in_uwsgi(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Elsewhere than in uWSGI threads run."""
        monkeypatch.delitem(sys.modules, "uwsgi", raising=False)

        assert threads_freeze() is False

    @pytest.mark.parametrize(
        ("options", "version", "expected"),
        [
            ({}, (2, 0, 21, 0, b""), True),
            ({}, (2, 0, 29, 0, b""), True),
            ({}, (2, 0, 30, 0, b""), False),
            ({}, (2, 0, 31, 0, b""), False),
            ({}, (2, 1, 0, 0, b""), False),
            ({"enable-threads": True}, (2, 0, 21, 0, b""), False),
            ({"enable-threads": b"true"}, (2, 0, 21, 0, b""), False),
            ({b"enable-threads": b"true"}, (2, 0, 21, 0, b""), False),
            ({"threads": b"4"}, (2, 0, 21, 0, b""), False),
            ({"http": b":8080"}, (2, 0, 21, 0, b""), True),
        ],
    )
    def test_in_uwsgi(
        self, monkeypatch: pytest.MonkeyPatch, options: dict[Any, Any], version: tuple[Any, ...], expected: bool
    ) -> None:
        """In uWSGI threads freeze, unless it was told to run them or is so new that it does by itself."""
        uwsgi = types.SimpleNamespace(opt=options, version_info=version)
        monkeypatch.setitem(sys.modules, "uwsgi", uwsgi)

        assert expected is threads_freeze()

    def test_unknown_uwsgi(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """One that says nothing of itself is taken for an old one."""
        monkeypatch.setitem(sys.modules, "uwsgi", types.SimpleNamespace())

        assert threads_freeze() is True


@pytest.mark.timeout(30)
def test_within_itself() -> None:
    """Nobody can wait for a flight in the thread that runs it."""
    waited: list[object] = []

    def work(flight: Flight[str]) -> str:
        waited.append(flight.wait(1000))
        return "T"

    flight = Flight(work, on_error=repr, on_done=lambda _: None, due=0.0)
    flight.run()

    assert [None] == waited
    assert "T" == flight.wait(0)


def test_interrupted_in_its_first_step() -> None:
    """A signal handler never finds a flight that has begun, and is not known as its own thread's: it would wait."""
    found: list[tuple[bool, bool]] = []
    flight: Flight[str] = Flight(lambda _: "done", on_error=repr, on_done=lambda _: None, due=0.0)

    def look(frame: types.FrameType, event: str, _: object) -> Any:
        frame.f_trace_opcodes = True
        if event == "opcode" and not flight.done:
            found.append((flight.begun, flight.here))
        return look

    before = sys.gettrace()
    sys._getframe().f_trace_opcodes = True  # 3.12 tells of none if no frame had asked for them before
    sys.settrace(look)
    try:
        flight.run()
    finally:
        sys.settrace(before)

    assert {(False, False), (True, True)} == set(found)
