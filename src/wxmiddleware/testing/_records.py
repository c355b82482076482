"""Tests of a store: what is saved is loaded, and of two saves over one version the first wins (compare-and-swap)."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from .._rules.models import Cause, Cooldown, Failure, Lease, Loaded, Record
from ..stores import TokenStore
from ._data import KEY, SECRET, TOKEN, record

_TIMES = ("expires_at", "sent_at", "received_at", "rejected_at", "forced_at", "owed_until")
_PATIENCE = 30.0
_TRIES = 10_000

_KEEP_ALL = "Keep every field of a record; dumps_record() and loads_record() of wxmiddleware.stores do."
_SWAP = (
    "Compare the version and write the record in one atomic step: a lock around both, "
    "UPDATE … WHERE version = ?, a script, cas."
)
_NEW_VERSION = "Make a new version for every save (a counter, or random characters); never one of the record's content."


class RecordRules:
    """`load` and `save`."""

    precision = 1e-6

    def same(self, expected: Record, actual: Record | None) -> bool:
        """Whether it is the same record, as exactly as the store can tell."""
        assert actual is not None, f"A record was saved, and load() gives None. {_KEEP_ALL}"
        for name in _TIMES:
            self._same_time(name, getattr(expected, name), getattr(actual, name))
        for name in ("lease", "cooldown"):
            mine, theirs = getattr(expected, name), getattr(actual, name)
            assert (mine is None) == (theirs is None), f"The {name} was lost, or came from nowhere. {_KEEP_ALL}"
            if mine is not None:
                self._same_time(f"{name}.until", mine.until, theirs.until)
                actual = replace(actual, **{name: replace(theirs, until=mine.until)})
        return expected == replace(actual, **{name: getattr(expected, name) for name in _TIMES})

    def _same_time(self, name: str, expected: float, actual: float) -> None:
        assert expected == pytest.approx(actual, abs=self.precision), (
            f"{name} was saved as {expected!r} and loaded as {actual!r}. "
            "Keep times as floats, minus infinity included, or say in `precision` how coarse they are."
        )

    # Load and save

    def test_protocol(self, store: TokenStore) -> None:
        """The store has the methods of a token store, and says whether it is shared."""
        assert isinstance(store, TokenStore), "A store has the attribute `shared` and the methods load() and save()."
        assert store.shared in (True, False), "`shared` must be True if other processes write to the store, else False."

    def test_empty(self, store: TokenStore) -> None:
        """An empty store answers with no record, and with something to save over."""
        loaded = store.load(KEY)

        assert isinstance(loaded, Loaded), "load() must give a Loaded(record, version, now)."
        assert loaded.record is None, "The store is not empty. load() of what was never saved must give no record."
        assert store.save(KEY, record(loaded.now), loaded.version) is not None, (
            "save() over the version that load() gave for an empty store must save, and give the new version."
        )

    def test_load_what_was_saved(self, store: TokenStore, second: TokenStore) -> None:
        """What was saved is there for everybody."""
        loaded = store.load(KEY)
        saved = record(loaded.now)
        store.save(KEY, saved, loaded.version)

        assert self.same(saved, store.load(KEY).record), f"load() gives another record than was saved. {_KEEP_ALL}"
        assert self.same(saved, second.load(KEY).record), (
            "load() of the second store gives another record than the first has saved. They must share their records."
        )

    def test_every_field(self, store: TokenStore, second: TokenStore) -> None:
        """Nothing of a record is lost on the way."""
        loaded = store.load(KEY)
        now = loaded.now
        failure = Failure(Cause.PERMANENT, 'No: "\u6210\u529f".', 40164, "invalid ip", "a-b-c", 60.0)
        full = record(
            now,
            1_700_000_000_123,
            put_back=True,
            lease=Lease("12345-abcdef01", now + 8.25),
            cooldown=Cooldown(now + 60.5, failure, 3),
            rejected_at=now - 1.5,
            refresh="refresh-token",
            rejections=4,
            forced_at=now - 2.5,
            owed_until=now + 172.75,
            replaced=(now - 7001.5, now - 1.5),
            forced_day=19_676,
            forced=5,
            fetched_day=19_676,
            fetched=14,
        )
        store.save(KEY, full, loaded.version)

        assert self.same(full, second.load(KEY).record), f"A field came back with another value. {_KEEP_ALL}"

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

        assert self.same(saved, second.load(KEY).record), (
            "A record was not loaded as it was saved. Its value may be None, or a str of several thousand characters."
        )

    def test_clock(self, store: TokenStore, second: TokenStore) -> None:
        """The store's clock does not go back."""
        times = [each.load(KEY).now for each in (store, second, store, second)]

        assert times == sorted(times), (
            "Loaded.now went back. It must be the same clock for all who use the store: the server's, or time.time()."
        )

    def test_loading_changes_nothing(self, store: TokenStore, second: TokenStore) -> None:
        """A load does not make another process's save fail."""
        loaded = store.load(KEY)
        version = store.save(KEY, record(loaded.now), loaded.version)
        second.load(KEY)

        assert store.save(KEY, record(loaded.now, 2), version) is not None, (
            "A load() by somebody else made a save() fail. Only a save may change the version."
        )

    # Compare and swap

    def test_versions(self, store: TokenStore) -> None:
        """The version that a save gives is the one that a load gives, and is good for the next save."""
        loaded = store.load(KEY)
        version = store.save(KEY, record(loaded.now), loaded.version)

        assert version is not None, "save() gave None, which means that somebody saved meanwhile; nobody had."
        assert version == store.load(KEY).version, (
            "save() gave another version than the next load(). It must give the version that it has written."
        )
        assert store.save(KEY, record(loaded.now, 2), version) is not None, (
            "save() over the version that the last save() gave must save: nobody saved in between."
        )

    def test_stale_version(self, store: TokenStore, second: TokenStore) -> None:
        """A save over a version that another save has replaced changes nothing, and says so."""
        mine, theirs = store.load(KEY), second.load(KEY)
        winner = record(mine.now, 2)
        second.save(KEY, winner, theirs.version)

        assert store.save(KEY, record(mine.now, 3), mine.version) is None, (
            f"save() wrote over what somebody had saved since the load(). It must change nothing and give None. {_SWAP}"
        )
        assert self.same(winner, store.load(KEY).record), (
            f"save() gave None and changed the record all the same. {_SWAP}"
        )

    def test_stale_version_of_a_filled_store(self, store: TokenStore, second: TokenStore) -> None:
        """A save over a replaced version changes nothing, also where a record was there before."""
        loaded = store.load(KEY)
        store.save(KEY, record(loaded.now), loaded.version)
        mine, theirs = store.load(KEY), second.load(KEY)
        winner = record(mine.now, 2)

        assert second.save(KEY, winner, theirs.version) is not None, (
            "save() gave None, which means that somebody saved meanwhile; nobody had."
        )
        assert store.save(KEY, record(mine.now, 3), mine.version) is None, (
            f"save() wrote over what somebody had saved since the load(). It must change nothing and give None. {_SWAP}"
        )
        assert store.save(KEY, record(mine.now, 3), loaded.version) is None, (
            "save() over the version of the empty store wrote over a record that is there. "
            "That version, too, must be compared: it means that there is nothing yet."
        )
        assert self.same(winner, store.load(KEY).record), (
            f"save() gave None and changed the record all the same. {_SWAP}"
        )

    def test_same_record_again(self, store: TokenStore, second: TokenStore) -> None:
        """A version changes with every save, also if the record is the same."""
        loaded = store.load(KEY)
        same = record(loaded.now)
        first = store.save(KEY, same, loaded.version)
        again = second.save(KEY, same, first)

        assert again is not None, "save() gave None, which means that somebody saved meanwhile; nobody had."
        assert again != first, f"Two saves of the same record have the same version. {_NEW_VERSION}"
        assert store.save(KEY, same, first) is None, f"save() accepted the version of an earlier save. {_NEW_VERSION}"

    def test_there_and_back(self, store: TokenStore, second: TokenStore) -> None:
        """A record that was changed and changed back is not the one that was loaded."""
        loaded = store.load(KEY)
        same = record(loaded.now)
        first = store.save(KEY, same, loaded.version)
        leased = second.save(KEY, replace(same, lease=Lease("2-b", loaded.now + 8)), first)
        second.save(KEY, same, leased)

        assert store.save(KEY, record(loaded.now, 2), first) is None, (
            f"The record was changed and changed back, and save() took it for unchanged. {_NEW_VERSION}"
        )

    def test_lease_is_given_back(self, store: TokenStore, second: TokenStore) -> None:
        """A lease that was dropped is gone, also where there is no token yet."""
        loaded = store.load(KEY)
        leased = store.save(KEY, Record(lease=Lease("1-a", loaded.now + 8)), loaded.version)
        released = store.save(KEY, Record(), leased)
        left = second.load(KEY).record

        assert released is not None, (
            "save() of an empty record gave None. None means that somebody saved meanwhile; nobody had. "
            "A store that deletes what is over still gives a version."
        )
        assert left is None or left.lease is None, (
            "A lease that was dropped is still there. save() must replace the whole record, not only what is set."
        )

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
            start.wait(_PATIENCE)
            return number if mine.save(KEY, record(loaded.now, number), loaded.version) is not None else None

        with ThreadPoolExecutor(16) as pool:
            winners = [one for one in pool.map(race, range(2, 18)) if one is not None]
        left = store.load(KEY).record

        assert len(winners) == 1, (
            f"16 threads saved over the same version, and {len(winners)} of them were told that they had saved; "
            f"exactly one must be. {_SWAP}"
        )
        assert left is not None, "A save() of many won, and load() gives no record."
        assert winners == [left.generation], f"Another record is there than the one whose save() won. {_SWAP}"

    def test_no_update_is_lost(self, store: TokenStore, second: TokenStore) -> None:
        """Threads that load, add one and save until they win have added as many as they are."""

        def add(number: int) -> None:
            mine = (store, second)[number % 2]
            for _ in range(_TRIES):
                loaded = mine.load(KEY)
                before = loaded.record or record(loaded.now, rejections=0)
                if mine.save(KEY, replace(before, rejections=before.rejections + 1), loaded.version) is not None:
                    return
            raise AssertionError("save() never won. It must save if nobody saved since its version was loaded.")

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(add, range(24)))
        left = store.load(KEY).record

        assert left is not None, "Records were saved, and load() gives none."
        assert left.rejections == 24, (
            f"24 threads each added one, and {left.rejections} are there: a save() wrote over another one's. {_SWAP}"
        )

    # Keys

    def test_keys_are_separate(self, store: TokenStore, second: TokenStore) -> None:
        """Accounts, kinds of token and secrets are apart from each other."""
        keys = [KEY, KEY.replace("wx1", "wx2"), KEY.replace("stable", "classic"), KEY[:-1] + "_", KEY + ":x"]
        saved = {}
        for number, key in enumerate(keys, 1):
            loaded = store.load(key)
            assert loaded.record is None, f"load({key!r}) gave a record that was saved under another key."
            saved[key] = record(loaded.now, number)
            assert store.save(key, saved[key], loaded.version) is not None, (
                f"save({key!r}) gave None after a save under another key. Versions are compared for each key alone."
            )

        assert all(self.same(saved[key], second.load(key).record) for key in keys), (
            "A save under one key changed the record of another. Compare keys exactly, capitals included."
        )

    def test_versions_of_another_key(self, store: TokenStore) -> None:
        """Saving under one key does not spoil a save under another."""
        mine = store.load(KEY)
        other = store.load(f"{KEY}:x")

        spoilt = "A save under one key spoilt the save under another. Versions are compared for each key alone."
        assert store.save(f"{KEY}:x", record(other.now), other.version) is not None, spoilt
        assert store.save(KEY, record(mine.now), mine.version) is not None, spoilt

    # Silence

    def test_repr(self, store: TokenStore) -> None:
        """Neither token nor secret shows."""
        loaded = store.load(KEY)
        store.save(KEY, record(loaded.now), loaded.version)
        texts = [repr(store), str(store), repr(store.load(KEY)), f"{store}"]
        shown = len([text for text in texts if TOKEN in text or SECRET in text])

        assert not shown, "repr() or str() of the store, or of what it loads, shows the token. Logs would, too."
