"""The values that a store under test is given."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .._rules.identity import record_key
from .._rules.models import Account, Record

SECRET = "5ec2e75ec2e75ec2e75ec2e75ec2e75e"  # noqa: S105 - nobody's
TOKEN = "88_T0kenT0kenT0ken-_"  # noqa: S105 - opens nothing
ACCOUNT = Account("wx1", SECRET)
KEY = record_key(ACCOUNT, "stable")


def record(now: float, generation: int = 1, **changes: Any) -> Record:
    """Make a record with a good token, as after a fetch."""
    made = Record(generation, TOKEN, expires_at=now + 7200, sent_at=now - 0.2, received_at=now)
    return replace(made, **changes)
