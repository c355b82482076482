"""WeCom's service providers at the simulator: suites, developed apps, and corps that come and go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from simulator.conftest import Client
from simulator.webhooks import AES_KEY, TOKEN, fields_of, unseal
from wxmiddleware import ConfigurationError
from wxmiddleware.simulator import (
    PushAnswer,
    Pusher,
    PushRequest,
    SimulatedClock,
    SimulatedProvider,
    SimulatedSuite,
    WeChat,
)

PROVIDER, PROVIDER_SECRET = "ww1a2b3c4d5e6f7081", "secret-of-the-provider"
SUITE, SECRET = "ww5d0f2a8c4be1790a", "secret-of-the-suite"
CORP = "ww0000000000000001"
JSON = dict[str, Any]


@pytest.fixture
def provider(wechat: WeChat) -> SimulatedProvider:
    return wechat.add_provider(PROVIDER, PROVIDER_SECRET)


class Ours:
    """A provider's own side, which knows nothing of wxmiddleware."""

    def __init__(self, client: Client, suite: SimulatedSuite) -> None:
        self.client, self.there = client, suite
        self.ticket = suite.push_ticket()

    def post(self, api: str, query: dict[str, str] | None = None, method: str = "POST", **body: Any) -> JSON:
        sent = {name: value for name, value in body.items() if value is not None}
        rest: dict[str, Any] = {"json": sent} if method == "POST" else {}
        answer: JSON = self.client.call(method, f"/cgi-bin/service/{api}", params=query or {}, **rest).json()
        return answer

    def token(self, **changes: Any) -> JSON:
        body = {"suite_id": self.there.suite_id, "suite_secret": self.there.secret, "suite_ticket": self.ticket}
        return self.post("get_suite_token", **{**body, **changes})

    def ask(self, api: str, method: str = "POST", token: str | None = None, **body: Any) -> JSON:
        token = self.token()["suite_access_token"] if token is None else token
        return self.post(api, {"suite_access_token": token}, method, **body)

    def authorise(self, version: str = "", **how: Any) -> JSON:
        return self.ask(f"{version}get_permanent_code", auth_code=self.there.install(CORP, **how))

    def corp_token(self, corpid: str, code: str) -> JSON:
        return self.ask("get_corp_token", auth_corpid=corpid, permanent_code=code)

    def gettoken(self, corpid: str, secret: str) -> JSON:
        answer: JSON = self.client.call(
            "GET", "/cgi-bin/gettoken", params={"corpid": corpid, "corpsecret": secret}
        ).json()
        return answer

    def departments(self, token: str) -> JSON:
        answer: JSON = self.client.call("GET", "/cgi-bin/department/list", token).json()
        return answer


@pytest.fixture
def ours(client: Client, provider: SimulatedProvider) -> Ours:
    return Ours(client, provider.add_suite(SUITE, SECRET))


@pytest.fixture
def developed(client: Client, provider: SimulatedProvider) -> Ours:
    return Ours(client, provider.add_suite("dk00000001", SECRET, developed=True))


def test_suite_token(ours: Ours, wechat: WeChat) -> None:
    """The same token comes back until its end, and a success has no errcode; both can be turned."""
    first, second = ours.token(), ours.token()
    assert (first["suite_access_token"], ["suite_access_token", "expires_in"]) == (
        second["suite_access_token"],
        list(first),
    )
    wechat.suite_sticky, wechat.suite_success_errcode = False, True
    third = ours.token()

    assert (0, True) == (third["errcode"], third["suite_access_token"] != first["suite_access_token"])
    assert (3, 2) == (wechat.fetches(SUITE, "suite"), wechat.minted(SUITE, "suite"))


@pytest.mark.parametrize(
    ("errcode", "changes"),
    [
        (41021, {"suite_id": None}),
        (41024, {"suite_secret": None}),
        (41023, {"suite_ticket": None}),
        (40083, {"suite_id": "ww1"}),
        (40080, {"suite_secret": "wrong"}),
        (40080, {"suite_secret": "wrong", "suite_ticket": "wrong"}),
        (40085, {"suite_ticket": "wrong"}),
    ],
)
def test_refused(ours: Ours, errcode: int, changes: JSON) -> None:
    """What is wrong is told in this order."""
    assert errcode == ours.token(**changes)["errcode"]


def test_order_of_checks(ours: Ours, wechat: WeChat) -> None:
    """Uncertain, so it can be turned."""
    wechat.suite_ticket_first = True
    assert 40085 == ours.token(suite_secret="wrong", suite_ticket="wrong")["errcode"]


def test_ticket(ours: Ours, wechat: WeChat, wechat_clock: SimulatedClock) -> None:
    """A ticket is good for 30 minutes, also when newer ones have come."""
    wechat_clock.advance(600)
    newer = ours.there.push_ticket()
    assert "errcode" not in ours.token()
    wechat_clock.advance(1200)

    assert 40085 == ours.token()["errcode"]
    assert "errcode" not in ours.token(suite_ticket=newer)
    wechat.suite_ticket_repeats = True
    assert newer == ours.there.push_ticket()


def test_each_suite_has_its_tickets(ours: Ours, developed: Ours) -> None:
    """The ticket of another suite is none."""
    assert 40085 == ours.token(suite_ticket=developed.ticket)["errcode"]


def test_dead_tokens(ours: Ours, wechat: WeChat, wechat_clock: SimulatedClock) -> None:
    """A token past its life, a void one, and one of another kind each get an errcode."""
    token = ours.token()["suite_access_token"]
    given = ours.post("get_provider_token", corpid=PROVIDER, provider_secret=PROVIDER_SECRET)
    of_provider = given["provider_access_token"]

    assert 40082 == ours.ask("get_pre_auth_code", "GET", of_provider)["errcode"]
    assert 40082 == ours.post("corpid_to_opencorpid", {"provider_access_token": token}, corpid=CORP)["errcode"]
    assert 40014 == ours.departments(token)["errcode"]
    assert 41022 == ours.post("get_pre_auth_code", method="GET")["errcode"]
    wechat_clock.advance(7200)
    assert 42009 == ours.ask("get_pre_auth_code", "GET", token)["errcode"]
    assert 42001 == ours.post("corpid_to_opencorpid", {"provider_access_token": of_provider}, corpid=CORP)["errcode"]
    ours.ticket = ours.there.push_ticket()
    token = ours.token()["suite_access_token"]
    ours.there.revoke()
    answer = ours.ask("get_pre_auth_code", "GET", token)
    assert 40082 == answer["errcode"]
    assert answer["errmsg"].startswith("invalid suite_acccess_token or provider_access_token, hint: [")


def test_provider(ours: Ours, provider: SimulatedProvider) -> None:
    """A provider's token tells the encrypted id of a corp, which no other provider shares."""
    given = ours.post("get_provider_token", corpid=PROVIDER, provider_secret=PROVIDER_SECRET)
    query = {"provider_access_token": given["provider_access_token"]}
    answer = ours.post("corpid_to_opencorpid", query, corpid=CORP)

    assert (provider.open_corpid(CORP), provider.current()) == (
        answer["open_corpid"],
        given["provider_access_token"],
    )
    assert 40013 == ours.post("get_provider_token", corpid="ww1", provider_secret="x")["errcode"]
    assert 40001 == ours.post("get_provider_token", corpid=PROVIDER, provider_secret="x")["errcode"]


@pytest.mark.parametrize("version", ["", "v2/"])
def test_permanent_code(ours: Ours, provider: SimulatedProvider, version: str) -> None:
    """A code is good once; the second version brings no token. A corp's token is one for WeCom's APIs."""
    answer = ours.authorise(version, state="abc1")
    corpid = answer["auth_corp_info"]["corpid"]
    token = ours.corp_token(corpid, answer["permanent_code"])

    assert (provider.open_corpid(CORP), "abc1") == (corpid, answer["state"])
    assert (not version, bool(version)) == ("access_token" in answer, "errcode" in answer)
    assert answer.get("access_token", token["access_token"]) == token["access_token"]
    assert 0 == ours.departments(token["access_token"])["errcode"]
    assert "errcode" not in token


def test_codes(ours: Ours, wechat_clock: SimulatedClock) -> None:
    """Used, old, unknown and short codes are refused, and no token is got with a wrong permanent code."""
    code = ours.there.install(CORP)
    answer = ours.ask("get_permanent_code", auth_code=code)
    assert 40078 == ours.ask("get_permanent_code", auth_code=code)["errcode"]
    late = ours.there.install("ww0000000000000002")
    wechat_clock.advance(600)
    corpid = answer["auth_corp_info"]["corpid"]

    for used in (code, late, "x" * 80):
        assert 40078 == ours.ask("get_permanent_code", auth_code=used)["errcode"]
    short = ours.ask("get_permanent_code", auth_code="short")
    assert (40058, True) == (short["errcode"], "[64,512]" in short["errmsg"])
    assert 40084 == ours.corp_token(corpid, "wrong")["errcode"]
    assert 41025 == ours.corp_token(corpid, "")["errcode"]
    assert 40013 == ours.corp_token(corpid.upper(), answer["permanent_code"])["errcode"]


def test_link(ours: Ours, wechat_clock: SimulatedClock) -> None:
    """A pre-auth code is good for 20 minutes."""
    code = ours.ask("get_pre_auth_code", "GET")["pre_auth_code"]
    info = {"auth_type": 1}
    assert 0 == ours.ask("set_session_info", pre_auth_code=code, session_info=info)["errcode"]
    assert {code: info} == ours.there.session_info
    assert 40077 == ours.ask("set_session_info", pre_auth_code="x", session_info=info)["errcode"]
    assert 47001 == ours.ask("set_session_info", pre_auth_code=code, session_info=1)["errcode"]
    wechat_clock.advance(1200)
    assert 42007 == ours.ask("set_session_info", pre_auth_code=code, session_info=info)["errcode"]


@pytest.mark.parametrize("errcode", [40014, 48004])
def test_cancel(ours: Ours, wechat: WeChat, errcode: int) -> None:
    """After a cancellation neither the token nor the code is good; authorising again brings another code."""
    wechat.cancelled_errcode = errcode
    first = ours.authorise()
    corpid = first["auth_corp_info"]["corpid"]
    ours.there.cancel(CORP)

    assert errcode == ours.departments(first["access_token"])["errcode"]
    assert 40084 == ours.corp_token(corpid, first["permanent_code"])["errcode"]
    assert ours.there.permanent_code(CORP) is None
    again = ours.authorise()
    assert 0 == ours.departments(again["access_token"])["errcode"]
    assert first["permanent_code"] != again["permanent_code"] == ours.there.permanent_code(CORP)
    with pytest.raises(ConfigurationError):
        ours.there.cancel("ww0000000000000009")


def test_no_corp_yet(ours: Ours, wechat: WeChat) -> None:
    """Seen once: a suite's token is refused while no corp has authorised it."""
    wechat.suite_needs_corp = True
    assert 40082 == ours.ask("get_pre_auth_code", "GET")["errcode"]
    ours.authorise()
    assert 0 == ours.ask("get_pre_auth_code", "GET")["errcode"]


@pytest.mark.parametrize("version", ["", "v2/"])
def test_auth_info(ours: Ours, version: str) -> None:
    """What a corp has granted can be read again, with its permanent code."""
    answer = ours.authorise()
    corpid, code = answer["auth_corp_info"]["corpid"], answer["permanent_code"]
    info = ours.ask(f"{version}get_auth_info", auth_corpid=corpid, permanent_code=code)

    assert (corpid, 1000007) == (info["auth_corp_info"]["corpid"], info["auth_info"]["agent"][0]["agentid"])


def test_developed(developed: Ours, wechat: WeChat, wechat_clock: SimulatedClock) -> None:
    """A developed app's permanent code is its secret; after a reset the old one dies after a while."""
    first = developed.authorise()
    corpid, old = first["auth_corp_info"]["corpid"], first["permanent_code"]
    token = developed.gettoken(corpid, old)

    assert (True, False) == (first["auth_info"]["agent"][0]["is_customized_app"], "access_token" in first)
    assert 0 == developed.departments(token["access_token"])["errcode"]
    assert 40084 == developed.corp_token(corpid, old)["errcode"]
    new = developed.ask("get_permanent_code", auth_code=developed.there.reset(CORP))["permanent_code"]
    assert [token["access_token"]] * 2 == [developed.gettoken(corpid, code)["access_token"] for code in (old, new)]
    wechat_clock.advance(wechat.permanent_code_overlap)
    assert 40001 == developed.gettoken(corpid, old)["errcode"]
    assert 0 == developed.gettoken(corpid, new)["errcode"]
    developed.there.cancel(CORP)
    assert 40001 == developed.gettoken(corpid, new)["errcode"]


def test_address(ours: Ours, provider: SimulatedProvider) -> None:
    """60020 names the caller's address."""
    token = ours.token()["suite_access_token"]
    provider.ip_allowlist = ["10.0.0.1"]
    answer = ours.token()

    assert (60020, True) == (answer["errcode"], "from ip: 127.0.0.1" in answer["errmsg"])
    assert 60020 == ours.ask("get_pre_auth_code", "GET", token)["errcode"]


def test_method(ours: Ours) -> None:
    """A call with the wrong method is none."""
    assert 43001 == ours.post("get_pre_auth_code")["errcode"]
    assert 43002 == ours.post("get_suite_token", method="GET")["errcode"]


def test_twice(provider: SimulatedProvider, wechat: WeChat) -> None:
    """Two suites of a name, or two providers, are a mistake."""
    provider.add_suite(SUITE, SECRET)
    with pytest.raises(ConfigurationError, match="already"):
        provider.add_suite(SUITE, SECRET)
    with pytest.raises(ConfigurationError, match="already"):
        wechat.add_provider(PROVIDER, PROVIDER_SECRET)
    assert SECRET not in repr(provider.add_suite("ww2", SECRET)) + repr(provider)


# What is pushed


class Callback:
    """A suite's URL: takes down whom each push is for, and answers as told."""

    def __init__(self, answers: Callable[[str], bytes] = lambda plain: b"success") -> None:
        self.seen: list[tuple[str, str]] = []
        self.envelopes: list[JSON] = []
        self._answers = answers

    def __call__(self, request: PushRequest) -> PushAnswer:
        query = {name: values[0] for name, values in parse_qs(urlsplit(request.url).query).items()}
        envelope = {} if request.method == "GET" else fields_of(request.body.decode())
        self.envelopes.append(envelope)
        text = query["echostr"] if request.method == "GET" else str(envelope["Encrypt"])
        for receiver in (PROVIDER, SUITE, CORP):
            try:
                plain = unseal(text, receiver)
            except AssertionError:
                continue
            self.seen.append((receiver, plain))
            return PushAnswer(200, plain.encode() if request.method == "GET" else self._answers(plain))
        return PushAnswer(403, b"")


def pusher(wechat: WeChat, callback: Callback, **options: Any) -> Pusher:
    names = {"receiver": SUITE, "provider": PROVIDER, "to_user": CORP, **options}
    return Pusher(wechat, callback, token=TOKEN, aes_key=AES_KEY, profile="suite", **names)


def test_receivers(wechat: WeChat) -> None:
    """The verification is for the provider, a notice for the suite, a message for the corp."""
    callback = Callback()
    suite = pusher(wechat, callback)
    deliveries = [suite.verify(), suite.notice(), suite.text("hello")]

    assert [[], [], []] == [delivery.codes for delivery in deliveries]
    assert [PROVIDER, SUITE, CORP] == [receiver for receiver, _ in callback.seen]
    assert {"ToUserName": SUITE, "AgentID": ""}.items() <= callback.envelopes[1].items()
    assert "SuiteTicket" in callback.seen[1][1]


def test_wrong_receiver(wechat: WeChat) -> None:
    """A push for somebody else is refused, which WeCom minds."""
    assert ["status"] == pusher(wechat, Callback(), receiver="ww9").notice().codes


@pytest.mark.parametrize("body", [b"", b"ok", b"<xml/>"])
def test_success_and_nothing_else(wechat: WeChat, body: bytes) -> None:
    """WeCom shows any other answer to a notice to the corp's admin."""
    delivery = pusher(wechat, Callback(lambda plain: body)).notice("create_auth")

    assert ["garbage"] == delivery.codes
    assert "corp's admin" in delivery.problems[0].text


def test_second(wechat: WeChat, wechat_clock: SimulatedClock) -> None:
    """A notice of an authorisation is answered within a second, any other within five."""

    def slow(plain: str) -> bytes:
        wechat_clock.advance(2)
        return b"success"

    suite = pusher(wechat, Callback(slow), tries=1)
    assert ["late"] == suite.notice("create_auth").codes
    assert [] == suite.notice("change_contact", AuthCorpId=CORP, ChangeType="create_user").codes


def test_notices(ours: Ours, developed: Ours, provider: SimulatedProvider, wechat: WeChat) -> None:
    """What WeCom would push is kept, and can be pushed in any order; nothing after the provider's own link."""
    ours.there.install(CORP)
    ours.there.install(CORP, market=True, state="s1")
    ours.there.change(CORP)
    ours.authorise()
    ours.there.cancel(CORP)
    developed.authorise()
    developed.there.reset(CORP)

    kinds = [notice["InfoType"] for notice in ours.there.notices]
    assert ["suite_ticket", "create_auth", "change_auth", "cancel_auth"] == kinds
    kinds = [notice["InfoType"] for notice in developed.there.notices]
    assert ["suite_ticket", "create_auth", "reset_permanent_code"] == kinds
    assert provider.open_corpid(CORP) == ours.there.notices[-1]["AuthCorpId"]
    callback = Callback()
    assert all(pusher(wechat, callback).push(notice).ok for notice in reversed(ours.there.notices))
    assert "cancel_auth" in callback.seen[0][1]
