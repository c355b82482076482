"""
Signatures for pages in WeChat's browser, ready for ``wx.config``::

    jssdk = JSSDK(provider)
    jssdk.signature("https://example.com/page?x=1")   # {"appId": …, "timestamp": …, "nonceStr": …, "signature": …}

For WeCom's ``wx.agentConfig``, which is told the app, too: ``JSSDK(provider, ticket=AgentTicket).agent_config(url)``.

The ticket behind them is fetched with the provider's token, kept in its store in a row of its own, and refreshed by the
same engine.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
from collections.abc import Callable, Mapping
from typing import TypedDict
from urllib.parse import urlsplit

from ._engine.provider import TokenProvider
from ._rules.models import agent_of
from ._runtime import fork
from .exceptions import ConfigurationError, TokenError
from .sources import AgentTicket, JsapiTicket

__all__ = ["AgentConfig", "Config", "JSSDK", "sign"]  # noqa: RUF022 - JSSDK is no constant

_logger = logging.getLogger("wxmiddleware")


class Config(TypedDict):
    """What ``wx.config`` wants to know of the server. Add ``jsApiList`` to it in the page."""

    appId: str
    timestamp: int
    nonceStr: str
    signature: str


class AgentConfig(TypedDict):
    """What ``wx.agentConfig`` wants to know of the server. Add ``jsApiList`` to it in the page."""

    corpid: str
    agentid: str
    timestamp: int
    nonceStr: str
    signature: str


def sign(ticket: str, url: str, *, nonce: str, timestamp: int) -> str:
    """
    Sign a page with a ticket, as WeChat and WeCom both describe it (docs/wechat.md#tickets-and-js-sdk-signatures).

    Args:
        ticket: The ``jsapi_ticket``.
        url: The page's, exactly as the browser shows it. ``#`` and what follows do not count.
        nonce: A random word; ``nonceStr`` of ``wx.config``.
        timestamp: Seconds since 1970, the same that ``wx.config`` gets.

    Raises:
        ConfigurationError: The url or the nonce has half an emoji in it, which has no UTF-8.
    """
    try:
        # Raw values: nothing is URL-encoded here.
        text = f"jsapi_ticket={ticket}&noncestr={nonce}&timestamp={timestamp}&url={url.partition('#')[0]}".encode()
    except UnicodeEncodeError:
        text = b""
    if not text:  # outside of the except clause: that error has the ticket in it
        raise ConfigurationError("url or nonce has half an emoji in it (a lone surrogate), so it cannot be signed.")
    return hashlib.sha1(text, usedforsecurity=False).hexdigest()


class JSSDK(fork.InOneProcess):
    """
    Signs the pages of one account, or of one app of WeCom.

    Args:
        provider: Gives the access token that the ticket is asked for with.
        ticket: What to sign with: `JsapiTicket`, or `AgentTicket` for WeCom's ``wx.agentConfig``.
        nonce: Makes a random word. For tests.

    Attributes:
        tickets: The provider of the ticket: a `TokenProvider` like any other.

    Raises:
        ConfigurationError: `provider` is none, or `ticket` is not for its kind of account.
    """

    def __init__(
        self,
        provider: TokenProvider,
        *,
        ticket: type[JsapiTicket | AgentTicket] = JsapiTicket,
        nonce: Callable[[], str] = lambda: secrets.token_hex(8),
    ) -> None:
        if not isinstance(provider, TokenProvider):
            raise ConfigurationError(f"JSSDK(provider) takes a TokenProvider, not a {type(provider).__name__}.")
        self.tickets = provider.with_source(ticket(provider))
        self._runtime = provider.runtime
        self._nonce = nonce
        self._of_app = issubclass(ticket, AgentTicket)

    def signature(self, url: str, *, rejected: Mapping[str, object] | None = None) -> Config:
        """
        Sign a page.

        Args:
            url: The page's, as ``location.href`` gives it: with the query, and not rebuilt behind a proxy.
            rejected: What was signed for this page before, if the browser said ``config:invalid signature`` to it. If
                it was signed with the ticket that is still in use, the ticket is replaced; not more than once in 30
                seconds, as with any rejected token, since anybody can claim this. Otherwise, and if WeChat gives the
                same ticket again, it is signed with that: most often it is the `url` that was not the page's.

        Raises:
            ConfigurationError: `url` is not an absolute http(s) URL that can be written in UTF-8. A `rejected` that can
                never have been signed is passed over.
            TokenError: There is no ticket; `TokenRefused` or `TokenUnavailable`. What a browser says takes none away.
        """
        page = _checked(url)
        token = self._blamed(page, rejected)  # a name whose value error trackers hide
        try:
            token = self.tickets.get_token(token)
        except TokenError:
            token = self._kept(token)
            if token is None:
                raise
        return self._signed(page, token)

    async def asignature(self, url: str, *, rejected: Mapping[str, object] | None = None) -> Config:
        """Sign a page: `signature` for tasks of asyncio and trio."""
        page = _checked(url)
        token = self._blamed(page, rejected)
        try:
            token = await self.tickets.aget_token(token)
        except TokenError:
            token = self._kept(token)
            if token is None:
                raise
        return self._signed(page, token)

    def agent_config(self, url: str, *, rejected: Mapping[str, object] | None = None) -> AgentConfig:
        """
        Sign a page for ``wx.agentConfig`` of WeCom, with the ticket of the app.

        Args:
            url: See `signature`.
            rejected: What was signed for this page before, if the browser did not take it; see `signature`.

        Raises:
            ConfigurationError: The ticket is not an `AgentTicket`, or the account says no agentid, or `url` is wrong.
            TokenError: There is no ticket.
        """
        agentid = self._agentid()
        return self._for_app(agentid, self.signature(url, rejected=rejected))

    async def aagent_config(self, url: str, *, rejected: Mapping[str, object] | None = None) -> AgentConfig:
        """Sign a page for ``wx.agentConfig``: `agent_config` for tasks of asyncio and trio."""
        agentid = self._agentid()
        return self._for_app(agentid, await self.asignature(url, rejected=rejected))

    def _agentid(self) -> str:
        if not self._of_app:
            raise ConfigurationError(
                "wx.agentConfig is signed with the app's ticket: JSSDK(provider, ticket=AgentTicket). That of the corp "
                "is for wx.config."
            )
        agentid = agent_of(self.tickets.account)
        if agentid is None:
            raise ConfigurationError(
                "wx.agentConfig needs the app's number: WeComAccount(corpid, secret, agentid=...), WECOM_AGENTID, or "
                "suite.corp(corpid, agentid)."
            )
        return str(agentid)

    def _for_app(self, agentid: str, signed: Config) -> AgentConfig:
        return {
            "corpid": signed["appId"],
            "agentid": agentid,
            "timestamp": signed["timestamp"],
            "nonceStr": signed["nonceStr"],
            "signature": signed["signature"],
        }

    def _signed(self, url: str, token: str) -> Config:
        nonce, timestamp = self._nonce(), int(self._runtime.time())
        return {
            "appId": self.tickets.account.appid,
            "timestamp": timestamp,
            "nonceStr": nonce,
            "signature": sign(token, url, nonce=nonce, timestamp=timestamp),
        }

    def _blamed(self, url: str, rejected: Mapping[str, object] | None) -> str | None:
        """The ticket in use, if the rejected signature was made with it."""
        token = self.tickets.peek() if isinstance(rejected, Mapping) and rejected else None
        if rejected is None or token is None:
            return None
        nonce, timestamp, signature = (rejected.get(name) for name in ("nonceStr", "timestamp", "signature"))
        # As the page sends them: anything may be there.
        if not isinstance(nonce, str) or not isinstance(signature, str) or not signature.isascii():
            return None
        if not isinstance(timestamp, str) and not (isinstance(timestamp, int) and 0 <= timestamp < 2**63):
            return None
        try:
            made = sign(token, url, nonce=nonce, timestamp=timestamp)  # type: ignore[arg-type]  # as the page sends it
        except ConfigurationError:
            return None
        return token if hmac.compare_digest(made, signature) else None

    def _kept(self, blamed: str | None) -> str | None:
        """The ticket in use, if it was blamed and is in use all the same."""
        ticket = None if blamed is None else self.tickets.peek()
        if ticket is not None:
            _logger.info(
                "A browser rejected a page's signature, but the ticket stays in use: WeChat names it as the current "
                "one, gives none at the moment, or one was replaced less than 30 s ago. Check that the url that is "
                "signed is the page's own."
            )
        return ticket

    def __repr__(self) -> str:
        return f"<JSSDK {self.tickets.account.appid}>"


def _checked(url: object) -> str:
    try:
        parts = urlsplit(url) if isinstance(url, str) else None
    except ValueError:
        parts = None
    if (
        not isinstance(url, str)
        or parts is None
        or parts.scheme not in ("http", "https")
        or not parts.netloc
        or _has_half_an_emoji(url)
    ):
        raise ConfigurationError("url must be the page's whole URL, as location.href gives it.")
    return url


def _has_half_an_emoji(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
