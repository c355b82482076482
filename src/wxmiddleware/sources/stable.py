"""``POST /cgi-bin/stable_token``: WeChat's own recommendation, and the default."""

from __future__ import annotations

from dataclasses import dataclass

from .._rules.models import Account, Failure, Grant
from .endpoint import Endpoint

__all__ = ["StableToken"]


@dataclass(frozen=True, slots=True)
class StableToken(Endpoint):
    """
    Ask ``/cgi-bin/stable_token``: everybody who asks gets the same token until its last 300 s.

    Processes that share nothing then do not end each other's token. Nor does a service that fetches from the classic
    ``/cgi-bin/token``, or suffer from this one: WeChat keeps the two kinds of token apart.

    Takes the arguments of `Endpoint`: ``connect_timeout``, ``timeout`` (seconds) and ``session``.
    """

    kind = "stable"
    # Normal mode hands back the same token until its last 300 s; asking earlier would be asking on every use.
    refresh_ahead = 290.0
    revokes_previous = False
    can_force = True

    def fetch(self, account: Account, *, force: bool = False) -> Grant | Failure:
        """Ask for the token; with `force`, for another one (20 times a day and 30 s apart is all that WeChat does)."""

        def ask(secret: str, seconds: float) -> Grant | Failure:
            return self.ask(
                account,
                "POST",
                "/cgi-bin/stable_token",
                body={
                    "grant_type": "client_credential",
                    "appid": account.appid,
                    "secret": secret,
                    "force_refresh": force,
                },
                hidden=(secret,),
                seconds=seconds,
            )

        return self.ask_with_secret(account, ask)
