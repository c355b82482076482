"""The simulated WeChat as a whole: accounts, rules, faults, counters."""

from __future__ import annotations

import enum
import secrets
import threading
import time
from collections.abc import Callable, Container, Iterable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, Literal, TypeVar, overload

from wxmiddleware.exceptions import ConfigurationError

from ._added import Handler, Route, route_of
from ._clock import SimulatedClock
from ._errors import Json
from ._faults import Faults
from ._log import Ledger, LogEntry
from ._outbox import Desk, Sent, Upload, signed
from ._platforms import Platforms, SimulatedPlatform
from ._providers import Providers, SimulatedProvider
from ._rids import Rids
from ._rules import SLOTS, SimulatedAccount, TokenRules
from ._settings import Knobs
from ._wecom import Corps, SimulatedApp

__all__ = ["WeChat"]

HandlerT = TypeVar("HandlerT", bound=Handler)


class _Own(enum.Enum):
    OWN = "the default account's"


_OWN = _Own.OWN


class WeChat(Knobs):
    """
    A WeChat on this machine: what ``api.weixin.qq.com`` does with tokens, without the network.

    It is a witness, so it shares no code with the client and counts what it sees. Use its methods in memory, or
    put :class:`SimulatorServer` around it. All methods may be called from any thread.

    Args:
        clock: Gives simulated Unix seconds; by default a :class:`SimulatedClock` that runs with the real time.
        appid: AppID of the default account; by default a new one.
        secret: AppSecret of the default account; by default a new one.
        log_size: How many requests :attr:`log` remembers.

    The other arguments are knobs: attributes of the same names, which can be set at any time and are described with
    :class:`Knobs`. Numbers from WeChat's pages are their defaults.

    Raises:
        ConfigurationError: An argument has a value that a WeChat cannot have.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] | None = None,
        overlap: float = 300.0,
        lifetime: int = 7200,
        propagation_lag: float = 0.0,
        keep_previous: int = 1,
        stable_forced_keeps_previous: bool = True,
        forced_too_soon: int | Literal["same"] = "same",
        forced_interval: float = 30.0,
        forced_daily: int = 20,
        stable_sticky: bool = False,
        malformed_errcode: int = 40001,
        expired_errcode: int = 42001,
        wrong_secret_errcode: int = 40125,
        daily_quota: int = 2000,
        stable_daily_quota: int = 500_000,
        stable_minute_quota: int = 10_000,
        clear_quota_covers_stable: bool = False,
        ticket_rotates: bool = False,
        wecom_sticky: bool = True,
        refresh_rotates: bool = True,
        refresh_keeps_previous: bool = False,
        pre_auth_code_life: float = 1800.0,
        redirect_has_own_code: bool = False,
        code_expiry_in_seconds: bool = False,
        suite_sticky: bool = True,
        suite_ticket_life: float = 1800.0,
        suite_ticket_repeats: bool = False,
        suite_ticket_first: bool = False,
        suite_success_errcode: bool = False,
        suite_expired_errcode: int = 42009,
        provider_expired_errcode: int = 42001,
        suite_needs_corp: bool = False,
        permanent_code_overlap: float = 3600.0,
        cancelled_errcode: int = 40014,
        reject_unicode_escapes: bool = False,
        token_length: int = 157,
        json_content_type: str = "application/json; encoding=utf-8",
        media_error_content_type: str = "text/plain",
        token_latency: float = 0.0,
        date_skew: float = 0.0,
        appid: str | None = None,
        secret: str | None = None,
        log_size: int = 10_000,
    ) -> None:
        if clock is not None and not callable(clock):
            raise ConfigurationError(
                "clock is called for the time; give a SimulatedClock or a function like time.time."
            )
        if isinstance(log_size, bool) or not isinstance(log_size, int) or log_size < 1:
            raise ConfigurationError("log_size is how many requests to remember, 1 or more.")
        self.clock: Callable[[], float] = SimulatedClock(time.time(), 1.0) if clock is None else clock
        self.overlap = overlap
        self.lifetime = lifetime
        self.propagation_lag = propagation_lag
        self.keep_previous = keep_previous
        self.stable_forced_keeps_previous = stable_forced_keeps_previous
        self.forced_too_soon = forced_too_soon
        self.forced_interval = forced_interval
        self.forced_daily = forced_daily
        self.stable_sticky = stable_sticky
        self.malformed_errcode = malformed_errcode
        self.expired_errcode = expired_errcode
        self.wrong_secret_errcode = wrong_secret_errcode
        self.daily_quota = daily_quota
        self.stable_daily_quota = stable_daily_quota
        self.stable_minute_quota = stable_minute_quota
        self.clear_quota_covers_stable = clear_quota_covers_stable
        self.ticket_rotates, self.wecom_sticky = ticket_rotates, wecom_sticky
        self.refresh_rotates, self.refresh_keeps_previous = refresh_rotates, refresh_keeps_previous
        self.pre_auth_code_life = pre_auth_code_life
        self.redirect_has_own_code, self.code_expiry_in_seconds = redirect_has_own_code, code_expiry_in_seconds
        self.suite_sticky, self.suite_ticket_life = suite_sticky, suite_ticket_life
        self.suite_ticket_repeats, self.suite_ticket_first = suite_ticket_repeats, suite_ticket_first
        self.suite_success_errcode = suite_success_errcode
        self.suite_expired_errcode, self.provider_expired_errcode = suite_expired_errcode, provider_expired_errcode
        self.suite_needs_corp = suite_needs_corp
        self.permanent_code_overlap, self.cancelled_errcode = permanent_code_overlap, cancelled_errcode
        self.reject_unicode_escapes = reject_unicode_escapes
        self.token_length = token_length
        self.json_content_type = json_content_type
        self.media_error_content_type = media_error_content_type
        self.token_latency = token_latency
        self.date_skew = date_skew

        self._ledger = Ledger(log_size)
        self._rules = TokenRules(self, self.clock, self._ledger)
        self._desk = Desk(self, self.clock, self._rules)
        self._corps = Corps(self, self.clock, self._ledger)
        self._providers = Providers(self, self.clock, self._ledger, self._corps)
        self._platforms = Platforms(self, self.clock, self._rules, self._ledger, lambda: self.appid)
        self._rids = Rids()
        self._routes: dict[str, Route] = {}
        self._serving = 0
        self._serving_lock = threading.Lock()
        self.faults = Faults(self._ledger.tell)
        own = self.add_account(
            appid=f"wx{secrets.token_hex(8)}" if appid is None else appid,
            secret=secrets.token_hex(16) if secret is None else secret,
        )
        self.appid = own.appid

    # Accounts

    def add_account(
        self,
        appid: str,
        secret: str,
        *,
        ip_allowlist: Iterable[str] | None = None,
        frozen: bool = False,
        daily_quota: int | None = None,
    ) -> SimulatedAccount:
        """
        Add an account.

        Args:
            appid: Its AppID. Real ones are ``wx`` and 16 hex digits; others are taken too.
            secret: Its AppSecret.
            ip_allowlist: Addresses and networks that may fetch tokens; ``None`` lets everyone (no 40164).
            frozen: Whether the owner froze the secret (40243).
            daily_quota: Classic fetches a day, for instance 200 as a sandbox account has; ``None`` for the knob's.

        Raises:
            ConfigurationError: There is such an account already, or a value is of no use.
        """
        account = SimulatedAccount(appid, secret, ip_allowlist=ip_allowlist, frozen=frozen, daily_quota=daily_quota)
        if self._rules.accounts.setdefault(appid, account) is not account:
            raise ConfigurationError(f"There is an account {appid} already; change its attributes instead.")
        return account

    def add_app(
        self, corpid: str, secret: str, *, agentid: int = 1000002, ip_allowlist: Iterable[str] | None = None
    ) -> SimulatedApp:
        """
        Add an app of a WeCom corp; with the first one the corp is there, too.

        WeCom's paths are answered beside WeChat's, at the same address.

        Args:
            corpid: The CorpID. Real ones are ``ww`` and 16 hex digits.
            secret: The app's secret.
            agentid: The app's number.
            ip_allowlist: Addresses and networks that may ask; ``None`` lets everyone (no 60020).

        Raises:
            ConfigurationError: There is such an app already, or a value is of no use.
        """
        return self._corps.add(SimulatedApp(corpid, secret, agentid, ip_allowlist))

    def add_platform(self, appid: str, secret: str, *, ip_allowlist: Iterable[str] | None = None) -> SimulatedPlatform:
        """
        Add a third-party platform, which accounts of this WeChat can authorise.

        Args:
            appid: Its ``component_appid``.
            secret: Its ``component_appsecret``.
            ip_allowlist: Addresses and networks that may ask; ``None`` lets everyone (no 61004).

        Raises:
            ConfigurationError: There is such a platform already, or a value is of no use.
        """
        return self._platforms.add(appid, secret, ip_allowlist)

    def add_provider(self, corpid: str, secret: str, *, ip_allowlist: Iterable[str] | None = None) -> SimulatedProvider:
        """
        Add a service provider (服务商) of WeCom; its ``add_suite()`` adds suites, which corps can authorise.

        Args:
            corpid: The provider's own CorpID.
            secret: The ``provider_secret``.
            ip_allowlist: Addresses and networks that may ask; ``None`` lets everyone (no 60020).

        Raises:
            ConfigurationError: There is such a provider already, or a value is of no use.
        """
        return self._providers.add(SimulatedProvider(corpid, secret, ip_allowlist, self._providers))

    @overload
    def route(self, path: str, *, method: Literal["GET", "POST"] | None = None) -> Callable[[HandlerT], HandlerT]: ...

    @overload
    def route(
        self, path: str, answer: Handler | Mapping[str, Any] | bytes, *, method: Literal["GET", "POST"] | None = None
    ) -> None: ...

    def route(self, path: str, answer: Any = None, *, method: str | None = None) -> Any:
        """
        Add an API that the simulator does not play, or answer one that it does in another way.

        The token in ``access_token=`` is checked first: without a good one the answer is WeChat's (or WeCom's) error.

        Args:
            path: The API's path, such as ``/cgi-bin/tags/get``.
            answer: A dict or bytes; or a function of the :class:`APICall` that gives them, or ``None`` for errcode 0.
                Left out, this is a decorator of such a function.
            method: Answer any other method 43001 or 43002.

        Raises:
            ConfigurationError: The path is a token endpoint's or no path, or the answer is of no use.
        """
        if answer is None:
            return partial(self._routed, path, method)
        self._routes[path] = route_of(path, answer, method)
        return None

    def _routed(self, path: str, method: str | None, handler: HandlerT) -> HandlerT:
        self._routes[path] = route_of(path, handler, method)
        return handler

    @property
    def accounts(self) -> Mapping[str, SimulatedAccount]:
        """The accounts by AppID. Their attributes can be changed at any time."""
        return MappingProxyType(self._rules.accounts)

    @property
    def secret(self) -> str:
        """AppSecret of the default account."""
        return self._rules.accounts[self.appid].secret

    # The rules, in memory

    def token(
        self,
        appid: str | _Own | None = _OWN,
        secret: str | _Own | None = _OWN,
        grant_type: str | None = "client_credential",
        ip: str = "127.0.0.1",
    ) -> Json:
        """
        Answer ``GET /cgi-bin/token`` as WeChat does, without latency or faults.

        Args:
            appid: ``None`` for a request without one; left out, the default account's.
            secret: ``None`` for a request without one; left out, the default account's.
            grant_type: ``client_credential``, or the answer is 40002.
            ip: The caller's address as WeChat sees it.
        """
        appid, secret = (self.appid if appid is _OWN else appid), (self.secret if secret is _OWN else secret)
        return self._rules.token(appid, secret, grant_type, ip)

    def stable_token(self, body: object = _OWN, ip: str = "127.0.0.1") -> Json:
        """
        Answer ``POST /cgi-bin/stable_token`` as WeChat does, without latency or faults.

        Args:
            body: The decoded JSON body; left out, the default account's in normal mode.
            ip: The caller's address as WeChat sees it.
        """
        if body is _OWN:
            body = {"grant_type": "client_credential", "appid": self.appid, "secret": self.secret}
        return self._rules.stable_token(body, ip)

    def check(self, access_token: str | None, appid: str | None = None) -> Json | None:
        """
        Judge the token of an API call: ``None`` if it is accepted, else WeChat's error.

        Args:
            access_token: ``None`` for a call without one (41001).
            appid: Refuse (40001) the token of any other account.
        """
        return self._rules.check(access_token, appid)

    # The witness

    def is_valid(self, token: str | None) -> bool:
        """Whether WeChat honours this token right now."""
        return self._rules.check(token, None) is None

    def current(self, appid: str | None = None, slot: str = "classic") -> str | None:
        """
        Give the newest token of a slot, or ``None`` if it has none alive.

        Raises:
            ConfigurationError: No such account or slot.
        """
        return self._rules.current(self._known(appid), _slot(slot))

    def current_ticket(self, appid: str | None = None, kind: str = "jsapi") -> str | None:
        """Give the account's ticket of this kind (``jsapi`` or ``wx_card``), or ``None`` if it has none alive."""
        return self._desk.current_ticket(self._known(appid), kind)

    def wx_config(self, url: str, config: Mapping[str, object]) -> str:
        """
        Say what WeChat's browser makes of ``wx.config(config)`` on a page.

        Args:
            url: The page's, with ``#`` and what follows if it has that.
            config: appId, timestamp, nonceStr and signature, as the page got them.

        Returns:
            ``config:ok``, ``config:invalid signature``, or ``config:fail`` if something is missing.
        """
        if not all(config.get(name) for name in ("appId", "timestamp", "nonceStr", "signature")):
            return "config:fail"
        appid = str(config["appId"])
        tickets = [self._desk.current_ticket(appid, "jsapi"), *self._corps.tickets_of(appid)]
        made = [signed(ticket, str(config["nonceStr"]), str(config["timestamp"]), url) for ticket in tickets if ticket]
        return "config:ok" if config["signature"] in made else "config:invalid signature"

    def wx_agent_config(self, url: str, config: Mapping[str, object]) -> str:
        """
        Say what WeCom's client makes of ``wx.agentConfig(config)`` on a page.

        Args:
            url: The page's, with ``#`` and what follows if it has that.
            config: corpid, agentid, timestamp, nonceStr and signature, as the page got them.

        Returns:
            ``agentConfig:ok``, ``agentConfig:invalid signature``, or ``agentConfig:fail`` if something is missing.
        """
        if not all(config.get(name) for name in ("corpid", "agentid", "timestamp", "nonceStr", "signature")):
            return "agentConfig:fail"
        ticket = self._corps.ticket_of_app(str(config["corpid"]), str(config["agentid"]))
        made = ticket and signed(ticket, str(config["nonceStr"]), str(config["timestamp"]), url)
        return "agentConfig:ok" if made and config["signature"] == made else "agentConfig:invalid signature"

    def fetches(self, appid: str | None = None, slot: str | None = None) -> int:
        """
        Count the clients' requests that WeChat's token endpoints judged, whatever the answer.

        Slots are ``classic``, ``stable``, ``authorizer``, ``component`` and ``wecom``; of providers ``suite``,
        ``provider`` and ``corp``.

        An injected ``errcode`` counts as such an answer. A request that a fault cut off before it took effect does
        not; it is in ``calls("/cgi-bin/token")``. ``steal()`` does not count here.
        """
        return self._ledger.fetches(appid, slot)

    def minted(self, appid: str | None = None, slot: str | None = None) -> int:
        """Count the tokens that were made for clients."""
        return self._ledger.minted(appid, slot)

    def stolen(self, appid: str | None = None, slot: str | None = None) -> int:
        """Count the tokens that another service got through ``steal()``."""
        return self._ledger.stolen(appid, slot)

    def calls(self, path: str | None = None) -> int:
        """
        Count HTTP requests that arrived, answered or not.

        Args:
            path: An exact path (also a token endpoint's) or a prefix such as ``/cgi-bin/message/*``;
                ``None`` for all API calls, without those to the two token endpoints.
        """
        return self._ledger.calls(path)

    def rejections(self) -> int:
        """Count API calls that were answered 40001, 40014 or 42001."""
        return self._ledger.rejections()

    def quota_used(self, appid: str | None = None, slot: str = "classic") -> int:
        """Count what an account has used of the day's quota of a token endpoint, other services' fetches included."""
        return self._rules.quota_used(self._known(appid), _slot(slot))

    @property
    def in_progress(self) -> int:
        """Requests that have arrived and are not answered yet."""
        return self._serving

    @property
    def log(self) -> list[LogEntry]:
        """The last requests, oldest first. Never holds a token or a secret."""
        return self._ledger.entries()

    @property
    def sent(self) -> list[Sent]:
        """The custom, template and WeCom apps' messages that were accepted, oldest first."""
        return self._desk.sent()

    def sent_to(self, openid: str) -> list[Sent]:
        """The messages among :attr:`sent` that this user got, such as a late reply to what was pushed."""
        return [message for message in self.sent if openid in message.touser.split("|")]

    @property
    def uploads(self) -> list[Upload]:
        """The files that were uploaded, oldest first."""
        return self._desk.uploads()

    def wait_for(self, predicate: Callable[[], object], timeout: float = 5.0) -> bool:
        """
        Wait until ``predicate()`` is true and say whether it is.

        It is asked at first and after everything that happens here: a request, an answer, a fault, a theft.

        Args:
            predicate: Called without any lock held.
            timeout: Real seconds.
        """
        return self._ledger.wait_for(predicate, timeout)

    def reset_counters(self) -> None:
        """Set counters, log, messages and uploads to nothing. Tokens, quotas and faults stay."""
        self._ledger.reset()
        self._desk.forget()

    # Other people

    def steal(self, appid: str | None = None, slot: str | None = None) -> str:
        """
        Let another service fetch a token (a forced refresh on the stable endpoint) and give what it got.

        It is never refused; it uses up the account's quota and forced refreshes like anybody's fetch.

        Args:
            appid: Whose; by default the default account's.
            slot: ``classic`` or ``stable``; by default the one that clients asked last (classic if none did).

        Raises:
            ConfigurationError: No such account or slot.
        """
        return self._rules.steal(self._known(appid), None if slot is None else _slot(slot))

    def revoke(self, appid: str | None = None, slot: str | None = None) -> int:
        """
        Kill every live token of an account at once (40001), mint none, and say how many died.

        Args:
            appid: Whose; by default the default account's.
            slot: ``classic``, ``stable`` or ``authorizer``; by default all.

        Raises:
            ConfigurationError: No such account or slot.
        """
        return self._rules.revoke(self._known(appid), None if slot is None else _slot(slot))

    def void_tickets(self, appid: str | None = None) -> int:
        """
        End every ticket of an account or a WeCom corp, make none, and say how many ended.

        Args:
            appid: Whose; by default the default account's.
        """
        whose = self.appid if appid is None else appid
        return self._desk.void_tickets(whose) + self._corps.void_tickets(whose)

    def issue_phone_code(self, appid: str | None = None, number: str = "13800138000") -> str:
        """Give a code for ``getuserphonenumber``, as a mini program's button does: good once, for 5 minutes."""
        return self._desk.issue_phone_code(self._known(appid), number)

    def _knows(self, appid: object) -> bool:
        suites: tuple[Container[object], ...] = (self._providers.known, self._providers.suites)
        everyone = (self.accounts, self._corps.corpids, self._platforms.known, *suites)
        return any(appid in some for some in everyone)

    def _known(self, appid: str | None) -> str:
        if appid is None:
            return self.appid
        if appid not in self._rules.accounts:
            raise ConfigurationError("There is no simulated account of that appid; add it with add_account().")
        return appid

    def __repr__(self) -> str:
        others = len(self._rules.accounts) - 1
        return f"<WeChat {self.appid}{f' and {others} more' if others else ''}: {self.fetches()} fetches>"


def _slot(slot: str) -> str:
    if slot not in SLOTS:
        raise ConfigurationError(f'A slot is "classic", "stable" or "authorizer"; got {slot!r}.')
    return slot
