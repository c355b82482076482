"""
The one rule about a rejected token: get a newer one, and send the call once more.

`retry_rule` is the whole of it. It is a generator that does no I/O: it says what it wants done next and is told what
came of it, so that threads (`heal`), tasks (`aheal`) and the HTTP clients' own flows can drive the same lines.

A call that sent a file or a stream has used it up. `Arguments` remembers where the files stood before the first call
and winds them back before the second; where that can't be done there is no second call, because WeChat would take an
empty file for a good one and report success.
"""

from __future__ import annotations

import contextlib
import inspect
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ._answers import CURABLE, aerrcode_of, errcode_of, errcode_of_error, note_not_renewed, refused
from ._bodies import adiscard, discard
from ._context import note_refreshed
from ._events import logger
from ._masking import mask_error
from .exceptions import ProviderClosed, TokenError

if TYPE_CHECKING:
    from ._provider import TokenProvider

__all__ = [
    "ONLY_ONCE",
    "PLAIN",
    "Arguments",
    "Outcome",
    "Refresh",
    "Repeat",
    "aheal",
    "anewer",
    "curable",
    "heal",
    "newer",
    "retry_rule",
]

ONLY_ONCE: Final = (
    "WeChat rejected the token, and there is a new one now; but the request was not sent again, because its body or an "
    "argument is a stream that can be read only once. Give bytes, or a file that can seek."
)

# Arguments of these types are never files; nearly all arguments are of these types.
PLAIN: Final = frozenset({str, int, float, bool, bytes, type(None)})
# requests takes files=[("media", (name, file, type))]: a file three levels down.
_DEPTH: Final = 3


@dataclass(slots=True)
class Outcome:
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
class Refresh:
    """Get a token newer than this one. The reply is that token; if none can be had, why, or ``None``."""

    rejected: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Repeat:
    """Send again, with this token. The reply is the `Outcome`."""

    token: str = field(repr=False)


def curable(provider: TokenProvider) -> Collection[int]:
    """Give the errcodes that mean a rejected token: the provider knows of what kind its account is."""
    codes: Collection[int] = getattr(provider, "curable", CURABLE)
    return codes


def retry_rule(
    provider: TokenProvider,
    token: str,
    first: Outcome,
    *,
    codes: Collection[int],
    rewind: Callable[[], bool],
) -> Generator[Refresh | Repeat, Any, Outcome]:
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
    token, why = _another((yield Refresh(token)), token)
    if not token:
        # WeChat's own answer is what the caller asked for; why there was no newer token is told along with it.
        if why is not None:
            note_not_renewed(first.answer, first.error, why)
        return first
    note_refreshed(provider, token)
    if not rewind():
        logger.warning(ONLY_ONCE)
        return first
    second: Outcome = yield Repeat(token)
    if second.came_back and not refused(second.errcode, codes):
        # Closed by another thread meanwhile: the answer is there all the same.
        with contextlib.suppress(ProviderClosed):
            provider.confirm(token)
    return second


def _another(token: str | TokenError | None, secret: str) -> tuple[str, TokenError | None]:
    if isinstance(token, TokenError):
        return "", token
    return "" if token is None or token == secret else token, None


def heal(
    provider: TokenProvider,
    token: str,
    first: Outcome,
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
    rule = retry_rule(provider, token, first, codes=codes, rewind=rewind)
    reply: Any = None
    while True:
        try:
            step, reply = rule.send(reply), None
        except StopIteration as end:
            outcome: Outcome = end.value
            break
        if isinstance(step, Refresh):
            reply = newer(provider, step.rejected, timeout)
        else:
            with contextlib.suppress(Exception):  # it is somebody else's, and nobody is going to see it
                discard(first.answer)
            reply = _attempt(again, step.token)
    return outcome.give()


async def aheal(
    provider: TokenProvider,
    token: str,
    first: Outcome,
    again: Callable[[str], Awaitable[Any]],
    *,
    codes: Collection[int],
    rewind: Callable[[], bool],
    timeout: float | None = None,
) -> Any:
    """Drive `retry_rule` from a task. Like `heal`, and never blocks the event loop."""
    rule = retry_rule(provider, token, first, codes=codes, rewind=rewind)
    reply: Any = None
    while True:
        try:
            step, reply = rule.send(reply), None
        except StopIteration as end:
            outcome: Outcome = end.value
            break
        if isinstance(step, Refresh):
            reply = await anewer(provider, step.rejected, timeout)
        else:
            with contextlib.suppress(Exception):  # as above
                await adiscard(first.answer)
            reply = await _aattempt(again, step.token)
    return outcome.give()


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


def _attempt(call: Callable[[str], Any], token: str) -> Outcome:
    try:
        answer = call(token)
    except Exception as error:
        return Outcome(error=error, errcode=errcode_of_error(error))
    return Outcome(answer, errcode=errcode_of(answer))


async def _aattempt(call: Callable[[str], Awaitable[Any]], token: str) -> Outcome:
    try:
        answer = await call(token)
    except Exception as error:
        return Outcome(error=error, errcode=errcode_of_error(error))
    return Outcome(answer, errcode=await aerrcode_of(answer))


class Arguments:
    """
    The files and streams among the arguments of a call, and where they stood before it.

    Looked for in the arguments themselves and three levels down in lists, tuples and dicts. A file is what has
    ``read``; it is wound back if it can ``tell`` and ``seek``. Any other stream, and any iterator, can be sent once.
    """

    __slots__ = ("_files", "_once")

    def __init__(self, args: Iterable[Any], depth: int = _DEPTH) -> None:
        self._files: list[tuple[Any, Any]] = []
        self._once = False
        self._look(args, depth)

    def rewind(self) -> bool:
        """Put every file back to where it stood. Tells whether all can be sent again."""
        if self._once:
            return False
        try:
            for file, position in self._files:
                file.seek(position)
        # Closed by the first call, or a pipe after all, or something else that only looks like a file.
        except Exception:
            return False
        return True

    def _look(self, things: Iterable[Any], depth: int) -> None:
        for thing in things:
            kind = type(thing)
            if kind in PLAIN:
                continue
            try:
                if isinstance(thing, (list, tuple)):
                    if depth:
                        self._look(thing, depth - 1)
                elif isinstance(thing, Mapping):
                    if depth:
                        self._look(thing.values(), depth - 1)
                else:
                    self._remember(thing)
            # Whatever this is, it does not let itself be looked at.
            except Exception:
                self._once = True

    def _remember(self, thing: Any) -> None:
        reads, file = _file_of(thing)
        if not reads:
            # An iterator is used up by sending it, and so is every kind of generator. Not so the object that a proxy
            # such as Flask's `request` stands for, while the proxy itself has all methods there are.
            self._once = self._once or issubclass(thing.__class__, (Iterator, AsyncIterator))
            return
        try:
            seekable = file.seekable() if hasattr(file, "seekable") else hasattr(file, "seek")
            if seekable:
                self._files.append((file, file.tell()))
        # Closed already, or nothing to wind back (None).
        except Exception:
            seekable = False
        self._once = self._once or not seekable


def _file_of(thing: Any) -> tuple[bool, Any]:
    """Tell whether one can read from this; and what to wind back then, which may be ``None``."""
    if isinstance(thing, io.IOBase):
        return True, thing
    try:
        read = thing.read
    # A proxy outside its context can't say what it is: it is no file.
    except Exception:
        return False, None
    if not callable(read):
        return False, None
    # Starlette's upload wraps a plain file; what else reads with await can't be wound back without one.
    return True, getattr(thing, "file", None) if inspect.iscoroutinefunction(read) else thing
