"""
Open a connection within a time that covers everything: the look-up of the name, and all of its addresses.

A name may have addresses that swallow packets (IPv6 that leads nowhere, a machine that is gone). So the addresses are
tried side by side, each a moment after the one before, and the first that answers wins (happy eyeballs, RFC 8305).

``getaddrinfo`` cannot be cancelled, so it runs in a thread of its own. Who asked stops waiting in time; an answer that
comes later serves the next who asks. So a host whose first nameserver is dead has its token at the second try.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
import threading
from collections.abc import Iterable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from itertools import chain, zip_longest
from typing import Any

from .._runtime import fork
from .._runtime.clock import clock
from ._within import begin

Address = tuple[Any, ...]  # family, type, protocol, canonical name, address: as getaddrinfo gives it

# Between two attempts, if few addresses are to be tried (RFC 8305 recommends 250 ms).
_STAGGER = 0.25
# A look-up that took so long is remembered for so long: the next would take as long.
_SLOW = 1.0
_KEEP = 60.0
_PENDING = frozenset({0, errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EALREADY})


def connect(host: str, port: int, until: float, options: Iterable[tuple[int, int, int | bytes]] = ()) -> socket.socket:
    """
    Connect to one of the addresses of `host`.

    Args:
        until: When to give up, on the process's clock.
        options: Socket options to set before connecting.

    Raises:
        TimeoutError: No address answered in time, or the name could not be looked up in time.
        socket.gaierror: The name is unknown.
        OSError: Every address refused; the error is the last one's.
    """
    race = _Race(_interleaved(look_up(host, port, until)), until, tuple(options))
    try:
        return race.run()
    finally:
        race.close()


def look_up(host: str, port: int, until: float) -> list[Address]:
    """
    Find the addresses of a host, until a time on the process's clock.

    Raises:
        TimeoutError: It takes longer.
        socket.gaierror: The name is unknown.
    """
    name = host.strip("[]")
    for family in (socket.AF_INET, socket.AF_INET6):
        with suppress(OSError, ValueError):
            socket.inet_pton(family, name)
            return [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (name, port))]
    return _look_ups.get(name, port, until - clock())


class _LookUps:
    """Look-ups under way, and slow ones that have ended a moment ago."""

    def __init__(self) -> None:
        fork.begin(self)

    def after_fork(self) -> None:
        self._lock = threading.RLock()
        # In a child no thread looks anything up.
        self._found: dict[tuple[str, int], tuple[Future[list[Address]], float]] = {}

    def get(self, host: str, port: int, seconds: float) -> list[Address]:
        key = (host, port)
        began = clock()
        with self._lock:
            self._found = {
                each: (future, since)
                for each, (future, since) in self._found.items()
                if not future.done() or began - since < _KEEP
            }
            known = self._found.get(key)
            # Who waits for one that fails may be here again before `_ended` is.
            if known and known[0].done() and known[0].exception() is not None:
                known = None
            future = known[0] if known else Future()
            self._found[key] = (future, known[1] if known else began)
        if known is None:
            begin(future, lambda: socket.getaddrinfo(host, port, socket.AF_UNSPEC, socket.SOCK_STREAM))
            future.add_done_callback(lambda done: self._ended(key, done, began))
        try:
            return future.result(max(0.0, seconds))
        except FutureTimeout:
            raise TimeoutError from None

    def _ended(self, key: tuple[str, int], future: Future[list[Address]], began: float) -> None:
        now = clock()
        with self._lock:
            if future.exception() is None and now - began > _SLOW:
                self._found[key] = (future, now)
            elif key in self._found and self._found[key][0] is future:  # and no later one
                del self._found[key]


_look_ups = _LookUps()


def _interleaved(addresses: list[Address]) -> list[Address]:
    """IPv6 and IPv4 take turns, beginning with what the system prefers: one of the two may lead nowhere."""
    first = [each for each in addresses if each[0] == addresses[0][0]]
    others = [each for each in addresses if each[0] != addresses[0][0]]
    return [each for each in chain.from_iterable(zip_longest(first, others)) if each is not None]


class _Race:
    """Attempts to connect, side by side."""

    def __init__(
        self, addresses: list[Address], until: float, options: tuple[tuple[int, int, int | bytes], ...]
    ) -> None:
        self._todo = addresses
        self._until = until
        self._options = options
        # Many addresses: all of them are under way before half of the time is over.
        self._stagger = min(_STAGGER, max(0.0, until - clock()) / 2 / max(1, len(addresses)))
        self._selector = selectors.DefaultSelector()
        self._error: OSError = OSError("the name has no addresses")

    def run(self) -> socket.socket:
        next_at = clock()
        while True:
            now = clock()
            if now >= self._until:
                raise TimeoutError
            if self._todo and (now >= next_at or not self._selector.get_map()):
                self._begin(self._todo.pop(0))
                next_at = clock() + self._stagger
                continue
            if not self._selector.get_map():
                raise self._error
            wake_at = min(next_at, self._until) if self._todo else self._until
            for key, _ in self._selector.select(max(0.0, wake_at - now)):
                won = self._ended(key.fileobj)
                if won is not None:
                    return won

    def close(self) -> None:
        """Drop all attempts that are still under way."""
        for key in list(self._selector.get_map().values()):
            self._drop(key.fileobj)
        self._selector.close()

    def _begin(self, address: Address) -> None:
        family, kind, protocol, _, where = address
        sock: socket.socket | None = None
        try:
            sock = socket.socket(family, kind, protocol)
            for option in self._options:
                sock.setsockopt(*option)
            sock.setblocking(False)
            code = sock.connect_ex(where)
            if code not in _PENDING:
                raise OSError(code, os.strerror(code))
            self._selector.register(sock, selectors.EVENT_WRITE)
        except OSError as exc:
            self._error = exc
            if sock is not None:
                sock.close()

    def _ended(self, sock: Any) -> socket.socket | None:
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._error = OSError(code, os.strerror(code))
            self._drop(sock)
            return None
        self._selector.unregister(sock)
        won: socket.socket = sock
        return won

    def _drop(self, sock: Any) -> None:
        self._selector.unregister(sock)
        sock.close()
