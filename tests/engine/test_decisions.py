"""What a caller gets: a test for each row of the table in `_rules/decisions.py`, without a thread or a clock."""

from __future__ import annotations

import itertools

import pytest

from wxmiddleware._rules.decisions import USABLE, Flying, Reason, Step, View, due, next_move
from wxmiddleware._rules.policies import State

GOOD = [State.FRESH, State.AHEAD]
NONE_TO_USE = [State.EMPTY, State.EXPIRED, State.REJECTED]
FETCHES = [(State.EMPTY, Reason.FIRST), (State.EXPIRED, Reason.EXPIRED), (State.REJECTED, Reason.REJECTED)]


class TestGoodToken:
    @pytest.mark.parametrize("state", GOOD)
    @pytest.mark.parametrize("flying", Flying)
    def test_nothing_is_due(self, state: State, flying: Flying) -> None:
        """It is handed out, whatever else there is."""
        view = View(state, flying, hot=True, out_of_touch=True, revalidation_due=True, backing_off=True)

        assert (Step.SERVE, None) == next_move(view)

    @pytest.mark.parametrize("state", GOOD)
    def test_out_of_touch(self, state: State) -> None:
        """It may have been replaced: the caller waits until the store has been read."""
        assert (Step.START, Reason.REVALIDATE) == next_move(View(state, out_of_touch=True))

    @pytest.mark.parametrize("state", GOOD)
    def test_out_of_touch_and_a_refresh(self, state: State) -> None:
        """The caller waits for the refresh under way, which reads the store first."""
        assert (Step.WAIT, None) == next_move(View(state, Flying.LIVE, out_of_touch=True))

    @pytest.mark.parametrize("state", GOOD)
    @pytest.mark.parametrize(("flying", "frozen"), [(Flying.LIVE, False), (Flying.LIVE, True), (Flying.OVERDUE, True)])
    def test_refresh_under_way(self, state: State, flying: Flying, frozen: bool) -> None:
        """It is handed out, and no second refresh is started (single flight)."""
        assert (Step.SERVE, None) == next_move(View(state, flying, frozen=frozen, revalidation_due=True))

    @pytest.mark.parametrize("flying", [Flying.NONE, Flying.OVERDUE])
    def test_near_its_end(self, flying: Flying) -> None:
        """It is handed out, and renewed behind the caller's back (refresh-ahead), also if a read is due."""
        assert (Step.SERVE, Reason.AHEAD) == next_move(View(State.AHEAD, flying, revalidation_due=True))

    @pytest.mark.parametrize("flying", [Flying.NONE, Flying.OVERDUE])
    @pytest.mark.parametrize(("state", "backing_off"), [(State.FRESH, False), (State.FRESH, True), (State.AHEAD, True)])
    def test_read_is_due(self, state: State, flying: Flying, backing_off: bool) -> None:
        """It is handed out, and the store is read behind the caller's back, also during a back-off."""
        view = View(state, flying, revalidation_due=True, backing_off=backing_off)

        assert (Step.SERVE, Reason.REVALIDATE) == next_move(view)

    @pytest.mark.parametrize(("state", "backing_off"), [(State.FRESH, False), (State.FRESH, True), (State.AHEAD, True)])
    def test_else(self, state: State, backing_off: bool) -> None:
        """It is handed out, and nothing is started."""
        assert (Step.SERVE, None) == next_move(View(state, backing_off=backing_off))


class TestNoToken:
    @pytest.mark.parametrize("state", NONE_TO_USE)
    @pytest.mark.parametrize(
        ("flying", "supersede"), [(Flying.LIVE, False), (Flying.LIVE, True), (Flying.OVERDUE, False)]
    )
    def test_refresh_under_way(self, state: State, flying: Flying, supersede: bool) -> None:
        """The caller waits for it (single flight), also if it is overdue and this caller has not waited for it yet."""
        view = View(state, flying, supersede=supersede, backing_off=True, may_read_in_backoff=True, overruled=True)

        assert (Step.WAIT, None) == next_move(view)

    @pytest.mark.parametrize("state", NONE_TO_USE)
    def test_probe(self, state: State) -> None:
        """During a back-off the caller waits for a read of the store: another process may have fetched."""
        assert (Step.START, Reason.REVALIDATE) == next_move(View(state, backing_off=True, may_read_in_backoff=True))

    @pytest.mark.parametrize("state", NONE_TO_USE)
    def test_back_off(self, state: State) -> None:
        """During a back-off the caller gets the failure that is remembered (negative caching)."""
        assert (Step.FAIL, None) == next_move(View(state, backing_off=True))

    @pytest.mark.parametrize(("state", "reason"), FETCHES)
    @pytest.mark.parametrize(("flying", "supersede"), [(Flying.NONE, False), (Flying.OVERDUE, True)])
    @pytest.mark.parametrize("overruled", [False, True])
    def test_fetch(self, state: State, reason: Reason, flying: Flying, supersede: bool, overruled: bool) -> None:
        """The caller waits for a fetch; a rejection that is news overrules the back-off."""
        view = View(
            state, flying, supersede=supersede, backing_off=overruled, overruled=overruled, may_read_in_backoff=True
        )

        assert (Step.START, reason) == next_move(view)


class TestWithoutCache:
    @pytest.mark.parametrize("state", GOOD)
    def test_fetch(self, state: State) -> None:
        """A good token in memory is not handed out where that is not wanted: the caller waits for another one."""
        assert (Step.START, Reason.EXPIRED) == next_move(View(state, cache=False, hot=True))


def test_every_view() -> None:
    """A token that cannot be used is never handed out, and nobody waits for a refresh that there is not."""
    switches = itertools.product([False, True], repeat=9)
    views = [View(state, flying, *on) for on in switches for state in State for flying in Flying]
    served = {view.state in USABLE and view.cache for view in views if next_move(view)[0] is Step.SERVE}
    waited_for = {view.flying for view in views if next_move(view)[0] is Step.WAIT}

    assert ({True}, {Flying.LIVE, Flying.OVERDUE}) == (served, waited_for)


def test_renewal_after_a_read() -> None:
    """What is due is one thing for a caller and for a refresh that has only read the store."""
    views = [
        View(state, flying, revalidation_due=look) for state in GOOD for flying in Flying for look in (False, True)
    ]

    assert [next_move(view) for view in views] == [(Step.SERVE, due(view)) for view in views]
