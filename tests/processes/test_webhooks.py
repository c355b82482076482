"""
Webhooks in real servers of four workers with a shared store: one handler that takes long, and repeats everywhere.

Also what a stranger may do to a real socket. `webhook/test_repeats.py` and `webhook/test_limits.py` have the rest.
"""

from __future__ import annotations

import datetime as dt
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from support.prelude import WORKER
from webhook.vectors import KEY_A
from webhook.wechat import Pushed, Pusher, text

from wxmiddleware.simulator import SimulatorServer, WeChat

from .server import PATIENCE, Kind, Server

GUNICORN = "gunicorn --bind {{address}} --workers 4 %s processes.webhook_apps:%s"
UVICORN = "uvicorn --port {{port}} --workers 4 --log-level warning processes.webhook_apps:%s"
KINDS = [
    Kind("gunicorn-flask", (GUNICORN % ("--worker-class sync", "flask_app")).format(), 4),
    Kind("gunicorn-gthread-preload", (GUNICORN % ("--threads 4 --preload", "wsgi_app")).format(), 4, preloads=True),
    Kind("gunicorn-gevent", (GUNICORN % ("--worker-class gevent", "wsgi_app")).format(), 4),
    Kind("uvicorn-starlette", (UVICORN % "starlette_app").format(), 4),
    Kind("uvicorn-fastapi", (UVICORN % "fastapi_app").format(), 4),
]


def pusher() -> Pusher:
    return Pusher(now=int(time.time()))


class World:
    """A server with webhooks, and the WeChat behind it."""

    def __init__(self, server: Server, room: Path, wechat: WeChat) -> None:
        self.server = server
        self.room = room
        self.wechat = wechat

    def push(self, pushed: Pushed) -> requests.Response:
        return requests.post(
            self.server.url + pushed.url, pushed.body, timeout=PATIENCE, headers={"Connection": "close"}
        )

    @property
    def calls(self) -> list[str]:
        """The ids of the messages that were handled."""
        return [line.split()[1] for line in (self.room / "calls").read_text().splitlines()]

    @property
    def late(self) -> list[str]:
        """What was sent through the API."""
        return [sent.body["text"]["content"] for sent in self.wechat.sent]

    def until(self, true: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not true():
            assert time.monotonic() < deadline, self.server.log
            time.sleep(0.02)

    @property
    def memory(self) -> int:
        """How many bytes the largest of the server's processes has had at most."""
        group = self.server._process.pid
        found = []
        for status in Path("/proc").glob("[0-9]*/status"):
            try:
                fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
                if int((status.parent / "stat").read_text().rpartition(")")[2].split()[2]) == group:
                    found.append(int(fields["VmHWM"].split()[0]) * 1024)
            except (OSError, KeyError):
                continue
        return max(found)


def settings(room: Path, wechat: WeChat, url: str) -> dict[str, str]:
    """What the apps want to know."""
    return {
        "WECHAT_APPID": wechat.appid,
        "WECHAT_SECRET": wechat.secret,
        "WECHAT_BASE_URL": url,
        "WX_TEST_ROOM": str(room),
        "WX_TEST_STORE": f"file:{room / 'seen.json'}",
        "WX_TEST_KEY": KEY_A,
        "WX_TEST_RECEIVER": Pusher.appid,
        "WX_TEST_DEADLINE": "0.4",
        "WX_TEST_BODY_TIMEOUT": "0.4",
    }


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.name)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    room = tmp_path_factory.mktemp("room")
    wechat = WeChat()
    with SimulatorServer(wechat) as simulator:
        server = Server(request.param, settings(room, wechat, simulator.url))
        try:
            # It listens before its workers have imported the app, and on a busy machine that takes a while.
            requests.get(f"{server.url}/wechat", timeout=2 * PATIENCE, headers={"Connection": "close"})
            yield World(server, room, wechat)
        finally:
            server.close()


def test_slow_handler(world: World) -> None:
    """Whichever workers the repeats reach: all are answered success, the handler runs once, the user gets one reply."""
    (world.room / "calls").unlink(missing_ok=True)
    (world.room / "gate").unlink(missing_ok=True)
    world.wechat.sent.clear()
    workers: set[str] = set()
    with ThreadPoolExecutor(8) as pool:
        while len(workers) < 3:
            # Repeats at once: the server spreads those over its workers.
            answers = [pool.submit(world.push, pusher().sealed(text(msg_id="7"), nonce=str(n))) for n in range(8)]
            got = [each.result() for each in answers]
            assert {(200, "success")} == {(each.status_code, each.text) for each in got}
            workers |= {each.headers[WORKER] for each in got}
    assert [] == world.late
    (world.room / "gate").touch()
    world.until(lambda: bool(world.late))
    after = world.push(pusher().sealed(text(msg_id="7")))

    assert ["at last 7"] == world.late
    assert ["7"] == world.calls
    assert "success" == after.text


def test_quick_handler(world: World) -> None:
    """Repeats of what was answered in time get that answer, from every worker."""
    (world.room / "calls").unlink(missing_ok=True)
    (world.room / "gate").touch()
    workers: set[str] = set()
    while len(workers) < 2:
        got = world.push(pusher().sealed(text(msg_id="8")))
        workers.add(got.headers[WORKER])
        assert "at last 8" in pusher().opened(got.content)

    assert ["8"] == world.calls


def test_trickle(world: World) -> None:
    """A body that does not come is answered, and the worker serves the next."""
    with socket.create_connection(("127.0.0.1", int(world.server.url.rpartition(":")[2])), timeout=PATIENCE) as slow:
        slow.sendall(_head(pusher().plain("x").but(msg_signature="0"), "Content-Length: 100000") + b"<xml>")
        answer = slow.recv(1000)

    assert answer.startswith(b"HTTP/1.1 408 ")


def test_slow_bot(tmp_path: Path) -> None:
    """One worker that serves one at a time answers all of a crowd while every handler is still at work."""
    kind = Kind("gunicorn-sync", "gunicorn --bind {address} --worker-class sync processes.webhook_apps:flask_app", 1)
    # A deadline that never comes: whoever waits for a handler does not answer in this test.
    server = Server(kind, {**settings(tmp_path, WeChat(), ""), "WX_TEST_DEADLINE": "1000"})
    address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
    try:
        with ExitStack() as ends:
            crowd = [ends.enter_context(socket.create_connection(address, PATIENCE)) for _ in range(5)]
            for n, each in enumerate(crowd[:4]):
                pushed = pusher().sealed(text(msg_id=f"slow {n}"), nonce=str(n))
                each.sendall(_head(pushed, f"Content-Length: {len(pushed.body)}", "Connection: close") + pushed.body)
            answers = [b"".join(iter(partial(each.recv, 1000), b"")) for each in crowd[:4]]
    finally:
        server.close()

    assert {(b"HTTP/1.1 200 OK", b"success")} == {
        (answer.partition(b"\r\n")[0], answer.rpartition(b"\r\n\r\n")[2]) for answer in answers
    }


@pytest.mark.parametrize("worker", ["sync", "gthread", "gevent"])
@pytest.mark.parametrize("sent", [b"", b"<xml>"])
def test_trickle_in_tls(tmp_path: Path, worker: str, sent: bytes) -> None:
    """Over TLS, too, a body that does not come is answered 408: encrypted, and the worker serves the next."""
    certificate = "--certfile {0}/certificate.pem --keyfile {0}/key.pem".format(_certified(tmp_path))
    command = f"gunicorn --bind {{address}} --worker-class {worker} {certificate} processes.webhook_apps:wsgi_app"
    server = Server(Kind(f"gunicorn-tls-{worker}", command, 1), settings(tmp_path, WeChat(), ""))
    context = ssl.create_default_context(cafile=tmp_path / "certificate.pem")
    address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
    try:
        for _ in range(2):
            with (
                socket.create_connection(address, PATIENCE) as wire,
                context.wrap_socket(wire, server_hostname="localhost") as slow,
            ):
                slow.sendall(_head(pusher().plain("x").but(msg_signature="0"), "Content-Length: 100000") + sent)
                assert slow.recv(1000).startswith(b"HTTP/1.1 408 ")
    finally:
        server.close()


def _certified(directory: Path) -> Path:
    """Make a key and a certificate of localhost."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    (directory / "certificate.pem").write_bytes(certificate.public_bytes(pem))
    (directory / "key.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    return directory


@pytest.mark.parametrize("header", ["Content-Length: 50000000", "Transfer-Encoding: chunked"])
def test_fifty_megabytes(world: World, header: str) -> None:
    """A body of fifty megabytes is refused, and costs the workers next to nothing."""
    world.push(pusher().sealed("x"))
    before = world.memory
    with socket.create_connection(("127.0.0.1", int(world.server.url.rpartition(":")[2])), timeout=PATIENCE) as large:
        large.sendall(_head(pusher().plain("x").but(msg_signature="0"), header))
        large.settimeout(0.2)
        answer = b""
        megabyte = b"f4240\r\n" + b"x" * 1_000_000 + b"\r\n"
        for _ in range(50):
            try:
                large.sendall(megabyte)
            except OSError:  # it has stopped reading, or has hung up
                break
        large.settimeout(PATIENCE)
        try:
            answer = large.recv(1000)
        except ConnectionResetError:  # its answer was overrun by what we sent
            answer = b"HTTP/1.1 413 "

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert world.memory - before < 20_000_000
    assert 403 == world.push(pusher().sealed("x")).status_code


def _head(pushed: Pushed, *headers: str) -> bytes:
    lines: list[Any] = [f"POST {pushed.url} HTTP/1.1", "Host: test", *headers, "", ""]
    return "\r\n".join(lines).encode()
