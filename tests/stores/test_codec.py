"""A record as text: what was written before is read, and what cannot be read is no record."""

from __future__ import annotations

import json
import math
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wxmiddleware.stores import Cause, Cooldown, Failure, Lease, Record, dumps_record, loads_record

NEVER = st.just(-math.inf)
TIMES = st.floats(-1e12, 1e12) | NEVER
COUNTS = st.integers(0, 2**53)
TOKENS = st.none() | st.text(min_size=1, max_size=50)
RECORDS = st.builds(
    Record,
    generation=COUNTS,
    value=TOKENS,
    expires_at=TIMES | st.just(math.inf),
    sent_at=TIMES,
    received_at=TIMES,
    rejected_at=TIMES,
    rejections=COUNTS,
    forced_at=TIMES,
    forced_day=COUNTS,
    forced=COUNTS,
    owed_until=TIMES,
    refresh=TOKENS,
)


@given(RECORDS)
def test_round_trip(record: Record) -> None:
    """What was written is read."""
    assert record == loads_record(dumps_record(record))


def test_older_record() -> None:
    """A record from before there were refresh tokens is read, and one without is written as before."""
    counts = '"rejections": 0, "forced_day": 0, "forced": 0'
    old = f'{{"format": 1, "generation": 5, "value": "88_x", "expires_at": 10.0, {counts}}}'

    assert Record(5, "88_x", 10.0) == loads_record(old)
    assert json.loads(old) == json.loads(dumps_record(Record(5, "88_x", 10.0)))


def test_newer_record() -> None:
    """A record with fields that this version does not know is read without them."""
    newer = json.loads(dumps_record(Record(5, "88_x", 10.0))) | {"colour": "red", "owed": {"by": [1]}}

    assert Record(5, "88_x", 10.0) == loads_record(json.dumps(newer))


@pytest.mark.parametrize("name", ["value", "refresh"])
@pytest.mark.parametrize("wrong", ["", 1, [], {}])
def test_no_token(name: str, wrong: Any) -> None:
    """Where a token should be there is one, or this is no record."""
    assert loads_record(json.dumps({"format": 1, name: wrong})) is None


def test_texts() -> None:
    """A text from a store has no line of its own, is not endless, and is otherwise as it was."""
    failure = Failure(Cause.PERMANENT, "No:\n\x1b[31m\u6210\u529f" + "x" * 9000, 40164, "a\tb", "c\r\nd")
    read = loads_record(dumps_record(Record(lease=Lease("o" * 9000, 5.0), cooldown=Cooldown(5.0, failure))))
    assert read is not None
    assert read.cooldown is not None
    assert read.lease is not None
    told = read.cooldown.failure

    assert told.message.startswith("No:??[31m\u6210\u529fx")
    assert (len(told.message), len(read.lease.owner)) == (2000, 500)
    assert (told.errmsg, told.rid) == ("a?b", "c??d")


@pytest.mark.parametrize("errcode", [2**63, -(2**63), 10**400, "4" * 500])
def test_errcode(errcode: Any) -> None:
    """An errcode that no language could hold is none."""
    failure = {"cause": "permanent", "message": "No.", "errcode": errcode}
    cooldown = {"until": 5.0, "streak": 1, "failure": failure}

    assert loads_record(json.dumps({"format": 1, "cooldown": cooldown})) is None
    failure["errcode"] = 40164
    assert loads_record(json.dumps({"format": 1, "cooldown": cooldown})) is not None


def test_tokens_do_not_show() -> None:
    """A repr shows neither token nor refresh token."""
    assert [] == [field.name for field in fields(Record) if field.name in ("value", "refresh") and field.repr]
