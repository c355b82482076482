"""Fleets over stores whose reads lag behind their writes. The rules, step by step: tests/engine/test_lag.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wxmiddleware.stores import Loaded, Record, TokenStore, store_from_url
from wxmiddleware.stores.memory import MemoryStore
from wxmiddleware.testing._fleet import Fleet, outcomes


class Shared(MemoryStore):
    shared = True


class Splitter:
    """A process's way to a store through a read/write splitter: it sees a save only when it has looked six times."""

    shared = True

    def __init__(self, store: TokenStore) -> None:
        self._store = store
        self._shown: Loaded | None = None
        self._looks = 0

    def load(self, key: str) -> Loaded:
        newest = self._store.load(key)
        if self._shown is None or newest.version == self._shown.version:
            self._shown, self._looks = newest, 0
        self._looks += 1
        if self._looks > 6:
            self._shown, self._looks = newest, 0
        return Loaded(self._shown.record, self._shown.version, newest.now)

    def save(self, key: str, record: Record, version: Any) -> Any:
        return self._store.save(key, record, version)


STORES: dict[str, Callable[[Path], TokenStore]] = {
    "memory": lambda _: Shared(),
    "sqlite": lambda folder: store_from_url(f"sqlite:///{folder / 'tokens.db'}"),
    "file": lambda folder: store_from_url(f"file:{folder / 'tokens.json'}"),
}


@pytest.mark.parametrize("make", STORES.values(), ids=STORES)
def test_fleet(tmp_path: Path, make: Callable[[Path], TokenStore]) -> None:
    """Six processes that start at once fetch once between them, and once more when their token is rejected."""
    store = make(tmp_path)
    with Fleet(*(Splitter(store) for _ in range(6))) as fleet:
        processes = fleet.processes(6)
        fleet.source.answer("T1", "T2")
        cold = outcomes(fleet.herd(processes))
        fetched = fleet.source.fetches
        fleet.clock.advance(60)
        rejected = outcomes(fleet.herd(processes, "T1"))

    assert cold == ["T1"] * 24
    assert fetched == 1
    assert rejected == ["T2"] * 24
    assert fleet.source.fetches == 2
