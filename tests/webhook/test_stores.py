"""The memory of messages in every store there is; those that others share, by two of them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest
from cryptography.fernet import Fernet
from stores.memcached_server import Memcached
from stores.redis_server import RedisServer

from wxmiddleware.stores import store_from_url
from wxmiddleware.stores.encrypted import EncryptedStore
from wxmiddleware.stores.memory import MemoryStore
from wxmiddleware.webhook import _seen
from wxmiddleware.webhook._seen import Answered, Deduplicator, MessageStatus

LONG = Answered("你好😀".encode() * 700, "text/xml")


SERVERS = [pytest.param(name, marks=pytest.mark.servers) for name in ("redis", "memcached")]


@pytest.fixture(scope="module", params=["memory", "file", "sqlite", "encrypted", *SERVERS])
def stores(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Any]]:
    """Two ways to the same records."""
    directory = tmp_path_factory.mktemp("store")
    with ExitStack() as ends:
        match request.param:
            case "memory":
                store = MemoryStore()
                yield store, store
                return
            case "redis":
                url = ends.enter_context(RedisServer(directory)).url
            case "memcached":
                url = ends.enter_context(Memcached()).url
            case "sqlite":
                url = f"sqlite:///{directory / 'store.db'}"
            case _:
                url = f"file:{directory / 'store.json'}"
        pair = store_from_url(url), store_from_url(url)
        if request.param == "encrypted":
            key = Fernet.generate_key()
            pair = EncryptedStore(pair[0], key), EncryptedStore(pair[1], key)
        yield pair
        for one in pair:
            getattr(one, "close", int)()


@pytest.fixture
def pair(stores: tuple[Any, Any]) -> tuple[Deduplicator, Deduplicator]:
    """Two processes' memories."""
    one, other = (Deduplicator(store, 660.0) for store in stores)
    return one, other


@pytest.fixture
def whose(request: pytest.FixtureRequest) -> str:
    """The name of a memory that no other test has."""
    return f"wx-{abs(hash(request.node.name))}"


def test_life(pair: tuple[Deduplicator, Deduplicator], whose: str) -> None:
    """What one has claimed is busy for the other; what one has answered, the other answers alike."""
    one, other = pair
    standings = [
        one.claim((whose, "a"), (whose, "1"))[0],
        other.claim((whose, "a"), (whose, "1"))[0],
        other.claim((whose, "b"), (whose, "1"))[0],
    ]
    one.finish((whose, "a"), LONG)

    assert [MessageStatus.NEW, MessageStatus.BUSY, MessageStatus.REPLAYED] == standings
    assert (MessageStatus.DONE, LONG) == other.claim((whose, "a"), (whose, "1"))


def test_full(pair: tuple[Deduplicator, Deduplicator], whose: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record that is full of long answers fits: the messages are remembered, and the last answer surely."""
    monkeypatch.setattr(_seen, "_RECORDS", 1)
    one, other = pair
    for n in range(20):
        one.finish((whose, f"{n}"), LONG)

    assert [MessageStatus.DONE] * 20 == [other.claim((whose, f"{n}"), None)[0] for n in range(20)]
    assert (MessageStatus.DONE, LONG) == other.claim((whose, "19"), None)


def test_race(pair: tuple[Deduplicator, Deduplicator], whose: str) -> None:
    """Of many at once, one gets each message."""
    with ThreadPoolExecutor(4) as pool:
        for n in range(10):
            claims = [pool.submit(seen.claim, (whose, f"race {n}"), None) for seen in pair * 2]
            assert 1 == [each.result()[0] for each in claims].count(MessageStatus.NEW)
