"""A token endpoint without end, where a script would have to be long."""

from __future__ import annotations

from wxmiddleware import Account
from wxmiddleware.sources import Failure, Grant
from wxmiddleware.testing import ScriptedSource


class EndlessSource(ScriptedSource):
    """
    Answers what it is told to, and beyond that with a new token for every fetch.

    Args:
        token: What its tokens are; ``{appid}`` and ``{number}`` are filled in.
        kind: As of every source.

    Attributes:
        asked: For which accounts, fetch by fetch.
    """

    refresh_ahead = 600.0
    revokes_previous = True

    def __init__(self, token: str = "{appid}-T{number}", kind: str = "fake") -> None:
        super().__init__()
        self.kind = kind
        self.asked: list[Account] = []
        self._token = token

    def fetch(self, account: Account, *, force: bool = False) -> Grant | Failure:
        """Give the next answer."""
        self.asked.append(account)
        if not self._answers:
            self.answer(self._token.format(appid=account.appid, number=len(self.asked)))
        return super().fetch(account, force=force)
