"""
Who waits, and who is served: what a caller gets, as a table.

A pure function of what is known at that moment; `token.py` gathers that, and does what comes out.
A rejection may be answered before the table is asked (`CachedToken.decide`): one that comes too soon after the last
fetch that a rejection caused (rate limit) gets its error, and leaves the token in use; and if the token was minted a
moment ago, the previous one takes its place, so that the table sees a good token. With ``cache=False`` no token counts
as good.

| token              | what is known                                                     | the caller     | starts    |
| ------------------ | ----------------------------------------------------------------- | -------------- | --------- |
| good               | nothing is due                                                    | gets it        |           |
| good               | out of touch with the store, no refresh under way                 | waits          | a read    |
| good               | out of touch with the store, refresh under way                    | waits for that |           |
| good               | refresh under way, or overdue in a worker whose threads freeze    | gets it        |           |
| near its end       | no back-off                                                       | gets it        | a renewal |
| good               | the store is to be read again                                     | gets it        | a read    |
| good               | else                                                              | gets it        |           |
| none, over, reject | refresh under way, or overdue and this caller has not waited yet  | waits for that |           |
| none, over, reject | back-off, not overruled, and another process may have fetched     | waits          | a read    |
| none, over, reject | back-off, not overruled                                           | gets the error |           |
| none, over, reject | else, or the rejection overrules the back-off                     | waits          | a fetch   |
"""

from __future__ import annotations

from enum import Enum, StrEnum
from typing import NamedTuple

from .policies import State

USABLE = (State.FRESH, State.AHEAD)


class Reason(StrEnum):
    """Why a refresh is started."""

    FIRST = "first"
    REVALIDATE = "revalidate"  # only to read what other processes have stored
    AHEAD = "ahead"
    EXPIRED = "expired"
    REJECTED = "rejected"


class Flying(Enum):
    """Whether a refresh is under way (single flight: there is one at most)."""

    NONE = 0
    LIVE = 1
    OVERDUE = 2  # it should have ended


class Step(Enum):
    """What a caller gets."""

    SERVE = "the token; what is to be started runs in the background"
    START = "what comes of a refresh that is started now"
    WAIT = "what comes of the refresh under way"
    FAIL = "the failure that is remembered (negative caching)"


class View(NamedTuple):
    """
    What is known when a caller asks.

    Attributes:
        state: What the token is good for.
        flying: Whether a refresh is under way.
        hot: Nothing is due but handing the token out.
        cache: This process may hand out the token in its memory.
        out_of_touch: The store was not read for so long that another process's fetch may have ended the token.
        revalidation_due: The shared store is to be read again.
        backing_off: No request is sent to WeChat, after a failure.
        overruled: The caller's rejection overrules that.
        may_read_in_backoff: The store may be read during a back-off: another process may have fetched.
        supersede: The caller has waited for the overdue refresh already.
        frozen: Background threads run only while a request waits, so being overdue says nothing.
    """

    state: State
    flying: Flying = Flying.NONE
    hot: bool = False
    cache: bool = True
    out_of_touch: bool = False
    revalidation_due: bool = False
    backing_off: bool = False
    overruled: bool = False
    may_read_in_backoff: bool = False
    supersede: bool = False
    frozen: bool = False

    @property
    def busy(self) -> bool:
        """Whether a refresh is under way that may yet do what is due."""
        return self.flying is Flying.LIVE or (self.flying is Flying.OVERDUE and self.frozen)


def next_move(view: View) -> tuple[Step, Reason | None]:
    """Say what a caller gets, and why a refresh is started, if one is. The table's rows stand here in its order."""
    if view.cache and view.state in USABLE:
        if view.hot:
            return Step.SERVE, None
        # The token may have been replaced, and be dead by now: this once callers wait for the store, unless it hangs.
        if view.out_of_touch and view.flying is Flying.NONE:
            return Step.START, Reason.REVALIDATE
        if view.out_of_touch and view.flying is Flying.LIVE:
            return Step.WAIT, None
        return Step.SERVE, due(view)
    if view.flying is Flying.LIVE or (view.flying is Flying.OVERDUE and not view.supersede):
        return Step.WAIT, None
    if view.backing_off and not view.overruled:
        return (Step.START, Reason.REVALIDATE) if view.may_read_in_backoff else (Step.FAIL, None)
    return Step.START, _REASONS.get(view.state, Reason.EXPIRED)


def due(view: View) -> Reason | None:
    """What is due behind the callers' backs while the token is good: a renewal (refresh-ahead), a read, or nothing."""
    if view.busy:
        return None
    if view.state is State.AHEAD and not view.backing_off:
        return Reason.AHEAD
    return Reason.REVALIDATE if view.revalidation_due else None


_REASONS = {State.EMPTY: Reason.FIRST, State.EXPIRED: Reason.EXPIRED, State.REJECTED: Reason.REJECTED}
