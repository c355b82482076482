"""
What programs and apps share that run in processes of their own. They import it as ``support.prelude``.

It imports nothing before gevent could patch: a program that wants gevent patches first.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import logging
import mmap
import os
import select
import signal
import struct
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from wxmiddleware import Account, Runtime, TokenProvider
from wxmiddleware.sources import ClassicToken, StableToken

# These programs meet trouble on purpose; what they print beyond that is looked at.
logging.getLogger("wxmiddleware").addHandler(logging.NullHandler())

HANGS = "hangs"
WORKER = "x-worker"  # the header that names the process which answers
GATE = "/gate"  # a path at the simulated WeChat that a test can make hang
PATIENCE = 20.0  # real seconds after which a child is taken for hanging


class SharedClock:
    """
    A clock in a file, for several processes: it stands still until a test moves it.

    The simulator and the providers of every process read the same one.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = path
        with open(path, "r+b") as file:
            self._shown = mmap.mmap(file.fileno(), 8)
        self._stopped: float | None = None

    @classmethod
    def create(cls, path: str | Path, start: float = 1_700_000_000.0) -> SharedClock:
        Path(path).write_bytes(struct.pack("d", start))
        return cls(path)

    def __call__(self) -> float:
        if self._stopped is not None:  # a token of a test that has ended may be looked at later
            return self._stopped
        (now,) = struct.unpack("d", self._shown[:8])
        return float(now)

    def advance(self, seconds: float) -> None:
        self._shown[:8] = struct.pack("d", self() + seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped = self()
        self._shown.close()


def time_of_test() -> dict[str, Any]:
    """Options that put a provider on the test's clock, if the test has one."""
    path = os.environ.get("WX_TEST_CLOCK")
    if path is None:
        return {}
    clock = SharedClock(path)
    return {"runtime": Runtime(clock=clock, time=clock)}


def make_provider(**options: Any) -> TokenProvider:
    """Make a provider for the account that the environment names; ``WX_TEST_SOURCE=classic`` changes the source."""
    if os.environ.get("WX_TEST_SOURCE") == "classic":
        options.setdefault("source", ClassicToken())
    options.setdefault("source", StableToken())
    return TokenProvider(Account.from_env(os.environ), **{**time_of_test(), **options})


def mark(token: str) -> str:
    """Tells tokens apart without showing them."""
    return hashlib.sha256(token.encode()).hexdigest()


def say(*words: object) -> None:
    """Tell the test something."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")  # in one piece: threads may speak at once
    sys.stdout.flush()


def hear() -> str:
    """Wait for the test to say something."""
    return sys.stdin.readline().strip()


def fork_in_c() -> int:
    """Fork behind Python's back."""
    # A thread that asks for the GIL in this very moment would leave the child waiting for it to take the GIL: CPython's
    # doing, which its own fork hook mends. So nobody asks for a while.
    interval = sys.getswitchinterval()
    sys.setswitchinterval(100.0)
    time.sleep(0.02)
    pid: int = ctypes.PyDLL(None).fork()  # a PyDLL keeps the GIL, so that the child's only thread has it
    sys.setswitchinterval(interval)
    return pid


def forked(work: Callable[[], object], *, hook: bool = True) -> str:
    """
    Run `work` in a forked child, and give what it returned or raised, as text; ``"hangs"`` if it comes to no end.

    Args:
        hook: Whether Python does the forking. If not, it is done as uWSGI does it: in C, and no fork hook runs.
    """
    reading, writing = os.pipe()
    pid = os.fork() if hook else fork_in_c()
    if pid == 0:
        try:
            told = str(work())
        except BaseException as error:
            told = f"{type(error).__name__}: {error}"
        os.write(writing, told.encode())
        os._exit(0)
    os.close(writing)
    told = ""
    try:
        if not select.select([reading], [], [], PATIENCE)[0]:
            os.kill(pid, signal.SIGABRT)  # faulthandler then shows where it hangs
            return HANGS
        while chunk := os.read(reading, 65536):
            told += chunk.decode()
    finally:
        os.close(reading)
        os.waitpid(pid, 0)
    return told


def in_thread(work: Callable[[], object]) -> threading.Thread:
    """Run `work` in a daemon thread; what it raises is not shown."""

    def run() -> None:
        with contextlib.suppress(Exception):
            work()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread
