"""What became of pushes, as observers that add up are told it: behind every door."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from wxmiddleware import Measure, Measurement, TokenEvent, observe, unobserve
from wxmiddleware.webhook import Message

from .conftest import MakeSite
from .wechat import Pusher, text

PATIENCE = 20.0


class Told:
    """What was measured of pushes; `wait_for` waits until it is told."""

    def __init__(self) -> None:
        self.all: list[Measurement] = []
        self._changed = threading.Condition()

    def __call__(self, event: TokenEvent) -> None: ...

    def measure(self, measurement: Measurement) -> None:
        with self._changed:
            self.all.append(measurement)
            self._changed.notify_all()

    def of(self, name: Measure) -> list[str]:
        return [each.outcome for each in self.all if each.name is name]

    def wait_for(self, name: Measure, *outcomes: str) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: list(outcomes) == self.of(name), PATIENCE)


@pytest.fixture
def told() -> Iterator[Told]:
    one = Told()
    observe(one)
    yield one
    unobserve(one)


def fail(message: Message) -> None:
    raise ValueError


@pytest.mark.parametrize(
    ("send", "outcome"),
    [
        (lambda site, pusher: site.push(pusher.plain(text())), "answered"),
        (lambda site, pusher: site.push(pusher.plain("").but(echostr="7"), "GET"), "verified"),
        (lambda site, pusher: site.push(pusher.plain(text()).but(signature="0" * 40)), "refused"),
        (lambda site, pusher: site.push(pusher.plain(text()), "PUT"), "unreadable"),
        (lambda site, pusher: site.push(pusher.plain("x" * 300_000)), "unreadable"),
    ],
    ids=["answered", "verified", "refused", "a method", "a large body"],
)
def test_outcomes(make_site: MakeSite, pusher: Pusher, told: Told, send: Callable[..., Any], outcome: str) -> None:
    """Each request is measured once, by what came of it; only what is handled has a handler."""
    send(make_site(lambda message: "yes"), pusher)
    handled = ["ok"] if outcome == "answered" else []

    assert told.wait_for(Measure.PUSH, outcome)
    assert told.wait_for(Measure.HANDLED, *handled)
    assert len(handled) == len(told.of(Measure.HANDLING))


def test_repeated(make_site: MakeSite, pusher: Pusher, told: Told) -> None:
    """A repeat is one, and has no handler."""
    site = make_site(lambda message: "yes")
    for nonce in "12":
        site.push(pusher.plain(text(), nonce=nonce))

    assert told.wait_for(Measure.PUSH, "answered", "repeated")
    assert told.wait_for(Measure.HANDLED, "ok")


def test_failed(make_site: MakeSite, pusher: Pusher, told: Told) -> None:
    """What a handler raises is a failure of both, whatever the server makes of it."""
    with suppress(ValueError):
        make_site(fail).push(pusher.plain(text()))

    assert told.wait_for(Measure.PUSH, "failed")
    assert told.wait_for(Measure.HANDLED, "error")


def test_late_and_busy(make_site: MakeSite, pusher: Pusher, told: Told) -> None:
    """One that is answered before its handler has ended is late; its handler is in progress until it ends."""
    go = threading.Event()

    def slow(message: Message) -> None:
        assert go.wait(PATIENCE)

    site = make_site(slow, deadline=0.05, concurrency=1)
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(site.push, pusher.plain(text()))
        assert told.wait_for(Measure.PUSH, "late")
        site.push(pusher.plain(text(msg_id="2"), nonce="2"))
        assert told.wait_for(Measure.PUSH, "late", "busy")
        before = told.of(Measure.HANDLING), told.of(Measure.HANDLED)
        go.set()
        late.result(PATIENCE)

    assert (["ok"], []) == before
    assert told.wait_for(Measure.HANDLED, "ok")
    assert all(each.seconds is not None for each in told.all if each.name is Measure.HANDLED)
