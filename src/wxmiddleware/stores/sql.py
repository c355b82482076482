"""
Tokens in a table of a database: ``pip install 'wxmiddleware[sql]'``.

MySQL and MariaDB (PyMySQL), PostgreSQL (psycopg) and SQLite, through SQLAlchemy. One row for each token; the clock is
the database's. Each operation is one short statement that commits by itself, on a connection of the store's own: never
in a transaction of yours, and nothing depends on the session, so a pooler may sit in between.
"""

from __future__ import annotations

import hashlib
import math
import re
import secrets
import weakref
from collections.abc import Callable
from typing import Any, Self, TypeVar

from .. import _fork
from .._models import Loaded, Record
from .._policies import keep_until
from ..exceptions import ConfigurationError, StoreError
from . import _codec

try:
    import sqlalchemy as sa
    from sqlalchemy import event
    from sqlalchemy.dialects import mysql
    from sqlalchemy.engine import URL, make_url
    from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError, SQLAlchemyError
    from sqlalchemy.schema import CreateTable
except ModuleNotFoundError as _missing:
    if _missing.name != "sqlalchemy":
        raise
    raise ModuleNotFoundError(
        "SQLStore needs SQLAlchemy. Install it with: pip install 'wxmiddleware[sql]'", name="sqlalchemy"
    ) from None

__all__ = ["SQLStore"]

# The server's time since 1970, whatever its time zone and the session's: how to ask, and how many make a second.
_CLOCKS = {
    "mysql": ("TIMESTAMPDIFF(MICROSECOND, '1970-01-01 00:00:00', UTC_TIMESTAMP(6))", 1e6),
    "mariadb": ("TIMESTAMPDIFF(MICROSECOND, '1970-01-01 00:00:00', UTC_TIMESTAMP(6))", 1e6),
    "postgresql": ("EXTRACT(EPOCH FROM clock_timestamp())", 1.0),
    "sqlite": ("(julianday('now') - 2440587.5) * 86400.0", 1.0),
}
_DRIVERS = {
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
}
# A caller waits for the store while it waits for a token, so a database that is down must be found out soon.
_PATIENCE: dict[str, dict[str, Any]] = {
    "pymysql": {"connect_timeout": 1, "read_timeout": 2, "write_timeout": 2},
    # Without prepared statements, which a pooler would have to follow. 2 s is the least that libpq knows.
    "psycopg": {"connect_timeout": 2, "tcp_user_timeout": 2000, "prepare_threshold": None},
    "pysqlite": {"timeout": 5.0},
}
_DATABASES = "Use MySQL, MariaDB, PostgreSQL or SQLite."
_MEMORY = "An SQLite database in memory is shared with nobody. Give a file, or use MemoryStore."
_NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_]{0,62}\.)?[A-Za-z_][A-Za-z0-9_]{0,62}")
_LONGEST_KEY = 191
_NOTHING = ""  # the version where there is no row
_Result = TypeVar("_Result")


class SQLStore:
    """
    Keeps records in a table, one row for each.

    Rows whose ``expires_at`` (seconds since 1970) is over may be deleted at any time.

    Args:
        engine: An SQLAlchemy `Engine`. The store opens connections of its own in the same way, and leaves the engine
            to you.
        table: The table's name; ``schema.table`` for another schema.
        create: Create the table when it is missing. If not, see `ddl`.

    Raises:
        ConfigurationError: An argument is wrong, or the database is of a kind that this store does not know.
    """

    shared = True
    durable = True

    def __init__(self, engine: sa.Engine, *, table: str = "wx_token", create: bool = True) -> None:
        if not isinstance(engine, sa.Engine):
            raise ConfigurationError(
                f"engine must be an SQLAlchemy Engine, not {type(engine).__name__}. "
                "Or use SQLStore.from_url('mysql+pymysql://…')."
            )
        if engine.dialect.name not in _CLOCKS:
            raise ConfigurationError(f"SQLStore does not know {engine.dialect.name}. {_DATABASES}")
        if _in_memory(engine.url):
            raise ConfigurationError(_MEMORY)
        self._table = _table(table)
        self._create = create
        self._engine = _own(engine)
        self._left: list[object] = []
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
        _fork.register(self)

    @classmethod
    def from_url(cls, url: str, *, table: str = "wx_token", create: bool = True, **engine_options: Any) -> Self:
        """
        Connect to ``mysql+pymysql://user:password@host/database``, ``postgresql+psycopg://…`` or ``sqlite:///file``.

        Args:
            url: Where, as SQLAlchemy writes it.
            table: The table's name.
            create: Create the table when it is missing.
            engine_options: For SQLAlchemy's ``create_engine``, over what is chosen here.

        Raises:
            ConfigurationError: It is no such URL, or the database's driver is not installed.
        """
        parsed = _url(url)
        options = {"hide_parameters": True, **engine_options}
        if _in_memory(parsed):
            raise ConfigurationError(_MEMORY)
        if parsed.get_backend_name() != "sqlite":
            options = {"pool_timeout": 5.0, "pool_recycle": 1800, **options}
        trouble = ""
        try:
            driver = parsed.get_dialect().driver
            chosen = {name: value for name, value in _PATIENCE.get(driver, {}).items() if name not in parsed.query}
            options["connect_args"] = {**chosen, **engine_options.get("connect_args", {})}
            engine = sa.create_engine(parsed, **options)
        except NoSuchModuleError:
            trouble = f"SQLAlchemy does not know {parsed.drivername}. {_DATABASES}"
        except ModuleNotFoundError as error:
            trouble = f"The package {error.name} is missing. Install it with: pip install 'wxmiddleware[sql]'"
        if trouble:
            raise ConfigurationError(trouble)
        return cls(engine, table=table, create=create)

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
            raise ConfigurationError(f"SQLStore does not know that dialect. {_DATABASES}")
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
            "record": _Hidden(_codec.dumps(record)),
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

    # How a statement is run

    def _run(self, work: Callable[[sa.Connection, bool], _Result]) -> _Result:
        """
        Do `work` on a connection; once more if the connection was dead, or the table is missing and can be created.

        `work` is told whether it is the second time.
        """
        _fork.check()
        trouble = ""
        try:
            return self._once(work, False)
        except IntegrityError:
            return False  # type: ignore[return-value]  # only an INSERT raises it: somebody was first
        except SQLAlchemyError as error:
            missing, dead = _is_missing(error), isinstance(error, DBAPIError) and error.connection_invalidated
            if not missing and not dead:
                trouble = _told(error)
        if not trouble:
            trouble = self._created() if missing else ""
        if not trouble:
            try:
                return self._once(work, True)
            except IntegrityError:
                return False  # type: ignore[return-value]  # as above
            except SQLAlchemyError as error:
                trouble = _told(error)
        # Outside of the handlers: SQLAlchemy's errors hold the statement and its values, the token among them.
        raise StoreError(trouble)

    def _once(self, work: Callable[[sa.Connection, bool], _Result], again: bool) -> _Result:
        # The connection commits each statement by itself; the commit at the end is for a pooler that forgot so, and
        # costs nothing otherwise.
        with self._engine.begin() as connection:
            return work(connection, again)

    def _created(self) -> str:
        """Create the table; what stood against it, if anything did."""
        if not self._create:
            return f"The table {self._table.fullname} is missing. Create it with what SQLStore.ddl() gives."
        try:
            with self._engine.begin() as connection:
                connection.execute(CreateTable(self._table, if_not_exists=True))
        except SQLAlchemyError as error:
            told = _told(error)
        else:
            return ""
        # Another process may have created it in the same moment: PostgreSQL then fails in spite of IF NOT EXISTS.
        try:
            with self._engine.begin() as connection:
                connection.execute(self._select, {"key": ""})
        except SQLAlchemyError:
            return f"The table {self._table.fullname} is missing and could not be created: {told}"
        return ""


class _Hidden(str):
    """A text that logs of statements do not show."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'…'"


def _own(engine: sa.Engine) -> sa.Engine:
    """
    An engine that opens connections as `engine` does, and shares none with it.

    A thread that waits for a token may hold one of the user's connections; if the store needed one of the same pool,
    both could wait for each other.
    """
    pool = engine.pool.recreate()
    if engine.dialect.name == "sqlite":
        # Opened anew for each look: a connection that was kept would go on in a file that has been replaced since.
        pool = sa.pool.NullPool(pool._creator, dialect=engine.dialect, _dispatch=pool.dispatch)
    # Each would be a round trip. A dead connection is found by using it, and what was asked is asked again.
    pool._pre_ping = False

    def autocommit(connection: Any, _record: object) -> None:
        engine.dialect.set_isolation_level(connection, "AUTOCOMMIT")
        if hasattr(connection, "get_autocommit"):
            _sparing(connection)
        if hasattr(connection, "prepare_threshold"):
            connection.prepare_threshold = None  # as in _PATIENCE, for an engine of the user's

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
        sa.Column("record", sa.Text, nullable=False),
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
    _, _, rest = key.partition(":")
    whose, _, _fingerprint = rest.rpartition(":")
    appid, _, kind = whose.rpartition(":")
    # Only what every character set of a database can hold.
    return {"appid": ascii(appid)[1:-1][:64], "kind": ascii(kind)[1:-1][:64]}


def _url(url: object) -> URL:
    if not isinstance(url, (str, URL)):
        raise ConfigurationError(f"The URL must be a str, not {type(url).__name__}.")
    try:
        parsed: URL | None = make_url(url)
    except (ArgumentError, ValueError):  # its text quotes the URL, and so the password
        parsed = None
    if parsed is None:
        raise ConfigurationError("That is no URL of a database. Give one like mysql+pymysql://user:password@host/name.")
    return parsed.set(drivername=_DRIVERS.get(parsed.drivername, parsed.drivername))


def _in_memory(url: URL) -> bool:
    name = url.database or ""
    return url.get_backend_name() == "sqlite" and (name in ("", ":memory:") or "mode=memory" in str(url))


def _is_missing(error: SQLAlchemyError) -> bool:
    """Whether the table is not there."""
    cause = getattr(error, "orig", None)
    number = cause.args[0] if cause is not None and cause.args else None
    return number == 1146 or getattr(cause, "sqlstate", None) == "42P01" or "no such table" in str(number)


def _told(error: SQLAlchemyError) -> str:
    """What went wrong, without any of the values."""
    cause = getattr(error, "orig", None)
    words = [type(error if cause is None else cause).__name__]
    code = getattr(cause, "sqlstate", None) or getattr(cause, "sqlite_errorname", None)
    if code is None and cause is not None and cause.args and isinstance(cause.args[0], int):
        code = cause.args[0]
    if code is not None:
        words.append(str(code))
    return f"The database said no: {' '.join(words)}."
