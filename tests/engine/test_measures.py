"""What is measured: waits, requests, refreshes and calls to the store; and what the record counts for a day."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator

import pytest
from support.background import landed

from engine.world import BUSY, LOST, QUOTA, WRONG, World
from wxmiddleware import EventType, Measure, Measurement, TokenEvent, TokenProvider, observe, unobserve
from wxmiddleware.exceptions import ConfigurationError
from wxmiddleware.sources import Cause, Failure

UNSEEN = Failure(Cause.TRANSIENT, "The name was not found.")
DAY = 86_400.0


class Told:
    """An observer that adds up."""

    def __init__(self) -> None:
        self.events: list[TokenEvent] = []
        self.all: list[Measurement] = []

    def __call__(self, event: TokenEvent) -> None:
        self.events.append(event)

    def measure(self, measurement: Measurement) -> None:
        self.all.append(measurement)

    def of(self, name: Measure) -> list[Measurement]:
        landed()
        return [each for each in self.all if each.name is name]

    def outcomes(self, name: Measure) -> list[str]:
        return [each.outcome for each in self.of(name)]


@pytest.fixture
def told() -> Iterator[Told]:
    """An observer of the whole process."""
    one = Told()
    observe(one)
    yield one
    unobserve(one)


def test_a_herd_waits(world: World, told: Told) -> None:
    """Each caller that had to wait is measured once, from the same refresh; who had not to wait is not."""
    world.script("T1")
    world.issuer.gate = threading.Event()
    provider, size = world.provider(), 8
    herd = threading.Thread(target=world.herd, args=(provider,), kwargs={"size": size})
    herd.start()
    world.issuer.wait_for(1)
    while len([each for each in told.all if each.name is Measure.WAITING]) < size:
        threading.Event().wait(0.01)
    world.issuer.gate.set()
    herd.join(20)
    world.get(provider)
    waits = told.of(Measure.WAIT)

    assert ["ok"] * size == [each.outcome for each in waits]
    assert {each.flight for each in told.of(Measure.REFRESH)} == {each.flight for each in waits}
    assert size == len(told.of(Measure.WAITING))
    assert all(each.seconds is not None and each.seconds >= 0.0 for each in waits)
    assert {(world.account.appid, "classic")} == {(each.appid, each.kind) for each in told.all}


def test_in_vain(world: World, told: Told) -> None:
    """Who has waited and got no token is told apart; who got a remembered failure at once did not wait."""
    world.script(WRONG)
    gate = world.issuer.gate = threading.Event()
    provider = world.provider()

    class Opening(Told):
        def measure(self, measurement: Measurement) -> None:
            if measurement.name is Measure.WAITING:
                gate.set()

    opening = Opening()
    observe(opening)
    try:
        world.error(provider)
    finally:
        unobserve(opening)
    if not world.store.shared:  # else the store is read, and waited for
        world.error(provider)

    assert ["error"] == told.outcomes(Measure.WAIT)


def test_too_long(world: World, told: Told) -> None:
    """A wait that ends before the refresh does is one in vain."""
    world.script("T1")
    world.issuer.gate = threading.Event()
    provider = world.provider()
    world.error(provider, timeout=0.01)
    world.issuer.gate.set()

    assert ["error"] == told.outcomes(Measure.WAIT)


def test_who_does_not_wait(world: World, told: Told) -> None:
    """Looking is no waiting, nor is a wait of no time."""
    world.script("T1")
    provider = world.provider()
    provider.peek()
    world.drain()
    world.get(provider, timeout=0)

    assert [] == told.of(Measure.WAIT)


@pytest.mark.parametrize(
    ("answer", "outcome", "errcode"),
    [
        ("T1", "ok", None),
        (BUSY, "transient", -1),
        (LOST, "ambiguous", None),
        (WRONG, "permanent", 40125),
        (QUOTA, "quota", 45009),
        (UNSEEN, "transient", None),
    ],
)
def test_requests(world: World, told: Told, answer: object, outcome: str, errcode: int | None) -> None:
    """Each request is measured with what came of it, and so is the refresh."""
    world.script(answer)
    provider = world.provider()
    if outcome == "ok":
        world.get(provider)
    else:
        world.error(provider)
    (request,) = told.of(Measure.REQUEST)
    (refresh,) = told.of(Measure.REFRESH)

    assert (outcome, errcode, "first") == (request.outcome, request.errcode, request.reason)
    assert (outcome, errcode, "first") == (refresh.outcome, refresh.errcode, refresh.reason)
    assert request.flight == refresh.flight
    assert "api.weixin.qq.com" == request.host


def test_both_requests_of_a_forced_refresh(stable: World, told: Told) -> None:
    """The endpoint that returns the rejected token is asked twice, and both requests count."""
    stable.script("T1", "T1", "T2")
    provider = stable.provider()
    stable.get(provider)
    stable.advance(60)
    stable.get(provider, "T1")

    assert ["first", "rejected", "rejected"] == [each.reason for each in told.of(Measure.REQUEST)]
    assert (3, 1) == (provider.status().fetches_today, provider.status().forced_today)
    assert 1 == len(told.of(Measure.REJECTION))


def test_store_calls(world: World, told: Told) -> None:
    """Each call to the store is measured, with the store's name."""
    world.script("T1")
    provider = world.provider()
    world.get(provider)
    calls = told.of(Measure.STORE_CALL)

    assert ["load", "save", "save"] == [each.operation for each in calls]
    assert {"ok"} == {each.outcome for each in calls}
    assert {type(world.store).__name__} == {(each.store or "").partition("(")[0] for each in calls}


def test_failing_store(world: World, told: Told) -> None:
    """A call that failed is told apart; so are those that a user asks for, without a refresh."""
    provider = world.provider()

    def fail(*_: object) -> None:
        raise OSError

    world.store.load = fail
    with pytest.raises(Exception, match="OSError"):
        provider.retry_now()
    provider._own.notify([])

    assert [("load", "error")] == [(each.operation, each.outcome) for each in told.of(Measure.STORE_CALL)]


def test_of_one_provider(world: World) -> None:
    """An observer of a provider is told the measurements of its token, too; one without `measure` only the events."""
    world.script("T1")
    told = Told()
    with TokenProvider(
        world.account,
        source=world.issuer,
        store=world.store,
        runtime=world.provider().runtime,
        observers=[told, told.events.append],
    ) as provider:
        world.get(provider)

        assert 1 == len(told.of(Measure.REQUEST))
        assert Counter({EventType.FETCH_BEGUN: 2, EventType.FETCH_DONE: 2}) == Counter(e.name for e in told.events)


def test_a_broken_meter(world: World, told: Told, caplog: pytest.LogCaptureFixture) -> None:
    """What one raises goes no further, and the others are told."""

    class Broken(Told):
        def measure(self, measurement: Measurement) -> None:
            raise ValueError

    broken = Broken()
    world.script("T1")
    observe(broken)
    try:
        token = world.get(world.provider())
    finally:
        landed()
        unobserve(broken)

    assert "T1" == token
    assert told.of(Measure.REQUEST)
    assert "An observer of wxmiddleware's events raised ValueError." in caplog.messages


def test_observers_of_the_process(world: World, told: Told) -> None:
    """One that is given twice is told once; one that is taken away is told nothing; an async one is a mistake."""
    observe(told)
    world.script("T1")
    world.get(world.provider())
    landed()
    unobserve(told)
    unobserve(told)
    before = len(told.all)
    world.provider().give_up()

    async def measure(_: Measurement) -> None: ...

    meter = Told()
    meter.measure = measure  # type: ignore[method-assign, assignment]
    with pytest.raises(ConfigurationError, match="must not be async"):
        observe(meter)
    assert [EventType.FETCH_BEGUN, EventType.FETCH_DONE] == [each.name for each in told.events]
    assert before == len(told.all)


class TestTheDaysCount:
    def test_of_the_fleet(self, world: World) -> None:
        """Requests of all processes are counted, whatever came of them, but for those that WeChat has not seen."""
        if not world.store.shared:
            pytest.skip("nobody shares it")
        world.script(UNSEEN, BUSY, "T1", "T2")
        here, there = world.provider(), world.elsewhere()
        world.error(here)
        world.advance(60)
        world.error(there)
        world.advance(60)
        world.get(here)
        world.advance(60)
        world.get(there, "T1")
        world.get(here, "T1")

        assert (3, 3) == (here.status().fetches_today, there.status().fetches_today)
        assert 3 == world.store.load(here._own.key).record.fetched

    def test_another_day(self, world: World) -> None:
        """At midnight in China the count begins anew, also if nothing has been fetched since."""
        world.script("T1", "T2")
        provider = world.provider()
        world.wall.now = 16 * 3600 - 10.0  # 23:59:50 there
        world.get(provider)
        before = provider.status().fetches_today
        world.wall.advance(20)
        between = provider.status().fetches_today
        world.advance(7300)
        world.get(provider)

        assert (1, 0, 1) == (before, between, provider.status().fetches_today)

    def test_evicted(self, world: World) -> None:
        """A store that has lost the record is told what this process knows."""
        world.script("T1", "T2")
        provider = world.provider()
        world.get(provider)
        world.store._records.clear()
        world.advance(7300)
        world.get(provider)

        assert 2 == provider.status().fetches_today

    def test_without_the_store(self, world: World) -> None:
        """What is fetched while the store is down is counted, and told when it is back."""
        world.script("T1", "T2")
        provider = world.provider()
        load, save = world.store.load, world.store.save

        def fail(*_: object) -> None:
            raise OSError

        world.store.load = world.store.save = fail
        world.get(provider)
        world.store.load, world.store.save = load, save
        world.advance(7300)
        world.get(provider)

        assert 2 == world.store.load(provider._own.key).record.fetched

    def test_a_token_of_somebody_elses(self, world: World) -> None:
        """What costs WeChat nothing is not counted."""
        world.issuer.cheap = True  # type: ignore[attr-defined]
        world.script("T1")
        provider = world.provider()
        world.get(provider)

        assert 0 == provider.status().fetches_today


def test_not_healed(world: World, told: Told) -> None:
    """A caller that gives up is told as an event."""
    world.provider().give_up()

    assert [EventType.NOT_HEALED] == [each.name for each in told.events]
