"""
How a token is asked for.

`StableToken` is WeChat's own recommendation and the default; `ClassicToken` is the endpoint that everybody knows.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from .._models import Account, Cause, Failure, Grant
from .classic import ClassicToken
from .stable import StableToken

__all__ = ["Cause", "ClassicToken", "Failure", "Grant", "StableToken", "TokenSource"]


@runtime_checkable
class TokenSource(Protocol):
    """
    An endpoint that issues tokens.

    Attributes:
        kind: A short word for keys and logs, such as ``stable``.
        timeout: Seconds that one `fetch` may take in all.
        ahead: Seconds before the end of a token's life in which it is renewed.
        kills: Whether every successful request mints a token and kills the one before.
        forcible: Whether ``fetch(force=True)`` can be asked for another token than the current one.
    """

    @property
    def kind(self) -> str: ...
    @property
    def timeout(self) -> float: ...
    @property
    def ahead(self) -> float: ...
    @property
    def kills(self) -> bool: ...
    @property
    def forcible(self) -> bool: ...

    def fetch(self, account: Account, *, force: bool = False) -> Grant | Failure:
        """
        Ask for a token once, with deadlines of its own. Runs in a thread; never called twice at a time for an account.

        What went wrong is returned, not raised, and has nothing secret in it.
        """
