"""The accounts' tickets: each asked for with the account's token, and kept by the same engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cachetools import LRUCache

from ..jssdk import JSSDK
from ..sources import AgentTicket, CardTicket, JsapiTicket
from ._answers import NOT_ALLOWED, Refusal
from ._settings import HubAccount

if TYPE_CHECKING:
    from .._engine.provider import TokenProvider

Ticket = type[JsapiTicket | CardTicket | AgentTicket]


class Tickets:
    """Gives the provider of an account's ticket, and what signs with it. Both are made once."""

    def __init__(self) -> None:
        self._providers: LRUCache[tuple[TokenProvider, Ticket], TokenProvider] = LRUCache(10_000)
        self._signers: LRUCache[tuple[TokenProvider, Ticket], JSSDK] = LRUCache(10_000)

    def provider(self, account: HubAccount, ticket: Ticket) -> TokenProvider:
        """Give the provider of one of an account's tickets."""
        which = (account.provider, ticket)
        found = self._providers.get(which)
        if found is None:
            _check(account, ticket)
            found = self._providers[which] = account.provider.with_source(ticket(account.provider))
        return found

    def signer(self, account: HubAccount, ticket: type[JsapiTicket | AgentTicket]) -> JSSDK:
        """Give what signs an account's pages."""
        which = (account.provider, ticket)
        found = self._signers.get(which)
        if found is None:
            _check(account, ticket)
            found = self._signers[which] = JSSDK(account.provider, ticket=ticket)
        return found


def _check(account: HubAccount, ticket: Ticket) -> None:
    if ticket is (CardTicket if account.is_wecom else AgentTicket):
        whose = "an app of WeCom" if account.is_wecom else "an account that is no app of WeCom"
        raise Refusal(NOT_ALLOWED, f"api unauthorized: {whose} has no such ticket")
