"""``GET /cgi-bin/token``: the endpoint of the article, and of every tutorial since."""

from __future__ import annotations

from dataclasses import dataclass

from .._rules.models import Account, Failure, Grant
from .endpoint import Endpoint

__all__ = ["ClassicToken"]


@dataclass(frozen=True, slots=True)
class ClassicToken(Endpoint):
    """
    Ask ``/cgi-bin/token``. Every request mints a token; the one before dies within five minutes; 2000 a day is all.

    For systems that must share one token, and that from this endpoint. Then one of them fetches it, its processes share
    a store, and the others read that store (``follow=True``). If others merely use this endpoint for themselves, stay
    with `StableToken`: WeChat keeps the two kinds of token apart, and neither ends the other.

    Takes the arguments of `Endpoint`: ``connect_timeout``, ``timeout`` (seconds) and ``session``.
    """

    kind = "classic"
    refresh_ahead = 600.0
    revokes_previous = True
    can_force = False

    def fetch(self, account: Account, *, force: bool = False) -> Grant | Failure:
        """Ask for a token. Every answer is a new one, so `force` changes nothing."""

        def ask(secret: str, seconds: float) -> Grant | Failure:
            return self.ask(
                account,
                "GET",
                "/cgi-bin/token",
                query={"grant_type": "client_credential", "appid": account.appid, "secret": secret},
                hidden=(secret,),
                seconds=seconds,
            )

        return self.ask_with_secret(account, ask)
