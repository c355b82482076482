"""Tokens in a real memcached. What it has in common with the others: contract.py."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from stores.contract import KEY, SECRET, TOKEN, TokenStoreContract, record
from stores.fleet import Fleet, one_fetch
from stores.memcached_server import Memcached
from stores.sql_servers import in_child
from stores.wire import Wire
from support.standstill import standing_still

from wxmiddleware import ConfigurationError
from wxmiddleware._rules.models import Lease, Record
from wxmiddleware.exceptions import StoreError

pymemcache = pytest.importorskip("pymemcache")

from pymemcache.exceptions import (  # noqa: E402
    MemcacheError,
    MemcacheServerError,
    MemcacheUnknownCommandError,
    MemcacheUnknownError,
)

from wxmiddleware.stores.memcached import MemcachedStore  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


class _JSON:
    def serialize(self, key: object, value: object) -> tuple[str, int]:
        return json.dumps(value), 7

    def deserialize(self, key: object, value: bytes, flags: int) -> Any:
        return json.loads(value)


@pytest.fixture(scope="module")
def server() -> Iterator[Memcached]:
    with Memcached() as running:
        yield running


@pytest.fixture(scope="module")
def other_server() -> Iterator[Memcached]:
    with Memcached() as running:
        yield running


@pytest.fixture
def client(server: Memcached) -> Iterator[Any]:
    """The client that a user has, and an empty memcached."""
    with_timeout = pymemcache.Client(("127.0.0.1", server.port), timeout=5)
    with_timeout.flush_all(noreply=False)
    yield with_timeout
    with_timeout.close()


@pytest.fixture
def store(server: Memcached, client: Any) -> Iterator[MemcachedStore]:
    made = MemcachedStore.from_url(server.url)
    yield made
    made.close()


def fill(store: MemcachedStore, generation: int = 1) -> Any:
    loaded = store.load(KEY)
    version = store.save(KEY, record(loaded.now, generation), loaded.version)
    assert version is not None
    return version


def generation(store: MemcachedStore) -> int:
    found = store.load(KEY).record
    return 0 if found is None else found.generation


@contextmanager
def wired(server: Memcached) -> Iterator[tuple[MemcachedStore, Wire]]:
    """A store whose way to the server can be watched."""
    with Wire(server.port) as wire, closing(MemcachedStore.from_url(f"memcached://127.0.0.1:{wire.port}")) as store:
        yield store, wire


@pytest.mark.servers
class TestMemcachedStore(TokenStoreContract):
    @pytest.fixture
    def store(self, server: Memcached, client: Any) -> Iterator[MemcachedStore]:
        made = MemcachedStore.from_url(server.url)
        yield made
        made.close()

    @pytest.fixture
    def second(self, server: Memcached) -> Iterator[MemcachedStore]:
        made = MemcachedStore.from_url(server.url)
        yield made
        made.close()


@pytest.mark.servers
class TestUsersClients(TokenStoreContract):
    """The contract over clients of the user's, which convert values and prefix keys as they like."""

    @pytest.fixture(params=["plain", "json", "pickle", "pooled", "hash", "hash pooled", "ignores errors"])
    def make(self, request: pytest.FixtureRequest, server: Memcached, other_server: Memcached, client: Any) -> Any:
        here, there = ("127.0.0.1", server.port), ("127.0.0.1", other_server.port)
        with closing(pymemcache.Client(there)) as other:
            other.flush_all(noreply=False)
        kinds = {
            "plain": lambda: pymemcache.Client(here),
            "json": lambda: pymemcache.Client(here, serde=_JSON(), key_prefix=b"x:"),
            "pickle": lambda: pymemcache.Client(here, serde=pymemcache.serde.pickle_serde),
            "pooled": lambda: pymemcache.PooledClient(here, serde=_JSON(), max_pool_size=1, key_prefix=b"x:"),
            "hash": lambda: pymemcache.HashClient([here, there], serde=_JSON()),
            "hash pooled": lambda: pymemcache.HashClient([here, there], use_pooling=True, ignore_exc=True),
            "ignores errors": lambda: pymemcache.Client(here, ignore_exc=True, default_noreply=False),
        }
        return kinds[request.param]

    @pytest.fixture
    def store(self, make: Any) -> Iterator[MemcachedStore]:
        made = MemcachedStore(make())
        yield made
        made.close()

    @pytest.fixture
    def second(self, make: Any) -> Iterator[MemcachedStore]:
        made = MemcachedStore(make())
        yield made
        made.close()


@pytest.mark.servers
class TestItems:
    def test_shared(self, store: MemcachedStore) -> None:
        """Other processes write to it, too."""
        assert store.shared is True

    def test_clock(self, client: Any) -> None:
        """The time it tells is that of the clock it was given."""
        with closing(MemcachedStore(client, clock=lambda: 4242.5)) as store:
            assert store.load(KEY).now == 4242.5

    def test_is_json(self, store: MemcachedStore, client: Any) -> None:
        """Other languages read the item under the key as it is."""
        fill(store)

        assert TOKEN == json.loads(client.get(KEY))["value"]

    def test_no_secret(self, store: MemcachedStore, client: Any) -> None:
        """The item holds no secret."""
        fill(store)

        assert SECRET.encode() not in client.get(KEY)

    def test_prefix(self, server: Memcached, client: Any) -> None:
        """Keys begin with the prefix."""
        store = MemcachedStore(client, prefix="shop.")
        fill(store)
        store.close()

        assert client.get(KEY) is None
        assert client.get(f"shop.{KEY}") is not None

    @pytest.mark.parametrize("key", ["x" * 251, "x" * 5000, "wx:\u5fae:stable:0", "wx: a\r\nflush_all\r\n", "a\0b", ""])
    def test_odd_keys(self, store: MemcachedStore, key: str) -> None:
        """Any text is a key, and none is a command."""
        fill(store)
        loaded = store.load(key)
        store.save(key, record(loaded.now), loaded.version)

        assert store.load(key).record is not None
        assert store.load(key + "x").record is None
        assert generation(store) == 1

    def test_long_prefixes(self, server: Memcached, client: Any) -> None:
        """A key is short enough whatever stands before it."""
        users = pymemcache.Client(("127.0.0.1", server.port), key_prefix=b"y" * 80)
        store = MemcachedStore(users, prefix="x" * 100)
        key = "k" * 100
        loaded = store.load(key)
        store.save(key, record(loaded.now), loaded.version)

        assert store.load(key).record is not None
        store.close()

    @pytest.mark.parametrize("raw", [b"", b"{", b"null", b"\xff\x00", b'{"v": 1, "expires_at": "x"}', b"12"])
    def test_corrupt(self, store: MemcachedStore, client: Any, raw: bytes) -> None:
        """What cannot be read is nothing, and is replaced."""
        client.set(KEY, raw, noreply=False)
        loaded = store.load(KEY)

        assert loaded.record is None
        assert store.save(KEY, record(loaded.now, 2), loaded.version) is not None
        assert generation(store) == 2

    def test_later_format(self, store: MemcachedStore, client: Any) -> None:
        """What a later version has written is left alone."""
        client.set(KEY, b'{"v": 2}', noreply=False)

        with pytest.raises(StoreError, match="later version"):
            store.load(KEY)

    def test_overwritten_by_others(self, store: MemcachedStore, client: Any) -> None:
        """A save of ours does not win over what somebody else has put there."""
        version = fill(store)
        client.set(KEY, b"theirs", noreply=False)

        assert store.save(KEY, record(store.load(KEY).now, 2), version) is None

    def test_flushed(self, store: MemcachedStore, client: Any) -> None:
        """Who saves over an item that is gone is told to look again, and then saves."""
        loaded, version = store.load(KEY), fill(store)
        client.flush_all(noreply=False)

        assert store.save(KEY, record(loaded.now, 2), version) is None
        fill(store, 3)
        assert generation(store) == 3
        assert store.save(KEY, record(loaded.now, 4), version) is None

    def test_flushed_after_a_look(self, store: MemcachedStore, client: Any) -> None:
        """So it is with a version that was loaded."""
        fill(store)
        loaded = store.load(KEY)
        client.flush_all(noreply=False)

        assert store.save(KEY, record(loaded.now, 2), loaded.version) is None


@pytest.mark.servers
class TestRoundTrips:
    def test_of_a_refresh(self, server: Memcached, client: Any) -> None:
        """A look is one, so is the first save of all; any other is two: it asks for memcached's number first."""
        with wired(server) as (store, wire):
            store.load("another")  # opens the connection
            assert wire.during(lambda: store.load(KEY)) == 1
            assert wire.during(lambda: fill(store)) == 1 + 1
            loaded = store.load(KEY)
            versions = [loaded.version]
            for _ in range(3):
                assert wire.during(lambda: versions.append(store.save(KEY, record(loaded.now), versions[-1]))) == 2

        assert None not in versions
        assert len(set(versions)) == 4

    def test_another_save_in_between(self, server: Memcached, client: Any) -> None:
        """Who saves after we have asked for the number, and before our swap, is not overwritten."""
        with closing(MemcachedStore.from_url(server.url)) as other, wired(server) as (store, wire):
            version = fill(store)

            def in_between(said: bytes) -> Iterator[bytes]:
                if said.startswith(b"cas "):
                    assert other.save(KEY, record(time.time(), 3), version) is not None
                yield said

            wire.through = in_between

            assert store.save(KEY, record(time.time(), 2), version) is None
            assert generation(store) == 3

    @pytest.mark.parametrize(
        ("instead", "error"),
        [
            (b"nonsense\r\n", MemcacheUnknownCommandError),
            (b"version\r\n", MemcacheUnknownError),
            (f"get {KEY}\r\n".encode(), ValueError),
            (b"gets", TimeoutError),
        ],
    )
    def test_odd_answers(self, server: Memcached, client: Any, instead: bytes, error: type[Exception]) -> None:
        """What cannot be understood is an error without a token in it, and the connection is not used again."""
        with wired(server) as (store, wire):
            version = fill(store)
            wire.through = lambda _: [instead]
            with pytest.raises(error) as caught:
                store.save(KEY, record(time.time(), 2), version)
            wire.through = None

            assert TOKEN not in repr(caught.value)
            assert generation(store) == 1
            assert store.save(KEY, record(time.time(), 3), version) is not None

    def test_no_room(self, store: MemcachedStore) -> None:
        """What memcached refuses is an error, and the store goes on."""
        loaded = store.load(KEY)
        with pytest.raises(MemcacheServerError, match="too large"):
            store.save(KEY, record(loaded.now, value="x" * 2_000_000), loaded.version)
        fill(store)

        assert generation(store) == 1


@pytest.mark.servers
class TestExpiry:
    @pytest.mark.parametrize(
        ("changes", "seconds"),
        [
            ({}, 7201),
            ({"expires_at": 1_700_000_000.25}, 2),
            ({"expires_at": 1_700_000_000.0}, 1),
            ({"expires_at": 1_699_999_000.0}, 1),
            ({"expires_at": -math.inf}, 1),
            ({"expires_at": 1_700_000_000.0 + 30 * 86_400 - 2}, 30 * 86_400 - 1),
            ({"expires_at": 1_700_000_000.0 + 30 * 86_400}, 30 * 86_400),
            ({"expires_at": 1_700_000_000.0 + 31 * 86_400}, 30 * 86_400),
            ({"expires_at": math.inf}, 30 * 86_400),
            ({"expires_at": -math.inf, "lease": Lease("1-a", 1_700_000_008.0)}, 9),
        ],
    )
    def test_seconds(self, client: Any, changes: dict[str, Any], seconds: int) -> None:
        """They are never 0, which is for ever, nor so many that they are taken for a date."""
        store = MemcachedStore(client, clock=lambda: 1_700_000_000.0)
        life = store._life(record(1_700_000_000.0, **changes))

        assert seconds == life

    def test_really_ends(self, store: MemcachedStore, client: Any) -> None:
        """An item with nothing to remember is gone after a second or two, and is not immortal."""
        loaded = store.load(KEY)
        version = store.save(KEY, Record(1, TOKEN, expires_at=loaded.now - 5), loaded.version)
        deadline = time.monotonic() + 5
        while client.get(KEY) is not None and time.monotonic() < deadline:
            time.sleep(0.1)

        assert client.get(KEY) is None
        assert version is not None
        assert store.save(KEY, record(loaded.now), version) is None

    def test_long_life_is_kept(self, store: MemcachedStore) -> None:
        """A record for more than 30 days is there, and not taken for one of 1970."""
        loaded = store.load(KEY)
        store.save(KEY, record(loaded.now, expires_at=loaded.now + 90 * 86_400), loaded.version)

        assert generation(store) == 1


@pytest.mark.servers
class TestWithoutCAS:
    """A memcached that was started with -C gives each item the number 0, and every swap with it wins."""

    @pytest.fixture
    def store(self) -> Iterator[MemcachedStore]:
        with Memcached("-C") as server, closing(MemcachedStore.from_url(server.url)) as made:
            loaded = made.load(KEY)
            version = made.save(KEY, record(loaded.now), loaded.version)
            assert version is not None
            self.version = version
            yield made

    def test_load(self, store: MemcachedStore) -> None:
        """Whoever finds an item there is told what is wrong."""
        with pytest.raises(StoreError, match="Start it without -C") as caught:
            store.load(KEY)

        assert TOKEN not in str(caught.value)

    def test_save(self, store: MemcachedStore) -> None:
        """So is whoever saves over one."""
        with pytest.raises(StoreError, match="Start it without -C"):
            store.save(KEY, record(time.time(), 2), self.version)


class TestConstruction:
    @pytest.mark.parametrize(
        ("url", "names"),
        [
            ("memcached://localhost", "localhost:11211"),
            ("memcached://h1:1,h2", "h1:1,h2:11211"),
            ("memcached://[::1]:99", "::1:99"),
            ("memcached:///run/mc.sock", "/run/mc.sock"),
        ],
    )
    def test_url(self, url: str, names: str) -> None:
        """A URL names a server, several, or a socket."""
        assert f"MemcachedStore({names}, prefix='')" == repr(MemcachedStore.from_url(url))

    @pytest.mark.parametrize(
        "url",
        ["", "localhost", "redis://h", "memcached://", "memcached://u:pa55word@h", "memcached://h:x", "memcached://h:0",
         "memcached://h:70000", "memcached://h/1", "memcached://h?x=1", "memcached://h h", None, 7, "memcached://:11211",
         "memcached://h1,,h2", "memcached://h1,:1", "memcached://h,h:11211", "memcached://h?pa55word", "memcached://$H",
         "memcached://h#pa55word", "memcached://h?prefix=a&prefix=b", "memcached://[::1", "memcached+tls://h"],
    )  # fmt: skip
    def test_bad_url(self, url: Any) -> None:
        """A URL that is none is said, and not quoted."""
        with pytest.raises(ConfigurationError, match="URL") as caught:
            MemcachedStore.from_url(url)

        assert "pa55word" not in str(caught.value)

    def test_prefix_of_the_url(self) -> None:
        """The URL may name the prefix; two different ones are a mistake."""
        assert "prefix='a:'" in repr(MemcachedStore.from_url("memcached://h1,h2?prefix=a%3A"))
        assert "prefix='a'" in repr(MemcachedStore.from_url("memcached:///run/mc.sock?prefix=a", prefix="a"))
        with pytest.raises(ConfigurationError, match="another one"):
            MemcachedStore.from_url("memcached://h?prefix=a", prefix="b")

    @pytest.mark.parametrize("prefix", ["%20", "%E5", "a%0A"])
    def test_bad_prefix_of_the_url(self, prefix: str) -> None:
        """A prefix in the URL has to be one."""
        with pytest.raises(ConfigurationError, match="prefix"):
            MemcachedStore.from_url(f"memcached://h?prefix={prefix}")

    @pytest.mark.servers
    @pytest.mark.parametrize("prefix", ["a b", "\u5fae", "a\n", "x" * 101, b"x", None])
    def test_bad_prefix(self, client: Any, prefix: Any) -> None:
        """A prefix that cannot begin a key is said."""
        with pytest.raises(ConfigurationError, match="prefix"):
            MemcachedStore(client, prefix=prefix)

    def test_no_client(self) -> None:
        """What is no client is said."""
        with pytest.raises(ConfigurationError, match="pymemcache"):
            MemcachedStore("memcached://localhost")

    @pytest.mark.servers
    def test_users_client_is_left_alone(self, server: Memcached, client: Any) -> None:
        """The store never uses the user's connection, nor closes it."""
        client.get("x")
        connection = client.sock
        store = MemcachedStore(client)
        fill(store)
        store.close()

        assert client.sock is connection
        assert client.get(KEY) is not None


@pytest.mark.servers
class TestOutages:
    def test_killed_and_restarted(self) -> None:
        """While it is down there is an error; afterwards it is empty, and filled again."""
        with Memcached() as server:
            store = MemcachedStore.from_url(server.url)
            fill(store)
            server.kill()
            with pytest.raises(OSError):
                store.load(KEY)
            server.start()

            assert store.load(KEY).record is None
            fill(store, 2)
            assert generation(store) == 2
            store.close()

    def test_restarted_while_idle(self) -> None:
        """A restart that nobody saw looks like a flush, also where many connections are open."""
        with Memcached() as server:
            store = MemcachedStore.from_url(server.url)
            version = fill(store)
            server.kill()
            server.start()

            assert store.save(KEY, record(time.time(), 2), version) is None
            fill(store, 3)
            assert generation(store) == 3
            store.close()

    def test_numbers_begin_anew(self) -> None:
        """After a restart that another call has seen, a number from before it does not stand for a new item."""
        with Memcached() as server, closing(MemcachedStore.from_url(server.url)) as store:
            version = fill(store)
            server.kill()
            server.start()
            store.load("another")  # it has a new connection now
            with closing(MemcachedStore.from_url(server.url)) as other:
                fill(other, 3)

            assert store.save(KEY, record(time.time(), 2), version) is None
            assert generation(store) == 3

    def test_version_of_another_connection(self, server: Memcached, client: Any) -> None:
        """What was loaded on one connection can be saved on another."""
        with closing(MemcachedStore.from_url(server.url)) as store:
            version = fill(store)
            (pool,) = (each._pool for each in store._servers.values())
            with pool.get_and_release():
                assert store.save(KEY, record(time.time(), 2), version) is not None
                assert store.save(KEY, record(time.time(), 3), version) is None

            assert generation(store) == 2

    def test_frozen(self) -> None:
        """A server that does not answer is given up, also with a client that waits for ever."""
        with Memcached() as server, closing(pymemcache.Client(("127.0.0.1", server.port))) as client:
            store = MemcachedStore(client)
            fill(store)
            assert server.process is not None
            with standing_still(server.process.pid), pytest.raises(TimeoutError):
                store.load(KEY)

            assert generation(store) == 1
            store.close()

    @pytest.mark.parametrize(("filled", "command"), [(False, b"add "), (True, b"cas ")])
    def test_lost_answer(self, server: Memcached, client: Any, filled: bool, command: bytes) -> None:
        """A save whose answer was lost is known to have won."""
        with wired(server) as (store, wire):
            version = fill(store) if filled else store.load(KEY).version
            wire.lose = command
            saved = store.save(KEY, record(time.time(), 2), version)

            assert wire.lose is None
            assert saved is not None
            assert saved == store.load(KEY).version
            assert store.save(KEY, record(time.time(), 3), saved) is not None

    def test_others_go_on(self, server: Memcached, client: Any) -> None:
        """A connection that is found dead does not take along those that other threads are using."""
        with wired(server) as (store, wire):
            fill(store)
            (pool,) = (each._pool for each in store._servers.values())
            with pool.get_and_release() as used:
                used.version()
                connection = used.sock
                store.load(KEY)
                wire.lose = b"gets "

                assert generation(store) == 1
                assert wire.lose is None
                assert used.sock is connection

    def test_one_of_two_is_down(self, server: Memcached, client: Any) -> None:
        """A key whose server is down is an error each time, and never found to be empty."""
        with Memcached() as mortal:
            users = pymemcache.HashClient([("127.0.0.1", server.port), ("127.0.0.1", mortal.port)])
            store = MemcachedStore(users)
            keys = [f"{KEY}{number}" for number in range(40)]
            mortal.kill()
            outcomes: list[tuple[str, Record | str | None]] = []
            for key in keys * 3:
                try:
                    outcomes.append((key, store.load(key).record))
                except (OSError, MemcacheError):
                    outcomes.append((key, "down"))
            store.close()

        per_key = {key: {outcome for each, outcome in outcomes if each == key} for key in keys}
        assert {frozenset([None]), frozenset(["down"])} == {frozenset(found) for found in per_key.values()}


@pytest.mark.servers
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
class TestFork:
    def test_connections_stay_with_the_parent(self, store: MemcachedStore) -> None:
        """A child saves on a connection of its own, and the parent's is as good as before."""
        version = fill(store)

        def work() -> int:
            saved = store.save(KEY, record(time.time(), 2), version)
            store.close()
            return 0 if saved is not None else 2

        assert in_child(work) == 0
        assert generation(store) == 2
        assert store.save(KEY, record(time.time(), 3), store.load(KEY).version) is not None

    def test_while_connections_are_in_use(self, store: MemcachedStore) -> None:
        """A child that is forked while a thread holds the pool's lock does not wait for it."""
        fill(store)
        (server,) = store._servers.values()
        with server._pool._lock:
            assert in_child(lambda: generation(store)) == 1


@pytest.mark.servers
@pytest.mark.processes
class TestFleet:
    def test_one_winner(self, server: Memcached, client: Any, fleet: Fleet) -> None:
        """Of eight processes that save over the same version exactly one wins, every time."""
        with fleet.on(server.url):
            for _ in range(15):
                fleet.all("load")
                assert [True] == [won for won in fleet.all("save") if won]

    def test_one_fetch(self, server: Memcached, client: Any, fleet: Fleet) -> None:
        """Eight cold processes of eight threads fetch once; when their token is rejected, once more."""
        one_fetch(fleet, server.url)
