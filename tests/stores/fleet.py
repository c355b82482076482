"""Eight processes of eight threads that share a store. They are started once, and told which store it is."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stores.contract import KEY, record
from support.program import Program, environment

from wxmiddleware import Account, TokenProvider
from wxmiddleware.simulator import SimulatorServer, WeChat
from wxmiddleware.sources import ClassicToken, StableToken, TokenSource
from wxmiddleware.stores import store_from_url

PROCESSES, THREADS = 8, 8
SOURCES: dict[str, Callable[[], TokenSource]] = {"classic": ClassicToken, "stable": StableToken}


class Fleet:
    """The processes; `all` asks them, and `on` gives them a store first."""

    def __init__(self) -> None:
        self._order = 0
        env = environment(measured=False)
        self._members = [Program(Path(__file__), env=env) for _ in range(PROCESSES)]

    @contextmanager
    def on(self, url: str) -> Iterator[None]:
        """Let each make a store of this URL, and close it at the end."""
        self.all("open", url)
        try:
            yield
        finally:
            self.all("close")

    def all(self, name: str, *args: object) -> list[Any]:
        """Ask all of them at once for what `Member` has under this name; what they answered."""
        self._order += 1
        for member in self._members:
            member.say(json.dumps([self._order, name, *args]))
        return [self._answer(member) for member in self._members]

    def _answer(self, member: Program) -> Any:
        while True:
            order, answer = json.loads(member.hear())
            if order == self._order:  # and not what a test that failed has not waited for
                return answer

    def close(self) -> None:
        """End them."""
        for member in self._members:
            member.close()


def one_fetch(fleet: Fleet, url: str, kind: str = "classic") -> None:
    """See that all threads of all processes share one fetch when they are cold, and one when WeChat rejects that."""
    wechat = WeChat(overlap=0, token_latency=0.2)
    (appid,) = wechat.accounts
    with SimulatorServer(wechat) as simulator, fleet.on(url):
        fleet.all("provide", kind, simulator.url, appid, wechat.secret)
        cold = [token for tokens in fleet.all("tokens") for token in tokens]

        assert [wechat.current(slot=kind)] * PROCESSES * THREADS == cold
        assert wechat.fetches() == 1

        wechat.revoke()
        later = [token for tokens in fleet.all("tokens", cold[0]) for token in tokens]

        assert [wechat.current(slot=kind)] * PROCESSES * THREADS == later
        assert cold[0] not in later
        assert wechat.fetches() == 2


class Member:
    """What a process can be asked for."""

    def __init__(self) -> None:
        self._store: Any = None
        self._loaded: Any = None
        self._provider: Any = None

    def open(self, url: str) -> None:
        """Make a store."""
        self._store = store_from_url(url)

    def close(self) -> None:
        """Close it."""
        if self._provider is not None:
            self._provider.close()
        getattr(self._store, "close", int)()
        self._store = self._loaded = self._provider = None

    def load(self) -> int | None:
        """Load; the generation that is there."""
        self._loaded = self._store.load(KEY)
        return None if self._loaded.record is None else self._loaded.record.generation

    def save(self) -> bool:
        """Save over what was loaded; whether that won."""
        saved = record(self._loaded.now, os.getpid())
        return self._store.save(KEY, saved, self._loaded.version) is not None

    def provide(self, kind: str, url: str, appid: str, secret: str) -> None:
        """Make a provider."""
        account = Account(appid, secret, base_url=url)
        self._provider = TokenProvider(account, source=SOURCES[kind](), store=self._store)

    def tokens(self, rejected: str | None = None) -> list[str]:
        """Let all threads ask; their tokens, or what was raised."""
        start = threading.Barrier(THREADS)

        def ask(_: int) -> str:
            start.wait(20)
            try:
                return str(self._provider.get_token(rejected))
            except Exception as error:
                return f"{type(error).__name__}: {error}"

        with ThreadPoolExecutor(THREADS) as pool:
            return list(pool.map(ask, range(THREADS)))


def main() -> None:
    """Do what each line asks for."""
    member = Member()
    for line in sys.stdin:
        order, name, *args = json.loads(line)
        sys.stdout.write(json.dumps([order, getattr(member, name)(*args)]) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
