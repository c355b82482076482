"""WeChat's own wire shapes, as SDKs use them."""

from __future__ import annotations

import json

import pytest

from wxmiddleware.hub import Caller, Settings, hash_key, new_key

from .conftest import SECRET, World


def test_a_token_of_the_hubs_own(world: World) -> None:
    first, again = world.token("sdk"), world.token("sdk")

    assert first == again
    assert {"errcode": 0, "errmsg": "ok", "access_token": first["access_token"], "expires_in": 7200} == first
    assert not world.wechat.is_valid(first["access_token"])
    assert 0 == world.wechat.fetches()


def test_wechats_own_token(world: World) -> None:
    answer = world.token("direct")

    assert world.wechat.is_valid(answer["access_token"])
    assert isinstance(answer["expires_in"], int)
    assert 7000 < answer["expires_in"] <= 7200


def test_stable_token(world: World) -> None:
    body = {"grant_type": "client_credential", "appid": world.appid, "secret": world.keys["direct"]}
    answer = world.http.post("/cgi-bin/stable_token", content=json.dumps(body)).json()

    assert world.wechat.is_valid(answer["access_token"])


@pytest.mark.parametrize(
    ("change", "errcode"),
    [
        ({"secret": "x" * 43}, 40125),
        ({"secret": ""}, 41004),
        ({"appid": "wx0000000000000000"}, 40013),
        ({"appid": ""}, 41002),
    ],
)
def test_no(world: World, change: dict[str, str], errcode: int) -> None:
    answer = world.token("direct", **change)

    assert errcode == answer["errcode"]
    assert answer["errmsg"]


def test_back_after_a_theft(world: World) -> None:
    token = world.token("direct")["access_token"]
    world.wechat.revoke()
    answers = [world.token("direct") for _ in range(8)]

    assert 1 == len({answer["access_token"] for answer in answers} - {token})
    assert token not in {answer["access_token"] for answer in answers}
    assert world.wechat.is_valid(answers[0]["access_token"])
    assert 2 == world.wechat.fetches()


def test_back_without_a_reason(world: World) -> None:
    token = world.token("direct")["access_token"]
    answers = [world.token("direct") for _ in range(100)]

    assert {token} == {answer["access_token"] for answer in answers}
    assert 1 == world.wechat.fetches()
    assert 10 <= world.wechat.calls("/cgi-bin/get_api_domain_ip") < 30


def test_without_end(world: World) -> None:
    answers = [world.token("direct") for _ in range(300)]

    assert 45011 == answers[-1]["errcode"]
    assert 0 == answers[100]["errcode"]


def test_ticket(world: World) -> None:
    for caller in ("sdk", "direct"):
        query = {"access_token": world.token(caller)["access_token"], "type": "jsapi"}
        answer = world.http.get("/cgi-bin/ticket/getticket", params=query).json()

        assert world.wechat.current_ticket() == answer["ticket"]
        assert answer["expires_in"] > 0


def test_caller_revoked(world: World) -> None:
    token = world.token("sdk")["access_token"]
    world.hub.use(Settings([world.provider], [], [SECRET]))
    answer = world.http.get("/cgi-bin/ticket/getticket", params={"access_token": token, "type": "jsapi"}).json()

    assert 40014 == answer["errcode"]


def test_key_replaced(world: World) -> None:
    token, newer = world.token("sdk")["access_token"], new_key()
    both = [hash_key(newer), hash_key(world.keys["sdk"])]
    query = {"access_token": token, "type": "jsapi"}
    said = []
    for keys in (both, both[:1]):
        world.hub.use(Settings([world.provider], [Caller("sdk", keys, [world.appid])], [SECRET]))
        said.append(world.http.get("/cgi-bin/ticket/getticket", params=query).json()["errcode"])

    assert [0, 40014] == said
