"""
Where a token is kept, so that one fetch serves many.

A store has two verbs: load a record, and save one only if nobody saved meanwhile (compare-and-swap). Leases, the order
of answers, budgets and the memory of failures are all in the record, and what to do with it is decided elsewhere; so a
store of your own is two short methods.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from .._rules.identity import record_key
from .._rules.models import Cause, Cooldown, Failure, Lease, Loaded, Record
from .._rules.policies import keep_until
from ._codec import dumps as dumps_record
from ._codec import loads as loads_record
from ._urls import store_from_url

__all__ = [
    "Cause",
    "Cooldown",
    "Failure",
    "Lease",
    "Loaded",
    "Record",
    "TokenStore",
    "dumps_record",
    "keep_until",
    "loads_record",
    "record_key",
    "store_from_url",
]


@runtime_checkable
class TokenStore(Protocol):
    """
    Remembers one `Record` for each key.

    Attributes:
        shared: Whether other processes write to it, too. Then each process looks at it from time to time.

    A store that keeps what it is given until it is replaced, whatever happens, has ``durable = True``, too: then a
    `Platform` trusts it with refresh tokens.
    """

    @property
    def shared(self) -> bool: ...

    def load(self, key: str) -> Loaded:
        """Read the record of `key`, its version, and the store's clock."""

    def save(self, key: str, record: Record, version: Any) -> Any | None:
        """
        Replace the record of `key`, if nothing was saved since `version` was loaded: a compare-and-swap, in one step.

        Returns:
            The new version, never ``None``; or ``None`` if somebody saved meanwhile: then nothing has changed.
        """
