"""
``wxmiddleware keep`` on the test's clock, which can be held at each step of a refresh.

It takes its orders as files in a directory, named after it: ``NAME.hold`` has the step at which it stands still for
good and makes ``NAME.held``; as long as there is ``NAME.pause`` it looks at nothing and makes ``NAME.paused``. In
``NAME.round`` is the time of the last round that it has done.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from support.prelude import SharedClock

from wxmiddleware import Runtime
from wxmiddleware._engine import provider, warmer
from wxmiddleware.cli import keep, main
from wxmiddleware.cli.store import FleetStore
from wxmiddleware.layouts import ArticleFile
from wxmiddleware.stores import Loaded, Record

STEPS = (
    "before the lease",
    "with the lease",
    "before the save",
    "after the save",
    "before the file",
    "after the file",
    "while a mirror is written",
)
_FLIGHT = 60.0  # real seconds that a round waits for a refresh in the background
_PAUSE = 0.01  # real seconds between two rounds


class Orders:
    """
    What the test wants of this keeper.

    Args:
        directory: Where its files are.
        name: The keeper's.
        clock: The test's.
    """

    def __init__(self, directory: Path, name: str, clock: SharedClock) -> None:
        self._directory = directory
        self._name = name
        self._clock = clock
        self._began: float | None = None

    def file(self, what: str) -> Path:
        """One of its files."""
        return self._directory / f"{self._name}.{what}"

    def at(self, step: str) -> None:
        """Stand still here if the test wants that."""
        assert step in STEPS
        if self.file("hold").exists() and self.file("hold").read_text() == step:
            self.file("held").touch()
            while True:
                time.sleep(60.0)

    def round(self, ask: Callable[[Any], float | None], asked: Any) -> float | None:
        """Tell that the last round is done, and do the next one, to its end."""
        if self._began is not None:
            told = self.file("telling")
            told.write_text(repr(self._began))
            told.rename(self.file("round"))
        while self.file("pause").exists():
            self.file("paused").touch()
            time.sleep(_PAUSE)
        self._began = self._clock()
        pause = ask(asked)
        flight = asked._own.flight
        if flight is not None:
            flight.wait(_FLIGHT)
        return None if pause is None else _PAUSE


def prepare(orders: Orders, clock: SharedClock, mirror: str) -> None:
    """Put the keeper on the test's clock, and have it listen at each step."""
    load, save, rename, ask = FleetStore.load, FleetStore.save, os.replace, warmer.ask

    def load_on_clock(store: FleetStore, key: str) -> Loaded:
        return replace(load(store, key), now=clock())

    def save_in_steps(store: FleetStore, key: str, record: Record, version: Any) -> Any | None:
        leased = record.lease is not None
        orders.at("before the lease" if leased else "before the save")
        saved = save(store, key, record, version)
        if saved is not None:
            orders.at("with the lease" if leased else "after the save")
        return saved

    def rename_in_steps(source: Any, target: Any) -> None:
        if str(target) == mirror:
            orders.at("while a mirror is written")
        sink = str(target).endswith(".token")
        if sink:
            orders.at("before the file")
        rename(source, target)
        if sink:
            orders.at("after the file")

    FleetStore.load, FleetStore.save = load_on_clock, save_in_steps  # type: ignore[method-assign,assignment]
    os.replace = rename_in_steps  # type: ignore[assignment]
    keep.ask = partial(orders.round, ask)  # type: ignore[attr-defined]
    more: dict[str, Any] = {"runtime": Runtime(clock=clock, time=clock), "mirrors": [ArticleFile(mirror, clock=clock)]}
    provider.TokenProvider = partial(provider.TokenProvider, **more)  # type: ignore[misc,assignment]


if __name__ == "__main__":
    place, who, written, *rest = sys.argv[1:]
    here = Path(place)
    shown = SharedClock(here / "clock")
    prepare(Orders(here, who, shown), shown, written)
    sys.exit(main(rest))
