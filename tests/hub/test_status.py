"""The hub's status page: for callers with that face, and for no stranger."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient
from support.leaks import everything_logged

from wxmiddleware import Account, ConfigurationError, TokenProvider
from wxmiddleware.hub import Caller, Hub, Settings, hash_key, new_key
from wxmiddleware.simulator import SimulatorServer, WeChat

from .conftest import SECRET

KEY, PLAIN = new_key(), new_key()


@pytest.fixture
def providers(wechat: WeChat, wechat_server: SimulatorServer) -> Iterator[list[TokenProvider]]:
    other = wechat.add_account("wx0000000000000001", "1" * 32)
    accounts = [(wechat.appid, wechat.secret), (other.appid, other.secret)]
    made = [TokenProvider(Account(appid, secret, base_url=wechat_server.url)) for appid, secret in accounts]
    yield made
    for each in made:
        each.close()


def callers(*accounts: str) -> list[Caller]:
    return [
        Caller("ops", [hash_key(KEY)], accounts, faces=["status"]),
        Caller("shop", [hash_key(PLAIN)], accounts),
    ]


@pytest.fixture
def hub(providers: list[TokenProvider]) -> Hub:
    return Hub(providers, callers=callers(providers[0].account.appid), secrets=[SECRET])


def get(hub: Any, path: str = "/status", **options: Any) -> Any:
    with TestClient(hub, client=("127.0.0.1", 50_000)) as http:
        return http.get(path, **options)


def test_a_browser_is_asked_for_the_key(hub: Hub, providers: list[TokenProvider]) -> None:
    token = providers[0].get_token()
    stranger, operator = get(hub), get(hub, auth=("anybody", KEY))

    assert 401 == stranger.status_code
    assert stranger.headers["WWW-Authenticate"].startswith("Basic ")
    assert "wx" not in stranger.text.replace("wxmiddleware", "")
    assert 200 == operator.status_code
    assert "The account has a token" in operator.text
    assert token not in operator.text


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Authorization": f"Bearer {KEY}"}, 200),
        ({"Authorization": f"Bearer {PLAIN}"}, 403),
        ({"Authorization": f"Bearer {new_key()}"}, 401),
        ({"Authorization": "Basic %%%"}, 401),
        ({"Authorization": "Basic " + "//79" * 8}, 401),
        ({"Authorization": f"Digest {KEY}"}, 401),
        ({"X-Forwarded-For": "127.0.0.1", "Host": "localhost"}, 401),  # nobody is let in for where he comes from
        ({"Cookie": f"key={KEY}"}, 401),
    ],
)
def test_who_may(hub: Hub, headers: dict[str, str], status: int) -> None:
    assert status == get(hub, headers=headers).status_code


def test_in_the_query_it_is_no_key(hub: Hub) -> None:
    """It would stand in logs."""
    assert 401 == get(hub, f"/status?key={KEY}&access_token={KEY}&secret={KEY}").status_code


def test_its_own_accounts(hub: Hub, providers: list[TokenProvider]) -> None:
    for each in providers:
        each.get_token()
    found = get(hub, auth=("", KEY), headers={"Accept": "application/json"}).json()

    assert [providers[0].account.appid] == [each["appid"] for each in found["accounts"]]
    assert {providers[0].account.appid} >= {each["appid"] for each in found["events"]}


def test_mounted(hub: Hub) -> None:
    app = Starlette(routes=[Mount("/hub", hub)])

    assert "这里" not in get(app, "/hub/status?lang=zh", auth=("", KEY)).text
    assert "账号没有可用的 token" in get(app, "/hub/status/?lang=zh", auth=("", KEY)).text


def test_other_settings(hub: Hub, providers: list[TokenProvider]) -> None:
    """What was seen stays, and who may no longer look may not."""
    providers[0].get_token()
    assert hub._status._history is not None
    kept = hub._status._history
    hub.use(Settings(providers, callers(*(each.account.appid for each in providers)), [SECRET]))
    both = get(hub, auth=("", KEY), headers={"Accept": "application/json"}).json()
    hub.use(Settings(providers, callers(providers[0].account.appid)[1:], [SECRET]))

    assert 2 == both["count"]
    assert kept is hub._status._history
    assert 401 == get(hub, auth=("", KEY)).status_code


def test_it_has_to_be_named() -> None:
    assert "status" not in Caller("shop", [hash_key(KEY)], ["wx0000000000000001"]).faces
    with pytest.raises(ConfigurationError, match="it has none"):
        Caller("ops", [hash_key(KEY)], [], faces=["status"])


def test_nothing_is_logged_that_is_secret(hub: Hub, providers: list[TokenProvider]) -> None:
    with everything_logged() as log:
        token = providers[0].get_token()
        get(hub, auth=("somebody", KEY))
        get(hub, auth=("somebody", PLAIN))

    assert '"face": "status"' in log.getvalue()
    assert [] == [each for each in (KEY, PLAIN, token) if each in log.getvalue()]
