"""
A third-party platform and the accounts that have authorised it::

    platform = Platform(Account(component_appid, component_secret), store=SQLStore.from_url(url))

    platform.handle(notice)                       # what WeChat pushes: tickets, authorisations, cancellations
    platform.authorize_url(redirect_uri)          # where an account's owner clicks
    platform.authorize(auth_code)                 # what comes back to that page
    platform.authorizer(appid).get_token()        # from then on, in every process

WeChat rotates an account's refresh token: each answer brings the one for the next request, and nobody gives it again
unasked. So it lies in the store beside the token, saved with it in one step by whoever holds the lease; two processes
never rotate against each other, and while the store is down nobody asks. If a process dies between WeChat's answer and
the save, the new refresh token is lost. WeChat does not say whether the old one is still good; it is tried, and if it
is void, the newest is looked up in WeChat's list of authorised accounts (``api_get_authorizer_list``).
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from weakref import WeakValueDictionary

from ._authorised import drop, keep
from ._codes import AuthCodes
from ._engine.events import Observer, checked_observers
from ._engine.link import StoreLink
from ._engine.provider import TokenProvider
from ._pushed import PlatformStatus, PushedNotice, PushedTicket, TicketState
from ._rules.identity import record_key
from ._rules.models import Account, AuthorizerAccount, Cause, Failure, Grant, is_token
from ._runtime import checks, fork
from ._runtime.clock import Clock
from ._runtime.runtime import Runtime
from ._runtime.threads import run_in_thread
from .exceptions import ConfigurationError, StoreError, TokenRefused
from .sources import AuthorizerToken, ComponentToken
from .sources.component import USED_UP, wants_ticket
from .stores import TokenStore

if TYPE_CHECKING:
    from ._engine.token import CachedToken

__all__ = ["Platform", "PlatformStatus", "TicketState"]

_TICKET_LIFE = 12 * 3600.0
_TICKET_LATE = 1800.0  # seconds: WeChat pushes one every ten minutes, so three have not come
_PC = "https://mp.weixin.qq.com/cgi-bin/componentloginpage"
_MOBILE = "https://open.weixin.qq.com/wxaopen/safe/bindcomponent"
# docs/wechat.md#tokens-of-platforms says what each is for.
_AUTH_TYPES = {1, 2, 3, 4, 5, 6, 8}
_PUSHED = "ok"  # errmsg of api_start_push_ticket where the pushes had stopped
_FORGETFUL = (
    "{store} may forget, and with a refresh token an authorisation is lost. Give Platform a store that keeps what it "
    "is given: SQLStore or JSONFileStore. A Redis of yours that writes to disk and evicts nothing will do, too: say "
    "durable=True."
)


class Platform(fork.InOneProcess):
    """
    A third-party platform (第三方平台).

    Args:
        account: The platform's own ``component_appid`` and ``component_appsecret``.
        store: Where tokens, refresh tokens and the pushed ticket are kept. It must not forget: a lost refresh token
            costs a look at WeChat's list, or the account's owner another visit.
        durable: Whether the store keeps what it is given until it is replaced. `SQLStore` and `JSONFileStore` say so
            themselves, also inside an `EncryptedStore`. `MemcachedStore` and `MemoryStore` do not; nor does
            `RedisStore`, which cannot know how its server is set up (``maxmemory-policy``, persistence).
        timeout: Seconds that a caller waits for a token at most, unless it says otherwise.
        observers: Functions that are told each `TokenEvent` of all of the platform's providers.
        runtime: The clocks, the sleep and the randomness, in place of the process's own. For tests.

    Attributes:
        provider: Gives the ``component_access_token``.

    Raises:
        ConfigurationError: An argument is wrong, or the store may forget.
    """

    def __init__(
        self,
        account: Account,
        *,
        store: TokenStore,
        durable: bool | None = None,
        timeout: float = 10.0,
        observers: Iterable[Observer] = (),
        runtime: Runtime | None = None,
    ) -> None:
        if not isinstance(store, TokenStore) or isinstance(store, type):
            raise ConfigurationError("Platform needs store=, a token store such as SQLStore.from_url(…).")
        if not (getattr(store, "durable", False) if durable is None else durable):
            raise ConfigurationError(_FORGETFUL.format(store=type(store).__name__))
        self._store = store
        self._options: dict[str, Any] = {
            "timeout": timeout,
            "observers": checked_observers(observers),
            "runtime": runtime,
        }
        self._own_source = ComponentToken(self._ticket)
        self.provider = TokenProvider(account, source=self._own_source, store=store, **self._options)
        self._source = AuthorizerToken(self.provider)
        self._authorizers: WeakValueDictionary[str, CachedToken] = WeakValueDictionary()
        self._tickets = PushedTicket(
            StoreLink(store, record_key(account, "component_verify_ticket"), self._clock),
            account.appid,
            "component_verify_ticket",
            self.provider.runtime,
            field="ComponentVerifyTicket",
            life=_TICKET_LIFE,
            late=_TICKET_LATE,
            wants=wants_ticket,
        )
        self._codes = AuthCodes(StoreLink(store, record_key(account, "auth_codes"), self._clock), self._clock)

    @property
    def _clock(self) -> Clock:
        return self.provider.runtime.clock

    @property
    def account(self) -> Account:
        """The platform's own."""
        return self.provider.account

    def remember_ticket(self, ticket: str) -> None:
        """
        Keep the ``component_verify_ticket`` that WeChat has just pushed, for every process that shares the store.

        Only if it came from WeChat: check the push's signature, and decrypt it. The newest counts; it is good for
        12 hours, so a few pushes may be missed. Where there was no token for want of it, the next call asks at once.

        Raises:
            ConfigurationError: It is not a ticket: empty, or not a str.
            StoreError: The store failed; the ticket is not kept.
        """
        tokens = [token for found in self._authorizers.valuerefs() if (token := found()) is not None]
        self._tickets.remember(ticket, self.provider._own, tokens)

    async def aremember_ticket(self, ticket: str) -> None:
        """Keep a ticket: `remember_ticket` for tasks of asyncio and trio."""
        await run_in_thread(lambda: self.remember_ticket(ticket))

    def start_push_ticket(self) -> bool:
        """
        Have WeChat push tickets again, as where a platform is new or its URL has failed for too long.

        WeChat takes the secret for it, and no token. The ticket then comes as a notice.

        Returns:
            Whether the pushes had stopped; ``False`` if they were on, so that a ticket comes within ten minutes.

        Raises:
            TokenRefused: WeChat does not take the AppID or the secret.
            TokenUnavailable: WeChat cannot be asked at the moment.
        """
        answer = self._own_source.start_push(self.account)
        if isinstance(answer, Failure):
            raise answer.error()
        return answer.get("errmsg") == _PUSHED

    async def astart_push_ticket(self) -> bool:
        """Have WeChat push tickets again: `start_push_ticket` for tasks of asyncio and trio."""
        return await run_in_thread(self.start_push_ticket)

    def handle(self, notice: PushedNotice) -> bool:
        """
        Do what a notice asks for: keep a ticket, redeem an auth_code, forget an account that has taken it back.

        Args:
            notice: What `wxmiddleware.webhook` gives: a `ComponentTicket`, an `AuthorizedNotice`, an
                `UnauthorizedNotice`, a `FastRegisterNotice`, or any other one.

        Returns:
            Whether it was for this platform, and one of these. All others are yours, and so is a mini program whose
            registration has failed.

        Raises:
            TokenError, StoreError: As `authorize`, `forget` and `remember_ticket` say.
        """
        if getattr(notice, "appid", None) != self.account.appid:
            return False
        auth_code = getattr(notice, "auth_code", "")
        match notice.info:
            case "component_verify_ticket":
                self.remember_ticket(getattr(notice, "ticket", ""))
            case "authorized" | "updateauthorized":
                self._take_in(getattr(notice, "authorizer_appid", ""), auth_code)
            case "notify_third_fasteregister" if getattr(notice, "status", "") == "0" and auth_code:
                self._take_in(getattr(notice, "authorizer_appid", ""), auth_code)
            case "unauthorized":
                self.forget(getattr(notice, "authorizer_appid", ""))
            case _:
                return False
        return True

    async def ahandle(self, notice: PushedNotice) -> bool:
        """Do what a notice asks for: `handle` for tasks of asyncio and trio."""
        return await run_in_thread(lambda: self.handle(notice))

    def authorizer(self, appid: str) -> TokenProvider:
        """
        Make the provider of an account that has authorised this platform.

        It is made anew each time, and shares cache and fetches with the others of this account. Asks nobody: whether
        the account has authorised shows when its token is wanted. For many accounts hand this method to a
        `ProviderPool`.

        Raises:
            ConfigurationError: `appid` is none.
        """
        own = self.account
        account = AuthorizerAccount(appid, own.appid, base_url=own.base_url, realm=own.realm)
        provider = TokenProvider(account, source=self._source, store=self._store, **self._options)
        self._authorizers[appid] = provider._own
        return provider

    def providers(self) -> list[TokenProvider]:
        """The provider of the platform's own token, for a status page. Those of authorised accounts are yours."""
        return [self.provider]

    def status(self) -> PlatformStatus:
        """
        Tell what its token and its ticket are like. It reads the ticket in the store; a store that fails is told.

        Raises:
            ProviderClosed: After ``platform.provider.close()``.
        """
        return self._tickets.status(self.provider.status())

    async def astatus(self) -> PlatformStatus:
        """Tell what it is like: `status` for tasks of asyncio and trio."""
        return await run_in_thread(self.status)

    def authorize(self, auth_code: str) -> TokenProvider:
        """
        Take in an account whose owner has just authorised the platform.

        A code that was redeemed in the last ten minutes leads to the same account again, in every process.

        Args:
            auth_code: What WeChat hands to the redirect page, and in the notice ``authorized``. It is good once.

        Returns:
            The account's provider, with a token. Its AppID is ``provider.account.appid``.

        Raises:
            TokenRefused: WeChat does not take the code, or the platform's secret.
            TokenUnavailable: WeChat cannot be asked at the moment.
            StoreError: The store failed. If that was before WeChat was asked, the code is good still. If after, it is
                used up; but the account is in WeChat's list now, and is found there when its token is wanted.
        """
        if not isinstance(auth_code, str) or not auth_code.strip():
            raise ConfigurationError("The auth_code must be a str, and not empty.")
        auth_code = auth_code.strip()
        appid, shared = self._codes.begin(auth_code)
        return self.authorizer(appid) if appid else self._redeem(auth_code, shared=shared)

    async def aauthorize(self, auth_code: str) -> TokenProvider:
        """Take in an account: `authorize` for tasks of asyncio and trio."""
        return await run_in_thread(lambda: self.authorize(auth_code))

    def forget(self, appid: str) -> None:
        """
        Drop the refresh token and the token of an account that has left, for every process that shares the store.

        The others stop handing its token out with their next look at the store, which is due within a minute. Where
        its token is wanted all the same, WeChat's list says whether it has left.

        Raises:
            ConfigurationError: `appid` is none.
            StoreError: The store failed; nothing is dropped.
        """
        drop(self.authorizer(appid)._own)

    async def aforget(self, appid: str) -> None:
        """Drop an account: `forget` for tasks of asyncio and trio."""
        await run_in_thread(lambda: self.forget(appid))

    # Onboarding

    def pre_auth_code(self) -> str:
        """
        Ask for a ``pre_auth_code``: of one authorisation, good for half an hour.

        Raises:
            TokenError: WeChat gives none; `TokenRefused` or `TokenUnavailable`.
        """
        answer = self._source.component("api_create_preauthcode", {})
        if isinstance(answer, Failure):
            raise answer.error()
        code = answer.get("pre_auth_code")
        if not isinstance(code, str) or not code:
            raise Failure(Cause.AMBIGUOUS, "WeChat's answer has no pre_auth_code.").error()
        return code

    async def apre_auth_code(self) -> str:
        """Ask for a ``pre_auth_code``: `pre_auth_code` for tasks of asyncio and trio."""
        return await run_in_thread(self.pre_auth_code)

    def authorize_url(
        self,
        redirect_uri: str,
        *,
        mobile: bool = False,
        auth_type: int = 3,
        biz_appid: str | None = None,
        categories: Iterable[int] = (),
    ) -> str:
        """
        Make the link on which an account's owner authorises the platform; it asks WeChat for a pre-auth code.

        A link is good once, so make one for each visit. The owner must click it on a page of the domain that is
        registered for the platform: WeChat looks at the Referer.

        Args:
            redirect_uri: Where the owner is sent then, with ``auth_code`` and ``expires_in`` in the query. There is no
                ``state``: put your own into it.
            mobile: For WeChat on a phone. Otherwise the page shows a QR code.
            auth_type: Who may authorise: 1 official accounts, 2 mini programs, 3 both, 4 mini-program promoters,
                5 Channels, 6 all of 3 and 5, 8 sales helpers.
            biz_appid: The one account that may be chosen.
            categories: Ids of the permission sets to ask for; by default all that the platform has published.

        Raises:
            ConfigurationError: An argument is wrong.
            TokenError: WeChat gives no pre-auth code.
        """
        query = {"redirect_uri": checks.whole_url("redirect_uri", redirect_uri, "https://example.com/authorised")}
        query.update(_chosen(auth_type, biz_appid, categories))
        if not isinstance(mobile, bool):
            raise ConfigurationError("mobile must be True or False.")
        query = {"component_appid": self.account.appid, "pre_auth_code": self.pre_auth_code(), **query}
        if mobile:
            return f"{_MOBILE}?{urlencode({'action': 'bindcomponent', 'no_scan': 1, **query})}#wechat_redirect"
        return f"{_PC}?{urlencode(query)}"

    async def aauthorize_url(
        self,
        redirect_uri: str,
        *,
        mobile: bool = False,
        auth_type: int = 3,
        biz_appid: str | None = None,
        categories: Iterable[int] = (),
    ) -> str:
        """Make the link: `authorize_url` for tasks of asyncio and trio."""
        options: dict[str, Any] = {"mobile": mobile, "auth_type": auth_type}
        options.update(biz_appid=biz_appid, categories=categories)
        return await run_in_thread(lambda: self.authorize_url(redirect_uri, **options))

    # Refresh tokens

    def adopt_refresh_token(self, appid: str, refresh_token: str) -> TokenProvider:
        """
        Take in an account that another system has looked after until now.

        Args:
            appid: Whose.
            refresh_token: The ``authorizer_refresh_token`` that the other system stored last. It must not use it again.

        Returns:
            The account's provider. It fetches when it is asked for a token.

        Raises:
            ConfigurationError: An argument is wrong.
            StoreError: The store failed; nothing is kept.
        """
        if not isinstance(refresh_token, str) or not is_token(refresh_token.strip()):
            raise ConfigurationError("The refresh token must be a str of visible ASCII, and not empty.")
        return self._keep(appid, Grant("", 0.0, refresh_token.strip()), 0.0, 0.0)

    def _keep(self, appid: str, grant: Grant, sent: float, received: float) -> TokenProvider:
        provider = self.authorizer(appid)
        keep(provider._own, grant, sent, received)
        return provider

    def _redeem(self, auth_code: str, *, shared: bool) -> TokenProvider:
        sent = self._clock()
        answer = self._source.redeem(auth_code)
        if isinstance(answer, Failure):
            if shared and answer.errcode == USED_UP:
                appid = self._codes.await_other(auth_code, self.provider.runtime.sleep)
                if appid:
                    return self.authorizer(appid)
            with suppress(StoreError):
                self._codes.end(auth_code)
            raise answer.error()
        appid, grant = answer
        provider = self._keep(appid, grant, sent, self._clock())
        with suppress(StoreError):  # then another one finds it used up
            self._codes.end(auth_code, appid)
        return provider

    def _take_in(self, appid: str, auth_code: str) -> None:
        """Take in the account of a notice. If somebody has used its code up, WeChat's list knows the account."""
        try:
            self.authorize(auth_code)
        except TokenRefused as error:
            if error.errcode != USED_UP:
                raise
            self.authorizer(appid).get_token()

    def _ticket(self) -> str | None:
        """The newest ticket, if it is still good."""
        return self._tickets.newest()

    def __repr__(self) -> str:
        return f"<Platform {self.account.appid}>"


def _chosen(auth_type: object, biz_appid: object, categories: object) -> dict[str, str]:
    """Who may authorise, and what, as parameters of a link."""
    if isinstance(auth_type, bool) or auth_type not in _AUTH_TYPES:
        raise ConfigurationError("auth_type must be 1, 2, 3, 4, 5, 6 or 8; 3 is official accounts and mini programs.")
    chosen = {"auth_type": str(auth_type)}
    if biz_appid is not None:
        if not isinstance(biz_appid, str) or not biz_appid.isalnum():
            raise ConfigurationError("biz_appid must be an AppID.")
        chosen["biz_appid"] = biz_appid
    ids = list(categories) if isinstance(categories, Iterable) and not isinstance(categories, (str, bytes)) else [None]
    if any(isinstance(each, bool) or not isinstance(each, int) for each in ids):
        raise ConfigurationError("categories must be numbers of permission sets, such as [17, 18].")
    if ids:
        chosen["category_id_list"] = "|".join(map(str, ids))
    return chosen
