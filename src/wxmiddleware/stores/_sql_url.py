"""
How a database is reached: what a URL says, read and tried out on its driver before anything connects.

SQLAlchemy hands a URL's options to the driver unseen, so without this they would fail at the first token.
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from ..exceptions import ConfigurationError
from ._address import ENCODE, check_host, check_path, checked_text, shown

# A caller waits for the store while it waits for a token, so a database that is down must be found out soon.
LONGEST = 2.0  # seconds for a statement
DATABASES = "Use MySQL, MariaDB, PostgreSQL or SQLite."
MEMORY = "An SQLite database in memory is shared with nobody. Give a file, or use MemoryStore."
_ADVICE = "Give one like mysql+pymysql://user:password@host/database, postgresql+psycopg://… or sqlite:///file."
_DRIVERS = {"mysql": "pymysql", "mariadb": "pymysql", "postgresql": "psycopg"}
_PATIENCE: dict[str, dict[str, Any]] = {
    "pymysql": {"connect_timeout": 1, "read_timeout": LONGEST, "write_timeout": LONGEST},
    # Without prepared statements, which a pooler would have to follow. 2 s is the least that libpq knows.
    "psycopg": {"connect_timeout": 2, "tcp_user_timeout": 2000, "prepare_threshold": None},
    "pysqlite": {"timeout": 5.0},
}
_EXTRA = "pip install 'wxmiddleware[sql]'"
# What brings the modules of the other drivers.
_PACKAGES = {
    "MySQLdb": "mysqlclient",
    "mysql": "mysql-connector-python",
    "mariadb": "mariadb",
    "cymysql": "cymysql",
    "pyodbc": "pyodbc",
    "psycopg2": "psycopg2-binary",
    "psycopg2cffi": "psycopg2cffi",
    "pg8000": "pg8000",
}
_OF_SQLITE = ("cached_statements", "check_same_thread", "detect_types", "isolation_level", "timeout", "uri")
_OF_PSYCOPG = ("autocommit", "context", "cursor_factory", "prepare_threshold", "row_factory")
_QUERY = re.compile(r"(?:[^:/]*(?::[^@]*)?@)?+[^?]*\?(.*)")  # a password may have a ? in it
_SSL_OF_LIBPQ = ("disable", "prefer", "require")
_WORDS_OF_LIBPQ = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "channel_binding": _SSL_OF_LIBPQ,
    "gssencmode": _SSL_OF_LIBPQ,
    "target_session_attrs": ("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
}
_NUMBERS_OF_LIBPQ = re.compile(r"port|connect_timeout|tcp_user_timeout|keepalives(_idle|_interval|_count)?")
# A URL that names none of these, and no host, means this machine.
_PLACES = ("host", "unix_socket", "read_default_file", "service")


def read_url(url: object) -> URL:
    """
    Read a URL.

    Raises:
        ConfigurationError: It is none, or a character that is not percent-encoded has made something else of it.
    """
    parsed = url if isinstance(url, URL) else None
    if parsed is None:
        scheme, separator, rest = checked_text(url, _ADVICE).partition("://")
        options = _QUERY.fullmatch(rest)
        if options and not all(re.fullmatch(r"[^=]+=.+", each) for each in options[1].split("&")):
            # SQLAlchemy leaves them out: the default would be used, and nobody told.
            raise ConfigurationError(f"After the ? of the URL stand options, each as name=value. {ENCODE}")
        scheme = re.sub(r"^postgres(?=\+|$)", "postgresql", scheme.lower())  # as Heroku writes it
        with suppress(ArgumentError, ValueError):  # their texts quote the URL, and so the password
            parsed = make_url(f"{scheme}{separator}{rest}")
    if parsed is None:
        raise ConfigurationError(f"That is no URL of a database. {_ADVICE} {ENCODE}")
    if parsed.drivername in _DRIVERS:
        parsed = parsed.set(drivername=f"{parsed.drivername}+{_DRIVERS[parsed.drivername]}")
    if parsed.get_backend_name() == "sqlite":
        if parsed.host or parsed.username:
            raise ConfigurationError(
                "The URL of an SQLite database has three slashes: sqlite:///path, four if absolute."
            )
        name = parsed.database or ""
        check_path(name)
        return parsed.set(database=os.path.expanduser(name)) if name.startswith("~") else parsed
    _check_server(parsed)
    return parsed


def check_database(url: URL, options: dict[str, Any]) -> None:
    """
    See whether MySQL is told which database to use: it has none by default.

    Raises:
        ConfigurationError: It is not.
    """
    told = {*url.query, *options, *options.get("connect_args", {})}
    mysql = url.get_backend_name() in ("mysql", "mariadb")
    if mysql and not url.database and told.isdisjoint({"db", "database", "read_default_file", "creator"}):
        raise ConfigurationError(f"The URL names no database. {_ADVICE}")


def open_engine(url: URL, given: dict[str, Any]) -> sa.Engine:
    """
    Make an engine, and see whether its driver takes what the URL and `given` say. Nothing is connected.

    Raises:
        ConfigurationError: The driver is missing, is an asynchronous one, or refuses an option.
    """
    options = {"hide_parameters": True, **given}
    if url.get_backend_name() == "sqlite" and "uri" not in url.query:
        _check_names("sqlite3", url.query, _OF_SQLITE)
    if url.get_backend_name() != "sqlite":
        options = {"pool_timeout": 5.0, "pool_recycle": 1800, **options}
    try:
        dialect = url.get_dialect()
        if dialect.is_async:
            raise ConfigurationError(async_driver(dialect.name))
        chosen = {name: value for name, value in _PATIENCE.get(dialect.driver, {}).items() if name not in url.query}
        options["connect_args"] = {**chosen, **given.get("connect_args", {})}
        engine = sa.create_engine(url, **options)
        if "creator" not in given:
            _try_out(engine, options["connect_args"])
        return engine
    except ConfigurationError as error:
        trouble = str(error)
    except NoSuchModuleError:
        trouble = f"SQLAlchemy does not know this kind of URL. {DATABASES}"
    except ImportError as error:
        trouble = _missing_driver(url, error)
    except Exception:  # a driver's or a dialect's, which quotes what it cannot read
        trouble = f"SQLAlchemy or the driver cannot use one of the options in the URL, or beside it. {_ADVICE}"
    # Out of the except clauses: the cause may quote the URL.
    raise ConfigurationError(trouble)


def in_memory(url: URL) -> bool:
    """Whether it is an SQLite database that no file holds."""
    name = url.database or ""
    return url.get_backend_name() == "sqlite" and (name in ("", ":memory:") or "mode=memory" in str(url))


def async_driver(backend: str) -> str:
    """Get the advice for an asynchronous driver: which one to take in its place."""
    instead = f"{backend}+{_DRIVERS[backend]}://…" if backend in _DRIVERS else "sqlite:///path"
    return (
        "That is an asynchronous driver. A refresh never runs on the event loop, also where tasks use the provider: "
        f"give SQLStore a synchronous one, as in SQLStore.from_url('{instead}')."
    )


def _check_server(url: URL) -> None:
    """See whether what stands for host, port and database can be that."""
    if any(c in (url.database or "") for c in "@#"):
        raise ConfigurationError(f"What stands for the database in the URL cannot be one. {ENCODE}")
    # In brackets it was IPv6; and libpq takes a directory for a host.
    if url.host and ":" not in url.host and not url.host.startswith(("/", "%2F", "%2f")):
        # libpq takes several.
        for host in url.host.split(",") if url.get_backend_name() == "postgresql" else [url.host]:
            check_host(host)
    if not url.host and (url.port is not None or url.password) and not any(name in url.query for name in _PLACES):
        check_host("")
    if url.port is not None and not 0 < url.port < 65_536:
        raise ConfigurationError(f"The port in the URL is no number from 1 to 65535. {ENCODE}")


def _try_out(engine: sa.Engine, connect_args: dict[str, Any]) -> None:
    """Have the driver judge its options, without a connection; it raises what it likes."""
    arguments, options = engine.dialect.create_connect_args(engine.url)
    options = {**options, **connect_args}
    match engine.dialect.driver:
        case "pymysql":
            connection = engine.dialect.loaded_dbapi.connections.Connection
            _check_names("PyMySQL", options, inspect.signature(connection).parameters)
            connection(*arguments, **options, defer_connect=True)
        case "psycopg":
            _try_psycopg(options)
        case "pysqlite":
            import sqlite3

            options.pop("uri", None)
            sqlite3.connect(":memory:", **options).close()


def _try_psycopg(options: dict[str, Any]) -> None:
    from psycopg import pq

    known = [each.keyword.decode() for each in pq.Conninfo.get_defaults()]
    _check_names("psycopg", options, [*known, *_OF_PSYCOPG])
    for name, value in options.items():
        if _NUMBERS_OF_LIBPQ.fullmatch(name) and not re.fullmatch(r"(-?\d+)?(,(-?\d+)?)*", str(value)):
            raise ConfigurationError(f"{name}= must be a whole number.")
        if value not in _WORDS_OF_LIBPQ.get(name, (value,)):
            raise ConfigurationError(f"{name}= is one of {', '.join(_WORDS_OF_LIBPQ[name])}.")


def _check_names(driver: str, options: Iterable[str], known: Iterable[str]) -> None:
    known = set(known)
    for name in options:
        if name not in known:
            raise ConfigurationError(f"{driver} knows no option {shown(name)}. It knows {', '.join(sorted(known))}.")


def _missing_driver(url: URL, error: ImportError) -> str:
    """Get the advice for a driver that is missing: what to install, or what to write in its place."""
    module = (error.name or "").partition(".")[0]
    backend = url.get_backend_name()
    if module not in _PACKAGES:
        return f"The package {error.name or 'of the driver'} is missing or incomplete. Install it with: {_EXTRA}"
    instead = f" Or write {backend}+{_DRIVERS[backend]}://, with {_EXTRA}." if backend in _DRIVERS else ""
    return f"The driver's package is missing. Install it with: pip install {_PACKAGES[module]}.{instead}"
