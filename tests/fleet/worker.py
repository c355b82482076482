"""
A worker of a fleet, and the process that forks workers.

Run as a program it has imported all that a worker needs, and forks one for each line it is sent. A worker connects to
the test's socket and does what it is asked for, line by line; so the test has a line to each worker, and its process
id.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import queue
import random
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import anyio
import psycopg  # noqa: F401
import pymysql  # noqa: F401
import sqlalchemy.dialects.mysql.pymysql
import sqlalchemy.dialects.postgresql.psycopg
import sqlalchemy.dialects.sqlite.pysqlite  # noqa: F401
from processes.herds import threads
from support.on_clock import OnClock
from support.prelude import SharedClock

import wxmiddleware.stores.jsonfile
import wxmiddleware.stores.memcached
import wxmiddleware.stores.redis
import wxmiddleware.stores.sql
from fleet.history import Event, Recorder, digest
from wxmiddleware import Account, Runtime, TokenProvider
from wxmiddleware._engine import token as _token
from wxmiddleware._engine.refresh import Refresh
from wxmiddleware._engine.token import CachedToken
from wxmiddleware._rules.models import NOTHING, Failure, Grant
from wxmiddleware.exceptions import TokenError, TokenUnavailable
from wxmiddleware.sources import ClassicToken, StableToken
from wxmiddleware.stores import Loaded, Record, TokenStore, store_from_url

SOURCES: dict[str, Any] = {"classic": ClassicToken, "stable": StableToken}
FETCH_TIME = 20.0  # real seconds that a fetch may take; a lease is three seconds longer, on the test's clock
CALLER_TIME = 60.0  # real seconds that a caller waits
LEASE = FETCH_TIME + 3.0
PATIENCE = 30.0  # real seconds


def be_patient() -> None:
    """On the test's clock, do not take a store for down that a busy machine makes slow. Others say so in their URLs."""
    modules: list[tuple[Any, str]] = [(wxmiddleware.stores.memcached, "_TIMEOUT"), (wxmiddleware.stores.sql, "LONGEST")]
    for module, name in modules:
        assert hasattr(module, name)
        setattr(module, name, FETCH_TIME)


class LastWriterWins:
    """A store without a compare-and-swap, as a soak must notice."""

    def __init__(self, store: TokenStore) -> None:
        self._store = store
        self.shared = store.shared

    def load(self, key: str) -> Loaded:
        return self._store.load(key)

    def save(self, key: str, record: Record, _version: Any) -> Any | None:
        while (saved := self._store.save(key, record, self._store.load(key).version)) is None:
            pass
        return saved


class Written:
    """
    A store whose use is written down.

    Args:
        store: The real one.
        write: Called with each event's kind, and what belongs to it.
    """

    def __init__(self, store: TokenStore, write: Callable[..., None]) -> None:
        self._store = store
        self._write = write
        self.shared = store.shared

    def load(self, key: str) -> Loaded:
        try:
            return self._store.load(key)
        except Exception:
            self._write("failed")
            raise

    def save(self, key: str, record: Record, version: Any) -> Any | None:
        lease = record.lease
        held = {} if lease is None else {"owner": lease.owner, "until": lease.until}
        token = digest(record.value)
        self._write("save", token=token, generation=record.generation, version=repr(version), **held)
        try:
            saved = self._store.save(key, record, version)
        except Exception:
            self._write("failed")
            raise
        self._write("saved", version=None if saved is None else repr(saved))
        return saved


class Holding:
    """
    A store at which a refresh can be held.

    Args:
        store: The real one.
        point: ``claimed``, when the lease has been taken; ``publish``, before a token is saved.
        arrived: Called there, once; it returns when the refresh may go on.
    """

    def __init__(self, store: TokenStore, point: str, arrived: Callable[[], None]) -> None:
        self._store = store
        self._point: str | None = point
        self._arrived = arrived
        self.shared = store.shared

    def load(self, key: str) -> Loaded:
        return self._store.load(key)

    def save(self, key: str, record: Record, version: Any) -> Any | None:
        if self._point == "publish" and record.lease is None and record.value is not None:
            self._hold()
        saved = self._store.save(key, record, version)
        if self._point == "claimed" and record.lease is not None and saved is not None:
            self._hold()
        return saved

    def _hold(self) -> None:
        self._point = None
        self._arrived()


# What a worker writes to stderr is what went wrong with it; warnings of the day are no part of that.
logging.getLogger("wxmiddleware").addHandler(logging.NullHandler())


class Watch(logging.Handler):
    """Sees all log records there are, and writes to stderr which of them hold a token or a secret."""

    def __init__(self, secret: str) -> None:
        super().__init__(logging.DEBUG)
        self._secretive = re.compile(rf"{re.escape(secret)}|[\w-]{{80,}}")

    def emit(self, record: logging.LogRecord) -> None:
        if self._secretive.search(self.format(record) + repr(vars(record))):
            sys.stderr.write(f"A record of the logger {record.name} holds a token or a secret.\n")


class Worker:
    """
    Does what the test asks for.

    Args:
        line: The connection to the test.
        setup: What `fleet.fork_server.Setup` says.
    """

    def __init__(self, line: socket.socket, setup: dict[str, Any]) -> None:
        self._line = line
        self._speaking = threading.Lock()
        self._go_on = threading.Event()
        self._waits = False
        self._alone = False
        self._todo: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        if setup["clock"]:
            be_patient()
        self._record: Recorder | None = None
        store: TokenStore = store_from_url(setup["url"])
        source = SOURCES[setup["kind"]]()
        if setup["clock"]:
            clock = self._clock = SharedClock(setup["clock"])
            store = self._on_clock = OnClock(store, clock)
            drawn = random.Random(setup["number"]).random
            runtime = Runtime(clock=clock, time=clock, sleep=self._sleep, random=drawn)
            source = SOURCES[setup["kind"]](timeout=FETCH_TIME, connect_timeout=FETCH_TIME)
        else:
            runtime = Runtime(sleep=self._sleep_on)
        if setup["history"]:
            self._record = Recorder(setup["history"])
            store, source = Written(store, self._write), self._written(source)
        self._may_be_held = setup["hold"] is not None
        if self._may_be_held:
            store = Holding(store, setup["hold"], self._held)
        self._secret: str = setup["secret"]
        account = Account(setup["appid"], setup["secret"], base_url=setup["base_url"], realm=setup["realm"])
        self._provider = TokenProvider(
            account, source=source, store=store, follow=setup["follow"], timeout=CALLER_TIME, runtime=runtime
        )

    def run(self) -> None:
        """Listen until the test hangs up."""
        self._tell(pid=os.getpid())
        obey: Callable[[dict[str, Any]], None] = self._obey
        if self._may_be_held:
            threading.Thread(target=self._work, daemon=True).start()
            obey = self._todo.put
        with self._line.makefile("r", encoding="ascii") as lines:
            for line in lines:
                order = json.loads(line)
                if order["do"] == "go_on":
                    self._go_on.set()
                else:
                    obey(order)

    def _work(self) -> None:
        while True:
            self._obey(self._todo.get())

    def _obey(self, order: dict[str, Any]) -> None:
        number, name = order.pop("id"), order.pop("do")
        try:
            self._tell(id=number, result=getattr(self, name)(**order))
        except Exception as error:
            self._tell(id=number, error=f"{type(error).__name__}: {error}")

    # What it can do

    def ask(self, rejected: str | None = None) -> str:
        """Get a token, and wait until what that has set going has come to its end."""
        token = self._provider.get_token(rejected)
        self.drain()
        return token

    def try_ask(self, rejected: str) -> str | None:
        """As `ask`; nothing, if there is no token to be had."""
        with suppress(TokenUnavailable):
            return self.ask(rejected)
        self.drain()
        return None

    def attempt(self, rejected: str | None = None, *, task: bool = False, alone: bool = False) -> dict[str, str | None]:
        """
        As `ask`, from a thread or a task; the token or the error.

        Args:
            alone: No other worker is at it, so the test's clock may go on while this one sleeps.
        """
        asking, token, error = self._provider, None, None
        self._alone = alone
        self._write("ask", token=digest(rejected))
        try:
            token = asyncio.run(asking.aget_token(rejected)) if task else asking.get_token(rejected)
        except TokenError as exc:
            error = f"{type(exc).__name__}: {exc}"
        self._write("answer", token=digest(token))
        self.drain()
        return {"token": token, "error": error}

    def watch(self) -> None:
        """Look for secrets in all log records from now on."""
        logging.basicConfig(level=logging.DEBUG, handlers=[Watch(self._secret)], force=True)
        asyncio.run(anyio.sleep(0))  # what it imports is there when it is measured

    def sabotage(self, what: str) -> None:
        """
        Break the library in this process, as a soak must notice.

        Args:
            what: What is taken out: the ``renewal`` ahead, the ``memory`` of a token while WeChat fails, the ``lease``
                (another process's counts for nothing), or the compare-and-swap (``cas``).
        """
        if what == "renewal":
            _token.ahead_at = lambda _now, expires_at, *_: expires_at  # type: ignore[attr-defined]
        elif what == "lease":
            Refresh._leased = lambda *_: False  # type: ignore[method-assign]
        elif what == "cas":
            self._on_clock._store = LastWriterWins(self._on_clock._store)
        else:
            remember = CachedToken.remember_failure

            def forget(token: CachedToken, *args: Any, **options: Any) -> None:
                remember(token, *args, **options)
                token.snapshot = NOTHING

            CachedToken.remember_failure = forget  # type: ignore[assignment]

    def measure(self) -> dict[str, int]:
        """What it holds on to, at rest."""
        for thread in threading.enumerate():
            if thread.name == "wxmiddleware-refresh":
                thread.join(PATIENCE)
        gc.collect()
        names = []
        for descriptor in os.listdir("/proc/self/fd"):
            with suppress(FileNotFoundError):  # the one that lists them
                names.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        return {
            "threads": threading.active_count(),
            "sockets": sum(name.startswith("socket:") for name in names),
            "descriptors": len(names),
            "blocks": sys.getallocatedblocks(),
        }

    def failure(self) -> str | None:
        """What its status says has gone wrong."""
        return self._provider.status().failure

    def crowd(self, count: int) -> list[str]:
        """Let so many threads ask."""
        self._waits = False
        return [answer if isinstance(answer, str) else repr(answer) for answer in threads(self._provider, count=count)]

    def confirm(self, token: str) -> None:
        """WeChat accepted `token` in a repeated call."""
        self._provider.confirm(token)

    def drain(self) -> None:
        """Wait until no refresh is under way."""
        while (flight := self._provider._own.flight) is not None and not flight.done:  # a look may start another one
            assert flight.wait(CALLER_TIME) is not None, "The refresh comes to no end."

    # What it tells

    def _write(self, what: Any, **more: Any) -> None:
        if self._record is not None:
            self._record(Event(what, os.getpid(), self._clock(), **more))

    def _written(self, source: Any) -> Any:
        """A source whose requests are written down."""
        fetch = type(source).fetch

        def written(source: Any, account: Account, **options: Any) -> Grant | Failure:
            self._write("fetch")
            answer: Grant | Failure = fetch(source, account, **options)
            self._write("fetched", token=digest(answer.value) if isinstance(answer, Grant) else None)
            return answer

        kind = type(source)
        return type(kind.__name__, (kind,), {"fetch": written, "__slots__": ()})(
            timeout=FETCH_TIME, connect_timeout=FETCH_TIME
        )

    def _held(self) -> None:
        self._tell(event="held")
        assert self._go_on.wait(CALLER_TIME)

    def _sleep(self, seconds: float) -> None:
        if self._alone:
            self._clock.advance(seconds)
        self._sleep_on(0.01)

    def _sleep_on(self, seconds: float) -> None:
        if not self._waits:
            self._waits = True
            self._tell(event="waits")
        time.sleep(seconds)

    def _tell(self, **what: Any) -> None:
        with self._speaking:
            self._line.sendall(json.dumps(what).encode("ascii") + b"\n")


def live(setup: dict[str, Any]) -> None:
    """Be a worker."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(PATIENCE)
        line.connect(setup["socket"])
        line.settimeout(None)
        line.sendall(json.dumps({"number": setup["number"]}).encode("ascii") + b"\n")
        Worker(line, setup).run()


def main() -> None:
    """Fork workers for as long as the test lives, and end them with it."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    gc.freeze()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        if os.fork() == 0:
            code = 1
            try:
                live(json.loads(line))
                code = 0
            except BaseException:
                sys.excepthook(*sys.exc_info())
            finally:
                os._exit(code)
    os.killpg(0, signal.SIGKILL)  # stopped ones, too


if __name__ == "__main__":
    main()
