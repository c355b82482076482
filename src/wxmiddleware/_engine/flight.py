"""
Single flight: one refresh under way, whose result all callers share.

Threads wait for it, tasks of any event loop await it, and none of them can cancel it. So a token that ends costs one
fetch, and not one for each caller (thundering herd, cache stampede).

A flight has a thread of its own. Where threads cannot start, or are frozen (uWSGI without threads runs them only while
a request waits for something), a waiting thread runs the flight itself.
"""

from __future__ import annotations

import asyncio
import atexit
import contextvars
import itertools
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from typing import Any, Generic, TypeVar

import anyio

from .._runtime import fork
from .._runtime.threads import NoThread, run_in_thread, start_thread, start_unnoticed, threads_freeze

T = TypeVar("T")

# A thread that has not begun to run after this time (real seconds) is taken for frozen.
START_GRACE = 0.25
# Real seconds in which a task tries again to get a thread; what is short of threads is so for long.
_NO_THREAD_PATIENCE = 1.0
# Real seconds that the interpreter's end waits for the events of refreshes that have ended.
_LAST_WORDS = 1.0

_NOBODY: tuple[None, None] = (None, None)
_numbers = itertools.count(1)


class Flight(Generic[T]):
    """
    Runs `work` once and hands its result to all who wait (single flight).

    Args:
        work: What to do. It must return a value for every outcome; what it raises all the same goes to `on_error`.
        on_error: Makes a result of an exception, so that waiters always get one.
        on_done: Called with the flight in its thread, once the waiters have the result.
        due: When, on the process's clock, this flight should have ended; after that another may be started.
        inline: Whether the thread that starts it may as well run it.

    Attributes:
        number: Which flight of this process it is.
        since: When it was made, in seconds of `time.monotonic`.
        superseded: Whether nobody need wait for it any more, as another one was started, or no thread could be had.
            This process then does not remember its failure.
    """

    __slots__ = (
        "_future",
        "_no_thread",
        "_on_done",
        "_on_error",
        "_runner",
        "_work",
        "due",
        "inline",
        "number",
        "since",
        "superseded",
    )

    def __init__(
        self,
        work: Callable[[Flight[T]], T],
        *,
        on_error: Callable[[BaseException], T],
        on_done: Callable[[Flight[T]], None],
        due: float,
        inline: bool = False,
    ) -> None:
        self._work = work
        self._on_error = on_error
        self._on_done = on_done
        self.due = due
        self.inline = inline
        self.superseded = False
        self.number = next(_numbers)
        self.since = time.monotonic()
        # Who runs it, an entry that is made once and in one step: a signal handler that interrupts that thread must not
        # find the flight begun, and by nobody.
        self._runner: dict[str, tuple[int | None, object]] = {}
        self._no_thread = False
        self._future: Future[T] = Future()
        # From now on a cancelled waiter cannot cancel what the others wait for.
        self._future.set_running_or_notify_cancel()

    @property
    def begun(self) -> bool:
        """Whether some thread is running the flight, or has."""
        return bool(self._runner)

    @property
    def no_thread(self) -> bool:
        """Whether there was no thread for the flight, and nobody who waits has run it either."""
        return self._no_thread and not self.begun

    @property
    def here(self) -> bool:
        """Whether this thread is the one that runs the flight."""
        return self._runner.get("", _NOBODY)[0] == threading.get_ident() and not self.done

    @property
    def in_its_way(self) -> bool:
        """Whether it cannot be waited for in this thread: that runs it itself, or holds a lock that it may need."""
        return self.here or (not self.done and fork.holds_lock())

    @property
    def done(self) -> bool:
        """Whether the result is there."""
        return self._future.done()

    @property
    def result(self) -> T:
        """The result, once it is there."""
        return self._future.result(0)

    def expect(self, due: float) -> None:
        """Set when, on the process's clock, it should have ended."""
        self.due = due

    def supersede(self) -> None:
        """Note that another flight was started since."""
        self.superseded = True

    def start(self) -> bool:
        """Start a thread for the flight. ``False`` if there can be none now; a waiter may still run it."""
        self._no_thread = start_thread(self._run_alone, "wxmiddleware-refresh") is None
        return not self._no_thread

    def start_soon(self, on_no_thread: Callable[[Flight[T]], None]) -> None:
        """
        Start it in the background: the caller does not wait, not even for the thread to begin.

        `threading.Thread.start` returns when the new thread has had its first turn, and among many busy threads that
        takes some tenths of a second. So it is called in a thread that nobody waits for.

        Args:
            on_no_thread: Called with the flight if there can be no thread now.
        """

        def begin() -> None:
            if not self.start():
                on_no_thread(self)

        if threads_freeze():
            begin()
        elif not start_unnoticed(begin):
            self._no_thread = True
            on_no_thread(self)

    def run(self) -> None:
        """
        Run the flight here, unless another thread has begun to.

        Raises:
            BaseException: What ends a thread (SystemExit, KeyboardInterrupt, GreenletExit), once the waiters know.
        """
        if not self._claim(threading.get_ident()):
            return
        end: BaseException | None = None
        try:
            result = self._work(self)
        except BaseException as exc:
            result = self._on_error(exc)
            end = None if isinstance(exc, Exception) else exc
        self._end(result)
        if end is not None:
            raise end

    def _claim(self, thread: int | None) -> bool:
        """Be the one who runs it. ``False`` if somebody was first."""
        mine = (thread, object())
        return self._runner.setdefault("", mine) is mine

    def reserve(self) -> None:
        """Leave the flight to a task, which runs it with `run_async`; nobody who waits does."""
        self._claim(None)

    async def run_async(self, work: Callable[[], Awaitable[T]]) -> None:
        """Run a reserved flight in this task: like `run`, with work that is awaited."""
        end: BaseException | None = None
        try:
            result = await work()
        except BaseException as exc:
            result = self._on_error(exc)
            end = None if isinstance(exc, Exception) else exc
        self._end(result)
        if end is not None:
            raise end

    def _end(self, result: T) -> None:
        with _endings:
            self._future.set_result(result)
            self._on_done(self)

    def _run_alone(self) -> None:
        """In a thread of its own there is nobody to be told what ended it."""
        with suppress(BaseException):
            self.run()

    def wait(self, timeout: float) -> T | None:
        """
        Wait in a thread.

        Args:
            timeout: Real seconds. It ends the wait, not the flight.

        Returns:
            The result, or ``None`` if it is not there in time.
        """
        if self.here:
            return None
        deadline = time.monotonic() + timeout
        if not self.begun and not self._no_thread:
            self._result(min(timeout, START_GRACE))
        if not self.begun and timeout > 0:
            contextvars.Context().run(self.run)
        return self._result(max(0.0, deadline - time.monotonic()))

    async def wait_async(self, timeout: float) -> T | None:
        """Wait in a task, of asyncio or trio; the loop goes on meanwhile."""
        deadline = time.monotonic() + timeout
        if not self.begun and not self._no_thread:
            await self._arrival(min(timeout, START_GRACE))
        if not self.begun and timeout > 0:
            await self._run_off_the_loop(deadline)
            if self.no_thread:
                return None
        return await self._arrival(max(0.0, deadline - time.monotonic()))

    async def _run_off_the_loop(self, deadline: float) -> None:
        """Have the loop's own worker threads run the flight; for a while again, if there is none of these either."""
        until = min(deadline, time.monotonic() + _NO_THREAD_PATIENCE)

        def work() -> None:
            contextvars.Context().run(self.run)

        while not self.begun and not self.superseded:
            try:
                with anyio.move_on_after(max(0.0, deadline - time.monotonic())):
                    await run_in_thread(work, abandon_on_cancel=True)
                return
            except NoThread as error:
                self._no_thread = True
                if error.never:  # then the loop has nothing else, and a blocked one is better than no token
                    work()
                    return
                left = until - time.monotonic()
                if left <= 0.0:
                    return
                await self._arrival(min(left, START_GRACE))

    def _result(self, timeout: float) -> T | None:
        try:
            return self._future.result(timeout)
        except FutureTimeout:
            return None

    async def _arrival(self, timeout: float) -> T | None:
        if not self._future.done():
            with anyio.move_on_after(timeout):
                if _in_trio():
                    await _trio_arrival(self._future)
                else:
                    await asyncio.wrap_future(self._future)
        return self._future.result() if self._future.done() else None


class _Endings:
    """
    The flights whose waiters have their result, and of which events are still being told.

    The waiter may be a short program, which ends at once: what was to be told would be lost with the flight's thread.
    """

    def __init__(self) -> None:
        fork.begin(self)
        atexit.register(self._wait)

    def after_fork(self) -> None:
        """The parent's flights are not here."""
        self._changed = threading.Condition()
        self._count = 0

    def __enter__(self) -> None:
        with self._changed:
            self._count += 1

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._count -= 1
            self._changed.notify_all()

    def _wait(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._count <= 0, _LAST_WORDS)


_endings = _Endings()
_tasks: set[asyncio.Task[None]] = set()  # the loop itself keeps none of them alive


def start_task(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run `work` in a task of this loop's, of asyncio or trio, that the end of its caller does not end."""
    if _in_trio():
        import trio

        trio.lowlevel.spawn_system_task(work)
        return
    task = asyncio.get_running_loop().create_task(work(), context=contextvars.Context())
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)


def _in_trio() -> bool:
    """Whether the task that runs here is trio's, also as a guest in another loop."""
    trio = sys.modules.get("trio")
    return trio is not None and bool(trio.lowlevel.in_trio_task())


async def _trio_arrival(future: Future[T]) -> None:
    import trio

    loop, arrived = trio.lowlevel.current_trio_token(), trio.Event()

    def notify(_: Future[T]) -> None:
        with suppress(trio.RunFinishedError):  # then nobody waits there any more
            loop.run_sync_soon(arrived.set)

    future.add_done_callback(notify)
    await arrived.wait()
