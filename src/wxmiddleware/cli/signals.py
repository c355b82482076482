"""Commands that run until somebody ends them."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def set_by_signals(*events: threading.Event) -> Iterator[None]:
    """Have Ctrl-C and SIGTERM set the events, in the order given, instead of ending the process."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may listen to signals
        return

    def end(*_: object) -> None:
        for event in events:
            event.set()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
