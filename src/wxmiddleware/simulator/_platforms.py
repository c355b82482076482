"""Third-party platforms and the accounts that authorise them. Facts: docs/wechat.md#tokens-of-platforms."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from wxmiddleware.exceptions import ConfigurationError

from ._apis import Answer, Call
from ._errors import OK, Json
from ._log import Ledger
from ._rules import SimulatedAccount, Slot, TokenRules
from ._settings import Knobs

_TICKET_LIFE = 12 * 3600
_CODE_LIFE = 3600  # uncertain
_PAGE = 500


@dataclass(slots=True, eq=False)
class _Authorisation:
    refresh: str = field(repr=False)
    before: list[str] = field(default_factory=list, repr=False)
    at: float = 0.0


class SimulatedPlatform:
    """
    A third-party platform at the simulated WeChat.

    Attributes:
        appid: The ``component_appid``.
        secret: The ``component_appsecret``; may be changed, and is never shown in the ``repr``.
    """

    def __init__(self, appid: str, secret: str, ip_allowlist: Iterable[str] | None, platforms: Platforms) -> None:
        self._account = SimulatedAccount(appid, secret, ip_allowlist=ip_allowlist)
        self._account.slots["component"] = Slot()
        self._platforms = platforms
        self.appid = appid
        self.secret = secret
        self._tickets: dict[str, float] = {}
        self._codes: dict[str, tuple[str, float]] = {}
        self._authorised: dict[str, _Authorisation] = {}

    @property
    def ip_allowlist(self) -> tuple[str, ...] | None:
        """Addresses and networks that may ask, or ``None`` for all (else 61004)."""
        return self._account.ip_allowlist

    @ip_allowlist.setter
    def ip_allowlist(self, addresses: Iterable[str] | None) -> None:
        self._account.ip_allowlist = addresses

    def push_ticket(self) -> str:
        """Make the ``component_verify_ticket`` that WeChat would push now. Nothing is sent."""
        ticket = f"ticket@@@{secrets.token_urlsafe(60)}"
        with self._platforms.lock:
            self._tickets[ticket] = self._platforms.clock()
        return ticket

    def authorise(self, appid: str | None = None) -> str:
        """
        Let an account's owner authorise the platform, and give the ``auth_code`` that comes back.

        Args:
            appid: An account of this WeChat; by default the default one.

        Raises:
            ConfigurationError: There is no such account.
        """
        appid = self._platforms.default_appid() if appid is None else appid
        if appid not in self._platforms.rules.accounts:
            raise ConfigurationError("There is no simulated account of that appid; add it with add_account().")
        code = f"queryauthcode@@@{secrets.token_urlsafe(30)}"
        with self._platforms.lock:
            self._codes[code] = appid, self._platforms.clock() + _CODE_LIFE
        return code

    def refresh_token(self, appid: str) -> str | None:
        """The ``authorizer_refresh_token`` that WeChat goes by now, or ``None`` if there is none."""
        with self._platforms.lock:
            found = self._authorised.get(appid)
            return None if found is None else found.refresh

    def current(self) -> str | None:
        """The newest ``component_access_token``, or ``None`` if there is none alive."""
        with self._platforms.lock:
            live = self._account.slots["component"].live
            return live[0].value if live and self._platforms.clock() < live[0].dies_at else None

    def revoke(self) -> None:
        """Kill every live ``component_access_token``."""
        with self._platforms.lock:
            for token in self._account.slots["component"].live:
                token.dies_at = min(token.dies_at, self._platforms.clock())

    def void_refresh_token(self, appid: str) -> None:
        """Replace an account's refresh token, as if somebody else had used it."""
        with self._platforms.lock:
            self._rotate(self._authorised[appid])

    def _rotate(self, authorisation: _Authorisation) -> None:
        authorisation.before.append(authorisation.refresh)
        authorisation.refresh = f"refreshtoken@@@{secrets.token_urlsafe(32)}"

    def __repr__(self) -> str:
        return f"<SimulatedPlatform {self.appid}>"


class Platforms:
    """Mints the tokens of platforms and authorised accounts: all under the lock of the token rules."""

    def __init__(
        self,
        knobs: Knobs,
        clock: Callable[[], float],
        rules: TokenRules,
        ledger: Ledger,
        default_appid: Callable[[], str],
    ) -> None:
        self.knobs = knobs
        self.clock = clock
        self.rules = rules
        self.ledger = ledger
        self.lock = rules._lock
        self.default_appid = default_appid
        self.known: dict[str, SimulatedPlatform] = {}

    def add(self, appid: str, secret: str, ip_allowlist: Iterable[str] | None) -> SimulatedPlatform:
        platform = SimulatedPlatform(appid, secret, ip_allowlist, self)
        if self.known.setdefault(appid, platform) is not platform:
            raise ConfigurationError(f"There is a platform {appid} already.")
        return platform

    def component_token(self, call: Call, body: Json) -> Json:
        appid = body.get("component_appid")
        platform = self.known.get(appid) if isinstance(appid, str) else None
        self.ledger.fetched(str(appid) if platform else "", "component")
        if not appid:
            return call.fail(41018)
        if platform is None:
            return call.fail(61011)
        if body.get("component_appsecret") != platform.secret:
            return call.fail(40125)  # uncertain: the code for a wrong secret here
        if not platform._account.admits(call.ip):
            return call.fail(61004)
        pushed = platform._tickets.get(str(body.get("component_verify_ticket")))
        if pushed is None:
            return call.fail(61006)
        if self.clock() >= pushed + _TICKET_LIFE:
            return call.fail(61005)
        token = self.rules._mint(platform._account, "component", self.clock(), forced=False)
        self.ledger.minted_one(platform.appid, "component", stolen=False)
        return {"component_access_token": token.value, "expires_in": self.knobs.lifetime}

    def query_auth(self, call: Call, platform: SimulatedPlatform, body: Json) -> Json:
        appid, ends = platform._codes.pop(str(body.get("authorization_code")), ("", 0.0))
        if self.clock() >= ends:
            return call.fail(61010)  # uncertain: the code for a used or old auth_code
        platform._authorised[appid] = _Authorisation(f"refreshtoken@@@{secrets.token_urlsafe(32)}", at=self.clock())
        return {"authorization_info": {"authorizer_appid": appid, **self._tokens(platform, appid), "func_info": []}}

    def authorizer_token(self, call: Call, platform: SimulatedPlatform, body: Json) -> Json:
        appid, given = str(body.get("authorizer_appid")), body.get("authorizer_refresh_token")
        authorisation = platform._authorised.get(appid)
        self.ledger.fetched(appid if authorisation else "", "authorizer")
        call.appid = appid if authorisation else None
        if authorisation is None:
            return call.fail(61003)
        late = self.knobs.refresh_keeps_previous and given in authorisation.before[-1:]
        if given != authorisation.refresh and not late:
            return call.fail(61023)
        if self.knobs.refresh_rotates:
            platform._rotate(authorisation)
        return self._tokens(platform, appid)

    def authorizer_list(self, call: Call, platform: SimulatedPlatform, body: Json) -> Json:
        offset, count = body.get("offset"), body.get("count")
        if not isinstance(offset, int) or not isinstance(count, int) or not 0 < count <= _PAGE:
            return call.fail(47001)
        everyone = [
            {"authorizer_appid": appid, "refresh_token": one.refresh, "auth_time": int(one.at)}
            for appid, one in platform._authorised.items()
        ]
        return {"total_count": len(everyone), "list": everyone[offset : offset + count]}

    def _tokens(self, platform: SimulatedPlatform, appid: str) -> Json:
        token = self.rules._mint(self.rules.accounts[appid], "authorizer", self.clock(), forced=False)
        self.ledger.minted_one(appid, "authorizer", stolen=False)
        return {
            "authorizer_access_token": token.value,
            "expires_in": self.knobs.lifetime,
            "authorizer_refresh_token": platform._authorised[appid].refresh,
        }


# What each path answers

_ROOT = "/cgi-bin/component/"
_APIS: dict[str, Callable[[Platforms, Call, SimulatedPlatform, Json], Json]] = {
    "api_query_auth": Platforms.query_auth,
    "api_authorizer_token": Platforms.authorizer_token,
    "api_get_authorizer_list": Platforms.authorizer_list,
}


def answer(call: Call) -> Answer | None:
    """Answer a request to one of the platforms' paths; ``None`` if it is none of them."""
    path = call.request.path
    name = path.removeprefix(_ROOT)
    if not path.startswith(_ROOT) or not (name in _APIS or name in ("api_component_token", "api_start_push_ticket")):
        return None
    if call.request.method != "POST":
        return Answer(call.fail(43002))
    body = call.posted()
    if isinstance(body, int):
        return Answer(call.fail(body))
    platforms = call.wechat._platforms
    with platforms.lock:
        given = body.get("component_appid")
        call.appid = given if isinstance(given, str) and given in platforms.known else None
        if name == "api_component_token":
            return Answer(platforms.component_token(call, body))
        if name == "api_start_push_ticket":
            known = call.appid is not None and body.get("component_secret") == platforms.known[call.appid].secret
            return Answer(OK if known else call.fail(40125 if call.appid else 61011))
        return Answer(_with_token(platforms, call, name, body))


def _with_token(platforms: Platforms, call: Call, name: str, body: Json) -> Json:
    if not body.get("component_appid"):
        return call.fail(41018)
    platform = platforms.known.get(str(call.appid))
    if platform is None:
        return call.fail(61011)
    args = call.request.args
    refused = platforms.rules.check(args.get("access_token", args.get("component_access_token")), platform.appid)
    if refused is not None:
        return refused
    if not platform._account.admits(call.ip):
        return call.fail(61004)
    return _APIS[name](platforms, call, platform, body)
