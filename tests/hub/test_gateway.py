"""Calls through the gateway, against the simulated WeChat."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from starlette.testclient import TestClient

from wxmiddleware import Account, TokenProvider
from wxmiddleware._runtime.clock import clock
from wxmiddleware.hub import Caller, HubAccount, Settings, _callers, _given, hash_key, new_key

from .conftest import SECRET, World

SEND = "/cgi-bin/message/custom/send"
MESSAGE = {"touser": "oABC", "msgtype": "text", "text": {"content": "你好"}}


def send(world: World, *, caller: str = "sdk", path: str = SEND, **more: Any) -> Any:
    """Send a message as a service without an SDK does: with the caller's key."""
    headers = {"Authorization": f"Bearer {world.keys[caller]}"}
    return world.http.post(f"/{world.appid}{path}", json=MESSAGE, headers=headers, **more).json()


def test_a_key(world: World) -> None:
    assert 0 == send(world)["errcode"]
    assert ["你好"] == [each.text for each in world.wechat.sent]


@pytest.mark.parametrize("caller", ["sdk", "direct"])
@pytest.mark.parametrize("base", ["", "account"])
def test_a_token(world: World, caller: str, base: str) -> None:
    token = world.token(caller)["access_token"]
    path = f"/{world.appid}{SEND}" if base else SEND

    assert 0 == world.http.post(path, params={"access_token": token}, json=MESSAGE).json()["errcode"]


@pytest.mark.parametrize("caller", ["sdk", "direct"])
def test_after_a_theft(world: World, caller: str) -> None:
    token = world.token(caller)["access_token"]
    said = []
    for _ in range(3):
        world.http.post(SEND, params={"access_token": token}, json=MESSAGE)
        world.wechat.revoke()
        said.append(world.http.post(SEND, params={"access_token": token}, json=MESSAGE).json()["errcode"])
        world.provider.retry_now()

    assert 0 == said[0]
    assert 40001 not in said


def test_a_token_of_wechats_ends_here_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not say who brings it: a caller of former times, or a thief, has it as well."""
    token, now = world.token("direct")["access_token"], clock()
    world.wechat.revoke()

    def said(later: float) -> int:
        monkeypatch.setattr(_given, "clock", lambda: now + later)
        errcode: int = world.http.post(SEND, params={"access_token": token}, json=MESSAGE).json()["errcode"]
        return errcode

    assert [0, 0, 40014] == [said(0), said(7200), said(7600)]


def test_an_upload_after_a_theft(world: World) -> None:
    send(world)
    world.wechat.revoke()
    answer = world.http.post(
        f"/{world.appid}/cgi-bin/media/upload?type=image",
        files={"media": ("a.png", b"\x89PNG" + bytes(100_000), "image/png")},
        headers={"Authorization": f"Bearer {world.keys['sdk']}"},
    ).json()
    got = world.http.get(
        f"/{world.appid}/cgi-bin/media/get?media_id={answer['media_id']}",
        headers={"Authorization": f"Bearer {world.keys['sdk']}"},
    )

    assert b"\x89PNG" + bytes(100_000) == got.content
    assert 1 == world.wechat.rejections()


def test_errors_are_wechats(world: World) -> None:
    headers = {"Authorization": f"Bearer {world.keys['sdk']}"}
    answer = world.http.post(f"/{world.appid}{SEND}", json={"touser": "oABC"}, headers=headers).json()

    assert 40008 == answer["errcode"]
    assert "said by the hub" not in answer["errmsg"]


@pytest.mark.parametrize(
    ("path", "errcode"),
    [
        (SEND, 41001),
        (f"{SEND}?access_token=", 41001),
        (f"{SEND}?access_token=70_abc", 40014),
        (f"{SEND}?access_token=TOKEN&access_token=TOKEN", 40035),
        (f"{SEND}?access%5Ftoken=TOKEN", 40035),
        (f"{SEND}?Access_Token=TOKEN", 40035),
        (f"{SEND}?a=1;access_token=TOKEN", 40035),
        (f"{SEND}?access_token[]=TOKEN", 40035),
        (f"{SEND}?access_token=TOKEN&secret=s", 40035),
        (f"{SEND}?access_token=TOKEN&corpsecret=s", 40035),
        (f"{SEND}?access_token=TOKEN&a=%23%00", 0),
        ("/cgi-bin/component/api_component_token?access_token=TOKEN", 48001),
        ("/CGI-BIN/Token/?access_token=TOKEN", 48001),
        ("/cgi-bin//message/custom/send?access_token=TOKEN", 48001),
        ("/APPID//cgi-bin/message/custom/send?access_token=TOKEN", 0),
        ("/APPID///cgi-bin/message/custom/send?access_token=TOKEN", 48001),
        ("/APPID/cgi-bin//message/custom/send?access_token=TOKEN", 48001),
        ("/cgi-bin%2fmessage/custom/send?access_token=TOKEN", 48001),
        ("/sns/userinfo?access_token=TOKEN", 48001),
        ("/sns/userinfo?access_token=usersown", 48001),
        ("/?access_token=TOKEN", 48001),
    ],
)
def test_what_is_refused(world: World, path: str, errcode: int) -> None:
    path = path.replace("TOKEN", world.token("sdk")["access_token"]).replace("APPID", world.appid)
    calls = world.wechat.calls()
    answer = world.http.post("http://testserver" + path, content=json.dumps(MESSAGE).encode())

    assert 200 == answer.status_code
    assert errcode == answer.json()["errcode"]
    assert (errcode == 0) == (world.wechat.calls() > calls)


@pytest.mark.parametrize("query", ["&" * 200, ";" * 200, "a=" + "1" * 8200], ids=["parameters", "semicolons", "bytes"])
@pytest.mark.parametrize("path", [SEND, "/cgi-bin/token", "/cgi-bin/ticket/getticket"])
def test_strangers_send_no_long_queries(world: World, path: str, query: str) -> None:
    assert 40035 == world.http.get(f"{path}?{query}").json()["errcode"]


@pytest.mark.parametrize("end", ["%3Fa", "%23a", "%2F..%2Fget", "/%2e%2e/get", "%0d%0aa"])
def test_a_server_that_decodes_paths(world: World, end: str) -> None:
    async def decoded(scope: Any, receive: Any, send: Any) -> None:
        await world.hub({key: value for key, value in scope.items() if key != "raw_path"}, receive, send)

    headers = {"Authorization": f"Bearer {world.keys['sdk']}"}
    with TestClient(decoded) as http:
        said = [http.post(SEND + each, json=MESSAGE, headers=headers).json()["errcode"] for each in (end, "")]

    assert [48001, 0] == said


def test_only_its_paths(world: World) -> None:
    key = new_key()
    caller = Caller("sender", [hash_key(key)], [world.appid], paths=["/cgi-bin/message/", "/cgi-bin/menu/get"])
    world.hub.use(Settings([world.provider], [caller], [SECRET]))
    world.keys["sender"] = key

    assert 0 == send(world, caller="sender")["errcode"]
    for path in ("/cgi-bin/menu/create", "/cgi-bin/menu/get/x", "/cgi-bin/message", "/cgi-bin/menu/getx"):
        assert 48001 == send(world, caller="sender", path=path)["errcode"]


def test_only_its_faces_and_accounts(world: World) -> None:
    keys = [new_key(), new_key()]
    accounts = [HubAccount("one", world.provider), HubAccount("two", world.provider, hosts=["two.example"])]
    callers = [
        Caller("native", [hash_key(keys[0])], ["one"], faces=["native"]),
        Caller("one", [hash_key(keys[1])], ["one"]),
    ]
    world.hub.use(Settings(accounts, callers, [SECRET]))

    def said(url: str, key: str) -> int:
        answer = world.http.post(url, json=MESSAGE, headers={"Authorization": f"Bearer {key}"})
        errcode: int = answer.json()["errcode"]
        return errcode

    assert 48001 == said(f"/one{SEND}", keys[0])
    assert 0 == said(f"/one{SEND}", keys[1])
    assert 0 == said(SEND, keys[1])
    assert 40013 == said(f"/two{SEND}", keys[1])
    assert 40013 == said(f"http://two.example{SEND}", keys[1])
    assert 40125 == said(f"/one{SEND}", keys[1][:-1])


def test_an_appid_in_the_path(world: World) -> None:
    """It does for a name where one account has it; where several have, who may use one is told to name it."""
    keys = [new_key(), new_key()]
    one, two = (HubAccount(name, world.provider) for name in ("one", "two"))
    other = HubAccount("other", TokenProvider(Account("wx00000000000000ee", "secret")))

    def said(accounts: list[HubAccount], number: int, path: str = SEND) -> tuple[int, str]:
        callers = [Caller("ours", [hash_key(keys[0])], ["one"]), Caller("others", [hash_key(keys[1])], ["other"])]
        world.hub.use(Settings([*accounts, other], callers, [SECRET]))
        headers = {"Authorization": f"Bearer {keys[number]}"}
        answer = world.http.post(f"/{world.appid}{path}", json=MESSAGE, headers=headers).json()
        return answer["errcode"], answer["errmsg"]

    assert 0 == said([one], 0)[0]
    assert 0 == said([one], 0, f"/{SEND}")[0]
    assert 40013 == said([one], 1)[0]
    several, errmsg = said([one, two], 0)
    assert (40013, True) == (several, "several accounts" in errmsg)
    assert said([one], 1) == said([one, two], 1)


def test_a_ticket_with_a_key(world: World) -> None:
    headers = {"Authorization": f"Bearer {world.keys['sdk']}"}
    answer = world.http.get(f"/{world.appid}/cgi-bin/ticket/getticket?type=jsapi", headers=headers).json()

    assert world.wechat.current_ticket() == answer["ticket"]


def test_the_audit_names_who_is_refused(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who tries other accounts, and who asks too often, is known by name."""
    monkeypatch.setattr(_callers, "clock", lambda: 0.0)
    key = new_key()
    caller = Caller("one", [hash_key(key)], ["one"], rate=12)
    accounts = [HubAccount("one", world.provider), HubAccount("two", world.provider)]
    world.hub.use(Settings(accounts, [caller], [SECRET]))
    token = world.http.get("/cgi-bin/token", params={"appid": "one", "secret": key}).json()["access_token"]
    headers = {"Authorization": f"Bearer {key}"}
    with caplog.at_level(logging.INFO, "wxmiddleware.hub.audit"):
        world.http.post(f"/two{SEND}", headers=headers)
        world.http.post(f"/two{SEND}?access_token={token}")
        world.http.get("/cgi-bin/token", params={"appid": "two", "secret": key})
        world.http.get("/cgi-bin/token", params={"appid": "one", "secret": key})
        world.http.post(SEND, headers=headers)
        world.http.post(f"{SEND}?access_token={token}")
    told = [json.loads(each.getMessage()) for each in caplog.records if each.name == "wxmiddleware.hub.audit"]

    assert [("one", 40013), ("one", 40014), ("one", 40013), ("one", 45011), ("one", 45011), ("one", 45011)] == [
        (each.get("caller"), each.get("errcode")) for each in told
    ]


@pytest.mark.parametrize("brings", ["nothing", "key", "token"])
def test_nobody_learns_which_accounts_there_are(world: World, brings: str) -> None:
    """One that the hub does not have is answered as one that the caller may not use."""
    key, theirs, none = new_key(), world.appid, "wx00000000000000ff"
    accounts = [HubAccount("mine", world.provider), HubAccount(theirs, world.provider)]
    world.hub.use(Settings(accounts, [Caller("one", [hash_key(key)], ["mine"])], [SECRET]))
    token = world.http.get("/cgi-bin/token", params={"appid": "mine", "secret": key}).json()["access_token"]
    headers = {"Authorization": f"Bearer {key}"} if brings == "key" else {}
    query = {"token": f"?access_token={token}", "key": f"?appid=mine&secret={key}", "nothing": ""}[brings]

    def said(account: str) -> list[int]:
        paths = ["/cgi-bin/token" + query, "/cgi-bin/get_api_domain_ip", "//cgi-bin/get_api_domain_ip", "/", "//"]
        if brings == "token":
            paths = [each + query for each in paths[1:]]
        return [world.http.get(f"/{account}{each}", headers=headers).json()["errcode"] for each in paths]

    assert said(theirs) == said(none)
    assert not world.wechat.calls()


def test_pictures(world: World) -> None:
    headers = {"Authorization": f"Bearer {world.keys['sdk']}"}
    answer = world.http.post(f"/{world.appid}/wxa/getwxacodeunlimit", json={"scene": "a"}, headers=headers)

    assert "image/jpeg" == answer.headers["content-type"]
    assert answer.content.startswith(b"\xff\xd8")
