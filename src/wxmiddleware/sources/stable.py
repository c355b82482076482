"""``POST /cgi-bin/stable_token``: WeChat's own recommendation, and the default."""

from __future__ import annotations

from dataclasses import dataclass, field

import requests

from .._models import Account, Failure, Grant
from ._http import checked_timeouts, fetch

__all__ = ["StableToken"]


@dataclass(frozen=True, slots=True)
class StableToken:
    """
    Ask ``/cgi-bin/stable_token``: everybody who asks gets the same token until its last 300 s.

    Processes that share nothing then do not kill each other's token, and neither does the classic endpoint, whose
    token is another one.

    Args:
        connect_timeout: Seconds to get a connection.
        timeout: Seconds that a request may take in all.
        session: A `requests.Session` of yours, for proxies, certificates and headers. If you have mounted a transport
            adapter of your own, its deadlines are its own, too.

    Raises:
        ConfigurationError: A timeout is not a positive number.
    """

    connect_timeout: float = 2.0
    timeout: float = 5.0
    session: requests.Session | None = field(default=None, repr=False)

    kind = "stable"
    # Normal mode hands back the same token until its last 300 s; asking earlier would be asking on every use.
    ahead = 290.0
    kills = False
    forcible = True

    def __post_init__(self) -> None:
        checked_timeouts(self.connect_timeout, self.timeout)

    def fetch(self, account: Account, *, force: bool = False) -> Grant | Failure:
        """Ask for the token; with `force`, for another one (20 times a day and 30 s apart is all that WeChat does)."""
        return fetch(
            account,
            "POST",
            "/cgi-bin/stable_token",
            body={
                "grant_type": "client_credential",
                "appid": account.appid,
                "secret": account.secret,
                "force_refresh": force,
            },
            session=self.session,
            connect_timeout=self.connect_timeout,
            timeout=self.timeout,
        )
