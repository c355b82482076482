"""Proxies that do what proxies do: CONNECT, plain requests, and SOCKS 5; with a password where the test wants one."""

from __future__ import annotations

import base64
import contextlib
import socket
import socketserver
import struct
import threading
from urllib.parse import quote, urlsplit

LONG = 10.0
NAME, PASSWORD = "courier", "p@ss/w:rd"


class Proxy:
    """
    A proxy on a free port. Every name leads to this machine, as the proxy alone knows.

    Args:
        kind: ``http`` or ``socks5h``.
        password: Whether it wants `NAME` and `PASSWORD`.
        silent: It takes connections and never says a word.

    Attributes:
        seen: Whom it was asked to reach: host and port.
        denied: How often a password was missing or wrong.
    """

    def __init__(self, kind: str, *, password: bool = False, silent: bool = False) -> None:
        self.kind, self.password = kind, password
        self.seen: list[tuple[str, int]] = []
        self.denied = 0
        self._over = threading.Event()
        talk = (lambda _: self._over.wait(LONG)) if silent else {"http": self._http, "socks5h": self._socks}[kind]

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                self.request.settimeout(LONG)
                with contextlib.suppress(OSError):
                    talk(self.request)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """What to write into a setting."""
        return self.url_with(PASSWORD) if self.password else f"{self.kind}://127.0.0.1:{self.port}"

    def url_with(self, password: str) -> str:
        """The same with another password."""
        return f"{self.kind}://{NAME}:{quote(password, safe='')}@127.0.0.1:{self.port}"

    @property
    def port(self) -> int:
        port: int = self._server.server_address[1]
        return port

    def close(self) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(LONG)

    def _http(self, here: socket.socket) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            more = here.recv(65536)
            if not more:
                return
            data += more
        head, _, rest = data.partition(b"\r\n\r\n")
        method, target, _ = head.split(b"\r\n")[0].split(b" ")
        wanted = b"proxy-authorization: basic " + base64.b64encode(f"{NAME}:{PASSWORD}".encode())
        if self.password and wanted.lower() not in head.lower():
            self.denied += 1
            here.sendall(
                b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            )
            return
        if method == b"CONNECT":
            host, _, port = target.decode().rpartition(":")
            with self._reach(host, int(port)) as there:
                here.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                _pump(here, there, rest)
            return
        url = urlsplit(target.decode())
        lines = [b"%s %s HTTP/1.1" % (method, f"{url.path}?{url.query}".encode()), *head.split(b"\r\n")[1:]]
        with self._reach(url.hostname or "", url.port or 80) as there:
            _pump(here, there, b"\r\n".join(lines) + b"\r\n\r\n" + rest)

    def _socks(self, here: socket.socket) -> None:
        _, count = _exactly(here, 2)
        offered = _exactly(here, count)
        method = 2 if self.password else 0
        if method not in offered:
            self.denied += 1
            here.sendall(b"\x05\xff")
            return
        here.sendall(bytes((5, method)))
        if self.password:
            name = _exactly(here, _exactly(here, 2)[1])
            password = _exactly(here, _exactly(here, 1)[0])
            good = (name, password) == (NAME.encode(), PASSWORD.encode())
            self.denied += not good
            here.sendall(b"\x01\x00" if good else b"\x01\x01")
            if not good:
                return
        kind = _exactly(here, 4)[3]
        raw = _exactly(here, _exactly(here, 1)[0] if kind == 3 else 4 if kind == 1 else 16)
        host = raw.decode() if kind == 3 else socket.inet_ntop(socket.AF_INET if kind == 1 else socket.AF_INET6, raw)
        (port,) = struct.unpack("!H", _exactly(here, 2))
        with self._reach(host, port) as there:
            here.sendall(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x00")
            _pump(here, there, b"")

    def _reach(self, host: str, port: int) -> socket.socket:
        self.seen.append((host, port))
        return socket.create_connection(("127.0.0.1", port), LONG)


def _exactly(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = sock.recv(count - len(data))
        if not more:
            raise ConnectionError
        data += more
    return data


def _pump(here: socket.socket, there: socket.socket, first: bytes) -> None:
    def carry(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    there.sendall(first)
    back = threading.Thread(target=carry, args=(there, here), daemon=True)
    back.start()
    carry(here, there)
    back.join(LONG)
