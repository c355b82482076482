"""Stores that a fleet shares, with real servers and files behind them; they go down, and come back."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from stores.memcached_server import Memcached
from stores.redis_server import RedisServer
from stores.sql_servers import MariaDB, PostgreSQL, Server

from wxmiddleware.stores import Record, store_from_url


class Backend:
    """
    Where a store keeps its records.

    Attributes:
        url: What `store_from_url` makes the store of.
        keeps: Whether it has its records again when it comes back.
        is_down: Whether it is down now.
    """

    keeps = True
    url = ""

    def __init__(self) -> None:
        self.is_down = False
        self._old: Any = None

    def down(self) -> None:
        """Let it fail."""
        self.is_down = True

    def up(self) -> None:
        """Bring it back with what it had."""
        self.is_down = False

    def wipe(self) -> None:
        """Delete all records."""
        raise NotImplementedError

    def remember(self, key: str) -> None:
        """Keep a copy of what it holds now."""
        store = store_from_url(self.url)
        self._old = key, store.load(key).record
        _close(store)

    def put_back(self) -> None:
        """Put that copy in the place of what it holds now."""
        key, record = self._old
        store = store_from_url(self.url)
        assert store.save(key, record, store.load(key).version) is not None
        _close(store)

    def record(self, key: str) -> Record | None:
        """What it holds."""
        store = store_from_url(self.url)
        record = store.load(key).record
        _close(store)
        return record

    def close(self) -> None:
        """End it for good."""


class RedisBackend(Backend):
    """A Redis that writes down each change."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory(prefix="wx-redis-")
        self._server = RedisServer(Path(self._folder.name), "--appendonly", "yes").start()
        self.url = f"{self._server.url}?socket_timeout=20"

    def down(self) -> None:
        super().down()
        self._server.kill()

    def up(self) -> None:
        super().up()
        self._server.start()

    def wipe(self) -> None:
        with self._server.client() as client:
            client.flushall()

    def close(self) -> None:
        self._server.kill()
        self._folder.cleanup()


class ServerBackend(Backend):
    """One of `stores.sql_servers` and its like."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self._server = server

    def down(self) -> None:
        super().down()
        self._server.kill()

    def up(self) -> None:
        super().up()
        self._server.start()

    def close(self) -> None:
        self._server.close()


class MemcachedBackend(ServerBackend):
    """A memcached; it remembers nothing."""

    keeps = False

    def __init__(self) -> None:
        server = Memcached()
        super().__init__(server)
        self.url = server.url

    def wipe(self) -> None:
        self.down()
        self.up()


class SQLBackend(ServerBackend):
    """A database server; to be wiped, it loses its table."""

    def __init__(self, server: MariaDB | PostgreSQL, options: str = "") -> None:
        super().__init__(server)
        self.url = server.url + options

    def wipe(self) -> None:
        engine = sa.create_engine(self.url)
        with engine.begin() as connection:
            connection.execute(sa.text("DROP TABLE IF EXISTS wxmiddleware_tokens"))
        engine.dispose()


class FileBackend(Backend):
    """
    A file in a directory. It is down while the directory has another name.

    Args:
        name: The file's.
        prefix: What makes a URL of its path.
    """

    def __init__(self, name: str, prefix: str) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory(prefix="wx-file-")
        self._here = Path(self._folder.name) / "here"
        self._away = Path(self._folder.name) / "away"
        self._copy = Path(self._folder.name) / "copy"
        self._here.mkdir()
        self._file = self._here / name
        self.url = f"{prefix}{self._file}"

    def down(self) -> None:
        super().down()
        self._here.rename(self._away)

    def up(self) -> None:
        super().up()
        self._away.rename(self._here)

    def wipe(self) -> None:
        for file in self._here.iterdir():
            file.unlink()

    def remember(self, key: str) -> None:
        shutil.copy(self._file, self._copy)

    def put_back(self) -> None:
        self._copy.replace(self._file)

    def close(self) -> None:
        self._folder.cleanup()


def _close(store: Any) -> None:
    close = getattr(store, "close", None)
    if close is not None:
        close()


# Without TLS: PyMySQL reads all certificates of the machine for each connection, which takes 50 ms.
_MYSQL = "?connect_timeout=20&read_timeout=20&write_timeout=20&ssl_disabled=1"
BACKENDS: dict[str, Callable[[], Backend]] = {
    "redis": RedisBackend,
    "mariadb": lambda: SQLBackend(MariaDB(), _MYSQL),
    "postgresql": lambda: SQLBackend(PostgreSQL(), "?connect_timeout=20"),
    "sqlite": lambda: FileBackend("tokens.db", "sqlite:///"),
    "memcached": MemcachedBackend,
    "jsonfile": lambda: FileBackend("tokens.json", "file:"),
}
