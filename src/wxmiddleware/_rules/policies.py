"""
When: pure functions of numbers.

Every figure here has its reason in docs/why.md. Times and windows are in seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from .copies import replace
from .models import LONGEST_LIFE, Cause, Cooldown, Record, Snapshot, is_token

# A lease covers a fetch's own 5 s and some room, and is shorter than a caller waits.
LEASE = 8.0
# Rate limit: rejected tokens cause at most one fetch in this time, fleet-wide.
REJECTION_PAUSE = 30.0
# The same where a fetch costs nothing: a token that somebody else owns, in a file or at a hub.
CHEAP_PAUSE = 1.0
# A copy of such a token may lag behind for so long: until then one that was rejected does not come back.
CHEAP_LAG = 60.0
# And the longest back-off there, unless the source names one.
CHEAP_BACKOFF = 5.0
# After so many such fetches in a row that cured nothing, the limit backs off exponentially: something else is wrong.
REJECTION_STREAK = 10
# A token that lived so long before it was rejected: whatever was wrong before has been cured.
REJECTION_CURED_AFTER = 300.0
# Circuit breaker: after so many failures in a row the store is not called for so long.
FAILURE_THRESHOLD = 3
OPEN_SECONDS = 5.0
# For so long after its last failure the store is read every OPEN_SECONDS or so, until all processes have told it
# what they fetched meanwhile.
RECOVERY_WINDOW = 15.0
# A store that has not answered for so long hangs: the circuit breaker opens at once, and for so long.
CALL_TIMEOUT = 6.0
OPEN_AFTER_HANG = 30.0
# WeChat allows 20 forced refreshes a day, 30 s apart; half of them stay with the account's owner.
FORCED_PAUSE = 30.0
FORCED_PER_DAY = 10
# The day's budget of requests, counted in the record: 300 at once, then 500 a day: at most 800 in any 24 hours.
# WeChat allows 2000 fetches a day of the classic endpoint, also for what else the account's owner has.
BUDGET_PER_DAY = 500
BUDGET_AT_ONCE = 300
# Where each fetch revokes the token before, a process that cannot see what others fetch counts each of its own for so
# many: there may be as many processes, each of which ends the others' tokens.
BUDGET_ALONE = 8.0
# So many of the times at which rejected tokens were replaced are kept: enough to see whether they are regular.
REPLACED_KEPT = 8
# A replaced classic token lives for 300 s at most; 10 s are for the way.
DOUBTFUL_LIFE = 290.0
# Longer than between two reads of the store: nobody asked this process for a token meanwhile. Its token may have been
# replaced, and then dies within 300 s; a read costs less than a rejected call, and than a second one if the next token
# is dead as well.
OUT_OF_TOUCH = 60.0
# A token that is rejected so soon after it was minted: WeChat's APIs may not know it yet. The one before may still be
# good, and serves for a moment until the new one is tried again.
JUST_MINTED = 10.0
KNOWN_AFTER = 3.0
# Three rejected tokens that this process fetched itself in a quarter of an hour: another system fetches, too.
SUSPICION_WINDOW = 900.0
SUSPICION_COUNT = 3

# After this many lost answers in a row their back-off is more than 15 s, and doubles up to this.
_FEW = 5
_LOST_LONGEST = 120.0
# The longest back-off towards WeChat, and the longest lease.
MAX_BACKOFF = 600.0
LONGEST_LEASE = 60.0
# What a source may take for a fetch: a lease covers that, and saves that are slow.
LONGEST_FETCH = 50.0
# Clocks that are compared here may differ by so much.
_SLACK = 5.0
# No counter of a record goes further: neither what comes in a row, nor what is done in a day.
_MOST = 1000
# Whoever keeps no token fetches one for each call.
_MOST_FETCHES = 1_000_000
# The number of generations; then they begin anew.
_GENERATIONS = 2**63

_DAY = 86_400
_SECONDS_PER_REQUEST = _DAY / BUDGET_PER_DAY  # seconds of the day for a request
_CHINA = 8 * 3600  # the quota's day presumably ends at midnight there


class State(StrEnum):
    """What a snapshot is good for at a given time."""

    EMPTY = "empty"
    FRESH = "fresh"  # use it
    AHEAD = "ahead"  # use it, and renew it in the background (refresh-ahead, stale-while-revalidate)
    EXPIRED = "expired"  # do not use it
    REJECTED = "rejected"  # an API rejected it: do not use it


def state(snapshot: Snapshot, now: float) -> State:
    """Tell what `snapshot` is good for."""
    if not snapshot.value:
        return State.EMPTY
    if snapshot.rejected:
        return State.REJECTED
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
        ahead: The window at the end of a token's life in which it is renewed, in seconds.
        refresh_after: Renew a token so many seconds after this process took it, even if its end is far.
        revalidate_every: Seconds between two reads of a shared store, with a jitter of a quarter either way.
    """

    ahead: float
    refresh_after: float | None = None
    revalidate_every: float = 40.0


def ahead_at(now: float, expires_at: float, timing: Timing, draw: float) -> float:
    """
    From when on a token is renewed while it is still handed out.

    The window is never more than a quarter of what is left of the life. A jitter by `draw` (0 to 1) makes it up to
    60 s shorter, so that the processes of a fleet do not refresh all at once (thundering herd, cache stampede).
    """
    window = min(timing.ahead, (expires_at - now) / 4)
    start = expires_at - window + draw * min(60.0, window / 5)
    if timing.refresh_after is not None:
        start = min(start, now + timing.refresh_after)
    return start


def revalidate_at(now: float, pause: float, draw: float) -> float:
    """When to read a shared store again: in `pause` seconds, with a jitter of a quarter either way."""
    return now + pause * (0.75 + draw / 2)


def backoff(cause: Cause, streak: int, *, has_token: bool, draw: float, cheap: bool = False) -> float:
    """
    Seconds without a request to WeChat after the `streak`-th failure in a row: exponential back-off.

    With full jitter from 1 s on, but for errors that a person must mend and a spent quota, which have none, and for
    many lost answers, which have half of it.

    Args:
        cause: What kind of failure it was; each kind has a limit of its own.
        streak: Failures in a row as `streak_after` counts them, this one included.
        has_token: Whether there is a token to use meanwhile.
        draw: A random number from 0 to 1, the jitter.
        cheap: Whether a request costs nothing; then the back-off is `CHEAP_BACKOFF` at most.
    """
    if cheap:
        return min(CHEAP_BACKOFF, backoff(cause, streak, has_token=has_token, draw=draw))
    doubled = 2.0 ** min(streak - 1, 16)
    if cause is Cause.QUOTA:
        return 600.0
    if cause is Cause.PERMANENT:
        return min(60.0 * doubled, 600.0)
    if cause is Cause.AMBIGUOUS and streak > _FEW:
        # Each may have cost a fetch of the day's quota, and WeChat may answer late all day.
        longest = min(15.0 * 2.0 ** (min(streak, 16) - _FEW), _LOST_LONGEST)
        return longest * (1.0 + draw) / 2.0
    cap = 15.0 if cause is Cause.AMBIGUOUS else 60.0 if has_token else 30.0
    return 1.0 + draw * (min(doubled, cap) - 1.0)


def streak_after(before: Cooldown, cause: Cause) -> int:
    """
    Count the failures in a row, of which `before` was the last.

    Lost answers and transient failures may alternate, and are a streak all the same, up to the one after which the
    longer back-offs of lost answers begin: these take two lost answers in a row.
    """
    if before.failure.cause is cause:
        return before.streak + 1
    transient = (Cause.TRANSIENT, Cause.AMBIGUOUS)
    return min(before.streak + 1, _FEW) if before.failure.cause in transient and cause in transient else 1


def rejection_wait(record: Record, now: float, streak: int, *, cheap: bool = False) -> float:
    """
    Seconds until a rejected token may cause a fetch: 0 if it may now (rate limit with back-off).

    Args:
        record: The fleet's; it says when a rejection last caused a fetch.
        now: The time on the record's clock.
        streak: Fetches in a row, caused by rejections, that cured nothing.
        cheap: Whether a fetch costs nothing, and ends no token: then it is worth another try soon, however often.
    """
    gap = CHEAP_PAUSE if cheap else REJECTION_PAUSE
    if streak >= REJECTION_STREAK and not cheap:
        gap = backoff(Cause.PERMANENT, streak - REJECTION_STREAK + 1, has_token=True, draw=0.0)
    return max(0.0, record.rejected_at + gap - now)


def budget_wait(record: Record, now: float, cost: float = 1.0) -> float:
    """
    Seconds until the day's budget allows a request: 0 if it does now.

    The budget is a token bucket, kept as one time (GCRA): each request moves `Record.owed_until` on by what it takes to
    pay for it. Any 24 hours see at most the sum of `BUDGET_AT_ONCE` and `BUDGET_PER_DAY` requests.

    Args:
        record: The fleet's.
        now: On the record's clock.
        cost: For how many the request counts.
    """
    return max(0.0, record.owed_until + cost * _SECONDS_PER_REQUEST - now - BUDGET_AT_ONCE * _SECONDS_PER_REQUEST)


def request_cost(*, alone: bool, rejection: bool) -> float:
    """
    For how many requests of the budget one counts.

    Args:
        alone: Whether the process cannot see what others fetch, and each fetch revokes the token before.
        rejection: Whether a rejection is the reason. The rejected token then stays in use for other callers; else
            there may be none, and nobody is without for more than `MAX_BACKOFF`.
    """
    if not alone:
        return 1.0
    return BUDGET_ALONE if rejection else MAX_BACKOFF / _SECONDS_PER_REQUEST


def charged(record: Record, now: float, cost: float = 1.0) -> Record:
    """Count a request, or take it off with a negative `cost`, as nothing was sent after all."""
    owed_until = max(record.owed_until, now) + cost * _SECONDS_PER_REQUEST
    return replace(record, owed_until=min(owed_until, now + BUDGET_AT_ONCE * _SECONDS_PER_REQUEST))


def china_day(wall: float) -> int:
    """The day that WeChat's daily limits count for."""
    return int((wall + _CHINA) // _DAY)


def counted(record: Record, requests: int, day: int) -> Record:
    """Count so many requests to the token endpoint on this day of China's time."""
    return replace(record, fetched_day=day, fetched=requests + (record.fetched if record.fetched_day == day else 0))


def forced_wait(record: Record, now: float, wall: float) -> float:
    """Seconds until the forced mode may be used; 0 if now. `now` is on the record's clock, `wall` tells the day."""
    if record.forced_day == china_day(wall) and record.forced >= FORCED_PER_DAY:
        return _DAY - (wall + _CHINA) % _DAY
    return max(0.0, record.forced_at + FORCED_PAUSE - now)


def next_generation(previous: int, now: float, draw: float) -> int:
    """
    A number above every earlier one, also if the record was evicted.

    Args:
        previous: The newest generation that is known.
        now: The store's clock, so that it is everybody's; where it cannot be reached, seconds since 1970.
        draw: A random number from 0 to 1: two that follow the same number from the future are not the same.
    """
    told = max(0, math.floor(now * 1e6)) % _GENERATIONS
    # Only then: without a store, a process that fetches twice in a second would else outnumber one that fetches later.
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
    """Whether a token requested at `sent_at` is surely newer than one received at `received_at`, by the same clock."""
    return received_at > -math.inf and sent_at > received_at + _SLACK


def sanitized(record: Record, now: float) -> Record:
    """
    Leave out of a record what no process with a correct clock can have written by `now`, the store's time.

    If a clock was ahead when it was written and has been put right since, leases and pauses would last for hours. A
    store may also hold what somebody else has put there: a token is held to the rules of WeChat's answers.
    """
    changes = _of_pauses(record, now)
    # Not later than now. The comparisons are such that what is no number counts as too late.
    late = [name for name in _PAST if not getattr(record, name) <= now + _SLACK]
    if "sent_at" in late and 0.0 < record.expires_at - record.sent_at < LONGEST_LIFE:
        # The clock was ahead when the end was reckoned, too. It was fetched before now, and lives for so long.
        changes["expires_at"] = now + (record.expires_at - record.sent_at)
    changes |= {name: now if name in ("sent_at", "received_at") else -math.inf for name in late}
    if len(record.replaced) > REPLACED_KEPT or not all(time <= now + _SLACK for time in record.replaced):
        changes["replaced"] = tuple(time for time in record.replaced if time <= now + _SLACK)[-REPLACED_KEPT:]
    changes |= {name: _MOST for name in ("rejections", "forced") if not 0 <= getattr(record, name) <= _MOST}
    if not 0 <= record.fetched <= _MOST_FETCHES:
        changes["fetched"] = _MOST_FETCHES
    if not 0 <= record.generation < _GENERATIONS:
        changes["generation"] = record.generation % _GENERATIONS
    if record.value is not None and no_token(record, now):
        # Without its number, too: a process that holds a good token writes that over it (read repair).
        changes |= {"value": None, "generation": 0, "put_back": False}
        changes |= dict.fromkeys(("expires_at", "sent_at", "received_at"), -math.inf)
    if record.refresh is not None and not is_token(record.refresh):
        changes["refresh"] = None
    return replace(record, **changes) if changes else record


_PAST = ("rejected_at", "forced_at", "sent_at", "received_at")


def _of_pauses(record: Record, now: float) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if record.lease is not None and not record.lease.until <= now + LONGEST_LEASE + _SLACK:
        changes["lease"] = None
    cooldown = record.cooldown
    if cooldown is not None and not cooldown.until <= now + MAX_BACKOFF + _SLACK:
        changes["cooldown"] = None
    elif cooldown is not None and not 0 <= cooldown.streak <= _MOST:
        changes["cooldown"] = replace(cooldown, streak=_MOST)
    if not record.owed_until <= now + BUDGET_AT_ONCE * _SECONDS_PER_REQUEST + _SLACK:
        changes["owed_until"] = -math.inf
    return changes


def no_token(record: Record, now: float) -> str:
    """Why the value of a record cannot be a token of WeChat's, expired or not; empty if it can."""
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
    ends = [record.expires_at, record.rejected_at + 600.0, record.forced_at + _DAY, record.owed_until]
    if record.lease is not None:
        ends.append(record.lease.until)
    if record.cooldown is not None:
        # A little longer, so that the next failure is known to be one more in a row.
        ends.append(record.cooldown.until + 600.0)
    return max(ends)
