"""
Tokens in a table of a database: ``pip install 'wxmiddleware[sql]'``.

MySQL and MariaDB (PyMySQL), PostgreSQL (psycopg) and SQLite, through SQLAlchemy. One row for each token; the clock is
the database's. Each operation is one short statement that commits by itself (the compare-and-swap is an ``UPDATE`` with
the version in its ``WHERE``), on a connection of the store's own: never in a transaction of yours, and nothing depends
on the session, so a pooler may sit in between.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import secrets
import threading
import time
import weakref
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any, Self, TypeVar
from urllib.parse import unquote, urlsplit

from .._rules.identity import key_parts
from .._rules.models import Loaded, Record
from .._rules.policies import keep_until
from .._runtime import fork
from .._runtime.needs import needs
from ..exceptions import ConfigurationError, StoreError
from . import _codec
from ._address import namespace
from ._advice import advise
from ._private import secure_database

with needs("sqlalchemy", extra="sql"):
    import sqlalchemy as sa
    from sqlalchemy import event
    from sqlalchemy.dialects import mysql
    from sqlalchemy.engine import URL
    from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
    from sqlalchemy.schema import CreateTable

    from ._sql_url import DATABASES, LONGEST, MEMORY, async_driver, check_database, in_memory, open_engine, read_url

__all__ = ["SQLStore"]

# The server's time since 1970, whatever its time zone and the session's: how to ask, and how many make a second.
_CLOCKS = {
    "mysql": ("TIMESTAMPDIFF(MICROSECOND, '1970-01-01 00:00:00', UTC_TIMESTAMP(6))", 1e6),
    "mariadb": ("TIMESTAMPDIFF(MICROSECOND, '1970-01-01 00:00:00', UTC_TIMESTAMP(6))", 1e6),
    "postgresql": ("EXTRACT(EPOCH FROM clock_timestamp())", 1.0),
    "sqlite": ("(julianday('now') - 2440587.5) * 86400.0", 1.0),
}
TABLE = "wxmiddleware_tokens"
_LAST_WORD = 0.5  # and for a server to say that it has given it up
_NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_]{0,62}\.)?[A-Za-z_][A-Za-z0-9_]{0,62}")
_LONGEST_KEY = 191
_WITHOUT_VALUE = (1048, 1364, "23502", "SQLITE_CONSTRAINT_NOTNULL")
_NOTHING = ""  # the version where there is no row
_CREATE = "Create it with what the command `wxmiddleware schema` prints, or SQLStore.ddl()."
_FORK_PATIENCE = 1.0
_Result = TypeVar("_Result")


class _Forks:
    """
    Forks and what is done in SQLite's files keep out of each other's way.

    SQLite keeps a list of what the process has locked. A child forked in the middle of a save has that, too, with a
    lock of a connection that it does not have: for the child the file is locked for ever.
    """

    def __init__(self) -> None:
        fork.begin(self)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(before=self._before, after_in_parent=self._after_in_parent)

    @contextmanager
    def kept_out(self) -> Iterator[None]:
        """For the block; a fork waits for its end, unless that takes too long."""
        me = object()
        with self._changed:
            self._inside.add(me)
        try:
            yield
        finally:
            with self._changed:
                self._inside.discard(me)
                self._changed.notify_all()

    def _before(self) -> None:
        self._changed.acquire()  # so that nobody begins until it is done
        self._changed.wait_for(lambda: not self._inside, _FORK_PATIENCE)

    def _after_in_parent(self) -> None:
        self._changed.release()

    def after_fork(self) -> None:
        """A child begins anew."""
        self._inside: set[object] = set()
        self._changed = threading.Condition()
        self.opening = threading.RLock()


_forks = _Forks()


class SQLStore(fork.Closing):
    """
    Keeps records in a table, one row for each.

    Rows whose ``expires_at`` (seconds since 1970) is over may be deleted at any time.

    Args:
        engine: An SQLAlchemy `Engine`. The store opens connections of its own in the same way, and leaves the engine
            to you. Its ``creator``, if it has one, must open a new connection each time: one that it hands out again
            and again would be used by several threads at once.
        table: The table's name; ``schema.table`` for another schema. By default ``wxmiddleware_tokens``.
        create: Create the table when it is missing. If not, see `ddl`.

    Raises:
        ConfigurationError: An argument is wrong, or the database is of a kind that this store does not know.
    """

    shared = True
    durable = True

    def __init__(self, engine: sa.Engine, *, table: str = TABLE, create: bool = True) -> None:
        if getattr(getattr(engine, "dialect", None), "is_async", False) is True:
            # Its sync_engine is one as well: its driver runs in tasks only.
            raise ConfigurationError(async_driver(engine.dialect.name))
        if not isinstance(engine, sa.Engine):
            raise ConfigurationError(
                f"engine must be an SQLAlchemy Engine, not {type(engine).__name__}. "
                "Or use SQLStore.from_url('mysql+pymysql://…')."
            )
        if engine.dialect.name not in _CLOCKS:
            raise ConfigurationError(f"SQLStore does not know {engine.dialect.name}. {DATABASES}")
        if in_memory(engine.url):
            raise ConfigurationError(MEMORY)
        self._table = _table(table)
        self._create = create
        self._engine = _own(engine)
        self._left: list[object] = []
        self._file = _file(engine.url) if engine.dialect.name == "sqlite" else None
        # A creator of the user's may make another one than the URL says.
        self._makes_file = engine.pool._creator.__module__.startswith("sqlalchemy.") and "mode" not in engine.url.query
        now, self._second = _CLOCKS[engine.dialect.name]
        clock = sa.select(sa.literal_column(now).label("now")).subquery("wx_clock")
        columns = self._table.c
        found = clock.outerjoin(self._table, columns.name == sa.bindparam("key"))
        self._select = sa.select(clock.c.now, columns.version, columns.record).select_from(found)
        whole = f"CAST({now} AS INTEGER)" if engine.dialect.name == "sqlite" else f"FLOOR({now} / {self._second:.0f})"
        seconds: sa.ColumnElement[Any] = sa.literal_column(whole)
        self._insert = sa.insert(self._table).values(updated=seconds)
        self._update = (
            sa.update(self._table)
            .where(columns.name == sa.bindparam("key"), columns.version == sa.bindparam("seen"))
            .values(updated=seconds)
        )
        fork.register(self)

    @classmethod
    def from_url(cls, url: str, *, table: str | None = None, create: bool = True, **engine_options: Any) -> Self:
        """
        Connect to ``mysql+pymysql://user:password@host/database``, ``postgresql+psycopg://…`` or ``sqlite:///file``.

        Args:
            url: Where, as SQLAlchemy writes it; ``?table=`` may name the table. ``postgres://`` is understood, too.
            table: The table's name, unless the URL says so; by default ``wxmiddleware_tokens``.
            create: Create the table when it is missing.
            engine_options: For SQLAlchemy's ``create_engine``, over what is chosen here.

        Raises:
            ConfigurationError: It is no such URL, the database's driver is not installed or not for this, or an option
                is none of the driver's.
        """
        parsed = read_url(url)
        table = namespace(parsed.query, "table", table)
        parsed = parsed.difference_update_query(["table"])
        if in_memory(parsed):
            raise ConfigurationError(MEMORY)
        table = TABLE if table is None else table
        if "." not in str(table):
            check_database(parsed, engine_options)
        return cls(open_engine(parsed, engine_options), table=table, create=create)

    @property
    def path(self) -> str | None:
        """The file of an SQLite database; ``None`` of others."""
        return self._engine.url.database if self._engine.dialect.name == "sqlite" else None

    def __repr__(self) -> str:
        url = self._engine.url
        # The query may hold passwords, too.
        where = URL.create(url.drivername, host=url.host, port=url.port, database=url.database)
        return f"SQLStore({where.render_as_string()}, table={self._table.fullname!r})"

    def after_fork(self) -> None:
        """A child opens connections of its own, and says nothing on its parent's."""
        # Kept, so that nothing collects and thereby ends them.
        self._left.append(self._engine.pool)
        self._engine.dispose(close=False)

    def close(self) -> None:
        """Close the store's connections; the next call opens new ones. Your engine stays as it is."""
        self._engine.dispose()

    def ddl(self, dialect: str | None = None) -> str:
        """
        Give the statement that creates the table, for who does so by hand.

        Args:
            dialect: ``mysql``, ``mariadb``, ``postgresql`` or ``sqlite``; by default that of the engine.
        """
        if dialect is None:
            return _ddl(self._table, self._engine.dialect)
        if dialect not in _CLOCKS:
            raise ConfigurationError(f"SQLStore does not know that dialect. {DATABASES}")
        return _ddl(self._table, URL.create(dialect).get_dialect()())

    def load(self, key: str) -> Loaded:
        """Read the record of `key`, its version, and the database's time."""
        row = self._run(lambda connection, _: connection.execute(self._select, {"key": _name(key)}).one())
        now = float(row[0]) / self._second
        if row[1] is None:
            return Loaded(None, _NOTHING, now)
        return Loaded(_codec.loads(row[2]), row[1], now)

    def save(self, key: str, record: Record, version: str) -> str | None:
        """Replace the record of `key`, if nothing was saved since `version` was loaded."""
        name, stamp = _name(key), secrets.token_hex(8)
        until = keep_until(record)
        values = {
            "version": stamp,
            "record": _codec.dumps(record),
            "expires_at": math.ceil(min(max(until, 0.0), 1e15)),
        }

        def swap(connection: sa.Connection, again: bool) -> bool:
            # If the answer to the first try was lost, it may have been the one that won.
            if again and connection.execute(self._select, {"key": name}).one()[1] == stamp:
                return True
            if version == _NOTHING:
                connection.execute(self._insert, {"name": name, **_labels(key), **values})
                return True
            return connection.execute(self._update, {"key": name, "seen": version, **values}).rowcount == 1

        return stamp if self._run(swap) else None

    def keys(self) -> list[str]:
        """List the tokens that it holds; not what webhooks remember, nor names that are too long to be kept."""
        names = self._table.c.name
        wanted = sa.select(names).where(names.like("wx:%"), ~names.like("%:webhook:%")).order_by(names)
        return self._run(lambda connection, _: [str(name) for name in connection.scalars(wanted)])

    # How a statement is run

    def _run(self, work: Callable[[sa.Connection, bool], _Result]) -> _Result:
        """
        Do `work` on a connection; once more if it was dead or leads to a replica, or the table can be created.

        `work` is told whether it is the second time.
        """
        fork.check()
        trouble = ""
        try:
            return self._once(work, False)
        except SQLAlchemyError as error:
            if _is_duplicate(error):
                return False  # type: ignore[return-value]  # only an INSERT raises it: somebody was first
            missing, dead = _is_missing(error), isinstance(error, DBAPIError) and error.connection_invalidated
            if _is_replica(error):
                # After a failover the connections are still to the old primary; its name may lead to the new one.
                self._engine.dispose()
            elif not missing and not dead:
                trouble = self._foreign(error) or _told(error)
        if not trouble:
            trouble = self._created() if missing else ""
        if not trouble:
            try:
                return self._once(work, True)
            except SQLAlchemyError as error:
                if _is_duplicate(error):
                    return False  # type: ignore[return-value]  # as above
                trouble = self._foreign(error) or _told(error)
        # Outside of the handlers: SQLAlchemy's errors hold the statement and its values, the token among them.
        raise StoreError(trouble)

    def _once(self, work: Callable[[sa.Connection, bool], _Result], again: bool) -> _Result:
        # The connection commits each statement by itself; the commit at the end is for a pooler that forgot so, and
        # costs nothing otherwise.
        with self._begin() as connection:
            return work(connection, again)

    @contextmanager
    def _begin(self) -> Iterator[sa.Connection]:
        guard: AbstractContextManager[None] = nullcontext()
        if self._engine.dialect.name == "sqlite":
            guard = _forks.kept_out()
        with guard:
            if self._file is not None:
                with _forks.opening:  # to make the file is to open and close it, which ends all locks of this process
                    secure_database(self._file, create=self._makes_file)
            with self._engine.begin() as connection:
                yield connection

    def _created(self) -> str:
        """Create the table; what stood against it, if anything did."""
        if not self._create:
            return f"The table {self._table.fullname} is missing. {_CREATE}"
        try:
            with self._begin() as connection:
                connection.execute(CreateTable(self._table, if_not_exists=True))
        except SQLAlchemyError as error:
            told = _told(error)
        else:
            return ""
        # Another process may have created it in the same moment: PostgreSQL then fails in spite of IF NOT EXISTS.
        try:
            with self._begin() as connection:
                connection.execute(self._select, {"key": ""})
        except SQLAlchemyError:
            return f"The table {self._table.fullname} is missing and could not be created. {told} {_CREATE}"
        return ""

    def _foreign(self, error: SQLAlchemyError) -> str:
        """Describe how the table differs from one of this store's, if that may be why it failed."""
        if not _is_of_columns(error):
            return ""
        with suppress(SQLAlchemyError), self._begin() as connection:
            columns = sa.inspect(connection).get_columns(self._table.name, schema=self._table.schema)
            found = {str(each["name"]).lower() for each in columns}
            ours = [each.name for each in self._table.columns]
            missing, more = [name for name in ours if name not in found], sorted(found.difference(ours))
            if missing or more:
                what = (
                    f"it has no column {', '.join(missing)}" if missing else f"it has columns {', '.join(more)} as well"
                )
                return (
                    f"The table {self._table.fullname} is there, but it is not SQLStore's: {what}. Another program "
                    "has made it. Give SQLStore another name with table=, or with ?table= in the URL."
                )
        return ""


class _Hidden(str):
    """A text that logs of statements do not show."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'…'"


class _HiddenText(sa.TypeDecorator[str]):
    """A column of texts that neither the log of statements shows nor that of their rows."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, _: sa.Dialect) -> str | None:
        return None if value is None else _Hidden(value)

    def process_result_value(self, value: str | None, _: sa.Dialect) -> str | None:
        return None if value is None else _Hidden(value)


def _own(engine: sa.Engine) -> sa.Engine:
    """
    An engine that opens connections as `engine` does, and shares none with it.

    A thread that waits for a token may hold one of the user's connections; if the store needed one of the same pool,
    both could wait for each other.
    """
    pool = engine.pool.recreate()
    other: type[sa.pool.Pool] | None = None
    if engine.dialect.name == "sqlite":
        # Opened anew for each look: a connection that was kept would go on in a file that has been replaced since.
        other = sa.pool.NullPool
    elif isinstance(pool, (sa.pool.StaticPool, sa.pool.AssertionPool)):
        other = sa.pool.QueuePool  # those have one connection, and threads would take it from each other
    if other is not None:
        pool = other(pool._creator, dialect=engine.dialect, _dispatch=pool.dispatch)
    # Each would be a round trip. A dead connection is found by using it, and what was asked is asked again.
    pool._pre_ping = False

    def autocommit(connection: Any, _record: object) -> None:
        connection.commit()  # an event of the user's may have begun a transaction, in which no mode can be set
        engine.dialect.set_isolation_level(connection, "AUTOCOMMIT")
        if hasattr(connection, "get_autocommit"):
            _sparing(connection)
        # As in _PATIENCE, for an engine of the user's.
        for name in ("_read_timeout", "_write_timeout"):
            if getattr(connection, name, 0.0) is None:
                setattr(connection, name, LONGEST)
        if hasattr(connection, "prepare_threshold"):
            connection.prepare_threshold = None
            _limited(connection)

    event.listen(pool, "connect", autocommit)
    return sa.Engine(pool, engine.dialect, engine.url, hide_parameters=True)


def _sparing(connection: Any) -> None:
    """
    Have a driver of MySQL's commit and roll back only where that does something.

    PyMySQL asks the server each time. Whether the server commits by itself stands in its last answer.
    """
    reference = weakref.ref(connection)

    def unless_done(end: Callable[[Any], object]) -> Callable[[], None]:
        def sparing() -> None:
            own = reference()
            if own is not None and not own.get_autocommit():
                end(own)

        return sparing

    connection.commit = unless_done(type(connection).commit)
    connection.rollback = unless_done(type(connection).rollback)


def _limited(connection: Any) -> None:
    """
    Have psycopg give up what takes too long: a lock on the table, a server that has stopped.

    It has no such option, and the server's (``statement_timeout``) is the session's, which a pooler gives to others.
    """
    from psycopg import OperationalError, pq

    reference = weakref.ref(connection)
    end_in_server = pq.version() >= 170_000 and hasattr(connection, "cancel_safe")  # before, it could wait for ever

    def in_time(work: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        own: Any = reference()
        told = not end_in_server
        end = time.monotonic() + LONGEST
        try:
            ready = yield next(work)
            while True:
                if not ready and time.monotonic() > end:
                    if told:
                        own.close()
                        raise OperationalError("The server does not answer.")
                    told, end = True, time.monotonic() + _LAST_WORD
                    with suppress(Exception):
                        own.cancel_safe(timeout=_LAST_WORD)
                ready = yield work.send(ready)
        except StopIteration as done:
            return done.value

    def wait(work: Generator[Any, Any, _Result], *args: Any, **options: Any) -> _Result:
        own: Any = reference()
        waited: _Result = type(own).wait(own, in_time(work), *args, **options)
        return waited

    connection.wait = wait


def _table(name: object) -> sa.Table:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigurationError("table must be a name of ASCII letters, digits and underscores, or schema.name.")
    schema, _, bare = name.rpartition(".")
    # A key is itself and nothing else: without a binary collation MySQL takes wx1 and WX1 for the same.
    exact = mysql.VARCHAR(_LONGEST_KEY, charset="ascii", collation="ascii_bin")
    stamp = mysql.VARCHAR(32, charset="ascii", collation="ascii_bin")
    return sa.Table(
        bare,
        sa.MetaData(),
        sa.Column("name", sa.String(_LONGEST_KEY).with_variant(exact, "mysql", "mariadb"), primary_key=True),
        sa.Column("appid", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("version", sa.String(32).with_variant(stamp, "mysql", "mariadb"), nullable=False),
        sa.Column("record", _HiddenText, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("updated", sa.BigInteger, nullable=False),
        schema=schema or None,
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mariadb_engine="InnoDB",
        mariadb_charset="utf8mb4",
    )


def _ddl(table: sa.Table, dialect: sa.Dialect) -> str:
    text = str(CreateTable(table, if_not_exists=True).compile(dialect=dialect)).strip()
    return "\n".join(line.rstrip() for line in text.splitlines()).replace("\t", "    ") + ";\n"


def _name(key: str) -> str:
    if len(key) <= _LONGEST_KEY and all("!" <= c <= "~" for c in key):
        return key
    return f"wx#{hashlib.sha256(key.encode()).hexdigest()}"


def _labels(key: str) -> dict[str, str]:
    """Whose and which, for people who look into the table."""
    parts = key_parts(key)
    if parts is not None:
        appid, kind = parts.appid, parts.kind
    else:  # what webhooks remember
        _, _, rest = key.partition(":")
        whose, _, _number = rest.rpartition(":")
        appid, _, kind = whose.rpartition(":")
    # Only what every character set of a database can hold.
    return {"appid": ascii(appid)[1:-1][:64], "kind": ascii(kind)[1:-1][:64]}


def _reason(error: SQLAlchemyError) -> tuple[Any, str]:
    """The database's code, a number or a state, and what SQLite says, whose code is no help."""
    cause = getattr(error, "orig", None)
    first = cause.args[0] if cause is not None and cause.args else None
    if isinstance(first, int):  # MySQL's number says more than its state
        return first, ""
    code = getattr(cause, "sqlstate", None) or getattr(cause, "sqlite_errorname", None)
    return code, str(first) if hasattr(cause, "sqlite_errorname") else ""


def _file(url: URL) -> str:
    """The file of an SQLite database."""
    name = url.database or ""
    return os.path.abspath(unquote(urlsplit(name).path) if name.startswith("file:") and "uri" in url.query else name)


def _is_missing(error: SQLAlchemyError) -> bool:
    """Whether the table is not there."""
    code, text = _reason(error)
    return code in (1146, "42P01") or "no such table" in text


def _is_replica(error: SQLAlchemyError) -> bool:
    """Whether the server only lets itself be read."""
    return _reason(error)[0] in (1290, 1792, 1836, "25006")


def _is_of_columns(error: SQLAlchemyError) -> bool:
    """Whether a column is missing, or there is one for which we have no value."""
    code, text = _reason(error)
    return code in (1054, "42703", *_WITHOUT_VALUE) or "no such column" in text or "no column named" in text


def _is_duplicate(error: SQLAlchemyError) -> bool:
    """Whether there is such a row already."""
    return isinstance(error, IntegrityError) and _reason(error)[0] not in _WITHOUT_VALUE


def _told(error: SQLAlchemyError) -> str:
    """Describe a database's error without any of the values in it."""
    cause = getattr(error, "orig", None)
    words = [type(error if cause is None else cause).__name__]
    code, _ = _reason(error)
    if code is not None:
        words.append(str(code))
    return f"The database gave an error ({' '.join(words)}). {advise(error)}".rstrip()
