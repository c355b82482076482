"""Following the program that owns a token, by reading where it keeps it."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass

from .._rules.models import Account, Cause, Failure, Grant
from .._runtime import checks
from .._runtime.clock import Clock
from ..exceptions import ConfigurationError
from ..sources._elsewhere import Elsewhere, check_kind, granted, named
from ..sources._http import number
from ..sources._within import BrokenOff, OneAtATime
from ._layout import Kept, Layout

_FAR = 1e8  # seconds of a life, which is none; more would be taken for a time


@dataclass(frozen=True, slots=True)
class LayoutToken(Elsewhere):
    """
    Take the token from where another program keeps it. The account needs no secret.

    It is looked for every 5 s while it is in use (`refresh_after`), and at once when a token was rejected: so if the
    other program has fetched since, the rejected call is repeated with that. Else the caller gets WeChat's own answer,
    and it is looked for again a second later, as long as calls are rejected; only the owner can renew the token.

    While there is none, as the entry is gone, half written or holds an error, the token that was read before stays in
    use until its end. Where the layout does not tell the end, that is two hours after it was last seen there.

    Args:
        layout: Where and how, such as ``ArticleTable(engine)``.
        kind: Names the token in stores and logs: one word, the same in all processes. By default it is made of the
            layout's name, which tells a table or a key, and not its server or database. So say it where one account has
            two tokens under one name.
        refresh_after: Seconds between two looks.
        timeout: Seconds that a look may take. While one hangs, there is no other.
        clock: Seconds since 1970; ends are compared with it.

    Raises:
        ConfigurationError: The layout is none; `kind` is no word, or that of a token fetched from WeChat; a number is
            not above 0.
    """

    layout: Layout
    _: dataclasses.KW_ONLY
    kind: str = ""
    refresh_after: float = 5.0
    timeout: float = 5.0
    clock: Clock = time.time
    _calls: OneAtATime = dataclasses.field(init=False, repr=False, compare=False, default_factory=OneAtATime)

    def __post_init__(self) -> None:
        if not checks.has_members_of(Layout, self.layout):
            raise ConfigurationError(
                f"layout must be one such as ArticleTable(engine), not {checks.kind(self.layout)}."
            )
        checks.seconds("refresh_after", self.refresh_after)
        checks.seconds("timeout", self.timeout)
        check_kind(self.kind)
        if not self.kind:
            object.__setattr__(self, "kind", named("layout", self.layout.name))

    @property
    def asks(self) -> str:
        """The layout, for messages."""
        return self.layout.name

    def fetch(self, account: Account, *, force: bool = False) -> Grant | Failure:
        """Look. What is there is there, so `force` changes nothing."""
        who = self.layout.name
        try:
            kept, _ = self._calls.call(self.timeout, self.layout.read)
        except TimeoutError:
            return Failure(Cause.TRANSIENT, f"{who} did not answer within {self.timeout:g} s.")
        except Exception as exc:
            from ..stores._advice import advise  # not before something fails

            name = str(exc) if isinstance(exc, BrokenOff) else type(exc).__name__
            return Failure(Cause.TRANSIENT, f"{who} cannot be read ({name}). {advise(exc)}".rstrip())
        if not isinstance(kept, Kept | None):
            return Failure(Cause.PERMANENT, f"{who} gave no Kept, but {checks.kind(kept)}.")
        now = self.clock()
        value, end = (None, None) if kept is None else (kept.value, kept.expires_at)
        if (ends := number(end)) is not None:
            # A time since 1970, however small or large: not one whose meaning is to be guessed.
            end = min(ends - now, _FAR)
        return granted(who, value, end, now=now, since=now)
