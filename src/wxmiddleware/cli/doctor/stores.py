"""The store: is it there, is it the primary, may we do what we do there, does it forget, what time is it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..._rules.models import Lease, Loaded, Record
from ..._runtime.clock import clock
from ..._runtime.language import Text
from ...exceptions import StoreError
from ...stores._advice import translated
from .findings import Finding, fail, ok, skip, warn

if TYPE_CHECKING:
    from .examination import Examination

# No account's, and of none of the forms that stores list.
_PROBE = "wx:doctor:webhook:00"
_PROBE_IN_FILE = "wx:doctor:probe"  # what webhooks remember lies in another file
_PROBE_LIFE = 10.0
_NEARLY_FULL = 0.9
_FAR = 60.0
_NOT_THERE = "is missing"


def kind_of(store: object) -> str:
    """Which of our stores it is, by the name of its module."""
    return type(store).__module__.rpartition(".")[2]


def probe_of(store: object) -> str:
    """The key of the doctor's own record."""
    return _PROBE_IN_FILE if kind_of(store) == "jsonfile" else _PROBE


# Reached


def look_at_store(examination: Examination) -> Finding:
    """See whether the store answers."""
    store: Any = examination.store
    if store is None:
        return skip("store.none")
    if examination.unmade:
        return skip("store.new_file", store=repr(store))
    began = clock()
    try:
        _PINGS.get(kind_of(store), _ping_file)(store)
    except Exception as error:
        return fail("store.down", store=repr(store), problem=_told(error))
    seconds = clock() - began
    return ok("store.ok", store=repr(store), ms=seconds * 1000, data={"seconds": round(seconds, 4)})


def _ping_redis(store: Any) -> None:
    store._client.ping()


def _ping_sql(store: Any) -> None:
    import sqlalchemy as sa

    store._run(lambda connection, _: connection.execute(sa.text("SELECT 1")).one())


def _ping_memcached(store: Any) -> None:
    for server in store._servers.values():
        server.run(lambda client: client.version())


def _ping_file(store: Any) -> None:
    os.stat(store.path)


_PINGS: dict[str, Callable[[Any], None]] = {
    "redis": _ping_redis,
    "sql": _ping_sql,
    "memcached": _ping_memcached,
    "jsonfile": _ping_file,
}


def _told(error: Exception) -> Text:
    """Say what went wrong: our own errors are safe to show, of others only the kind is."""
    if isinstance(error, StoreError):
        return translated(str(error))
    from ...stores._advice import advice_on

    advice = advice_on(error)
    name = type(error).__name__
    return Text(f"{name}. {advice.en}".strip(), f"{name}。{advice.zh}")


# Primary or replica


def look_at_role(examination: Examination) -> Finding:
    """See whether the store takes writes, as a primary does."""
    store: Any = examination.store
    if store is None:
        return skip("store.none")
    kind = kind_of(store)
    try:
        if kind == "redis":
            return judge_redis_role(_info(store, "replication"))
        if kind == "sql":
            return judge_sql_role(store._engine.dialect.name, _read_only(store))
        if kind == "jsonfile":
            return _file_role(store.path)
    except Exception as error:
        return skip("store_role.unknown", problem=_told(error))
    return ok("store_role.ok")


def judge_redis_role(info: Mapping[str, Any]) -> Finding:
    """Judge what Redis says of its replication."""
    if info.get("role") in ("slave", "replica"):
        return fail("store_role.replica", lag=info.get("master_last_io_seconds_ago", "?"))
    return ok("store_role.ok")


def judge_sql_role(dialect: str, read_only: bool) -> Finding:
    """Judge whether a database only lets itself be read."""
    return fail("store_role.read_only", database=dialect) if read_only else ok("store_role.ok")


def _file_role(path: str) -> Finding:
    directory = os.path.dirname(os.path.realpath(path))
    writable = os.access(directory, os.W_OK | os.X_OK) and (not os.path.exists(path) or os.access(path, os.W_OK))
    return ok("store_role.ok") if writable else fail("store_role.file", path=path)


def _info(store: Any, section: str) -> dict[str, Any]:
    found: dict[str, Any] = store._client.info(section)
    return found


_QUESTIONS = {
    "mysql": "SELECT @@global.read_only",
    "mariadb": "SELECT @@global.read_only",
    "postgresql": "SELECT CASE WHEN pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on' "
    "THEN 1 ELSE 0 END",
}


def _read_only(store: Any) -> bool:
    import sqlalchemy as sa

    question = _QUESTIONS.get(store._engine.dialect.name)
    if question is None:  # SQLite
        return os.path.exists(store._file) and not os.access(store._file, os.W_OK)
    answer = store._run(lambda connection, _: connection.execute(sa.text(question)).scalar_one())
    return str(answer) not in ("0", "OFF", "False")


# Commands, table, format


def look_at_commands(examination: Examination) -> Finding:
    """See whether this user may read as the services do: scripts in Redis, a database's table, a file."""
    store = examination.store
    if store is None:
        return skip("store.none")
    if examination.unmade:
        return skip("store_write.nothing")
    try:
        examination.probed = store.load(probe_of(store))
    except Exception as error:
        if _NOT_THERE in str(error) and kind_of(store) == "sql":
            examination.unmade = True
            return warn("store_commands.table")
        return fail("store_commands.refused", problem=_told(error))
    return ok("store_commands.ok")


# Eviction


def look_at_eviction(examination: Examination) -> Finding:
    """See whether the store may forget a record before its end."""
    store: Any = examination.store
    if store is None:
        return skip("store.none")
    kind = kind_of(store)
    try:
        if kind == "redis":
            return judge_redis_memory(_info(store, "memory"))
        if kind == "memcached":
            return judge_memcached([_stats(server) for server in store._servers.values()])
    except Exception as error:
        return skip("store_role.unknown", problem=_told(error))
    return ok("store_eviction.durable")


def judge_redis_memory(info: Mapping[str, Any]) -> Finding:
    """Judge how much memory Redis may use, and what it does when that is full."""
    policy, most, used = str(info.get("maxmemory_policy", "?")), int(info.get("maxmemory", 0)), info.get("used_memory")
    data = {"policy": policy, "maxmemory": most, "used_memory": used}
    if not most:
        return ok("store_eviction.endless", data=data)
    share = int(used or 0) / most
    if policy == "noeviction" and share >= 1:
        return fail("store_eviction.full", percent=share * 100, data=data)
    if policy == "noeviction" and share >= _NEARLY_FULL:
        return warn("store_eviction.nearly", percent=share * 100, data=data)
    if policy.startswith("allkeys"):
        return warn("store_eviction.allkeys", policy=policy, data=data)
    return ok("store_eviction.ok", policy=policy, percent=share * 100, data=data)


def judge_memcached(stats: list[Mapping[str, Any]]) -> Finding:
    """Judge whether memcached has thrown items away for want of room."""
    evictions = sum(int(each.get("evictions", 0)) for each in stats)
    data = {"evictions": evictions}
    return warn("store_eviction.memcached", count=evictions, data=data) if evictions else ok("store_eviction.none")


def _stats(server: Any) -> dict[str, Any]:
    found = server.run(lambda client: client.stats())
    return {
        (name.decode() if isinstance(name, bytes) else str(name)): value.decode() if isinstance(value, bytes) else value
        for name, value in found.items()
    }


# A probe


def look_at_write(examination: Examination) -> Finding:
    """Write a record of its own, read it back, see that an outdated version saves nothing, and take it away again."""
    store, before = examination.store, examination.probed
    if store is None:
        return skip("store.none")
    if before is None:
        return skip("store_write.nothing")
    began = clock()
    try:
        return _probe(store, before, began)
    except Exception as error:
        return fail("store_write.refused", problem=_told(error))


def _probe(store: Any, before: Loaded, began: float) -> Finding:
    key, record = probe_of(store), Record(lease=Lease("doctor", before.now + _PROBE_LIFE))
    version = store.save(key, record, before.version)
    if version is None:
        return warn("store_write.race")
    there = store.load(probe_of(store))
    lags = there.version != version
    swapped = store.save(key, replace(record, generation=1), before.version)
    store.save(key, Record(), version if swapped is None else swapped)
    if swapped is not None:
        return fail("store_write.swap")
    if lags:
        return warn("store_write.lags")
    seconds = clock() - began
    return ok("store_write.ok", ms=seconds * 1000, data={"seconds": round(seconds, 4)})


# Clock


def look_at_store_clock(examination: Examination) -> Finding:
    """Compare the store's clock with this machine's."""
    store = examination.store
    if store is None:
        return skip("store.none")
    if examination.probed is None:
        return skip("store_write.nothing")
    before = examination.runtime.time()
    loaded = store.load(probe_of(store))
    return judge_store_clock(loaded.now - (before + examination.runtime.time()) / 2, kind_of(store))


def judge_store_clock(ahead: float, kind: str) -> Finding:
    """Judge how far the store's clock is from this machine's. Every time in a record is told by the store's."""
    if kind in ("jsonfile", "memcached"):
        return ok("store_clock.own")
    data = {"ahead": round(ahead, 1)}
    if abs(ahead) <= _FAR:
        return ok("store_clock.ok", seconds=abs(ahead), data=data)
    return warn("store_clock.off", seconds=abs(ahead), data=data)
