"""Both ends of the gateway as sockets: a client that writes what it likes, and a WeChat that keeps every byte."""

from __future__ import annotations

import contextlib
import http.client
import logging
import re
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import uvicorn
from support.program import PATIENCE
from support.sources import EndlessSource

from wxmiddleware import Account, TokenProvider
from wxmiddleware.hub import Caller, Hub, _audit, _server, hash_key, new_key

APPID, APPSECRET, SIGNS = "wx0123456789abcdef", "f" * 32, "0123456789abcdef0123456789abcdef"
PATH = "/cgi-bin/message/custom/send"
OK = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 27\r\n\r\n{"errcode":0,"errmsg":"ok"}'
SERVERS = ("patient", "httptools", "h11")


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@dataclass
class Arrived:
    """One request, as it came over the wire."""

    head: bytes
    body: bytes = b""
    complete: bool = True
    size: int = 0
    checksum: int = 0

    def take(self, piece: bytes, keep: bool) -> None:
        self.size += len(piece)
        self.checksum = zlib.crc32(piece, self.checksum)
        if keep:
            self.body += piece

    @property
    def line(self) -> str:
        return self.head.partition(b"\r\n")[0].decode()

    def values(self, name: str) -> list[str]:
        found = re.findall(rb"(?mi)^" + name.encode() + rb":[ \t]*([^\r\n]*)\r?$", self.head)
        return [value.decode() for value in found]


class Wire:
    """One connection, read as strictly as the bytes allow."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._held = b""

    def line(self, end: bytes = b"\r\n") -> bytes:
        while end not in self._held:
            self._more()
        line, _, self._held = self._held.partition(end)
        return line

    def pieces(self, size: int) -> Iterator[bytes]:
        while size:
            if not self._held:
                self._more()
            piece, self._held = self._held[:size], self._held[size:]
            size -= len(piece)
            yield piece

    def request(self, keep: bool = True) -> Arrived:
        arrived = Arrived(self.line(b"\r\n\r\n"), complete=False)
        lengths, codings = arrived.values("content-length"), arrived.values("transfer-encoding")
        assert len(lengths) + len(codings) <= 1, "a body of which two lengths are told"
        try:
            if codings:
                assert codings == ["chunked"]
                while size := int(self.line(), 16):
                    for piece in self.pieces(size):
                        arrived.take(piece, keep)
                    assert self.line() == b""
                assert self.line() == b"", "trailers"
            elif lengths:
                for piece in self.pieces(int(lengths[0])):
                    arrived.take(piece, keep)
            arrived.complete = True
        except EOFError:
            pass
        return arrived

    def wait_for_end(self) -> None:
        """Read until the other end has closed."""
        with contextlib.suppress(EOFError):
            while True:
                self._more()

    def _more(self) -> None:
        data = b""
        with contextlib.suppress(OSError):
            data = self.sock.recv(1 << 16)
        if not data:
            raise EOFError
        self._held += data


class RawWeChat:
    """Keeps each request, and answers as `answer` does: it is given the connection, and returns bytes or does it."""

    def __init__(self) -> None:
        self.arrived: list[Arrived] = []
        self.answer: Callable[[Arrived, Wire], bytes | None] = lambda arrived, wire: OK
        self.keeps_bodies = True
        self.failures: list[Exception] = []
        self.open = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                threading.Thread(target=self._talk, args=[sock], daemon=True).start()

    def _talk(self, sock: socket.socket) -> None:
        with self._lock:
            self.open += 1
        try:
            with sock:
                wire = Wire(sock)
                while True:
                    arrived = wire.request(self.keeps_bodies)
                    self.arrived.append(arrived)
                    answer = self.answer(arrived, wire)
                    if answer is None or not arrived.complete:
                        return
                    sock.sendall(answer)
        except (EOFError, OSError):
            pass
        except Exception as error:
            self.failures.append(error)
        finally:
            with self._lock:
                self.open -= 1


@dataclass
class Door:
    """A hub under a real server, with its clients' end as a socket."""

    wechat: RawWeChat
    key: str
    port: int
    token: str = ""
    hub: Hub | None = None
    audit: list[str] = field(default_factory=list)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)

    def head(self, line: str, *headers: str, key: bool = True) -> bytes:
        more = ["Host: hub", *([f"Authorization: Bearer {self.key}"] if key else []), *headers]
        return "\r\n".join([line, *more, "", ""]).encode("latin-1")

    def ask(self, *pieces: bytes) -> http.client.HTTPResponse:
        """Send these bytes, and read one answer."""
        with self.connect() as sock:
            for piece in pieces:
                with contextlib.suppress(OSError):  # it may have had enough
                    sock.sendall(piece)
            return answer_on(sock)


def answer_on(sock: socket.socket, method: str | None = None) -> http.client.HTTPResponse:
    """Read an answer's head."""
    response = http.client.HTTPResponse(sock, method=method)
    response.begin()
    return response


class _Lines(logging.Handler):
    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(self.format(record))


@contextlib.contextmanager
def served(hub: Hub, kind: str) -> Iterator[int]:
    """Serve a hub by one of the servers, and give the port."""
    if kind == "patient":
        server = _server.server(hub, leave=lambda: None, grace=1, connections=1000)
    else:
        config = uvicorn.Config(hub, http=kind, ws="none", log_config=None, access_log=False, interface="asgi3")
        server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        thread = threading.Thread(target=server.run, args=[[listener]])
        thread.start()
        try:
            until(lambda: server.started)
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(PATIENCE)


@contextlib.contextmanager
def door(kind: str, base_url: str | None = None) -> Iterator[Door]:
    """Serve a hub by one of the servers, before a `RawWeChat`."""
    wechat, key = RawWeChat(), new_key()
    account = Account(APPID, APPSECRET, base_url=base_url or wechat.url)
    made = Door(wechat, key, 0)
    lines, level = _Lines(made.audit), _audit.logger.level
    _audit.logger.addHandler(lines)
    _audit.logger.setLevel(logging.INFO)
    try:
        with TokenProvider(account, source=EndlessSource("T{number}", kind="raw")) as provider:
            hub = made.hub = Hub([provider], callers=[Caller("shop", [hash_key(key)], [APPID])], secrets=[SIGNS])
            with served(hub, kind) as made.port:
                yield made
    finally:
        wechat.close()
        _audit.logger.removeHandler(lines)
        _audit.logger.setLevel(level)
    assert not wechat.failures
