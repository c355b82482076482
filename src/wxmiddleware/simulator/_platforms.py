"""Third-party platforms and the accounts that authorise them. Facts: docs/wechat.md#tokens-of-platforms."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

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

    Nothing is pushed by itself. What WeChat would push is in :attr:`notices`; hand each to ``Pusher.push``, late, twice
    or in another order as you like.

    Attributes:
        appid: The ``component_appid``.
        secret: The ``component_appsecret``; may be changed, and is never shown in the ``repr``.
        pushing: Whether tickets are pushed; if not, :meth:`push_ticket` makes none until the platform has had the
            pushes started.
        start_domain: The domain on whose pages a link must stand, by the Referer; ``None`` for any.
        notices: The fields of what WeChat would have pushed so far, oldest first.
    """

    def __init__(self, appid: str, secret: str, ip_allowlist: Iterable[str] | None, platforms: Platforms) -> None:
        self._account = SimulatedAccount(appid, secret, ip_allowlist=ip_allowlist)
        self._account.slots["component"] = Slot()
        self._platforms = platforms
        self.appid = appid
        self.secret = secret
        self._tickets: dict[str, float] = {}
        self.pushing = True
        self.start_domain: str | None = None
        self.notices: list[dict[str, Any]] = []
        self._codes: dict[str, tuple[str, float]] = {}
        self._pre_auth: dict[str, float] = {}
        self._logins: dict[str, str] = {}
        self._authorised: dict[str, _Authorisation] = {}

    @property
    def ip_allowlist(self) -> tuple[str, ...] | None:
        """Addresses and networks that may ask, or ``None`` for all (else 61004)."""
        return self._account.ip_allowlist

    @ip_allowlist.setter
    def ip_allowlist(self, addresses: Iterable[str] | None) -> None:
        self._account.ip_allowlist = addresses

    def push_ticket(self) -> str:
        """
        Make the ``component_verify_ticket`` that WeChat would push now. Nothing is sent.

        Raises:
            ConfigurationError: The pushes have stopped.
        """
        if not self.pushing:
            raise ConfigurationError("This platform's tickets are not pushed; it must ask api_start_push_ticket.")
        ticket = f"ticket@@@{secrets.token_urlsafe(60)}"
        with self._platforms.lock:
            self._tickets[ticket] = self._platforms.clock()
        self._note("component_verify_ticket", ComponentVerifyTicket=ticket)
        return ticket

    def authorise(self, appid: str | None = None, *, pre_auth_code: str = "") -> str:
        """
        Let an account's owner authorise the platform, and give the ``auth_code`` that comes back.

        WeChat pushes ``authorized``, or ``updateauthorized`` of one that had authorised it before.

        Args:
            appid: An account of this WeChat; by default the default one.
            pre_auth_code: That of the link.

        Raises:
            ConfigurationError: There is no such account.
        """
        appid = self._known(appid)
        code, again = self._code(appid), appid in self._authorised
        began = 0.0 if self._platforms.knobs.code_expiry_in_seconds else self._now()
        self._note(
            "updateauthorized" if again else "authorized",
            AuthorizerAppid=appid,
            AuthorizationCode=code,
            AuthorizationCodeExpiredTime=int(began + _CODE_LIFE),
            PreAuthCode=pre_auth_code,
        )
        return self._code(appid) if self._platforms.knobs.redirect_has_own_code else code

    def unauthorise(self, appid: str | None = None) -> None:
        """Let an account's owner take the authorisation back: its tokens are dead, ``unauthorized`` is pushed."""
        appid = self._known(appid)
        with self._platforms.lock:
            self._authorised.pop(appid, None)
            for token in self._platforms.rules.accounts[appid].slots["authorizer"].live:
                token.dies_at = min(token.dies_at, self._now())
        self._note("unauthorized", AuthorizerAppid=appid)

    def register(self, appid: str | None = None, *, status: int = 0, name: str = "Made-up Tea") -> str:
        """
        Tell how the fast registration of a mini program went: ``notify_third_fasteregister`` is pushed.

        Args:
            appid: The new mini program, an account of this WeChat; by default the default one.
            status: 0 if it is there, else what went wrong: there is no AppID and no code then.
            name: The company.

        Returns:
            The ``auth_code``; empty if it went wrong.

        Raises:
            ConfigurationError: There is no such account.
        """
        appid = self._known(appid)
        code = "" if status else self._code(appid)
        given = {} if status else {"appid": appid, "auth_code": code}
        info = {"name": name, "code": "91MADEUP0000000001", "code_type": 1, "legal_persona_wechat": "w"}
        info.update(legal_persona_name="n", component_phone="12")
        words = "OK" if status == 0 else "failed"
        self._note("notify_third_fasteregister", status=status, msg=words, **given, info=info)
        return code

    def login(self, appid: str | None = None) -> str:
        """
        Let a user log in to an authorised mini program, and give the ``js_code``, which is good once.

        Args:
            appid: An account of this WeChat; by default the default one.

        Raises:
            ConfigurationError: There is no such account.
        """
        code = secrets.token_hex(16)
        with self._platforms.lock:
            self._logins[code] = self._known(appid)
        return code

    def _known(self, appid: str | None) -> str:
        appid = self._platforms.default_appid() if appid is None else appid
        if appid not in self._platforms.rules.accounts:
            raise ConfigurationError("There is no simulated account of that appid; add it with add_account().")
        return appid

    def _now(self) -> float:
        return self._platforms.clock()

    def _code(self, appid: str) -> str:
        code = f"queryauthcode@@@{secrets.token_urlsafe(30)}"
        with self._platforms.lock:
            self._codes[code] = appid, self._now() + _CODE_LIFE
        return code

    def _note(self, info_type: str, **fields: Any) -> None:
        self.notices.append({"AppId": self.appid, "CreateTime": int(self._now()), "InfoType": info_type, **fields})

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

    def start_push_ticket(self, call: Call, body: Json) -> Json:
        platform = self.known.get(str(call.appid))
        if platform is None:
            return call.fail(61011)
        if body.get("component_secret") != platform.secret:
            return call.fail(40125)
        was, platform.pushing = platform.pushing, True
        return {**OK, "errmsg": "in a normal state"} if was else OK

    def create_preauthcode(self, call: Call, platform: SimulatedPlatform, body: Json) -> Json:
        code = f"preauthcode@@@{secrets.token_urlsafe(40)}"
        platform._pre_auth[code] = self.clock() + self.knobs.pre_auth_code_life
        return {"pre_auth_code": code, "expires_in": int(self.knobs.pre_auth_code_life)}

    def use_pre_auth_code(self, platform: SimulatedPlatform, code: str) -> bool:
        """Use a code up, and tell whether it was good."""
        with self.lock:
            return self.clock() < platform._pre_auth.pop(code, 0.0)

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
    "api_create_preauthcode": Platforms.create_preauthcode,
    "api_query_auth": Platforms.query_auth,
    "api_authorizer_token": Platforms.authorizer_token,
    "api_get_authorizer_list": Platforms.authorizer_list,
}


def _login(call: Call) -> Json:
    platforms, args = call.wechat._platforms, call.request.args
    if call.request.method != "GET":
        return call.fail(43001)
    with platforms.lock:
        platform = platforms.known.get(args.get("component_appid", ""))
        if platform is None:
            return call.fail(61011 if args.get("component_appid") else 41018)
        call.appid = platform.appid
        # By no other name: an access_token is not seen here.
        refused = platforms.rules.check(args.get("component_access_token"), platform.appid)
        if refused is not None:
            return refused
        if not platform._account.admits(call.ip):
            return call.fail(61004)
        if args.get("appid") not in platform._authorised:
            return call.fail(61003)
        if platform._logins.pop(args.get("js_code", ""), None) != args.get("appid"):
            return call.fail(40029)
        return {"openid": f"o{secrets.token_hex(12)}", "session_key": secrets.token_urlsafe(16)}


def answer(call: Call) -> Answer | None:
    """Answer a request to one of the platforms' paths; ``None`` if it is none of them."""
    path = call.request.path
    if path == "/sns/component/jscode2session":
        return Answer(_login(call))
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
            return Answer(platforms.start_push_ticket(call, body))
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
