"""The token that a function gives: whatever a company has."""

from __future__ import annotations

import dataclasses
import inspect
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from .._rules.models import Account, Cause, Failure, Grant
from .._runtime import checks
from ..exceptions import ConfigurationError
from ._elsewhere import Elsewhere, check_kind, granted, named
from ._within import BrokenOff, OneAtATime

__all__ = ["CallableToken"]


@dataclass(frozen=True, slots=True)
class CallableToken(Elsewhere):
    """
    Get the token from a function of yours, which asks whoever owns it.

    The function has no arguments, and gives the token, or the token and the seconds that it lives, or a `Grant`. It is
    called every minute (`refresh_after`), and once more when a token was rejected. That only asks again: whoever owns
    the token has to renew it. If the function still gives the rejected one, the caller gets WeChat's own answer, and it
    is called again a second later, as long as calls are rejected; the first that brings another token is healed.

    It runs in a thread, and may block. What it raises goes no further: an error tells the exception's type, and none of
    its text. Nothing can end a function that hangs: after `timeout` it counts as failed, the token that is there stays
    in use until its end, and the function is not called again before it has returned. Who asks meanwhile waits for that
    call, for `timeout` again. So a function should have a timeout of its own, below this one.

    Args:
        function: Gives the token. Not async; give ``lambda: asyncio.run(function())`` for one that is. Give the same
            function each time: two sources are the same if their functions are.
        kind: Names the token in stores and logs: one word, the same in all processes, and another for each function of
            an account. By default it is made of the function's module and name. Where these do not tell it from others
            it must be said: for a lambda, a partial, a method, an object that can be called, and a function that is
            made inside another.
        refresh_after: Seconds between two calls.
        timeout: Seconds that a call may take.

    Raises:
        ConfigurationError: The function is none, or async, or has no name of its own and no `kind` is said; `kind` is
            no word, or that of a token fetched from WeChat; or a number is not above 0.
    """

    function: Callable[[], Any]
    _: dataclasses.KW_ONLY
    kind: str = ""
    refresh_after: float = 60.0
    timeout: float = 5.0
    _calls: OneAtATime = dataclasses.field(init=False, repr=False, compare=False, default_factory=OneAtATime)

    def __post_init__(self) -> None:
        if isinstance(self.function, type) or not callable(self.function):
            raise ConfigurationError(f"CallableToken takes a function, not {checks.kind(self.function)}.")
        if checks.is_async(self.function):
            raise ConfigurationError(
                "The function of CallableToken must not be async. It runs in a thread, so it may block: "
                "give a plain one, or lambda: asyncio.run(function()), with kind=."
            )
        check_kind(self.kind)
        checks.seconds("refresh_after", self.refresh_after)
        checks.seconds("timeout", self.timeout)
        if not self.kind:
            _check_name(self.function)
            module = getattr(self.function, "__module__", None) or ""
            object.__setattr__(self, "kind", named("callable", module, self._name))

    @property
    def asks(self) -> str:
        """The function, for messages."""
        return f"the function {self._name}"

    @property
    def _name(self) -> str:
        return str(getattr(self.function, "__qualname__", type(self.function).__qualname__))

    def __repr__(self) -> str:
        return f"CallableToken({self._name}, kind={self.kind!r})"

    def fetch(self, account: Account, *, force: bool = False) -> Grant | Failure:
        """Call the function. It gives what it gives, so `force` changes nothing."""
        who = f"The function {self._name}"
        try:
            given, ago = self._calls.call(self.timeout, self.function)
        except TimeoutError:
            return Failure(Cause.TRANSIENT, f"{who} did not return within {self.timeout:g} s, or raised TimeoutError.")
        except Exception as exc:
            name = str(exc) if isinstance(exc, BrokenOff) else type(exc).__name__
            return Failure(Cause.TRANSIENT, f"{who} failed with {name}.")
        refresh = given.refresh if isinstance(given, Grant) else None
        if isinstance(given, Grant):
            given = (given.value, given.expires_in)
        token, life = given if isinstance(given, tuple) and len(given) == 2 else (given, None)
        if inspect.iscoroutine(token):
            token.close()
        if not isinstance(token, str | None):
            return Failure(Cause.PERMANENT, f"{who} gave no str and no Grant, but {checks.kind(token)}.")
        now = time.time()
        grant = granted(who, token and token.strip(), life, now=now, since=now - ago)
        return replace(grant, refresh=refresh) if isinstance(grant, Grant) else grant


def _check_name(function: Callable[[], Any]) -> None:
    """
    See that the function's name tells it from others of the account.

    Raises:
        ConfigurationError: It does not.
    """
    name, owner = getattr(function, "__qualname__", ""), getattr(function, "__self__", None)
    if not name:
        what = f"{checks.kind(function)}, which has no name"
    elif owner is not None and not inspect.ismodule(owner):
        what = "a method, which all objects of its class have"
    elif "<lambda>" in name:
        what = "a lambda, which has no name"
    elif "<" in name:
        what = "made inside another function, maybe more than once"
    else:
        return
    raise ConfigurationError(
        f"The function of CallableToken is {what}, and its token is kept under a name. Say kind=, a word of your own "
        "for it, the same in all processes and another for each function: CallableToken(function, kind='ours')."
    )
