"""A Redis that knows less than redis-py supposes: old servers, managed proxies, twemproxy. All else: test_redis.py."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from stores.contract import KEY, TokenStoreContract, record
from stores.fleet import Fleet, one_fetch
from stores.redis_server import RedisServer, Twemproxy

from wxmiddleware import StoreError
from wxmiddleware.stores.redis import RedisStore

pytestmark = pytest.mark.servers

# Of a server whose people have taken away what no cache needs.
RENAMED = [
    word for name in ("HELLO", "CLIENT", "CONFIG", "SCRIPT", "COMMAND") for word in ("--rename-command", name, "")
]


class Mine(redis.Redis):
    """A client that is used as it is."""


@pytest.fixture(scope="module")
def without_hello(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with RedisServer(tmp_path_factory.mktemp("redis"), *RENAMED) as server:
        yield server.url


@pytest.fixture(scope="module")
def twemproxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    one, two = (RedisServer(tmp_path_factory.mktemp("redis")) for _ in range(2))
    with one, two, Twemproxy(tmp_path_factory.mktemp("proxy"), one, two) as proxy:
        yield proxy.url


@pytest.fixture(params=["without_hello", "twemproxy"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL, with a prefix that no other test has: not everywhere can be flushed."""
    found: str = request.getfixturevalue(request.param)
    return f"{found}?prefix={tmp_path.name}:"


class TestContract(TokenStoreContract):
    """All that stores have in common, with one store from a URL and one like a client."""

    @pytest.fixture
    def store(self, url: str) -> Iterator[RedisStore]:
        with RedisStore.from_url(url) as made:
            yield made

    @pytest.fixture
    def second(self, url: str) -> Iterator[RedisStore]:
        place, _, prefix = url.partition("?prefix=")
        with redis.Redis.from_url(place) as client, RedisStore(client, prefix=prefix) as made:
            yield made


def test_keys(twemproxy: str, without_hello: str) -> None:
    """twemproxy does not know SCAN, and hangs up."""
    with RedisStore.from_url(twemproxy) as store:
        assert store.keys() is None
    with RedisStore.from_url(without_hello) as store:
        assert isinstance(store.keys(), list)


@pytest.mark.processes
@pytest.mark.parametrize("kind", ["classic", "stable"])
def test_fleet(url: str, fleet: Fleet, kind: str) -> None:
    """Eight processes of eight threads share one fetch, and one more when WeChat rejects the token."""
    one_fetch(fleet, url, kind)


def test_a_client_that_says_hello(without_hello: str) -> None:
    """A client of the user's that insists on RESP3 gets told just that."""
    with Mine.from_url(without_hello, protocol=3) as client:
        store = RedisStore(client)

        with pytest.raises(StoreError, match=r"HELLO.*protocol=2"):
            store.load(KEY)


def test_a_client_with_a_name(without_hello: str) -> None:
    """A client that has a name says so with a command, and the error names that."""
    with RedisStore.from_url(without_hello, client_name="me") as store, pytest.raises(StoreError, match="CLIENT"):
        store.load(KEY)


def test_nothing_but_scripts(tmp_path: Path) -> None:
    """A connection says nothing but the two scripts: no HELLO, no CLIENT, no SELECT."""
    with RedisServer(tmp_path) as server, RedisStore.from_url(server.url) as store:
        loaded = store.load(KEY)
        store.save(KEY, record(loaded.now), loaded.version)
        with server.client(protocol=2) as client:
            said = {name for name in client.info("commandstats") if client.info("commandstats")[name]["calls"]}

    mine = {"cmdstat_info", "cmdstat_client|setinfo", "cmdstat_ping", "cmdstat_client"}
    assert {"cmdstat_evalsha", "cmdstat_eval"} <= said - mine
    assert not {"cmdstat_hello", "cmdstat_select", "cmdstat_client|setname", "cmdstat_script|load"} & said
