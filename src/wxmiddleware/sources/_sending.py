"""
Whether a request may still be sent: the engine knows, and a source asks right before the bytes go out.

A process may be held up between taking the lease and sending: by a slow look-up, a slow secret, a machine that swaps.
By then its lease may be over, and another process's token in use, which the late request would end.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

# The thread is named as well: one that inherits the context (free-threaded builds, asyncio.to_thread) may outlive it.
_covers: ContextVar[tuple[threading.Thread, Callable[[float], bool]] | None] = ContextVar(
    "wxmiddleware_lease", default=None
)


@contextmanager
def under_lease(covers: Callable[[float], bool]) -> Iterator[None]:
    """
    Let requests of this block, in this thread, be sent only while `covers` says so.

    Args:
        covers: Tells whether the lease still lasts for so many seconds.
    """
    mark = _covers.set((threading.current_thread(), covers))
    try:
        yield
    finally:
        _covers.reset(mark)


def may_send(seconds: float) -> bool:
    """Whether a request may be sent now whose answer is there within so many seconds."""
    thread, covers = _covers.get() or (None, None)
    return covers is None or thread is not threading.current_thread() or covers(seconds)
