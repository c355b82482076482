"""
Real MariaDB and PostgreSQL servers on free ports, in directories of their own, for tests that kill them.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from support.debian import find

PATIENCE = 60.0  # real seconds after which a server is taken for hanging


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(done: Callable[[], object], what: str) -> None:
    """Wait for a real server."""
    deadline = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


class Server:
    """A server process with data of its own; `kill` and `start` as often as a test likes."""

    user = ""

    def __init__(self) -> None:
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="wx-test-", dir="/tmp"))
        self.process: subprocess.Popen[Any] | None = None
        self._log = (self.folder / "log").open("ab")
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0 and self.user:
            person = pwd.getpwnam(self.user)
            os.chown(self.folder, person.pw_uid, person.pw_gid)
            self._as = {"user": person.pw_uid, "group": person.pw_gid}
        try:
            self.prepare()
            self.start()
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        """Where SQLAlchemy finds it."""
        raise NotImplementedError

    def prepare(self) -> None:
        """Make the data."""

    def command(self) -> list[str]:
        raise NotImplementedError

    def answers(self) -> bool:
        """Whether it is up."""
        try:
            socket.create_connection(("127.0.0.1", self.port), 0.5).close()
        except OSError:
            return False
        return True

    def run(self, *command: str) -> None:
        subprocess.run(
            command, check=True, stdout=self._log, stderr=self._log, stdin=subprocess.DEVNULL, cwd="/", **self._as
        )

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.process = subprocess.Popen(
            self.command(), stdout=self._log, stderr=self._log, stdin=subprocess.DEVNULL, cwd="/", **self._as
        )
        wait_until(self._up, f"{type(self).__name__} did not start")

    def _up(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "log").read_text()[-2000:]
        return self.answers()

    def kill(self, how: int = signal.SIGKILL) -> None:
        """End it, and wait until it has."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(PATIENCE)
            self.process = None

    def close(self) -> None:
        self.kill()
        self._log.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class MariaDB(Server):
    """A MariaDB with the database ``wx`` and the users ``wx`` and, with few rights, ``app`` (password ``pa55word``)."""

    user = "mysql"

    @property
    def url(self) -> str:
        return f"mysql+pymysql://wx:pa55word@127.0.0.1:{self.port}/wx"

    def prepare(self) -> None:
        program = find("mariadbd", package="mariadb-server")
        find("mariadb-install-db", package="mariadb-server")
        data = self.folder / "data"
        start = self.folder / "start.sql"
        start.write_text(
            "CREATE DATABASE IF NOT EXISTS wx;"
            "\nCREATE OR REPLACE USER wx@'127.0.0.1' IDENTIFIED BY 'pa55word';"
            "\nGRANT ALL ON *.* TO wx@'127.0.0.1';"
            "\nCREATE OR REPLACE USER app@'127.0.0.1' IDENTIFIED BY 'pa55word';"
            "\nGRANT CREATE, SELECT, INSERT, UPDATE ON wx.* TO app@'127.0.0.1';\n"
        )
        start.chmod(0o644)
        self.run(
            "mariadb-install-db",
            "--no-defaults",
            f"--datadir={data}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        )
        self._program = program

    def command(self) -> list[str]:
        return [
            self._program,
            "--no-defaults",
            f"--datadir={self.folder / 'data'}",
            f"--socket={self.folder / 'sock'}",
            f"--pid-file={self.folder / 'pid'}",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
            f"--init-file={self.folder / 'start.sql'}",
            "--innodb-flush-log-at-trx-commit=2",
            "--innodb-buffer-pool-size=16M",
            # A time zone and a collation that would show in careless code.
            "--default-time-zone=+05:30",
            "--character-set-server=utf8mb4",
            "--collation-server=utf8mb4_general_ci",
        ]

    def answers(self) -> bool:
        import pymysql

        try:
            pymysql.connect(
                host="127.0.0.1", port=self.port, user="wx", password="pa55word", database="wx", connect_timeout=1
            ).close()
        except pymysql.Error:
            return False
        return True


class PostgreSQL(Server):
    """A PostgreSQL with the user ``postgres``, who needs no password."""

    user = "postgres"

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://postgres:pa55word@127.0.0.1:{self.port}/postgres"

    def prepare(self) -> None:
        # Newest first: Debian keeps them apart.
        places = [str(path) for path in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
        self._program = str(Path(find("postgres", *places, package="postgresql")).resolve())
        data = str(self.folder / "data")
        self.run(
            find("initdb", *places, package="postgresql"),
            "-D",
            data,
            "-U",
            "postgres",
            "-A",
            "trust",
            "--no-sync",
            "-E",
            "UTF8",
        )

    def command(self) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "fsync": "off",
            "timezone": "Asia/Kolkata",
            "max_connections": 200,
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [self._program, "-D", str(self.folder / "data"), *options]

    def kill(self, how: int = signal.SIGKILL) -> None:
        # At SIGKILL it would leave children behind that keep the next one from starting; SIGQUIT is its own "at once".
        super().kill(signal.SIGQUIT if how == signal.SIGKILL else how)

    def answers(self) -> bool:
        import psycopg

        try:
            psycopg.connect(f"host=127.0.0.1 port={self.port} user=postgres dbname=postgres connect_timeout=2").close()
        except psycopg.Error:
            return False
        return True


class PgBouncer(Server):
    """
    A pooler that gives a server's session away after each transaction, in turns.

    Args:
        database: Of which server.
        size: How many sessions it has there.
    """

    user = "postgres"

    def __init__(self, database: PostgreSQL, size: int) -> None:
        self._database = database
        self._size = size
        super().__init__()

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://postgres:pa55word@127.0.0.1:{self.port}/postgres"

    def prepare(self) -> None:
        self._program = find("pgbouncer")
        (self.folder / "ini").write_text(
            "[databases]"
            f"\npostgres = host=127.0.0.1 port={self._database.port} user=postgres"
            "\n[pgbouncer]"
            "\nlisten_addr = 127.0.0.1"
            f"\nlisten_port = {self.port}"
            "\nunix_socket_dir ="
            "\nauth_type = any"
            "\npool_mode = transaction"
            f"\ndefault_pool_size = {self._size}"
            "\nserver_round_robin = 1\n"
        )

    def command(self) -> list[str]:
        return [self._program, str(self.folder / "ini")]


def in_child(work: Callable[[], int]) -> int:
    """Run `work` in a forked child; what it returned, or 99 if it raised or came to no end."""
    child = os.fork()
    if not child:
        code = 99
        try:
            signal.alarm(20)
            code = work()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)
