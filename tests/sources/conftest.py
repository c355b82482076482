"""A peer that says exactly what a test tells it to, for what the simulator is too well-behaved for."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from wxmiddleware import Account, ClassicToken, StableToken
from wxmiddleware.sources import Failure, Grant, TokenSource

LONG = 10.0
# Of nobody, for localhost: openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 36500
CERTIFICATE = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgVwl81mE/PIffV1mO
SUyZm9NYcqbakkLqkrVHGO5c6yOhRANCAARYABxaNZUKoRthtzrvJzE0HqiDAnP5
XEa92PfgSL/9EcfPETMR4x9xPU8arUzI5twyuuvAinvaCOtXHjfvAFwa
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBnDCCAUGgAwIBAgIUIAJK9hLpPKDzwlHBN9g9jjOooSMwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMjE5MjUwNVoYDzIxMjYxMDI5
MTkyNTA1WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAARYABxaNZUKoRthtzrvJzE0HqiDAnP5XEa92PfgSL/9EcfPETMR4x9x
PU8arUzI5twyuuvAinvaCOtXHjfvAFwao28wbTAdBgNVHQ4EFgQUh+l46hu8IFgw
nZgQlwzc8W14FHowHwYDVR0jBBgwFoAUh+l46hu8IFgwnZgQlwzc8W14FHowDwYD
VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZI
zj0EAwIDSQAwRgIhAK5ZMyv1EVthzkSNvZb/iN1zfeZ+qLteRavRYEnzW2JbAiEA
3TiurHANA1Q6KjaOWmr61rifeRw0v81y3vIEr2i4YxM=
-----END CERTIFICATE-----
"""
GOOD = b'{"access_token":"88_good","expires_in":7200}'


def http(body: bytes = GOOD, status: str = "200 OK", *headers: str) -> bytes:
    """An answer of a server that keeps connections open, whatever the request says."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Peer:
    """
    Listens on a free port, reads one request on each connection and answers it.

    Attributes:
        requests: Every request, to the byte.
        hung_up: Set when a client has closed its connection after the answer.
        stop: Set when the test is over; an answer that goes on for ever looks at it.
    """

    def __init__(self, answer: bytes | Callable[[Peer, socket.socket], object], tls: ssl.SSLContext | None) -> None:
        self.answer = answer
        self.tls = tls
        self.requests: list[bytes] = []
        self.hung_up = threading.Event()
        self.stop = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        self.stop.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(LONG)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            connection.settimeout(LONG)
            if self.tls is None:
                self._speak(connection)
            else:
                with self.tls.wrap_socket(connection, server_side=True) as wrapped:
                    self._speak(wrapped)

    def _speak(self, connection: socket.socket) -> None:
        self.requests.append(_request(connection))
        if callable(self.answer):
            self.answer(self, connection)
        else:
            connection.sendall(self.answer)
        connection.settimeout(0.05)
        while not self.stop.is_set():
            with contextlib.suppress(TimeoutError):
                if not connection.recv(1024):
                    self.hung_up.set()
                    return


def _request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            raise ConnectionError("no request came")
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    length = int(lengths[0]) if lengths else 0
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


PeerFactory = Callable[..., Peer]


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[PeerFactory]:
    """Make a peer that answers with these bytes, or lets a function talk on the socket."""
    made: list[Peer] = []

    def make(answer: bytes | Callable[[Peer, socket.socket], object] = http(), *, tls: bool = False) -> Peer:  # noqa: B008
        context = None
        if tls:
            (tmp_path / "peer.pem").write_text(CERTIFICATE)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tmp_path / "peer.pem")
        made.append(Peer(answer, context))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(params=[StableToken, ClassicToken], ids=["stable", "classic"])
def source_type(request: pytest.FixtureRequest) -> type[StableToken] | type[ClassicToken]:
    """Each of the two endpoints."""
    endpoint: type[StableToken] | type[ClassicToken] = request.param
    return endpoint


@pytest.fixture
def ask(source_type: Any) -> Callable[..., Grant | Failure]:
    """Fetch once, with the options of a source."""

    def fetch(account: Account, **options: Any) -> Grant | Failure:
        source: TokenSource = source_type(**{"connect_timeout": 1.0, "timeout": 5.0, **options})
        return source.fetch(account)

    return fetch
