"""One string for a store: for settings, environment variables and the shell."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from ..exceptions import ConfigurationError

if TYPE_CHECKING:
    from . import TokenStore

_FORMS = (
    "redis://localhost:6379/0, mysql+pymysql://user:password@localhost/database, "
    "postgresql+psycopg://user:password@localhost/database, sqlite:///path, memcached://localhost:11211, "
    "file:path or memory:"
)


def store_from_url(url: str) -> TokenStore:
    """
    Make the store that `url` names.

    Args:
        url: ``redis://…`` (``rediss``, ``unix``), ``mysql+pymysql://…``, ``postgresql+psycopg://…`` or
            ``sqlite:///…``, ``memcached://host,host``, ``file:path`` or ``memory:``.

    Raises:
        ConfigurationError: No store is named so. The message does not repeat the URL: it may hold a password.
        ImportError: The package for it is not installed; the message says which extra to install.
    """
    if not isinstance(url, str) or ":" not in url:
        raise ConfigurationError(f"A store's URL is one like {_FORMS}.")
    scheme, rest = url.split(":", 1)
    match scheme.split("+")[0].lower():
        case "memory":
            from .memory import MemoryStore

            return MemoryStore()
        case "file":
            from .jsonfile import JSONFileStore

            return JSONFileStore(unquote(urlsplit(url).path) if rest.startswith("//") else rest)
        case "redis" | "rediss" | "unix":
            from .redis import RedisStore

            return RedisStore.from_url(url)
        case "memcached":
            from .memcached import MemcachedStore

            return MemcachedStore.from_url(url)
        case "mysql" | "mariadb" | "postgresql" | "sqlite":
            from .sql import SQLStore

            return SQLStore.from_url(url)
    raise ConfigurationError(f"No store has a URL of this kind. Give one like {_FORMS}.")
