"""The simulated WeChat on a port."""

from __future__ import annotations

import contextlib
import logging
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

from wxmiddleware.exceptions import ConfigurationError

from ._app import STOPPING, create_app
from ._wechat import WeChat

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

__all__ = ["SimulatorServer"]

_logger = logging.getLogger("wxmiddleware.simulator")

# The free ports that this process has used up. What it remembers of one WeChat (tokens, by appid and host) must not
# meet the next one at the same address, as happens by chance in a long run of tests.
_used: set[int] = set()


class _Handler(WSGIRequestHandler):
    """Says nothing of requests (their lines hold secrets and tokens), and lets the app know when to stop."""

    server: _Server

    def make_environ(self) -> WSGIEnvironment:
        environ = super().make_environ()
        environ[STOPPING] = self.server.stopping
        return environ

    def date_time_string(self, timestamp: float | None = None) -> str:
        # The real time, and not the simulated: a client compares it with its own clock.
        return super().date_time_string(time.time() + self.server.date_skew() if timestamp is None else timestamp)

    def connection_dropped(self, error: BaseException, environ: WSGIEnvironment | None = None) -> None:
        self.close_connection = True  # http.server would wait for another request here

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - werkzeug's name for it
        pass


class _Server(ThreadedWSGIServer):
    request_queue_size = 1024
    daemon_threads = True

    def __init__(self, host: str, port: int, app: Any, date_skew: Callable[[], float]) -> None:
        self.date_skew = date_skew
        self.stopping = threading.Event()
        self._open: dict[socket.socket, threading.Thread] = {}
        self._open_lock = threading.Lock()
        super().__init__(host, port, app, handler=_Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        thread = threading.Thread(
            target=self.process_request_thread,
            args=(request, client_address),
            name="wxmiddleware-simulator-request",
            daemon=True,
        )
        with self._open_lock:
            self._open[request] = thread
        try:
            thread.start()
        except BaseException:
            with self._open_lock:
                self._open.pop(request, None)
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._open_lock:
                self._open.pop(request, None)

    def handle_error(self, request: Any, client_address: Any) -> None:
        # Clients go away when they like, and faults close connections under the handler's feet.
        if not isinstance(sys.exc_info()[1], (OSError, ValueError)):
            _logger.error("The simulator itself failed.", exc_info=sys.exc_info())

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - werkzeug's name for it
        if type == "error" and sys.exc_info()[1] is not None:
            _logger.error("The simulator itself failed.", exc_info=sys.exc_info())

    def end_connections(self) -> None:
        """End every connection: first those that only wait to read, then whatever is left, and join the threads."""
        for how, patience in ((socket.SHUT_RD, 1.0), (socket.SHUT_RDWR, 2.0)):
            with self._open_lock:
                left = list(self._open.items())
            for connection, _ in left:
                with contextlib.suppress(OSError, ValueError):
                    connection.shutdown(how)
            deadline = time.monotonic() + patience
            for _, thread in left:
                thread.join(max(0.0, deadline - time.monotonic()))


def _and(host: str, hosts: Iterable[str]) -> Iterable[str]:
    return hosts if isinstance(hosts, str) or not isinstance(hosts, Iterable) else [host, *hosts]


class SimulatorServer:
    """
    A simulated WeChat behind a socket, for clients in this process and others.

    A context manager. After ``stop()`` connections are refused, and ``start()`` brings it back on the same port, so
    it also plays a WeChat that is down for a while.

    Args:
        wechat: The rules, the faults and the counters; by default a new one.
        host: The address to listen on.
        port: The port, or 0 for a free one that no simulator of this process has had.
        admin: Also serve ``/_simulator/``; see :func:`create_app`.
        hosts: Names and addresses under which browsers may reach it, beside ``host``, ``localhost`` and loopback
            addresses; see :func:`create_app`. With ``0.0.0.0`` or ``::`` as ``host``, every address.

    Raises:
        ConfigurationError: An argument is of no use, or the server is not in a state to do what is asked.
        OSError: From ``start()``: the port is taken.
    """

    def __init__(
        self,
        wechat: WeChat | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        admin: bool = False,
        hosts: Iterable[str] = (),
    ) -> None:
        if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= 65535:
            raise ConfigurationError(f"port is a number from 0 (any free one) to 65535; got {port!r}.")
        if not isinstance(host, str) or not host or "/" in host:
            raise ConfigurationError(f"host is a name or an address such as 127.0.0.1; got {host!r}.")
        self.wechat = WeChat() if wechat is None else wechat
        self._app = create_app(self.wechat, admin=admin, hosts=_and(host, hosts))
        self._host = host
        self._port = port
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The base URL, such as ``http://127.0.0.1:43211``. It stays the same when the server is stopped."""
        if not self._port:
            raise ConfigurationError("The simulator has no port yet; call start() or use it in a with statement.")
        return f"http://{f'[{self._host}]' if ':' in self._host else self._host}:{self._port}"

    def start(self) -> Self:
        """Listen and serve; connections are accepted when it returns."""
        if self._server is not None:
            raise ConfigurationError("The simulator runs already; stop() it first.")
        server = self._bind()
        while not self._port and server.port in _used:
            with contextlib.closing(server.socket):  # held until another one is found, so that it is another one
                server = self._bind()
        self._port = server.port
        _used.add(self._port)
        self._server = server
        self._thread = threading.Thread(
            target=server.serve_forever, args=(0.02,), name="wxmiddleware-simulator", daemon=True
        )
        self._thread.start()
        return self

    def _bind(self) -> _Server:
        try:
            return _Server(self._host, self._port, self._app, lambda: self.wechat.date_skew)
        except SystemExit:  # werkzeug's way to say that the port is taken
            raise OSError(f"Nobody can listen on {self._host}:{self._port}: the port is taken.") from None

    def stop(self) -> None:
        """Stop listening and end every connection, hanging ones too. Does nothing if it does not run."""
        server, thread = self._server, self._thread
        if server is None or thread is None:
            return
        self._server = self._thread = None
        server.stopping.set()
        server.shutdown()
        thread.join()
        server.server_close()
        self.wechat.faults.wake()
        server.end_connections()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<SimulatorServer {self.url if self._port else self._host}{'' if self._server else ' (stopped)'}>"
