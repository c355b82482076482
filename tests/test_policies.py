"""When: tables of numbers. That the engine goes by them: tests/engine."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wxmiddleware._rules.models import Cause, Cooldown, Failure, Lease, Record, Snapshot
from wxmiddleware._rules.policies import (
    CHEAP_BACKOFF,
    FORCED_PER_DAY,
    LEASE,
    REJECTION_STREAK,
    State,
    Timing,
    ahead_at,
    backoff,
    budget_wait,
    charged,
    china_day,
    follows,
    forced_wait,
    keep_until,
    minted_later,
    next_generation,
    rejection_wait,
    request_cost,
    revalidate_at,
    sanitized,
    state,
    streak_after,
)

INF = math.inf
CLASSIC, STABLE = Timing(600.0), Timing(290.0)
GOOD = Snapshot("T", 1, expires_at=7200.0, ahead_at=6600.0, hot_until=6600.0)
REJECTED = Snapshot("T", 1, expires_at=7200.0, ahead_at=6600.0, rejected=True)
draws = st.floats(0.0, 1.0)


@pytest.mark.parametrize(
    ("snapshot", "now", "expected"),
    [
        (Snapshot(), 0.0, State.EMPTY),
        (Snapshot(), -INF, State.EMPTY),
        (Snapshot(rejected=True), 0.0, State.EMPTY),
        (GOOD, -1e9, State.FRESH),
        (GOOD, 0.0, State.FRESH),
        (GOOD, 6599.9, State.FRESH),
        (GOOD, 6600.0, State.AHEAD),
        (GOOD, 7199.9, State.AHEAD),
        (GOOD, 7200.0, State.EXPIRED),
        (GOOD, 1e9, State.EXPIRED),
        (REJECTED, 0.0, State.REJECTED),
        (REJECTED, 6700.0, State.REJECTED),
        (REJECTED, 7200.0, State.REJECTED),
    ],
)
def test_state(snapshot: Snapshot, now: float, expected: State) -> None:
    """A snapshot and a time make a state; a rejected token stays one past its end."""
    assert expected is state(snapshot, now)


def test_hot_until_is_no_state() -> None:
    """Whether there is something else to do with it does not change what a token is good for."""
    assert state(Snapshot("T", 1, expires_at=10.0, ahead_at=9.0, hot_until=-INF), 0.0) is State.FRESH


@pytest.mark.parametrize(
    ("timing", "life", "draw", "expected"),
    [
        (CLASSIC, 7200.0, 0.0, 6600.0),
        (CLASSIC, 7200.0, 1.0, 6660.0),  # 60 s of jitter, never more
        (CLASSIC, 7200.0, 0.5, 6630.0),
        (STABLE, 7200.0, 0.0, 6910.0),  # within the last 300 s, where WeChat gives a new one
        (STABLE, 7200.0, 1.0, 6968.0),  # a fifth of the window
        (STABLE, 345.0, 0.0, 258.75),  # a quarter of what is left
        (CLASSIC, 100.0, 0.0, 75.0),
        (CLASSIC, 100.0, 1.0, 80.0),
        (CLASSIC, 2400.0, 0.0, 1800.0),
        (Timing(600.0, refresh_after=3600.0), 7200.0, 0.0, 3600.0),
        (Timing(600.0, refresh_after=3600.0), 7200.0, 1.0, 3600.0),
        (Timing(600.0, refresh_after=7000.0), 7200.0, 0.0, 6600.0),  # the window comes first
        (Timing(600.0, refresh_after=3600.0), 100.0, 0.0, 75.0),
    ],
)
def test_ahead_at(timing: Timing, life: float, draw: float, expected: float) -> None:
    """A token is renewed a window before its end, or at an age."""
    assert pytest.approx(expected) == ahead_at(0.0, life, timing, draw)
    assert pytest.approx(1e6 + expected) == ahead_at(1e6, 1e6 + life, timing, draw)


@given(now=st.floats(0, 1e9), life=st.floats(1.0, 86_400.0), window=st.floats(1.0, 3600.0), draw=draws)
def test_ahead_within_the_life(now: float, life: float, window: float, draw: float) -> None:
    """The window is never more than a quarter of the life, nor gone by the jitter."""
    start = ahead_at(now, now + life, Timing(window), draw)

    assert now + 0.75 * life - 1e-3 <= start <= now + life - 0.8 * min(window, life / 4) + 1e-3


@given(draw=draws)
def test_stable_window_is_inside_the_last_300_seconds(draw: float) -> None:
    """Asking the stable endpoint earlier would bring the same token, on every call."""
    assert 7200 - 300 < ahead_at(0.0, 7200.0, STABLE, draw) < 7200 - 200


@pytest.mark.parametrize(("draw", "expected"), [(0.0, 130.0), (0.5, 140.0), (1.0, 150.0)])
def test_revalidate_at(draw: float, expected: float) -> None:
    """A shared store is looked at after 30 to 50 s."""
    assert expected == revalidate_at(100.0, CLASSIC.revalidate_every, draw)


@pytest.mark.parametrize(
    ("cause", "streak", "has_token", "least", "most"),
    [
        (Cause.TRANSIENT, 1, False, 1.0, 1.0),
        (Cause.TRANSIENT, 2, False, 1.0, 2.0),
        (Cause.TRANSIENT, 5, False, 1.0, 16.0),
        (Cause.TRANSIENT, 6, False, 1.0, 30.0),
        (Cause.TRANSIENT, 6, True, 1.0, 32.0),
        (Cause.TRANSIENT, 7, True, 1.0, 60.0),
        (Cause.TRANSIENT, 10_000, True, 1.0, 60.0),
        (Cause.AMBIGUOUS, 1, True, 1.0, 1.0),
        (Cause.AMBIGUOUS, 4, True, 1.0, 8.0),
        (Cause.AMBIGUOUS, 5, False, 1.0, 15.0),
        (Cause.AMBIGUOUS, 6, True, 15.0, 30.0),
        (Cause.AMBIGUOUS, 7, False, 30.0, 60.0),
        (Cause.AMBIGUOUS, 8, False, 60.0, 120.0),
        (Cause.AMBIGUOUS, 10_000, True, 60.0, 120.0),
        (Cause.PERMANENT, 1, False, 60.0, 60.0),
        (Cause.PERMANENT, 2, True, 120.0, 120.0),
        (Cause.PERMANENT, 4, False, 480.0, 480.0),
        (Cause.PERMANENT, 5, False, 600.0, 600.0),
        (Cause.PERMANENT, 10_000, False, 600.0, 600.0),
        (Cause.QUOTA, 1, False, 600.0, 600.0),
        (Cause.QUOTA, 99, True, 600.0, 600.0),
    ],
)
def test_pause(cause: Cause, streak: int, has_token: bool, least: float, most: float) -> None:
    """WeChat is left alone longer with each failure, up to a bound that depends on the kind."""
    low, high = (backoff(cause, streak, has_token=has_token, draw=draw) for draw in (0.0, 1.0))

    assert (least, most) == (low, high)


@given(cause=st.sampled_from(Cause), streak=st.integers(1, 100_000), has_token=st.booleans(), draw=draws)
def test_pause_is_bounded(cause: Cause, streak: int, has_token: bool, draw: float) -> None:
    """No failure leads to a storm, and none to silence for more than ten minutes."""
    assert 1.0 <= backoff(cause, streak, has_token=has_token, draw=draw) <= 600.0


@pytest.mark.parametrize(
    ("before", "cause", "expected"),
    [
        ((Cause.TRANSIENT, 7), Cause.TRANSIENT, 8),
        ((Cause.AMBIGUOUS, 7), Cause.AMBIGUOUS, 8),
        ((Cause.PERMANENT, 2), Cause.PERMANENT, 3),
        ((Cause.TRANSIENT, 2), Cause.AMBIGUOUS, 3),
        ((Cause.AMBIGUOUS, 2), Cause.TRANSIENT, 3),
        ((Cause.TRANSIENT, 7), Cause.AMBIGUOUS, 5),  # too few lost answers for the longer back-offs
        ((Cause.AMBIGUOUS, 7), Cause.TRANSIENT, 5),
        ((Cause.TRANSIENT, 7), Cause.PERMANENT, 1),
        ((Cause.QUOTA, 7), Cause.TRANSIENT, 1),
    ],
)
def test_streak_after(before: tuple[Cause, int], cause: Cause, expected: int) -> None:
    """Failures of a kind are counted; passing ones and lost answers go on counting each other, up to five."""
    kind, streak = before

    assert expected == streak_after(Cooldown(0.0, Failure(kind, "No."), streak), cause)


@pytest.mark.parametrize(
    ("since", "streak", "expected"),
    [
        (INF, 0, 0.0),
        (0.0, 1, 30.0),
        (10.0, 1, 20.0),
        (30.0, 1, 0.0),
        (31.0, 1, 0.0),
        (10.0, REJECTION_STREAK - 1, 20.0),
        (10.0, REJECTION_STREAK, 50.0),
        (60.0, REJECTION_STREAK, 0.0),
        (10.0, REJECTION_STREAK + 1, 110.0),
        (10.0, REJECTION_STREAK + 4, 590.0),
        (10.0, 10_000, 590.0),
    ],
)
def test_refusal_wait(since: float, streak: int, expected: float) -> None:
    """One refresh by refusal in 30 s; after ten that cured nothing, one in ever longer times."""
    record = Record(1, "T", rejected_at=1000.0 - since)

    assert expected == rejection_wait(record, 1000.0, streak)


@pytest.mark.parametrize(
    ("since", "streak", "expected"), [(INF, 0, 0.0), (0.0, 1, 1.0), (0.5, 99, 0.5), (1.0, 99, 0.0)]
)
def test_refusal_wait_if_cheap(since: float, streak: int, expected: float) -> None:
    """A second, and no longer time however often it cures nothing, where a fetch costs nothing."""
    record = Record(1, "T", rejected_at=1000.0 - since)

    assert expected == rejection_wait(record, 1000.0, streak, cheap=True)


@pytest.mark.parametrize("cause", list(Cause))
def test_pause_if_cheap(cause: Cause) -> None:
    """There is no long back-off either."""
    assert CHEAP_BACKOFF >= max(
        backoff(cause, streak, has_token=has_token, draw=1.0, cheap=True)
        for streak in range(1, 30)
        for has_token in (True, False)
    )


def test_refusals_for_ever_stay_far_below_the_quota() -> None:
    """A fleet that is rejected all day fetches some hundred times."""
    now, streak, fetches = 0.0, 0, 0
    record = Record(1, "T")
    while now < 86_400:
        now += rejection_wait(record, now, streak)
        record, streak, fetches = Record(1, "T", rejected_at=now), streak + 1, fetches + 1

    assert 100 < fetches < 200


MIDNIGHT = 1_699_977_600.0  # 2023-11-15 00:00:00 in China


@pytest.mark.parametrize(
    ("wall", "same"),
    [(MIDNIGHT, True), (MIDNIGHT - 0.001, False), (MIDNIGHT + 86_399.9, True), (MIDNIGHT + 86_400, False)],
)
def test_china_day(wall: float, same: bool) -> None:
    """The day of WeChat's limits changes at midnight in China."""
    assert same is (china_day(MIDNIGHT) == china_day(wall))


TODAY = china_day(MIDNIGHT)


@pytest.mark.parametrize(
    ("record", "now", "wall", "expected"),
    [
        (Record(), 0.0, MIDNIGHT, 0.0),
        (Record(forced_at=0.0, forced_day=TODAY, forced=1), 0.0, MIDNIGHT, 30.0),
        (Record(forced_at=0.0, forced_day=TODAY, forced=1), 29.0, MIDNIGHT, 1.0),
        (Record(forced_at=0.0, forced_day=TODAY, forced=1), 30.0, MIDNIGHT, 0.0),
        (Record(forced_at=0.0, forced_day=TODAY, forced=FORCED_PER_DAY - 1), 30.0, MIDNIGHT, 0.0),
        (Record(forced_at=0.0, forced_day=TODAY, forced=FORCED_PER_DAY), 30.0, MIDNIGHT, 86_400.0),
        (Record(forced_at=0.0, forced_day=TODAY, forced=FORCED_PER_DAY), 9e9, MIDNIGHT + 86_000, 400.0),
        (Record(forced_at=0.0, forced_day=TODAY - 1, forced=FORCED_PER_DAY), 30.0, MIDNIGHT, 0.0),
        (Record(forced_at=0.0, forced_day=TODAY - 1, forced=FORCED_PER_DAY), 10.0, MIDNIGHT, 20.0),
    ],
)
def test_forced_wait(record: Record, now: float, wall: float, expected: float) -> None:
    """The forced mode is used every 30 s at most, and ten times in a day of China's."""
    assert expected == forced_wait(record, now, wall)


@pytest.mark.parametrize("cost", [1.0, 8.0])
@pytest.mark.parametrize("gap", [0.0, 30.0, 100.0, 600.0])
def test_budget_of_a_day(gap: float, cost: float) -> None:
    """However fast requests follow each other, a day sees at most 800, or an eighth where each counts for eight."""
    now, record, sent = 0.0, Record(), list[float]()
    while now < 3 * 86_400:
        now += max(gap, budget_wait(record, now, cost))
        record = charged(record, now, cost)
        sent.append(now)
    most = max(sum(1 for at in sent if begin <= at < begin + 86_400) for begin in sent[:: len(sent) // 50])

    assert most <= 801 / cost


def test_budget_of_a_burst() -> None:
    """300 requests may come at once; the next one has to wait for the three minutes that pay for it."""
    record = Record()
    for _ in range(300):
        assert 0.0 == pytest.approx(budget_wait(record, 1000.0), abs=1e-6)
        record = charged(record, 1000.0)

    assert 172.8 == pytest.approx(budget_wait(record, 1000.0))
    assert 72.8 == pytest.approx(budget_wait(record, 1100.0))
    assert 300 * 172.8 == pytest.approx(charged(record, 1000.0).owed_until - 1000.0)


def test_budget_of_a_request_that_was_not_sent() -> None:
    """What was counted is taken off again."""
    record = charged(Record(), 1000.0, 3.0)

    assert 1172.8 == pytest.approx(charged(record, 1001.0, -2.0).owed_until)


@pytest.mark.parametrize(
    ("alone", "rejection", "expected"),
    [(False, False, 1.0), (False, True, 1.0), (True, True, 8.0), (True, False, 600 / 172.8)],
)
def test_cost_of_a_request(alone: bool, rejection: bool, expected: float) -> None:
    """Who does not see what others fetch pays more; without a token at least one request is sent in ten minutes."""
    assert pytest.approx(expected) == request_cost(alone=alone, rejection=rejection)


def test_budget_is_remembered() -> None:
    """A store keeps what is owed until it is paid for; what no clock that is right can have written does not count."""
    spent = charged(Record(), 1000.0, 300.0)

    assert spent.owed_until == keep_until(spent)
    assert spent == sanitized(spent, 1000.0)
    assert Record() == sanitized(spent, 900.0)


def test_half_of_the_forced_budget_is_left_to_the_owner() -> None:
    """WeChat allows 20 a day."""
    assert FORCED_PER_DAY == 20 // 2


@pytest.mark.parametrize(
    ("previous", "now", "expected"),
    [
        (0, 1_700_000_000.5, 1_700_000_000_500_000),
        (1_700_000_000_500_000, 1_700_000_000.5, 1_700_000_000_500_001),
        (1_800_000_000_000_000, 1_700_000_000.0, 1_800_000_000_000_001),  # the clock was set back
        (41, 0.0, 42),
        (0, -5.0, 1),
    ],
)
def test_next_generation(previous: int, now: float, expected: int) -> None:
    """A generation is above every earlier one, also those that a flushed store has forgotten."""
    assert expected == next_generation(previous, now, 0.0)


@given(st.integers(0, 2**63 - 1), st.floats(-1e12, 1e12), st.floats(0.0, 1.0))
def test_next_generation_of_any(previous: int, now: float, draw: float) -> None:
    """After every generation that can be written there is one that is newer and can be written, too."""
    made = next_generation(previous, now, draw)

    assert 0 < made < 2**63
    assert follows(made, previous)
    assert not follows(previous, made)


@pytest.mark.parametrize("previous", [2**53, 2**62 - 1, 2**62, 2**63 - 10**6, 2**63 - 2, 2**63 - 1])
@pytest.mark.parametrize("draw", [0.0, 0.5, 1.0])
def test_next_generation_of_the_highest(previous: int, draw: float) -> None:
    """There is no highest number."""
    made = next_generation(previous, 1.7e9, draw)

    assert 0 < made < 2**63
    assert follows(made, previous)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (0, 0, False),
        (1, 0, True),
        (2**63 - 1, 0, True),
        (0, 2**63 - 1, False),
        (5, 5, False),
        (6, 5, True),
        (5, 6, False),
        (1, 2**63 - 1, True),
        (2**63 - 1, 1, False),
        (2**62, 1, True),
        (2**62 + 1, 1, False),  # just half of the way: neither is newer
        (1, 2**62 + 1, False),
    ],
)
def test_follows(one: int, other: int, expected: bool) -> None:
    """A number less than half of the way round ahead is newer; everything is newer than no token."""
    assert follows(one, other) is expected


@pytest.mark.parametrize(
    ("sent", "received", "expected"), [(105.1, 100.0, True), (105.0, 100.0, False), (100.0, -INF, False)]
)
def test_minted_later(sent: float, received: float, expected: bool) -> None:
    """A token is surely newer if it was asked for some seconds after the other was there."""
    assert expected is minted_later(sent, received)


NOW = 1e6
COOLING = Cooldown(NOW + 1.0, Failure(Cause.TRANSIENT, "No."))
TOKEN = Record(7, "T", expires_at=NOW + 7200.0, sent_at=NOW, received_at=NOW, put_back=True)


@pytest.mark.parametrize(
    "record",
    [
        Record(),
        TOKEN,
        Record(2**63 - 1),
        Record(rejected_at=NOW + 5.0, forced_at=NOW + 5.0),
        Record(replaced=(*(NOW - 9.0 + each for each in range(7)), NOW + 5.0)),
        Record(rejections=1000, forced=1000, refresh="R"),
        Record(lease=Lease("1-a", NOW + 65.0)),
        Record(cooldown=replace(COOLING, until=NOW + 605.0, streak=1000)),
        Record(cooldown=replace(COOLING, streak=0)),
        replace(TOKEN, expires_at=NOW + 86_405.0),
    ],
)
def test_credible(record: Record) -> None:
    """What clocks that differ by some seconds can have written is left as it is."""
    assert record is sanitized(record, NOW)


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (Record(rejected_at=NOW + 5.1), Record()),
        (Record(forced_at=math.nan), Record()),
        (Record(replaced=(NOW - 9.0, NOW + 5.1, math.nan)), Record(replaced=(NOW - 9.0,))),
        (Record(replaced=tuple(map(float, range(9)))), Record(replaced=tuple(map(float, range(1, 9))))),
        (replace(TOKEN, sent_at=NOW + 9.0), replace(TOKEN, expires_at=NOW + 7191.0)),
        (replace(TOKEN, received_at=NOW + 9.0), TOKEN),
        (Record(rejections=-1, forced=1001), Record(rejections=1000, forced=1000)),
        (Record(2**63 + 7), Record(7)),
        (Record(-1), Record(2**63 - 1)),
        (Record(lease=Lease("1-a", NOW + 65.1)), Record()),
        (Record(cooldown=replace(COOLING, until=NOW + 605.1)), Record()),
        (Record(cooldown=replace(COOLING, streak=-1)), Record(cooldown=replace(COOLING, streak=1000))),
        (Record(cooldown=replace(COOLING, streak=1001)), Record(cooldown=replace(COOLING, streak=1000))),
        (Record(refresh="not a token"), Record()),
        (replace(TOKEN, value="not a token", rejections=1001), Record(rejections=1000)),
        (replace(TOKEN, expires_at=-INF), Record()),
        (replace(TOKEN, expires_at=NOW + 86_405.1), Record()),
    ],
)
def test_not_credible(record: Record, expected: Record) -> None:
    """What no process with a correct clock can have written counts as not written, or as the most that can be."""
    assert expected == sanitized(record, NOW)


@pytest.mark.parametrize(("ahead", "left"), [(0.0, 7200.0), (4.0, 7204.0), (10_800.0, 7200.0), (79_000.0, 7200.0)])
def test_token_of_a_clock_that_was_ahead(ahead: float, left: float) -> None:
    """A token does not live longer since a clock was hours ahead when it was stored."""
    sent = 1e9 + ahead
    record = sanitized(Record(1, "T", expires_at=sent + 7200.0, sent_at=sent, received_at=sent + 0.1), 1e9)

    assert left == record.expires_at - 1e9
    assert "T" == record.value


def test_next_generation_of_two() -> None:
    """Two that follow a number from the future get different ones."""
    assert next_generation(2 * 10**15, 1.7e9, 0.25) != next_generation(2 * 10**15, 1.7e9, 0.5)


def test_next_generation_of_one_that_fetches_twice() -> None:
    """Without a store it does not outnumber another one that fetches a moment later."""
    first = next_generation(0, 1.7e9, 0.5)
    second = next_generation(first, 1.7e9 + 0.1, 0.9)

    assert first < second < next_generation(0, 1.7e9 + 0.2, 0.0)


FAILURE = Failure(Cause.QUOTA, "No.")


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (Record(), -INF),
        (Record(1, "T", expires_at=7200.0), 7200.0),
        (Record(lease=Lease("1-a", 8.0)), 8.0),
        (Record(cooldown=Cooldown(600.0, FAILURE)), 1200.0),  # the next failure is one more in a row
        (Record(1, "T", expires_at=100.0, cooldown=Cooldown(600.0, FAILURE), lease=Lease("1-a", 8.0)), 1200.0),
        (Record(1, "T", expires_at=100.0, rejected_at=50.0), 650.0),
        (Record(1, "T", expires_at=7200.0, rejected_at=50.0), 7200.0),
        (Record(1, "T", expires_at=7200.0, forced_at=50.0), 86_450.0),
        (Record(1, "T", expires_at=7200.0, refresh="R"), INF),
    ],
)
def test_keep_until(record: Record, expected: float) -> None:
    """A store keeps a record until the last thing that it remembers is over."""
    assert expected == keep_until(record)


def test_the_pause_after_refusals_is_remembered_to_its_end() -> None:
    """A store does not forget when a rejected token last caused a fetch while that still holds the next one back."""
    record = Record(1, "T", expires_at=0.0, rejected_at=0.0)

    assert rejection_wait(record, 0.0, 10_000) <= keep_until(record)


def test_a_lease_is_shorter_than_a_caller_waits() -> None:
    """The callers of a leader that died are served, not failed: lease and fetch fit into their ten seconds."""
    assert 5.0 < LEASE < 10.0
