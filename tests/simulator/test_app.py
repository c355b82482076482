"""
What goes over HTTP. The rules behind it: test_rules.py; what goes wrong on request: test_faults.py.

Rows are those of docs/wechat.md#what-the-simulator-follows.
"""

from __future__ import annotations

import json
import re
from typing import Any, Literal

import pytest
import requests
from werkzeug.test import Client as WSGIClient

from wxmiddleware.exceptions import ConfigurationError
from wxmiddleware.simulator import APICall, SimulatedClock, WeChat, create_app

from .conftest import Client

RID = r"[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}"
JSON = "application/json; encoding=utf-8"

READS = ["/cgi-bin/ticket/getticket", "/cgi-bin/user/info", "/cgi-bin/user/get", "/cgi-bin/menu/get"]
READS += ["/cgi-bin/media/get", "/cgi-bin/get_api_domain_ip", "/cgi-bin/getcallbackip"]
WRITES = ["/cgi-bin/message/custom/send", "/cgi-bin/message/template/send", "/cgi-bin/menu/create"]
WRITES += ["/cgi-bin/media/upload", "/cgi-bin/media/uploadimg", "/wxa/getwxacodeunlimit", "/cgi-bin/clear_quota"]
WRITES += ["/wxa/business/getuserphonenumber", "/cgi-bin/callback/check", "/cgi-bin/openapi/quota/get"]
WRITES += ["/cgi-bin/openapi/rid/get"]

TEXT = {"touser": "oABC", "msgtype": "text", "text": {"content": "你好"}}
TEMPLATE = {"touser": "oABC", "template_id": "T1", "data": {"name": {"value": "x"}}}


# Token endpoints


@pytest.mark.parametrize("slot", ["classic", "stable"])
def test_fetch(client: Client, wechat: WeChat, slot: str) -> None:
    """A fetch gives a token that works, in WeChat's JSON with WeChat's content type (rows 7 and 9)."""
    answer = client.fetch(slot)

    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == JSON
    assert set(answer.json()) == {"access_token", "expires_in"}
    assert answer.json()["access_token"] == wechat.current(slot=slot)
    assert (wechat.fetches(slot=slot), wechat.minted(slot=slot), wechat.calls()) == (1, 1, 0)


@pytest.mark.parametrize("slot", ["classic", "stable"])
@pytest.mark.parametrize(
    ("changes", "errcode"),
    [
        ({"appid": None}, 41002),
        ({"appid": "wxffffffffffffffff"}, 40013),
        ({"grant_type": None}, 40002),
        ({"secret": None}, 41004),
        ({"secret": "wrong"}, 40125),
    ],
)
def test_fetch_refused(client: Client, slot: str, changes: dict[str, Any], errcode: int) -> None:
    """A refused fetch is status 200 with an errcode and a rid (row 7)."""
    answer = client.fetch(slot, **changes)

    assert answer.status_code == 200
    assert answer.json()["errcode"] == errcode
    assert re.search(f" rid: {RID}$", answer.json()["errmsg"])


def test_classic_reads_the_query_only(client: Client, wechat: WeChat) -> None:
    """Parameters in a body are not seen by the classic endpoint."""
    answer = requests.get(f"{client.url}/cgi-bin/token", data={"appid": wechat.appid}, timeout=10)

    assert answer.json()["errcode"] == 41002


@pytest.mark.parametrize(
    ("method", "data", "errcode"),
    [("GET", None, 43002), ("POST", b"", 44002), ("POST", b"{", 47001), ("POST", b"[1]", 47001)],
)
def test_stable_wants_posted_json(client: Client, wechat: WeChat, method: str, data: bytes, errcode: int) -> None:
    """stable_token takes a POST with a JSON object only."""
    answer = client.call(method, "/cgi-bin/stable_token", data=data)

    assert answer.json()["errcode"] == errcode
    assert wechat.fetches(slot="stable") == 1


def test_refused_address(client: Client, wechat: WeChat) -> None:
    """40164 names the address that the connection comes from (row 6)."""
    wechat.accounts[wechat.appid].ip_allowlist = ["10.0.0.1"]

    assert client.fetch().json()["errmsg"].startswith("invalid ip 127.0.0.1 ipv6 ::ffff:127.0.0.1, not in whitelist")


def test_content_type_knob(client: Client, wechat: WeChat) -> None:
    """JSON can come as text/plain (row 7)."""
    wechat.json_content_type = "text/plain"

    assert client.fetch().headers["Content-Type"] == "text/plain"


# Every API


@pytest.mark.parametrize(("method", "path"), [("GET", p) for p in READS] + [("POST", p) for p in WRITES])
def test_every_api_wants_a_token(client: Client, wechat: WeChat, token: str, method: str, path: str) -> None:
    """Every API refuses an absent and a replaced token, downloads included, before it does anything (rows 5, 8)."""
    wechat.token()

    assert client.call(method, path).json()["errcode"] == 41001
    refused = client.call(method, path, token)
    assert refused.status_code == 200
    assert refused.json()["errcode"] == 40001
    assert wechat.rejections() == 1
    assert wechat.calls(path) == wechat.calls() == 2
    assert not wechat.sent
    assert not wechat.uploads


@pytest.mark.parametrize(("method", "path"), [("POST", p) for p in READS] + [("GET", p) for p in WRITES])
def test_every_api_has_its_method(client: Client, token: str, method: str, path: str) -> None:
    """The wrong method gets 43001 or 43002."""
    assert client.call(method, path, token).json()["errcode"] == (43001 if method == "POST" else 43002)


def test_token_in_the_body_is_not_seen(client: Client, token: str) -> None:
    """The token counts only in the query (docs/wechat.md#how-errors-arrive)."""
    answer = client.call("POST", "/cgi-bin/message/custom/send", json={**TEXT, "access_token": token})

    assert answer.json()["errcode"] == 41001


def test_unknown_path(client: Client, token: str) -> None:
    """An unknown path gets 40066."""
    assert client.call("GET", "/cgi-bin/nothing", token).json()["errcode"] == 40066


def test_expired_over_http(client: Client, wechat: WeChat, wechat_clock: SimulatedClock, token: str) -> None:
    """A token past its lifetime gets 42001 and counts as refused."""
    wechat_clock.advance(7200)

    assert client.call("GET", "/cgi-bin/user/get", token).json()["errcode"] == 42001
    assert wechat.rejections() == 1


def test_ticket(client: Client, wechat: WeChat, wechat_clock: SimulatedClock, token: str) -> None:
    """A ticket has errcode 0, 86 characters and stays the same until its end (row 9)."""
    ask = {"params": {"type": "jsapi"}}
    first = client.call("GET", "/cgi-bin/ticket/getticket", token, **ask).json()
    wechat_clock.advance(100)
    again = client.call("GET", "/cgi-bin/ticket/getticket", token, **ask).json()

    assert first == {"errcode": 0, "errmsg": "ok", "ticket": wechat.current_ticket(), "expires_in": 7200}
    assert len(first["ticket"]) == 86
    assert again == {**first, "expires_in": 7100}
    wechat.ticket_rotates = True
    assert client.call("GET", "/cgi-bin/ticket/getticket", token, **ask).json()["ticket"] != first["ticket"]
    assert client.call("GET", "/cgi-bin/ticket/getticket", token).json()["errcode"] == 40097


def test_custom_message(client: Client, wechat: WeChat, token: str) -> None:
    """A custom message is accepted and kept for the test to see."""
    answer = client.call("POST", "/cgi-bin/message/custom/send", token, json=TEXT)

    assert answer.json() == {"errcode": 0, "errmsg": "ok"}
    assert [(sent.kind, sent.touser, sent.body) for sent in wechat.sent] == [("custom", "oABC", TEXT)]


def test_template_message(client: Client, wechat: WeChat, wechat_clock: SimulatedClock, token: str) -> None:
    """A client_msg_id keeps the same template message from going out twice within ten minutes."""
    body = {**TEMPLATE, "client_msg_id": "m1"}

    first = client.call("POST", "/cgi-bin/message/template/send", token, json=body).json()
    again = client.call("POST", "/cgi-bin/message/template/send", token, json=body).json()
    wechat_clock.advance(600)
    later = client.call("POST", "/cgi-bin/message/template/send", token, json=body).json()

    assert first == again
    assert first["errcode"] == 0
    assert later["msgid"] != first["msgid"]
    assert [sent.msgid for sent in wechat.sent] == [first["msgid"], later["msgid"]]


@pytest.mark.parametrize(
    ("path", "body", "errcode"),
    [
        ("custom", {**TEXT, "touser": "!"}, 40003),
        ("custom", {**TEXT, "touser": "oGone"}, 43004),
        ("custom", {**TEXT, "msgtype": "image"}, 40008),
        ("custom", [], 47001),
        ("custom", {**TEXT, "text": {"content": "你" * 683}}, 45002),
        ("custom", {**TEXT, "text": {"content": ""}}, 44004),
        ("custom", {**TEXT, "msgtype": "news", "news": {"articles": []}}, 44003),
        ("custom", {**TEXT, "msgtype": "news", "news": {"articles": [{"title": "a"}] * 9}}, 45008),
        ("template", {**TEMPLATE, "touser": None}, 40003),
        ("template", {**TEMPLATE, "template_id": ""}, 40037),
        ("template", {**TEMPLATE, "data": {"time2": {"value": ""}}}, 47003),
        ("template", 1, 47001),
    ],
)
def test_message_refused(client: Client, wechat: WeChat, token: str, path: str, body: object, errcode: int) -> None:
    """A message that WeChat would not take is not taken."""
    wechat.accounts[wechat.appid].unsubscribed.add("oGone")

    answer = client.call("POST", f"/cgi-bin/message/{path}/send", token, json=body).json()

    assert answer["errcode"] == errcode
    assert not wechat.sent
    assert errcode != 47003 or "argument invalid! data.time2.value is empty rid:" in answer["errmsg"]


def test_unicode_escapes(client: Client, wechat: WeChat, token: str) -> None:
    """Escapes in JSON can be refused with 40033, UTF-8 is not."""
    wechat.reject_unicode_escapes = True
    path = "/cgi-bin/message/custom/send"

    assert client.call("POST", path, token, data=json.dumps(TEXT)).json()["errcode"] == 40033
    utf8 = json.dumps(TEXT, ensure_ascii=False).encode()
    assert client.call("POST", path, token, data=utf8).json()["errcode"] == 0


def test_users(client: Client, wechat: WeChat, token: str) -> None:
    """User answers have no errcode (row 9); one who left has no other fields."""
    wechat.accounts[wechat.appid].unsubscribed.add("oGone")

    def info(openid: str) -> Any:
        return client.call("GET", "/cgi-bin/user/info", token, params={"openid": openid}).json()

    followers = client.call("GET", "/cgi-bin/user/get", token).json()
    after = client.call("GET", "/cgi-bin/user/get", token, params={"next_openid": followers["next_openid"]}).json()

    assert info("oABC")["subscribe"] == 1
    assert "errcode" not in info("oABC")
    assert info("oGone") == {"subscribe": 0, "openid": "oGone"}
    assert info("?")["errcode"] == 40003
    assert followers["data"]["openid"] == wechat.accounts[wechat.appid].followers
    assert followers["count"] == followers["total"] == 2
    assert after == {"total": 2, "count": 0, "next_openid": ""}


def test_menu(client: Client, token: str) -> None:
    """A menu is kept as it was sent, and there is none before (row 9)."""
    menu = {"button": [{"type": "click", "name": "今日", "key": "K"}]}

    before = client.call("GET", "/cgi-bin/menu/get", token).json()
    created = client.call("POST", "/cgi-bin/menu/create", token, json=menu).json()

    assert before["errcode"] == 46003
    assert created == {"errcode": 0, "errmsg": "ok"}
    assert client.call("GET", "/cgi-bin/menu/get", token).json() == {"menu": menu}


@pytest.mark.parametrize(
    ("buttons", "errcode"),
    [
        ([], 40016),
        ([{"name": "a"}] * 4, 40016),
        ([{"name": "a", "sub_button": [{"name": "b"}] * 6}], 40016),
        ([{"name": ""}], 40018),
        ([{"key": "a"}], 40018),
        ("x", 40016),
    ],
)
def test_menu_refused(client: Client, token: str, buttons: object, errcode: int) -> None:
    """A menu has 1 to 3 buttons with 1 to 5 below, and names."""
    answer = client.call("POST", "/cgi-bin/menu/create", token, json={"button": buttons})

    assert answer.json()["errcode"] == errcode


def test_media(client: Client, wechat: WeChat, wechat_clock: SimulatedClock, token: str) -> None:
    """An uploaded file comes back as it was, with its type, for three days."""
    picture = ("a.png", b"\x89PNG\x00\xff", "image/png")
    up = client.call("POST", "/cgi-bin/media/upload", token, params={"type": "image"}, files={"media": picture}).json()
    down = client.call("GET", "/cgi-bin/media/get", token, params={"media_id": up["media_id"]})
    wechat_clock.advance(3 * 86400)
    fresh = wechat.token()["access_token"]
    gone = client.call("GET", "/cgi-bin/media/get", fresh, params={"media_id": up["media_id"]})

    assert set(up) == {"type", "media_id", "created_at"}
    assert (down.content, down.headers["Content-Type"]) == (picture[1], "image/png")
    assert [(kept.type, kept.filename, kept.data) for kept in wechat.uploads] == [("image", "a.png", picture[1])]
    assert gone.json()["errcode"] == 40007
    assert gone.headers["Content-Type"] == "text/plain"


@pytest.mark.parametrize(
    ("kind", "files", "errcode"),
    [
        ("picture", {"media": ("a.png", b"x")}, 40004),
        ("image", {"media": ("a.png", b"")}, 44001),
        ("image", {"other": ("a.png", b"x")}, 41005),
        ("image", None, 41005),
        ("image", {"media": ("a.png", b"x" * (10 * 1024 * 1024 + 1))}, 40009),
    ],
)
def test_upload_refused(client: Client, wechat: WeChat, token: str, kind: str, files: Any, errcode: int) -> None:
    """An upload needs a known type and a file that is not empty, such as one read before and not rewound."""
    answer = client.call("POST", "/cgi-bin/media/upload", token, params={"type": kind}, files=files)

    assert answer.json()["errcode"] == errcode
    assert not wechat.uploads


def test_video_is_json(client: Client, token: str) -> None:
    """A video is answered with a URL."""
    files = {"media": ("a.mp4", b"x")}
    up = client.call("POST", "/cgi-bin/media/upload", token, params={"type": "video"}, files=files).json()

    assert "video_url" in client.call("GET", "/cgi-bin/media/get", token, params={"media_id": up["media_id"]}).json()


def test_uploadimg(client: Client, token: str) -> None:
    """uploadimg answers JSON as text/plain (docs/wechat.md#how-errors-arrive)."""
    answer = client.call("POST", "/cgi-bin/media/uploadimg", token, files={"media": ("a.png", b"x")})

    assert answer.headers["Content-Type"] == "text/plain"
    assert list(answer.json()) == ["url"]


def test_wxacode(client: Client, token: str) -> None:
    """A mini-program code is a JPEG; its errors are JSON (row 8)."""
    good = client.call("POST", "/wxa/getwxacodeunlimit", token, json={"scene": "a=1"})
    bad = client.call("POST", "/wxa/getwxacodeunlimit", token, json={"scene": "a=1", "page": "/pages/index"})

    assert good.headers["Content-Type"] == "image/jpeg"
    assert good.content.startswith(b"\xff\xd8\xff")
    assert good.content.endswith(b"\xff\xd9")
    assert bad.headers["Content-Type"] == JSON
    assert bad.json()["errcode"] == 41030
    assert client.call("POST", "/wxa/getwxacodeunlimit", token, json={"scene": "x" * 33}).json()["errcode"] == 40097


def test_phone_number(client: Client, wechat: WeChat, wechat_clock: SimulatedClock, token: str) -> None:
    """A phone code is good once and for five minutes."""
    first, late = wechat.issue_phone_code(), wechat.issue_phone_code()

    def use(code: object) -> Any:
        return client.call("POST", "/wxa/business/getuserphonenumber", token, json={"code": code}).json()

    assert use(first)["phone_info"]["phoneNumber"] == "13800138000"
    assert use(first)["errcode"] == use(None)["errcode"] == 40029
    wechat_clock.advance(300)
    assert use(late)["errcode"] == 40029


def test_addresses(client: Client, token: str) -> None:
    """The address lists have no errcode."""
    for path in ("/cgi-bin/get_api_domain_ip", "/cgi-bin/getcallbackip"):
        assert list(client.call("GET", path, token).json()) == ["ip_list"]


def test_callback_check(client: Client, wechat: WeChat, token: str) -> None:
    """callback/check looks at its two arguments and at whether there is a URL."""

    def check(action: str, operator: str = "DEFAULT") -> Any:
        body = {"action": action, "check_operator": operator}
        return client.call("POST", "/cgi-bin/callback/check", token, json=body).json()

    assert set(check("all")) == {"dns", "ping"}
    assert set(check("dns")) == {"dns"}
    assert check("x")["errcode"] == 40202
    assert check("all", "x")["errcode"] == 40203
    wechat.accounts[wechat.appid].callback_loss = 100
    assert check("ping")["ping"][0]["package_loss"] == "100%"
    wechat.accounts[wechat.appid].callback_url = None
    assert check("all")["errcode"] == 40201


def test_rid(client: Client, wechat: WeChat, wechat_clock: SimulatedClock, token: str) -> None:
    """WeChat's record of a request is there for the account whose it was, for seven days, without the whole token."""

    def look(rid: object, access_token: str = token) -> Any:
        return client.call("POST", "/cgi-bin/openapi/rid/get", access_token, json={"rid": rid}).json()

    errmsg = client.call("GET", "/cgi-bin/user/info", token, params={"openid": "?"}).json()["errmsg"]
    rid = errmsg.rpartition(" ")[2]
    found = look(rid)
    wechat.add_account("wx0000000000000002", "s2")
    other = wechat.token("wx0000000000000002", "s2")["access_token"]

    assert found["errcode"] == 0
    assert found["request"]["invoke_time"] == int(wechat_clock())
    assert found["request"]["client_ip"] == "127.0.0.1"
    assert '"errcode":40003' in found["request"]["response_body"]
    assert "/cgi-bin/user/info" in found["request"]["request_url"]
    assert token not in str(found)
    assert look(rid, other)["errcode"] == 76003
    assert look("6aac0063-7ed08fb9-1250f724")["errcode"] == 76001
    assert look("x")["errcode"] == look(None)["errcode"] == 76002
    wechat_clock.advance(8 * 86400)
    assert look(rid, wechat.token()["access_token"])["errcode"] == 76001


# Quotas


def test_clear_quota(client: Client, wechat: WeChat, wechat_clock: SimulatedClock, token: str) -> None:
    """The quota can be cleared ten times a month, by both ways together."""
    wechat.daily_quota = 1
    by_secret = {"appid": wechat.appid, "appsecret": wechat.secret}

    assert client.fetch().json()["errcode"] == 45009
    assert client.call("POST", "/cgi-bin/clear_quota/v2", json=by_secret).json() == {"errcode": 0, "errmsg": "ok"}
    fresh = client.fetch().json()["access_token"]
    answers = [
        client.call("POST", "/cgi-bin/clear_quota", fresh, json={"appid": wechat.appid}).json()["errcode"]
        for _ in range(10)
    ]
    assert answers == [0] * 9 + [48006]
    wechat_clock.advance(31 * 86400)
    assert client.call("POST", "/cgi-bin/clear_quota/v2", params=by_secret).json()["errcode"] == 0


def test_clear_quota_and_stable(client: Client, wechat: WeChat) -> None:
    """Clearing leaves the stable endpoint's count alone unless the knob says otherwise."""
    wechat.stable_daily_quota = 1
    by_secret = {"appid": wechat.appid, "appsecret": wechat.secret}
    client.fetch("stable")

    client.call("POST", "/cgi-bin/clear_quota/v2", json=by_secret)
    assert client.fetch("stable").json()["errcode"] == 45009
    wechat.clear_quota_covers_stable = True
    client.call("POST", "/cgi-bin/clear_quota/v2", json=by_secret)
    assert "access_token" in client.fetch("stable").json()


@pytest.mark.parametrize(
    ("changes", "errcode"),
    [({"appid": ""}, 41002), ({"appid": "wx1"}, 40013), ({"appsecret": ""}, 41004), ({"appsecret": "x"}, 40125)],
)
def test_clear_quota_by_secret_refused(client: Client, wechat: WeChat, changes: Any, errcode: int) -> None:
    """clear_quota/v2 looks at the appid and the secret."""
    body = {"appid": wechat.appid, "appsecret": wechat.secret, **changes}

    assert client.call("POST", "/cgi-bin/clear_quota/v2", json=body).json()["errcode"] == errcode


def test_clear_quota_of_another(client: Client, token: str) -> None:
    """A token clears its own account's quota only."""
    answer = client.call("POST", "/cgi-bin/clear_quota", token, json={"appid": "wxffffffffffffffff"})

    assert answer.json()["errcode"] == 40013


def test_quota_of_an_api(client: Client, wechat: WeChat, token: str) -> None:
    """An API has its daily quota, and quota/get tells it."""

    def quota(path: str) -> Any:
        return client.call("POST", "/cgi-bin/openapi/quota/get", token, json={"cgi_path": path}).json()

    answers = [client.call("GET", "/cgi-bin/user/get", token).json().get("errcode") for _ in range(501)]

    assert answers == [None] * 500 + [45009]
    assert quota("/cgi-bin/user/get")["quota"] == {"daily_limit": 500, "used": 500, "remain": 0}
    assert quota("/cgi-bin/token")["quota"] == {"daily_limit": 2000, "used": 1, "remain": 1999}
    assert quota("/cgi-bin/stable_token")["rate_limit"] == {"call_count": 10000, "refresh_second": 60}
    assert quota("/cgi-bin/none")["errcode"] == 76021
    assert quota("/sns/userinfo")["errcode"] == 76022


# Counters and log (row 12)


def test_counters(client: Client, wechat: WeChat) -> None:
    """Fetches, minted tokens, calls and rejections are counted for each appid and path (row 12)."""
    wechat.add_account("wx0000000000000002", "s2")
    first = client.fetch().json()["access_token"]
    client.fetch(appid="wx0000000000000002", secret="s2")
    client.fetch(secret="wrong")
    client.fetch()
    client.call("GET", "/cgi-bin/user/get", first)
    client.call("GET", "/cgi-bin/menu/get", first)

    assert wechat.fetches() == 4
    assert wechat.fetches(wechat.appid) == 3
    assert wechat.fetches("wx0000000000000002", "classic") == 1
    assert wechat.minted() == 3
    assert wechat.calls("/cgi-bin/token") == 4
    assert wechat.calls("/cgi-bin/user/*") == 1
    assert wechat.calls() == wechat.rejections() == 2
    wechat.reset_counters()
    assert wechat.fetches() == wechat.minted() == wechat.calls() == wechat.rejections() == len(wechat.log) == 0


def test_log(client: Client, wechat: WeChat, wechat_clock: SimulatedClock, token: str) -> None:
    """The log tells who asked what and what came of it."""
    client.fetch()
    client.call("GET", "/cgi-bin/user/get", token)
    fetch, call = wechat.log

    assert (fetch.number, fetch.path, fetch.appid, fetch.errcode) == (1, "/cgi-bin/token", wechat.appid, None)
    assert (call.method, call.path, call.appid, call.errcode) == ("GET", "/cgi-bin/user/get", wechat.appid, 40001)
    assert (call.at, call.ip, call.status, call.fault) == (wechat_clock(), "127.0.0.1", 200, None)


def test_log_is_bounded(wechat_clock: SimulatedClock) -> None:
    """The log forgets the oldest requests."""
    wechat = WeChat(clock=wechat_clock, log_size=3)
    http: Any = WSGIClient(create_app(wechat))

    for _ in range(5):
        http.get("/cgi-bin/token")

    assert [entry.number for entry in wechat.log] == [3, 4, 5]


def test_nothing_secret_in_the_log(client: Client, wechat: WeChat, token: str) -> None:
    """Neither secret nor token is in the log, even where a client puts them in a wrong place."""
    client.fetch()
    client.fetch(appid=wechat.secret, secret=wechat.appid)
    client.call("GET", f"/cgi-bin/{token}/{token}", token)
    shown = repr(wechat.log)

    assert wechat.secret not in shown
    assert token not in shown


def test_wait_for(wechat: WeChat) -> None:
    """wait_for() tells whether the thing happened in time."""
    assert wechat.wait_for(lambda: True, timeout=0)
    assert not wechat.wait_for(lambda: wechat.fetches() == 1, timeout=0.01)


def test_any_wsgi_server(wechat: WeChat) -> None:
    """The app is plain WSGI."""
    http: Any = WSGIClient(create_app(wechat))

    answer = http.get("/cgi-bin/token", query_string={"grant_type": "client_credential", "appid": wechat.appid})

    assert answer.json["errcode"] == 41004


def test_app_of_something_else() -> None:
    """create_app() refuses what is no WeChat."""
    with pytest.raises(ConfigurationError, match="WeChat"):
        create_app("wx")  # type: ignore[arg-type]


def test_unknown_api_is_told(client: Client, token: str) -> None:
    """An API that the simulator does not play says so, and what to do."""
    errmsg = client.call("GET", "/cgi-bin/tags/get", token).json()["errmsg"]

    assert errmsg.startswith("invalid url (the simulator does not play /cgi-bin/tags/get; WeChat.route() adds an API) ")
    assert "admin=True" in client.call("GET", "/_simulator/state").json()["errmsg"]


class TestRoute:
    """``wechat.route()``"""

    PATH = "/cgi-bin/tags/get"

    def test_fixed_answer(self, client: Client, wechat: WeChat, token: str) -> None:
        """An added API answers what was given, whatever the method."""
        wechat.route(self.PATH, {"tags": []})

        assert [{"tags": []}] * 2 == [client.call(each, self.PATH, token).json() for each in ("GET", "POST")]
        assert {self.PATH: 2} == {path: wechat.calls(path) for path in (self.PATH,)}

    def test_handler(self, client: Client, wechat: WeChat, token: str) -> None:
        """A function gets the call and whose it is, and not the token."""
        calls: list[APICall] = []

        @wechat.route(self.PATH, method="POST")
        def tags(call: APICall) -> dict[str, Any]:
            calls.append(call)
            return {"name": call.json["name"]}

        answer = client.call("POST", self.PATH, token, params={"lang": "en"}, json={"name": "a"})

        assert {"name": "a"} == answer.json()
        assert [(wechat.accounts[wechat.appid], "POST", {"lang": "en"})] == [
            (each.account, each.method, each.query) for each in calls
        ]
        assert token not in repr(calls)

    def test_bytes_and_nothing(self, client: Client, wechat: WeChat, token: str) -> None:
        """Bytes go out as a file, and nothing is errcode 0; a body that is no JSON is ``None``."""
        wechat.route(self.PATH, b"\x00")
        wechat.route("/cgi-bin/x", lambda call: None if call.json is None else b"")
        file = client.call("GET", self.PATH, token)

        assert (b"\x00", "application/octet-stream") == (file.content, file.headers["Content-Type"])
        assert {"errcode": 0, "errmsg": "ok"} == client.call("POST", "/cgi-bin/x", token, data=b"{").json()

    @pytest.mark.parametrize(
        ("given", "errcode"), [(None, 41001), ("x", 40001), ("80_" + "a" * 154, 40001), ("revoked", 40001)]
    )
    def test_token_is_checked(
        self, client: Client, wechat: WeChat, token: str, given: str | None, errcode: int
    ) -> None:
        """Without a good token the function is not asked."""
        asked: list[APICall] = []
        wechat.route(self.PATH, asked.append)
        if given == "revoked":
            wechat.revoke()
        answer = client.call("GET", self.PATH, token if given == "revoked" else given).json()

        assert (errcode, []) == (answer["errcode"], asked)

    def test_wecom(self, client: Client, wechat: WeChat) -> None:
        """An app of a WeCom corp may ask as well, and hears WeCom's errors."""
        app = wechat.add_app("ww1", "made-up")
        wechat.route(self.PATH, lambda call: {"agent": call.account is app}, method="GET")
        token = wechat._corps.gettoken("ww1", "made-up", "127.0.0.1")["access_token"]

        assert {"agent": True} == client.call("GET", self.PATH, token).json()
        wrong = client.call("POST", self.PATH, token).json()
        assert (43001, True) == (wrong["errcode"], "hint" in wrong["errmsg"])
        app.revoke()
        dead = client.call("GET", self.PATH, token).json()
        assert (40014, True) == (dead["errcode"], "hint" in dead["errmsg"])

    @pytest.mark.parametrize(("method", "errcode"), [("GET", 43001), ("POST", 43002)])
    def test_method(
        self, client: Client, wechat: WeChat, token: str, method: Literal["GET", "POST"], errcode: int
    ) -> None:
        """Another method than the API's is refused as WeChat does."""
        wechat.route(self.PATH, {}, method=method)
        other = "POST" if method == "GET" else "GET"

        assert errcode == client.call(other, self.PATH, token).json()["errcode"]
        assert {} == client.call(method, self.PATH, token).json()

    def test_in_place_of_ours(self, client: Client, wechat: WeChat, token: str) -> None:
        """An API that the simulator plays can be answered in another way."""
        wechat.route("/cgi-bin/user/get", {"total": 7})

        assert {"total": 7} == client.call("GET", "/cgi-bin/user/get", token).json()

    @pytest.mark.parametrize(
        ("path", "answer", "options"),
        [
            ("cgi-bin/x", {}, {}),
            ("https://api.weixin.qq.com/cgi-bin/x", {}, {}),
            ("/cgi-bin/x?a=b", {}, {}),
            (7, {}, {}),
            ("/cgi-bin/token", {}, {}),
            ("/cgi-bin/gettoken", {}, {}),
            ("/_simulator/x", {}, {}),
            ("/cgi-bin/x", "text", {}),
            ("/cgi-bin/x", [], {}),
            ("/cgi-bin/x", {}, {"method": "PUT"}),
            ("/cgi-bin/x", {}, {"method": "get"}),
        ],
    )
    def test_useless(self, wechat: WeChat, path: Any, answer: Any, options: Any) -> None:
        """A path or an answer of no use is refused when it is given."""
        with pytest.raises(ConfigurationError):
            wechat.route(path, answer, **options)
        with pytest.raises(ConfigurationError):
            wechat.route(path, **options)("text" if path == "/cgi-bin/x" and not options else lambda call: None)


# /_simulator/


def test_admin_is_off(wechat: WeChat) -> None:
    """Nobody can administer a simulator that was not told so."""
    http: Any = WSGIClient(create_app(wechat))

    assert http.get("/_simulator/state").json["errcode"] == 40066


def test_admin(wechat: WeChat, wechat_clock: SimulatedClock, token: str) -> None:
    """The shell's user sees the counters and makes mischief, and gets to see no secret."""
    http: Any = WSGIClient(create_app(wechat, admin=True))
    now = wechat_clock()

    stolen = http.post("/_simulator/steal")
    assert stolen.json == {"stolen": 1}
    assert not wechat.is_valid(token)
    assert http.post("/_simulator/revoke?slot=classic").json == {"revoked": 1}
    assert http.post("/_simulator/advance?seconds=60").json == {"now": now + 60}
    assert http.post("/_simulator/knobs", json={"overlap": 300}).json["overlap"] == wechat.overlap == 300
    http.post("/_simulator/faults", json={"path": "*", "kind": "errcode", "errcode": -1})
    assert http.get("/cgi-bin/token").json["errcode"] == -1
    state = http.get("/_simulator/state")
    assert state.json["stolen"] == 1
    assert state.json["paths"] == {"/cgi-bin/token": 1}
    assert state.json["accounts"][wechat.appid]["classic"]["alive"] is False
    assert wechat.secret not in state.text
    assert token not in state.text
    http.post("/_simulator/faults", json={"path": "*", "kind": "empty"})
    http.delete("/_simulator/faults")
    assert len(wechat.faults) == 0
    assert http.post("/_simulator/reset").json["fetches"] == 0


def test_admin_of_a_platform(wechat: WeChat) -> None:
    """The shell's user has a platform's ticket and an account's auth_code, which the platform's APIs take."""
    http: Any = WSGIClient(create_app(wechat, admin=True))
    assert http.post("/_simulator/ticket").status_code == 400
    platform = wechat.add_platform("wxc", "made-up")
    ticket = http.post("/_simulator/ticket").json["component_verify_ticket"]
    asked = {"component_appid": "wxc", "component_appsecret": platform.secret, "component_verify_ticket": ticket}
    token = http.post("/cgi-bin/component/api_component_token", json=asked).json["component_access_token"]
    code = http.post("/_simulator/authorise?platform=wxc").json["auth_code"]
    query = {"component_appid": "wxc", "authorization_code": code}
    found = http.post(f"/cgi-bin/component/api_query_auth?access_token={token}", json=query).json

    assert found["authorization_info"]["authorizer_appid"] == wechat.appid
    assert http.post("/_simulator/authorise?appid=wx0").status_code == 400
    wechat.add_platform("wxd", "made-up")
    assert http.post("/_simulator/ticket").status_code == 400
    assert http.post("/_simulator/ticket?platform=wxd").status_code == 200


def test_admin_tells_what_was_sent(wechat: WeChat, token: str) -> None:
    """The shell's user sees the messages that a user got, and not the token that sent them."""
    http: Any = WSGIClient(create_app(wechat, admin=True))
    for openid in ("oA", "oB"):
        http.post(f"/cgi-bin/message/custom/send?access_token={token}", json={**TEXT, "touser": openid})
    answer = http.get("/_simulator/sent?touser=oB")

    assert [{**TEXT, "touser": "oB"}] == [each["body"] for each in answer.json["sent"]]
    assert 2 == len(http.get("/_simulator/sent").json["sent"])
    assert token not in answer.text


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/_simulator/sent", None, 400),
        ("POST", "/_simulator/dance", None, 400),
        ("GET", "/_simulator/steal", None, 405),
        ("POST", "/_simulator/steal?slot=x", None, 400),
        ("POST", "/_simulator/advance", None, 400),
        ("POST", "/_simulator/advance?seconds=-1", None, 400),
        ("POST", "/_simulator/faults", {"path": "*", "kind": "x"}, 400),
        ("POST", "/_simulator/faults", [], 400),
        ("POST", "/_simulator/knobs", {"accounts": {}}, 400),
        ("POST", "/_simulator/knobs", {"overlap": -1}, 400),
    ],
)
def test_admin_says_what_is_wrong(wechat: WeChat, method: str, path: str, body: object, status: int) -> None:
    """A wrong administrative request is told why."""
    answer: Any = WSGIClient(create_app(wechat, admin=True)).open(path, method=method, json=body)

    assert answer.status_code == status
    assert answer.json["error"]


def test_admin_with_another_clock() -> None:
    """Only a simulated clock is advanced."""
    http: Any = WSGIClient(create_app(WeChat(clock=lambda: 5.0), admin=True))

    assert http.post("/_simulator/advance?seconds=5").status_code == 400
