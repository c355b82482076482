"""
What every token store keeps to.

A store's tests subclass it and give two fixtures; a store that other processes share gives `second`, too::

    class TestRedisStore(TokenStoreContract):
        @pytest.fixture
        def store(self, redis_url): return RedisStore.from_url(redis_url)

        @pytest.fixture
        def second(self, redis_url): return RedisStore.from_url(redis_url)   # another client of the same server
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from wxmiddleware._models import Account, Cause, Cooldown, Failure, Lease, Loaded, Record
from wxmiddleware.stores import TokenStore

SECRET = "5ec2e75ec2e75ec2e75ec2e75ec2e75e"
TOKEN = "88_T0kenT0kenT0ken-_"
KEY = f"wx:wx1:stable:{Account('wx1', SECRET).fingerprint}"


def record(now: float, generation: int = 1, **changes: Any) -> Record:
    """A record with a good token, as after a fetch."""
    made = Record(generation, TOKEN, expires_at=now + 7200, sent_at=now - 0.2, received_at=now)
    return replace(made, **changes)


class TokenStoreContract:
    """Every store passes these."""

    precision = 1e-6  # seconds; a store whose clock or columns are coarser says so

    @pytest.fixture
    def store(self) -> TokenStore:
        raise NotImplementedError("give an empty store")

    @pytest.fixture
    def second(self, store: TokenStore) -> TokenStore:
        """Another way to the same records: a second client or process. In-process stores have only one."""
        return store

    def same(self, expected: Record, actual: Record | None) -> bool:
        """Whether it is the same record, as exactly as the store can tell."""
        assert actual is not None
        times = ("expires_at", "sent_at", "received_at", "refusals_at", "forced_at")
        for name in times:
            assert getattr(expected, name) == pytest.approx(getattr(actual, name), abs=self.precision)
        assert (expected.lease is None) == (actual.lease is None)
        assert (expected.cooldown is None) == (actual.cooldown is None)
        if expected.lease and actual.lease:
            assert expected.lease.until == pytest.approx(actual.lease.until, abs=self.precision)
            actual = replace(actual, lease=replace(actual.lease, until=expected.lease.until))
        if expected.cooldown and actual.cooldown:
            assert expected.cooldown.until == pytest.approx(actual.cooldown.until, abs=self.precision)
            actual = replace(actual, cooldown=replace(actual.cooldown, until=expected.cooldown.until))
        return expected == replace(actual, **{name: getattr(expected, name) for name in times})

    # Load and save

    def test_protocol(self, store: TokenStore) -> None:
        """It is a token store, and says whether it is shared."""
        assert isinstance(store, TokenStore)
        assert store.shared in (True, False)

    def test_empty(self, store: TokenStore) -> None:
        """An empty store answers with no record, and with something to save over."""
        loaded = store.load(KEY)

        assert isinstance(loaded, Loaded)
        assert loaded.record is None
        assert store.save(KEY, record(loaded.now), loaded.version) is not None

    def test_load_what_was_saved(self, store: TokenStore, second: TokenStore) -> None:
        """What was saved is there for everybody."""
        loaded = store.load(KEY)
        saved = record(loaded.now)
        store.save(KEY, saved, loaded.version)

        assert self.same(saved, store.load(KEY).record)
        assert self.same(saved, second.load(KEY).record)

    def test_every_field(self, store: TokenStore, second: TokenStore) -> None:
        """Nothing of a record is lost on the way."""
        loaded = store.load(KEY)
        now = loaded.now
        failure = Failure(Cause.FINAL, 'No: "\u6210\u529f".', 40164, "invalid ip", "a-b-c", 60.0)
        full = record(
            now,
            1_700_000_000_123,
            lease=Lease("12345-abcdef01", now + 8.25),
            cooldown=Cooldown(now + 60.5, failure, 3),
            refusals_at=now - 1.5,
            refusals=4,
            forced_at=now - 2.5,
            forced_day=19_676,
            forced=5,
        )
        store.save(KEY, full, loaded.version)

        assert self.same(full, second.load(KEY).record)

    @pytest.mark.parametrize(
        "changes",
        [
            {"value": None, "expires_at": float("-inf"), "sent_at": float("-inf"), "received_at": float("-inf")},
            {"value": "x" * 4096},
            {"value": "x" * 512},
        ],
        ids=["no token yet", "the longest token", "the longest announced"],
    )
    def test_values(self, store: TokenStore, second: TokenStore, changes: dict[str, Any]) -> None:
        """There may be no token yet, or a very long one."""
        loaded = store.load(KEY)
        saved = record(loaded.now, lease=Lease("1-a", loaded.now + 8), **changes)
        store.save(KEY, saved, loaded.version)

        assert self.same(saved, second.load(KEY).record)

    def test_clock(self, store: TokenStore, second: TokenStore) -> None:
        """The store's clock does not go back."""
        times = [each.load(KEY).now for each in (store, second, store, second)]

        assert times == sorted(times)

    def test_loading_changes_nothing(self, store: TokenStore, second: TokenStore) -> None:
        """Who only reads does not spoil another one's save."""
        loaded = store.load(KEY)
        version = store.save(KEY, record(loaded.now), loaded.version)
        second.load(KEY)

        assert store.save(KEY, record(loaded.now, 2), version) is not None

    # Compare and swap

    def test_versions(self, store: TokenStore) -> None:
        """The version that a save gives is the one that a load gives, and is good for the next save."""
        loaded = store.load(KEY)
        version = store.save(KEY, record(loaded.now), loaded.version)

        assert version is not None
        assert version == store.load(KEY).version
        assert store.save(KEY, record(loaded.now, 2), version) is not None

    def test_stale_version(self, store: TokenStore, second: TokenStore) -> None:
        """Who comes second changes nothing, and is told."""
        mine, theirs = store.load(KEY), second.load(KEY)
        winner = record(mine.now, 2)
        second.save(KEY, winner, theirs.version)

        assert store.save(KEY, record(mine.now, 3), mine.version) is None
        assert self.same(winner, store.load(KEY).record)

    def test_stale_version_of_a_filled_store(self, store: TokenStore, second: TokenStore) -> None:
        """So it is where something was before."""
        loaded = store.load(KEY)
        store.save(KEY, record(loaded.now), loaded.version)
        mine, theirs = store.load(KEY), second.load(KEY)
        winner = record(mine.now, 2)

        assert second.save(KEY, winner, theirs.version) is not None
        assert store.save(KEY, record(mine.now, 3), mine.version) is None
        assert store.save(KEY, record(mine.now, 3), loaded.version) is None
        assert self.same(winner, store.load(KEY).record)

    def test_same_record_again(self, store: TokenStore, second: TokenStore) -> None:
        """A version changes with every save, also if the record is the same."""
        loaded = store.load(KEY)
        same = record(loaded.now)
        first = store.save(KEY, same, loaded.version)
        again = second.save(KEY, same, first)

        assert again is not None
        assert again != first
        assert store.save(KEY, same, first) is None

    def test_there_and_back(self, store: TokenStore, second: TokenStore) -> None:
        """A record that was changed and changed back is not the one that was loaded."""
        loaded = store.load(KEY)
        same = record(loaded.now)
        first = store.save(KEY, same, loaded.version)
        leased = second.save(KEY, replace(same, lease=Lease("2-b", loaded.now + 8)), first)
        second.save(KEY, same, leased)

        assert store.save(KEY, record(loaded.now, 2), first) is None

    def test_lease_is_given_back(self, store: TokenStore, second: TokenStore) -> None:
        """A lease that was dropped is gone, also where there is no token yet."""
        loaded = store.load(KEY)
        leased = store.save(KEY, Record(lease=Lease("1-a", loaded.now + 8)), loaded.version)
        released = store.save(KEY, Record(), leased)
        left = second.load(KEY).record

        assert released is not None
        assert left is None or left.lease is None

    # Races

    @pytest.mark.parametrize("filled", [False, True], ids=["empty", "filled"])
    def test_one_winner(self, store: TokenStore, second: TokenStore, filled: bool) -> None:
        """Of many threads that save over the same version exactly one wins, and its record is there."""
        if filled:
            loaded = store.load(KEY)
            store.save(KEY, record(loaded.now), loaded.version)
        start = threading.Barrier(16)

        def race(number: int) -> int | None:
            mine = (store, second)[number % 2]
            loaded = mine.load(KEY)
            start.wait(20)
            return number if mine.save(KEY, record(loaded.now, number), loaded.version) is not None else None

        with ThreadPoolExecutor(16) as pool:
            winners = [one for one in pool.map(race, range(2, 18)) if one is not None]
        left = store.load(KEY).record

        assert len(winners) == 1
        assert left is not None
        assert winners == [left.generation]

    def test_no_update_is_lost(self, store: TokenStore, second: TokenStore) -> None:
        """Threads that load, add one and save until they win have added as many as they are."""

        def add(number: int) -> None:
            mine = (store, second)[number % 2]
            while True:
                loaded = mine.load(KEY)
                before = loaded.record or record(loaded.now, refusals=0)
                if mine.save(KEY, replace(before, refusals=before.refusals + 1), loaded.version) is not None:
                    return

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(add, range(24)))
        left = store.load(KEY).record

        assert left is not None
        assert left.refusals == 24

    # Keys

    def test_keys_are_separate(self, store: TokenStore, second: TokenStore) -> None:
        """Accounts, kinds of token and secrets are apart from each other."""
        keys = [KEY, KEY.replace("wx1", "wx2"), KEY.replace("stable", "classic"), KEY[:-1] + "_", KEY + ":x"]
        saved = {}
        for number, key in enumerate(keys, 1):
            loaded = store.load(key)
            assert loaded.record is None
            saved[key] = record(loaded.now, number)
            assert store.save(key, saved[key], loaded.version) is not None

        assert all(self.same(saved[key], second.load(key).record) for key in keys)

    def test_versions_of_another_key(self, store: TokenStore) -> None:
        """Saving under one key does not spoil a save under another."""
        mine = store.load(KEY)
        other = store.load(f"{KEY}:x")

        assert store.save(f"{KEY}:x", record(other.now), other.version) is not None
        assert store.save(KEY, record(mine.now), mine.version) is not None

    # Silence

    def test_repr(self, store: TokenStore) -> None:
        """Neither token nor secret shows."""
        loaded = store.load(KEY)
        store.save(KEY, record(loaded.now), loaded.version)
        texts = [repr(store), str(store), repr(store.load(KEY)), f"{store}"]

        assert not [text for text in texts if TOKEN in text or SECRET in text]
