"""
A record as text, for stores that other processes read: a contract, which docs/record.md writes down.

One JSON object with the number of its format, `v`. What is never (minus infinity) is left out. What a later version
adds within the same format is kept and written back as it was.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from dataclasses import fields as fields_of
from typing import Any, TypeVar

from .._rules.models import NOTHING_MORE, Cause, Cooldown, Failure, Lease, Record, one_line
from ..exceptions import StoreError

_Value = TypeVar("_Value")
# Raised only by a version whose predecessor reads the new format already: docs/record.md says why.
_FORMAT = 1
_TIMES = ("expires_at", "sent_at", "received_at", "rejected_at", "forced_at", "owed_until")
_COUNTS = ("generation", "rejections", "forced_day", "forced", "fetched_day", "fetched")
# Values that no correct process writes: seconds some 30,000 years off, and numbers that other languages cannot hold.
_FURTHEST = 1e12
_MOST = 2**63
_MOST_TIMES = 64
# Texts are for people: what WeChat said, and what to do.
_LONGEST_TEXT = 2000
_LONGEST_NAME = 500
# What later versions have added is kept up to so many characters, and lists and objects in it: nobody shall make
# records grow without end.
_LONGEST_EXTRA = 8000
_DEEPEST_EXTRA = 100
_KNOWN = {field.name for field in fields_of(Record)} - {"extra"}
# Not the record's: its format, and the stamp that MemcachedStore writes beside it.
_APART = {"v", "stamp"}


class LaterVersion(StoreError):
    """The store holds what a later version of wxmiddleware has written, in a format that this one cannot read."""


def dumps(record: Record) -> str:
    """Write a record as one line of JSON."""
    extra, known = record.extra, asdict(replace(record, extra={}) if record.extra else record)
    del known["extra"]
    if known["cooldown"] is not None:
        del known["cooldown"]["failure"]["mark"]  # which is the cool-down's
    said = {name: value for name, value in known.items() if not _goes_without_saying(value)}
    return json.dumps({"v": _FORMAT, **said, **{name: extra[name] for name in extra if name not in _KNOWN | _APART}})


def _goes_without_saying(value: Any) -> bool:
    return value is None or value is False or value in (-math.inf, ())


def loads(text: str | bytes) -> Record | None:
    """
    Read a record.

    Returns:
        The record; ``None`` if this is none (cut off, overwritten by something else): then it may be replaced.

    Raises:
        LaterVersion: It is in a format that this version cannot read; it must not be replaced.
    """
    try:
        return parsed(json.loads(text))
    except (ValueError, TypeError, RecursionError):
        return None


def parsed(fields: Any) -> Record | None:
    """Read a record as `loads` does, when its JSON is parsed already."""
    try:
        if fields["v"] == _FORMAT:
            return _record(fields)
        newer = isinstance(fields["v"], int) and fields["v"] > _FORMAT
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError):
        return None
    if newer:
        raise LaterVersion("The store holds a record of a later version of wxmiddleware. Update this process, too.")
    return None


def _record(fields: dict[str, Any]) -> Record:
    value, refresh = _token(fields.get("value")), _token(fields.get("refresh"))
    lease, cooldown = fields.get("lease"), fields.get("cooldown")
    numbers: dict[str, Any] = {
        name: _time(fields[name], endless=name == "expires_at") for name in _TIMES if name in fields
    }
    numbers.update({name: _count(fields[name]) for name in _COUNTS if name in fields})
    return Record(
        value=value,
        refresh=refresh,
        put_back=bool(fields.get("put_back")),
        lease=None if lease is None else Lease(_text(lease["owner"], _LONGEST_NAME), _time(lease["until"])),
        cooldown=None if cooldown is None else _cooldown(cooldown),
        replaced=_times(fields.get("replaced", ())),
        extra=_extra(fields),
        **numbers,
    )


def _extra(fields: dict[str, Any]) -> Mapping[str, Any]:
    extra = {name: fields[name] for name in fields if name not in _KNOWN | _APART}
    if not extra:
        return NOTHING_MORE
    text = json.dumps(extra)
    return (
        extra if len(text) <= _LONGEST_EXTRA and text.count("[") + text.count("{") <= _DEEPEST_EXTRA else NOTHING_MORE
    )


def _token(value: Any) -> str | None:
    if value is not None and (not isinstance(value, str) or not value):
        raise ValueError
    return value


def _cooldown(fields: dict[str, Any]) -> Cooldown:
    failure = fields["failure"]
    return Cooldown(
        until=_time(fields["until"]),
        streak=_count(fields["streak"]),
        rejected=_count(fields.get("rejected", 0)),
        mark=_text(fields.get("mark", ""), _LONGEST_NAME),
        failure=Failure(
            _cause(failure["cause"]),
            _text(failure["message"]),
            errcode=_or_none(_number, failure.get("errcode")),
            errmsg=_text(failure.get("errmsg", "")),
            rid=_or_none(_text, failure.get("rid")),
            retry_after=_or_none(_time, failure.get("retry_after")),
        ),
    )


def _cause(value: Any) -> Cause:
    """The kind of a failure; of one that only a later version knows all that can be said is that it may pass."""
    try:
        return Cause(value)
    except ValueError:
        if isinstance(value, str):
            return Cause.TRANSIENT
        raise


def _time(value: Any, *, endless: bool = False) -> float:
    number = float(value)
    if not abs(number) <= _FURTHEST and not (endless and number == math.inf):
        raise ValueError
    return number


def _times(value: Any) -> tuple[float, ...]:
    if not isinstance(value, list | tuple):
        raise TypeError
    return tuple(_time(each) for each in value[-_MOST_TIMES:])


def _number(value: Any) -> int:
    number = int(value)
    if not -_MOST < number < _MOST:
        raise ValueError
    return number


def _count(value: Any) -> int:
    number = _number(value)
    if number < 0:
        raise ValueError
    return number


def _or_none(read: Callable[[Any], _Value], value: Any) -> _Value | None:
    return None if value is None else read(value)


def _text(value: Any, longest: int = _LONGEST_TEXT) -> str:
    if not isinstance(value, str):
        raise TypeError
    return one_line(value, longest)
