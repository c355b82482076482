"""A real store on the test's clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from wxmiddleware.stores import Loaded, Record, TokenStore


class OnClock:
    """A store whose clock is the test's, whatever its server's shows: leases then end when the test says so."""

    def __init__(self, store: TokenStore, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self.shared = store.shared

    def load(self, key: str) -> Loaded:
        return replace(self._store.load(key), now=self._clock())

    def save(self, key: str, record: Record, version: Any) -> Any | None:
        return self._store.save(key, record, version)
