"""Real web servers on free ports, and requests to all of their workers."""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests
from support.prelude import WORKER
from support.program import environment, kill_group

PATIENCE = 30.0


@dataclass(frozen=True)
class Kind:
    """
    A server and how it is started.

    Attributes:
        name: For the test's id.
        command: The binary and its arguments; ``{address}``, ``{port}`` and ``{packages}`` are filled in.
        workers: How many processes serve.
        preloads: Whether it loads the app before it forks.
        python: The only Python that it is built for, if it is for one only.
    """

    name: str
    command: str
    workers: int
    preloads: bool = False
    python: tuple[int, int] | None = None

    def arguments(self, port: int) -> list[str]:
        """
        Give what to start; without the binary skip the test, or fail it in CI.
        """
        if self.python not in (None, sys.version_info[:2]):
            pytest.skip(f"{self.name} is for Python {self.python} only.")
        words = self.command.format(
            port=port, address=f"127.0.0.1:{port}", packages=sysconfig.get_path("purelib")
        ).split()
        found = shutil.which(words[0], path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
        if found is None:
            missing = f"{words[0]} is not installed."
            if os.environ.get("CI") == "true":
                pytest.fail(missing)
            pytest.skip(missing)
        return [found, *words[1:]]


def free_port() -> int:
    """Find a port that nobody listens on, below those that outgoing connections are given meanwhile."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class Server:
    """
    A running server.

    Args:
        kind: Which.
        env: What its environment has beside this process's.
        port: Where it listens; by default at a free one.
    """

    def __init__(self, kind: Kind, env: Mapping[str, str], port: int | None = None) -> None:
        port = port or free_port()
        self.kind = kind
        self.url = f"http://127.0.0.1:{port}"
        arguments = kind.arguments(port)
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - close() closes it
        self._process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env=environment(measured=False, **env),
            start_new_session=True,
        )
        try:
            self._await(port)
        except BaseException:
            self.close()
            raise

    def _await(self, port: int) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                assert self._process.poll() is None, f"{self.kind.name} ended.\n{self.log}"
                assert time.monotonic() < deadline, f"{self.kind.name} does not listen.\n{self.log}"
                time.sleep(0.02)

    @property
    def log(self) -> str:
        """What it has printed."""
        self._log.seek(0)
        return self._log.read()

    def get(self, path: str) -> str:
        """Send one request; its answer is good."""
        return self._answer("GET", path)[0]

    def _answer(self, method: str, path: str, body: Any = None) -> tuple[str, str]:
        answer = requests.request(method, self.url + path, json=body, timeout=PATIENCE, headers={"Connection": "close"})
        assert answer.status_code == 200, f"{answer.status_code}: {answer.text}\n{self.log}"
        return answer.text, answer.headers[WORKER]

    def visit(self, path: str, body: Any = None) -> list[str]:
        """Send requests until every worker has answered one, and give all answers, which are good."""
        answers: list[tuple[str, str]] = []
        ask = partial(self._answer, "GET" if body is None else "POST", path, body)
        deadline = time.monotonic() + PATIENCE
        with ThreadPoolExecutor(2 * self.kind.workers) as pool:
            while len({worker for _, worker in answers}) < self.kind.workers:
                assert time.monotonic() < deadline, f"Some worker of {self.kind.name} does not answer.\n{self.log}"
                asked = [pool.submit(ask) for _ in range(2 * self.kind.workers)]
                answers += [each.result() for each in asked]
        assert len({worker for _, worker in answers}) == self.kind.workers
        return [text for text, _ in answers]

    def close(self) -> None:
        """Kill it and all its workers. What it has printed is shown if the test failed."""
        kill_group(self._process)
        print(f"--- {self.kind.name} ---\n{self.log}")
        self._log.close()
