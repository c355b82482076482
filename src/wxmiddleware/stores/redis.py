"""
Tokens in Redis, for many processes on many machines.

Each record is one hash under one key, so it lies on one node of a cluster. Two small scripts run on the server: one
reads the record together with the server's time, the other is the compare-and-swap. Each is one round trip.
"""

from __future__ import annotations

import hashlib
import inspect
import math
import re
import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Self

from .._rules.models import Loaded, Record
from .._rules.policies import keep_until
from .._runtime import checks, fork
from .._runtime.needs import needs
from ..exceptions import ConfigurationError, StoreError
from ._advice import advise
from ._codec import dumps, loads
from ._keys import digits_of_messages

with needs("redis", extra="redis"):
    from redis.backoff import NoBackoff
    from redis.client import Pipeline, Redis
    from redis.connection import (
        BlockingConnectionPool,
        Connection,
        ConnectionPool,
        SSLConnection,
        UnixDomainSocketConnection,
    )
    from redis.exceptions import ConnectionError as RedisConnectionError
    from redis.exceptions import NoScriptError, ReadOnlyError, ResponseError
    from redis.retry import Retry

    from . import _redis_options

if TYPE_CHECKING:
    from redis.cluster import RedisCluster

__all__ = ["RedisStore"]

# The store writes ASCII. Anything else at its key has to get past clients that decode, or it could not be replaced.
_STAMP = """
local stamp = redis.call('HGET', KEYS[1], 'stamp') or ''
if string.find(stamp, '[^%w]') then stamp = redis.sha1hex(stamp) end
"""
_LOAD = f"""{_STAMP}
local record = redis.call('HGET', KEYS[1], 'record') or ''
if string.find(record, '[^ -~]') then record = '' end
local time = redis.call('TIME')
return {{stamp, record, time[1], time[2]}}
"""
# KEYS: the key. ARGV: the version that was loaded, the new one, the record, and when it ends (ms).
# The new stamp is there already if a client that lost the answer sends the same command once more.
_SAVE = f"""{_STAMP}
if stamp == ARGV[2] then return ARGV[2] end
if stamp ~= ARGV[1] then return false end
redis.call('HSET', KEYS[1], 'stamp', ARGV[2])
redis.call('HSET', KEYS[1], 'record', ARGV[3])
redis.call('PEXPIREAT', KEYS[1], ARGV[4])
if redis.call('EXISTS', KEYS[1]) == 0 then return '' end
return ARGV[2]
"""
_TIMEOUT = 0.5
_SPECIAL = re.compile(r"[*?\[\]\\^-]")  # in a pattern of SCAN
_FOREVER = 10**15  # ms; PEXPIREAT takes no more than 64 bits
# Which command a server or a proxy does not know. Only the name: what follows may be a token.
_UNKNOWN = re.compile(r"unknown command [`'\"]?(\w+)|NOPROTO|unsupported protocol", re.IGNORECASE)
_LUA = "It must be able to run Lua scripts (EVAL and EVALSHA), also where a proxy is in between."
_UNKNOWN_HINTS = {
    "HELLO": "The client speaks RESP3 and begins with HELLO, which the server or a proxy in between does not know. "
    "Make the client with protocol=2.",
    "CLIENT": "The client has a client_name, and says so with CLIENT, which the server or a proxy in between does not "
    "know. Make the client without.",
    "SELECT": "It has no numbered databases: use db=0.",
    "EVAL": _LUA,
    "EVALSHA": _LUA,
}


class _Script:
    """Runs by its digest; a server that does not know it (restarted, failed over) gets the text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    def run(self, client: Any, key: str, *args: str | int) -> Any:
        try:
            return client.evalsha(self._digest, 1, key, *args)
        except NoScriptError:
            pass
        return client.eval(self._text, 1, key, *args)


_load, _save = _Script(_LOAD), _Script(_SAVE)


class RedisStore(fork.Closing):
    """
    Keeps each record in a Redis hash that expires by itself.

    Times are the Redis server's. A record is gone when its token has ended and there is nothing else to remember.

    Args:
        client: A client of redis-py, such as ``redis.Redis``, ``Sentinel(...).master_for(...)`` or ``RedisCluster``;
            with or without ``decode_responses``. A plain ``redis.Redis`` is a model: the store opens connections of
            its own like it, with timeouts of half a second where it has none, or redis-py's 5 s, and one retry. All
            others, subclasses among them, are used as they are and stay yours: give them short timeouts and few
            retries, and a process that forks while threads use it a client for each child, as redis-py's locks do
            not survive that.
        prefix: What the names of the keys begin with, where several programs share a database.

    Raises:
        ConfigurationError: `client` is none of redis-py's synchronous ones, or has an option that redis-py cannot use.
    """

    shared: Final = True

    def __init__(self, client: Redis | RedisCluster, *, prefix: str = "") -> None:
        if isinstance(client, type) or not callable(getattr(client, "evalsha", None)):
            raise ConfigurationError(
                f"RedisStore(client) takes a client such as redis.Redis(), not {checks.kind(client)}. "
                "For a URL there is RedisStore.from_url()."
            )
        if hasattr(client, "aclose") or inspect.iscoroutinefunction(getattr(client, "execute_command", None)):
            raise ConfigurationError(
                "RedisStore takes a synchronous client such as redis.Redis(), also where tasks use the provider: "
                "a refresh never runs on the event loop."
            )
        if isinstance(client, Pipeline):
            raise ConfigurationError("RedisStore takes the client itself, and no pipeline() of it: that only collects.")
        if getattr(getattr(client, "connection_pool", None), "is_master", True) is False:
            raise ConfigurationError(
                "RedisStore writes, and a client of Sentinel's slave_for() only reads. Give it master_for()."
            )
        if not isinstance(prefix, str):
            raise ConfigurationError(f"prefix must be a str, not {checks.kind(prefix)}.")
        self._make = _like(client)
        self._client: Any = client if self._make is None else self._make()
        self._prefix = prefix
        self._left: list[object] = []
        fork.register(self)

    @classmethod
    def from_url(cls, url: str, *, prefix: str = "", **options: Any) -> Self:
        """
        Connect to the Redis at `url`, once it is needed.

        Args:
            url: ``redis://[[user]:password@]host[:port][/db]``, ``rediss://…`` for TLS, or ``unix:///path``. It may
                have redis-py's options, as in ``?socket_timeout=2&ssl_cert_reqs=CERT_NONE``, and ``prefix=``.
            prefix: What the names of the keys begin with, unless the URL says so.
            options: For redis-py's connections; those of the URL go before. By default a try to connect and an answer
                may take 0.5 s each, and what fails is tried once more at once: the connection may have been idle for
                too long. They speak RESP2, which proxies and old servers understand, too.

        Raises:
            ConfigurationError: The URL is none of Redis's, or an option is unknown or has no proper value.
        """
        kind, said, prefix = _redis_options.read_url(url, prefix)
        kind = options.pop("connection_class", kind)
        single = bool(options.pop("single_connection_client", False))
        chosen = {"socket_timeout": _TIMEOUT, "socket_connect_timeout": _TIMEOUT, "retry": _retry()}
        settings = _redis_options.check(kind, _redis_options.quiet({**chosen, **options, **said}))

        def make() -> Redis:
            pool = ConnectionPool(connection_class=kind, **settings)
            return Redis(connection_pool=pool, single_connection_client=single)

        client = _tried(make)
        store = cls(client, prefix=prefix)
        store._client, store._make = client, make
        return store

    def __repr__(self) -> str:
        return f"RedisStore({self._where()}, prefix={self._prefix!r})"

    def load(self, key: str) -> Loaded:
        """
        Read the record of `key`.

        Raises:
            StoreError: Redis refuses, or holds something else under this name. Where it cannot be reached, the
                client's own exceptions are raised.
        """
        stamp, record, seconds, micros = self._run(_load, key)
        now = int(seconds) + int(micros) / 1e6
        return Loaded(loads(record) if record else None, _text(stamp), now)

    def save(self, key: str, record: Record, version: str) -> str | None:
        """
        Replace the record of `key`, if nothing was saved since `version` was loaded.

        Raises:
            StoreError: As with `load`.
        """
        # Made up for each save, so that what was saved after a flush never has a version from before it.
        stamp = secrets.token_hex(12)
        saved = self._run(_save, key, version or "", stamp, dumps(record), _milliseconds(keep_until(record)))
        return None if saved is None else _text(saved)

    def keys(self) -> list[str] | None:
        """
        List the tokens that it holds, not what webhooks remember; ``None`` if the server or a proxy does not tell.

        It goes through all names of the database in small steps (SCAN), so it is for people, not for programs.
        """
        fork.check()
        begin = f"{self._prefix}{{"
        pattern = _SPECIAL.sub(r"\\\g<0>", begin) + "wx:*}"
        try:
            found = {_name(name) for name in self._client.scan_iter(match=pattern, count=1000)}
        except ResponseError:
            return None
        except RedisConnectionError:
            self._run(_load, "wx")  # a proxy may have hung up since it does not know SCAN
            return None
        return sorted(key for name in found if digits_of_messages(key := name[len(begin) : -1]) is None)

    def close(self) -> None:
        """Close the store's own connections; the next call opens new ones. A client that is used stays open."""
        if self._make is not None:
            self._client.connection_pool.disconnect()

    def after_fork(self) -> None:
        """A child has a client of its own: redis-py's waits for ever if a thread used it at the fork."""
        if self._make is not None:
            self._left.append(self._client)  # kept, so that nothing is said on its connections
            self._client = self._make()

    def _run(self, script: _Script, key: str, *args: str | int) -> Any:
        fork.check()
        # The braces keep whatever else may be stored for this key on the same node of a cluster.
        name = f"{self._prefix}{{{key}}}"
        try:
            return script.run(self._client, name, *args)
        except ResponseError as exc:
            problem = "" if self._make is not None and _is_replica(exc) else _explain(exc, name)
        if not problem:
            # After a failover the connections are still to the old primary; its name may lead to the new one.
            self._client.connection_pool.disconnect(inuse_connections=False)
            try:
                return script.run(self._client, name, *args)
            except ResponseError as exc:
                problem = _explain(exc, name)
        # Out of the except clause: Redis quotes a command that it does not know, so the cause may hold the token.
        raise StoreError(problem)

    def _where(self) -> str:
        try:
            options = self._client.get_connection_kwargs()
            if options.get("path"):
                return f"{options['path']}, db={options.get('db') or 0}"
            if not hasattr(self._client, "connection_pool") or "service_name" in vars(self._client.connection_pool):
                return type(self._client).__name__
            return f"{options.get('host', 'localhost')}:{options.get('port', 6379)}, db={options.get('db') or 0}"
        except Exception:  # other clients keep it elsewhere; a repr never fails
            return type(self._client).__name__


def _like(client: Any) -> Callable[[], Redis] | None:
    """Find how to make a client like the user's, with short timeouts; none if that cannot be told."""
    pool: Any = getattr(client, "connection_pool", None)
    plain = type(client) is Redis and type(pool) in (ConnectionPool, BlockingConnectionPool)
    if not plain or pool.connection_class not in (Connection, SSLConnection, UnixDomainSocketConnection):
        return None
    options = {
        name: value for name, value in pool.connection_kwargs.items() if not _redis_options.belongs_to_pool(name)
    }
    defaults = inspect.signature(Redis).parameters
    for name in ("socket_timeout", "socket_connect_timeout"):
        if options.get(name) in (None, defaults[name].default):
            options[name] = _TIMEOUT
    options = _redis_options.check(pool.connection_class, _redis_options.quiet(options))
    options |= {"protocol": 2, "retry": _retry()}

    def make() -> Redis:
        return Redis(connection_pool=ConnectionPool(connection_class=pool.connection_class, **options))

    _tried(make)
    return make


def _tried(make: Callable[[], Redis]) -> Redis:
    """Call `make`, and check that redis-py can make a connection of the result. Nothing is connected."""
    with suppress(Exception):  # their texts may quote the password
        client = make()
        pool: Any = client.connection_pool
        pool.connection_class(**pool.connection_kwargs)
        return client
    raise ConfigurationError("redis-py refuses one of the connection's options.")


def _retry() -> Retry:
    return Retry(NoBackoff(), 1)


def _is_replica(exc: ResponseError) -> bool:
    return isinstance(exc, ReadOnlyError) or "READONLY" in str(exc)


def _explain(exc: ResponseError, name: str) -> str:
    if "WRONGTYPE" in str(exc):
        return (
            f"Under the key {name!r} Redis holds something that wxmiddleware has not written. "
            "Delete that key, or give the store a prefix=."
        )
    unknown = _UNKNOWN.search(str(exc))
    hint = advise(exc)
    if not hint and unknown is not None:
        hint = _UNKNOWN_HINTS.get(unknown[1].upper() if unknown[1] else "HELLO", "")
    return f"Redis refused a command ({type(exc).__name__}). {hint or 'Its own log says more.'}"


def _milliseconds(seconds: float) -> int:
    if seconds <= 0:
        return 0
    return _FOREVER if seconds * 1000 >= _FOREVER else math.ceil(seconds * 1000)


def _name(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
