"""One string for a store: for settings, environment variables and the shell."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

from ..exceptions import ConfigurationError
from ._address import check_path, checked_text

if TYPE_CHECKING:
    from . import TokenStore

_FORMS = (
    "redis://localhost:6379/0, mysql+pymysql://user:password@localhost/database, "
    "postgresql+psycopg://user:password@localhost/database, sqlite:///path, memcached://localhost:11211, "
    "file:path or memory:"
)
_ADVICE = f"Give one like {_FORMS}."
_REDIS = ("redis", "rediss", "unix", "sentinel", "valkey", "valkeys")
_SQL = ("mysql", "mariadb", "postgresql", "postgres", "sqlite")
_NAMESPACE = re.compile(r"[?&](prefix|table)=")


def store_from_url(url: str) -> TokenStore:
    """
    Make the store that `url` names.

    Args:
        url: ``redis://…`` (``rediss``, ``unix``), ``mysql+pymysql://…``, ``postgresql+psycopg://…`` or
            ``sqlite:///…``, ``memcached://host,host``, ``file:path`` or ``memory:``. What keeps programs apart in one
            server can stand in it: ``?prefix=`` for Redis and memcached, ``?table=`` for a database.

    Raises:
        ConfigurationError: No store is named so, or something in the URL cannot be. The message does not repeat the
            URL: it may hold a password.
        ImportError: The package for it is not installed; the message says which extra to install.
    """
    return open_store(url)


def open_store(url: str, *, create: bool = True) -> TokenStore:
    """
    Make the store that `url` names.

    Args:
        url: As `store_from_url` takes it.
        create: Whether a table that is missing may be created.
    """
    scheme, _, rest = checked_text(url, _ADVICE).partition(":")
    words = scheme.lower().replace("-", "+").split("+")
    if words[0] == "memory" and not rest.strip("/"):
        from .memory import MemoryStore

        return MemoryStore()
    if words[0] == "file":
        from .jsonfile import JSONFileStore

        return JSONFileStore(_path(rest))
    if words[0] == "memcached":
        from .memcached import MemcachedStore

        return MemcachedStore.from_url(url)
    if words[0] in _SQL:
        from .sql import SQLStore

        return SQLStore.from_url(url, create=create)
    if any(word in _REDIS for word in words):
        from .redis import RedisStore

        return RedisStore.from_url(url)
    raise ConfigurationError(f"No store has a URL of this kind. {_ADVICE}")


def _path(rest: str) -> str:
    """The path of a ``file:`` URL: as it stands there, or after two slashes as URLs have it."""
    if _NAMESPACE.search(rest):
        raise ConfigurationError("A file has no prefix= and no table=: another name is another file.")
    path = rest
    if rest.startswith("//"):
        host, slash, path = rest[2:].partition("/")
        path = slash + unquote(path)
        if host == "~":
            path = f"~{path}"
        elif path.startswith("/~"):  # nobody has a directory of that name at the root
            path = path[1:]
        elif host not in ("", "localhost") or "?" in rest or "#" in rest:
            raise ConfigurationError(
                "After file:// stands an absolute path, as in file:///var/lib/app/token.json, with ? and # "
                "percent-encoded. Without the two slashes it is as you type it: file:token.json."
            )
    check_path(path)
    expanded = os.path.expanduser(path)
    if expanded.startswith("~"):
        raise ConfigurationError("The path of the file begins with ~, and nobody knows whose home that is.")
    return expanded
