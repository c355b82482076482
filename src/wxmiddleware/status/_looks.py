"""
What the stores hold at this moment, read in the background: a store that hangs holds up one thread, and no viewer.

A look at a store is begun when somebody views the page, and waited for a second at most, counted from its begin. So
while a store hangs, only the first viewer waits; the others are told at once for how long it has not answered.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from .._rules.models import Record
from .._runtime.language import Text
from ..exceptions import StoreError
from ..health import StoreHealth, pinged
from ..sources._within import begin
from ..stores._advice import name_of

if TYPE_CHECKING:
    from .._engine.link import StoreLink
    from ..platform import Platform, PlatformStatus
    from ..stores import TokenStore
    from ..suite import Suite

PATIENCE: Final = 1.0  # seconds that a viewer waits
_BUDGET: Final = 0.5  # seconds after which no further record is read
_SILENT: Final = Text(
    "It has not answered for {seconds} s. Look at its server and the network, and at the timeouts in its URL.",
    "已有 {seconds} 秒没有响应。请检查它的服务器、网络和 URL 里的超时设置。",
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """
    What is to be read from one store.

    Attributes:
        store: Which one.
        links: The records, those that matter most first.
        platforms: Platforms whose ticket lies there.
    """

    store: TokenStore
    links: list[StoreLink] = field(default_factory=list)
    platforms: list[Platform | Suite] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Seen:
    """
    What a store has answered.

    Attributes:
        health: Whether and how fast.
        said: What is wrong with it, in both languages.
        records: The records that were read in time, by their keys; older ones than were asked for, if it hangs.
        platforms: The platforms' statuses, by their AppIDs.
    """

    health: StoreHealth
    said: Text | None = None
    records: dict[str, Record] = field(default_factory=dict)
    platforms: dict[str, PlatformStatus] = field(default_factory=dict)


class _Look:
    """One store, and the look at it that is under way."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: tuple[Future[Seen], float] | None = None
        self._last: Seen | None = None

    def begin(self, wanted: Wanted) -> tuple[Future[Seen], float]:
        """Look at it, unless a look has not ended yet; and tell when that began."""
        with self._lock:
            under_way = self._under_way
            if under_way is not None and not under_way[0].done():
                return under_way
            mine = self._under_way = Future(), time.monotonic()
        begin(mine[0], lambda: _read(wanted))  # where there can be no thread it is read here
        return mine

    def wait(self, store: TokenStore, under_way: tuple[Future[Seen], float]) -> Seen:
        """Give what it has brought, or say that the store hangs."""
        (future, begun), last = under_way, self._last
        try:
            self._last = last = future.result(max(0.0, begun + PATIENCE - time.monotonic()))
        except FutureTimeout:
            seconds = time.monotonic() - begun
            said = Text(*(text.format(seconds=round(seconds, 1)) for text in _SILENT))
            health = StoreHealth(name_of(store), bool(getattr(store, "shared", True)), False, seconds, said.en)
            return Seen(health, said, *((last.records, last.platforms) if last is not None else ()))
        return last


class Looks:
    """The stores that a page shows. Nothing waits under its lock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of: dict[int, tuple[TokenStore, _Look]] = {}

    def at(self, wanted: Sequence[Wanted]) -> list[Seen]:
        """Look at each of these stores, all at the same time."""
        with self._lock:
            before = self._of
            self._of = {id(each.store): before.get(id(each.store), (each.store, _Look())) for each in wanted}
            looks = [self._of[id(each.store)][1] for each in wanted]
        begun = [look.begin(each) for each, look in zip(wanted, looks, strict=True)]
        return [look.wait(each.store, one) for each, look, one in zip(wanted, looks, begun, strict=True)]


def _read(wanted: Wanted) -> Seen:
    """Ask a store. Nothing is raised."""
    health, said = pinged(wanted.store)
    seen, end = Seen(health, said), time.monotonic() + _BUDGET
    if not health.ok:
        return seen
    for platform in wanted.platforms:
        if not platform.provider.closed:
            seen.platforms[platform.account.appid] = platform.status()
    for link in wanted.links:
        if time.monotonic() > end:
            break
        try:
            seen.records[link.key] = link.read()
        except StoreError:
            break  # a hundred more would each take their time
    return seen
