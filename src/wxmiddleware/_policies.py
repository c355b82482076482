"""
When: pure functions of numbers.

Every figure here has its reason in docs/why.md. Times and windows are in seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from ._models import LONGEST_LIFE, Cause, Record, Snapshot, is_token

# A lease covers a fetch's own 5 s and some room, and is shorter than a caller waits.
LEASE = 8.0
# A refused token causes at most one fetch in this time, fleet-wide.
REFUSAL_PAUSE = 30.0
# So many in a row that cured nothing: something else is wrong.
REFUSAL_STREAK = 10
# A token that lived so long before it was refused: whatever was wrong before has been cured.
REFUSAL_CURED_AFTER = 300.0
# A store that failed so often in a row is left alone for so long.
STORE_FAILURES = 3
STORE_REST = 5.0
# So long after its last failure it is looked at as often, until all processes have told it what they fetched meanwhile.
STORE_ECHO = 15.0
# A store that has not answered for so long hangs, and is left alone for so long.
STORE_PATIENCE = 6.0
STORE_HANGS = 30.0
# WeChat allows 20 forced refreshes a day, 30 s apart; half of them stay with the account's owner.
FORCED_PAUSE = 30.0
FORCED_PER_DAY = 10
# A replaced classic token lives for 300 s at most; 10 s are for the way.
DOUBTFUL_LIFE = 290.0
# Longer than between two looks: a process was asked for nothing meanwhile. Its token may have been replaced, and then
# dies within 300 s; a look is cheaper than a refused call, and than a second one if the next token is dead as well.
OUT_OF_TOUCH = 60.0
# Three refused tokens of our own making in a quarter of an hour: somebody else fetches, too.
SUSPICION_WINDOW = 900.0
SUSPICION_COUNT = 3

# Nobody leaves WeChat alone for longer, nor takes a lease for longer.
LONGEST_PAUSE = 600.0
LONGEST_LEASE = 60.0
# So much may the clocks be apart that are compared here.
_SLACK = 5.0
# Nobody counts further: neither what comes in a row, nor what is done in a day.
_MOST = 1000
# So many generations there are, then they begin anew.
_GENERATIONS = 2**63

_DAY = 86_400
_CHINA = 8 * 3600  # the quota's day presumably ends at midnight there


class State(StrEnum):
    """What a snapshot is good for at a given time."""

    EMPTY = "empty"
    FRESH = "fresh"  # use it
    AHEAD = "ahead"  # use it, and renew it
    EXPIRED = "expired"  # do not use it
    REFUSED = "refused"  # WeChat said no to it


def state(snapshot: Snapshot, now: float) -> State:
    """Tell what `snapshot` is good for."""
    if not snapshot.value:
        return State.EMPTY
    if snapshot.refused:
        return State.REFUSED
    if now >= snapshot.expires_at:
        return State.EXPIRED
    if now >= snapshot.ahead_at:
        return State.AHEAD
    return State.FRESH


@dataclass(frozen=True, slots=True)
class Timing:
    """
    How early to refresh.

    Attributes:
        ahead: The window at the end of a token's life in which it is renewed.
        refresh_after: Renew a token that is so old, even if its end is far.
        look: Look at a shared store when the last look is so long ago (up to half as much again, at random).
    """

    ahead: float
    refresh_after: float | None = None
    look: float = 40.0


def ahead_at(now: float, expires_at: float, timing: Timing, draw: float) -> float:
    """
    From when on a token is renewed while it is still handed out.

    The window is never more than a quarter of the life, and up to 60 s shorter by `draw` (0 to 1), so that the
    processes of a fleet do not all come at once.
    """
    window = min(timing.ahead, (expires_at - now) / 4)
    start = expires_at - window + draw * min(60.0, window / 5)
    if timing.refresh_after is not None:
        start = min(start, now + timing.refresh_after)
    return start


def look_at(now: float, pause: float, draw: float) -> float:
    """When a shared store is worth another look, if there should be about `pause` seconds between two."""
    return now + pause * (0.75 + draw / 2)


def pause(cause: Cause, streak: int, *, has_token: bool, draw: float) -> float:
    """
    How long to leave WeChat alone after the `streak`-th failure in a row.

    Args:
        draw: A random number from 0 to 1.
    """
    doubled = 2.0 ** min(streak - 1, 16)
    if cause is Cause.QUOTA:
        return 600.0
    if cause is Cause.FINAL:
        return min(60.0 * doubled, 600.0)
    cap = 15.0 if cause is Cause.AMBIGUOUS else 60.0 if has_token else 30.0
    return 1.0 + draw * (min(doubled, cap) - 1.0)


def refusal_wait(record: Record, now: float, streak: int) -> float:
    """How long a refused token must wait before it may cause a fetch: 0 if it may now. `now` is the store's."""
    gap = REFUSAL_PAUSE
    if streak >= REFUSAL_STREAK:
        gap = pause(Cause.FINAL, streak - REFUSAL_STREAK + 1, has_token=True, draw=0.0)
    return max(0.0, record.refusals_at + gap - now)


def china_day(wall: float) -> int:
    """The day that WeChat's daily limits count for."""
    return int((wall + _CHINA) // _DAY)


def forced_wait(record: Record, now: float, wall: float) -> float:
    """How long the forced mode must wait: 0 if it may be used now."""
    if record.forced_day == china_day(wall) and record.forced >= FORCED_PER_DAY:
        return _DAY - (wall + _CHINA) % _DAY
    return max(0.0, record.forced_at + FORCED_PAUSE - now)


def next_generation(previous: int, now: float, draw: float) -> int:
    """
    A number above every earlier one, also if the store has forgotten them.

    Args:
        now: The store's clock, so that it is everybody's; where it cannot be reached, seconds since 1970.
        draw: A random number from 0 to 1: two that follow the same number from the future are not the same.
    """
    told = max(0, math.floor(now * 1e6)) % _GENERATIONS
    # Only then: without a store, who fetches twice in a second would else outnumber who fetches after it.
    return told if follows(told, previous) else (previous + 1 + int(draw * 1e6)) % _GENERATIONS or 1


def follows(one: int, other: int) -> bool:
    """
    Whether generation `one` is newer than `other`: serial number arithmetic (RFC 1982).

    There is no highest number, so nobody can write one that no token comes after. 0 is that of no token.
    """
    if not one or not other:
        return one > other
    return 0 < (one - other) % _GENERATIONS < _GENERATIONS // 2


def minted_later(sent_at: float, received_at: float) -> bool:
    """Whether a token that was asked for then is surely newer than one that was there then, whatever their numbers."""
    return received_at > -math.inf and sent_at > received_at + _SLACK


def believable(record: Record, now: float) -> Record:
    """
    Leave out of a record what nobody can have written at a time like this, in good faith.

    If a clock was ahead when it was written and has been put right since, leases and pauses would last for hours. A
    store may also hold what somebody else has put there: a token is held to the rules of WeChat's answers.
    """
    changes = _of_pauses(record, now)
    # Not later than now. The comparisons are such that what is no number counts as too late.
    late = [name for name in _PAST if not getattr(record, name) <= now + _SLACK]
    changes |= {name: now if name in ("sent_at", "received_at") else -math.inf for name in late}
    changes |= {name: _MOST for name in ("refusals", "forced") if not 0 <= getattr(record, name) <= _MOST}
    if not 0 <= record.generation < _GENERATIONS:
        changes["generation"] = record.generation % _GENERATIONS
    if record.value is not None and no_token(record, now):
        # Without its number, too: who holds a good token writes that over it.
        changes |= {"value": None, "generation": 0, "put_back": False}
        changes |= dict.fromkeys(("expires_at", "sent_at", "received_at"), -math.inf)
    if record.refresh is not None and not is_token(record.refresh):
        changes["refresh"] = None
    return replace(record, **changes) if changes else record


_PAST = ("refusals_at", "forced_at", "sent_at", "received_at")


def _of_pauses(record: Record, now: float) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if record.lease is not None and not record.lease.until <= now + LONGEST_LEASE:
        changes["lease"] = None
    cooldown = record.cooldown
    if cooldown is not None and not cooldown.until <= now + LONGEST_PAUSE + _SLACK:
        changes["cooldown"] = None
    elif cooldown is not None and not 0 <= cooldown.streak <= _MOST:
        changes["cooldown"] = replace(cooldown, streak=_MOST)
    return changes


def no_token(record: Record, now: float) -> str:
    """Why the value of a record cannot be a token of WeChat's, whether or not it is over; empty if it can."""
    if not is_token(record.value):
        return "its value is not a token: up to 4096 characters of visible ASCII, without blanks"
    if record.expires_at == -math.inf:
        return "it does not say when the token ends (expires_at, in seconds by the clock of Loaded.now)"
    if not record.expires_at <= now + LONGEST_LIFE + _SLACK:
        return "the end of the token (expires_at, in seconds by the clock of Loaded.now) is more than a day away"
    return ""


def keep_until(record: Record) -> float:
    """Until when a store should keep `record`: the end of its token's life, or of anything else that it remembers."""
    if record.refresh is not None:
        return math.inf
    ends = [record.expires_at, record.refusals_at + 600.0, record.forced_at + _DAY]
    if record.lease is not None:
        ends.append(record.lease.until)
    if record.cooldown is not None:
        # A little longer, so that the next failure is known to be one more in a row.
        ends.append(record.cooldown.until + 600.0)
    return max(ends)
