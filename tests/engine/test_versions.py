"""
Two versions in one fleet, as in every roll-out: each reads what the other writes, and neither costs a token.

The other version is played by a codec: the one before writes without the newest field and drops what it does not know,
the next one adds fields.
"""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from engine.world import World
from wxmiddleware import EventType, TokenProvider, TokenUnavailable
from wxmiddleware._rules.models import Loaded, Record
from wxmiddleware._runtime.clock import Clock
from wxmiddleware.stores import dumps_record, loads_record

pytestmark = pytest.mark.parametrize("worlds", ["fleet"], indirect=True)

NEWEST = {"fetched_day", "fetched"}
KNOWN = set(json.loads(dumps_record(Record(1, "x", 1.0, 1.0, 1.0, owed_until=1.0)))) | {"lease", "cooldown"}
KNOWN |= {"put_back", "rejected_at", "rejections", "forced_at", "forced_day", "forced", "refresh", "replaced"}
ADDED = {"colour": "red", "trace": {"by": ["a", 1]}}


def of_before(text: str) -> str:
    """What the version before makes of a record: its own fields."""
    return json.dumps({name: value for name, value in json.loads(text).items() if name in KNOWN - NEWEST})


def of_the_next(text: str) -> str:
    """What the next version writes."""
    return json.dumps(json.loads(text) | ADDED)


def of_the_one_after(text: str) -> str:
    """What a version writes whose format is another one."""
    return json.dumps(json.loads(text) | {"v": 2})


WRITERS: dict[str, Callable[[str], str]] = {"now": str, "before": of_before, "next": of_the_next}


class Texts:
    """What is in a store, as text."""

    def __init__(self) -> None:
        self.held: dict[str, tuple[str, int]] = {}
        self.versions = itertools.count(1)
        self.lock = threading.Lock()

    @property
    def only(self) -> dict[str, Any]:
        """The one record."""
        ((text, _),) = self.held.values()
        fields: dict[str, Any] = json.loads(text)
        return fields


class TextStore:
    """A process's way to the texts: it writes and reads as its version does."""

    shared = True

    def __init__(self, texts: Texts, clock: Clock, write: Callable[[str], str]) -> None:
        self._texts = texts
        self._clock = clock
        self._write = write

    def load(self, key: str) -> Loaded:
        text, version = self._texts.held.get(key, ("", 0))
        # Who drops on writing what it does not know has dropped it on reading.
        read = of_before(text) if text and self._write is of_before else text
        return Loaded(loads_record(read), version, self._clock())

    def save(self, key: str, record: Record, version: int) -> int | None:
        with self._texts.lock:
            if self._texts.held.get(key, ("", 0))[1] != version:
                return None
            self._texts.held[key] = self._write(dumps_record(record)), next(self._texts.versions)
            return self._texts.held[key][1]


class Fleet:
    """Processes of some versions, and the texts they share."""

    def __init__(self, world: World, *versions: str) -> None:
        self.world = world
        self.texts = Texts()
        self.members = [self.member(version) for version in versions]

    def member(self, version: str, **options: Any) -> TokenProvider:
        """One more process."""
        return self.world.elsewhere(store=TextStore(self.texts, self.world.clock, WRITERS[version]), **options)

    def tokens(self, rejected: str | None = None) -> list[str]:
        """What each gets, in turn."""
        return [self.world.get(member, rejected) for member in self.members]


@pytest.fixture(
    params=[("now", "before"), ("before", "now"), ("now", "next"), ("next", "now"), ("before", "next", "now")]
)
def fleet(request: pytest.FixtureRequest, world: World) -> Fleet:
    return Fleet(world, *request.param)


def test_cold(fleet: Fleet) -> None:
    """One fetch serves both versions."""
    fleet.world.script("T1")

    assert {"T1"} == set(fleet.tokens())


def test_stolen(fleet: Fleet) -> None:
    """One fetch heals both."""
    fleet.world.script("T1", "T2")
    fleet.tokens()
    fleet.world.advance(60)

    assert {"T2"} == set(fleet.tokens("T1"))


def test_days(fleet: Fleet) -> None:
    """Each renewal is one fetch, whoever does it."""
    fleet.world.script(*(f"T{number}" for number in range(1, 14)))
    fleet.tokens()
    for _ in range(12):
        fleet.world.advance(6610)
        fleet.tokens()
        fleet.world.drain()
        fleet.world.advance(60)
        fleet.tokens()
        fleet.world.drain()

    assert {"T13"} == set(fleet.tokens())
    assert 13 == fleet.world.issuer.fetches


def test_additions_are_kept(world: World) -> None:
    """What the next version has added outlives a refresh, a rejection and a back-off of this one."""
    fleet = Fleet(world, "next", "now")
    world.script("T1", "T2")
    fleet.tokens()
    world.advance(60)
    world.get(fleet.members[1], "T1")

    assert ADDED.items() <= fleet.texts.only.items()
    assert "T2" == fleet.texts.only["value"]


@pytest.mark.parametrize("cold", [True, False], ids=["cold", "warm"])
def test_format_that_cannot_be_read(world: World, *, cold: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that was not updated says so; it neither replaces the record nor ends the token in it by a fetch."""
    monkeypatch.setitem(WRITERS, "after", of_the_one_after)
    fleet = Fleet(world, "now")
    (old,) = fleet.members
    world.script("T1")
    first = None if cold else world.get(old)
    theirs = of_the_one_after(
        dumps_record(Record(2**60, "T9", world.clock.now + 7200, world.clock.now, world.clock.now))
    )
    for key in list(fleet.texts.held) or [old._own.key]:
        fleet.texts.held[key] = theirs, next(fleet.texts.versions)
    for _ in range(10):
        world.advance(61)
        if first is None:
            error = world.error(old)
            assert isinstance(error, TokenUnavailable)
            assert "later version" in str(error)
            assert "Update this process" in str(error)
        else:
            assert first == world.get(old)
            world.drain()

    assert [theirs] == [text for text, _ in fleet.texts.held.values()]
    assert (0 if cold else 1) == world.issuer.fetches
    assert EventType.STORE_FAILED in world.names()


def test_format_that_cannot_be_read_and_no_matter(worlds: Callable[..., World]) -> None:
    """Where everybody gets the same token from WeChat, the process carries on alone."""
    world = worlds(stable=True)
    fleet = Fleet(world, "now")
    (old,) = fleet.members
    fleet.texts.held[old._own.key] = of_the_one_after(dumps_record(Record(5, "T1", world.clock.now + 7200))), 1
    world.script("T1")

    assert "T1" == world.get(old)
    assert 2 == fleet.texts.only["v"]
