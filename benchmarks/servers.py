"""What the hub is measured beside: an upstream that costs next to nothing, nginx before it, and a bare uvicorn."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from . import testbed

ANSWER = '{"errcode":0,"errmsg":"ok"}'
TOKEN = '{"access_token":"88_a-token-of-nobody","expires_in":%d}'
_PATIENCE = 60.0  # seconds
_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100

_NGINX = """
worker_processes 1;
daemon off;
pid nginx.pid;
error_log error.log;
events { worker_connections 1024; }
http {
  access_log off;
  default_type application/json;
  keepalive_requests 1000000000;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  %s
}
"""
_UPSTREAM = """
  server {
    listen 127.0.0.1:%d;
    location / { return 200 '%s'; }
    location = /cgi-bin/token { return 200 '%s'; }
    location = /cgi-bin/stable_token { return 200 '%s'; }
  }
"""
_FORWARDING = """
  upstream wechat {
    server 127.0.0.1:%d;
    keepalive 64;
    keepalive_requests 1000000000;
  }
  server {
    listen 127.0.0.1:%d;
    location / {
      proxy_pass http://wechat;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
    }
  }
"""


@dataclass(frozen=True)
class Server:
    """A running one."""

    url: str
    process: subprocess.Popen[bytes]

    def cpu(self) -> float:
        """Seconds of CPU that its processes have taken, as far as they live."""
        return sum(_cpu(each, self.process.pid) for each in Path("/proc").iterdir() if each.name.isdecimal())


def nginx() -> str | None:
    """Where it is. Debian has it in ``/usr/sbin``."""
    return shutil.which("nginx", path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin")))


@contextmanager
def upstream(room: Path, life: int) -> Iterator[Server]:
    """A WeChat that says the same to everybody: nginx, from its configuration."""
    port = testbed.free_port()
    token = TOKEN % life
    with _nginx(room / "upstream", port, _UPSTREAM % (port, ANSWER, token, token)) as server:
        yield server


@contextmanager
def forwarding(room: Path, to: Server) -> Iterator[Server]:
    """nginx, which forwards to it over connections that it keeps."""
    port = testbed.free_port()
    with _nginx(room / "forwarding", port, _FORWARDING % (int(to.url.rpartition(":")[2]), port)) as server:
        yield server


@contextmanager
def hub(room: Path, file: str, env: Mapping[str, str]) -> Iterator[Server]:
    """``wxmiddleware serve``."""
    port = testbed.free_port()
    path = room / "hub.toml"
    path.write_text(f'listen = "127.0.0.1:{port}"\naudit = "{room}/audit.log"\n{file}')
    path.chmod(0o600)
    with _running([sys.executable, "-m", "wxmiddleware", "serve", str(path)], port, room, env) as server:
        yield server


@contextmanager
def bare(room: Path) -> Iterator[Server]:
    """The hub's own server, uvicorn, before an app that gives one answer: what no hub on it can be below."""
    port = testbed.free_port()
    options = ["--loop", "asyncio", "--http", "httptools", "--lifespan", "off", "--no-access-log"]
    command = [sys.executable, "-m", "uvicorn", *options, "--port", str(port), "benchmarks.servers:same"]
    with _running(command, port, room, {}) as server:
        yield server


async def same(_scope: Any, _receive: Any, send: Any) -> None:
    """Give one answer."""
    body = (TOKEN % 7200).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@contextmanager
def _nginx(room: Path, port: int, servers: str) -> Iterator[Server]:
    room.mkdir()
    (room / "nginx.conf").write_text(_NGINX % servers)
    program = nginx()
    assert program is not None
    command = [program, "-p", str(room), "-e", "error.log", "-c", "nginx.conf"]
    with _running(command, port, room, {}) as server:
        yield server


@contextmanager
def _running(command: Sequence[str], port: int, room: Path, env: Mapping[str, str]) -> Iterator[Server]:
    said = room / "said"
    with said.open("w") as out:
        process = subprocess.Popen(
            command,
            cwd=Path(__file__).parents[1],
            env=testbed.environment(measured=False) | dict(env),
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        server = Server(f"http://127.0.0.1:{port}", process)
        _await(server, said)
        yield server
    finally:
        testbed.kill_group(process)


def _await(server: Server, said: Path) -> None:
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        assert server.process.poll() is None, said.read_text()
        try:
            requests.get(f"{server.url}/livez", timeout=5)
        except requests.ConnectionError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"{server.process.args!r} does not listen: {said.read_text()}")


def _cpu(process: Path, session: int) -> float:
    try:
        # The name, in brackets, may have blanks in it.
        fields = (process / "stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has ended
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS if int(fields[3]) == session else 0.0
