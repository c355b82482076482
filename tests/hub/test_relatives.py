"""SDKs that are not run here, in Java, Go, C# and PHP: what they send, sent by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from wxmiddleware import TokenProvider, WeComAccount
from wxmiddleware.hub import Caller, Hub, HubAccount, Settings, hash_key, new_key
from wxmiddleware.simulator import SimulatorServer, WeChat

from .conftest import SECRET, World

CORP = "ww0123456789abcdef"
SEND = "cgi-bin/message/custom/send"
MESSAGE = {"touser": "oAda", "msgtype": "text", "text": {"content": "你好"}}


def caller(world: World, **how: Any) -> str:
    """Let in one more caller; its key."""
    key = new_key()
    callers = [*world.hub.settings.callers, Caller("relative", [hash_key(key)], [world.appid], **how)]
    world.hub.use(Settings(world.hub.settings.accounts, callers, [SECRET]))
    return key


def stable(world: World, key: str, path: str = "/cgi-bin/stable_token", **more: bool) -> Any:
    body = {"grant_type": "client_credential", "appid": world.appid, "secret": key, **more}
    return world.http.post(f"http://testserver{path}", json=body).json()


def test_base_that_ends_in_a_slash(world: World) -> None:
    """WxJava's sample has such a base, and it puts the path behind that as text: token, call and heal."""
    world.wechat.overlap = 0.0
    token = stable(world, world.keys["sdk"], "//cgi-bin/stable_token", force_refresh=False)["access_token"]
    said = []
    for _ in range(2):
        answer = world.http.post(f"http://testserver//{SEND}", params={"access_token": token}, json=MESSAGE)
        said.append(answer.json()["errcode"])
        world.wechat.steal()

    assert [0, 0] == said
    assert ["你好", "你好"] == [each.text for each in world.wechat.sent]


def test_asks_as_it_did_first(world: World) -> None:
    """WxJava heals by asking again with `force_refresh: false`; it gets another only if WeChat rejects its own."""
    key = world.keys["direct"]
    first = stable(world, key, force_refresh=False)["access_token"]
    again = stable(world, key, force_refresh=False)["access_token"]
    world.wechat.revoke()
    healed = stable(world, key, force_refresh=False)["access_token"]

    assert first == again
    assert world.wechat.is_valid(healed)
    assert 2 == world.wechat.fetches()


@pytest.mark.parametrize("kind", ["sdk", "direct"])
def test_forced_by_hand(world: World, kind: str) -> None:
    """Somebody who calls an SDK's forced refresh ends no token that all others use."""
    first = stable(world, world.keys[kind], force_refresh=False)
    forced = [stable(world, world.keys[kind], force_refresh=True) for _ in range(3)]

    assert {first["access_token"]} == {each["access_token"] for each in forced}
    assert world.wechat.fetches() == world.wechat.minted() <= 1


@pytest.mark.parametrize("margin", [1500, 200, 61], ids=["silenceper", "WxJava", "chanxuehong"])
def test_margin(world: World, margin: int) -> None:
    """
    Go's and Java's clients subtract a margin, and keep what is left: with nothing left they fail, or ask at each call.
    """
    world.wechat.lifetime = 40
    key = caller(world, tokens="wechat", margin=margin)
    answer = stable(world, key)

    assert 0 < answer["expires_in"] - margin <= 40


def test_longest_life(world: World) -> None:
    """One that never notices a rejection is told to come back soon, and wecomkit still has some time left."""
    key = caller(world, tokens="wechat", longest_life=600)

    assert 600 == stable(world, key)["expires_in"]


@pytest.fixture
def corp() -> Iterator[tuple[WeChat, TestClient, dict[str, str]]]:
    """A hub for two apps of one corp, each with a host name; a caller for each of them and one for both."""
    with SimulatorServer() as server:
        accounts, apps = [], ("sales", "support")
        for agentid, name in enumerate(apps, 7):
            app = server.wechat.add_app(CORP, f"secret-of-{name}", agentid=agentid)
            account = WeComAccount(CORP, app.secret, base_url=server.url, agentid=agentid)
            accounts.append(HubAccount(name, TokenProvider(account), hosts=[f"{name}.hub.example"]))
        keys = {name: new_key() for name in (*apps, "both")}
        callers = [Caller(each, [hash_key(keys[each])], apps if each == "both" else [each]) for each in keys]
        hub = Hub(accounts, callers=callers, secrets=[SECRET])
        with TestClient(hub) as http:
            yield server.wechat, http, keys
        for each in accounts:
            each.provider.close()


def sent(http: TestClient, key: str, token_at: str, send_at: str, agentid: int) -> int:
    """Get a token of WeCom's at one base URL, and send a message at another: the errcode that comes of it."""
    given = http.get(f"{token_at}/cgi-bin/gettoken", params={"corpid": CORP, "corpsecret": key}).json()
    if given["errcode"]:
        return int(given["errcode"])
    body = {"touser": "ada", "agentid": agentid, "msgtype": "text", "text": {"content": "你好"}}
    answer = http.post(f"{send_at}/cgi-bin/message/send", params={"access_token": given["access_token"]}, json=body)
    return int(answer.json()["errcode"])


@pytest.mark.parametrize(
    ("who", "token_at", "send_at", "errcode"),
    [
        ("support", "http://hub", "http://hub", 0),
        # EasyWeChat loses the path where it asks for a token of WeCom's, and keeps it in calls.
        ("support", "http://hub", "http://hub/support", 0),
        ("support", "http://hub", "http://hub/sales", 40014),
        ("both", "http://hub/support", "http://hub/support", 0),
        ("both", "http://hub", "http://hub/support", 40013),
        ("both", "http://support.hub.example", "http://support.hub.example", 0),
        ("both", "http://support.hub.example:8000", "http://support.hub.example:8000", 0),
        ("sales", "http://support.hub.example", "http://support.hub.example", 40013),
    ],
)
def test_apps_of_a_corp(
    corp: tuple[WeChat, TestClient, dict[str, str]], who: str, token_at: str, send_at: str, errcode: int
) -> None:
    """The corp's id does not say which app is meant: the key does, the path, or a host name."""
    wechat, http, keys = corp

    assert errcode == sent(http, keys[who], token_at, send_at, agentid=8)
    assert len(wechat.sent) == (errcode == 0)


def test_one_base_for_all_accounts(world: World) -> None:
    """Senparc has one host for the process: with one key, the AppID says which account is meant."""
    other = world.wechat.add_account("wx0000000000000002", "0" * 32)
    url = world.provider.account.base_url
    with TokenProvider(type(world.provider.account)(other.appid, other.secret, base_url=url)) as provider:
        key = new_key()
        both = Caller("cs", [hash_key(key)], [world.appid, other.appid])
        world.hub.use(Settings([world.provider, provider], [both], [SECRET]))
        for appid in (world.appid, other.appid):
            query = {"grant_type": "client_credential", "appid": appid, "secret": key}
            token = world.http.get("/cgi-bin/token", params=query).json()["access_token"]
            answer = world.http.post(f"/{SEND}", params={"access_token": token}, json=MESSAGE).json()
            assert 0 == answer["errcode"]

    assert [world.appid, other.appid] == [each.appid for each in world.wechat.sent]
