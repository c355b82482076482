"""
A third-party platform and the accounts that have authorised it::

    platform = Platform(Account(component_appid, component_secret), store=SQLStore.from_url(url))

    platform.remember_ticket(ticket)              # what WeChat pushes every ten minutes
    provider = platform.authorize(auth_code)      # when an account's owner has said yes
    platform.authorizer(appid).get_token()        # from then on, in every process

WeChat rotates an account's refresh token: each answer brings the one for the next request, and nobody gives it again
unasked. So it lies in the store beside the token, saved with it in one step by whoever holds the lease; two processes
never rotate against each other, and while the store is down nobody asks. If a process dies between WeChat's answer and
the save, the new refresh token is lost. WeChat does not say whether the old one is still good; it is tried, and if it
is void, the newest is looked up in WeChat's list of authorised accounts (``api_get_authorizer_list``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from ._engine.events import Observer, checked_observers
from ._engine.link import StoreLink
from ._engine.provider import TokenProvider
from ._pushed import PlatformStatus, PushedTicket, TicketState
from ._rules.identity import record_key
from ._rules.models import Account, AuthorizerAccount, Failure, Grant, Record, is_token
from ._rules.policies import next_generation
from ._runtime import fork
from ._runtime.clock import Clock
from ._runtime.runtime import Runtime
from ._runtime.threads import run_in_thread
from .exceptions import ConfigurationError
from .sources import AuthorizerToken, ComponentToken
from .sources.component import wants_ticket
from .stores import TokenStore

if TYPE_CHECKING:
    from ._engine.token import CachedToken

__all__ = ["Platform", "PlatformStatus", "TicketState"]

_TICKET_LIFE = 12 * 3600.0
_TICKET_LATE = 1800.0  # seconds: WeChat pushes one every ten minutes, so three have not come
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
        self.provider = TokenProvider(account, source=ComponentToken(self._ticket), store=store, **self._options)
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

        Args:
            auth_code: What WeChat hands to the redirect page, and in the push ``authorized``. It is good once.

        Returns:
            The account's provider, with a token. Its AppID is ``provider.account.appid``.

        Raises:
            TokenRefused: WeChat does not take the code, or the platform's secret.
            TokenUnavailable: WeChat cannot be asked at the moment.
            StoreError: The tokens could not be saved. The code is used up; but the account is in WeChat's list now, and
                is found there when its token is wanted.
        """
        if not isinstance(auth_code, str) or not auth_code:
            raise ConfigurationError("The auth_code must be a str, and not empty.")
        sent = self._clock()
        answer = self._source.redeem(auth_code)
        if isinstance(answer, Failure):
            raise answer.error()
        appid, grant = answer
        return self._keep(appid, grant, sent, self._clock())

    async def aauthorize(self, auth_code: str) -> TokenProvider:
        """Take in an account: `authorize` for tasks of asyncio and trio."""
        return await run_in_thread(lambda: self.authorize(auth_code))

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
        token = provider._own

        def change(record: Record, now: float) -> Record:
            kept = replace(
                record,
                generation=next_generation(token.newest(record), now, token.runtime.random()),
                refresh=grant.refresh,
                cooldown=None,
                rejections=0,
            )
            if not grant.value:
                return kept
            return replace(
                kept, value=grant.value, expires_at=sent + grant.expires_in, sent_at=sent, received_at=received
            )

        token.amend(change)
        return provider

    def _ticket(self) -> str | None:
        """The newest ticket, if it is still good."""
        return self._tickets.newest()

    def __repr__(self) -> str:
        return f"<Platform {self.account.appid}>"
