"""Third-party platforms at the simulator: pushed tickets, codes, rotating refresh tokens."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from simulator.conftest import Client
from wxmiddleware import ConfigurationError
from wxmiddleware.simulator import SimulatedClock, SimulatedPlatform, WeChat

APPID, SECRET = "wxfedcba9876543210", "secret-of-the-platform"


@pytest.fixture
def platform(wechat: WeChat) -> SimulatedPlatform:
    return wechat.add_platform(APPID, SECRET)


class Component:
    """A platform's own side, which knows nothing of wxmiddleware."""

    def __init__(self, client: Client, there: SimulatedPlatform) -> None:
        self.client, self.there = client, there
        self.ticket = there.push_ticket()

    def post(self, api: str, token: str | None = None, **body: Any) -> dict[str, Any]:
        sent = {name: value for name, value in body.items() if value is not None}
        answer: dict[str, Any] = self.client.call("POST", f"/cgi-bin/component/{api}", token, json=sent).json()
        return answer

    def token(self, **changes: Any) -> dict[str, Any]:
        body = {
            "component_appid": APPID,
            "component_appsecret": SECRET,
            "component_verify_ticket": self.ticket,
        }
        return self.post("api_component_token", **{**body, **changes})

    def with_token(self, api: str, **body: Any) -> dict[str, Any]:
        token = self.token()["component_access_token"]
        return self.post(api, token, **{"component_appid": APPID, **body})

    def authorise(self) -> dict[str, Any]:
        answer = self.with_token("api_query_auth", authorization_code=self.there.authorise())
        info: dict[str, Any] = answer["authorization_info"]
        return info

    def renew(self, refresh: str, **changes: Any) -> dict[str, Any]:
        body = {"authorizer_appid": self.client.wechat.appid, "authorizer_refresh_token": refresh}
        return self.with_token("api_authorizer_token", **{**body, **changes})


@pytest.fixture
def component(client: Client, platform: SimulatedPlatform) -> Component:
    return Component(client, platform)


def test_component_token(component: Component) -> None:
    """Each call makes another token, and without an overlap the one before dies."""
    first, second = (component.token() for _ in range(2))
    calls = [
        component.post("api_get_authorizer_list", answer["component_access_token"], component_appid=APPID, offset=0)
        for answer in (first, second)
    ]

    assert ["component_access_token", "expires_in"] == list(first)
    assert (40001, 47001) == (calls[0]["errcode"], calls[1]["errcode"])
    assert (2, 2) == (component.client.wechat.fetches(slot="component"), component.client.wechat.minted(APPID))


@pytest.mark.parametrize(
    ("errcode", "changes"),
    [
        (41018, {"component_appid": None}),
        (61011, {"component_appid": "wx1"}),
        (40125, {"component_appsecret": "wrong"}),
        (61006, {"component_verify_ticket": "wrong"}),
        (61006, {"component_verify_ticket": None}),
    ],
)
def test_errors(component: Component, errcode: int, changes: dict[str, Any]) -> None:
    """What is wrong is said with the codes of the page."""
    assert errcode == component.token(**changes)["errcode"]


def test_tickets_grow_old(component: Component, wechat_clock: SimulatedClock) -> None:
    """A ticket is good for 12 hours, also after newer ones were pushed."""
    component.there.push_ticket()
    wechat_clock.advance(12 * 3600 - 1)
    assert "expires_in" in component.token()

    wechat_clock.advance(1)
    assert 61005 == component.token()["errcode"]


def test_ip(component: Component) -> None:
    """61004, with the address, for all component calls."""
    token = component.token()["component_access_token"]
    component.there.ip_allowlist = ["10.0.0.1"]
    answers = [component.token(), component.post("api_query_auth", token, component_appid=APPID)]

    assert [61004] * 2 == [answer["errcode"] for answer in answers]
    assert "requestIP: 127.0.0.1" in answers[0]["errmsg"]
    assert ("10.0.0.1/32",) == component.there.ip_allowlist


def test_code(component: Component, wechat_clock: SimulatedClock) -> None:
    """A code is good once, and for an hour; its tokens are those of the account."""
    wechat = component.client.wechat
    code, old = component.there.authorise(), component.there.authorise(wechat.appid)
    info = component.with_token("api_query_auth", authorization_code=code)["authorization_info"]

    assert wechat.appid == info["authorizer_appid"]
    assert wechat.current(slot="authorizer") == info["authorizer_access_token"]
    assert "total" in component.client.call("GET", "/cgi-bin/user/get", info["authorizer_access_token"]).json()
    assert 61010 == component.with_token("api_query_auth", authorization_code=code)["errcode"]
    wechat_clock.advance(3600)
    assert 61010 == component.with_token("api_query_auth", authorization_code=old)["errcode"]
    with pytest.raises(ConfigurationError):
        component.there.authorise("wx-nobody")


@pytest.mark.parametrize(
    ("rotates", "keeps", "errcode"), [(True, False, 61023), (True, True, None), (False, False, None)]
)
def test_rotation(component: Component, rotates: bool, keeps: bool, errcode: int | None) -> None:
    """What becomes of a used refresh token is a knob: nobody knows."""
    wechat = component.client.wechat
    wechat.refresh_rotates, wechat.refresh_keeps_previous = rotates, keeps
    first = component.authorise()["authorizer_refresh_token"]
    second = component.renew(first)["authorizer_refresh_token"]
    again = component.renew(first)

    assert rotates is (first != second)
    assert errcode == again.get("errcode")
    assert component.there.refresh_token(wechat.appid) == (
        second if errcode or not rotates else again["authorizer_refresh_token"]
    )


def test_slots_are_apart(component: Component) -> None:
    """The account's own tokens and the platform's token of it do not kill each other."""
    wechat = component.client.wechat
    own = str(wechat.token()["access_token"])
    info = component.authorise()
    component.renew(info["authorizer_refresh_token"])

    assert (True, False) == (wechat.is_valid(own), wechat.is_valid(info["authorizer_access_token"]))
    assert 2 == wechat.minted(slot="authorizer")


def test_not_authorised(component: Component) -> None:
    """61003 for an account that has not authorised the platform."""
    assert 61003 == component.renew("refresh")["errcode"]
    assert component.there.refresh_token(component.client.wechat.appid) is None


def test_list(component: Component) -> None:
    """The list has every authorised account with its refresh token, in pages."""
    info = component.authorise()
    first, second = (component.with_token("api_get_authorizer_list", offset=offset, count=500) for offset in (0, 1))

    assert (1, 1, []) == (first["total_count"], second["total_count"], second["list"])
    assert info["authorizer_refresh_token"] == first["list"][0]["refresh_token"]
    assert 47001 == component.with_token("api_get_authorizer_list", offset=0, count=501)["errcode"]


def test_wrong_use(component: Component) -> None:
    """Methods, bodies, tokens and names are looked at."""
    client = component.client
    path = "/cgi-bin/component/api_query_auth"
    token = component.token()["component_access_token"]
    account = str(client.wechat.token()["access_token"])

    assert 43002 == client.call("GET", path, token).json()["errcode"]
    assert 44002 == client.call("POST", path, token).json()["errcode"]
    assert 41018 == component.post("api_query_auth", token)["errcode"]
    assert 61011 == component.post("api_query_auth", token, component_appid="wx1")["errcode"]
    assert 41001 == component.post("api_query_auth", component_appid=APPID)["errcode"]
    assert 40001 == component.post("api_query_auth", account, component_appid=APPID)["errcode"]
    assert 40066 == client.call("POST", "/cgi-bin/component/api_nothing").json()["errcode"]
    older = client.call("POST", path, params={"component_access_token": token}, json={"component_appid": APPID}).json()
    assert 61010 == older["errcode"]


def test_start_push(component: Component) -> None:
    """The pushes can be started with the secret."""
    answers = [
        component.post("api_start_push_ticket", component_appid=appid, component_secret=secret)["errcode"]
        for appid, secret in ((APPID, SECRET), (APPID, "wrong"), ("wx1", SECRET))
    ]

    assert [0, 40125, 61011] == answers


def test_revoke(component: Component) -> None:
    """A platform's token can be killed, and a refresh token replaced by somebody else."""
    component.authorise()
    before = component.there.refresh_token(component.client.wechat.appid)
    component.there.revoke()
    component.there.void_refresh_token(component.client.wechat.appid)

    assert component.there.current() is None
    assert before != component.there.refresh_token(component.client.wechat.appid)


def test_faults(component: Component) -> None:
    """Faults strike these paths, too; an injected errcode of the token's endpoint counts as a fetch."""
    wechat = component.client.wechat
    wechat.faults.add("/cgi-bin/component/*", "errcode", errcode=-1)

    assert -1 == component.token()["errcode"]
    assert 1 == wechat.fetches(slot="component")
    assert [APPID] == [entry.appid for entry in wechat.log]


def test_two_of_one_name(wechat: WeChat, platform: SimulatedPlatform) -> None:
    """A platform is there once, and shows no secret."""
    with pytest.raises(ConfigurationError):
        wechat.add_platform(APPID, "another")
    assert f"<SimulatedPlatform {APPID}>" == repr(platform)


def test_wx_config(wechat: WeChat) -> None:
    """A page whose configuration lacks something fails otherwise than one with a wrong signature."""
    whole = {"appId": wechat.appid, "timestamp": 1, "nonceStr": "x", "signature": "y"}

    assert "config:invalid signature" == wechat.wx_config("http://x", whole)
    assert "config:fail" == wechat.wx_config("http://x", {**whole, "nonceStr": ""})


# Onboarding


def visit(component: Component, path: str = "/cgi-bin/componentloginpage", **changes: Any) -> Any:
    """Open a page with a new pre-auth code; what is changed to ``None`` is left out."""
    code = component.with_token("api_create_preauthcode")["pre_auth_code"]
    query = {"component_appid": APPID, "pre_auth_code": code, "redirect_uri": "https://saas.test/x?a=1", "auth_type": 3}
    headers = {"Referer": changes.pop("referer")} if "referer" in changes else {}
    query = {name: value for name, value in {**query, **changes}.items() if value is not None}
    return requests.get(component.client.url + path, query, headers=headers, allow_redirects=False, timeout=10)


MOBILE = {"action": "bindcomponent", "no_scan": "1"}


@pytest.mark.parametrize(
    ("path", "changes"),
    [
        ("/cgi-bin/componentloginpage", {}),
        ("/cgi-bin/componentloginpage", {"auth_type": None}),
        ("/wxaopen/safe/bindcomponent", MOBILE),
        ("/safe/bindcomponent", MOBILE),
    ],
)
def test_pages(component: Component, path: str, changes: dict[str, Any]) -> None:
    """They send the owner back with a code that is good, and the notice has the code of the link."""
    answer = visit(component, path, **changes)
    whole = answer.headers["Location"]
    told = component.there.notices[-1]

    assert 302 == answer.status_code
    assert whole.startswith("https://saas.test/x?a=1&auth_code=queryauthcode%40%40%40")
    assert whole.endswith("&expires_in=600")
    assert ("authorized", component.client.wechat.appid) == (told["InfoType"], told["AuthorizerAppid"])
    assert told["PreAuthCode"].startswith("preauthcode@@@")
    assert "authorization_info" in component.with_token("api_query_auth", authorization_code=told["AuthorizationCode"])


@pytest.mark.parametrize(
    ("path", "changes", "why"),
    [
        ("/cgi-bin/componentloginpage", {"component_appid": "wx1"}, "no such component_appid"),
        ("/cgi-bin/componentloginpage", {"redirect_uri": "/x"}, "redirect_uri"),
        ("/cgi-bin/componentloginpage", {"pre_auth_code": "mine"}, "pre_auth_code"),
        ("/cgi-bin/componentloginpage", {"auth_type": 7}, "auth_type"),
        ("/cgi-bin/componentloginpage", {"biz_appid": "wx1"}, "biz_appid"),
        ("/wxaopen/safe/bindcomponent", {}, "no_scan"),
    ],
)
def test_useless_links(component: Component, path: str, changes: dict[str, Any], why: str) -> None:
    """A link that WeChat would not take leads nowhere, and says why."""
    answer = visit(component, path, **changes)

    assert 400 == answer.status_code
    assert why in answer.text
    assert "authorized" not in [told["InfoType"] for told in component.there.notices]


def test_start_domain(component: Component) -> None:
    """The link must stand on a page of the registered domain."""
    component.there.start_domain = "saas.test"

    assert 400 == visit(component).status_code
    assert 400 == visit(component, referer="https://other.test/start").status_code
    assert 302 == visit(component, referer="https://saas.test/start").status_code


@pytest.mark.parametrize("life", [600.0, 1800.0])
def test_pre_auth_code(component: Component, wechat_clock: SimulatedClock, life: float) -> None:
    """It is good once, for as long as the knob says."""
    component.client.wechat.pre_auth_code_life = life
    codes = [component.with_token("api_create_preauthcode") for _ in range(3)]
    taken = [visit(component, pre_auth_code=codes[0]["pre_auth_code"]).status_code for _ in range(2)]
    wechat_clock.advance(life - 1)
    taken.append(visit(component, pre_auth_code=codes[1]["pre_auth_code"]).status_code)
    wechat_clock.advance(1)
    taken.append(visit(component, pre_auth_code=codes[2]["pre_auth_code"]).status_code)

    assert life == codes[0]["expires_in"]
    assert [302, 400, 302, 400] == taken


def test_uncertain_codes(component: Component, wechat_clock: SimulatedClock) -> None:
    """Whether redirect and notice share a code, and how the notice tells its end, are knobs."""
    wechat, there = component.client.wechat, component.there
    shared, first = there.authorise(), there.notices[-1]
    wechat.redirect_has_own_code = wechat.code_expiry_in_seconds = True
    own, second = there.authorise(), there.notices[-1]

    assert shared == first["AuthorizationCode"]
    assert int(wechat_clock()) + 3600 == first["AuthorizationCodeExpiredTime"]
    assert own != second["AuthorizationCode"]
    assert 3600 == second["AuthorizationCodeExpiredTime"]
    assert {own, second["AuthorizationCode"]} <= set(there._codes)


def test_start_push_ticket(component: Component) -> None:
    """The answer tells whether the pushes had stopped."""
    component.there.pushing = False
    said = [component.post("api_start_push_ticket", component_appid=APPID, component_secret=SECRET) for _ in range(2)]

    assert ["ok", "in a normal state"] == [answer["errmsg"] for answer in said]
    assert component.there.pushing


def test_unauthorised(component: Component, wechat: WeChat) -> None:
    """The account's tokens are dead, and so is its refresh token."""
    info = component.authorise()
    component.there.unauthorise()

    assert "unauthorized" == component.there.notices[-1]["InfoType"]
    assert wechat.check(info["authorizer_access_token"]) is not None
    assert 61003 == component.renew(info["authorizer_refresh_token"])["errcode"]


def test_login(component: Component, wechat: WeChat) -> None:
    """It takes the platform's token by its other name only, and a code once, of an account that has authorised."""
    token = component.token()["component_access_token"]

    def login(code: str, name: str = "component_access_token") -> Any:
        query = {"appid": wechat.appid, "js_code": code, "component_appid": APPID, name: token}
        return component.client.call("GET", "/sns/component/jscode2session", params=query).json()

    code = component.there.login()
    assert 61003 == login(code)["errcode"]
    component.post("api_query_auth", token, component_appid=APPID, authorization_code=component.there.authorise())
    assert 41001 == login(code, "access_token")["errcode"]
    assert "openid" in login(code)
    assert 40029 == login(code)["errcode"]
