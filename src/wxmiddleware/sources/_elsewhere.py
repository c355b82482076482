"""What sources of a token that somebody else owns have in common: they say what it is, and never renew it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, ClassVar

from .._rules.models import LONGEST_LIFE, Cause, Failure, Grant, is_token
from ..exceptions import ConfigurationError
from ._http import find, number

# WeChat gives 7200 s. A token whose end nobody says is used for so long after it was last seen, unless it is rejected.
LIFE_UNKNOWN = 7200.0
# Seconds since 1970 are more than this, and milliseconds more than that.
_EPOCH_SECONDS = 1e8
_EPOCH_MILLISECONDS = 1e11
_LONGEST_KIND = 64


class Elsewhere:
    """What the engine is to know of such a source."""

    __slots__ = ()

    revokes_previous: ClassVar[bool] = False
    cheap: ClassVar[bool] = True
    needs_secret: ClassVar[bool] = False
    # Those of the account's kind.
    retryable_errcodes: ClassVar[frozenset[int] | None] = None
    refresh_ahead: ClassVar[float] = 60.0

    @property
    def can_force(self) -> bool:
        """Whether whoever owns it can be told that it was rejected."""
        return False


def named(kind: str, *words: str) -> str:
    """A kind for keys: the same for all who read the same, and another for what is read elsewhere."""
    return f"{kind}-{hashlib.sha256(chr(0).join(words).encode()).hexdigest()[:8]}"


# Kinds of tokens that are fetched from WeChat (docs/record.md). Under one of these names other processes would take
# what is given here for what they have fetched themselves.
_FETCHED = {
    *("stable", "classic", "wecom", "jsapi_ticket", "wx_card_ticket", "agent_ticket"),
    *("component", "authorizer", "component_verify_ticket"),
    *("suite", "corp", "provider", "suite_ticket", "auth_codes"),
}


def check_kind(kind: object) -> None:
    """
    Check the name that a user gives to what is read in one place.

    Raises:
        ConfigurationError: It is no word, or that of a token which is fetched from WeChat.
    """
    word = isinstance(kind, str) and kind.isprintable() and not any(each.isspace() for each in kind)
    if not word or len(str(kind)) > _LONGEST_KIND:
        raise ConfigurationError("kind must be a short word without blanks, such as 'ours'.")
    if kind in _FETCHED:
        raise ConfigurationError(
            f"kind={kind!r} is what tokens are called that are fetched from WeChat, and would share their record. "
            "Say a word of your own, such as 'ours'."
        )


def granted(who: str, token: object, end: object, *, now: float, since: float) -> Grant | Failure:
    """
    Make a grant of a token and what is said of its end.

    Args:
        who: Where they come from, for messages.
        token: The token.
        end: Seconds that it lives; its end in seconds or milliseconds since 1970; or ``None`` if nothing is said.
        now: Seconds since 1970.
        since: From when on the seconds of a life count.
    """
    if token is None or token == "":
        return Failure(Cause.TRANSIENT, f"{who} has no token at present.")
    if not is_token(token):
        return Failure(
            Cause.PERMANENT,
            f"{who} has something that is not a token: up to 4096 characters of visible ASCII, without blanks.",
        )
    left = LIFE_UNKNOWN if end is None else _left(end, now, since)
    if left is None or left > LONGEST_LIFE:
        return Failure(
            Cause.PERMANENT,
            f"{who} has a token whose end is not plausible. It may be seconds of life, or a time in seconds or "
            "milliseconds since 1970, within a day.",
        )
    if left <= 0:
        return Failure(
            Cause.TRANSIENT,
            f"{who} has a token that ended {abs(left):.0f} s ago. Whoever owns it has to renew it.",
        )
    return Grant(str(token), left)


def _left(end: object, now: float, since: float) -> float | None:
    value = number(end)
    if value is None:
        return None
    if value > _EPOCH_MILLISECONDS:
        return value / 1000 - now
    return (value if value > _EPOCH_SECONDS else since + value) - now


def first(answer: Mapping[str, Any], names: tuple[str, ...]) -> object:
    """The first of these fields that is there."""
    return next((found for name in names if (found := find(answer, name)) is not None), None)
