"""WeChat's own wire shapes, as SDKs use them."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from wxmiddleware import TokenProvider
from wxmiddleware.hub import Caller, Hub, Settings, hash_key, new_key
from wxmiddleware.stores import Loaded
from wxmiddleware.stores.jsonfile import JSONFileStore

from .conftest import SECRET, World


class CountingStore(JSONFileStore):
    """Counts how often it is read."""

    loads = 0

    def load(self, key: str) -> Loaded:
        self.loads += 1
        return super().load(key)


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


@pytest.mark.parametrize("kind", ["sdk", "direct"])
def test_given_by_another_replica(world: World, tmp_path: Path, kind: str) -> None:
    """A token that one replica gave out is known at the other at once, also after a theft."""
    world.wechat.overlap = 0.0
    path, account = tmp_path / "tokens.json", world.provider.account
    with ExitStack() as stack:
        ends = []
        for _ in range(2):
            provider = stack.enter_context(TokenProvider(account, store=JSONFileStore(path)))
            hub = Hub([provider], callers=world.hub.settings.callers, secrets=[SECRET])
            ends.append(stack.enter_context(TestClient(hub)))
        query = {"grant_type": "client_credential", "appid": world.appid, "secret": world.keys[kind]}
        said = []
        for _ in range(2):
            ends[0].get("/cgi-bin/token", params=query)
            given = ends[0].get("/cgi-bin/token", params=query).json()["access_token"]
            for api in ("/cgi-bin/get_api_domain_ip", "/cgi-bin/ticket/getticket"):
                answer = ends[1].get(api, params={"access_token": given, "type": "jsapi"}).json()
                said.append(answer.get("errcode", 0))
            world.wechat.revoke()

    assert [0] * 4 == said


def test_settings_replaced(world: World) -> None:
    """A token of WeChat's that was given out before its account was healed is still known under other settings."""
    world.wechat.overlap = 0.0
    query = {"access_token": world.token("direct")["access_token"], "type": "jsapi"}
    world.wechat.revoke()
    said = []
    for _ in range(2):
        said.append(world.http.get("/cgi-bin/menu/get", params=query).json()["errcode"])
        world.hub.use(Settings([world.provider], world.hub.settings.callers, [SECRET]))

    assert [46003, 46003] == said


def test_strangers_look_seldom(world: World, tmp_path: Path) -> None:
    """Tokens that nobody was given cause few reads of the store."""
    store = CountingStore(tmp_path / "tokens.json")
    with TokenProvider(world.provider.account, store=store) as provider:
        provider.get_token()
        world.hub.use(Settings([provider], world.hub.settings.callers, [SECRET]))
        before = store.loads
        with ThreadPoolExecutor(8) as threads:
            said = list(
                threads.map(
                    lambda number: world.http.get("/cgi-bin/menu/get", params={"access_token": f"88_{number}"}).json(),
                    range(32),
                )
            )

    assert [40014] * 32 == [each["errcode"] for each in said]
    assert 1 <= store.loads - before <= 10
