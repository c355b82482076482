"""A record as text: what was written before is read, and what cannot be read is no record."""

from __future__ import annotations

import json
import math
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wxmiddleware.exceptions import StoreError
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
    fetched_day=COUNTS,
    fetched=COUNTS,
    owed_until=TIMES,
    replaced=st.lists(st.floats(-1e12, 1e12), max_size=8).map(tuple),
    refresh=TOKENS,
)


@given(RECORDS)
def test_round_trip(record: Record) -> None:
    """What was written is read."""
    assert record == loads_record(dumps_record(record))


def test_older_record() -> None:
    """A record from before there were refresh tokens and counts of a day is read; one without is written as before."""
    counts = '"rejections": 0, "forced_day": 0, "forced": 0'
    old = f'{{"v": 1, "generation": 5, "value": "88_x", "expires_at": 10.0, {counts}}}'

    assert Record(5, "88_x", 10.0) == loads_record(old)
    assert json.loads(old) | {"fetched_day": 0, "fetched": 0} == json.loads(dumps_record(Record(5, "88_x", 10.0)))


GOLDEN = Path(__file__).with_name("record-v1.json")
FULL = Record(
    generation=1_700_000_000_000_000,
    value="88_T0kenT0ken-_",
    expires_at=1_700_007_199.75,
    sent_at=1_699_999_999.75,
    received_at=1_700_000_000.0,
    put_back=True,
    lease=Lease("web-1/4711/812345/9f8e7d6c5b4a/0a1b2c3d", 1_700_006_608.0),
    cooldown=Cooldown(
        1_700_000_060.0,
        Failure(
            Cause.PERMANENT,
            "WeChat gives no token (40164): add 10.0.0.1 to the account's IP allowlist.",
            errcode=40164,
            errmsg="invalid ip 10.0.0.1",
            rid="6475b1c2-0a1b2c3d-4e5f6a7b",
            retry_after=60.0,
        ),
        streak=2,
        rejected=1_699_990_000_000_000,
        mark="0123456789ab",
    ),
    rejected_at=1_699_999_990.0,
    rejections=1,
    forced_at=1_699_999_980.0,
    forced_day=19676,
    forced=3,
    refresh="refreshtoken@@@0123456789",
    owed_until=1_700_000_172.8,
    replaced=(1_699_992_990.5, 1_699_999_990.0),
    fetched_day=19_676,
    fetched=14,
)
CHANGED = (
    "The format of a record has changed, and it is a contract (docs/record.md): fleets run two versions at once, and "
    "programs in other languages read it. A new field: add it to record-v1.json and to the page, and see that what an "
    "older version makes of it (it keeps the value as it is) does no harm. Anything else needs a new number `v`, one "
    "release after a version that reads it."
)


def test_golden() -> None:
    """What is written is what has always been written."""
    golden = json.loads(GOLDEN.read_text())

    assert golden == json.loads(dumps_record(FULL)), CHANGED
    assert FULL == loads_record(GOLDEN.read_text()), CHANGED
    assert {field.name for field in fields(Record)} - {"extra"} == set(golden) - {"v"}, CHANGED


def test_nothing_said() -> None:
    """What WeChat did not say of a failure is null, and read as that."""
    record = Record(cooldown=Cooldown(5.0, Failure(Cause.TRANSIENT, "No.")))
    failure = json.loads(dumps_record(record))["cooldown"]["failure"]

    assert {"errcode", "rid", "retry_after"} == {name for name, value in failure.items() if value is None}
    assert record == loads_record(dumps_record(record))


def test_page() -> None:
    """The page names each field of the golden record, and no other."""
    page = (Path(__file__).parents[2] / "docs" / "record.md").read_text(encoding="utf-8")
    golden = json.loads(GOLDEN.read_text())
    table = page.partition("\n## The fields")[2].partition("\n## ")[0]
    inner = {
        *(f"lease.{name}" for name in golden["lease"]),
        *(f"cooldown.{name}" for name in golden["cooldown"] if name != "failure"),
        *(f"cooldown.failure.{name}" for name in golden["cooldown"]["failure"]),
    }

    assert set(golden) - {"lease", "cooldown"} | inner == set(re.findall(r"^\| `([\w.]+)`", table, re.M)), CHANGED


def newer(**more: Any) -> str:
    """A record that a later version has written."""
    return json.dumps(json.loads(dumps_record(Record(5, "88_x", 10.0))) | more)


def test_newer_record() -> None:
    """What a later version has added is kept, and written back as it was."""
    record = loads_record(newer(colour="red", owed={"by": [1]}))
    assert record is not None
    later = json.loads(dumps_record(replace(record, generation=6).shifted(5.0)))

    assert (6, "88_x", 15.0) == (later["generation"], later["value"], later["expires_at"])
    assert ("red", {"by": [1]}) == (later["colour"], later["owed"])
    assert "red" not in repr(record)


@pytest.mark.parametrize("more", [{"colour": "x" * 9000}, {"colour": json.loads("[" * 200 + "]" * 200)}])
def test_endless_additions(more: dict[str, Any]) -> None:
    """Nobody makes a record grow without end; the token in it is read all the same."""
    assert Record(5, "88_x", 10.0) == loads_record(newer(**more))


def test_nothing_added_replaces_a_field() -> None:
    """What a store holds beside a record counts for nothing, be it called like a field, the format or a stamp."""
    text = dumps_record(Record(5, "88_x", 10.0, extra={"value": "other", "v": 2, "stamp": "a", "colour": "red"}))

    assert newer(colour="red") == text


def test_newer_kind_of_failure() -> None:
    """A pause after a failure of a kind that only a later version knows is kept, and the token with it."""
    failure = {"cause": "tired", "message": "No."}
    record = loads_record(newer(cooldown={"until": 5.0, "streak": 1, "failure": failure}))

    assert record is not None
    assert record.value == "88_x"
    assert record.cooldown == Cooldown(5.0, Failure(Cause.TRANSIENT, "No."))


@pytest.mark.parametrize("cause", [None, 5, [], {}])
def test_no_kind_of_failure(cause: Any) -> None:
    """Where a kind should be there is a word, or this is no record."""
    assert loads_record(newer(cooldown={"until": 5.0, "streak": 1, "failure": {"cause": cause, "message": ""}})) is None


def test_format_that_cannot_be_read() -> None:
    """A record of a later format is an error, and so is nobody's to replace."""
    with pytest.raises(StoreError, match="later version"):
        loads_record(newer(v=2))


@pytest.mark.parametrize("name", ["value", "refresh"])
@pytest.mark.parametrize("wrong", ["", 1, [], {}])
def test_no_token(name: str, wrong: Any) -> None:
    """Where a token should be there is one, or this is no record."""
    assert loads_record(json.dumps({"v": 1, name: wrong})) is None


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

    assert loads_record(json.dumps({"v": 1, "cooldown": cooldown})) is None
    failure["errcode"] = 40164
    assert loads_record(json.dumps({"v": 1, "cooldown": cooldown})) is not None


def test_tokens_do_not_show() -> None:
    """A repr shows neither token nor refresh token."""
    assert [] == [field.name for field in fields(Record) if field.name in ("value", "refresh") and field.repr]
