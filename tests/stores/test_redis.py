"""Tokens in a real Redis. What it has in common with the other stores: contract.py."""

from __future__ import annotations

import asyncio
import json
import math
import os
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import redis
from redis.asyncio import Redis as AsyncRedis
from redis.cluster import RedisCluster
from redis.sentinel import Sentinel
from stores.contract import KEY, SECRET, TOKEN, TokenStoreContract, record
from stores.fleet import Fleet, one_fetch
from stores.redis_server import RedisServer, free_port, in_children
from stores.wire import Wire
from support.debian import find
from support.standstill import standing_still

from wxmiddleware import ConfigurationError, StoreError
from wxmiddleware._rules.models import Cause, Cooldown, Failure, Lease, Record
from wxmiddleware.stores import TokenStore, store_from_url
from wxmiddleware.stores.redis import RedisStore

NAME = f"{{{KEY}}}"
MakeStore = Callable[..., RedisStore]
MakeServer = Callable[..., RedisServer]


@pytest.fixture(scope="session")
def one_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def server(one_server: RedisServer) -> RedisServer:
    """An empty server that nobody kills."""
    with one_server.client() as client:
        client.flushall()
        client.script_flush()
    return one_server


@pytest.fixture(scope="session")
def one_unix_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with tempfile.TemporaryDirectory(dir="/tmp") as short:  # a socket's name has to be
        options = ("--unixsocket", f"{short}/sock")
        with RedisServer(tmp_path_factory.mktemp("redis"), *options) as server:
            server.socket = f"{short}/sock"
            yield server


@pytest.fixture
def unix_server(one_unix_server: RedisServer) -> RedisServer:
    """An empty server that has a socket."""
    with one_unix_server.client() as client:
        client.flushall()
    return one_unix_server


@pytest.mark.servers
@pytest.mark.parametrize("prefix", ["", "a*[b]:", "ours?\\"])
def test_keys(server: RedisServer, prefix: str) -> None:
    """All tokens of the prefix are listed: no messages, nothing of others."""
    with server.client() as client:
        kept = {f"wx:{realm}:wx1:{kind}" for realm in ("wechat", "private") for kind in ("stable", "jsapi_ticket")}
        store, other = RedisStore(client, prefix=prefix), RedisStore(client, prefix="ab:")
        for key in (*kept, "wx:me:webhook:0f"):
            store.save(key, record(time.time()), "")
        other.save("wx:wechat:wx2:stable", record(time.time()), "")
        for name in ("wx:wechat:wx3:stable", f"{prefix}other", b"\xff{wx:}"):
            client.set(name, "")

        assert sorted(kept) == store.keys()


@pytest.mark.servers
def test_keys_that_nobody_may_list(server: RedisServer) -> None:
    """A user that may not SCAN cannot tell; a server that is gone is an error."""
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "narrow", "on", "nopass", "~*wx:*", "+@all", "-scan")
    with RedisStore.from_url(server.url.replace("://", "://narrow:any@")) as store:
        assert store.keys() is None
    with RedisStore.from_url(f"redis://127.0.0.1:{free_port()}") as store, pytest.raises(redis.ConnectionError):
        store.keys()


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[MakeServer]:
    """Start a server that may be killed."""
    servers: list[RedisServer] = []

    def start(*options: str) -> RedisServer:
        directory = tmp_path / f"redis{len(servers)}"
        directory.mkdir()
        servers.append(RedisServer(directory, *options).start())
        return servers[-1]

    yield start
    for each in servers:
        each.kill()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    """A client of a cluster of three nodes."""
    with ExitStack() as stack:
        nodes = []
        for start, end in ((0, 5460), (5461, 10922), (10923, 16383)):
            bus = str(free_port())  # by default it is 10000 higher, which may be too high
            options = ("--cluster-enabled", "yes", "--cluster-port", bus)
            server = stack.enter_context(RedisServer(tmp_path_factory.mktemp("node"), *options))
            nodes.append(stack.enter_context(server.client()))
            nodes[-1].execute_command("CLUSTER", "ADDSLOTSRANGE", start, end)
            nodes[0].execute_command("CLUSTER", "MEET", "127.0.0.1", server.port, bus)
        deadline = time.monotonic() + 60
        while not all(
            node.cluster("info")["cluster_state"] == "ok" and len(node.cluster("nodes")) == 3 for node in nodes
        ):
            assert time.monotonic() < deadline, "The nodes do not find each other."
            time.sleep(0.05)
        yield stack.enter_context(client_of(server.port))


def client_of(port: int) -> RedisCluster:
    return RedisCluster(host="127.0.0.1", port=port, socket_timeout=20)


@pytest.fixture
def make_store() -> Iterator[MakeStore]:
    stores: list[RedisStore] = []

    def make(url: str, **options: Any) -> RedisStore:
        stores.append(RedisStore.from_url(url, **options))
        return stores[-1]

    yield make
    for each in stores:
        each.close()


@pytest.fixture
def store(server: RedisServer, make_store: MakeStore) -> RedisStore:
    return make_store(server.url)


@pytest.fixture
def raw(server: RedisServer) -> Iterator[redis.Redis]:
    with server.client() as client:
        yield client


def put(store: RedisStore, **changes: Any) -> Record:
    """Save a record, whatever is there."""
    loaded = store.load(KEY)
    made = record(loaded.now, **changes)
    assert store.save(KEY, made, loaded.version) is not None
    return made


@pytest.mark.servers
class TestRedisStore(TokenStoreContract):
    @pytest.fixture
    def store(self, server: RedisServer, make_store: MakeStore) -> RedisStore:
        return make_store(server.url)

    @pytest.fixture
    def second(self, server: RedisServer, make_store: MakeStore) -> RedisStore:
        return make_store(server.url)


@pytest.mark.servers
class TestDecoding(TokenStoreContract):
    """One client decodes what it gets, the other does not."""

    @pytest.fixture
    def store(self, server: RedisServer, make_store: MakeStore) -> RedisStore:
        return make_store(server.url, decode_responses=True, protocol=2)

    @pytest.fixture
    def second(self, server: RedisServer, make_store: MakeStore) -> RedisStore:
        return make_store(server.url, decode_responses=False, protocol=3)


@pytest.mark.servers
class TestUsersClient(TokenStoreContract):
    """The contract over clients of the user's."""

    @pytest.fixture(params=["plain", "decodes", "RESP3", "single", "blocking pool", "socket"])
    def make(
        self, request: pytest.FixtureRequest, server: RedisServer, unix_server: RedisServer
    ) -> Callable[[], redis.Redis]:
        kinds: dict[str, Callable[[], redis.Redis]] = {
            "plain": server.client,
            "decodes": lambda: server.client(decode_responses=True, protocol=2),
            "RESP3": lambda: server.client(protocol=3),
            "single": lambda: server.client(single_connection_client=True),
            "blocking pool": lambda: redis.Redis(connection_pool=redis.BlockingConnectionPool(port=server.port)),
            "socket": lambda: redis.Redis(unix_socket_path=unix_server.socket),
        }
        return kinds[request.param]

    @pytest.fixture
    def store(self, make: Callable[[], redis.Redis]) -> Iterator[RedisStore]:
        with make() as client, RedisStore(client) as store:
            yield store

    @pytest.fixture
    def second(self, make: Callable[[], redis.Redis]) -> Iterator[RedisStore]:
        with make() as client, RedisStore(client) as store:
            yield store

    def test_is_a_model(self, store: RedisStore, make: Callable[[], redis.Redis]) -> None:
        """The store's connections are its own, and go to the same place with the same settings."""
        put(store)
        theirs, ours = make().get_connection_kwargs(), store._client.get_connection_kwargs()
        names = ("host", "port", "path", "db", "username", "password", "decode_responses")

        assert {name: theirs.get(name) for name in names} == {name: ours.get(name) for name in names}
        assert ours["socket_timeout"] == ours["socket_connect_timeout"] == 0.5
        assert ours.get("orig_socket_timeout", 0.5) == 0.5


class Mine(redis.Redis):
    pass


class MyConnection(redis.Connection):
    pass


class TestOtherClients:
    @pytest.mark.parametrize(
        "client",
        [
            Mine(),
            redis.Redis(connection_pool=redis.ConnectionPool(connection_class=MyConnection)),
            Sentinel([("localhost", 1)]).master_for("mine"),
            Mock(spec=RedisCluster),
        ],
        ids=["subclass", "connections", "Sentinel", "cluster"],
    )
    def test_are_used(self, client: Any) -> None:
        """A client that does more than redis-py's plain one is used as it is."""
        assert RedisStore(client)._client is client

    def test_timeouts(self) -> None:
        """The user's word goes before the default."""
        options = RedisStore(redis.Redis(socket_timeout=3, socket_connect_timeout=2))._client.get_connection_kwargs()

        assert (3, 2) == (options["socket_timeout"], options["socket_connect_timeout"])


@pytest.mark.servers
class TestSentinel:
    def test_master(self, server: RedisServer, mortal: MakeServer, tmp_path: Path) -> None:
        """A client that asks a Sentinel for the primary is as good as any."""
        config = tmp_path / "sentinel.conf"
        config.write_text(f"sentinel monitor mine 127.0.0.1 {server.port} 1\n")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        process = subprocess.Popen(
            [find("redis-server"), str(config), "--sentinel", "--port", str(port)], stdout=subprocess.DEVNULL
        )
        sentinel = Sentinel([("127.0.0.1", port)], socket_timeout=1)
        try:
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline:
                try:
                    sentinel.discover_master("mine")
                    break
                except redis.RedisError:
                    time.sleep(0.01)
            with sentinel.master_for("mine") as client:
                store = RedisStore(client)
                saved = put(store)
                loaded = store.load(KEY)
        finally:
            process.kill()
            process.wait()
            for each in sentinel.sentinels:
                each.close()

        assert saved.value == getattr(loaded.record, "value", None)
        assert "mine" not in repr(store)


@pytest.mark.servers
class TestCluster(TokenStoreContract):
    """A cluster of three: each record lies on one of them, whole."""

    @pytest.fixture
    def store(self, cluster: RedisCluster) -> RedisStore:
        cluster.flushall(target_nodes=RedisCluster.PRIMARIES)
        return RedisStore(cluster)

    @pytest.fixture
    def second(self, cluster: RedisCluster) -> Iterator[RedisStore]:
        with client_of(cluster.get_primaries()[-1].port) as client:
            yield RedisStore(client)

    def test_nodes(self, store: RedisStore, cluster: RedisCluster) -> None:
        """Records of many accounts are spread over the nodes."""
        for number in range(30):
            loaded = store.load(f"{KEY}{number}")
            assert store.save(f"{KEY}{number}", record(loaded.now), loaded.version) is not None
        sizes = [node.redis_connection.dbsize() for node in cluster.get_primaries()]

        assert sum(sizes) == 30
        assert 0 not in sizes

    def test_repr(self, store: TokenStore) -> None:
        """Its text says what it is, and nothing secret."""
        super().test_repr(store)

        assert repr(store) == "RedisStore(RedisCluster, prefix='')"

    def test_client_of_one_node(self, cluster: RedisCluster, make_store: MakeStore) -> None:
        """Who takes a node for the whole is told which client to give."""
        right = cluster.get_node_from_key(NAME)
        other = next(node for node in cluster.get_primaries() if node != right)
        store = make_store(f"redis://127.0.0.1:{other.port}")

        with pytest.raises(StoreError, match="Give the store a RedisCluster client"):
            store.load(KEY)


@pytest.mark.servers
class TestServerSide:
    def test_shared(self, store: RedisStore) -> None:
        """Other processes write to it."""
        assert store.shared is True

    def test_clock(self, store: RedisStore, raw: redis.Redis) -> None:
        """The time is the server's, to the microsecond."""
        seconds, micros = raw.time()

        assert store.load(KEY).now == pytest.approx(seconds + micros / 1e6, abs=5)
        assert isinstance(store.load(KEY).now, float)

    def test_round_trips(self, store: RedisStore, raw: redis.Redis) -> None:
        """Each verb is one command."""
        version = store.save(KEY, record(store.load(KEY).now), "")
        raw.config_resetstat()
        store.load(KEY)
        store.save(KEY, record(time.time(), 2), version or "")
        calls = {name: stats["calls"] for name, stats in raw.info("commandstats").items()}

        assert calls["cmdstat_evalsha"] == 2
        assert "cmdstat_eval" not in calls

    @pytest.mark.parametrize(
        ("changes", "life"),
        [
            ({}, 7200.0),
            ({"expires_at": -math.inf, "lease": 8.25}, 8.25),
            ({"expires_at": -math.inf, "cooldown": 60.0}, 660.0),
        ],
        ids=["token", "lease", "cooldown"],
    )
    def test_expiry(self, store: RedisStore, raw: redis.Redis, changes: dict[str, Any], life: float) -> None:
        """Redis drops a record when there is nothing left to remember."""
        now = store.load(KEY).now
        if "lease" in changes:
            changes = {**changes, "lease": Lease("1-a", now + changes["lease"])}
        if "cooldown" in changes:
            changes = {**changes, "cooldown": Cooldown(now + changes["cooldown"], Failure(Cause.QUOTA, "No."))}
        put(store, **changes)
        end = raw.pexpiretime(NAME) / 1000

        assert end == pytest.approx(now + life, abs=2)

    def test_expiry_is_renewed(self, store: RedisStore, raw: redis.Redis) -> None:
        """A record that is replaced has the new one's end."""
        now = store.load(KEY).now
        put(store, expires_at=now + 100)
        put(store, expires_at=now + 5000)

        assert raw.pexpiretime(NAME) / 1000 == pytest.approx(now + 5000, abs=0.01)

    @pytest.mark.parametrize("end", [-math.inf, -1.0, 0.0, 1.0])
    def test_over_when_it_is_saved(self, store: RedisStore, raw: redis.Redis, end: float) -> None:
        """A record with nothing left to remember replaces the one that is there."""
        put(store)
        loaded = store.load(KEY)
        version = store.save(KEY, Record(3, TOKEN, expires_at=end), loaded.version)

        assert version == store.load(KEY).version
        assert raw.exists(NAME) == 0

    def test_without_end(self, store: RedisStore) -> None:
        """A token without end is kept for longer than anybody waits."""
        put(store, expires_at=math.inf)

        assert getattr(store.load(KEY).record, "expires_at", None) == math.inf

    def test_key(self, server: RedisServer, make_store: MakeStore, raw: redis.Redis) -> None:
        """The name of the key holds the prefix, braces for a cluster, and no secret."""
        put(make_store(server.url, prefix="shop:"))

        assert raw.keys() == [f"shop:{NAME}".encode()]
        assert SECRET not in str(raw.keys())

    def test_prefixes(self, server: RedisServer, make_store: MakeStore) -> None:
        """Stores of different prefixes are apart."""
        put(make_store(server.url, prefix="a:"))

        assert make_store(server.url, prefix="b:").load(KEY).record is None

    def test_same_command_twice(self, store: RedisStore, monkeypatch: pytest.MonkeyPatch) -> None:
        """A save that a client sends once more, because the answer was lost, has been won."""
        version = store.load(KEY).version
        monkeypatch.setattr("secrets.token_hex", lambda _: "5a3e")
        first = store.save(KEY, record(time.time()), version)

        assert store.save(KEY, record(time.time()), version) == first

    def test_stamp_is_new_after_a_flush(self, store: RedisStore, raw: redis.Redis) -> None:
        """A version from before a flush is of no use after it, whatever was saved since."""
        version = store.save(KEY, record(time.time()), "")
        raw.flushall()
        gone = store.save(KEY, record(time.time(), 2), version or "")
        put(store)

        assert gone is None
        assert store.save(KEY, record(time.time(), 3), version or "") is None

    def test_script_flush(self, store: RedisStore, raw: redis.Redis) -> None:
        """A server that has forgotten the scripts is told them again."""
        saved = put(store)
        raw.script_flush()
        again = put(store, generation=2)

        assert again == replace(saved, generation=2, **{n: getattr(again, n) for n in _TIMES})


_TIMES = ("expires_at", "sent_at", "received_at")


class TestForeignData:
    @pytest.mark.servers
    @pytest.mark.parametrize(
        "fields",
        [
            {"stamp": "abc", "record": '{"v": 1, "val'},
            {"stamp": "abc", "record": ""},
            {"stamp": "abc", "record": b"\xff\xfe\x00"},
            {"stamp": b"\xff\xfe", "record": "[]"},
            {"stamp": "abc"},
            {"record": '{"v": "x"}'},
            {"other": "thing"},
        ],
    )
    @pytest.mark.parametrize("decode", [True, False])
    def test_broken_record(
        self, server: RedisServer, make_store: MakeStore, raw: redis.Redis, fields: Mapping[Any, Any], decode: bool
    ) -> None:
        """What is no record counts as none, and is replaced."""
        store = make_store(server.url, decode_responses=decode)
        raw.hset(NAME, mapping=fields)
        loaded = store.load(KEY)
        saved = put(store)

        assert loaded.record is None
        assert saved.value == getattr(store.load(KEY).record, "value", None)

    @pytest.mark.servers
    def test_later_version(self, store: RedisStore, raw: redis.Redis) -> None:
        """What a later version wrote is not read, and says what to do."""
        raw.hset(NAME, mapping={"stamp": "abc", "record": json.dumps({"v": 2, "value": TOKEN})})

        with pytest.raises(StoreError, match="Update this process") as caught:
            store.load(KEY)
        assert TOKEN not in str(caught.value)

    @pytest.mark.servers
    @pytest.mark.parametrize("verb", ["load", "save"])
    def test_wrong_type(self, store: RedisStore, raw: redis.Redis, verb: str) -> None:
        """Another program's value under the key is left alone, and the error says what to do."""
        raw.set(NAME, "precious")

        with pytest.raises(StoreError, match="Delete that key, or give the store a prefix"):
            store.load(KEY) if verb == "load" else store.save(KEY, record(time.time()), "")
        assert raw.get(NAME) == b"precious"

    @pytest.mark.parametrize(
        ("text", "hint"),
        [
            (f"unknown command 'EVALSHA', with args beginning with: '{TOKEN}'", "Lua"),
            ("MOVED 1234 127.0.0.1:7001", "RedisCluster"),
            ("ASK 1234 127.0.0.1:7001", "RedisCluster"),
            (f"unknown command `HELLO`, with args beginning with: `3` `{TOKEN}`", "RESP3.*protocol=2"),
            ("NOPROTO unsupported protocol version", "RESP3.*protocol=2"),
            ("unknown command 'client'", "client_name"),
            ("unknown command 'SELECT'", "db=0"),
            (f"unknown command '{TOKEN}'", "Its own log"),
            ("OOM command not allowed when used memory > 'maxmemory'.", "maxmemory"),
            ("NOPERM this user has no permissions", "evalsha"),
            ("READONLY You can't write against a read only replica.", "primary"),
            (f"MISCONF {TOKEN}", "its log"),
        ],
    )
    def test_hints(self, text: str, hint: str) -> None:
        """What Redis refuses is explained; its own words, which may quote a command, stay away."""
        client = Mock(spec=redis.Redis)
        client.evalsha.side_effect = redis.ResponseError(text)

        with pytest.raises(StoreError, match=hint) as caught:
            RedisStore(client).save(KEY, record(time.time()), "")
        assert TOKEN not in f"{caught.value!r}{caught.value.__cause__!r}{caught.value.__context__!r}"

    @pytest.mark.servers
    def test_out_of_memory(self, store: RedisStore, raw: redis.Redis) -> None:
        """A full server is said so; what it holds can be read."""
        saved = put(store)
        raw.config_set("maxmemory", 1)
        try:
            with pytest.raises(StoreError, match="maxmemory"):
                store.save(KEY, record(time.time(), 2), store.load(KEY).version)
            assert saved.value == getattr(store.load(KEY).record, "value", None)
        finally:
            raw.config_set("maxmemory", 0)

    @pytest.mark.servers
    def test_no_permission(self, server: RedisServer, make_store: MakeStore, raw: redis.Redis) -> None:
        """A user without the right to run scripts is told which rights it needs."""
        raw.acl_setuser("weak", enabled=True, passwords=["+pw"], keys=["*"], categories=["+@read"])
        try:
            weak = make_store(server.url, username="weak", password="pw")
            with pytest.raises(StoreError, match="evalsha"):
                weak.load(KEY)
        finally:
            raw.acl_deluser("weak")

    @pytest.mark.servers
    def test_replica(self, server: RedisServer, mortal: MakeServer, make_store: MakeStore) -> None:
        """A replica can be read; who writes to it is told to take the primary."""
        replica = make_store(mortal("--replicaof", f"127.0.0.1 {server.port}").url)
        version = replica.load(KEY).version

        with pytest.raises(StoreError, match="primary"):
            replica.save(KEY, record(time.time()), version)


@pytest.mark.servers
class TestOutage:
    def test_killed_and_empty(self, mortal: MakeServer, make_store: MakeStore) -> None:
        """A server that comes back empty is used again, by the same store."""
        server = mortal()
        store = make_store(server.url)
        version = store.save(KEY, record(time.time()), "")
        server.kill()
        with pytest.raises(redis.ConnectionError):
            store.load(KEY)
        server.start()
        empty = store.load(KEY)

        assert empty.record is None
        assert store.save(KEY, record(time.time()), version or "") is None
        assert store.save(KEY, record(time.time()), empty.version) is not None

    def test_killed_and_remembering(self, mortal: MakeServer, make_store: MakeStore) -> None:
        """A server that comes back with its data goes on where it was, versions included."""
        server = mortal("--appendonly", "yes", "--appendfsync", "always")
        store = make_store(server.url)
        version = store.save(KEY, record(time.time()), "")
        server.kill()
        server.start()

        assert store.load(KEY).version == version
        assert store.save(KEY, record(time.time(), 2), version or "") is not None

    @pytest.mark.parametrize("how", ["url", "client"])
    def test_failover(self, mortal: MakeServer, make_store: MakeStore, how: str) -> None:
        """Connections to a primary that has become a replica are left for new ones, which its name leads elsewhere."""
        old, new = mortal(), mortal()
        with Wire(old.port) as wire:
            url = f"redis://127.0.0.1:{wire.port}"
            store = make_store(url) if how == "url" else RedisStore(redis.Redis(port=wire.port))
            version = store.load(KEY).version
            with old.client() as client:
                client.replicaof("127.0.0.1", new.port)
            wire.to = new.port
            saved = store.save(KEY, record(time.time()), version)
            with new.client() as client:
                there = client.exists(NAME)
            store.close()

        assert saved is not None
        assert there == 1

    def test_idle_connection(self, mortal: MakeServer, make_store: MakeStore) -> None:
        """A connection that the server has closed meanwhile costs no error."""
        server = mortal()
        store = make_store(server.url)
        put(store)
        with server.client() as client:
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

        assert store.load(KEY).record is not None

    @pytest.mark.parametrize("how", ["url", "client"])
    def test_hanging(self, mortal: MakeServer, make_store: MakeStore, how: str) -> None:
        """A server that does not answer is given up, also with a client that has no limits."""
        server = mortal()
        store = make_store(server.url) if how == "url" else RedisStore(server.client(socket_timeout=None))
        put(store)
        with standing_still(server.pid), pytest.raises(redis.RedisError):
            store.load(KEY)

    def test_timeouts(self, server: RedisServer) -> None:
        """Half a second is the default, and the user's word goes before it."""
        default, patient = RedisStore.from_url(server.url), RedisStore.from_url(server.url, socket_timeout=3)
        options = [each._client.get_connection_kwargs() for each in (default, patient)]

        assert [0.5, 3] == [each["socket_timeout"] for each in options]
        assert [0.5, 0.5] == [each["socket_connect_timeout"] for each in options]


class TestConstruction:
    @pytest.mark.parametrize("client", [None, "redis://localhost", redis.Redis, object()])
    def test_no_client(self, client: Any) -> None:
        """What is no client is said at construction."""
        with pytest.raises(ConfigurationError, match="client"):
            RedisStore(client)

    def test_async_client(self) -> None:
        """A client for tasks is said at construction, not at the first refresh."""
        with pytest.raises(ConfigurationError, match="synchronous"):
            RedisStore(AsyncRedis())  # type: ignore[arg-type]

    def test_client_that_cannot_write(self) -> None:
        """A pipeline only collects, and Sentinel's slave_for() gives replicas: no token could ever be kept there."""
        with pytest.raises(ConfigurationError, match="pipeline"):
            RedisStore(redis.Redis().pipeline())
        with pytest.raises(ConfigurationError, match="master_for"):
            RedisStore(Sentinel([("h", 1)]).slave_for("mine"))

    def test_bad_prefix(self) -> None:
        """A prefix is text."""
        with pytest.raises(ConfigurationError, match="prefix"):
            RedisStore(redis.Redis(), prefix=b"x")  # type: ignore[arg-type]

    def test_prefix_of_the_url(self) -> None:
        """The URL may name the prefix; two different ones are a mistake."""
        assert repr(RedisStore.from_url("redis://h?prefix=a%3A+")) == "RedisStore(h:6379, db=0, prefix='a:+')"
        assert repr(RedisStore.from_url("redis://h?prefix=a", prefix="a")) == "RedisStore(h:6379, db=0, prefix='a')"
        with pytest.raises(ConfigurationError, match="another one"):
            RedisStore.from_url("redis://h?prefix=a", prefix="b")

    def test_options_of_the_url(self) -> None:
        """redis-py's own options are understood, and have their types."""
        url = "redis://h/3?socket_timeout=2&socket_keepalive=no&max_connections=4&client_name=me&decode_responses=YES"
        store = RedisStore.from_url(url, socket_timeout=9, socket_connect_timeout=8)
        options = store._client.get_connection_kwargs()

        assert store._client.connection_pool.max_connections == 4
        assert (2.0, 8, False, "me", True, 3) == tuple(
            options[name]
            for name in (
                *("socket_timeout", "socket_connect_timeout", "socket_keepalive", "client_name", "decode_responses"),
                "db",
            )
        )

    @pytest.mark.parametrize("spelling", ["CERT_NONE", "none", "None", "ssl.CERT_NONE", "0"])
    def test_celerys_spelling(self, spelling: str) -> None:
        """Whether a certificate is wanted can be said as celery does."""
        store = RedisStore.from_url(f"rediss://h?ssl_cert_reqs={spelling}")

        assert store._client.connection_pool.make_connection().cert_reqs == ssl.CERT_NONE
        assert RedisStore.from_url("rediss://h", ssl_cert_reqs=spelling)._client.get_connection_kwargs()[
            "ssl_cert_reqs"
        ] in ("none", ssl.CERT_NONE)

    @pytest.mark.parametrize(
        ("options", "told"),
        [
            ({"max_conns": 3}, "'max_conns'.*max_connections"),
            ({"ssl": True}, "rediss://"),
            ({"socket_timeout": 0}, "positive"),
            ({"socket_timeout": "2"}, "positive"),
            ({"ssl_cert_reqs": "none"}, "rediss://"),
            ({"retry_on_error": 5}, "refuses"),
            ({"db": "pa55word"}, "db must be a whole number"),
            ({"db": -1}, "db must be a whole number"),
            ({"db": True}, "db must be a whole number"),
        ],
    )
    def test_options_in_code(self, options: dict[str, Any], told: str) -> None:
        """Options that are given beside the URL are checked as those in it."""
        with pytest.raises(ConfigurationError, match=told):
            RedisStore.from_url("redis://h", **options)

    def test_digits_in_code(self) -> None:
        """What redis-py can send as it is is left alone: the environment gives texts."""
        for options in ({"db": "3"}, {"db": None}, {"port": "6380", "db": 3}):
            assert isinstance(RedisStore.from_url("redis://", **options), RedisStore)
            assert isinstance(RedisStore(redis.Redis(**options)), RedisStore)

    @pytest.mark.parametrize("url", ["redis://h?prefix=a:", "redis://h?max_conns=3", "redis://h?socket_timeout=-1"])
    def test_options_of_a_client(self, url: str) -> None:
        """redis-py takes a client's options unseen; what it could never connect with is said at construction."""
        with pytest.raises(ConfigurationError):
            RedisStore(redis.Redis.from_url(url))

    def test_options_of_a_tls_client(self) -> None:
        """A client that was made with celery's spelling connects as it was meant to."""
        store = RedisStore(redis.Redis.from_url("rediss://h?ssl_cert_reqs=CERT_NONE"))

        assert store._client.connection_pool.make_connection().cert_reqs == ssl.CERT_NONE

    @pytest.mark.parametrize(
        "url",
        [
            *("localhost", "http://:pa55word@h", "redis://:pa55word/x@h:1", "redis://h:pa55word", None, 5),
            *("redis://:1/pa55word@h", "redis://:pa55word#x@h", "redis://:pa55word?x@h", "redis://:pa55word@x@h"),
            *("redis://:pa55word%x@h", "redis://:pa55word@/0", "redis://:6379/0", "redis://:pa55word@$HOST:6379"),
            *("redis://h:0", "redis://h:65536", "redis://h/pa55word", "redis://h/1/2", "redis://h pa55word"),
            *("redis://[::1", "redis://[pa55word]:1", "redis://h1,h2:6379", "unix://", "unix://pa55word"),
            *("unix://:pa55/word@/run/redis.sock", "redis://h?socket_timeout=pa55word", "redis://h?pa55word"),
            *("redis://h?socket_timeout=", "redis://h?db=1&db=2", "redis://h?db=-1", "redis://h?db=pa55word"),
            *("redis://h?protocol=4", "redis://h?retry=pa55word", "redis://h?retry_on_error=pa55word"),
            *("redis://h?decode_responses=pa55word", "rediss://h?ssl_ca_certs=/pa55word", "redis://h?table=pa55word"),
            *("rediss://h?ssl_cert_reqs=pa55word", "redis://h?ssl_cert_reqs=none", "redis://h?port=pa55word"),
        ],
    )  # fmt: skip
    def test_bad_url(self, url: Any) -> None:
        """A URL that is none, or has in it what cannot be, is said at construction, without a word of it."""
        with pytest.raises(ConfigurationError) as caught:
            RedisStore.from_url(url)

        assert "pa55word" not in f"{caught.value}{caught.value.__context__!r}"

    @pytest.mark.parametrize(
        ("url", "told"),
        [
            ("sentinel://h:26379/mine", "master_for"),
            ("redis+sentinel://h:26379/mine/0", "master_for"),
            ("redis-sentinel://h", "master_for"),
            ("redis://h1:26379,h2:26379/0", "master_for"),
            ("redis-cluster://h", "RedisCluster"),
            ("rediss+cluster://h", "RedisCluster"),
            ("redis+socket:///run/redis.sock", "unix:///"),
            ("valkeys://h", "rediss://"),
            ("async+redis://h", "event loop"),
            ("redis://h?max_conns=3", "'max_conns'.*max_connections"),
            ("redis://:a@b@h", "percent-encode"),
            ("redis://:a#b@h", "percent-encode"),
            ("redis://:a/b@h", "percent-encode"),
            ("redis://:a?b@h", "percent-encode"),
        ],
    )
    def test_what_to_write(self, url: str, told: str) -> None:
        """The message says what to write in its place."""
        with pytest.raises(ConfigurationError, match=told):
            store_from_url(url)

    @pytest.mark.parametrize(
        ("url", "where"),
        [
            ("redis://me:pa55word@example.com:6380/3", "example.com:6380, db=3"),
            ("redis://localhost", "localhost:6379, db=0"),
            ("rediss://:pa55word@h", "h:6379, db=0"),
            ("unix://me:pa55word@/run/redis.sock?db=2", "/run/redis.sock, db=2"),
        ],
    )
    def test_text(self, url: str, where: str) -> None:
        """Its text says where it is, and no password."""
        assert repr(RedisStore.from_url(url, prefix="a:")) == f"RedisStore({where}, prefix='a:')"

    def test_text_of_another_client(self) -> None:
        """The text of a client of the user's own says its kind."""

        class Mine:
            def evalsha(self, *_: Any) -> None: ...

        assert repr(RedisStore(Mine())) == "RedisStore(Mine, prefix='')"  # type: ignore[arg-type]

    @pytest.mark.servers
    def test_close(self, server: RedisServer, raw: redis.Redis) -> None:
        """A store closes the connections that it has made, and no others."""
        mine = Mock(spec=redis.Redis)
        RedisStore(mine).close()
        with RedisStore.from_url(server.url, client_name="store-of-mine") as store:
            store.load(KEY)
            before = [each["name"] for each in raw.client_list()]
        deadline = time.monotonic() + 20
        while "store-of-mine" in (after := [each["name"] for each in raw.client_list()]):
            assert time.monotonic() < deadline

        assert not mine.close.called
        assert "store-of-mine" in before
        assert "store-of-mine" not in after

    @pytest.mark.servers
    def test_on_an_event_loop(self, store: RedisStore) -> None:
        """It works where an event loop runs, too."""

        async def main() -> Record | None:
            return store.load(KEY).record

        assert asyncio.run(main()) is None


@pytest.mark.servers
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
class TestProcesses:
    def test_race(self, store: RedisStore) -> None:
        """Eight forked processes swap with one inherited store, and no update is lost."""
        put(store, rejections=0)

        def work() -> str:
            won: list[str] = []
            while len(won) < 25:
                loaded = store.load(KEY)
                assert loaded.record is not None
                more = replace(loaded.record, rejections=loaded.record.rejections + 1)
                if store.save(KEY, more, loaded.version) is not None:
                    won.append(loaded.version)
            return " ".join(won)

        won = " ".join(in_children(work, 8)).split()

        assert len(won) == len(set(won)) == 200
        assert getattr(store.load(KEY).record, "rejections", None) == 200

    def test_fork_while_a_thread_uses_it(self, store: RedisStore) -> None:
        """A child does not wait for a lock that a thread of its parent held when it was forked."""
        saved = put(store)
        held, over = threading.Event(), threading.Event()

        def hold() -> None:
            with store._client.connection_pool._lock:
                held.set()
                over.wait(60)

        thread = threading.Thread(target=hold)
        thread.start()
        assert held.wait(60)
        told = in_children(lambda: getattr(store.load(KEY).record, "value", None) or "", 1)
        over.set()
        thread.join()

        assert [saved.value] == told

    @pytest.mark.processes
    @pytest.mark.parametrize("kind", ["classic", "stable"])
    def test_fleet(self, server: RedisServer, fleet: Fleet, kind: str) -> None:
        """Eight processes of eight threads fetch once when they are cold, and once when the token is rejected."""
        one_fetch(fleet, server.url, kind)
