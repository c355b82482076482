"""``GET /cgi-bin/token``: the endpoint of the article, and of every tutorial since."""

from __future__ import annotations

from dataclasses import dataclass, field

import requests

from .._models import Account, Failure, Grant
from ._http import checked_timeouts, fetch

__all__ = ["ClassicToken"]


@dataclass(frozen=True, slots=True)
class ClassicToken:
    """
    Ask ``/cgi-bin/token``. Every request mints a token; the one before dies within five minutes; 2000 a day is all.

    Take it when other services of the account already use this endpoint and share its token.

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

    kind = "classic"
    ahead = 600.0
    kills = True
    forcible = False

    def __post_init__(self) -> None:
        checked_timeouts(self.connect_timeout, self.timeout)

    def fetch(self, account: Account, *, force: bool = False) -> Grant | Failure:
        """Ask for a token. Every answer is a new one, so `force` changes nothing."""
        return fetch(
            account,
            "GET",
            "/cgi-bin/token",
            query={"grant_type": "client_credential", "appid": account.appid, "secret": account.secret},
            session=self.session,
            connect_timeout=self.connect_timeout,
            timeout=self.timeout,
        )
