"""
Tokens of a third-party platform, and of the accounts that have authorised it.

Facts: docs/wechat.md#tokens-of-platforms.

The platform proves itself with a ticket that WeChat pushes to it every ten minutes. Each authorised account's token is
asked for with the platform's token and with a refresh token, which came with the answer before. Nobody gives it again
unasked, so it is kept with the account's record, in a store that forgets nothing; `wxmiddleware.platform.Platform` sees
to that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from .._rules.advice import Place, causes_at
from .._rules.errcodes import ErrorTable
from .._rules.models import Account, AuthorizerAccount, Cause, Failure, Grant
from .._runtime.clock import clock
from ._borrowed import Lender, borrow, check_lender
from ._http import Target
from .endpoint import Endpoint, Form, grant_of

__all__ = ["AuthorizerToken", "ComponentToken"]

# The errcode of an auth_code that was redeemed before, or is too old.
USED_UP = 61010

_ADVICE = causes_at(Place.PLATFORM)
_COMPONENT = Form("component_access_token", errors=ErrorTable("WeChat gives the platform no token", _ADVICE))
_AUTHORIZER_ERRORS = ErrorTable(
    "WeChat gives no token of the authorised account",
    {**_ADVICE, **causes_at(Place.AUTHORIZER)},
)
_AUTHORIZER = Form("authorizer_access_token", "authorizer_refresh_token", _AUTHORIZER_ERRORS)
_NO_TICKET = Failure(
    Cause.TRANSIENT,
    "WeChat has not pushed a component_verify_ticket yet, or the last one is 12 hours old. It comes every ten minutes: "
    "hand each to Platform.remember_ticket(). If none comes, have the pushes started: Platform.start_push_ticket().",
)
_BAD_TICKET = (61005, 61006)
_NEVER_AUTHORISED = Failure(
    Cause.PERMANENT,
    "There is no refresh token of this account, neither in the store nor in WeChat's list: it has not authorised the "
    "platform. Send its owner there, and hand the auth_code that comes back to Platform.authorize().",
)
# An authorizer in WeChat's list takes some 150 bytes.
_PAGE = 500
_MOST_BYTES = 262_144


def wants_ticket(failure: Failure) -> bool:
    """Whether a new ``component_verify_ticket`` may cure it; also the failure of what the platform's token is for."""
    return failure.errcode in _BAD_TICKET or failure.message.endswith(_NO_TICKET.message)


@dataclass(frozen=True, slots=True)
class ComponentToken(Endpoint):
    """
    The ``component_access_token`` of a platform. `Platform` makes it.

    Every answer is another token, and the one before dies: as with `ClassicToken`, share a store.

    Args:
        ticket: Gives the newest ``component_verify_ticket``, or ``None``.

    Takes the arguments of `Endpoint`, too.
    """

    ticket: Callable[[], str | None]

    kind = "component"
    refresh_ahead = 600.0  # WeChat suggests 1 h 50
    revokes_previous = True
    can_force = False

    def fetch(self, account: Account, *, force: bool = False) -> Grant | Failure:
        """Ask for a token. Every answer is a new one, so `force` changes nothing."""
        end = clock() + self.timeout
        ticket = self.ticket()  # from a store, which takes its time
        if ticket is None:
            return _NO_TICKET

        def ask(secret: str, seconds: float) -> Grant | Failure:
            return self.ask(
                account,
                "POST",
                "/cgi-bin/component/api_component_token",
                form=_COMPONENT,
                body={
                    "component_appid": account.appid,
                    "component_appsecret": secret,
                    "component_verify_ticket": ticket,
                },
                hidden=(secret, ticket),
                seconds=seconds,
            )

        return self.ask_with_secret(account, ask, seconds=end - clock())

    def start_push(self, account: Account) -> dict[str, Any] | Failure:
        """Ask WeChat to push tickets (``api_start_push_ticket``); it takes the secret and no token."""

        def ask(secret: str, seconds: float) -> dict[str, Any] | Failure:
            return self.call(
                account,
                "POST",
                "/cgi-bin/component/api_start_push_ticket",
                errors=_COMPONENT.errors,
                body={"component_appid": account.appid, "component_secret": secret},
                hidden=(secret,),
                seconds=seconds,
            )

        return self.ask_with_secret(account, ask)


@dataclass(frozen=True, slots=True)
class AuthorizerToken(Endpoint):
    """
    The token of an account that has authorised a platform. `Platform` makes it.

    It goes where the account's own token would go. Each answer brings the refresh token for the next request. If there
    is none, or WeChat calls it void (61023) because an answer was lost or a process died before it could save one, the
    newest is looked up in WeChat's list of authorised accounts and tried once.

    Args:
        provider: Gives the platform's own token.

    Takes the arguments of `Endpoint`, too; ``timeout`` (seconds) is for all that it takes, together.
    """

    provider: Lender

    kind = "authorizer"
    refresh_ahead = 600.0
    revokes_previous = True  # nobody has said that it does not
    can_force = False
    rotates = True
    accounts: ClassVar[tuple[type[Account], ...]] = (AuthorizerAccount,)

    def __post_init__(self) -> None:
        Endpoint.__post_init__(self)
        check_lender(self.provider, type(self).__name__)

    def fetch(self, account: Account, *, force: bool = False, refresh: str | None = None) -> Grant | Failure:
        """Ask for a token, with the refresh token that came with the one before. `force` changes nothing."""
        end = clock() + self.timeout

        void = _NEVER_AUTHORISED

        def ask_list(token: str, seconds: float) -> Grant | Failure:
            newest = self._newest(account, token, clock() + seconds)
            if isinstance(newest, Failure):
                return newest
            if newest is None or newest == refresh:
                return void
            return self._renew(account, token, newest, end - clock())

        if refresh is not None:
            known = refresh
            answer = borrow(self.provider, self.timeout, lambda token, left: self._renew(account, token, known, left))
            if not isinstance(answer, Failure) or answer.errcode != 61023:
                return answer
            void = answer
        return borrow(self.provider, max(0.0, end - clock()), ask_list)

    def redeem(self, auth_code: str) -> tuple[str, Grant] | Failure:
        """Ask ``api_query_auth`` for the first tokens of an account whose owner has just authorised the platform."""
        answer = self.component("api_query_auth", {"authorization_code": auth_code}, hidden=(auth_code,))
        if isinstance(answer, Failure):
            return answer
        found = answer.get("authorization_info")
        info: dict[str, Any] = found if isinstance(found, dict) else {}
        target = Target(self.provider.account.base_url)
        grant, whose = grant_of(target, info, _AUTHORIZER), info.get("authorizer_appid")
        if isinstance(grant, Failure):
            return grant
        if not isinstance(whose, str) or not whose or grant.refresh is None:
            return Failure(Cause.AMBIGUOUS, "WeChat's answer names no account or has no refresh token.")
        return whose, grant

    def component(self, name: str, body: dict[str, Any], *, hidden: tuple[str, ...] = ()) -> dict[str, Any] | Failure:
        """Call an API of the platform's own below ``/cgi-bin/component/``, with the platform's token."""
        platform = self.provider.account

        def ask(token: str, seconds: float) -> dict[str, Any] | Failure:
            return self.call(
                platform,
                "POST",
                f"/cgi-bin/component/{name}",
                errors=_AUTHORIZER_ERRORS,
                query={"access_token": token},
                body={"component_appid": platform.appid, **body},
                hidden=(token, *hidden),
                seconds=seconds,
            )

        return borrow(self.provider, self.timeout, ask)

    def _renew(self, account: Account, token: str, refresh: str, seconds: float) -> Grant | Failure:
        if seconds <= 0:
            return Failure(Cause.TRANSIENT, "There is a newer refresh token; the time for asking with it is over.")
        return self.ask(
            account,
            "POST",
            "/cgi-bin/component/api_authorizer_token",
            form=_AUTHORIZER,
            query={"access_token": token},
            body={
                "component_appid": self.provider.account.appid,
                "authorizer_appid": account.appid,
                "authorizer_refresh_token": refresh,
            },
            hidden=(token, refresh),
            seconds=seconds,
        )

    def _newest(self, account: Account, token: str, end: float) -> str | Failure | None:
        """Look the account's refresh token up in ``api_get_authorizer_list``; ``None`` if it is not there."""
        offset = 0
        while True:
            left = end - clock()
            if left <= 0:
                return Failure(
                    Cause.TRANSIENT, "WeChat's list of authorised accounts is too long for the time there is."
                )
            answer = self.call(
                account,
                "POST",
                "/cgi-bin/component/api_get_authorizer_list",
                errors=_AUTHORIZER_ERRORS,
                query={"access_token": token},
                body={"component_appid": self.provider.account.appid, "offset": offset, "count": _PAGE},
                hidden=(token,),
                seconds=left,
                most=_MOST_BYTES,
            )
            if isinstance(answer, Failure):
                return answer
            rows = answer.get("list")
            for row in rows if isinstance(rows, list) else ():
                if isinstance(row, dict) and row.get("authorizer_appid") == account.appid:
                    newest = row.get("refresh_token")
                    return newest if isinstance(newest, str) and newest else None
            if not isinstance(rows, list) or len(rows) < _PAGE:
                return None
            offset += len(rows)
