"""How an account comes to a platform and leaves it: links, notices, tickets that are started again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import anyio
import pytest
import requests
from support.clients import CLIENTS, ClientAdapter
from test_platform import APPID, LIST, SECRET, Scene

from wxmiddleware import ConfigurationError, ProviderPool, StoreError, TokenRefused, TokenUnavailable
from wxmiddleware.simulator import SimulatedClock, SimulatedPlatform, SimulatorServer, WeChat
from wxmiddleware.webhook.messages import Notice, message_from

BACK = "https://saas.test/done?tenant=7"
QUERY = "/cgi-bin/component/api_query_auth"


@pytest.fixture
def scene(wechat: WeChat, wechat_server: SimulatorServer, wechat_clock: SimulatedClock) -> Scene:
    return Scene(wechat, wechat_server.url, wechat_clock)


@pytest.fixture
def there(scene: Scene) -> SimulatedPlatform:
    return scene.there


def newest(there: SimulatedPlatform) -> Notice:
    return notice(there.notices[-1])


def notice(fields: dict[str, Any]) -> Notice:
    found = message_from({name: value if isinstance(value, dict) else str(value) for name, value in fields.items()})
    assert isinstance(found, Notice)
    return found


def visit(scene: Scene, link: str, **headers: str) -> requests.Response:
    """Open a link of WeChat's at the simulator."""
    parts = urlsplit(link)
    return requests.get(f"{scene.url}{parts.path}?{parts.query}", headers=headers, allow_redirects=False, timeout=10)


# Links


@pytest.mark.parametrize("mobile", [False, True])
def test_link(scene: Scene, there: SimulatedPlatform, wechat: WeChat, mobile: bool) -> None:
    """The link leads the owner back with a code, which leads to the account; its pre-auth code is good once."""
    scene.platform.remember_ticket(there.push_ticket())
    link = scene.platform.authorize_url(BACK, mobile=mobile)
    answer = visit(scene, link)
    back = urlsplit(answer.headers["Location"])
    query = parse_qs(back.query)
    provider = scene.platform.authorize(query["auth_code"][0])

    assert ("saas.test", "/done", ["7"]) == (back.hostname, back.path, query["tenant"])
    assert (
        link.startswith("https://open.weixin.qq.com/wxaopen/safe/bindcomponent?action=bindcomponent&no_scan=1&")
    ) is mobile
    assert link.startswith("https://mp.weixin.qq.com/cgi-bin/componentloginpage?component_appid=") is not mobile
    assert link.endswith("#wechat_redirect") is mobile
    assert provider.account.appid == wechat.appid
    assert 400 == visit(scene, link).status_code
    assert scene.platform.authorize_url(BACK) != scene.platform.authorize_url(BACK)


def test_what_a_link_asks_for(scene: Scene, there: SimulatedPlatform, wechat: WeChat) -> None:
    """The kinds of accounts, the one account and the permission sets stand in it as WeChat wants them."""
    other = wechat.add_account("wx00000000000000aa", "its-secret")
    scene.platform.remember_ticket(there.push_ticket())
    plain = dict(parse_qsl(urlsplit(scene.platform.authorize_url(BACK)).query))
    link = scene.platform.authorize_url(BACK, auth_type=1, biz_appid=other.appid, categories=[17, 18])
    asked = dict(parse_qsl(urlsplit(link).query))
    visit(scene, link)

    assert ("3", BACK) == (plain["auth_type"], plain["redirect_uri"])
    assert {"biz_appid", "category_id_list"}.isdisjoint(plain)
    assert ("1", other.appid, "17|18") == (asked["auth_type"], asked["biz_appid"], asked["category_id_list"])
    assert (other.appid, asked["pre_auth_code"]) == (
        there.notices[-1]["AuthorizerAppid"],
        there.notices[-1]["PreAuthCode"],
    )


@pytest.mark.parametrize(
    "options",
    [
        {"redirect_uri": "/done"},
        {"redirect_uri": "saas.test/done"},
        {"redirect_uri": "http://[::1"},
        {"redirect_uri": None},
        {"auth_type": 7},
        {"auth_type": True},
        {"auth_type": "3"},
        {"biz_appid": ""},
        {"biz_appid": "wx1&x=y"},
        {"categories": "17"},
        {"categories": ["17"]},
        {"categories": 17},
        {"mobile": "yes"},
    ],
)
def test_useless_links(scene: Scene, there: SimulatedPlatform, wechat: WeChat, options: dict[str, Any]) -> None:
    """A mistake in the arguments is told before WeChat is asked for anything."""
    scene.platform.remember_ticket(there.push_ticket())
    with pytest.raises(ConfigurationError):
        scene.platform.authorize_url(**{"redirect_uri": BACK, **options})

    assert 0 == wechat.fetches(slot="component")


def test_link_in_vain(scene: Scene, there: SimulatedPlatform, wechat: WeChat) -> None:
    """Without a ticket there is no link, nor with an answer that has no code."""
    with pytest.raises(TokenUnavailable, match="start_push_ticket"):
        scene.platform.authorize_url(BACK)
    scene.platform.remember_ticket(there.push_ticket())
    wechat.faults.add("/cgi-bin/component/api_create_preauthcode", "body", body='{"errcode": 0}')
    with pytest.raises(TokenUnavailable, match="no pre_auth_code"):
        scene.platform.authorize_url(BACK)


# Tickets


def test_start_push_ticket(scene: Scene, there: SimulatedPlatform) -> None:
    """It tells whether the pushes had stopped, and takes no token."""
    there.pushing = False
    with pytest.raises(ConfigurationError):
        there.push_ticket()

    assert [True, False] == [scene.platform.start_push_ticket() for _ in range(2)]
    scene.platform.remember_ticket(there.push_ticket())
    assert scene.platform.provider.get_token() == there.current()


def test_start_push_ticket_refused(scene: Scene, there: SimulatedPlatform) -> None:
    """A wrong secret is told, and stays out of the message."""
    there.secret = "another-one"
    with pytest.raises(TokenRefused) as caught:
        scene.platform.start_push_ticket()

    assert 40125 == caught.value.errcode
    assert SECRET not in str(caught.value)


# Notices


def test_handle(scene: Scene, there: SimulatedPlatform, wechat: WeChat) -> None:
    """One call for each notice: from the first ticket to an account that has left."""
    there.push_ticket()
    assert scene.platform.handle(newest(there))
    there.authorise()
    assert scene.platform.handle(newest(there))
    provider = scene.platform.authorizer(wechat.appid)
    token = provider.get_token()
    assert "errcode" not in scene.call(token)

    there.authorise()
    assert "updateauthorized" == newest(there).info
    assert scene.platform.handle(newest(there))
    assert provider.get_token() != token

    there.unauthorise()
    assert scene.platform.handle(newest(there))
    with pytest.raises(TokenRefused, match="has not authorised"):
        provider.get_token()


def test_registered(scene: Scene, there: SimulatedPlatform, wechat: WeChat) -> None:
    """A mini program that was registered comes with a code in small letters; one that failed is the caller's."""
    scene.platform.remember_ticket(there.push_ticket())
    there.register(status=89249)
    assert not scene.platform.handle(newest(there))
    there.register()
    assert scene.platform.handle(newest(there))

    assert wechat.check(scene.platform.authorizer(wechat.appid).get_token()) is None
    assert [QUERY] == [entry.path for entry in wechat.log if entry.path == QUERY]


def test_notice_of_another(scene: Scene, there: SimulatedPlatform, wechat: WeChat) -> None:
    """Two platforms at one URL: each does what is for it, and leaves the rest alone."""
    other = wechat.add_platform("wx0000000000000002", "another-secret")
    other.push_ticket()
    other.unauthorise()
    provider = scene.authorised()
    token = provider.peek()

    assert [False, False] == [scene.platform.handle(notice(each)) for each in other.notices]
    assert not scene.platform.handle(notice({"AppId": APPID, "InfoType": "notify_3rd_wxa_auth"}))
    assert token is not None
    assert token == provider.peek()


@pytest.mark.parametrize("own_code", [False, True])
@pytest.mark.parametrize("notice_first", [False, True])
def test_redirect_and_notice(
    scene: Scene, there: SimulatedPlatform, wechat: WeChat, own_code: bool, notice_first: bool
) -> None:
    """In either order, with the same code or with two, in two processes: both lead to the account."""
    wechat.redirect_has_own_code = own_code
    scene.platform.remember_ticket(there.push_ticket())
    page, worker = scene.make(), scene.make()
    code = there.authorise()
    steps: list[Callable[[], Any]] = [lambda: page.authorize(code), lambda: worker.handle(newest(there))]
    for step in reversed(steps) if notice_first else steps:
        step()

    assert wechat.check(scene.make().authorizer(wechat.appid).get_token()) is None
    assert 1 + own_code == sum(entry.path == QUERY for entry in wechat.log)


def test_code_twice_at_once(scene: Scene, there: SimulatedPlatform, wechat: WeChat) -> None:
    """Who finds the code used up while another process is at it waits for that one, and asks no list."""
    scene.platform.remember_ticket(there.push_ticket())
    code, page = there.authorise(), scene.make()
    page._codes.begin(code)
    there._codes.pop(code)
    scene.during_sleep = lambda: page._codes.end(code, wechat.appid)

    assert wechat.appid == scene.platform.authorize(code).account.appid
    assert 1 == len(scene.slept)
    assert 0 == wechat.calls(LIST)


def test_code_of_a_dead_process(scene: Scene, there: SimulatedPlatform, wechat: WeChat) -> None:
    """A process died with the answer: the notice finds its code used up, and the account in WeChat's list."""
    scene.platform.remember_ticket(there.push_ticket())
    code = there.authorise()
    wechat.faults.add(QUERY, "lost")
    with pytest.raises(TokenUnavailable):
        scene.platform.authorize(code)

    assert scene.make().handle(newest(there))
    assert 1 == sum(entry.path == LIST for entry in wechat.log)
    assert wechat.check(scene.platform.authorizer(wechat.appid).get_token()) is None


def test_invented_code(scene: Scene, there: SimulatedPlatform, wechat: WeChat) -> None:
    """A code that leads to nobody is told, so that WeChat repeats the notice."""
    scene.platform.remember_ticket(there.push_ticket())
    told = {"AppId": APPID, "InfoType": "authorized", "AuthorizerAppid": wechat.appid, "AuthorizationCode": "invented"}
    with pytest.raises(TokenRefused):
        scene.platform.handle(notice(told))


def test_store_down_before(scene: Scene, there: SimulatedPlatform, wechat: WeChat) -> None:
    """While the store is down no code is used up: the notice that WeChat repeats is handled."""
    scene.platform.remember_ticket(there.push_ticket())
    there.authorise()
    scene.store.broken = {"load", "save"}
    with pytest.raises(StoreError):
        scene.platform.handle(newest(there))
    scene.store.broken = set()
    scene.clock.advance(60)

    assert scene.platform.handle(newest(there))
    assert wechat.check(scene.platform.authorizer(wechat.appid).get_token()) is None


# Leaving


def test_forgotten_everywhere(scene: Scene, there: SimulatedPlatform, wechat: WeChat) -> None:
    """Another process's pool notices with its next look at the store, and hands the dead token out no more."""
    scene.authorised()
    pool = ProviderPool(scene.make().authorizer)
    assert wechat.check(pool.get(wechat.appid).get_token()) is None

    there.unauthorise()
    scene.platform.handle(newest(there))
    scene.clock.advance(61)
    assert wechat.wait_for(
        lambda: pool.get(wechat.appid).peek() is None or not pool.get(wechat.appid).get_token(), 20.0
    )
    with pytest.raises(TokenRefused, match="has not authorised"):
        pool.get(wechat.appid).get_token()
    assert scene.record(pool.get(wechat.appid)).refresh is None


def test_back_again(scene: Scene, there: SimulatedPlatform, wechat: WeChat) -> None:
    """Who has left and comes back is served again at once."""
    provider = scene.authorised()
    before = provider.peek()
    scene.platform.forget(wechat.appid)
    gone = provider.peek()
    token = scene.platform.authorize(there.authorise()).get_token()

    assert before is not None
    assert gone is None
    assert wechat.check(token) is None
    assert token == provider.get_token()


def test_old_notice_brings_nobody_back(scene: Scene, there: SimulatedPlatform, wechat: WeChat) -> None:
    """A notice that WeChat repeats after its account has left takes nobody in."""
    scene.platform.remember_ticket(there.push_ticket())
    there.authorise()
    authorised = newest(there)
    scene.platform.handle(authorised)
    provider = scene.platform.authorizer(wechat.appid)
    assert provider.get_token()
    there.unauthorise()
    scene.platform.handle(newest(there))

    assert scene.platform.handle(authorised)
    assert provider.peek() is None
    with pytest.raises(TokenRefused, match="has not authorised"):
        provider.get_token()


def test_in_tasks(scene: Scene, there: SimulatedPlatform, wechat: WeChat) -> None:
    """The same from a task."""

    async def work() -> None:
        assert not await scene.platform.astart_push_ticket()
        await scene.platform.ahandle(notice({**there.notices[-1]}))
        link = await scene.platform.aauthorize_url(BACK, mobile=True)
        await anyio.to_thread.run_sync(visit, scene, link)
        await scene.platform.ahandle(newest(there))
        provider = scene.platform.authorizer(wechat.appid)
        assert await provider.aget_token()
        assert (await scene.platform.apre_auth_code()).startswith("preauthcode@@@")
        await scene.platform.aforget(wechat.appid)
        assert provider.peek() is None

    there.push_ticket()
    anyio.run(work)


# Calls with the platform's own token


@pytest.fixture(params=CLIENTS, ids=lambda adapter: adapter.name)
def client(request: pytest.FixtureRequest, scene: Scene, there: SimulatedPlatform) -> ClientAdapter:
    """Each client, with the platform's token; the one that it has is dead."""
    scene.authorised()
    found: ClientAdapter = request.param(scene.platform.provider, scene.url)
    there.revoke()
    return found


def test_login(client: ClientAdapter, there: SimulatedPlatform, wechat: WeChat) -> None:
    """Below sns/component/ the token goes by its other name, heals as ever, and shows nowhere."""
    query = f"appid={wechat.appid}&js_code={there.login()}&grant_type=authorization_code&component_appid={APPID}"
    answer = client.get(f"/sns/component/jscode2session?{query}")
    token = there.current()

    assert {"openid", "session_key"} == set(answer.json())
    assert token is not None
    assert token not in str(answer.url)
    assert 2 == wechat.fetches(slot="component")


def test_component_api(client: ClientAdapter, there: SimulatedPlatform) -> None:
    """Elsewhere it is an access_token as any other."""
    answer = client.post("/cgi-bin/component/api_create_preauthcode", json={"component_appid": APPID})

    assert answer.json()["pre_auth_code"].startswith("preauthcode@@@")


def test_own_component_token(client: ClientAdapter, there: SimulatedPlatform, wechat: WeChat) -> None:
    """One that stands in the URL is the caller's own: it is sent as it is, and not healed."""
    path = "/cgi-bin/component/api_create_preauthcode?component_access_token=mine"
    answer = client.post(path, json={"component_appid": APPID})

    assert 40001 == answer.json()["errcode"]
    assert 1 == wechat.fetches(slot="component")
