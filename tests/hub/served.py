"""What tests of `wxmiddleware serve` share: the command in processes of its own, before a simulated WeChat."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from support.program import PATIENCE, environment, kill_group

from wxmiddleware.hub import hash_key, new_key
from wxmiddleware.simulator import SimulatorServer

SIGNS = "0123456789abcdef0123456789abcdef"


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Served:
    """A hub in a process of its own, with a file that tests write."""

    def __init__(self, room: Path, server: SimulatorServer) -> None:
        self.room, self.wechat, self.path = room, server.wechat, room / "hub.toml"
        self.key = new_key()
        self.env = {"APP_SECRET": server.wechat.secret, "HUB_SECRET": SIGNS}
        self.account = f'[accounts.{self.wechat.appid}]\nsecret = {{ env = "APP_SECRET" }}\nbase_url = "{server.url}"\n'
        self.caller = self.caller_of("shop", self.key)
        self.top = f'listen = ["127.0.0.1:0", "unix:{room}/hub.sock"]\nsecrets = {{ env = "HUB_SECRET" }}\n'
        self.top += f'store = "file:{room}/tokens.json"\n'

    def caller_of(self, name: str, key: str, more: str = 'tokens = "wechat"') -> str:
        return f'[callers.{name}]\nkeys = ["{hash_key(key)}"]\naccounts = ["{self.wechat.appid}"]\n{more}\n'

    @property
    def parts(self) -> tuple[str, str, str]:
        return self.top, self.account, self.caller

    def write(self, *parts: str) -> None:
        self.path.write_text("".join(parts or self.parts))

    def start(self) -> None:
        if not self.path.exists():
            self.write()
        self.errors = self.room / "stderr"
        with self.errors.open("w") as errors, (self.room / "stdout").open("w") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "wxmiddleware", "serve", str(self.path)],
                env=environment() | self.env,
                stdout=out,
                stderr=errors,
                start_new_session=True,
            )
        until(lambda: self.says("listens at unix:") or self.process.poll() is not None)
        assert self.process.poll() is None, self.said
        found = re.search(r"listens at (127\.0\.0\.1:\d+)", self.said)
        assert found is not None
        self.host = found[1]
        self.http = httpx.Client(base_url=f"http://{self.host}", timeout=30)

    @property
    def said(self) -> str:
        return self.errors.read_text()

    @property
    def audit(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.room / "stdout").read_text().splitlines()]

    def says(self, words: str) -> bool:
        return words in self.said

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def reload(self, *parts: str) -> None:
        times = len(self.said)
        self.write(*parts)
        self.signal(signal.SIGHUP)
        until(lambda: re.search("settings (were read|stay)|Nothing changes", self.said[times:]))

    def token(self, key: str | None = None, http: httpx.Client | None = None) -> Any:
        query = {"grant_type": "client_credential", "appid": self.wechat.appid, "secret": key or self.key}
        return (http or self.http).get("/cgi-bin/token", params=query).json()

    def connect(self) -> socket.socket:
        host, port = self.host.split(":")
        return socket.create_connection((host, int(port)), timeout=PATIENCE)

    def close(self) -> None:
        if hasattr(self, "process"):
            kill_group(self.process)
        if hasattr(self, "http"):
            self.http.close()


def command(served: Served, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "wxmiddleware", *words],
        env=environment() | served.env,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
