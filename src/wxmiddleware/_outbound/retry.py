"""
The one rule about a rejected token: get a newer one, and send the call once more.

`retry_rule` is the whole of it. It is a generator that does no I/O: it says what it wants done next and is told what
came of it, so that threads (`run_retry`), tasks (`arun_retry`) and the HTTP clients' own flows drive the same lines.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Collection, Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from .._engine.events import logger
from .._runtime.drive import adrive, drive
from .._runtime.masking import mask_error
from ..context import note_refreshed
from ..exceptions import ProviderClosed, TokenError
from .answers import RETRYABLE, aerrcode_of, errcode_of, errcode_of_error, is_rejection, note_not_renewed
from .bodies import adiscard, discard

if TYPE_CHECKING:
    from .._engine.provider import TokenProvider

__all__ = [
    "ONLY_ONCE",
    "CallResult",
    "GetNewer",
    "Send",
    "anewer",
    "arun_retry",
    "codes_of",
    "newer",
    "retry_rule",
    "run_retry",
]

ONLY_ONCE: Final = (
    "WeChat rejected the token, and there is a new one now; but the request was not sent again, because its body or an "
    "argument is a stream that can be read only once. Give bytes, or a file that can seek."
)


@dataclass(slots=True)
class CallResult:
    """
    What one API call came to: an answer or an error.

    Attributes:
        answer: What it returned.
        error: What it raised, or ``None``.
        errcode: The errcode found in either, or ``None``.
    """

    answer: Any = None
    error: Exception | None = None
    errcode: int | None = None

    @property
    def came_back(self) -> bool:
        """Whether WeChat is known to have answered at all: a timeout says nothing about a token."""
        return self.error is None or self.errcode is not None

    def give(self) -> Any:
        """Return or raise it, to the caller of the decorated function."""
        if self.error is None:
            return self.answer
        # Its traceback is about to hold our frames. Let go of it here, or the two keep each other alive.
        error, self.error = self.error, None
        mask_error(error)
        try:
            raise error
        finally:
            del error


@dataclass(frozen=True, slots=True)
class GetNewer:
    """Get a token newer than this one. The reply is that token; if none can be had, why, or ``None``."""

    rejected: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Send:
    """Send the request with this token. The reply is the `CallResult`."""

    token: str = field(repr=False)


def codes_of(provider: TokenProvider) -> Collection[int]:
    """Give the errcodes that mean a rejected token: the provider knows of what kind its account is."""
    codes: Collection[int] = getattr(provider, "retryable_errcodes", RETRYABLE)
    return codes


def retry_rule(
    provider: TokenProvider,
    token: str,
    first: CallResult,
    *,
    codes: Collection[int],
    rewind: Callable[[], bool],
) -> Generator[GetNewer | Send, Any, CallResult]:
    """
    Decide what becomes of a call whose token was rejected.

    Args:
        provider: Gives the tokens.
        token: The one that was rejected.
        first: What the first call came to.
        codes: The errcodes that mean a rejected token.
        rewind: Makes ready for a second call, and tells whether there can be one.

    Returns:
        What the caller is to get: of the second call if there was one, whatever it says; else of the first.
    """
    # Error trackers show local variables, but not what is called a token.
    token, why = _another((yield GetNewer(token)), token)
    if not token:
        # WeChat's own answer is what the caller asked for; why there was no newer token is told along with it.
        if why is not None:
            note_not_renewed(first.answer, first.error, why)
        _give_up(provider, first)
        return first
    note_refreshed(provider, token)
    if not rewind():
        logger.warning(ONLY_ONCE)
        _give_up(provider, first)
        return first
    second: CallResult = yield Send(token)
    if second.came_back and not is_rejection(second.errcode, codes):
        # Closed by another thread meanwhile: the answer is there all the same.
        with contextlib.suppress(ProviderClosed):
            provider.confirm(token)
    else:
        _give_up(provider, second)
    return second


def _give_up(provider: TokenProvider, last: CallResult) -> None:
    give_up = getattr(provider, "give_up", None)  # somebody's own provider need not have it
    if give_up is not None:
        with contextlib.suppress(ProviderClosed):
            give_up(last.errcode)


def _another(token: str | TokenError | None, secret: str) -> tuple[str, TokenError | None]:
    if isinstance(token, TokenError):
        return "", token
    return "" if token is None or token == secret else token, None


def run_retry(
    provider: TokenProvider,
    token: str,
    first: CallResult,
    again: Callable[[str], Any],
    *,
    codes: Collection[int],
    rewind: Callable[[], bool],
    timeout: float | None = None,
) -> Any:
    """
    Drive `retry_rule` from a thread, and give the caller what it decides.

    Args:
        again: Makes the second call, with the token it is given.
        timeout: Seconds to wait for the newer token; ``None`` for the provider's own limit.
    """

    def perform(step: GetNewer | Send) -> Any:
        if isinstance(step, GetNewer):
            return newer(provider, step.rejected, timeout)
        with contextlib.suppress(Exception):  # it is somebody else's, and nobody is going to see it
            discard(first.answer)
        return _attempt(again, step.token)

    return drive(retry_rule(provider, token, first, codes=codes, rewind=rewind), perform).give()


async def arun_retry(
    provider: TokenProvider,
    token: str,
    first: CallResult,
    again: Callable[[str], Awaitable[Any]],
    *,
    codes: Collection[int],
    rewind: Callable[[], bool],
    timeout: float | None = None,
) -> Any:
    """Drive `retry_rule` from a task. Like `run_retry`, and never blocks the event loop."""

    async def perform(step: GetNewer | Send) -> Any:
        if isinstance(step, GetNewer):
            return await anewer(provider, step.rejected, timeout)
        with contextlib.suppress(Exception):  # as above
            await adiscard(first.answer)
        return await _aattempt(again, step.token)

    return (await adrive(retry_rule(provider, token, first, codes=codes, rewind=rewind), perform)).give()


def newer(provider: TokenProvider, token: str, timeout: float | None = None) -> str | TokenError | None:
    """Get a token newer than the rejected one; if none can be had, why, or ``None``."""
    try:
        return provider.get_token(rejected=token, timeout=timeout)
    except TokenError as error:
        return error
    except ProviderClosed:
        return None


async def anewer(provider: TokenProvider, token: str, timeout: float | None = None) -> str | TokenError | None:
    """Get a token newer than the rejected one. Like `newer`, and never blocks the event loop."""
    try:
        return await provider.aget_token(rejected=token, timeout=timeout)
    except TokenError as error:
        return error
    except ProviderClosed:
        return None


def _attempt(call: Callable[[str], Any], token: str) -> CallResult:
    try:
        answer = call(token)
    except Exception as error:
        return CallResult(error=error, errcode=errcode_of_error(error))
    return CallResult(answer, errcode=errcode_of(answer))


async def _aattempt(call: Callable[[str], Awaitable[Any]], token: str) -> CallResult:
    try:
        answer = await call(token)
    except Exception as error:
        return CallResult(error=error, errcode=errcode_of_error(error))
    return CallResult(answer, errcode=await aerrcode_of(answer))
