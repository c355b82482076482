"""WeCom at the simulator: gettoken, its error table, tickets."""

from __future__ import annotations

import re
from typing import Any

import pytest

from simulator.conftest import Client
from wxmiddleware import ConfigurationError
from wxmiddleware.simulator import SimulatedApp, SimulatedClock, WeChat

CORPID, SECRET = "ww0123456789abcdef", "secret-of-an-app"
GETTOKEN = "/cgi-bin/gettoken"
SEND = "/cgi-bin/message/send"
ERROR = re.compile(
    r"[a-z ]+, hint: \[\d+_\d+_[0-9a-f]{32}\], from ip: 127\.0\.0\.1, "
    r"more info at https://open\.work\.weixin\.qq\.com/devtool/query\?e=(\d+)"
)


@pytest.fixture
def app(wechat: WeChat) -> SimulatedApp:
    return wechat.add_app(CORPID, SECRET, agentid=7)


def ask(client: Client, **changes: Any) -> dict[str, Any]:
    asked = {"corpid": CORPID, "corpsecret": SECRET, **changes}
    params = {name: value for name, value in asked.items() if value is not None}
    answer: dict[str, Any] = client.call("GET", GETTOKEN, params=params).json()
    return answer


def test_token(client: Client, app: SimulatedApp, wechat_clock: SimulatedClock) -> None:
    """The same token comes back until its end, with what is left of its life; then another one."""
    first = ask(client)
    wechat_clock.advance(7000)
    second = ask(client)
    wechat_clock.advance(200)
    third = ask(client)

    assert ["errcode", "errmsg", "access_token", "expires_in"] == list(first)
    assert (first["access_token"], 7200, 200) == (second["access_token"], first["expires_in"], second["expires_in"])
    assert first["access_token"] != third["access_token"]
    assert (3, 2) == (client.wechat.fetches(CORPID, "wecom"), client.wechat.minted(CORPID, "wecom"))
    assert 0 == client.wechat.calls()


def test_not_sticky(client: Client, app: SimulatedApp) -> None:
    """If each call makes a new token, the one before lives on."""
    client.wechat.wecom_sticky = False
    tokens = [ask(client)["access_token"] for _ in range(2)]

    assert 2 == len(set(tokens))
    assert [0, 0] == [client.call("GET", "/cgi-bin/department/list", token).json()["errcode"] for token in tokens]


@pytest.mark.parametrize(
    ("errcode", "changes"),
    [
        (41004, {"corpsecret": None}),
        (41004, {"corpsecret": None, "corpid": None}),
        (41002, {"corpid": None}),
        (40013, {"corpid": "ww-nobody"}),
        (40001, {"corpsecret": "wrong"}),
    ],
)
def test_errors(client: Client, app: SimulatedApp, errcode: int, changes: dict[str, Any]) -> None:
    """The errors of WeCom's own table, in WeCom's own words; the secret is looked at first."""
    answer = ask(client, **changes)
    found = ERROR.fullmatch(answer["errmsg"])

    assert found is not None
    assert (errcode, str(errcode)) == (answer["errcode"], found[1])
    assert 1 == client.wechat.fetches(slot="wecom")


def test_disabled(client: Client, app: SimulatedApp) -> None:
    """The secret of a disabled app is an invalid one."""
    app.disabled = True

    assert 40001 == ask(client)["errcode"]


def test_untrusted_ip(client: Client, app: SimulatedApp) -> None:
    """60020 for an address that is not trusted."""
    app.ip_allowlist = ["10.0.0.0/8"]

    assert (("10.0.0.0/8",), 60020) == (app.ip_allowlist, ask(client)["errcode"])


def test_calls(client: Client, app: SimulatedApp, wechat_clock: SimulatedClock) -> None:
    """A bad token is 40014, one that is over 42001, none 41001; a failure has the API's empty fields."""
    token = ask(client)["access_token"]
    path = "/cgi-bin/department/list"
    good = client.call("GET", path, token).json()
    app.revoke()
    voided = client.call("GET", path, token).json()
    old = ask(client)["access_token"]
    wechat_clock.advance(7200)
    answers = [client.call("GET", path, each).json() for each in (None, "88_x", old)]

    assert (0, 40014) == (good["errcode"], voided["errcode"])
    assert [41001, 40014, 42001] == [answer["errcode"] for answer in answers]
    assert all([] == answer["department"] for answer in (voided, *answers))
    assert 3 == client.wechat.rejections()


def test_addresses(client: Client, app: SimulatedApp) -> None:
    """WeCom has one of the paths of accounts; a token that is no longer good is 40014 there, too."""
    token, path = ask(client)["access_token"], "/cgi-bin/get_api_domain_ip"
    account = client.wechat.stable_token()["access_token"]
    good, accounts = (client.call("GET", path, each).json() for each in (token, account))
    app.revoke()

    assert good["ip_list"]
    assert good["ip_list"] != accounts["ip_list"]
    assert 40014 == client.call("GET", path, token).json()["errcode"]


def test_apps_are_apart(client: Client, app: SimulatedApp) -> None:
    """An app sends as itself and as no other."""
    client.wechat.add_app(CORPID, "another-secret", agentid=8)
    token = ask(client)["access_token"]
    body = {"touser": "ada", "msgtype": "text", "text": {"content": "hi"}}
    sent = [client.call("POST", SEND, token, json={**body, "agentid": agentid}).json() for agentid in (7, 8)]

    assert token != ask(client, corpsecret="another-secret")["access_token"]
    assert [0, 301002] == [answer["errcode"] for answer in sent]
    assert (1, 1) == (app.fetches, client.wechat._corps.apps[CORPID, "another-secret"].fetches)


def test_sent(client: Client, app: SimulatedApp) -> None:
    """What an app sends is kept for each of its receivers to see."""
    body = {"agentid": app.agentid, "touser": "ada|bob", "msgtype": "text", "text": {"content": "at last"}}
    client.call("POST", "/cgi-bin/message/send", ask(client)["access_token"], json=body)

    assert [("app", CORPID, "at last")] == [(one.kind, one.appid, one.text) for one in client.wechat.sent_to("bob")]
    assert (1, 0) == (len(client.wechat.sent_to("ada")), len(client.wechat.sent_to("a")))


@pytest.mark.parametrize(
    ("method", "path", "body", "errcode"),
    [
        ("POST", "/cgi-bin/department/list", None, 43001),
        ("GET", "/cgi-bin/message/send", None, 43002),
        ("POST", "/cgi-bin/message/send", None, 44002),
        ("POST", "/cgi-bin/message/send", b"{", 47001),
        ("POST", "/cgi-bin/message/send", b'{"agentid": 7, "msgtype": "text", "text": {"content": ""}}', 44004),
        ("GET", "/cgi-bin/ticket/get", None, 40097),
    ],
)
def test_wrong_use(client: Client, app: SimulatedApp, method: str, path: str, body: bytes | None, errcode: int) -> None:
    """Methods and bodies are looked at as everywhere."""
    assert errcode == client.call(method, path, ask(client)["access_token"], data=body).json()["errcode"]


TEXT = {"agentid": 7, "touser": "ada", "msgtype": "text", "text": {"content": "hi"}}


@pytest.mark.parametrize(
    ("changes", "errcode"),
    [
        ({"msgtype": "music", "music": {"title": "x"}}, 40008),
        ({"msgtype": "image", "image": {"title": "x"}}, 40007),
        ({"msgtype": "file", "file": {"media_id": "m"}}, 0),
        ({"msgtype": "textcard", "textcard": "x"}, 44004),
        ({"msgtype": "markdown", "markdown": {"content": "x" * 2048}}, 0),
        ({"msgtype": "markdown", "markdown": {"content": "x" * 2049}}, 45002),
        ({"msgtype": "news", "news": {"articles": [{"title": "x"}] * 8}}, 0),
        ({"msgtype": "news", "news": {"articles": [{"title": "x"}] * 9}}, 45008),
        ({"msgtype": "news", "news": {"articles": [{"url": "x"}]}}, 40058),
        ({"touser": ""}, 82001),
        ({"touser": "", "toparty": "1"}, 0),
        ({"touser": "|".join(["ada"] * 1001)}, 40058),
    ],
)
def test_messages_of_apps(client: Client, app: SimulatedApp, changes: dict[str, Any], errcode: int) -> None:
    """Kinds, contents and receivers are looked at."""
    assert errcode == client.call("POST", SEND, ask(client)["access_token"], json={**TEXT, **changes}).json()["errcode"]


def test_members(client: Client, app: SimulatedApp) -> None:
    """Whom the app does not see gets nothing, and is named; if that is everybody, it is an error."""
    app.members = {"ada"}
    token = ask(client)["access_token"]
    some, none = (client.call("POST", SEND, token, json={**TEXT, "touser": to}).json() for to in ("ada|Bob", "Bob"))

    assert (0, "bob", 81013) == (some["errcode"], some["invaliduser"], none["errcode"])
    assert ["ada"] == [one.touser for one in client.wechat.sent]


def test_what_a_member_sees(client: Client, app: SimulatedApp, wechat_clock: SimulatedClock) -> None:
    """A text that is too long is cut, and of more than 30 in a minute the rest is dropped; the app is not told."""
    token = ask(client)["access_token"]
    long = {**TEXT, "text": {"content": "你" * 700}}
    answers = {client.call("POST", SEND, token, json=long).json()["errcode"] for _ in range(32)}
    seen = client.wechat.sent_to("ada")
    wechat_clock.advance(60)
    client.call("POST", SEND, token, json=TEXT)

    assert {0} == answers
    assert [682] * 30 == [len(one.text or "") for one in seen]
    assert 31 == len(client.wechat.sent_to("ada"))


def test_tickets(client: Client, app: SimulatedApp, wechat_clock: SimulatedClock) -> None:
    """The corp's ticket is the same for its apps; the app's own is not."""
    client.wechat.add_app(CORPID, "another-secret")
    tokens = [ask(client, corpsecret=secret)["access_token"] for secret in (SECRET, "another-secret")]
    corp = [client.call("GET", "/cgi-bin/get_jsapi_ticket", token).json() for token in tokens]
    query = {"type": "agent_config"}
    own = [client.call("GET", "/cgi-bin/ticket/get", token, params=query).json()["ticket"] for token in tokens]

    assert (0, 7200, 1) == (corp[0]["errcode"], corp[0]["expires_in"], len({answer["ticket"] for answer in corp}))
    assert 3 == len({corp[0]["ticket"], *own})
    assert 3 == client.wechat.void_tickets(CORPID)
    assert corp[0]["ticket"] != client.call("GET", "/cgi-bin/get_jsapi_ticket", tokens[0]).json()["ticket"]


def test_tickets_an_hour(client: Client, app: SimulatedApp, wechat_clock: SimulatedClock) -> None:
    """An app gets 100 tickets an hour."""
    ask(client)
    given = [client.wechat._corps.ticket(app, "jsapi") is not None for _ in range(101)]
    refused = client.call("GET", "/cgi-bin/get_jsapi_ticket", ask(client)["access_token"]).json()
    wechat_clock.advance(3600)

    assert [True] * 100 + [False] == given
    assert 45009 == refused["errcode"]
    assert client.wechat._corps.ticket(app, "jsapi") is not None


def test_faults(client: Client, app: SimulatedApp) -> None:
    """Faults strike WeCom's paths, too; an injected errcode counts as a fetch, and the log says whose."""
    client.wechat.faults.add(GETTOKEN, "errcode", errcode=-1)

    assert [-1, 0] == [ask(client)["errcode"] for _ in range(2)]
    assert 2 == client.wechat.fetches(slot="wecom")
    assert [CORPID, CORPID] == [entry.appid for entry in client.wechat.log]


def test_the_log_shows_no_secret(client: Client, app: SimulatedApp) -> None:
    """A secret in the place of the CorpID is not shown."""
    ask(client, corpid=SECRET)

    assert SECRET not in repr([client.wechat.log, app, client.wechat])


def test_two_of_one_name(wechat: WeChat, app: SimulatedApp) -> None:
    """An app is there once."""
    with pytest.raises(ConfigurationError):
        wechat.add_app(CORPID, SECRET)
