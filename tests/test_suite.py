"""A suite of WeCom's: the pushed ticket, permanent codes, and the tokens of the corps that have authorised it."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import anyio
import pytest
import requests
from flask import Flask

from wxmiddleware import (
    ConfigurationError,
    Runtime,
    StoreError,
    TokenProvider,
    TokenRefused,
    TokenUnavailable,
    with_token,
)
from wxmiddleware._rules.cures import CURES, Cure, cured_by
from wxmiddleware._rules.models import Account, CorpAccount
from wxmiddleware.jssdk import JSSDK
from wxmiddleware.simulator import Pusher as WeComPusher
from wxmiddleware.simulator import SimulatedClock, SimulatedSuite, SimulatorServer, WeChat, WSGITransport
from wxmiddleware.sources import AgentTicket
from wxmiddleware.status import StatusPage
from wxmiddleware.stores import Loaded, Record
from wxmiddleware.stores.jsonfile import JSONFileStore
from wxmiddleware.stores.memory import MemoryStore
from wxmiddleware.suite import ProviderAccount, Suite, SuiteAccount
from wxmiddleware.webhook import AppMessages, Message, Notice
from wxmiddleware.webhook.flask import webhook
from wxmiddleware.webhook.messages import message_from

PROVIDER, PROVIDER_SECRET = "ww1a2b3c4d5e6f7081", "secret-of-the-provider"
SUITE, SECRET = "ww5d0f2a8c4be1790a", "secret-of-the-suite"
CORP = "ww0000000000000001"
ROOT = "/cgi-bin/service/"
PATIENCE = 20.0


class Fragile:
    """A store that can be broken; it plays one that other processes share."""

    shared = durable = True

    def __init__(self, clock: Callable[[], float]) -> None:
        self.inner = MemoryStore(clock=clock)
        self.broken: set[str] = set()
        self.before_save: Callable[[str, Record], object] = lambda key, record: None

    def load(self, key: str) -> Loaded:
        if "load" in self.broken:
            raise ConnectionError("redis://:password@host")
        return self.inner.load(key)

    def save(self, key: str, record: Record, version: Any) -> Any | None:
        self.before_save(key, record)
        if "save" in self.broken:
            raise ConnectionError("redis://:password@host")
        return self.inner.save(key, record, version)


class Scene:
    """A suite at the simulator, corps that may authorise it, and our side of both."""

    def __init__(self, wechat: WeChat, url: str, clock: SimulatedClock) -> None:
        self.wechat, self.url, self.clock = wechat, url, clock
        self.owner = wechat.add_provider(PROVIDER, PROVIDER_SECRET)
        self.there = self.owner.add_suite(SUITE, SECRET)
        self.corpid = self.owner.open_corpid(CORP)
        self.store = Fragile(clock)
        self.suite = self.make()

    def make(
        self,
        store: Any = None,
        *,
        developed: bool = False,
        suite_id: str = SUITE,
        sleep: Callable[[float], object] | None = None,
    ) -> Suite:
        """Our side; each one made plays another process."""
        sleep = self.clock.advance if sleep is None else sleep
        runtime = Runtime(clock=self.clock, time=self.clock, sleep=sleep, random=lambda: 0.0)
        account = SuiteAccount(suite_id, SECRET, base_url=self.url)
        owner = ProviderAccount(PROVIDER, PROVIDER_SECRET, base_url=self.url)
        store = self.store if store is None else store
        return Suite(account, store=store, service_provider=owner, developed=developed, runtime=runtime)

    def with_ticket(self) -> Suite:
        self.suite.remember_ticket(self.there.push_ticket())
        return self.suite

    def authorised(self, corpid: str = CORP) -> TokenProvider:
        self.with_ticket()
        return self.suite.authorize(self.there.install(corpid))

    def record(self, provider: TokenProvider) -> Record:
        found = self.store.load(provider._own.key).record
        assert found is not None
        return found

    def call(self, token: str) -> dict[str, Any]:
        query = {"access_token": token}
        answer: dict[str, Any] = requests.get(f"{self.url}/cgi-bin/department/list", query, timeout=10).json()
        return answer

    def calls(self, name: str) -> int:
        return self.wechat.calls(ROOT + name)


@pytest.fixture
def scene(wechat: WeChat, wechat_server: SimulatorServer, wechat_clock: SimulatedClock) -> Scene:
    return Scene(wechat, wechat_server.url, wechat_clock)


@pytest.fixture
def there(scene: Scene) -> SimulatedSuite:
    return scene.there


# Arguments


@pytest.mark.parametrize(
    "arguments",
    [
        {"account": Account("wx1", "s")},
        {"account": ProviderAccount("ww1", "s")},
        {"account": SUITE},
        {"store": None},
        {"store": MemoryStore()},
        {"store": JSONFileStore},
        {"service_provider": SuiteAccount("ww1", "s")},
        {"developed": 1},
    ],
)
def test_arguments(arguments: dict[str, Any], tmp_path: Path) -> None:
    """What cannot be right is said at construction, a forgetful store among it."""
    fine: dict[str, Any] = {"account": SuiteAccount(SUITE, SECRET), "store": JSONFileStore(tmp_path / "t.json")}
    given = {**fine, **arguments}
    with pytest.raises(ConfigurationError):
        Suite(given.pop("account"), **given)

    assert repr(Suite(fine.pop("account"), **fine)) == f"<Suite {SUITE}>"


def test_from_env() -> None:
    """A suite and its provider have variables of their own."""
    there = {"WECOM_SUITE_ID": SUITE, "WECOM_SUITE_SECRET": SECRET, "WECOM_PROVIDER_CORPID": PROVIDER}
    assert SuiteAccount(SUITE, SECRET) == SuiteAccount.from_env(there)
    assert ProviderAccount(PROVIDER) == ProviderAccount.from_env(there, secret=False)
    with pytest.raises(ConfigurationError, match="WECOM_PROVIDER_SECRET"):
        ProviderAccount.from_env(there)


def test_cures() -> None:
    """Which errcode is cured by which token stands in one table; a used code, a dead one and a secret are in none."""
    assert {40014, 42001} == cured_by(Cure.CORP)
    assert {40082, 42009} == cured_by(Cure.SUITE)
    assert {40082, 42001} == cured_by(Cure.PROVIDER)
    assert {40085} == cured_by(Cure.TICKET)
    assert not {40001, 40078, 40080, 40084, 48004, 60020} & CURES.keys()


# The ticket and the suite's own token


def test_suite_token(scene: Scene, there: SimulatedSuite) -> None:
    """With the pushed ticket the suite gets its token, once for all who ask."""
    scene.with_ticket()
    tokens = {scene.make().provider.get_token() for _ in range(3)}

    assert {there.current()} == tokens
    assert 1 == scene.wechat.fetches(slot="suite")


def test_outage_of_tickets(scene: Scene, there: SimulatedSuite) -> None:
    """After 31 minutes without a ticket nothing is fetched in vain; within one push there are tokens again."""
    provider = scene.authorised()
    other = scene.make().corp(scene.corpid)
    scene.clock.advance(7300 - 1860)
    scene.with_ticket()
    scene.clock.advance(1860)  # the token of the suite is over, and that of the corp, too
    for _ in range(10):
        for each in (provider, other):
            with pytest.raises(TokenUnavailable, match="has not pushed a suite_ticket"):
                each.get_token()
        scene.clock.advance(30)
    assert (1, 0) == (scene.calls("get_suite_token"), scene.calls("get_corp_token"))

    scene.with_ticket()
    token = provider.get_token()
    scene.clock.advance(60)
    assert 0 == scene.call(token)["errcode"] == scene.call(other.get_token())["errcode"]
    assert (2, 1) == (scene.calls("get_suite_token"), scene.calls("get_corp_token"))


def test_ticket_of_another_suite(scene: Scene) -> None:
    """40085 is a passing trouble, which the next ticket ends."""
    scene.suite.remember_ticket("tk-of-another")
    with pytest.raises(TokenUnavailable, match="suite_ticket is too old, or another suite's") as caught:
        scene.suite.provider.get_token()
    assert (40085, False) == (caught.value.errcode, "tk-of-another" in repr(caught.value))

    scene.with_ticket()
    assert scene.suite.provider.get_token()


@pytest.mark.parametrize("ticket", ["", "  ", None, b"ticket"])
def test_ticket_wanted(scene: Scene, ticket: Any) -> None:
    """What is no ticket does not replace one."""
    with pytest.raises(ConfigurationError, match="SuiteTicket"):
        scene.suite.remember_ticket(ticket)


def test_late_ticket(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    """From the 20th minute on the log warns when the ticket is used; its age is told."""
    assert ("missing", None) == (scene.suite.status().ticket, scene.suite.status().ticket_age)
    scene.with_ticket()
    scene.clock.advance(1190)
    scene.suite.provider.get_token()
    assert not [one for one in caplog.records if "SuiteTicket" in one.message]
    scene.there.revoke()
    scene.clock.advance(31)
    scene.suite.provider.get_token(rejected=scene.suite.provider.get_token())

    assert ["The last SuiteTicket came 20 minutes ago"] == [
        one.message.partition(",")[0] for one in caplog.records if "SuiteTicket" in one.message
    ]
    status = scene.suite.status()
    assert ("late", 1221.0, 579.0) == (status.ticket, status.ticket_age, status.ticket_ends_in)


@pytest.mark.parametrize(("void", "errcode"), [(True, 40082), (False, 42009)])
def test_suite_token_healed(scene: Scene, there: SimulatedSuite, void: bool, errcode: int) -> None:
    """A dead token of the suite is replaced within the call, whichever errcode says so; once."""
    scene.with_ticket()
    first = scene.suite.pre_auth_code()
    if void:
        there.revoke()
    else:
        scene.wechat.faults.add(f"{ROOT}get_pre_auth_code", "errcode", errcode=errcode)
        there.revoke()
    assert first != scene.suite.pre_auth_code()
    assert 2 == scene.calls("get_suite_token")

    scene.wechat.faults.add(f"{ROOT}get_pre_auth_code", "errcode", None, errcode=errcode)
    with pytest.raises(TokenUnavailable):
        scene.suite.pre_auth_code()


def test_wrong_secret(scene: Scene, there: SimulatedSuite) -> None:
    """A wrong secret is a person's business, and is not shown."""
    scene.with_ticket()
    there.secret = "another"
    with pytest.raises(TokenRefused, match="suite_secret") as caught:
        scene.suite.provider.get_token()

    assert SECRET not in repr(caught.value)


def test_service_provider(scene: Scene) -> None:
    """The provider has a token of its own, which is healed by 40082 and 42001."""
    provider = scene.suite.service_provider
    assert provider is not None
    first = provider.get_token()
    scene.owner.revoke()

    def look_up(access_token: str) -> dict[str, Any]:
        url = f"{scene.url}{ROOT}corpid_to_opencorpid"
        query = {"provider_access_token": access_token}
        answer: dict[str, Any] = requests.post(url, params=query, json={"corpid": CORP}, timeout=10).json()
        return answer

    assert scene.corpid == with_token(provider)(look_up)()["open_corpid"]
    assert first != provider.get_token() == scene.owner.current()
    assert [scene.suite.provider, provider] == scene.suite.providers()
    runtime = Runtime(clock=scene.clock)
    alone = Suite(SuiteAccount(SUITE, SECRET), store=scene.store, runtime=runtime)
    assert (None, 1) == (alone.service_provider, len(alone.providers()))


# Corps


def test_authorize(scene: Scene, there: SimulatedSuite) -> None:
    """The first token comes with the permanent code; other processes have both."""
    provider = scene.authorised()
    token = provider.get_token()
    account = provider.account

    assert isinstance(account, CorpAccount)
    assert (scene.corpid, 1000007, 0) == (account.appid, account.agentid, scene.call(token)["errcode"])
    assert token == scene.make().corp(scene.corpid).get_token()
    assert there.permanent_code(CORP) == scene.record(provider).refresh
    assert 0 == scene.calls("get_corp_token")
    code = scene.record(provider).refresh
    assert code is not None
    assert code not in repr(scene.record(provider)) + repr(provider)


@pytest.mark.parametrize("errcodes", [False, True])
def test_renewed(scene: Scene, errcodes: bool) -> None:
    """Later tokens are asked for with the permanent code; an errcode of 0 in a success changes nothing."""
    scene.wechat.suite_success_errcode = errcodes
    provider = scene.authorised()
    code = scene.record(provider).refresh
    for number in (1, 2):
        scene.clock.advance(7300)
        scene.with_ticket()
        assert 0 == scene.call(provider.get_token())["errcode"]
        assert (number, code) == (scene.calls("get_corp_token"), scene.record(provider).refresh)


def test_code_twice(scene: Scene) -> None:
    """A page that is loaded twice, in two processes, leads to the same corp; WeCom is asked once."""
    scene.with_ticket()
    code = scene.there.install(CORP)
    first, second = scene.suite.authorize(code), scene.make().authorize(code)

    assert first.account.appid == second.account.appid
    assert 1 == scene.calls("get_permanent_code")


def test_code_twice_at_once(scene: Scene) -> None:
    """If the second comes while the first is still at it, it waits for the first one's corp."""
    scene.with_ticket()
    scene.suite.provider.get_token()
    code = scene.there.install(CORP)
    fault = scene.wechat.faults.add(f"{ROOT}get_permanent_code", "hang", executed=True)
    first: list[TokenProvider] = []
    thread = threading.Thread(target=lambda: first.append(scene.suite.authorize(code)))
    thread.start()
    assert scene.wechat.wait_for(lambda: scene.calls("get_permanent_code") == 1, PATIENCE)
    assert scene.wechat.wait_for(lambda: scene.there._codes[code].used, PATIENCE)

    def sleep(_: float) -> None:
        fault.release()
        thread.join(PATIENCE)

    second = scene.make(sleep=sleep).authorize(code)
    thread.join(PATIENCE)
    assert [second.account.appid] == [each.account.appid for each in first]


def test_used_code(scene: Scene, there: SimulatedSuite) -> None:
    """A code that somebody else has used is refused; the error says what to do, and does not repeat it."""
    scene.with_ticket()
    code = there.install(CORP)
    there._codes[code].used = True
    with pytest.raises(TokenRefused, match="authorise the suite again") as caught:
        scene.suite.authorize(code)
    assert code not in repr(caught.value)
    with pytest.raises(ConfigurationError):
        scene.suite.authorize(" ")


@pytest.mark.parametrize(
    "body",
    [
        "{}",
        '{"permanent_code": "pc-1", "auth_corp_info": 1}',
        '{"permanent_code": "two words", "auth_corp_info": {"corpid": "wp1"}}',
        '{"auth_corp_info": {"corpid": "wp1"}}',
    ],
)
def test_half_an_answer(scene: Scene, body: str) -> None:
    """An answer without all that is needed keeps nothing."""
    scene.with_ticket()
    scene.wechat.faults.add(f"{ROOT}get_permanent_code", "body", body=body)
    with pytest.raises(TokenUnavailable, match="names no corp or has no permanent code"):
        scene.suite.authorize(scene.there.install(CORP))


@pytest.mark.parametrize("agents", ["[]", "[1]", '[{"agentid": true}]', "5"])
def test_without_an_agentid(scene: Scene, agents: str) -> None:
    """An answer that names no app, or has no token, is as good; the token is fetched."""
    scene.with_ticket()
    code = scene.there.install(CORP)
    body = f'{{"permanent_code": "pc-1", "auth_corp_info": {{"corpid": "wp1"}}, "auth_info": {{"agent": {agents}}}}}'
    scene.wechat.faults.add(f"{ROOT}get_permanent_code", "body", body=body)
    account = scene.suite.authorize(code).account

    assert isinstance(account, CorpAccount)
    assert ("wp1", None) == (account.appid, account.agentid)


def test_never_authorised(scene: Scene) -> None:
    """A corp without a permanent code is told to authorise, and WeCom is left alone."""
    provider = scene.with_ticket().corp(scene.corpid)
    for _ in range(3):
        with pytest.raises(TokenRefused, match=r"hand the auth_code that comes back to Suite\.authorize"):
            provider.get_token()

    assert 0 == scene.wechat.calls("/cgi-bin/*")


def test_cancelled_and_back(scene: Scene, there: SimulatedSuite) -> None:
    """A corp that cancels is forgotten everywhere; when it authorises again, the new permanent code counts."""
    provider = scene.authorised()
    other = scene.make().corp(scene.corpid)
    other.get_token()
    first = scene.record(provider).refresh
    there.cancel(CORP)
    assert scene.suite.handle(notice(there.notices[-1]))
    scene.clock.advance(90)  # by then others have looked at the store
    other.peek()
    _settled(other)

    for each in (provider, other):
        with pytest.raises(TokenRefused, match="has not authorised the suite"):
            each.get_token()
    assert (None, None) == (scene.record(provider).refresh, scene.record(provider).value)
    assert 0 == scene.calls("get_corp_token")
    again = scene.authorised()
    assert 0 == scene.call(again.get_token())["errcode"] == scene.call(provider.get_token())["errcode"]
    assert first != scene.record(again).refresh == there.permanent_code(CORP)


def test_cancelled_meanwhile(scene: Scene, there: SimulatedSuite) -> None:
    """A token that was asked for before the cancellation and came after it is not kept."""
    provider = scene.authorised()
    scene.clock.advance(7300)
    scene.with_ticket()
    scene.suite.provider.get_token()
    fault = scene.wechat.faults.add(f"{ROOT}get_corp_token", "hang", executed=True)
    got: list[object] = []

    def want() -> None:
        try:
            got.append(provider.get_token())
        except TokenRefused as error:
            got.append(error)

    thread = threading.Thread(target=want)
    thread.start()
    assert scene.wechat.wait_for(lambda: scene.calls("get_corp_token") == 1, PATIENCE)
    scene.clock.advance(1)
    scene.make().forget(scene.corpid)
    fault.release()
    thread.join(PATIENCE)

    assert [True] == [isinstance(each, TokenRefused) for each in got]
    assert (None, None) == (scene.record(provider).refresh, scene.record(provider).value)


def _settled(provider: TokenProvider) -> None:
    flight = provider._own.flight
    if flight is not None:
        flight.wait(PATIENCE)


@pytest.mark.parametrize("errcode", [40084, 48004])
def test_cancelled_unseen(scene: Scene, there: SimulatedSuite, errcode: int) -> None:
    """If the notice never came, the dead code is found out with the next token, and asked with once."""
    provider = scene.authorised()
    there.cancel(CORP)
    scene.clock.advance(7300)
    scene.with_ticket()
    scene.wechat.faults.add(f"{ROOT}get_corp_token", "errcode", None, errcode=errcode)
    for _ in range(3):
        with pytest.raises(TokenRefused, match="authorise the suite again") as caught:
            provider.get_token()
        assert errcode == caught.value.errcode

    assert 1 == scene.calls("get_corp_token")


def test_dead_token_everywhere(scene: Scene, there: SimulatedSuite) -> None:
    """A corp's token is dead in eight processes of four threads each: one fetch."""
    scene.authorised()
    pause = threading.Event()
    providers = [scene.make(sleep=lambda _: pause.wait(0.01)).corp(scene.corpid) for _ in range(8)]
    dead = {provider.get_token() for provider in providers}
    app = there.app(CORP)
    assert app is not None
    app.revoke()
    ready, found = threading.Barrier(32), []

    def want(provider: TokenProvider) -> None:
        (token,) = dead
        ready.wait(PATIENCE)
        found.append(provider.get_token(rejected=token))

    threads = [threading.Thread(target=want, args=(provider,)) for provider in providers for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)

    assert (32, 1) == (len(found), len(set(found)))
    assert 1 == scene.calls("get_corp_token")


def test_js_tickets(scene: Scene) -> None:
    """Pages are signed with the corp's ticket and with the app's, both asked for with the corp's token."""
    provider = scene.authorised()
    for sdk in (JSSDK(provider), JSSDK(provider, ticket=AgentTicket)):
        signed = sdk.signature("https://example.com/page")
        assert "config:ok" == scene.wechat.wx_config("https://example.com/page", signed)
        assert scene.corpid == signed["appId"]


def test_of_the_app(scene: Scene) -> None:
    """Messages and ``wx.agentConfig`` are those of the app that the corp has; a corp without its number says so."""
    provider = scene.authorised()
    AppMessages(provider).send("hi", users="ada")
    config = JSSDK(provider, ticket=AgentTicket).agent_config("https://example.com/page")
    (sent,) = scene.wechat.sent

    assert (scene.corpid, provider.account.agentid) == (sent.appid, sent.body["agentid"])  # type: ignore[attr-defined]
    assert "agentConfig:ok" == scene.wechat.wx_agent_config("https://example.com/page", config)
    nameless = scene.suite.corp(scene.corpid)
    for use in (AppMessages, lambda corp: JSSDK(corp, ticket=AgentTicket).agent_config("https://example.com/page")):
        with pytest.raises(ConfigurationError, match=r"suite\.corp\(corpid, agentid\)"):
            use(nameless)


def test_adopted(scene: Scene, there: SimulatedSuite) -> None:
    """A permanent code that another system has stored is taken over."""
    code = scene.record(scene.authorised()).refresh
    assert code is not None
    scene.store.inner = MemoryStore(clock=scene.clock)
    scene.with_ticket()
    provider = scene.make().adopt_permanent_code(scene.corpid, f" {code}\n".strip())

    assert 0 == scene.call(provider.get_token())["errcode"]
    with pytest.raises(ConfigurationError):
        scene.suite.adopt_permanent_code(scene.corpid, "")


def test_in_tasks(scene: Scene, there: SimulatedSuite) -> None:
    """An event loop takes tickets, codes and notices, too."""

    async def main() -> str:
        await scene.suite.aremember_ticket(there.push_ticket())
        assert "pre_auth_code=" in await scene.suite.aauthorization_url("https://example.com/installed")
        assert await scene.suite.apre_auth_code()
        provider = await scene.suite.aauthorize(there.install(CORP))
        token = await provider.aget_token()
        assert scene.corpid == (await scene.suite.aauth_info(scene.corpid))["auth_corp_info"]["corpid"]
        assert [] == await scene.suite.arecover()
        there.change(CORP)
        assert not await scene.suite.ahandle(notice(there.notices[-1]))
        assert "good" == (await scene.suite.astatus()).ticket
        await scene.suite.aforget(scene.corpid)
        return token

    assert 0 == scene.call(anyio.run(main))["errcode"]
    with pytest.raises(LookupError, match="not any more"):
        scene.suite.auth_info(scene.corpid)


# Developed apps


def test_developed(scene: Scene) -> None:
    """A developed app's permanent code is its secret; fetched again at the console, the new one replaces it."""
    there = scene.owner.add_suite("dk00000001", SECRET, developed=True)
    suite = scene.make(developed=True, suite_id="dk00000001")
    suite.remember_ticket(there.push_ticket())
    provider = suite.authorize(there.install(CORP))
    assert 0 == scene.call(provider.get_token())["errcode"]
    assert (1, 0) == (scene.wechat.fetches(slot="wecom"), scene.calls("get_corp_token"))

    scene.wechat.permanent_code_overlap = 0.0
    there.reset(CORP)
    assert suite.handle(notice(there.notices[-1]))
    scene.clock.advance(7300)
    assert 0 == scene.call(provider.get_token())["errcode"]
    assert there.permanent_code(CORP) == scene.record(provider).refresh


def test_developed_code_reset(scene: Scene) -> None:
    """40001 names the notice that brings the new code, and is not asked again for ten minutes."""
    there = scene.owner.add_suite("dk00000001", SECRET, developed=True)
    suite = scene.make(developed=True, suite_id="dk00000001")
    suite.remember_ticket(there.push_ticket())
    provider = suite.authorize(there.install(CORP))
    there.cancel(CORP)
    for _ in range(3):
        with pytest.raises(TokenRefused, match="reset_permanent_code") as caught:
            provider.get_token()
        scene.clock.advance(100)

    assert (40001, 1) == (caught.value.errcode, scene.wechat.fetches(slot="wecom"))


def test_developed_code_left_over(scene: Scene) -> None:
    """The process died that was to fetch the new secret: it is fetched when the old one is found dead."""
    there = scene.owner.add_suite("dk00000001", SECRET, developed=True)
    suite = scene.make(developed=True, suite_id="dk00000001")
    suite.remember_ticket(there.push_ticket())
    provider = suite.authorize(there.install(CORP))
    suite._codes.begin(there.reset(CORP))
    there._corps[scene.corpid].code = "another"
    scene.wechat._corps.apps.clear()
    scene.clock.advance(60)

    assert 0 == scene.call(provider.get_token())["errcode"]
    assert there.permanent_code(CORP) == scene.record(provider).refresh


# The link


def test_link(scene: Scene, there: SimulatedSuite) -> None:
    """The link has a pre-auth code of its own, and what comes back is encoded once."""
    scene.with_ticket()
    url = scene.suite.authorization_url("https://example.com/installed?a=b&c=d", "abc1")
    query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    code = query.pop("pre_auth_code")

    assert url.startswith("https://open.work.weixin.qq.com/3rdapp/install?suite_id=")
    assert {"suite_id": SUITE, "redirect_uri": "https://example.com/installed?a=b&c=d", "state": "abc1"} == query
    assert {} == there.session_info
    scene.suite.authorization_url("https://example.com/installed", test=True)
    assert [{"auth_type": 1}] == list(there.session_info.values())
    scene.suite.set_session_info(code, appids=[1, 2])
    assert {"auth_type": 0, "appid": [1, 2]} == there.session_info[code]


@pytest.mark.parametrize("errcode", [40077, 42007])
def test_stale_pre_auth_code(scene: Scene, errcode: int) -> None:
    """A pre-auth code that is over is replaced by a new one, once."""
    scene.with_ticket()
    scene.wechat.faults.add(f"{ROOT}set_session_info", "errcode", errcode=errcode)
    assert "pre_auth_code=" in scene.suite.authorization_url("https://example.com/installed", test=True)
    assert 2 == scene.calls("get_pre_auth_code")
    scene.wechat.faults.add(f"{ROOT}set_session_info", "errcode", None, errcode=40013)
    with pytest.raises(TokenRefused):
        scene.suite.authorization_url("https://example.com/installed", test=True)
    assert 3 == scene.calls("get_pre_auth_code")


@pytest.mark.parametrize(
    ("redirect_uri", "state"),
    [
        ("/installed", ""),
        ("https://[x", ""),
        (None, ""),
        ("https://example.com", "a b"),
        ("https://example.com", "a" * 129),
    ],
)
def test_useless_links(scene: Scene, redirect_uri: Any, state: str) -> None:
    """What WeCom would not take is said before it is asked."""
    with pytest.raises(ConfigurationError):
        scene.suite.authorization_url(redirect_uri, state)
    assert 0 == scene.wechat.calls("/cgi-bin/*")


# What may be lost


def test_store_down_before(scene: Scene, there: SimulatedSuite) -> None:
    """If the store fails first, the code is not used up."""
    scene.with_ticket()
    scene.suite.provider.get_token()
    code = there.install(CORP)
    scene.store.broken = {"save"}
    with pytest.raises(StoreError):
        scene.suite.authorize(code)
    assert 0 == scene.calls("get_permanent_code")

    scene.store.broken = set()
    assert scene.suite.authorize(code).get_token()


def test_store_lost_at_the_save(scene: Scene, there: SimulatedSuite) -> None:
    """If the store fails once WeCom has answered, this process keeps the permanent code until the store is back."""
    scene.with_ticket()

    def before_save(key: str, record: Record) -> None:
        if record.refresh is not None:
            scene.store.broken = {"save", "load"}

    scene.store.before_save = before_save
    with pytest.raises(StoreError, match=r"call Suite\.recover\(\) then"):
        scene.suite.authorize(there.install(CORP))
    scene.store.before_save, scene.store.broken = (lambda key, record: None), set()
    scene.suite.recover()

    provider = scene.make().corp(scene.corpid)
    assert 0 == scene.call(provider.get_token())["errcode"]
    assert there.permanent_code(CORP) == scene.record(provider).refresh


def test_lost_request(scene: Scene, there: SimulatedSuite) -> None:
    """A request that WeCom has not seen costs nothing: the code is redeemed when the corp's token is wanted."""
    scene.with_ticket()
    scene.suite.provider.get_token()
    scene.wechat.faults.add(f"{ROOT}get_permanent_code", "reset", None, executed=False)
    with pytest.raises(TokenUnavailable):
        scene.suite.authorize(there.install(CORP))
    scene.wechat.faults.clear()
    scene.clock.advance(60)

    provider = scene.make().corp(scene.corpid)
    assert 0 == scene.call(provider.get_token())["errcode"]


def test_lost_answer(scene: Scene, there: SimulatedSuite, caplog: pytest.LogCaptureFixture) -> None:
    """An answer that got lost is not to be had again: the log says what to do, and the code is asked for no more."""
    scene.with_ticket()
    scene.wechat.faults.add(f"{ROOT}get_permanent_code", "lost")
    with pytest.raises(TokenUnavailable):
        scene.suite.authorize(there.install(CORP))
    scene.clock.advance(60)
    for _ in range(3):
        assert [] == scene.make().recover()

    assert 1 == len([one for one in caplog.records if "authorise the suite again" in one.message])
    assert 2 == scene.calls("get_permanent_code")


def test_codes_are_taken_by_one(scene: Scene, there: SimulatedSuite) -> None:
    """A code that was left over is redeemed by one process, and left alone while its first one may be at it."""
    scene.with_ticket()
    scene.suite._codes.begin(there.install(CORP))
    assert [] == scene.make()._codes.left_over()
    scene.clock.advance(30)
    assert [1, 0] == [len(scene.make()._codes.left_over()) for _ in range(2)]
    scene.clock.advance(600)
    assert [] == scene.make()._codes.left_over()


def test_many_codes(scene: Scene, there: SimulatedSuite) -> None:
    """What does not fit into the record goes, the oldest first."""
    codes = [f"{number}{'x' * 500}" for number in range(20)]
    for code in codes:
        scene.suite._codes.begin(code)
    scene.clock.advance(30)
    left = scene.suite._codes.left_over()

    assert codes[-len(left) :] == left
    assert 5 < len(left) < 20


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs SIGKILL")
@pytest.mark.parametrize("when", ["before WeCom has acted", "after it"])
def test_killed(scene: Scene, there: SimulatedSuite, tmp_path: Path, when: str) -> None:
    """A process is killed while it redeems: what WeCom still gives is found by the next one."""
    path = tmp_path / "tokens.json"
    suite = scene.make(JSONFileStore(path, clock=scene.clock))
    suite.remember_ticket(there.push_ticket())
    suite.provider.get_token()
    code = there.install(CORP)
    program = textwrap.dedent(f"""
        import os, signal
        from wxmiddleware import Runtime
        from wxmiddleware.sources.suite import CorpToken
        from wxmiddleware.stores.jsonfile import JSONFileStore
        from wxmiddleware.suite import Suite, SuiteAccount

        class Deadly(JSONFileStore):
            def save(self, key, record, version):
                if record.refresh is not None:
                    os.kill(os.getpid(), signal.SIGKILL)
                return super().save(key, record, version)

        if {when.startswith("before")}:
            CorpToken.redeem = lambda self, code: os.kill(os.getpid(), signal.SIGKILL)
        now = lambda: {scene.clock()}
        suite = Suite(
            SuiteAccount({SUITE!r}, {SECRET!r}, base_url={scene.url!r}),
            store=Deadly({str(path)!r}, clock=now), runtime=Runtime(clock=now, time=now),
        )
        suite.authorize({code!r})
    """)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert -9 == done.returncode, done.stderr
    scene.clock.advance(60)
    provider = scene.make(JSONFileStore(path, clock=scene.clock)).corp(scene.corpid)

    if when.startswith("before"):
        assert 0 == scene.call(provider.get_token())["errcode"]
    else:  # WeCom gives the code to nobody again
        with pytest.raises(TokenRefused, match="has not authorised the suite"):
            provider.get_token()
    assert 2 - when.startswith("before") == scene.calls("get_permanent_code")


def test_store_down_nobody_asks(scene: Scene) -> None:
    """While the store is down there is no permanent code to ask with; tokens in memory are given."""
    provider = scene.authorised()
    token = provider.get_token()
    scene.store.broken = {"load", "save"}
    scene.clock.advance(120)
    assert token == provider.get_token()
    scene.clock.advance(7300)
    with pytest.raises(TokenUnavailable, match="The store cannot be reached"):
        provider.get_token()

    assert 0 == scene.calls("get_corp_token")


def test_status_page(scene: Scene) -> None:
    """The ticket's age is on the status page, and the ticket is not."""
    scene.with_ticket()
    scene.clock.advance(1300)
    page = StatusPage(scene.suite, runtime=scene.suite.provider.runtime)
    text, (found,) = page.answer({}).body.decode(), page.facts()["platforms"]

    assert (SUITE, "late", 1300.0) == (found["appid"], found["status"]["ticket"], found["status"]["ticket_age"])
    assert SUITE in text
    assert str(scene.there.notices[0]["SuiteTicket"]) not in text


# What is pushed


def notice(fields: dict[str, Any]) -> Notice:
    found = message_from(fields)
    assert isinstance(found, Notice)
    return found


def test_handle(scene: Scene, there: SimulatedSuite) -> None:
    """Notices late, twice and in any order; those for others are left to others."""
    there.push_ticket()
    there.install(CORP, market=True)
    there.change(CORP)
    ticket, created, changed = (notice(fields) for fields in there.notices)
    strange = notice({**there.notices[0], "SuiteId": "ww9"})

    assert [False, True] == [scene.suite.handle(each) for each in (strange, ticket)]
    assert [True, True, False] == [scene.suite.handle(each) for each in (created, created, changed)]
    assert 1 == scene.calls("get_permanent_code")
    there.cancel(CORP)
    cancelled = notice(there.notices[-1])
    assert [True, True] == [scene.suite.handle(cancelled) for _ in range(2)]
    with pytest.raises(TokenRefused):
        scene.suite.corp(scene.corpid).get_token()


def test_three_callbacks_on_one_url(scene: Scene, there: SimulatedSuite) -> None:
    """The provider's verification, the suite's notices, and the data of a corp that authorised a minute ago."""
    app, said = Flask(__name__), []

    @app.route("/suite", methods=["GET", "POST"])
    @webhook(token="AAAAA", aes_key="A" * 43, appid=scene.suite.receives, runtime=Runtime(time=scene.clock))
    def suite(message: Message) -> None:
        said.append(isinstance(message, Notice) and scene.suite.handle(message))

    def pusher(corpid: str) -> WeComPusher:
        return WeComPusher(
            scene.wechat,
            WSGITransport(app),
            token="AAAAA",
            aes_key="A" * 43,
            profile="suite",
            tries=1,
            receiver=SUITE,
            provider=PROVIDER,
            to_user=corpid,
            url="http://x.test/suite",
        )

    ours, stranger = pusher(scene.corpid), pusher("wpSomebodyElse")
    assert [] == ours.verify().codes
    assert ["status"] == ours.text("too early").codes
    there.push_ticket()
    there.install(CORP, market=True)
    assert [[], []] == [ours.push(fields).codes for fields in there.notices]
    scene.clock.advance(60)
    assert ([], ["status"]) == (ours.text("hello").codes, stranger.text("hello").codes)
    assert [True, True, False] == said
    upper = pusher(scene.corpid.upper())
    assert ["status"] == upper.text("capitals count").codes


def test_receives(scene: Scene) -> None:
    """A store that fails is no answer, unless the corp is known in this process."""
    scene.authorised()
    holder = scene.suite.corp(scene.corpid)
    assert scene.suite.receives(scene.corpid)
    assert not scene.suite.receives("two words")
    scene.store.broken = {"load"}
    assert scene.suite.receives(SUITE)
    assert scene.suite.receives(scene.corpid)
    with pytest.raises(StoreError):
        scene.suite.receives("wpAnother")
    assert replace(holder.account) == holder.account
