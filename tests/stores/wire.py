"""A TCP proxy between a client and its server, which counts the ways there and back."""

from __future__ import annotations

import select
import socket
import socketserver
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Self


class Wire:
    """
    Connect to `port` of this instead of `server_port`.

    Attributes:
        trips: Round trips so far: how often a client said something to which the server then could answer.
        lose: If a client says something with this in it, the answer is lost, and the connection with it. Once.
        to: The server's port; for connections that are made from now on.
        through: What a client says goes through this function, which may change it, or do something in between.
    """

    def __init__(self, server_port: int) -> None:
        self.trips = 0
        self.lose: bytes | None = None
        self.through: Callable[[bytes], Iterable[bytes]] | None = None
        self.to = server_port
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        wire = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                wire._carry(self.request)

        self._proxy = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.port: int = self._proxy.server_address[1]
        self._thread = threading.Thread(target=self._proxy.serve_forever, args=(0.02,))
        self._thread.start()

    def during(self, work: Callable[[], Any]) -> int:
        """Do `work`; the round trips that it took."""
        before = self.trips
        work()
        return self.trips - before

    def cut(self) -> None:
        """Break all connections."""
        with self._lock:
            for each in self._open:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._proxy.shutdown()
        self._thread.join()
        self.cut()
        self._proxy.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _carry(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(("127.0.0.1", self.to), 5)
        except OSError:
            return  # it is down; so are we
        with server:
            for each in (client, server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open |= {client, server}
            with suppress(OSError):
                self._talk(client, server)
            with self._lock:
                self._open -= {client, server}

    def _talk(self, client: socket.socket, server: socket.socket) -> None:
        asking = losing = False
        while True:
            for each in select.select([client, server], [], [])[0]:
                said = each.recv(65536)
                if not said:
                    return
                if each is server:
                    if losing:
                        return
                    asking = False
                    client.sendall(said)
                    continue
                if not asking:
                    asking = True
                    with self._lock:
                        self.trips += 1
                if self.lose is not None and self.lose in said:
                    self.lose, losing = None, True
                for part in [said] if self.through is None else self.through(said):
                    server.sendall(part)
