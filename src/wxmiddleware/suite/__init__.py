"""
A suite of a service provider of WeCom (服务商), and the corps that have authorised it::

    suite = Suite(SuiteAccount(suite_id, suite_secret), store=SQLStore.from_url(url))

    suite.handle(notice)                      # what WeCom pushes: tickets, authorisations, cancellations
    suite.authorization_url(redirect_uri)     # where a corp's admin clicks
    suite.authorize(auth_code)                # what comes back to that page
    suite.corp(corpid).get_token()            # from then on, in every process

WeCom gives a corp's permanent code once. So the auth_code is written down before it is redeemed, and the permanent code
is saved before anything else is done. If a process dies before WeCom has acted, another one redeems the code
(`Suite.recover`). If it dies after that and before the save, WeCom gives the permanent code to nobody again: the log
says so, and the corp's admin has to authorise once more.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from weakref import WeakValueDictionary

from .._authorised import drop, keep
from .._codes import BETWEEN, TRIES, AuthCodes
from .._engine.events import Observer, checked_observers
from .._engine.link import StoreLink
from .._engine.provider import TokenProvider
from .._pushed import PlatformStatus, PushedNotice, PushedTicket
from .._rules.cures import Cure, cured_by
from .._rules.identity import record_key
from .._rules.models import Account, CorpAccount, Failure, Grant, ProviderAccount, SuiteAccount
from .._runtime import checks, fork
from .._runtime.clock import Clock
from .._runtime.runtime import Runtime
from .._runtime.threads import run_in_thread
from ..exceptions import ConfigurationError, StoreError, TokenError
from ..sources.suite import CorpToken, ProviderToken, SuiteToken, wants_ticket
from ..stores import TokenStore

if TYPE_CHECKING:
    from .._engine.token import CachedToken

__all__ = ["ProviderAccount", "Suite", "SuiteAccount"]

_logger = logging.getLogger("wxmiddleware")

_TICKET_LIFE = 30 * 60.0
_TICKET_LATE = 20 * 60.0
_USED_UP = {40058, 40078}
_STATE = re.compile(r"[A-Za-z0-9]{0,128}", re.ASCII)
_INSTALL = "https://open.work.weixin.qq.com/3rdapp/install"
_FORGETFUL = (
    "{store} may forget, and with a permanent code an authorisation is lost. Give Suite a store that keeps what it is "
    "given: SQLStore or JSONFileStore. A Redis of yours that writes to disk and evicts nothing will do, too: say "
    "durable=True."
)
_LOST = (
    "An auth_code that was left over cannot be redeemed any more (errcode %s). If a process died between WeCom's "
    "answer and the save, the permanent code is lost with it, and WeCom gives it to nobody again: the corp's admin has "
    "to authorise the suite again; of a developed app, fetch its secret again at WeCom's console."
)


class Suite(fork.InOneProcess):
    """
    A suite (third-party app of a 服务商), or a template of apps that are developed for one corp each (代开发).

    Args:
        account: The suite id and ``suite_secret``.
        store: Where tokens, permanent codes and the pushed ticket are kept. It must not forget: a lost permanent code
            costs the corp's admin another visit.
        service_provider: The provider's own CorpID and ``provider_secret``, for what needs the
            ``provider_access_token``, and for `receives`. It may lack the secret for the latter.
        developed: Whether it is a template of developed apps. A corp's permanent code is then the secret of its app.
        durable: Whether the store keeps what it is given until it is replaced; see `Platform`.
        timeout: Seconds that a caller waits for a token at most, unless it says otherwise.
        observers: Functions that are told each `TokenEvent` of all of the suite's providers.
        runtime: The clocks, the sleep and the randomness, in place of the process's own. For tests.

    Attributes:
        provider: Gives the ``suite_access_token``.
        service_provider: Gives the ``provider_access_token``; ``None`` without the account and its secret.

    Raises:
        ConfigurationError: An argument is wrong, or the store may forget.
    """

    def __init__(
        self,
        account: SuiteAccount,
        *,
        store: TokenStore,
        service_provider: ProviderAccount | None = None,
        developed: bool = False,
        durable: bool | None = None,
        timeout: float = 10.0,
        observers: Iterable[Observer] = (),
        runtime: Runtime | None = None,
    ) -> None:
        if not isinstance(account, SuiteAccount) or isinstance(account, ProviderAccount):
            raise ConfigurationError("Suite needs SuiteAccount(suite_id, suite_secret).")
        if service_provider is not None and not isinstance(service_provider, ProviderAccount):
            raise ConfigurationError("service_provider= must be a ProviderAccount(corpid, provider_secret).")
        if not isinstance(developed, bool):
            raise ConfigurationError("developed must be True or False.")
        if not isinstance(store, TokenStore) or isinstance(store, type):
            raise ConfigurationError("Suite needs store=, a token store such as SQLStore.from_url(…).")
        if not (getattr(store, "durable", False) if durable is None else durable):
            raise ConfigurationError(_FORGETFUL.format(store=type(store).__name__))
        self._store = store
        self._options: dict[str, Any] = {
            "timeout": timeout,
            "observers": checked_observers(observers),
            "runtime": runtime,
        }
        runtime = checks.checked_runtime(runtime)
        clock = runtime.clock
        self._ticket = PushedTicket(
            StoreLink(store, record_key(account, "suite_ticket"), clock),
            account.appid,
            "suite_ticket",
            runtime,
            field="SuiteTicket",
            life=_TICKET_LIFE,
            late=_TICKET_LATE,
            warn=True,
            wants=wants_ticket,
        )
        self.provider = TokenProvider(account, source=SuiteToken(self._ticket.newest), store=store, **self._options)
        self.service_provider = None
        if service_provider is not None and service_provider.secret:
            self.service_provider = TokenProvider(
                service_provider, source=ProviderToken(), store=store, **self._options
            )
        self._ours = {account.appid} | ({service_provider.appid} if service_provider is not None else set())
        self._source = CorpToken(self.provider, developed, self._recovered)
        self._corps: WeakValueDictionary[str, CachedToken] = WeakValueDictionary()
        self._codes = AuthCodes(StoreLink(store, record_key(account, "auth_codes"), clock), clock)
        self._unsaved: dict[str, tuple[Grant, float, float]] = {}

    @property
    def _clock(self) -> Clock:
        return self.provider.runtime.clock

    @property
    def account(self) -> Account:
        """The suite's own."""
        return self.provider.account

    # What WeCom pushes

    def remember_ticket(self, ticket: str) -> None:
        """
        Keep the ``suite_ticket`` that WeCom has just pushed, for every process that shares the store.

        Only if it came from WeCom: check the push's signature, and decrypt it. The newest counts; it is good for 30
        minutes, so two pushes may be missed, and from the 20th minute on the log warns whenever it is used. Where
        there was no token for want of it, the next call asks at once.

        Raises:
            ConfigurationError: It is not a ticket: empty, or not a str.
            StoreError: The store failed; the ticket is not kept.
        """
        tokens = [token for found in self._corps.valuerefs() if (token := found()) is not None]
        self._ticket.remember(ticket, self.provider._own, tokens)

    async def aremember_ticket(self, ticket: str) -> None:
        """Keep a ticket: `remember_ticket` for tasks of asyncio and trio."""
        await run_in_thread(lambda: self.remember_ticket(ticket))

    def status(self) -> PlatformStatus:
        """
        Tell what its token and its ticket are like. It reads the ticket in the store; a store that fails is told.

        Raises:
            ProviderClosed: After ``suite.provider.close()``.
        """
        return self._ticket.status(self.provider.status())

    async def astatus(self) -> PlatformStatus:
        """Tell what it is like: `status` for tasks of asyncio and trio."""
        return await run_in_thread(self.status)

    def handle(self, notice: PushedNotice) -> bool:
        """
        Do what a notice asks for: keep a ticket, redeem an auth_code, forget a corp that has cancelled.

        Args:
            notice: What `wxmiddleware.webhook` gives: a `SuiteTicket`, a `CreateAuthNotice`,
                `ResetPermanentCodeNotice`, `CancelAuthNotice`, or any other one.

        Returns:
            Whether it was for this suite, and one of these. All others are yours.

        Raises:
            TokenError, StoreError: As `authorize`, `forget` and `remember_ticket` say.
        """
        if getattr(notice, "appid", None) != self.account.appid:
            return False
        match notice.info:
            case "suite_ticket":
                self.remember_ticket(getattr(notice, "ticket", ""))
            case "create_auth" | "reset_permanent_code":
                self.authorize(getattr(notice, "auth_code", ""))
            case "cancel_auth":
                self.forget(getattr(notice, "auth_corpid", ""))
            case _:
                return False
        return True

    async def ahandle(self, notice: PushedNotice) -> bool:
        """Do what a notice asks for: `handle` for tasks of asyncio and trio."""
        return await run_in_thread(lambda: self.handle(notice))

    def receives(self, receiver: str) -> bool:
        """
        Tell whether a push may be for `receiver`: give this method to the webhook as ``appid=``.

        The provider's CorpID is named where a URL is verified, the suite id in a notice, and a corp that has authorised
        in a message. The store is read for each message of a corp.

        Raises:
            StoreError: The store failed, and this process does not know the corp either.
        """
        if receiver in self._ours:
            return True
        try:
            token = self.corp(receiver)._own
        except ConfigurationError:
            return False
        try:
            record = token.link.read()
        except StoreError:
            if token.link.known.refresh is not None:
                return True
            raise
        token.link.learn(record)
        return record.refresh is not None

    # Corps

    def corp(self, corpid: str, agentid: int | str | None = None) -> TokenProvider:
        """
        Make the provider of a corp that has authorised this suite.

        It is made anew each time, and shares cache and fetches with the others of this corp. Asks nobody: whether the
        corp has authorised shows when its token is wanted. For many corps hand this method to a `ProviderPool`.

        Args:
            corpid: As the provider knows it: encrypted, and capitals count.
            agentid: The app's number at that corp, for messages.

        Raises:
            ConfigurationError: `corpid` is none.
        """
        own = self.account
        account = CorpAccount(corpid, own.appid, base_url=own.base_url, realm=own.realm, agentid=agentid)
        provider = TokenProvider(account, source=self._source, store=self._store, **self._options)
        self._corps[f"{corpid}/{agentid}"] = provider._own
        return provider

    def providers(self) -> list[TokenProvider]:
        """The providers of the suite's and the provider's own tokens, for a status page. Those of corps are yours."""
        return [provider for provider in (self.provider, self.service_provider) if provider is not None]

    def authorize(self, auth_code: str) -> TokenProvider:
        """
        Take in a corp whose admin has just authorised the suite, or whose app's secret was fetched again.

        A code that was redeemed in the last ten minutes leads to the same corp again, in every process.

        Args:
            auth_code: What WeCom hands to the redirect page, and in the pushes ``create_auth`` and
                ``reset_permanent_code``. It is good once, for ten minutes.

        Returns:
            The corp's provider. Its id is ``provider.account.appid``, the app's number ``provider.account.agentid``.

        Raises:
            TokenRefused: WeCom does not take the code, or the suite's secret.
            TokenUnavailable: WeCom cannot be asked at the moment. `recover` tries again for as long as the code is
                good.
            StoreError: The store failed. If that was before WeCom was asked, the code is good still. If after, this
                process keeps the permanent code, and writes it as soon as the store is back and `recover`, `handle`
                or this is called.
        """
        if not isinstance(auth_code, str) or not auth_code.strip():
            raise ConfigurationError("The auth_code must be a str, and not empty.")
        auth_code = auth_code.strip()
        self._write_unsaved()
        corpid, shared = self._codes.begin(auth_code)
        return self.corp(corpid) if corpid else self._redeem(auth_code, shared=shared)

    async def aauthorize(self, auth_code: str) -> TokenProvider:
        """Take in a corp: `authorize` for tasks of asyncio and trio."""
        return await run_in_thread(lambda: self.authorize(auth_code))

    def recover(self) -> list[TokenProvider]:
        """
        Redeem what a process that died has begun with, as far as WeCom still takes it.

        Call it when a process starts. It is called, too, when the token of a corp is wanted that has no permanent code.

        Returns:
            The providers of the corps that were found.

        Raises:
            StoreError: The store failed.
        """
        self._write_unsaved()
        found = []
        for auth_code in self._codes.left_over():
            try:
                found.append(self._redeem(auth_code))
            except TokenError as error:
                if error.errcode in _USED_UP:
                    _logger.error(_LOST, error.errcode)
        return found

    async def arecover(self) -> list[TokenProvider]:
        """Redeem what was left over: `recover` for tasks of asyncio and trio."""
        return await run_in_thread(self.recover)

    def forget(self, corpid: str) -> None:
        """
        Drop the permanent code and the token of a corp that has cancelled, for every process that shares the store.

        The others stop handing its token out with their next look at the store, which is due within a minute.

        Raises:
            ConfigurationError: `corpid` is none.
            StoreError: The store failed; nothing is dropped.
        """
        token = self.corp(corpid)._own

        self._unsaved.pop(corpid, None)
        drop(token)
        for found in self._corps.valuerefs():  # with an AgentId it is a provider of its own
            other = found()
            if other is not None and other is not token and other.account.appid == corpid:
                other.amend(lambda record, now: record)

    async def aforget(self, corpid: str) -> None:
        """Drop a corp: `forget` for tasks of asyncio and trio."""
        await run_in_thread(lambda: self.forget(corpid))

    def adopt_permanent_code(self, corpid: str, permanent_code: str) -> TokenProvider:
        """
        Take in a corp that another system has looked after until now.

        Args:
            corpid: Whose.
            permanent_code: The ``permanent_code`` that the other system has stored.

        Returns:
            The corp's provider. It fetches when it is asked for a token.

        Raises:
            ConfigurationError: An argument is wrong.
            StoreError: The store failed; nothing is kept.
        """
        if not isinstance(permanent_code, str) or not permanent_code.strip() or not permanent_code.isprintable():
            raise ConfigurationError("The permanent code must be a str of visible ASCII, and not empty.")
        return self._save(corpid, None, Grant("", 0.0, permanent_code.strip()), 0.0, 0.0)

    # Onboarding

    def pre_auth_code(self) -> str:
        """
        Ask for a ``pre_auth_code``: of one installation, good for 20 minutes.

        Raises:
            TokenError: WeCom gives none; `TokenRefused` or `TokenUnavailable`.
        """
        answer = self._asked("GET", "get_pre_auth_code")
        return str(answer.get("pre_auth_code", ""))

    async def apre_auth_code(self) -> str:
        """Ask for a ``pre_auth_code``: `pre_auth_code` for tasks of asyncio and trio."""
        return await run_in_thread(self.pre_auth_code)

    def set_session_info(self, pre_auth_code: str, *, test: bool = False, appids: Iterable[int] = ()) -> None:
        """
        Say how an installation is to be.

        Args:
            pre_auth_code: Of which.
            test: Whether it may be a suite that is not published yet (``auth_type`` 1).
            appids: Only for old suites of several apps: which of them.

        Raises:
            TokenError: WeCom does not take it.
        """
        info: dict[str, Any] = {"auth_type": 1 if test else 0}
        chosen = list(appids)
        if chosen:
            info["appid"] = chosen
        body = {"pre_auth_code": pre_auth_code, "session_info": info}
        self._asked("POST", "set_session_info", body, hidden=(pre_auth_code,))

    def authorization_url(self, redirect_uri: str, state: str = "", *, test: bool = False) -> str:
        """
        Make the link on which a corp's admin installs the suite; it asks WeCom for a pre-auth code.

        The admin must click it on a page of the domain that is registered for the suite: WeCom looks at the Referer.

        Args:
            redirect_uri: Where the admin is sent then, with ``auth_code`` and ``state`` in the query.
            state: Comes back as it is: up to 128 letters and digits.
            test: Whether the suite is not published yet.

        Raises:
            ConfigurationError: An argument is wrong.
            TokenError: WeCom gives no pre-auth code.
        """
        _check_link(redirect_uri, state)
        code = self.pre_auth_code()
        if test:
            try:
                self.set_session_info(code, test=True)
            except TokenError as error:
                if error.errcode not in cured_by(Cure.LINK):
                    raise
                code = self.pre_auth_code()
                self.set_session_info(code, test=True)
        query = {"suite_id": self.account.appid, "pre_auth_code": code, "redirect_uri": redirect_uri, "state": state}
        return f"{_INSTALL}?{urlencode(query)}"

    async def aauthorization_url(self, redirect_uri: str, state: str = "", *, test: bool = False) -> str:
        """Make the link: `authorization_url` for tasks of asyncio and trio."""
        return await run_in_thread(lambda: self.authorization_url(redirect_uri, state, test=test))

    def auth_info(self, corpid: str) -> dict[str, Any]:
        """
        Read what a corp has granted (``v2/get_auth_info``), as after a notice ``change_auth``.

        Raises:
            ConfigurationError: `corpid` is none.
            LookupError: The store has no permanent code of this corp.
            StoreError: The store failed.
            TokenError: WeCom does not tell.
        """
        secret = self.corp(corpid)._own.link.read().refresh
        if secret is None:
            raise LookupError("This corp has not authorised the suite, or not any more.")
        body = {"auth_corpid": corpid, "permanent_code": secret}
        return self._asked("POST", "v2/get_auth_info", body, hidden=(secret,))

    async def aauth_info(self, corpid: str) -> dict[str, Any]:
        """Read what a corp has granted: `auth_info` for tasks of asyncio and trio."""
        return await run_in_thread(lambda: self.auth_info(corpid))

    def _asked(
        self, method: str, name: str, body: dict[str, Any] | None = None, hidden: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        answer = self._source.service(method, name, body, hidden=hidden)
        if isinstance(answer, Failure):
            raise answer.error()
        return answer

    # Permanent codes

    def _redeem(self, auth_code: str, *, shared: bool = False) -> TokenProvider:
        sent = self._clock()
        answer = self._source.redeem(auth_code)
        if isinstance(answer, Failure):
            if answer.errcode in _USED_UP:
                corpid = self._codes.await_other(auth_code, self.provider.runtime.sleep) if shared else ""
                if corpid:
                    return self.corp(corpid)
                with suppress(StoreError):
                    self._codes.end(auth_code)
            raise answer.error()
        provider = self._keep(answer.corpid, answer.agentid, answer.grant, sent, self._clock())
        with suppress(StoreError):  # then another one finds it used up
            self._codes.end(auth_code, answer.corpid)
        return provider

    def _keep(self, corpid: str, agentid: int | None, grant: Grant, sent: float, received: float) -> TokenProvider:
        # In this process's memory only, it dies with the process: a failing store is tried again for a while.
        for tries in range(TRIES):
            if tries:
                self.provider.runtime.sleep(BETWEEN)
            with suppress(StoreError):
                return self._save(corpid, agentid, grant, sent, received)
        self._unsaved[corpid] = grant, sent, received
        raise StoreError(
            f"The permanent code of {corpid} could not be saved. This process keeps it, and writes it when the store "
            "is back: call Suite.recover() then. If it ends before, the corp's admin has to authorise again."
        )

    def _save(self, corpid: str, agentid: int | None, grant: Grant, sent: float, received: float) -> TokenProvider:
        provider = self.corp(corpid, agentid)
        keep(provider._own, grant, sent, received)
        return provider

    def _write_unsaved(self) -> None:
        for corpid, (grant, sent, received) in list(self._unsaved.items()):
            self._save(corpid, None, grant, sent, received)
            self._unsaved.pop(corpid, None)

    def _recovered(self, account: Account) -> str | None:
        """The permanent code of a corp, once what was left over is redeemed."""
        with suppress(StoreError):
            self.recover()
            return self.corp(account.appid)._own.link.read().refresh
        return None

    def __repr__(self) -> str:
        return f"<Suite {self.account.appid}>"


def _check_link(redirect_uri: object, state: object) -> None:
    checks.whole_url("redirect_uri", redirect_uri, "https://example.com/installed")
    if not isinstance(state, str) or not _STATE.fullmatch(state):
        raise ConfigurationError("state must be up to 128 letters and digits: WeCom takes nothing else.")
