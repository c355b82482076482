"""
One thread at a time writes into metrics; nobody waits for it, and no fork falls into it.

The libraries' locks are not re-entrant, and a forked child inherits those that another thread holds. A caller whose
signal handler or finaliser asks for a token while its own thread counts would wait for itself, and a child's first
caller for a thread that it does not have.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from weakref import WeakSet

from .._runtime import fork

_MOST = 10_000  # writes that are kept for whoever has the turn
_PATIENCE = 1.0  # seconds that a fork waits for one that is under way

_all: WeakSet[Turns] = WeakSet()


class Turns:
    """Runs what it is given, one after the other: at once, or by the thread that has the turn."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], object]] = deque(maxlen=_MOST)
        self._held = False
        fork.begin(self)
        _all.add(self)

    def after_fork(self) -> None:
        """What the parent has not written yet it will write itself."""
        self._turn = threading.Lock()
        self._waiting.clear()

    def take(self, write: Callable[[], object]) -> None:
        """
        Have this run. It waits for nobody.

        Raises:
            Exception: What it has raised, or another one that was run here.
        """
        self._waiting.append(write)
        self._go_on()

    def _go_on(self) -> None:
        while self._waiting and self._turn.acquire(blocking=False):
            try:
                while (write := self._next()) is not None:
                    write()
            finally:
                self._turn.release()

    def _next(self) -> Callable[[], object] | None:
        with suppress(IndexError):
            return self._waiting.popleft()
        return None

    def before_fork(self) -> None:
        """Let what is being written come to its end."""
        self._held = self._turn.acquire(timeout=_PATIENCE)

    def after_fork_in_parent(self) -> None:
        """Go on."""
        if self._held:
            self._held = False
            self._turn.release()
            with suppress(Exception):  # it is nobody's here
                self._go_on()


def _before() -> None:
    for turns in list(_all):
        turns.before_fork()


def _after() -> None:
    for turns in list(_all):
        turns.after_fork_in_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after)
