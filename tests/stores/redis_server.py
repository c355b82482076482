"""
What the tests of shared stores start.

A real redis-server on a free port, which a test may kill and start again; and forked processes.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Self

from support.debian import find

if TYPE_CHECKING:
    import redis

PATIENCE = 60.0


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


class RedisServer:
    """
    A Redis of a test's own.

    Args:
        directory: Where it keeps what it keeps.
        options: Options of its command line, such as ``--requirepass``; with ``--appendonly yes`` it remembers its
            data when it is started again.
    """

    def __init__(self, directory: Path, *options: str) -> None:
        self._program = find("redis-server")
        self._directory = directory
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.socket = ""
        self.port = free_port()

    @property
    def url(self) -> str:
        """Its URL."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> Self:
        """Start it, and wait until it answers."""
        self._process = subprocess.Popen(
            [
                *(self._program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._directory)),
                *("--save", "", "--logfile", "redis.log", *self._options),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            log = self._directory / "redis.log"
            assert self._process.poll() is None, log.read_text() if log.exists() else "It ended at once."
            assert time.monotonic() < deadline, "The server does not answer."
            time.sleep(0.01)
        return self

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                connection.sendall(b"PING\r\n")
                # One that wants a password is ready, too; one that still loads its data is not.
                return connection.recv(100).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False

    def kill(self) -> None:
        """End it without a chance to say goodbye."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None
        return self._process.pid

    def client(self, **options: object) -> redis.Redis:
        """A client for the test to look with."""
        import redis

        return redis.Redis(port=self.port, **options)  # type: ignore[arg-type]

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()


class Twemproxy:
    """
    Twitter's proxy before servers of a test's own: it forwards commands with a key, and closes on HELLO and CLIENT.

    Args:
        directory: Where its settings and log are.
        servers: What is behind it.
    """

    def __init__(self, directory: Path, *servers: RedisServer) -> None:
        self._program = find("nutcracker")
        self.port = free_port()
        self._settings, self._log = directory / "nutcracker.yml", directory / "nutcracker.log"
        behind = "".join(f"    - 127.0.0.1:{each.port}:1\n" for each in servers)
        self._settings.write_text(
            f"pool:\n  listen: 127.0.0.1:{self.port}\n  redis: true\n  hash: fnv1a_64\n  hash_tag: '{{}}'\n"
            f"  distribution: ketama\n  auto_eject_hosts: false\n  timeout: 2000\n  servers:\n{behind}"
        )

    @property
    def url(self) -> str:
        """Its URL."""
        return f"redis://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        where = ("-c", str(self._settings), "-o", str(self._log), "-a", "127.0.0.1", "-s", str(free_port()))
        self._process = subprocess.Popen(
            [self._program, *where], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            assert self._process.poll() is None, self._log.read_text() if self._log.exists() else "It ended at once."
            assert time.monotonic() < deadline, "The proxy does not answer."
            time.sleep(0.01)
        return self

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                connection.sendall(b"*1\r\n$4\r\nPING\r\n")
                return connection.recv(100).startswith(b"+PONG")
        except OSError:
            return False

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()


def in_children(work: Callable[[], str], count: int) -> list[str]:
    """Run `work` in forked children, all at the same moment, and give what each returned or raised."""
    gate, opening = os.pipe()
    children = []
    for _ in range(count):
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.close(opening)
                os.read(gate, 1)  # ends when the parent, and every later child, has closed the other end
                told = work()
            except BaseException as error:
                told = f"{type(error).__name__}: {error}"
            os.write(writing, told.encode())
            os._exit(0)
        os.close(writing)
        children.append((pid, reading))
    os.close(opening)
    os.close(gate)
    return [_told(pid, reading) for pid, reading in children]


def _told(pid: int, reading: int) -> str:
    told = b""
    try:
        while True:
            if not select.select([reading], [], [], PATIENCE)[0]:
                os.kill(pid, signal.SIGKILL)
                return "hangs"
            chunk = os.read(reading, 65536)
            if not chunk:
                return told.decode()
            told += chunk
    finally:
        os.close(reading)
        os.waitpid(pid, 0)
