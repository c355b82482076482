"""Who else fetches tokens of this account, since when and how regularly, as the record and WeChat's count tell it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING

from ..._rules.models import Record, WeComAccount
from ..._rules.policies import china_day
from .findings import Finding, fail, ok, skip

if TYPE_CHECKING:
    from .examination import Examination

_FEW = 3
# A replaced token is noticed late: it lives on for 300 s, and nobody may call meanwhile.
_NOTICED = 400.0
_SHORTEST = 600.0
_PRECISION = 50.0  # more would be made up
_DAY = 86_400.0
_UNNOTICED = 3  # counts of WeChat's may be off by about one per cent, and tests are run by hand


def look_at_rivals(examination: Examination) -> Finding:
    """See whether another system fetches tokens for this account."""
    record = examination.record
    if record is None:
        return skip("record.unknown")
    return judge_rivals(record, examination.now, _used(examination))


def _used(examination: Examination) -> int | None:
    """What WeChat has counted today at the classic endpoint, if that is where the fleet's tokens come from."""
    if isinstance(examination.account, WeComAccount) or not examination.source.revokes_previous:
        return None
    said = examination.quota_of("/cgi-bin/token")
    used = None if said is None or said.errcode != 0 else said.part("quota").get("used")
    return used if isinstance(used, int) else None


def judge_rivals(record: Record, now: float, used: int | None = None) -> Finding:
    """
    Judge what speaks for another system.

    Args:
        record: The fleet's; it has the last times at which a rejected token was replaced.
        now: The time of the record.
        used: Fetches that WeChat has counted today, of everybody.
    """
    lately = [each for each in record.replaced if now - each < 7 * _DAY]
    ours = record.fetched if record.fetched_day == china_day(now) else 0
    theirs = 0 if used is None else max(0, used - ours)
    data = {"replaced": len(lately), "fetched_today": ours, "used_today": used}
    if len(lately) < _FEW and theirs <= _UNNOTICED:
        if not lately:
            return ok("rivals.none", data=data)
        return ok("rivals.once", count=len(lately), since=_time_of(lately[0]), data=data)
    if len(lately) < _FEW:
        return fail("rivals.counted", used=used, ours=ours, theirs=theirs, data=data)
    every = period(lately)
    fields = {"count": len(lately), "since": _time_of(lately[0]), "last": _time_of(lately[-1])}
    if every is None:
        return fail("rivals.irregular", data=data, **fields)
    every = round(every / _PRECISION) * _PRECISION
    return fail("rivals.regular", every=every, data={**data, "every": round(every)}, **fields)


def period(times: Sequence[float]) -> float | None:
    """
    The period of a timer that may have led to these times; ``None`` if they are not regular.

    Each was noticed up to some minutes late, and one or another not at all: so a gap may be several periods long.
    """
    gaps = [after - before for before, after in pairwise(times)]
    shortest = min(gaps)
    if len(gaps) < _FEW - 1 or shortest < _SHORTEST:
        return None
    turns = [max(1, round(gap / shortest)) for gap in gaps]
    every = statistics.fmean(gap / count for gap, count in zip(gaps, turns, strict=True))
    regular = all(abs(gap - count * every) <= _NOTICED for gap, count in zip(gaps, turns, strict=True))
    return every if regular else None


def _time_of(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%m-%d %H:%M UTC")
