"""What is kept of an account that authorised a platform or a corp that authorised a suite, and how it is dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._rules.copies import replace
from ._rules.models import Grant, Record
from ._rules.policies import next_generation

if TYPE_CHECKING:
    from ._engine.token import CachedToken

__all__ = ["drop", "keep"]

# For how long a record says that somebody has left. By then no token of theirs is good, in any process's memory.
_REMEMBERED = 86_400.0


def keep(token: CachedToken, grant: Grant, sent: float, received: float) -> None:
    """
    Save what an authorisation has brought, for every process that shares the store.

    Args:
        token: Whose.
        grant: What the next token is asked for with, as its `refresh`; and a token, if there is one.
        sent: When it was asked for, on the process's clock.
        received: When the answer was there.

    Raises:
        StoreError: The store failed; nothing is kept.
    """

    def change(record: Record, now: float) -> Record:
        kept = replace(
            record,
            generation=next_generation(token.newest(record), now, token.runtime.random()),
            refresh=grant.refresh,
            cooldown=None,
            rejections=0,
        )
        if not grant.value:
            return kept
        return replace(kept, value=grant.value, expires_at=sent + grant.expires_in, sent_at=sent, received_at=received)

    token.amend(change)


def drop(token: CachedToken) -> None:
    """
    Drop the token and what the next one is asked for with, for every process that shares the store.

    The others stop handing the token out with their next look at the store.

    Raises:
        StoreError: The store failed; nothing is dropped.
    """
    clock = token.runtime.clock

    def change(record: Record, now: float) -> Record:
        return replace(
            record,
            generation=next_generation(token.newest(record), now, token.runtime.random()),
            value=None,
            refresh=None,
            cooldown=None,
            received_at=clock(),
            expires_at=clock() + _REMEMBERED,
        )

    token.amend(change)
