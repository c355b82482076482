"""
Do what cannot be cancelled in a thread of its own, and stop waiting for it in time.

A look-up of a name, a user's function, a file on a drive of the network: each may hang for as long as it likes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, TypeVar

from .._runtime import fork
from .._runtime.clock import clock
from .._runtime.threads import start_thread

_T = TypeVar("_T")


def within(seconds: float, work: Callable[[], _T], late: Callable[[_T], object]) -> _T:
    """
    Do something that cannot be cancelled, and stop waiting for it in time.

    Args:
        late: What to do with a result that nobody waits for any more.

    Raises:
        TimeoutError: It takes longer.
    """
    future: Future[_T] = Future()
    begin(future, work)
    try:
        return future.result(max(0.0, seconds))
    except FutureTimeout:
        future.add_done_callback(lambda done: None if done.exception() else late(done.result()))
        raise TimeoutError from None


def begin(future: Future[_T], work: Callable[[], _T]) -> None:
    """Do it in a thread; here, where there can be none."""
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            result = work()
        except BaseException as exc:
            future.set_exception(exc)
        else:
            future.set_result(result)

    if start_thread(run, "wxmiddleware-call") is None:
        run()


class OneAtATime(fork.InOneProcess):
    """
    Calls a function, and not again while a call that nobody waits for any more has yet to end.

    Else each who asks would leave one more thread behind, in a function that hangs for ever.
    """

    def __init__(self) -> None:
        fork.begin(self)

    def after_fork(self) -> None:
        """In a child no call is under way."""
        self._lock = threading.RLock()
        self._running: tuple[Future[Any], float] | None = None

    def call(self, seconds: float, function: Callable[[], _T]) -> tuple[_T, float]:
        """
        Call it, or wait for the call that is under way.

        Returns:
            What it gave, and how many seconds ago it was called.

        Raises:
            TimeoutError: It takes longer.
            BrokenOff: It has tried to end the thread or the program.
            Exception: What it raised.
        """
        with self._lock:
            now = clock()
            begins = self._running is None or self._running[0].done()
            future, began = (Future(), now) if begins or self._running is None else self._running
            self._running = (future, began)
        if begins:
            begin(future, function)
        try:
            error = future.exception(max(0.0, seconds))
        finally:
            if future.done():
                with self._lock:
                    if self._running is not None and self._running[0] is future:  # and not the next one by now
                        self._running = None
        if error is None:
            return future.result(), clock() - began
        raise error if isinstance(error, Exception) else BrokenOff(type(error).__name__)


class BrokenOff(Exception):
    """What was called has tried to end the thread or the program, with an exception of this name."""
