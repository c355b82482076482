"""
Tokens in memcached: ``pip install 'wxmiddleware[memcached]'``.

memcached has no clock that can be read, so this store's is ``time.time`` of the machine that it runs on: keep the
machines of a fleet within a second or so of each other, as NTP does. It counts expiry in whole seconds. An evicted
record is written back by the next process that holds a good token (read repair).
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import secrets
import time
from collections.abc import Callable
from typing import Any, Self, TypeVar

from .._rules.models import Loaded, Record
from .._rules.policies import keep_until
from .._runtime import fork
from .._runtime.clock import Clock
from .._runtime.needs import needs
from ..exceptions import ConfigurationError, StoreError
from . import _codec
from ._address import check_path, host_and_port, namespace, shown, split

with needs("pymemcache", extra="memcached"):
    from pymemcache import Client, HashClient, PooledClient
    from pymemcache.exceptions import MemcacheUnexpectedCloseError
    from pymemcache.pool import ObjectPool

__all__ = ["MemcachedStore"]

_TIMEOUT = 0.5
_ADVICE = "Give one like memcached://localhost:11211 or memcached://host1,host2, without a user."
_LONGEST_KEY = 250
# Of anything above, memcached thinks that it is a date: long ago, or far off.
_LONGEST_LIFE = 30 * 86_400
_STAMP = "stamp"
_Result = TypeVar("_Result")


class _AsIs:
    """Bytes in, bytes out, however the user's client is set up to write its own values."""

    def serialize(self, _key: object, value: bytes) -> tuple[bytes, int]:
        return value, 0

    def deserialize(self, _key: object, value: bytes, _flags: int) -> bytes:
        return value


class Server:
    """
    Connections of our own to one memcached, set up as the user's are.

    A connection of the user's is never used: it may be in another thread's hands.
    """

    def __init__(self, client: Any) -> None:
        self._model = _model(client)
        self._pool = self._new_pool()

    def _new_pool(self) -> Any:
        return ObjectPool(lambda: copy.copy(self._model), after_remove=lambda client: client.close())

    @property
    def name(self) -> str:
        where = self._model.server
        return ":".join(map(str, where)) if isinstance(where, tuple) else str(where)

    @property
    def room(self) -> int:
        """The most bytes that a key may have."""
        return _LONGEST_KEY - len(self._model.key_prefix)

    def run(self, work: Callable[[Any], _Result]) -> _Result:
        """
        Do `work` with a connection; once more with a new one, if the server has closed it.

        A connection that was idle while memcached was restarted fails only when it is used, and that must not look like
        a memcached that is down.
        """
        try:
            return self._run(work)
        except (ConnectionError, MemcacheUnexpectedCloseError):
            for _ in self._pool.free:  # and no others: with those another thread is at work
                self._pool.destroy(self._pool.get())
        return self._run(work)

    def _run(self, work: Callable[[Any], _Result]) -> _Result:
        with self._pool.get_and_release(destroy_on_fail=True) as client:
            return work(client)

    def forget(self) -> None:
        """In a child the connections are the parent's: close our ends, and say nothing on them."""
        inherited, self._pool = self._pool, self._new_pool()
        for client in (*inherited.free, *inherited.used):
            client.close()

    def close(self) -> None:
        self._pool.clear()


class MemcachedStore(fork.Closing):
    """
    Keeps records in memcached, one item for each, which ends by itself.

    Of several servers each key has its own; while that one is down the store is down for the key. There is no
    moving over to another one, where some processes would find one token and the others another.

    Args:
        client: A `pymemcache.Client`, `PooledClient` or `HashClient`. It is a model: the store opens connections of
            its own like it, with timeouts of half a second where it has none, and leaves the client to you.
        prefix: What the keys begin with.
        clock: Seconds since 1970, the same in all processes; ``time.time`` by default.

    Raises:
        ConfigurationError: An argument is wrong.
    """

    shared = True

    def __init__(self, client: Any, *, prefix: str = "", clock: Clock = time.time) -> None:
        if not isinstance(client, (Client, PooledClient, HashClient)):
            raise ConfigurationError(
                "client must be a pymemcache Client, PooledClient or HashClient, also where tasks use the provider, "
                f"not {type(client).__name__}. Or use MemcachedStore.from_url('memcached://host')."
            )
        if not isinstance(prefix, str) or not _plain(prefix) or len(prefix) > 100:
            raise ConfigurationError("prefix must be a str of at most 100 ASCII characters without white space.")
        self._clock = clock
        self._prefix = prefix
        clients = client.clients if isinstance(client, HashClient) else {"": client}
        if not clients:
            raise ConfigurationError("The HashClient has no servers.")
        self._servers = {name: Server(one) for name, one in clients.items()}
        # A copy: the user's client takes servers out of its own while they are down.
        self._hasher = copy.deepcopy(client.hasher) if isinstance(client, HashClient) else None
        fork.register(self)

    @classmethod
    def from_url(cls, url: str, *, prefix: str = "", clock: Clock = time.time) -> Self:
        """
        Connect to ``memcached://host:11211``, ``memcached://host1,host2:11212`` or ``memcached:///path/to.sock``.

        Args:
            url: Where. The port is 11211 if there is none. ``?prefix=`` may name the prefix.
            prefix: What the keys begin with, unless the URL says so.
            clock: Seconds since 1970.

        Raises:
            ConfigurationError: It is no such URL.
        """
        servers, prefix = _read_url(url, prefix)
        options = {"connect_timeout": _TIMEOUT, "timeout": _TIMEOUT, "no_delay": isinstance(servers[0], tuple)}
        client = Client(servers[0], **options) if len(servers) == 1 else HashClient(servers, **options)
        return cls(client, prefix=prefix, clock=clock)

    def __repr__(self) -> str:
        names = ",".join(server.name for server in self._servers.values())
        return f"MemcachedStore({names}, prefix={self._prefix!r})"

    def after_fork(self) -> None:
        """A child does not speak on its parent's connections."""
        for server in self._servers.values():
            server.forget()

    def close(self) -> None:
        """Close the store's connections; the next call opens new ones."""
        for server in self._servers.values():
            server.close()

    def load(self, key: str) -> Loaded:
        """Read the record of `key`, its version, and this machine's time."""
        server, name = self._at(key)
        raw, _ = server.run(lambda client: _gets(client, name))
        return Loaded(None if raw is None else _codec.loads(raw), _stamp(raw), self._clock())

    def save(self, key: str, record: Record, version: str) -> str | None:
        """
        Replace the record of `key`, if nothing was saved since `version` was loaded.

        A version is the stamp that each save puts into its item, and not memcached's own number of it: that one is not
        told of what was just stored, and a memcached that was restarted begins to count anew. The number is asked for
        right before it is needed.
        """
        server, name = self._at(key)
        stamp = secrets.token_hex(8)
        raw = f'{{"{_STAMP}": "{stamp}", {_codec.dumps(record)[1:]}'.encode()
        expire = self._life(record)

        def swap(client: Any) -> bool:
            if not version and client.add(name, raw, expire, noreply=False):
                return True
            there, number = _gets(client, name)
            found = _stamp(there)
            # It is there already if the answer was lost, and this is the second try.
            return found == stamp or (found == version != "" and client.cas(name, raw, number, expire) is True)

        return stamp if server.run(swap) else None

    def _life(self, record: Record) -> int:
        """Seconds, at least 1: 0 would be for ever. One more than needed: memcached's seconds are not ours."""
        left = min(max(keep_until(record) - self._clock(), 0.0), _LONGEST_LIFE - 1)
        return math.ceil(left) + 1 if left else 1

    def _at(self, key: str) -> tuple[Server, str]:
        fork.check()
        name = self._prefix + key
        room = min(server.room for server in self._servers.values())
        if not name or len(name) > room or not _plain(name):
            name = f"{self._prefix}wx#{hashlib.sha256(key.encode()).hexdigest()}"
        return self._servers[self._hasher.get_node(name) if self._hasher is not None else ""], name


def _model(client: Any) -> Any:
    """A client like the user's, not connected, that neither converts values nor takes an outage for emptiness."""
    model = client._create_client() if isinstance(client, PooledClient) else copy.copy(client)
    model.sock = None
    model.serde = _AsIs()
    model.ignore_exc = False
    model.timeout = _TIMEOUT if model.timeout is None else model.timeout
    model.connect_timeout = _TIMEOUT if model.connect_timeout is None else model.connect_timeout
    return model


def _gets(client: Any, name: str) -> tuple[bytes | None, bytes | None]:
    """
    What is there, and memcached's number of it; neither if nothing is.

    Raises:
        StoreError: This memcached has no numbers.
    """
    raw, number = client.gets(name)
    if number == b"0":
        # With it every swap would win.
        raise StoreError(
            "This memcached cannot compare and swap, so processes would replace each other's tokens. Start it without "
            "-C (--disable-cas), and do not put a proxy before it that knows no cas."
        )
    return raw, number


def _stamp(raw: bytes | None) -> str:
    """Which save it was; of what this store has not written, a digest; empty if there is nothing."""
    if raw is None:
        return ""
    try:
        stamp = json.loads(raw)[_STAMP]
    except (ValueError, TypeError, LookupError, RecursionError):
        stamp = None
    if isinstance(stamp, str) and stamp:
        return stamp
    return f"?{hashlib.sha256(raw).hexdigest()}"


def _plain(name: str) -> bool:
    return all("!" <= c <= "~" for c in name)


def _read_url(url: object, prefix: str) -> tuple[list[tuple[str, int] | str], str]:
    """The servers that a URL names, and the prefix that it or `prefix` names."""
    address = split(url, _ADVICE)
    named = namespace(address.query, "prefix", None if prefix == "" else prefix)
    named = "" if named is None else named
    unknown = sorted(set(address.query) - {"prefix"})
    if unknown:
        raise ConfigurationError(f"A URL of memcached has no option {shown(unknown[0])}. It has prefix. {_ADVICE}")
    if address.scheme != "memcached" or address.username is not None or address.password is not None:
        raise ConfigurationError(f"That is no URL of memcached. {_ADVICE}")
    path = address.path.rstrip("/")
    if not address.hosts and path:
        check_path(path)
        return [path], named
    if path:
        raise ConfigurationError(f"A URL of memcached has nothing after its hosts. {_ADVICE}")
    servers: list[tuple[str, int] | str] = [host_and_port(each, 11211) for each in address.hosts.split(",")]
    if len(set(servers)) < len(servers):
        raise ConfigurationError("The URL of memcached names a server twice.")
    return servers, named
