"""Whether there are threads, whether they run when nobody waits for them, and which one has an event loop."""

from __future__ import annotations

import _thread
import asyncio
import contextvars
import sys
import threading
import warnings
from collections.abc import Callable
from functools import cache
from typing import TypeVar

import anyio
import anyio.to_thread

from wxmiddleware.exceptions import TokenUnavailable

__all__ = [
    "NO_THREAD",
    "NoThread",
    "in_event_loop",
    "run_in_thread",
    "start_thread",
    "start_unnoticed",
    "threads_freeze",
    "warn_of_blocked_loop",
]

T = TypeVar("T")

# Whose lines are not to blame: this package, and the clients whose auth classes are in it.
_PASSED_THROUGH = (__name__.partition(".")[0], "requests", "httpx", "httpx2")
_BLOCKED = (
    "A token is waited for in a thread that runs an event loop, which is blocked meanwhile: no other task goes on. "
    "Write: await provider.aget_token(); under with_token, async def; in the place of requests, httpx.AsyncClient."
)

NO_THREAD = (
    "No thread can be started, and without one this would block the event loop. The process or its container is at its "
    "limit of threads (ulimit -u, pids limit): raise that, or look what starts so many."
)


class NoThread(TokenUnavailable):
    """
    There can be no thread now.

    Attributes:
        never: There can be none in this interpreter, ever: an isolated subinterpreter, or a platform without threads.
    """

    never = False


def start_thread(work: Callable[[], object], name: str) -> threading.Thread | None:
    """
    Start a thread that the interpreter does not wait for at its end; or one it waits for, where no other is allowed.

    It begins with an empty context: nothing of the request that happened to be first reaches what it does.

    Returns:
        The thread; ``None`` if there can be none: at a limit of the system's, at the interpreter's end, in some
        subinterpreters.
    """
    # At its end the interpreter starts threads that never run, and waits for them; later versions raise.
    if sys.is_finalizing():
        return None
    # Some builds would let it inherit its starter's context: free-threaded ones since 3.14.
    run = contextvars.Context().run
    thread = threading.Thread(target=run, args=(work,), name=name, daemon=_may_leave_threads())
    try:
        thread.start()
    except RuntimeError:
        return None
    return thread


def start_unnoticed(work: Callable[[], object]) -> bool:
    """
    Start a thread without waiting for its first turn, which `threading.Thread.start` does.

    Returns:
        ``False`` if there can be none, as with `start_thread`.
    """
    if not _may_leave_threads():  # the end of such an interpreter breaks on a thread that nobody joins
        return start_thread(work, "wxmiddleware-start") is not None
    try:
        _thread.start_new_thread(work, ())
    except RuntimeError:
        return False
    return True


def _may_leave_threads() -> bool:
    """Whether threads may be left running at the interpreter's end; not in a subinterpreter with a GIL of its own."""
    allowed: Callable[[], bool] | None = getattr(_thread, "daemon_threads_allowed", None)
    return allowed is None or allowed()


async def run_in_thread(
    function: Callable[[], T], *, limiter: anyio.CapacityLimiter | None = None, abandon_on_cancel: bool = False
) -> T:
    """
    Call a function off the event loop, in one of the loop's own worker threads.

    Args:
        limiter: How many there may be at once; by default what anyio has for all.
        abandon_on_cancel: Whether a cancelled task leaves the thread to itself, instead of waiting for it.

    Raises:
        NoThread: None of these is idle, and no new one can be started. The function was not called.
    """
    begun = False

    def run() -> T:
        nonlocal begun
        begun = True
        return function()

    try:
        return await anyio.to_thread.run_sync(run, limiter=limiter, abandon_on_cancel=abandon_on_cancel)
    except RuntimeError as error:
        if begun:
            raise
        found = NoThread(NO_THREAD, retry_after=1.0)
        found.never = "isolated" in str(error) or sys.platform in ("emscripten", "wasi")
    raise found


def in_event_loop() -> bool:
    """Whether this very thread runs an event loop now, of asyncio or trio, and waiting would hold it up."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        return True
    # A trio that nobody imported is not running.
    trio = sys.modules.get("trio")
    return trio is not None and bool(trio.lowlevel.in_trio_run())


def warn_of_blocked_loop() -> None:
    """
    Warn whoever called this package that the event loop of this thread is blocked, if it has one.

    As with all warnings of Python's, it is shown once for each line that is to blame.
    """
    if not in_event_loop():
        return
    level, frame = 1, sys._getframe()
    while frame.f_globals.get("__name__", "").partition(".")[0] in _PASSED_THROUGH and frame.f_back is not None:
        level, frame = level + 1, frame.f_back
    warnings.warn(_BLOCKED, RuntimeWarning, stacklevel=level)


@cache
def threads_freeze() -> bool:
    """
    Whether background threads may lie frozen between requests here: in uWSGI, unless it was told to run threads.

    2.0.30 and later run them by default. 2.0.21 does not, and of those between we don't know; there a "yes" costs
    little: one request waits for a refresh after its body is out.
    """
    uwsgi = sys.modules.get("uwsgi")
    if uwsgi is None:
        return False
    options = getattr(uwsgi, "opt", {})
    asked_for = any(options.get(name) or options.get(name.encode()) for name in ("enable-threads", "threads"))
    return not asked_for and tuple(getattr(uwsgi, "version_info", (2, 0, 0)))[:3] < (2, 0, 30)
