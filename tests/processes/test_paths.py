"""
However the webhook's path is spelt in a request line: nothing unsigned reaches a view, behind real servers.

They change a path before the middleware sees it, each in its own way. One process serves the apps of all frameworks.
`webhook/test_paths.py` has the same without servers, and the single decisions.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import socket
import time
from collections import Counter
from collections.abc import Iterator

import pytest
from webhook import routers
from webhook.spellings import BEHIND_A_PREFIX, OF_A_PLATFORM, OF_THE_ROOT, PLAIN
from webhook.wechat import Pusher, text

from .server import PATIENCE, Kind, Server

KINDS = [
    Kind("gunicorn", "gunicorn --bind {address} --threads 4 --log-level critical webhook.routers:application", 1),
    Kind("uvicorn-h11", "uvicorn --port {port} --http h11 --log-level critical webhook.routers:application", 1),
    Kind(
        "uvicorn-httptools",
        "uvicorn --port {port} --http httptools --log-level critical webhook.routers:application",
        1,
    ),
    Kind("hypercorn", "hypercorn --bind {address} --log-level critical webhook.routers:application", 1),
]
BODY = b"<xml><MsgType>text</MsgType><FromUserName>anybody</FromUserName></xml>"


def apps_of(server: Server) -> dict[str, list[str]]:
    apps = routers.WSGI_APPS if server.kind.name == "gunicorn" else routers.ASGI_APPS
    return {name: paths for name, (_, _, paths) in apps.items()}


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.name)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    if "httptools" in request.param.name and not importlib.util.find_spec("httptools"):
        if os.environ.get("CI") == "true":
            pytest.fail("httptools is not installed.")
        pytest.skip("httptools is not installed.")
    server = Server(request.param, {"WX_TEST_ROUTERS": "wsgi" if request.param.name == "gunicorn" else "asgi"})
    try:
        yield server
    finally:
        server.close()


def spellings_for(app: str) -> list[str]:
    """Those that may mean something to the app's router. In one process all are tried."""
    if "platform" in app:
        return OF_A_PLATFORM
    return OF_THE_ROOT if "root" in app.split("-") else [*PLAIN, *BEHIND_A_PREFIX] if "-" in app else PLAIN


def ask(server: Server, app: str, target: str, body: bytes = BODY) -> bytes:
    """Send a request line as it stands, and give the answer, which may be empty."""
    head = f"POST {target} HTTP/1.1\r\nHost: test\r\nX-App: {app}\r\nConnection: close\r\n"
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), timeout=PATIENCE) as connection:
        parts = []
        try:
            connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            while part := connection.recv(65536):
                parts.append(part)
        except ConnectionError:
            pass
    return b"".join(parts)


def report(server: Server) -> Counter[tuple[str, str]]:
    return Counter(ast.literal_eval(ask(server, "report", "/").partition(b"\r\n\r\n")[2].decode()))


def test_unsigned(server: Server) -> None:
    """No spelling of a path leads an unsigned request to a view."""
    asked = Counter(ask(server, app, target)[9:12] for app in apps_of(server) for target in spellings_for(app))
    opened = {key: number for key, number in report(server).items() if key[1] == "OPEN"}

    assert {} == opened
    assert asked[b"403"] > 200, asked


def test_signed(server: Server) -> None:
    """What WeChat has signed is handled on each right path, in each framework."""
    before = report(server)
    pusher = Pusher(now=int(time.time()))
    expected: Counter[tuple[str, str]] = Counter()
    for app, paths in apps_of(server).items():
        for path in paths:
            pushed = pusher.plain(text(msg_id=app + path), nonce=app + path)
            answer = ask(server, app, f"{path}?{pushed.url.partition('?')[2]}", pushed.body)
            assert answer.startswith(b"HTTP/1.1 200 "), (app, path, answer)
            expected[routers.name_of(app), "HANDLED"] += 1

    assert expected == report(server) - before
