"""
A transport for requests with a deadline for the whole exchange.

The timeouts of requests and urllib3 are for one read or one address each, so a peer that sends a byte now and then can
hold a request for ever, in the headers already, and a name with three dead addresses takes three times as long. Here
connecting has one time for all: the name, its addresses, a proxy, TLS. Every read from the socket gets what is left.
And the transport knows whether it was ever connected: what fails before that, WeChat surely did not act upon.

A request that is sent may mint a token, and end the one in use. So when the connection stands, the clock and the lease
are looked at once more, and nothing is sent whose answer could not be waited for.
"""

from __future__ import annotations

import http.client
import io
import socket
import sys
from contextvars import ContextVar
from functools import cache
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, LocationParseError, NameResolutionError, NewConnectionError

from .._runtime.clock import clock
from ._connect import connect, look_up
from ._sending import may_send
from ._within import within

# So many seconds must be left for the answer when a request is sent; of a short time, a quarter of it.
_ROOM = 1.0


class Exchange:
    """
    One request and its answer. It begins when this is made; times are on the process's clock.

    Args:
        seconds: What the whole may take.
        connecting: What the connection may take of it.
        whole: What the fetch may take that this is the rest of, if it is one.

    Attributes:
        deadline: When it must be over.
        connect_by: When the connection must stand, so that there is time left for the answer.
        send_by: When the request must be sent.
        connected: Whether there was a connection, so that something may have been sent.
        proxied: Whether a proxy stands between.
    """

    __slots__ = ("_began", "connect_by", "connected", "deadline", "proxied", "send_by")

    def __init__(self, seconds: float, connecting: float, whole: float | None = None) -> None:
        self._began = clock()
        self.deadline = self._began + seconds
        # An answer does not come the sooner since a look-up or a function for the secret took long.
        self.send_by = self.deadline - min(_ROOM, (seconds if whole is None else whole) / 4)
        self.connect_by = min(self._began + connecting, self.send_by)
        self.connected = False
        self.proxied = False

    def elapsed(self) -> float:
        """Seconds since the start."""
        return clock() - self._began

    def reader_left(self) -> float:
        """Seconds that the next read may take."""
        return (self.deadline if self.connected else self.connect_by) - clock()

    def is_late(self) -> bool:
        """Whether it is too late to send anything: for an answer to be read, or for the lease that it is sent under."""
        now = clock()
        return now > self.send_by or not may_send(self.deadline - now)

    def stands(self, connection: HTTPConnection) -> None:
        """
        The connection stands. Something is sent next, so it must not be too late.

        Raises:
            ConnectTimeoutError: It is too late; also if this process was held up, or the machine was.
        """
        if self.is_late():
            raise ConnectTimeoutError(connection, "The connection came too late to wait for an answer.")
        self.connected = True


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
        self._exchange.proxied = True
        manager = super().proxy_manager_for(proxy, **kwargs)
        # Connections to a SOCKS proxy are of classes of their own, which take its name and password.
        manager.pool_classes_by_scheme = _socks_pools() if proxy.lower().startswith("socks") else _POOLS
        return manager

    def send(self, *args: Any, **kwargs: Any) -> Any:
        mark = _current.set(self._exchange)
        try:
            return super().send(*args, **kwargs)
        finally:
            _current.reset(mark)


class _Reader(io.RawIOBase):
    """Reads from a socket while there is time."""

    def __init__(self, sock: socket.socket, raw: io.RawIOBase, exchange: Exchange) -> None:
        self._sock, self._raw, self._exchange = sock, raw, exchange

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._exchange.reader_left()
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
        self.fp = io.BufferedReader(_Reader(sock, self.fp.detach(), _current.get()))


class _Limited:
    """What all connections have in common, those through a SOCKS proxy as well."""

    response_class: Any = _Response

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]  # urllib3's, which comes after this one
        _current.get().stands(self)  # type: ignore[arg-type]


class _Http(_Limited, HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return _opened(self)


class _Https(_Limited, HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return _opened(self)


def _opened(connection: HTTPConnection) -> socket.socket:
    """What urllib3's connections do, but in one time for the name and all its addresses."""
    host, exchange = connection._dns_host, _current.get()
    try:
        host.encode("idna")
    except UnicodeError:
        raise LocationParseError(f"'{host}', label empty or too long") from None
    try:
        sock = connect(host, connection.port, exchange.connect_by, connection.socket_options or ())
    except socket.gaierror as exc:
        raise NameResolutionError(host, connection, exc) from exc
    except TimeoutError as exc:
        raise ConnectTimeoutError(connection, f"No address of {host} answered in time.") from exc
    except OSError as exc:
        raise NewConnectionError(connection, f"Failed to establish a new connection: {exc}") from exc
    sys.audit("http.client.connect", connection, connection.host, connection.port)
    sock.setblocking(True)
    sock.settimeout(max(0.001, exchange.connect_by - clock()))  # for TLS
    return sock


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _Http


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _Https


_POOLS: dict[str, Any] = {"http": _HttpPool, "https": _HttpsPool}


@cache
def _socks_pools() -> dict[str, Any]:
    """
    The same for SOCKS. Only called where PySocks is installed: requests has made a manager of its own before.

    PySocks tries the proxy's addresses one after the other, has a timeout for each read, and looks names up itself. So
    it runs in a thread, and gets one address: where there are several, that which answers first.
    """
    from urllib3.contrib.socks import SOCKSConnection, SOCKSHTTPSConnection

    def opened(connection: Any, new_conn: Any) -> socket.socket:
        exchange, options = _current.get(), connection._socks_options
        host, port = options["proxy_host"], options["proxy_port"] or 1080
        try:
            addresses = look_up(host, port, exchange.connect_by)
            address = addresses[0][4][0]
            if len(addresses) > 1:
                with connect(host, port, exchange.connect_by) as found:
                    address = found.getpeername()[0]
        except TimeoutError as exc:
            raise ConnectTimeoutError(connection, "The SOCKS proxy did not answer in time.") from exc
        except OSError as exc:
            raise NewConnectionError(connection, f"The SOCKS proxy cannot be reached: {exc}") from exc
        connection._socks_options = {**options, "proxy_host": address, "proxy_port": port}
        left = exchange.connect_by - clock()
        connection.timeout = max(0.001, left)
        try:
            sock: socket.socket = within(left, new_conn, socket.socket.close)
        except TimeoutError as exc:
            raise ConnectTimeoutError(connection, "The SOCKS proxy did not connect in time.") from exc
        sock.settimeout(max(0.001, exchange.connect_by - clock()))  # for TLS
        return sock

    class SocksHttp(_Limited, SOCKSConnection):
        def _new_conn(self) -> Any:
            return opened(self, super()._new_conn)

    class SocksHttps(_Limited, SOCKSHTTPSConnection):
        def _new_conn(self) -> Any:
            return opened(self, super()._new_conn)

    class SocksHttpPool(HTTPConnectionPool):
        ConnectionCls = SocksHttp

    class SocksHttpsPool(HTTPSConnectionPool):
        ConnectionCls = SocksHttps

    return {"http": SocksHttpPool, "https": SocksHttpsPool}
