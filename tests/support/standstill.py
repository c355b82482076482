"""Processes that stand still: a stop signal has been sent long before its last thread has stopped."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PATIENCE = 60.0  # seconds of real time


def wait_for_standstill(pid: int) -> None:
    """Wait until every thread of a process that was sent SIGSTOP has stopped."""
    deadline = time.monotonic() + PATIENCE
    while not _stands_still(pid):
        assert time.monotonic() < deadline, f"Process {pid} runs on."
        time.sleep(0.001)


def _stands_still(pid: int) -> bool:
    try:
        threads = [thread.read_bytes() for thread in Path(f"/proc/{pid}/task").glob("*/stat")]
    except (FileNotFoundError, ProcessLookupError):  # a thread has just ended
        return False
    return bool(threads) and all(b") T " in thread for thread in threads)


@contextmanager
def standing_still(pid: int) -> Iterator[None]:
    """A process stands still meanwhile, all its threads."""
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_for_standstill(pid)
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
