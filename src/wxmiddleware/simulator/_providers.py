"""
WeCom's service providers (服务商): suites, apps developed for one corp (代开发), and the corps that authorise them.

Facts: docs/wechat.md#wecom-providers.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from wxmiddleware.exceptions import ConfigurationError

from . import _wecom
from ._apis import Answer, Call
from ._errors import OK, Json
from ._log import Ledger
from ._rules import SimulatedAccount
from ._settings import Knobs
from ._wecom import Corps, SimulatedApp

_AUTH_CODE_LIFE = 600
_PRE_AUTH_CODE_LIFE = 1200
_SHORTEST_AUTH_CODE = 64


@dataclass(slots=True, eq=False)
class _Lent:
    """The token of a suite or of a provider, and whose it is."""

    value: str = field(repr=False)
    whose: str
    expires_at: float
    void: bool = False


@dataclass(slots=True, eq=False)
class _Code:
    """An auth_code, and what it is for."""

    corp: str
    state: str
    ends: float
    used: bool = False
    renews: bool = False


class SimulatedProvider:
    """
    A service provider at the simulated WeCom.

    Attributes:
        corpid: The provider's own CorpID, which verifications of its URLs are addressed to.
        secret: The ``provider_secret``; may be changed, and is never shown in the ``repr``.
    """

    def __init__(self, corpid: str, secret: str, ip_allowlist: Iterable[str] | None, desk: Providers) -> None:
        self._account = SimulatedAccount(corpid, secret, ip_allowlist=ip_allowlist)
        self._desk = desk
        self.corpid = corpid
        self.secret = secret
        self._token: _Lent | None = None

    @property
    def ip_allowlist(self) -> tuple[str, ...] | None:
        """Addresses and networks that may ask for its suites, or ``None`` for all (else 60020)."""
        return self._account.ip_allowlist

    @ip_allowlist.setter
    def ip_allowlist(self, addresses: Iterable[str] | None) -> None:
        self._account.ip_allowlist = addresses

    def add_suite(self, suite_id: str, secret: str, *, developed: bool = False) -> SimulatedSuite:
        """
        Add a suite, or a template of apps that are developed for one corp.

        Args:
            suite_id: Its id: ``ww`` or ``tj`` and more of a suite, ``dk`` and more of a template.
            secret: Its ``suite_secret``.
            developed: Whether it is a template (代开发): a corp's permanent code is then the secret of its app.

        Raises:
            ConfigurationError: There is such a suite already, or a value is of no use.
        """
        return self._desk.add_suite(SimulatedSuite(suite_id, secret, self, developed))

    def open_corpid(self, corpid: str) -> str:
        """Give the encrypted id under which this provider, and no other one, knows a corp."""
        return f"wp{hashlib.sha256(f'{self.corpid}/{corpid}'.encode()).hexdigest()[:30]}"

    def current(self) -> str | None:
        """The ``provider_access_token``, or ``None`` if there is none alive."""
        return self._desk.current(self._token)

    def revoke(self) -> None:
        """Void the ``provider_access_token`` before its time, as WeCom says it may."""
        if self._token is not None:
            self._token.void = True

    def __repr__(self) -> str:
        return f"<SimulatedProvider {self.corpid}>"


class SimulatedSuite:
    """
    A suite (third-party app) or a template of developed apps at the simulated WeCom.

    Nothing is pushed by itself. What WeCom would push is in :attr:`notices`; hand each to ``Pusher.push``, late, twice
    or in another order as you like.

    Attributes:
        suite_id: Its id.
        secret: Its ``suite_secret``; may be changed, and is never shown in the ``repr``.
        provider: Whose it is.
        developed: Whether it is a template (代开发).
        notices: The fields of what WeCom would have pushed so far, oldest first.
    """

    def __init__(self, suite_id: str, secret: str, provider: SimulatedProvider, developed: bool) -> None:
        SimulatedAccount(suite_id, secret)  # the same checks
        self.suite_id = suite_id
        self.secret = secret
        self.provider = provider
        self.developed = developed
        self.notices: list[dict[str, Any]] = []
        self._desk = provider._desk
        self._token: _Lent | None = None
        self._tickets: dict[str, float] = {}
        self._codes: dict[str, _Code] = {}
        self._pre_auth: dict[str, float] = {}
        self.session_info: dict[str, Json] = {}
        self._corps: dict[str, _Installed] = {}

    def push_ticket(self) -> str:
        """Make the ``suite_ticket`` that WeCom would push now, and note the notice."""
        with self._desk.lock:
            now = self._desk.clock()
            newest = max(self._tickets, key=self._tickets.__getitem__, default=None)
            ticket = newest if newest is not None and self._desk.knobs.suite_ticket_repeats else None
            ticket = ticket or f"tk-{secrets.token_urlsafe(60)}"
            self._tickets[ticket] = now
        self._note("suite_ticket", SuiteTicket=ticket)
        return ticket

    def install(self, corpid: str, *, market: bool = False, state: str = "", agentid: int = 1000007) -> str:
        """
        Let a corp's admin install the suite, and give the ``auth_code`` that comes back.

        Args:
            corpid: The corp's own id; the provider will know it under :meth:`SimulatedProvider.open_corpid`.
            market: From the app market: then WeCom pushes ``create_auth``. After the provider's own link it does not;
                the code comes to the redirect page. A template's is always pushed.
            state: As in the link.
            agentid: The number of the app at that corp.
        """
        code = self._code(_Code(self.provider.open_corpid(corpid), state, 0.0))
        with self._desk.lock:
            self._corps.setdefault(self.provider.open_corpid(corpid), _Installed(corpid, agentid))
        if market or self.developed:
            self._note("create_auth", AuthCode=code, State=state)
        return code

    def change(self, corpid: str) -> None:
        """Let a corp's admin change what the suite may see: WeCom pushes ``change_auth``."""
        self._note("change_auth", AuthCorpId=self.provider.open_corpid(corpid), State="")

    def cancel(self, corpid: str) -> None:
        """Let a corp's admin remove the suite: its tokens and permanent code are dead, ``cancel_auth`` is pushed."""
        whose = self.provider.open_corpid(corpid)
        self._desk.cancel(self, whose)
        self._note("cancel_auth", AuthCorpId=whose)

    def reset(self, corpid: str) -> str:
        """
        Have the secret of a developed app fetched again at WeCom's console, and give the pushed ``auth_code``.

        The secret before goes on working for the knob ``permanent_code_overlap`` once the new one was fetched.
        """
        code = self._code(_Code(self.provider.open_corpid(corpid), "", 0.0, renews=True))
        self._note("reset_permanent_code", AuthCode=code)
        return code

    def permanent_code(self, corpid: str) -> str | None:
        """The permanent code that a corp's authorisation has now, or ``None``."""
        found = self._corps.get(self.provider.open_corpid(corpid))
        return None if found is None or found.cancelled else found.code

    def app(self, corpid: str) -> SimulatedApp | None:
        """The app at a corp that has authorised; its ``revoke()`` voids the corp's token."""
        found = self._corps.get(self.provider.open_corpid(corpid))
        return None if found is None else found.app

    def current(self) -> str | None:
        """The ``suite_access_token``, or ``None`` if there is none alive."""
        return self._desk.current(self._token)

    def revoke(self) -> None:
        """Void the ``suite_access_token`` before its time."""
        if self._token is not None:
            self._token.void = True

    def _code(self, code: _Code) -> str:
        made = f"AC-{secrets.token_urlsafe(60)}"
        with self._desk.lock:
            code.ends = self._desk.clock() + _AUTH_CODE_LIFE
            self._codes[made] = code
        return made

    def _note(self, info_type: str, **fields: Any) -> None:
        stamp = int(self._desk.clock())
        self.notices.append({"SuiteId": self.suite_id, "InfoType": info_type, "TimeStamp": stamp, **fields})

    def __repr__(self) -> str:
        return f"<SimulatedSuite {self.suite_id} of {self.provider.corpid}>"


@dataclass(slots=True, eq=False)
class _Installed:
    """An app at a corp: its permanent code, and the codes before with the time at which each dies."""

    corpid: str
    agentid: int
    code: str | None = field(default=None, repr=False)
    before: dict[str, float] = field(default_factory=dict, repr=False)
    app: SimulatedApp | None = None
    cancelled: bool = False


class Providers:
    """What the paths of ``/cgi-bin/service/`` answer, behind one lock; the corps' desk has its own below it."""

    def __init__(self, knobs: Knobs, clock: Callable[[], float], ledger: Ledger, corps: Corps) -> None:
        self.knobs = knobs
        self.clock = clock
        self.ledger = ledger
        self.corps = corps
        self.lock = threading.RLock()
        self.known: dict[str, SimulatedProvider] = {}
        self.suites: dict[str, SimulatedSuite] = {}
        self._lent: dict[str, _Lent] = {}

    def add(self, provider: SimulatedProvider) -> SimulatedProvider:
        if self.known.setdefault(provider.corpid, provider) is not provider:
            raise ConfigurationError(f"There is a provider {provider.corpid} already.")
        return provider

    def add_suite(self, suite: SimulatedSuite) -> SimulatedSuite:
        if self.suites.setdefault(suite.suite_id, suite) is not suite:
            raise ConfigurationError(f"There is a suite {suite.suite_id} already.")
        return suite

    def current(self, token: _Lent | None) -> str | None:
        return None if token is None or token.void or self.clock() >= token.expires_at else token.value

    def cancel(self, suite: SimulatedSuite, whose: str) -> None:
        with self.lock:
            found = suite._corps.get(whose)
            if found is None or found.app is None:
                raise ConfigurationError("This corp has not authorised the suite.")
            found.cancelled = True
            self.corps.remove(found.app, self.knobs.cancelled_errcode)

    # Tokens

    def suite_token(self, call: Call, body: Json) -> Json | int:
        suite = self.suites.get(str(body.get("suite_id")))
        call.appid = None if suite is None else suite.suite_id
        self.ledger.fetched(call.appid or "", "suite")
        wrong = _missing(body, {"suite_id": 41021, "suite_secret": 41024, "suite_ticket": 41023})
        if wrong:
            return wrong
        if suite is None:
            return 40083
        of_secret = 40080 if body["suite_secret"] != suite.secret else 0
        pushed = suite._tickets.get(str(body["suite_ticket"]))
        dead = pushed is None or self.clock() >= pushed + self.knobs.suite_ticket_life
        of_ticket = 40085 if dead else 0
        found = (of_ticket or of_secret) if self.knobs.suite_ticket_first else (of_secret or of_ticket)
        if found:
            return found
        if not suite.provider._account.admits(call.ip):
            return 60020
        suite._token = token = self._minted(suite._token, suite.suite_id, "suite")
        return self._given({"suite_access_token": token.value}, token.expires_at)

    def provider_token(self, call: Call, body: Json) -> Json | int:
        provider = self.known.get(str(body.get("corpid")))
        call.appid = None if provider is None else provider.corpid
        self.ledger.fetched(call.appid or "", "provider")
        wrong = _missing(body, {"corpid": 41002, "provider_secret": 41024})
        if wrong:
            return wrong
        if provider is None:
            return 40013
        if body["provider_secret"] != provider.secret:
            return 40001
        if not provider._account.admits(call.ip):
            return 60020
        provider._token = token = self._minted(provider._token, provider.corpid, "provider")
        return self._given({"provider_access_token": token.value}, token.expires_at)

    def _minted(self, before: _Lent | None, whose: str, slot: str) -> _Lent:
        if before is not None and self.current(before) is not None and self.knobs.suite_sticky:
            return before
        token = _Lent(secrets.token_urlsafe(160)[:200], whose, self.clock() + self.knobs.lifetime)
        self._lent[token.value] = token
        self.ledger.minted_one(whose, slot, stolen=False)
        return token

    def _given(self, answer: Json, ends: float) -> Json:
        return self._plain({**answer, "expires_in": int(ends - self.clock() + 1e-6)})

    def _plain(self, answer: Json) -> Json:
        """An answer whose page shows an errcode, and says that it comes only on failure."""
        return {**OK, **answer} if self.knobs.suite_success_errcode else answer

    # With the suite's token

    def pre_auth_code(self, call: Call, suite: SimulatedSuite, body: Json) -> Json | int:
        code = f"PAC-{secrets.token_urlsafe(60)}"
        suite._pre_auth[code] = self.clock() + _PRE_AUTH_CODE_LIFE
        return {**OK, "pre_auth_code": code, "expires_in": _PRE_AUTH_CODE_LIFE}

    def session_info(self, call: Call, suite: SimulatedSuite, body: Json) -> Json | int:
        code, info = body.get("pre_auth_code"), body.get("session_info")
        ends = suite._pre_auth.get(str(code))
        if ends is None:
            return 40077
        if self.clock() >= ends:
            return 42007
        if not isinstance(info, dict) or info.get("auth_type", 0) not in (0, 1):
            return 47001
        suite.session_info[str(code)] = info
        return dict(OK)

    def permanent_code(self, call: Call, suite: SimulatedSuite, body: Json) -> Json | int:
        given = str(body.get("auth_code", ""))
        if len(given) < _SHORTEST_AUTH_CODE:
            return 40058
        code = suite._codes.get(given)
        if code is None or code.used or self.clock() >= code.ends:
            return 40078
        code.used = True
        installed = suite._corps[code.corp]
        if code.renews and installed.code is not None:
            installed.before[installed.code] = self.clock() + self.knobs.permanent_code_overlap
        self._authorise(suite, code.corp, installed)
        self.ledger.minted_one(code.corp, "permanent_code", stolen=False)
        call.appid = code.corp
        facts = {"permanent_code": installed.code, "auth_corp_info": _corp(code.corp), "state": code.state}
        facts["auth_user_info"] = {"userid": "woAdmin", "open_userid": "woAdmin", "name": "Admin"}
        if "/v2/" in call.request.path:
            return {**OK, **facts}
        facts["auth_info"] = _auth_info(installed, suite.developed)
        if suite.developed:
            return self._plain(facts)
        return self._given({"access_token": self._corp_token(installed), **facts}, self._corp_end(installed))

    def _authorise(self, suite: SimulatedSuite, whose: str, installed: _Installed) -> None:
        if installed.app is not None and installed.cancelled:
            installed.app, installed.before = None, {}
        installed.code, installed.cancelled = f"pc-{secrets.token_urlsafe(60)}", False
        if installed.app is None:
            installed.app = SimulatedApp(whose, installed.code, installed.agentid, suite.provider.ip_allowlist)
        installed.app.secret = installed.code
        self.corps.corpids.add(whose)
        if suite.developed:
            self.corps.apps[whose, installed.code] = installed.app

    def _corp_token(self, installed: _Installed) -> str:
        assert installed.app is not None
        return self.corps.mint(installed.app, sticky=self.knobs.suite_sticky, slot="corp")

    def _corp_end(self, installed: _Installed) -> float:
        assert installed.app is not None
        return self.corps.end(installed.app)

    def corp_token(self, call: Call, suite: SimulatedSuite, body: Json) -> Json | int:
        self.ledger.fetched(str(body.get("auth_corpid", "")), "corp")
        installed = self._installed(call, suite, body)
        if isinstance(installed, int):
            return installed
        if suite.developed:
            return 40084  # uncertain: the code; a developed app's token comes from gettoken
        return self._given({"access_token": self._corp_token(installed)}, self._corp_end(installed))

    def auth_info(self, call: Call, suite: SimulatedSuite, body: Json) -> Json | int:
        installed = self._installed(call, suite, body)
        if isinstance(installed, int):
            return installed
        return {**OK, "auth_corp_info": _corp(str(call.appid)), "auth_info": _auth_info(installed, suite.developed)}

    def _installed(self, call: Call, suite: SimulatedSuite, body: Json) -> _Installed | int:
        if not body.get("permanent_code"):
            return 41025
        whose, given = str(body.get("auth_corpid")), str(body["permanent_code"])
        installed = suite._corps.get(whose)  # exact: encrypted ids have capitals and small letters
        if installed is None or installed.code is None:
            return 40013 if installed is None else 40084
        call.appid = whose
        alive = given == installed.code or self.clock() < installed.before.get(given, 0.0)
        return installed if alive and not installed.cancelled else 40084

    def old_code(self, corpid: str | None, secret: str | None) -> bool:
        """Whether this is the secret of a developed app that was reset too long ago."""
        with self.lock:
            for suite in self.suites.values():
                found = suite._corps.get(corpid or "")
                if found is not None and secret in found.before and self.clock() >= found.before[str(secret)]:
                    return True
        return False

    # With the provider's token

    def open_corpid(self, call: Call, provider: SimulatedProvider, body: Json) -> Json | int:
        corpid = body.get("corpid")
        if not isinstance(corpid, str) or not corpid:
            return 40013
        return {**OK, "open_corpid": provider.open_corpid(corpid)}

    def judge(self, token: str | None, *, of: str) -> str | int:
        """Whose token this is, or the errcode that it deserves: one of another kind is told apart by nothing."""
        if not token:
            return 41022
        found = self._lent.get(token)
        owners: Iterable[str] = self.suites if of == "suite" else self.known
        if found is None or found.void or found.whose not in owners:
            return 40082
        if self.clock() >= found.expires_at:
            return self.knobs.suite_expired_errcode if of == "suite" else self.knobs.provider_expired_errcode
        return found.whose


def _missing(body: Json, needed: dict[str, int]) -> int:
    return next((errcode for name, errcode in needed.items() if not body.get(name)), 0)


def _corp(whose: str) -> Json:
    return {"corpid": whose, "corp_name": "Made-up Tea", "corp_type": "unverified", "subject_type": 1}


def _auth_info(installed: _Installed, developed: bool) -> Json:
    none: Json = {"allow_user": [], "allow_tag": [], "extra_party": [], "extra_user": [], "extra_tag": []}
    agent = {"agentid": installed.agentid, "name": "Demo app", "auth_mode": 0, "is_customized_app": developed}
    return {"agent": [{**agent, "privilege": {"level": 1, "allow_party": [1], **none}}]}


# What each path answers

_ROOT = "/cgi-bin/service/"
_TOKENS: dict[str, Callable[[Providers, Call, Json], Json | int]] = {
    "get_suite_token": Providers.suite_token,
    "get_provider_token": Providers.provider_token,
}
_OF_SUITE: dict[str, Callable[[Providers, Call, SimulatedSuite, Json], Json | int]] = {
    "get_pre_auth_code": Providers.pre_auth_code,
    "set_session_info": Providers.session_info,
    "get_permanent_code": Providers.permanent_code,
    "v2/get_permanent_code": Providers.permanent_code,
    "get_auth_info": Providers.auth_info,
    "v2/get_auth_info": Providers.auth_info,
    "get_corp_token": Providers.corp_token,
}
_OF_PROVIDER: dict[str, Callable[[Providers, Call, SimulatedProvider, Json], Json | int]] = {
    "corpid_to_opencorpid": Providers.open_corpid,
}
_GETS = ("get_pre_auth_code",)


def answer(call: Call) -> Answer | None:
    """Answer a request to one of the paths of providers; ``None`` if it is none of them."""
    path, desk = call.request.path, call.wechat._providers
    if path == "/cgi-bin/gettoken" and desk.old_code(call.request.args.get("corpid"), _secret(call)):
        desk.ledger.fetched(str(call.request.args.get("corpid")), "wecom")
        return Answer(_wecom.error(40001, call.wechat.clock(), call.ip))
    name = path.removeprefix(_ROOT)
    if not path.startswith(_ROOT) or not (name in _TOKENS or name in _OF_SUITE or name in _OF_PROVIDER):
        return None
    with desk.lock:
        given = _answered(desk, call, name)
    if isinstance(given, dict):
        return Answer(given)
    failed = _wecom.error(given, call.wechat.clock(), call.ip)
    if given == 40058:
        failed["errmsg"] = f"auth_code size is not in range [64,512]. {failed['errmsg']}"
    return Answer(failed)


def _secret(call: Call) -> str | None:
    return call.request.args.get("corpsecret")


def _answered(desk: Providers, call: Call, name: str) -> Json | int:
    get = name in _GETS
    if call.request.method != ("GET" if get else "POST"):
        return 43001 if get else 43002
    body = {} if get else call.posted()
    if isinstance(body, int):
        return body
    if name in _TOKENS:
        return _TOKENS[name](desk, call, body)
    if name in _OF_PROVIDER:
        whose = desk.judge(call.request.args.get("provider_access_token"), of="provider")
        return whose if isinstance(whose, int) else _OF_PROVIDER[name](desk, call, desk.known[whose], body)
    whose = desk.judge(call.request.args.get("suite_access_token"), of="suite")
    if isinstance(whose, int):
        return whose
    call.appid, suite = whose, desk.suites[whose]
    if not suite.provider._account.admits(call.ip):
        return 60020
    nobody = all(one.code is None or one.cancelled for one in suite._corps.values())
    if desk.knobs.suite_needs_corp and nobody and not name.endswith("get_permanent_code"):
        return 40082
    return _OF_SUITE[name](desk, call, suite, body)
