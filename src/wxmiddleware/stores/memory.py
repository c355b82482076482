"""The in-process TTL cache: what a provider uses unless it is given another store."""

from __future__ import annotations

import itertools
import threading
from weakref import WeakValueDictionary

from cachetools import TLRUCache

from .._rules.models import Loaded, Record
from .._rules.policies import keep_until
from .._runtime import checks, fork
from .._runtime.clock import Clock
from .._runtime.clock import clock as process_clock
from ..exceptions import StoreError

__all__ = ["MemoryStore"]

_Entry = tuple[Record, int]


class MemoryStore(fork.InOneProcess):
    """
    Keeps records in a `cachetools.TLRUCache`: each for as long as its own token lives.

    Args:
        maxsize: How many records at most. Beyond that the least recently used one goes.
        clock: Seconds, as a function; the process's monotonic clock by default.

    Raises:
        ConfigurationError: `maxsize` is not a positive number.
    """

    shared = False

    def __init__(self, maxsize: int = 1_000_000, *, clock: Clock = process_clock) -> None:
        checks.count("maxsize", maxsize)
        self._clock = clock
        self._records: TLRUCache[str, _Entry] = TLRUCache(maxsize, ttu=_end_of_life, timer=clock)
        self._versions = itertools.count(1)
        fork.begin(self)

    def __repr__(self) -> str:
        return f"MemoryStore(maxsize={self._records.maxsize:.0f})"

    def after_fork(self) -> None:
        """Another thread of the parent may have held the lock."""
        self._lock = threading.RLock()  # a signal's handler may ask for a token, too, wherever it interrupts us
        self._saving = False

    def load(self, key: str) -> Loaded:
        """
        Read the record of `key`.

        Raises:
            StoreError: A signal's handler asks, and has interrupted a `save` of its own thread.
        """
        with self._lock:
            self._refuse_inside_a_save()
            record, version = self._records.get(key, (None, 0))
            return Loaded(record, version, self._clock())

    def save(self, key: str, record: Record, version: int) -> int | None:
        """
        Replace the record of `key`, if nothing was saved since `version` was loaded.

        Raises:
            StoreError: As with `load`.
        """
        with self._lock:
            self._refuse_inside_a_save()
            try:
                self._saving = True
                _, current = self._records.get(key, (None, 0))
                if current != version:
                    return None
                saved = next(self._versions)
                if keep_until(record) > self._clock():
                    self._records[key] = (record, saved)
                else:  # cachetools before 8 would leave the one that is there
                    self._records.pop(key, None)
                return saved
            finally:
                self._saving = False

    def _refuse_inside_a_save(self) -> None:
        # There the cache is half changed, and waiting for this very thread would be for ever.
        if self._saving:
            raise StoreError("The store is in the middle of a save that this call has interrupted.")


def _end_of_life(_key: str, entry: _Entry, _now: float) -> float:
    return keep_until(entry[0])


_process_store = MemoryStore()
_of_clocks: WeakValueDictionary[Clock, MemoryStore] = WeakValueDictionary()


def process_store(clock: Clock) -> MemoryStore:
    """
    The one store of this process that all providers share which were given none.

    It outlives them: an app that makes a provider for each request still has one cache. Another clock has another one.
    """
    if clock is process_clock:
        return _process_store
    return _of_clocks.get(clock) or _of_clocks.setdefault(clock, MemoryStore(clock=clock))
