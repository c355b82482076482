"""
How long a worker that serves one request at a time waits for a handler.

While it waits, no other request is served, and WeChat's five seconds run for those in the server's backlog as well. So
the worker looks whether a connection waits to be accepted. While none does, it waits for the handler as any worker
does. When one does, no other worker is free either: after a moment the push is answered ``success``, the reply goes out
late, and the next request is served.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import stat
import threading
import time
from contextlib import suppress

from wxmiddleware._runtime import fork

_logger = logging.getLogger("wxmiddleware")

_MOMENT = 0.3  # seconds that a handler is waited for without a look
_LOOK = 0.1  # seconds between two looks: a worker that is free accepts within them. In a crowd no more than that
_RECENT = 5.0  # seconds that a request may have been in the backlog: WeChat waits no longer


class Crowd:
    """Waits for handlers in one process."""

    __slots__ = ("__weakref__", "_hurried", "_warned")

    def __init__(self) -> None:
        self._warned = False
        fork.begin(self)

    def after_fork(self) -> None:
        """Forget the parent's backlog."""
        self._hurried = -_RECENT

    def wait(self, there: threading.Event, seconds: float, *, hurry: bool) -> None:
        """
        Wait for a handler.

        Args:
            there: Set when it has answered.
            seconds: For so long at most.
            hurry: Whether its answer can be sent later. Else there is nothing to gain from leaving early.
        """
        end = time.monotonic() + seconds
        # A request right after a backlog has been in it as well, for an unknown time.
        hurried = hurry and time.monotonic() - self._hurried < _RECENT
        if there.wait(min(seconds, _LOOK if hurried else _MOMENT)):
            return
        looks = 0
        while (left := end - time.monotonic()) > 0:
            looks = looks + 1 if others_wait() else 0
            if hurry and (looks > 1 or hurried):
                if looks:
                    self._hurried = time.monotonic()
                return
            if looks > 1:
                self._warn()
                there.wait(left)
                return
            if there.wait(min(left, _LOOK)):
                return

    def _warn(self) -> None:
        if not self._warned:
            self._warned = True
            _logger.warning(
                "Requests wait while a handler of the webhook is at work: this worker serves one at a time, and WeChat "
                "waits five seconds. Give the webhook late=provider, or the server threads (gunicorn --threads 16)."
            )


def others_wait() -> bool:
    """Whether a connection waits to be accepted at any socket that this process listens on; ``False`` if unknown."""
    with suppress(OSError, AttributeError):  # AttributeError: a platform without poll
        poll = select.poll()
        for name in os.listdir("/dev/fd"):
            if name.isdecimal() and _listens(int(name)):
                poll.register(int(name), select.POLLIN)
        return any(event & select.POLLIN for _, event in poll.poll(0))
    return False


def _listens(number: int) -> bool:
    with suppress(OSError):
        if stat.S_ISSOCK(os.fstat(number).st_mode):
            with socket.socket(fileno=os.dup(number)) as found:
                return bool(found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    return False
