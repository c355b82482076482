"""
The fork hook: a child gets new locks, as another thread may have held the old ones, and has no refresh under way.

Python runs the hook in every child that it forks itself. uWSGI forks in C and does not call it, so the slow paths
also call `check`, which compares process ids.
"""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from types import FrameType
from typing import NoReturn, Protocol, Self
from weakref import WeakKeyDictionary, WeakValueDictionary


class Forkable(Protocol):
    def after_fork(self) -> None:
        """Make new locks. Runs in the child, which has one thread."""


_pid = os.getpid()
_once: dict[int, threading.RLock] = {}
_members: WeakValueDictionary[int, Forkable] = WeakValueDictionary()
_LOCKS = frozenset(("_lock", "_changed", "opening"))
# Which of these a class has. Weak: what holds classes to the very end of the interpreter keeps their users' objects,
# too, whose finalisers then find no builtins any more.
_lock_names: WeakKeyDictionary[type, tuple[str, ...]] = WeakKeyDictionary()


def register(member: Forkable) -> None:
    """Have `member.after_fork()` run in every child."""
    _members[id(member)] = member


def holds_lock() -> bool:
    """
    Whether this very thread holds a lock of a member's, and a signal handler or a finaliser has interrupted it there.

    What is asked now must not wait for another thread, which may need that lock.
    """
    if not _may_hold_lock():
        return False
    for each in _members.valuerefs():
        member = each()
        if member is not None:
            for name in _lock_names.get(type(member)) or _names_of_locks(member):
                if getattr(member, name)._is_owned():
                    return True
    return False


def _may_hold_lock() -> bool:
    """
    Whether a function that this thread is in takes a lock of such a name.

    A lock is always taken with ``with``, by its name, so its holder is on the stack. That is never deep, and there may
    be the locks of thousands of accounts.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if not _LOCKS.isdisjoint(frame.f_code.co_names):
            return True
        frame = frame.f_back
    return False


def _names_of_locks(member: Forkable) -> tuple[str, ...]:
    """What a member calls its locks; without those that are not re-entrant, of which nobody knows who holds them."""
    names = tuple(name for name in _LOCKS if hasattr(getattr(member, name, None), "_is_owned"))
    _lock_names[type(member)] = names
    return names


def begin(member: Forkable) -> None:
    """Run `member.after_fork()`, now and in every child: what begins anew there is said once."""
    member.after_fork()
    register(member)


def check() -> None:
    """Run the hooks if this is a child in which Python did not."""
    pid = os.getpid()
    if pid != _pid:
        with _once.setdefault(pid, threading.RLock()):
            if pid != _pid:
                _in_child()


def _in_child() -> None:
    global _pid  # noqa: PLW0603  # one process, one id
    for member in list(_members.values()):
        with suppress(Exception):  # one that fails must not keep the others from it
            member.after_fork()
    _pid = os.getpid()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)


class InOneProcess:
    """
    An object with locks, threads or connections: a copy of it is itself, and it is not pickled.

    Two providers that share one's locks would be wrong, and two with locks of their own would be two caches.
    """

    __slots__ = ()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError(
            f"A {type(self).__name__} is not pickled: it has locks and connections of this process. Make one in each "
            "process, from the same settings; what processes share is in the store (store=)."
        )


class Closing(InOneProcess):
    """An object that is closed at the end of a ``with`` block."""

    __slots__ = ()

    def close(self) -> None:
        """Let go of what it holds."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
