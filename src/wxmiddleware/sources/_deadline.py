"""
A transport for requests with a deadline for the whole exchange.

The timeouts of requests and urllib3 are for one read each, so a peer that sends a byte now and then can hold a
request for ever, in the headers already. Here every read from the socket gets what is left of the time. And the
transport knows whether it was ever connected: what fails before that, WeChat surely did not act upon.
"""

from __future__ import annotations

import http.client
import io
import socket
import time
from contextvars import ContextVar
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection


class Exchange:
    """
    One request and its answer.

    Attributes:
        deadline: When it must be over, on `time.monotonic`.
        connected: Whether there was a connection, so that something may have been sent.
    """

    __slots__ = ("connected", "deadline")

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.connected = False


# urllib3 makes connections and responses from classes, deep inside; this is how those know what they are part of.
_current: ContextVar[Exchange] = ContextVar("wxmiddleware_exchange")


class DeadlineAdapter(HTTPAdapter):
    """Sends one request within the deadline of `exchange`. Close it afterwards; it keeps no connection."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        super().__init__(pool_connections=1, pool_maxsize=1)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager

    def send(self, *args: Any, **kwargs: Any) -> Any:
        mark = _current.set(self._exchange)
        try:
            return super().send(*args, **kwargs)
        finally:
            _current.reset(mark)


class _Reader(io.RawIOBase):
    """Reads from a socket while there is time."""

    def __init__(self, sock: socket.socket, raw: io.RawIOBase, deadline: float) -> None:
        self._sock, self._raw, self._deadline = sock, raw, deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time for the whole answer is over")
        self._sock.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_Reader(sock, self.fp.detach(), _current.get().deadline))


class _Http(HTTPConnection):
    response_class = _Response

    def connect(self) -> None:
        super().connect()
        _current.get().connected = True


class _Https(HTTPSConnection):
    response_class = _Response

    def connect(self) -> None:
        super().connect()
        _current.get().connected = True


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _Http


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _Https


_POOLS: dict[str, Any] = {"http": _HttpPool, "https": _HttpsPool}
