"""A server that answers as a test says, and remembers every byte it was sent."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

REJECTED = b'{"errcode":40001,"errmsg":"invalid credential rid: 6aac0063-7ed08fb9-1250f724"}'
OK = b'{"errcode":0,"errmsg":"ok"}'


@dataclass
class Seen:
    """One request as it arrived."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes = field(repr=False)

    @property
    def token(self) -> str | None:
        return parse_qs(urlsplit(self.target).query).get("access_token", [None])[0]

    @property
    def path(self) -> str:
        return urlsplit(self.target).path


class Api:
    """
    What the server does: `answer` is called with each request, and gives status, headers and pieces of a body.

    By default the token ``T1`` is rejected and every other one accepted.
    """

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.answer: Callable[[Seen], tuple[int, dict[str, str], Iterable[bytes]]] = self.usual
        self.rejection: tuple[dict[str, str], bytes] = ({"Content-Type": "application/json"}, REJECTED)
        self.success: tuple[dict[str, str], bytes] = ({"Content-Type": "application/json"}, OK)
        self.url = ""

    def usual(self, seen: Seen) -> tuple[int, dict[str, str], Iterable[bytes]]:
        headers, body = self.rejection if seen.token == "T1" else self.success
        return 200, headers, [body]

    @property
    def tokens(self) -> list[str | None]:
        return [one.token for one in self.seen]


@contextmanager
def serving() -> Iterator[Api]:
    """Serve an `Api` on a free port."""
    api = Api()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # the head and the body are written one after the other

        def do_GET(self) -> None:
            seen = Seen(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, self._body())
            api.seen.append(seen)
            status, headers, pieces = api.answer(seen)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if isinstance(pieces, list):
                self.send_header("Content-Length", str(sum(map(len, pieces))))
            else:
                self.send_header("Connection", "close")
            self.end_headers()
            try:
                for piece in pieces:
                    self.wfile.write(piece)
            except OSError:
                self.close_connection = True  # the client has had enough

        do_POST = do_GET  # noqa: N815 - http.server's name

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def log_message(self, *args: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass  # clients go away

    server = Server(("127.0.0.1", 0), Handler)
    api.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
