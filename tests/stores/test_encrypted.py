"""Tokens that only their own processes can read. What it has in common with other stores: contract.py."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from stores.contract import KEY, SECRET, TOKEN, TokenStoreContract, record
from support.background import landed

from wxmiddleware import ConfigurationError, Runtime, StoreError, TokenProvider
from wxmiddleware.simulator import SimulatedClock
from wxmiddleware.stores import Lease, TokenStore
from wxmiddleware.stores._sealed import MARK, readable
from wxmiddleware.stores.memory import MemoryStore
from wxmiddleware.testing import ClockedStore, ScriptedSource

pytest.importorskip("cryptography")

from cryptography.fernet import Fernet

from wxmiddleware.stores.encrypted import EncryptedStore

OLD, NEW, OTHER = (Fernet.generate_key().decode() for _ in range(3))
ELSEWHERE = f"{KEY}:elsewhere"
files = pytest.mark.skipif(sys.platform == "win32", reason="needs flock")


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock()


@pytest.fixture
def inner(clock: SimulatedClock) -> MemoryStore:
    """What is really stored. It forgets nothing when its time is over: its clock stands still."""
    return MemoryStore()


@pytest.fixture
def clocked(inner: MemoryStore, clock: SimulatedClock) -> ClockedStore:
    return ClockedStore(inner, clock)


@pytest.fixture
def store(clocked: ClockedStore) -> EncryptedStore:
    return EncryptedStore(clocked, NEW)


def put(store: TokenStore, key: str = KEY, **changes: Any) -> Any:
    """Save a record, whatever is there."""
    loaded = store.load(key)
    version = store.save(key, record(loaded.now, **changes), loaded.version)
    assert version is not None
    return version


def value(store: TokenStore, key: str = KEY) -> str:
    found = store.load(key).record
    assert found is not None
    return found.value or ""


class TestOverMemory(TokenStoreContract):
    @pytest.fixture
    def store(self) -> EncryptedStore:
        return EncryptedStore(MemoryStore(), NEW)


@files
class TestOverFile(TokenStoreContract):
    """Two processes in the midst of a change of keys."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> EncryptedStore:
        return over_file(tmp_path, NEW, OLD)

    @pytest.fixture
    def second(self, tmp_path: Path) -> EncryptedStore:
        return over_file(tmp_path, OLD, NEW)


def over_file(directory: Path, *keys: str) -> EncryptedStore:
    from wxmiddleware.stores.jsonfile import JSONFileStore

    return EncryptedStore(JSONFileStore(directory / "tokens.json"), *keys)


class TestAtRest:
    def test_no_token(self, store: EncryptedStore, inner: MemoryStore) -> None:
        """What is stored does not have the token in it; what is loaded does."""
        put(store)

        assert value(inner).startswith(MARK)
        assert TOKEN not in value(inner)
        assert value(store) == TOKEN

    @files
    def test_no_token_in_the_file(self, tmp_path: Path) -> None:
        """Neither token nor key is in the file."""
        put(over_file(tmp_path, NEW))
        content = (tmp_path / "tokens.json").read_text()

        assert MARK in content
        assert not [one for one in (TOKEN, NEW, SECRET) if one in content]

    def test_everything_else_is_readable(self, store: EncryptedStore, inner: MemoryStore) -> None:
        """Who has no key still sees generation, lease and end."""
        saved = record(store.load(KEY).now, 7, lease=Lease("1-a", 2e9), rejections=3)
        store.save(KEY, saved, 0)
        stored = inner.load(KEY).record

        assert stored is not None
        assert replace(stored, value=None) == replace(saved, value=None)

    def test_no_token_yet(self, store: EncryptedStore, inner: MemoryStore) -> None:
        """Where there is no token, nothing is encrypted."""
        put(store, value=None, lease=Lease("1-a", 2e9))

        assert value(inner) == ""
        assert value(store) == ""

    def test_never_the_same_twice(self, store: EncryptedStore, inner: MemoryStore) -> None:
        """Nobody can tell from outside whether a token has changed."""
        put(store)
        first = value(inner)
        put(store)

        assert value(inner) != first

    @pytest.mark.parametrize("token", ["x" * 4096, "\u6210\u529f", "\ud800", "a\0b"])
    def test_any_value(self, store: EncryptedStore, token: str) -> None:
        """Whatever a token may be, it comes back as it was."""
        put(store, value=token)

        assert value(store) == token


class TestKeys:
    def test_rotation(self, clocked: ClockedStore) -> None:
        """In the midst of a change of keys, processes read each other's tokens."""
        new_first, old_first = EncryptedStore(clocked, NEW, OLD), EncryptedStore(clocked, OLD, NEW)
        put(new_first, value="T1")
        seen_by_old = value(old_first)
        put(old_first, value="T2")

        assert (seen_by_old, value(new_first)) == ("T1", "T2")

    def test_first_key_encrypts(self, clocked: ClockedStore) -> None:
        """At the next save the older keys are needed no more."""
        put(EncryptedStore(clocked, OLD))
        rotating = EncryptedStore(clocked, NEW, OTHER, OLD)
        loaded = rotating.load(KEY)
        assert loaded.record is not None
        rotating.save(KEY, loaded.record, loaded.version)

        assert value(EncryptedStore(clocked, NEW)) == TOKEN
        with pytest.raises(StoreError):
            EncryptedStore(clocked, OLD).load(KEY)

    def test_bytes_or_text(self, clocked: ClockedStore) -> None:
        """A key may be bytes, as it is made, or text, as it comes from the environment; with a newline, too."""
        put(EncryptedStore(clocked, NEW.encode()))

        assert value(EncryptedStore(clocked, NEW + "\n")) == TOKEN

    @pytest.mark.parametrize(
        "key",
        ["", "s3cret", NEW[:-4], f"{NEW},{OLD}", "\u6210" * 44, b"\xff" * 44, None, 1, ["s3cret"], Fernet(NEW)],
        ids=["empty", "password", "short", "two", "chinese", "bytes", "none", "number", "list", "object"],
    )
    @pytest.mark.parametrize("older", [False, True])
    def test_bad_key(self, clocked: ClockedStore, key: Any, older: bool) -> None:
        """A key that is none is said at construction, with how to make one; it is not shown."""
        with pytest.raises(ConfigurationError, match=r"Fernet\.generate_key\(\)") as caught:
            EncryptedStore(clocked, *((NEW, key) if older else (key,)))
        error = caught.value

        assert error.__cause__ is None
        assert error.__context__ is None
        assert not [part for part in ("s3cret", NEW[:8], "\u6210", "xff") if part in repr(error)]


class TestUnreadable:
    def test_while_it_may_live(self, store: EncryptedStore, clocked: ClockedStore, inner: MemoryStore) -> None:
        """A token that none of the keys can read is left alone, and the error says what to do."""
        put(EncryptedStore(clocked, OLD), expires_at=clocked.load(KEY).now + 100)
        before = inner.load(KEY)
        with pytest.raises(StoreError, match="as an older key") as caught:
            store.load(KEY)

        assert inner.load(KEY).version == before.version
        assert caught.value.__context__ is None
        assert not [one for one in (NEW, TOKEN, value(inner)) if one in str(caught.value)]

    def test_when_it_is_over(self, store: EncryptedStore, clocked: ClockedStore, clock: SimulatedClock) -> None:
        """When its life is over, it counts as no token, and is written over."""
        put(EncryptedStore(clocked, OLD), generation=5, expires_at=clock() + 100, lease=Lease("1-a", clock() + 300))
        clock.advance(100)
        loaded = store.load(KEY)

        assert loaded.record is not None
        assert loaded.record.value is None
        assert (loaded.record.generation, loaded.record.lease) == (5, Lease("1-a", clock() + 200))
        assert store.save(KEY, record(clock(), 6), loaded.version) is not None
        assert value(store) == TOKEN

    def test_moved_to_another_key(self, store: EncryptedStore, inner: MemoryStore) -> None:
        """Two records whose values somebody has swapped are not handed out."""
        put(store, value="T1")
        put(store, ELSEWHERE, value="T2")
        here, there = inner.load(KEY), inner.load(ELSEWHERE)
        assert here.record is not None
        assert there.record is not None
        inner.save(KEY, replace(here.record, value=there.record.value), here.version)
        inner.save(ELSEWHERE, replace(there.record, value=here.record.value), there.version)

        for key in (KEY, ELSEWHERE):
            with pytest.raises(StoreError, match="another account"):
                store.load(key)

    @pytest.mark.parametrize("spoilt", ["", "gAAAA", "\u6210", "x" * 200])
    def test_spoilt(self, store: EncryptedStore, clocked: ClockedStore, spoilt: str) -> None:
        """A ciphertext that was cut off or replaced is not handed out."""
        put(clocked, value=MARK + spoilt)

        with pytest.raises(StoreError):
            store.load(KEY)

    def test_changed(self, store: EncryptedStore, clocked: ClockedStore) -> None:
        """Nor is one that was changed by a character."""
        put(store)
        sealed = value(clocked)
        put(clocked, value=sealed[:40] + ("A" if sealed[40] != "A" else "B") + sealed[41:])

        with pytest.raises(StoreError):
            store.load(KEY)


class TestBound:
    """What decides about a token is what it was encrypted with."""

    def test_older_one(self, store: EncryptedStore, inner: MemoryStore, clock: SimulatedClock) -> None:
        """An old ciphertext in a new record is the old token, with its number, and its end."""
        put(store, value="T1", generation=5, expires_at=clock() + 100)
        old = value(inner)
        put(store, value="T2", generation=6)
        newest = inner.load(KEY)
        assert newest.record is not None
        inner.save(KEY, replace(newest.record, value=old, generation=99), newest.version)
        loaded = store.load(KEY).record

        assert loaded is not None
        assert (loaded.value, loaded.generation, loaded.expires_at) == ("T1", 5, clock() + 100)

    @pytest.mark.parametrize("name", ["expires_at", "sent_at", "received_at", "generation"])
    def test_changed(self, store: EncryptedStore, inner: MemoryStore, clock: SimulatedClock, name: str) -> None:
        """What somebody has changed beside the ciphertext does not count."""
        saved = record(clock(), 7)
        store.save(KEY, saved, 0)
        stored = inner.load(KEY)
        assert stored.record is not None
        changed = replace(stored.record, **{name: getattr(saved, name) + 50_000})
        inner.save(KEY, changed, stored.version)

        assert store.load(KEY).record == saved

    def test_refresh_token_of_an_earlier_save(self, store: EncryptedStore, inner: MemoryStore) -> None:
        """Token and refresh token that were not saved together are not used."""
        put(store, value="T1", refresh="R1", generation=5)
        old = inner.load(KEY).record
        put(store, value="T2", refresh="R2", generation=6)
        newest = inner.load(KEY)
        assert old is not None
        assert newest.record is not None
        inner.save(KEY, replace(newest.record, refresh=old.refresh), newest.version)

        with pytest.raises(StoreError, match="at another time"):
            store.load(KEY)

    def test_only_a_refresh_token(self, store: EncryptedStore, inner: MemoryStore, clock: SimulatedClock) -> None:
        """A refresh token without a token has its number, too."""
        put(store, value=None, refresh="R1", generation=5)
        stored = inner.load(KEY)
        assert stored.record is not None
        inner.save(KEY, replace(stored.record, generation=99), stored.version)
        loaded = store.load(KEY).record

        assert loaded is not None
        assert (loaded.refresh, loaded.generation) == ("R1", 5)

    def test_text_without_the_rest(self, store: EncryptedStore, clocked: ClockedStore) -> None:
        """What the key has encrypted for something else is no token."""
        put(clocked, value=MARK + Fernet(NEW).encrypt(f'["{KEY}", "T1"]'.encode()).decode())

        with pytest.raises(StoreError, match="none of the keys"):
            store.load(KEY)


class TestTurningItOn:
    def test_plain_token(self, store: EncryptedStore, clocked: ClockedStore) -> None:
        """A token from before is refused, and the error says how to move in."""
        put(clocked)

        with pytest.raises(StoreError, match="accept_plain=True") as caught:
            store.load(KEY)
        assert TOKEN not in str(caught.value)

    def test_plain_token_that_is_over(
        self, store: EncryptedStore, clocked: ClockedStore, clock: SimulatedClock
    ) -> None:
        """When its life is over, it is written over."""
        put(clocked, expires_at=clock() + 100)
        clock.advance(100)
        loaded = store.load(KEY)

        assert loaded.record is not None
        assert loaded.record.value is None
        assert store.save(KEY, record(clock(), 6), loaded.version) is not None

    @pytest.mark.parametrize("end", [float("inf"), 1e12])
    def test_plain_token_that_lives_for_ever(self, store: EncryptedStore, clocked: ClockedStore, end: float) -> None:
        """One that would stand in the way for ever is written over, too."""
        put(clocked, expires_at=end)
        loaded = store.load(KEY)

        assert loaded.record is not None
        assert loaded.record.value is None

    def test_no_token_yet(self, store: EncryptedStore, clocked: ClockedStore) -> None:
        """A record without a token needs no encryption."""
        saved = put(clocked, value=None)

        assert store.load(KEY).version == saved

    @pytest.mark.parametrize("accept", [1, "yes", None])
    def test_bad_option(self, clocked: ClockedStore, accept: Any) -> None:
        """What is neither yes nor no is said at construction."""
        with pytest.raises(ConfigurationError, match="accept_plain"):
            EncryptedStore(clocked, NEW, accept_plain=accept)

    def test_moving_in(self, clocked: ClockedStore) -> None:
        """Where one says so, a token from before is taken, and encrypted at the next save."""
        store = EncryptedStore(clocked, NEW, accept_plain=True)
        put(clocked)
        loaded = store.load(KEY)
        assert loaded.record is not None
        plain = loaded.record.value
        store.save(KEY, loaded.record, loaded.version)

        assert plain == TOKEN
        assert value(clocked).startswith(MARK)
        assert value(EncryptedStore(clocked, NEW)) == TOKEN

    def test_without_a_key(self, store: EncryptedStore, clocked: ClockedStore) -> None:
        """A process without a key does not take the ciphertext for a token."""
        put(store)

        with pytest.raises(StoreError, match=r"EncryptedStore\(store, key\)"):
            readable(clocked.load(KEY))

    def test_readable(self, store: EncryptedStore, clocked: ClockedStore) -> None:
        """Everything else is."""
        empty = clocked.load(KEY)
        put(store, value=None)
        without = clocked.load(KEY)
        put(clocked)
        plain = clocked.load(KEY)
        decrypted = EncryptedStore(clocked, NEW, accept_plain=True).load(KEY)

        assert [one for one in (empty, without, plain, decrypted) if readable(one) is not one] == []


class TestProvider:
    def test_fetches_once(self, store: EncryptedStore, clocked: ClockedStore, clock: SimulatedClock) -> None:
        """Two providers, each with a wrapper of its own, fetch once between them."""
        from wxmiddleware import Account

        source = ScriptedSource("T1")
        second = EncryptedStore(clocked, OTHER, NEW)
        tokens = []
        for one in (store, second):
            with TokenProvider(
                Account("wx1", SECRET), source=source, store=one, runtime=Runtime(clock=clock, time=clock)
            ) as provider:
                tokens.append(provider.get_token())

        assert tokens == ["T1", "T1"]
        assert source.fetches == 1

    @pytest.mark.parametrize("planted", ["of-somebody-else", MARK + "gAAAA"])
    def test_planted(self, store: EncryptedStore, clocked: ClockedStore, clock: SimulatedClock, planted: str) -> None:
        """What was planted is not handed out; that is told once, and this process gets a token of its own."""
        from wxmiddleware import Account, EventType, TokenEvent

        put(store)
        stored = clocked.load(KEY)
        assert stored.record is not None
        clocked.save(KEY, replace(stored.record, generation=2**60, value=planted), stored.version)
        source, events = ScriptedSource("T1"), list[TokenEvent]()
        with TokenProvider(
            Account("wx1", SECRET),
            source=source,
            store=store,
            observers=[events.append],
            runtime=Runtime(clock=clock, time=clock, sleep=clock.advance),
        ) as provider:
            tokens = [provider.get_token(), provider.get_token()]
            clock.advance(60)
            tokens.append(provider.get_token())
            landed()
        told = [event for event in events if event.name is EventType.STORE_FAILED]

        assert tokens == ["T1"] * 3
        assert len(told) == 1
        assert planted not in told[0].message


class Inner(MemoryStore):
    shared = True
    closed = False

    def keys(self) -> Iterator[str]:
        return iter([KEY])

    def close(self) -> None:
        self.closed = True


class TestWrapper:
    def test_passes_on(self) -> None:
        """What the inner store is and can do, this one is and can do, too."""
        inner = Inner()
        with EncryptedStore(inner, NEW) as store:
            assert store.shared is True
            assert list(store.keys()) == [KEY]
            assert not inner.closed

        assert inner.closed

    def test_passes_no_more_on(self) -> None:
        """What the inner store cannot do, this one cannot do, either."""
        store = EncryptedStore(MemoryStore(), NEW)
        store.close()

        assert store.shared is False
        assert not hasattr(store, "keys")
        assert not hasattr(store, "_records")

    def test_versions(self, store: EncryptedStore, inner: MemoryStore) -> None:
        """Versions are the inner store's."""
        assert put(store) == inner.load(KEY).version

    def test_text(self) -> None:
        """Its text names the inner store and no key."""
        assert repr(EncryptedStore(MemoryStore(10), NEW, OLD)) == "EncryptedStore(MemoryStore(maxsize=10))"

    @pytest.mark.parametrize("store", [None, "redis://", MemoryStore, object()])
    def test_no_store(self, store: Any) -> None:
        """What is no store is said at construction."""
        with pytest.raises(ConfigurationError, match="token store"):
            EncryptedStore(store, NEW)


def test_refresh_token(store: EncryptedStore, inner: MemoryStore) -> None:
    """A refresh token is encrypted, too, and for the other owner or purpose it is none."""
    put(store, value="token-one", refresh="refresh-one")
    kept = inner.load(KEY).record
    loaded = store.load(KEY).record

    assert kept is not None
    assert loaded is not None
    assert ("token-one", "refresh-one") == (loaded.value, loaded.refresh)
    assert str(kept.refresh).startswith(MARK)
    inner.save(KEY, replace(kept, value=kept.refresh, refresh=kept.value), inner.load(KEY).version)
    with pytest.raises(StoreError, match="none of the keys can read"):
        store.load(KEY)


def test_refresh_token_of_another_key(store: EncryptedStore, inner: MemoryStore) -> None:
    """It never grows old, so that none of the keys can read it is always an error."""
    put(store, value=None, refresh="refresh-one")

    with pytest.raises(StoreError, match="none of the keys can read"):
        EncryptedStore(inner, OTHER).load(KEY)
    with pytest.raises(StoreError, match="encrypted token"):
        readable(inner.load(KEY))


@pytest.mark.parametrize("token", [None, TOKEN])
def test_refresh_token_from_before(store: EncryptedStore, inner: MemoryStore, token: str | None) -> None:
    """One that was stored before encryption was turned on is taken only where one says so."""
    put(inner, value=token, refresh="refresh-one")
    loaded = EncryptedStore(inner, NEW, accept_plain=True).load(KEY).record

    assert loaded is not None
    assert "refresh-one" == loaded.refresh
    with pytest.raises(StoreError, match="accept_plain=True"):
        store.load(KEY)


def test_memory_of_a_webhook(store: EncryptedStore, clocked: ClockedStore, caplog: pytest.LogCaptureFixture) -> None:
    """What somebody has written into a webhook's memory is not answered with."""
    from wxmiddleware.webhook._seen import Answered, Deduplicator, Known, MessageStatus

    forging, seen = Deduplicator(clocked, 100.0), Deduplicator(store, 100.0)
    message: Known = ("w", "message")
    forging.claim(message, None)
    forging.finish(message, Answered(b"forged"))

    assert seen.claim(message, None) == (MessageStatus.NEW, None)
    assert "StoreError" in caplog.text
