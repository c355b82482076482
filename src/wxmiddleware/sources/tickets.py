"""
Tickets: what a page in WeChat's browser proves with that it is one of the account's.

Facts: docs/wechat.md#tickets-and-js-sdk-signatures.

A ticket is asked for with an access token, and lives in a row of its own. No API ever answers that a ticket is
invalid: the browser finds out (``config:invalid signature``). So no errcode of a call means a rejected ticket, and only
``get_token(rejected=ticket)`` replaces one; see `wxmiddleware.jssdk.JSSDK.signature`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .._rules.advice import Place, causes_at
from .._rules.errcodes import ErrorTable
from .._rules.models import Account, AuthorizerAccount, CorpAccount, Failure, Grant, WeComAccount
from ..exceptions import ConfigurationError
from ._borrowed import Lender, borrow, check_lender
from .endpoint import Endpoint, Form
from .wecom import WECOM_ADVICE

__all__ = ["AgentTicket", "CardTicket", "JsapiTicket"]

_ADVICE = causes_at(Place.TICKET)
_WECHAT = Form("ticket", errors=ErrorTable("WeChat gives no ticket", _ADVICE), lasting=True)
_WECOM = Form(
    "ticket",
    errors=ErrorTable("WeCom gives no ticket", {**WECOM_ADVICE, 40014: _ADVICE[40014], 42001: _ADVICE[42001]}),
    lasting=True,
)


@dataclass(frozen=True, slots=True)
class _Ticket(Endpoint):
    """A ticket that is asked for with an access token of the same account."""

    provider: Lender

    refresh_ahead = 600.0
    # Uncertain: whether the one before dies when a new one is made. Then pages in users' hands would be dead, too, and
    # nothing that is done here could help them.
    revokes_previous = False
    can_force = False
    needs_secret = False
    retryable_errcodes: ClassVar[frozenset[int]] = frozenset()
    rejections_are_advisory: ClassVar[bool] = True  # it is the browser that says so

    def __post_init__(self) -> None:
        Endpoint.__post_init__(self)
        check_lender(self.provider, type(self).__name__)

    def check(self, account: Account) -> None:
        """
        See that the ticket and the access token are the same account's.

        Raises:
            ConfigurationError: They are not.
        """
        Endpoint.check(self, account)
        if account != self.provider.account:
            raise ConfigurationError("The ticket's account is not that of the provider of its access token.")

    def _ask(self, account: Account, path: str, form: Form, query: dict[str, str]) -> Grant | Failure:
        def ask(token: str, seconds: float) -> Grant | Failure:
            return self.ask(
                account,
                "GET",
                path,
                form=form,
                query={"access_token": token, **query},
                hidden=(token,),
                seconds=seconds,
            )

        return borrow(self.provider, self.timeout, ask)


@dataclass(frozen=True, slots=True)
class JsapiTicket(_Ticket):
    """
    The ``jsapi_ticket``, for ``wx.config`` of the JS-SDK: of an account, or of a WeCom corp.

    ::

        tickets = provider.with_source(JsapiTicket(provider))
        tickets.get_token()

    Usually `wxmiddleware.jssdk.JSSDK` does this. WeChat calls the number of fetches a day "very limited" and WeCom
    gives 100 an hour for an app and 400 for a corp, so share a store.

    Args:
        provider: Gives the access token. While it has none there is no ticket.

    Takes the arguments of `Endpoint`, too; ``timeout`` (seconds) is for the access token, the ticket, and what it
    takes to replace a rejected access token, together.
    """

    kind = "jsapi_ticket"
    accounts: ClassVar[tuple[type[Account], ...]] = (Account, WeComAccount, AuthorizerAccount, CorpAccount)

    def fetch(self, account: Account, *, force: bool = False) -> Grant | Failure:
        """Ask for the ticket. WeChat decides whether it is another one, so `force` changes nothing."""
        if isinstance(account, WeComAccount):
            return self._ask(account, "/cgi-bin/get_jsapi_ticket", _WECOM, {})
        return self._ask(account, "/cgi-bin/ticket/getticket", _WECHAT, {"type": "jsapi"})


@dataclass(frozen=True, slots=True)
class CardTicket(_Ticket):
    """
    The ``api_ticket`` of type ``wx_card``, for the signatures of cards.

    Takes the arguments of `JsapiTicket`.
    """

    kind = "wx_card_ticket"
    accounts: ClassVar[tuple[type[Account], ...]] = (Account, AuthorizerAccount)

    def fetch(self, account: Account, *, force: bool = False) -> Grant | Failure:
        """Ask for the ticket. WeChat decides whether it is another one, so `force` changes nothing."""
        return self._ask(account, "/cgi-bin/ticket/getticket", _WECHAT, {"type": "wx_card"})


@dataclass(frozen=True, slots=True)
class AgentTicket(_Ticket):
    """
    The ticket of one app in WeCom, for ``wx.agentConfig``. It is signed with like the ``jsapi_ticket``.

    Takes the arguments of `JsapiTicket`.
    """

    kind = "agent_ticket"
    accounts: ClassVar[tuple[type[Account], ...]] = (WeComAccount, CorpAccount)

    def fetch(self, account: Account, *, force: bool = False) -> Grant | Failure:
        """Ask for the ticket. WeCom decides whether it is another one, so `force` changes nothing."""
        return self._ask(account, "/cgi-bin/ticket/get", _WECOM, {"type": "agent_config"})
