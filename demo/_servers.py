"""The two examples under the servers that people run them under."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from wxmiddleware.exceptions import WxMiddlewareError

from . import _leash
from . import _words as words
from ._telling import Tail, log_config
from ._words import say

_BOOT = 20.0
_FOREIGN = ("GUNICORN_", "UVICORN_", "WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS", "WECHAT_", "WXM_")


class DemoError(WxMiddlewareError):
    """The demo cannot go on."""


_ROOT = Path(__file__).parents[1]


@dataclass
class Server:
    """
    A server that runs one of the examples.

    Attributes:
        name: The framework.
        title: How it is run.
        processes: How many processes serve requests.
        url: Where.
        log: What it has written.
        tail: The events in that.
        leash: The process that holds it.
    """

    name: str
    title: str
    processes: int
    url: str
    log: Path
    tail: Tail
    leash: subprocess.Popen[bytes] = field(repr=False)

    def check(self) -> None:
        """
        Make sure that it still runs.

        Raises:
            DemoError: It does not.
        """
        if self.leash.poll() is not None:
            raise DemoError(f"{self.title} has ended. Its last words:\n{last_words(self.log)}")

    def stop(self) -> None:
        """Let go of the leash, and see to it that nothing is left."""
        assert self.leash.stdin is not None
        self.leash.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.leash.wait(6.0)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.leash.pid, signal.SIGKILL)
        self.leash.wait()


@contextlib.contextmanager
def running(examples: Path, directory: Path, settings: Mapping[str, str], workers: int) -> Iterator[list[Server]]:
    """
    Run both examples until the block ends.

    Args:
        examples: Where ``flask_app`` and ``starlette_app`` are.
        directory: Where logs and configurations are written.
        settings: Environment variables for the apps.
        workers: How many workers gunicorn gets.

    Raises:
        DemoError: A server does not start.
    """
    config = directory / "logging.json"
    config.write_text(json.dumps(log_config()))
    environ = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    environ["PYTHONPATH"] = str(_ROOT)  # their logs are formatted by `_telling`
    environ |= {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", "PYTHONUNBUFFERED": "1", **settings}
    servers: list[Server] = []
    try:
        port = _free_port()
        command = ["gunicorn", "--config", str(_gunicorn_config(directory, port, workers)), "app:app"]
        start = _Start(directory, environ)
        title = say(words.WORKERS, workers=workers)
        servers.append(start("Flask", title, workers, port, command, examples / "flask_app"))
        port = _free_port()
        command = ["uvicorn", "--port", str(port), "--log-config", str(config), "--no-access-log", "app:app"]
        command += ["--timeout-graceful-shutdown", "1"]
        servers.append(start("Starlette", "uvicorn", 1, port, command, examples / "starlette_app"))
        for server in servers:
            _await(server)
        yield servers
    finally:
        for server in servers:
            server.leash.stdin.close()  # type: ignore[union-attr]  # a pipe; and all at once
        for server in servers:
            server.stop()


@dataclass(frozen=True)
class _Start:
    directory: Path
    environ: Mapping[str, str]

    def __call__(self, name: str, title: str, processes: int, port: int, module: list[str], where: Path) -> Server:
        log = self.directory / f"{name.lower()}.log"
        with log.open("wb") as out:
            leash = subprocess.Popen(  # noqa: S603 - our own command
                [sys.executable, "-I", _leash.__file__, sys.executable, "-m", *module],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=where,
                env=self.environ,
                start_new_session=True,  # Ctrl-C is for the demo; it lets go of the leash
            )
        return Server(name, title, processes, f"http://127.0.0.1:{port}", log, Tail(log), leash)


def _gunicorn_config(directory: Path, port: int, workers: int) -> Path:
    settings = {
        "bind": f"127.0.0.1:{port}",
        "workers": workers,
        "graceful_timeout": 1,
        "logconfig_dict": log_config(),
        "control_socket_disable": True,  # releases that know no such thing overlook it here
    }
    path = directory / "gunicorn.conf.py"
    path.write_text("".join(f"{name} = {value!r}\n" for name, value in settings.items()))
    return path


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _await(server: Server) -> None:
    """Wait until the app answers: without a signature that is 403, and no token is needed for it."""
    host, port = server.url.removeprefix("http://").split(":")
    deadline = time.monotonic() + _BOOT
    while time.monotonic() < deadline:
        server.check()
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), 1.0) as probe:
            probe.settimeout(5.0)
            probe.sendall(b"GET /ready HTTP/1.0\r\n\r\n")
            if probe.recv(12).startswith(b"HTTP/1."):
                return
        time.sleep(0.05)
    raise DemoError(f"{server.title} does not answer after {_BOOT:.0f} s. Its last words:\n{last_words(server.log)}")


def last_words(log: Path, lines: int = 12) -> str:
    """Give the end of a log."""
    return "\n".join(f"  {line}" for line in log.read_text(errors="replace").splitlines()[-lines:])
