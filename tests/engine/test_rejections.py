"""The ledger of rejections: a pure object, whose times the test gives."""

from __future__ import annotations

import pytest

from wxmiddleware._rules.models import Cause, Cooldown, Failure, Record, Snapshot
from wxmiddleware._rules.policies import (
    REJECTION_CURED_AFTER,
    REJECTION_PAUSE,
    REJECTION_STREAK,
    SUSPICION_COUNT,
    SUSPICION_WINDOW,
)
from wxmiddleware._rules.rejections import Rejections, Report, concerns, overruled


@pytest.fixture
def ledger() -> Rejections:
    return Rejections(revokes_previous=True)


def token(generation: int, *, received_at: float = 0.0, own: bool = False) -> Snapshot:
    return Snapshot(f"T{generation}", generation, received_at=received_at, own=own)


def streak(fetches: int, *, at: float = 100.0) -> Record:
    """What the fleet knows after so many fetches in a row that rejections caused."""
    return Record(7, "T7", received_at=at, rejected_at=at, rejections=fetches)


class TestWhy:
    """Why a rejection causes no fetch."""

    @pytest.mark.parametrize(
        ("rejected", "snapshot", "expected"),
        [
            ("T1", token(1), True),
            ("T0", token(1), False),
            (None, token(1), False),
            ("", Snapshot(), False),
            ("T1", Snapshot("T1", 1, rejected=True), False),
        ],
    )
    def test_another_token(self, rejected: str | None, snapshot: Snapshot, expected: bool) -> None:
        """It names another token than the one in use, or one that is marked already."""
        assert expected == concerns(rejected, snapshot)

    def test_too_soon_here(self, ledger: Rejections) -> None:
        """This process knows that it comes too soon after a fetch that another rejection caused."""
        ledger.throttle(130.0)

        assert [Report(20.0, first=True), Report(0.0)] == [
            ledger.report(token(1), 110.0),
            ledger.report(token(1), 130.0),
        ]

    @pytest.mark.parametrize(("now", "wait"), [(100.0, REJECTION_PAUSE), (110.0, REJECTION_PAUSE - 10), (130.0, 0.0)])
    def test_too_soon_for_the_fleet(self, ledger: Rejections, now: float, wait: float) -> None:
        """The record tells that it comes too soon."""
        assert wait == ledger.wait(streak(1), now, alone=False)

    @pytest.mark.parametrize(("fetches", "now", "wait"), [(1, 100.0, 1.0), (99, 100.5, 0.5), (99, 101.0, 0.0)])
    def test_too_soon_for_a_token_from_elsewhere(self, fetches: int, now: float, wait: float) -> None:
        """Where asking costs nothing it is a second, however often it was in vain; the reason says so."""
        ledger = Rejections(revokes_previous=False, cheap=True)
        ledger.throttle(101.0)

        assert wait == ledger.wait(streak(fetches), now, alone=False) == ledger.pause(streak(fetches), now)
        assert "once in a second" in ledger.report(token(1), 100.0).why.message

    def test_in_vain(self, ledger: Rejections) -> None:
        """After ten fetches that cured nothing the limit is longer."""
        assert 60.0 == ledger.wait(streak(REJECTION_STREAK), 100.0, alone=False)

    @pytest.mark.parametrize(
        ("cause", "rejected", "expected"),
        [
            (Cause.TRANSIENT, 0, True),
            (Cause.AMBIGUOUS, 0, True),
            (Cause.TRANSIENT, 5, False),
            (Cause.PERMANENT, 0, False),
            (Cause.QUOTA, 0, False),
        ],
    )
    def test_back_off(self, cause: Cause, rejected: int, expected: bool) -> None:
        """A back-off holds, unless its reason was transient and this token has not overruled it yet."""
        assert expected == overruled(Cooldown(200.0, Failure(cause, "No."), rejected=rejected), 5)


class TestDenylist:
    def test_rejected(self, ledger: Rejections) -> None:
        """A rejected token is on it, until it is reinstated."""
        ledger.report(token(1), 100.0)
        before = ledger.is_revoked("T1")
        ledger.reinstate("T1")

        assert (True, False) == (before, ledger.is_revoked("T1"))

    def test_throttled(self, ledger: Rejections) -> None:
        """A rejection without effect puts nothing there."""
        ledger.throttle(130.0)
        ledger.report(token(1), 110.0)

        assert not ledger.is_revoked("T1")

    def test_short(self, ledger: Rejections) -> None:
        """It has the last eight."""
        for generation in range(9):
            ledger.report(token(generation), 100.0)

        assert [False, True, True] == [ledger.is_revoked(f"T{generation}") for generation in (0, 1, 8)]

    def test_kept(self, ledger: Rejections) -> None:
        """A token that no fetch could replace stays in use when it is rejected again."""
        ledger.keep(1)
        report = ledger.report(token(1), 100.0)

        assert (Report(first=True, kept=True), False) == (report, ledger.is_revoked("T1"))


class TestOtherSystem:
    def reports(self, ledger: Rejections, times: list[float], *, age: float = 10.0, own: bool = True) -> list[bool]:
        return [
            ledger.report(token(generation, received_at=now - age, own=own), now).foreign
            for generation, now in enumerate(times, 1)
        ]

    def test_three(self, ledger: Rejections) -> None:
        """The third rejection of a young token of this process's own tells of it; then the count begins anew."""
        times = [10_000.0 + 60 * n for n in range(2 * SUSPICION_COUNT)]

        assert [False, False, True] * 2 == self.reports(ledger, times)

    def test_rarely(self, ledger: Rejections) -> None:
        """Rejections that are far apart tell of nothing."""
        assert not any(self.reports(ledger, [100.0, 200.0, 100.0 + SUSPICION_WINDOW]))

    @pytest.mark.parametrize(("age", "own"), [(SUSPICION_WINDOW, True), (10.0, False)])
    def test_old_or_of_others(self, ledger: Rejections, age: float, own: bool) -> None:
        """Nor do those of old tokens, or of tokens that other processes fetched."""
        assert not any(self.reports(ledger, [1000.0, 1060.0, 1120.0], age=age, own=own))

    def test_owned_elsewhere(self) -> None:
        """A token that somebody else owns may be replaced as often as its owner likes."""
        ledger = Rejections(revokes_previous=False, cheap=True)

        assert not any(self.reports(ledger, [100.0 * n for n in range(1, 2 * SUSPICION_COUNT)]))

    def test_one_token(self, ledger: Rejections) -> None:
        """Nor do many rejections of one token."""
        young = token(1, received_at=90.0, own=True)

        assert not any(ledger.report(young, 100.0 + n).foreign for n in range(10))


class TestStreak:
    def test_fleet(self, ledger: Rejections) -> None:
        """It is the fleet's."""
        assert 4 == ledger.streak(streak(4))

    def test_cured(self, ledger: Rejections) -> None:
        """A call that was accepted with the newest token ends it."""
        ledger.cured(7)

        assert 0 == ledger.streak(streak(4))
        assert [False, True] == [ledger.has_cured(generation) for generation in (6, 7)]

    @pytest.mark.parametrize(("lived", "expected"), [(REJECTION_CURED_AFTER - 1, 4), (REJECTION_CURED_AFTER, 0)])
    def test_lived(self, ledger: Rejections, lived: float, expected: int) -> None:
        """A token that was good for five minutes before it was rejected ends it."""
        ledger.report(token(7), 100.0 + lived)

        assert expected == ledger.streak(streak(4))

    def test_alone(self, ledger: Rejections) -> None:
        """Without a store this process counts for itself, and a call that was accepted proves nothing."""
        for _ in range(3):
            ledger.fetched(Record(), alone=True)
        ledger.cured(7)

        assert (3, 0) == (ledger.streak(streak(1), alone=True), ledger.streak(streak(1)))

    def test_alone_and_harmless(self) -> None:
        """Where a fetch ends no other token, what is counted alone does not matter."""
        ledger = Rejections(revokes_previous=False)
        ledger.fetched(Record(), alone=True)

        assert 0 == ledger.streak(Record(), alone=True)

    def test_store_is_back(self, ledger: Rejections) -> None:
        """A fetch that the store knows ends what was counted alone."""
        ledger.fetched(Record(), alone=True)
        ledger.fetched(Record(), alone=False)

        assert 0 == ledger.streak(Record(), alone=True)


@pytest.mark.parametrize("after", [0.5, 30.0])
def test_told_once(ledger: Rejections, after: float) -> None:
    """That a token stays in use is told once for each, however long it took the store to say so."""
    ledger.report(token(1), 100.0)
    ledger.throttle(200.0 + after)
    told = [ledger.untold(), ledger.report(token(1), 101.0 + after).first]
    told += [ledger.report(token(2), 102.0 + after).first, ledger.untold()]

    assert [True, False, True, False] == told
