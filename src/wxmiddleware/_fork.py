"""
What a forked child must forget: locks that some other thread held, flights that nobody flies.

Python runs the hook in every child that it forks itself. uWSGI forks in C and does not call it, so the slow paths
also ask `check`, which compares process ids.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import Protocol
from weakref import WeakSet


class Forkable(Protocol):
    def after_fork(self) -> None:
        """Make new locks. Runs in the child, which has one thread."""


_pid = os.getpid()
_once: dict[int, threading.RLock] = {}
_members: WeakSet[Forkable] = WeakSet()


def register(member: Forkable) -> None:
    """Have `member.after_fork()` run in every child."""
    _members.add(member)


def check() -> None:
    """Run the hooks if this is a child in which nobody did."""
    pid = os.getpid()
    if pid != _pid:
        with _once.setdefault(pid, threading.RLock()):
            if pid != _pid:
                _in_child()


def _in_child() -> None:
    global _pid  # noqa: PLW0603  # one process, one id
    for member in list(_members):
        with suppress(Exception):  # one that fails must not keep the others from it
            member.after_fork()
    _pid = os.getpid()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
