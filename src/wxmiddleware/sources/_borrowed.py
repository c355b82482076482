"""
Requests for one kind of token that carry a token of another kind, as those for a ticket do.

They are API calls, and heal like all others: a rejected token is compared and replaced, and the request sent once more.
Here that is four lines of its own and not `retry_rule`, because it has no answer of a user's to give back, and
one deadline for everything: a refresh has a lease, and what it borrows must come within that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar, runtime_checkable

from .._rules.models import Account, Cause, Failure, without_wait
from .._runtime.clock import clock
from ..exceptions import ConfigurationError, ProviderClosed, TokenError, TokenRefused

_Answer = TypeVar("_Answer")


@runtime_checkable
class Lender(Protocol):
    """The part of a `TokenProvider` that a request with another token needs."""

    @property
    def account(self) -> Account: ...
    @property
    def retryable_errcodes(self) -> frozenset[int]: ...
    def get_token(self, rejected: str | None = None, *, timeout: float | None = None) -> str: ...
    def confirm(self, token: str) -> None: ...


def check_lender(provider: object, what: str) -> None:
    """
    See that it is a provider.

    Raises:
        ConfigurationError: It is something else.
    """
    if isinstance(provider, type) or not isinstance(provider, Lender):
        raise ConfigurationError(f"{what} takes the TokenProvider of the access token that it is asked for with.")


def borrow(provider: Lender, seconds: float, ask: Callable[[str, float], _Answer | Failure]) -> _Answer | Failure:
    """
    Ask with a token of the provider's; once more with a newer one, if that is rejected.

    Args:
        seconds: What everything together may take.
        ask: Sends the request, with the token and the seconds that are left.
    """
    end = clock() + seconds
    try:
        token = provider.get_token(timeout=seconds)
        answer = _ask(ask, token, end)
        if isinstance(answer, Failure) and answer.errcode in provider.retryable_errcodes:
            fresh = provider.get_token(rejected=token, timeout=max(0.0, end - clock()))
            answer = _ask(ask, fresh, end)
            if not isinstance(answer, Failure) or answer.errcode not in (None, *provider.retryable_errcodes):
                provider.confirm(fresh)
    except TokenError as error:
        return _of_error(error)
    except ProviderClosed:
        return Failure(Cause.TRANSIENT, "The provider of the access token was closed.")
    return answer


def _ask(ask: Callable[[str, float], _Answer | Failure], token: str, end: float) -> _Answer | Failure:
    left = end - clock()
    if left <= 0:  # it came while this thread was held up; whoever has the lease by now asks
        return Failure(Cause.TRANSIENT, "The access token came too late to ask with it.")
    return ask(token, left)


def _of_error(error: TokenError) -> Failure:
    # When the token may be had again is known, and asking for it before costs nothing.
    return Failure(
        Cause.PERMANENT if isinstance(error, TokenRefused) else Cause.TRANSIENT,
        f"There is no access token to ask with. {without_wait(error)}",
        errcode=error.errcode,
        errmsg=error.errmsg,
        rid=error.rid,
        retry_after=error.retry_after,
    )
