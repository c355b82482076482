"""
WeCom (企业微信): what ``qyapi.weixin.qq.com`` does with tokens.

Facts: docs/wechat.md#tokens-of-wecom, docs/wechat.md#errcodes-of-wecom, docs/wechat.md#tickets-and-js-sdk-signatures.
"""

from __future__ import annotations

import itertools
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from wxmiddleware.exceptions import ConfigurationError

from ._apis import Answer, Call
from ._app_messages import send
from ._errors import OK, Json
from ._log import Ledger
from ._rules import SimulatedAccount, Tally
from ._settings import Knobs

_REMEMBERED = 50_000
_TICKETS_A_CORP, _TICKETS_AN_APP = 400, 100  # an hour

# The words of docs/wechat.md#errcodes-of-wecom; "U" marks those whose wire text nobody has recorded.
_TEXTS: dict[int, str] = {
    40001: "invalid credential",  # U
    40007: "invalid media_id",  # U
    40008: "invalid message type",  # U
    40013: "invalid corpid",
    40014: "invalid access_token",
    40058: "invalid Request Parameter",  # U
    40077: "invalid pre_auth_code",  # U
    40078: "invalid auth_code",  # U
    40080: "invalid suite_secret",  # U
    40082: "invalid suite_acccess_token or provider_access_token",  # three c, as seen
    40083: "invalid suite_id",  # U
    40084: "invalid permanent_code",  # U
    40085: "invalid suite_ticket",  # U
    41001: "access_token missing",
    41002: "corpid missing",  # U
    41004: "corpsecret missing",
    41021: "suite_id missing",  # U
    41022: "suite_access_token missing",  # U
    41023: "suite_ticket missing",  # U
    41024: "secret missing",  # U
    41025: "permanent_code missing",  # U
    43001: "require GET method",  # U
    43002: "require POST method",  # U
    42001: "access_token expired",
    42007: "pre_auth_code expired",  # U
    42009: "suite_access_token expired",
    44002: "empty post data",
    44004: "empty content",
    45002: "content size out of limit",  # U
    45008: "article size out of limit",  # U
    45009: "api freq out of limit",
    47001: "data format error",
    48004: "invalid authorization",  # U
    50003: "app is disabled",  # U
    60020: "not allow to access from your ip",  # U
    81013: "user & party & tag all invalid",
    82001: "All touser & toparty & totag invalid",
    301002: "not allow operate another agent with this accesstoken",  # U
}
_numbers = itertools.count(1)


def error(errcode: int, now: float, ip: str) -> Json:
    """Give WeCom's JSON for an errcode."""
    hint = f"{int(now)}_{next(_numbers)}_{secrets.token_hex(16)}"
    link = f"https://open.work.weixin.qq.com/devtool/query?e={errcode}"
    text = _TEXTS.get(errcode, "system error")
    return {"errcode": errcode, "errmsg": f"{text}, hint: [{hint}], from ip: {ip}, more info at {link}"}


@dataclass(slots=True, eq=False)
class _Token:
    value: str = field(repr=False)
    app: SimulatedApp
    expires_at: float
    void: bool = False
    why: int = 40014  # what a call with it gets then


class SimulatedApp:
    """
    An app of a corp at the simulated WeCom. Its attributes may be changed while it runs.

    Attributes:
        corpid: The CorpID.
        secret: The app's secret; never shown in the ``repr``.
        agentid: The app's number, which messages are sent from.
        ip_allowlist: Addresses and networks that may ask, or ``None`` for all (else 60020).
        disabled: Whether somebody has disabled the app; its secret is then an invalid one.
        members: The userids that the app may send to (可见范围), or ``None`` for all.
        fetches: Requests to gettoken with its secret, so far.
    """

    def __init__(self, corpid: str, secret: str, agentid: int, ip_allowlist: Iterable[str] | None) -> None:
        # The same checks, and the same notion of an address.
        self._account = SimulatedAccount(corpid, secret, ip_allowlist=ip_allowlist)
        self.corpid = corpid
        self.secret = secret
        self.agentid = agentid
        self.disabled = False
        self.members: Collection[str] | None = None
        self.fetches = 0
        self._token: _Token | None = None
        self._sent_to: dict[str, tuple[Tally, Tally]] = {}
        self._tickets_asked = Tally()

    @property
    def ip_allowlist(self) -> tuple[str, ...] | None:
        """Addresses and networks that may ask, or ``None`` for all."""
        return self._account.ip_allowlist

    @ip_allowlist.setter
    def ip_allowlist(self, addresses: Iterable[str] | None) -> None:
        self._account.ip_allowlist = addresses

    def revoke(self) -> None:
        """Void the app's token before its time, as WeCom says it may."""
        if self._token is not None:
            self._token.void = True

    def __repr__(self) -> str:
        return f"<SimulatedApp {self.agentid} of {self.corpid}>"


class Corps:
    """Mints and judges the tokens of apps, behind one lock."""

    def __init__(self, knobs: Knobs, clock: Callable[[], float], ledger: Ledger) -> None:
        self._knobs = knobs
        self._clock = clock
        self._ledger = ledger
        self._lock = threading.Lock()
        self._tokens: OrderedDict[str, _Token] = OrderedDict()
        self._tickets: dict[tuple[str, str], tuple[str, float]] = {}
        self._tickets_asked: dict[str, Tally] = {}
        self.apps: dict[tuple[str, str], SimulatedApp] = {}
        self.corpids: set[str] = set()

    def add(self, app: SimulatedApp) -> SimulatedApp:
        if self.apps.setdefault((app.corpid, app.secret), app) is not app:
            raise ConfigurationError(f"There is an app of {app.corpid} with this secret already.")
        self.corpids.add(app.corpid)
        return app

    def gettoken(self, corpid: str | None, secret: str | None, ip: str) -> Json:
        with self._lock:
            now = self._clock()
            self._ledger.fetched(corpid if corpid in self.corpids else "", "wecom")
            if not secret:  # looked at first, as probed
                return error(41004, now, ip)
            if not corpid:
                return error(41002, now, ip)
            if corpid not in self.corpids:
                return error(40013, now, ip)
            app = self.apps.get((corpid, secret))
            if app is None or app.disabled:
                return error(40001, now, ip)
            app.fetches += 1
            if not app._account.admits(ip):
                return error(60020, now, ip)
            token = self._minted(app, sticky=self._knobs.wecom_sticky, slot="wecom")
            return {**OK, "access_token": token.value, "expires_in": int(token.expires_at - now + 1e-6)}

    def _minted(self, app: SimulatedApp, *, sticky: bool, slot: str) -> _Token:
        now, token = self._clock(), app._token
        if token is None or token.void or now >= token.expires_at or not sticky:
            token = app._token = _Token(secrets.token_urlsafe(160)[:214], app, now + self._knobs.lifetime)
            self._tokens[token.value] = token
            if len(self._tokens) > _REMEMBERED:
                self._tokens.popitem(last=False)
            self._ledger.minted_one(app.corpid, slot, stolen=False)
        return token

    def mint(self, app: SimulatedApp, *, sticky: bool, slot: str) -> str:
        """The token of an app that a provider asks for."""
        with self._lock:
            app.fetches += 1
            return self._minted(app, sticky=sticky, slot=slot).value

    def end(self, app: SimulatedApp) -> float:
        """When the app's token ends."""
        with self._lock:
            return self._clock() if app._token is None else app._token.expires_at

    def remove(self, app: SimulatedApp, errcode: int) -> None:
        """Take away an app: its tokens get this errcode from now on, and no secret of its opens anything."""
        with self._lock:
            for token in self._tokens.values():
                if token.app is app:
                    token.void, token.why = True, errcode
            for which in [which for which, one in self.apps.items() if one is app]:
                del self.apps[which]

    def judge(self, access_token: str | None) -> SimulatedApp | int:
        """Whose token this is, or the errcode that it deserves."""
        with self._lock:
            if access_token is None:
                return 41001
            token = self._tokens.get(access_token)
            if token is None or token.void:
                return 40014 if token is None else token.why
            return token.app if self._clock() < token.expires_at else 42001

    def app(self, access_token: str | None) -> SimulatedApp | None:
        """Whose token this is or was; ``None`` if it is none of WeCom's."""
        with self._lock:
            token = self._tokens.get(access_token or "")
            return None if token is None else token.app

    def ticket(self, app: SimulatedApp, kind: str) -> Json | None:
        """A ticket of the corp, or of the app for ``agent_config``; ``None`` if it was asked for too often."""
        with self._lock:
            now = self._clock()
            hour = int(now // 3600)
            corp = self._tickets_asked.setdefault(app.corpid, Tally()).in_period(hour)
            own = app._tickets_asked.in_period(hour)
            if corp.used >= _TICKETS_A_CORP or own.used >= _TICKETS_AN_APP:
                return None
            corp.used += 1
            own.used += 1
            whose = app.corpid if kind == "jsapi" else f"{app.corpid}/{app.agentid}"
            ticket, ends = self._tickets.get((whose, kind), ("", 0.0))
            if now >= ends or self._knobs.ticket_rotates:
                ticket, ends = secrets.token_urlsafe(70)[:86], now + self._knobs.lifetime
                self._tickets[whose, kind] = ticket, ends
            return {"ticket": ticket, "expires_in": int(ends - now + 1e-6)}

    def tickets_of(self, corpid: str) -> list[str]:
        """The live tickets of a corp and its apps."""
        with self._lock:
            now = self._clock()
            return [
                ticket for (whose, _), (ticket, ends) in self._tickets.items()
                if whose.partition("/")[0] == corpid and now < ends
            ]  # fmt: skip

    def ticket_of_app(self, corpid: str, agentid: str) -> str | None:
        """The live ticket of one app, which its pages are signed with for ``wx.agentConfig``."""
        with self._lock:
            ticket, ends = self._tickets.get((f"{corpid}/{agentid}", "agent_config"), ("", 0.0))
            return ticket if self._clock() < ends else None

    def void_tickets(self, corpid: str) -> int:
        with self._lock:
            mine = [which for which in self._tickets if which[0].partition("/")[0] == corpid]
            for which in mine:
                del self._tickets[which]
            return len(mine)


# What each path answers


def _gettoken(call: Call) -> Json:
    call.appid = call.request.args.get("corpid")
    return call.wechat._corps.gettoken(call.appid, call.request.args.get("corpsecret"), call.ip)


def _jsapi_ticket(call: Call, app: SimulatedApp) -> Json | int:
    return _ticket(call, app, "jsapi")


def _app_ticket(call: Call, app: SimulatedApp) -> Json | int:
    return _ticket(call, app, "agent_config") if call.request.args.get("type") == "agent_config" else 40097


def _ticket(call: Call, app: SimulatedApp, kind: str) -> Json | int:
    found = call.wechat._corps.ticket(app, kind)
    return 45009 if found is None else {**OK, **found}


def _departments(call: Call, app: SimulatedApp) -> Json | int:
    return {**OK, "department": [{"id": 1, "name": app.corpid, "parentid": 0, "order": 1}]}


def _addresses(call: Call, app: SimulatedApp) -> Json | int:
    return {**OK, "ip_list": ["182.254.11.176", "182.254.78.66"]}


# Path: method, what a failure has beside the error, handler. Failures carry the API's default empty fields:
# docs/wechat.md#how-errors-arrive.
_APIS: dict[str, tuple[str, Json, Callable[[Call, SimulatedApp], Json | int]]] = {
    "/cgi-bin/get_jsapi_ticket": ("GET", {}, _jsapi_ticket),
    "/cgi-bin/ticket/get": ("GET", {}, _app_ticket),
    "/cgi-bin/department/list": ("GET", {"department": []}, _departments),
    "/cgi-bin/message/send": ("POST", {}, send),
    "/cgi-bin/get_api_domain_ip": ("GET", {"ip_list": []}, _addresses),
}
_SHARED = ("/cgi-bin/get_api_domain_ip",)  # accounts have it, too: the token tells whom is asked


def answer(call: Call) -> Answer | None:
    """Answer a request to one of WeCom's paths; ``None`` if it is none of them."""
    path = call.request.path
    if path == "/cgi-bin/gettoken":
        return Answer(_gettoken(call))
    token = call.request.args.get("access_token")
    if path not in _APIS or (path in _SHARED and call.wechat._corps.app(token) is None):
        return None
    method, defaults, handler = _APIS[path]
    app = call.wechat._corps.judge(token)
    if isinstance(app, SimulatedApp):
        call.appid = app.corpid
        given = handler(call, app) if call.request.method == method else 43001 if method == "GET" else 43002
    else:
        given = app
    return Answer(given if isinstance(given, dict) else {**error(given, call.wechat.clock(), call.ip), **defaults})
