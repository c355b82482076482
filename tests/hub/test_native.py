"""The hub's own API."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from wxmiddleware import Account, TokenProvider
from wxmiddleware.hub import Caller, Hub, hash_key
from wxmiddleware.hub._settings import Face
from wxmiddleware.jssdk import sign
from wxmiddleware.stores.memory import MemoryStore

from .conftest import SECRET, World


class Asking:
    """Asks a world's hub as a caller."""

    def __init__(self, world: World, caller: str = "direct") -> None:
        self.world = world
        self.headers = {"wxmiddleware": "1", "authorization": f"Bearer {world.keys[caller]}"}

    def __call__(self, path: str = "", method: str = "GET", body: Any = None, **headers: str | None) -> Any:
        sent = self.headers | {name.replace("_", "-"): value for name, value in headers.items()}
        path = path if path.startswith("/v1") else f"/v1/tokens/{self.world.appid}{path}"
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        named = {name: value for name, value in sent.items() if value is not None}
        return self.world.http.request(method, path, content=content, headers=named)

    def rejected(self, **claim: Any) -> Any:
        return self("/rejected", "POST", claim)

    def signature(self, **body: Any) -> Any:
        return self(f"/v1/jssdk/{self.world.appid}/signature", "POST", body)


@pytest.fixture
def ask(world: World) -> Asking:
    return Asking(world)


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[list[dict[str, Any]]]:
    """The audit's lines so far, each time it is asked."""
    caplog.set_level(logging.INFO, "wxmiddleware.hub.audit")

    class Lines(list[dict[str, Any]]):
        def __getitem__(self, which: Any) -> Any:
            return [json.loads(each.message) for each in caplog.records if each.name.endswith("audit")][which]

    return Lines()  # type: ignore[return-value]


def test_token(ask: Asking) -> None:
    """The token, what is left of its life, its number and kind; and nobody on the way is to keep it."""
    answer = ask()
    said = answer.json()

    assert {"access_token", "expires_in", "generation", "kind"} == set(said)
    assert ask.world.wechat.is_valid(said["access_token"])
    assert type(said["expires_in"]) is int
    assert 7000 < said["expires_in"] <= 7200
    assert "access_token" == said["kind"]
    assert f'"{ask.world.appid}.access_token.{said["generation"]}"' == answer.headers["etag"]
    assert "no-store" == answer.headers["cache-control"]
    assert "1" == answer.headers["wxmiddleware"]


def test_nodes_own_fetch(ask: Asking) -> None:
    """It says ``Sec-Fetch-Mode`` as browsers do, and is none."""
    assert 200 == ask(sec_fetch_mode="cors").status_code


@pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}', "{},x", "*"])
def test_unchanged(ask: Asking, form: str) -> None:
    """Who has the token is not sent it again, whatever proxies make of the tag; who has another one is."""
    tag = ask().headers["etag"]
    answer = ask(if_none_match=form.format(tag))

    assert (304, b"", tag) == (answer.status_code, answer.content, answer.headers["etag"])
    ask.world.wechat.revoke()
    ask.world.provider.get_token(rejected=ask.world.provider.get_token())
    if form != "*":
        assert 200 == ask(if_none_match=form.format(tag)).status_code


def test_a_newer_one_is_known(ask: Asking) -> None:
    """A follower that another replica has told of a newer token is not led back to an older one."""
    generation = ask().json()["generation"]
    tags = [f'"{ask.world.appid}.access_token.{generation + by}"' for by in (1, -1)]

    assert [304, 200] == [ask(if_none_match=tag).status_code for tag in tags]
    assert 200 == ask(if_none_match=tags[0].replace(".access_token.", ".jsapi_ticket.")).status_code


def test_tickets(ask: Asking) -> None:
    answer = ask("?kind=jsapi_ticket")
    said = answer.json()

    assert ask.world.wechat.current_ticket() == said["ticket"]
    assert "jsapi_ticket" == said["kind"]
    assert 304 == ask("?kind=jsapi_ticket", if_none_match=answer.headers["etag"]).status_code
    assert 200 == ask("?kind=wx_card_ticket", if_none_match=answer.headers["etag"]).status_code


NO: list[tuple[str, dict[str, Any], int, str]] = [
    ("?kind=agent_ticket", {}, 403, "no such ticket"),
    ("?kind=nothing", {}, 400, "kind is access_token, jsapi_ticket"),
    ("?wait=soon", {}, 400, "wait is a number of seconds"),
    ("?wait=1&wait=2", {}, 400, "twice"),
    ("", {"wxmiddleware": None}, 400, "the header 'Wxmiddleware: 1'"),
    ("", {"wxmiddleware": "yes"}, 400, "the header 'Wxmiddleware: 1'"),
    ("", {"origin": "https://shop.example.com"}, 403, "browser"),
    ("", {"sec_fetch_site": "same-origin"}, 403, "browser"),
    ("", {"authorization": None}, 401, "'Authorization: Bearer KEY' is missing"),
    ("", {"authorization": "Basic eDp5"}, 401, "'Authorization: Bearer KEY' is missing"),
    ("", {"authorization": "Bearer " + "x" * 43}, 401, "knows no caller"),
    ("/v1/tokens/wx0000000000000000", {}, 404, "does not know it"),
    ("/v1/tokens/wx0000000000000001", {}, 404, "does not know it"),
    ("/v1/tokens/%2e%2e", {}, 404, "nothing at this path"),
    ("/v1/tokens/..", {}, 404, ""),
    ("/v1/tokens/a%2fb", {}, 404, "nothing at this path"),
    ("/v1/tokens/", {}, 404, "nothing at this path"),
    ("/v1/", {}, 404, "nothing at this path"),
    ("/v1", {}, 404, "nothing at this path"),
    ("/v1/tokens//rejected", {}, 404, "nothing at this path"),
    ("/v1/else", {}, 404, "nothing at this path"),
    ("", {"method": "OPTIONS"}, 405, "require GET method"),
    ("", {"method": "POST", "body": {}}, 405, "require GET method"),
    ("", {"method": "DELETE"}, 405, "require GET method"),
    ("/rejected", {}, 405, "require POST method"),
    ("/rejected", {"method": "POST", "body": b"{"}, 400, "no JSON object"),
    ("/rejected", {"method": "POST", "body": [1]}, 400, "no JSON object"),
    ("/rejected", {"method": "POST", "body": b'{"a": "' + b"x" * 65536 + b'"}'}, 413, "too long"),
    ("/rejected", {"method": "POST", "body": {}}, 400, "either access_token, a text, or generation"),
    ("/rejected", {"method": "POST", "body": {"access_token": 1}}, 400, "either access_token"),
    ("/rejected", {"method": "POST", "body": {"generation": True}}, 400, "either access_token"),
    ("/rejected", {"method": "POST", "body": {"generation": 1, "access_token": "x"}}, 400, "either access_token"),
]


@pytest.mark.parametrize(("path", "how", "status", "said"), NO)
def test_no(ask: Asking, path: str, how: dict[str, Any], status: int, said: str) -> None:
    """What cannot be is said with a status, and in words."""
    answer = ask(path, **how)

    assert status == answer.status_code
    if path != "/v1/tokens/..":  # which the client itself makes shorter
        assert said in answer.json()["errmsg"]
        assert answer.json()["errcode"] != 0
        assert "no-store" == answer.headers["cache-control"]
    assert "access-control-allow-origin" not in answer.headers
    assert (status == 405) == ("allow" in answer.headers)
    assert (status == 401) == ("www-authenticate" in answer.headers)
    assert 0 == ask.world.wechat.fetches()


def test_wechats_token_does_not_leave_the_hub(world: World) -> None:
    """A caller that is given the hub's own tokens gets WeChat's nowhere."""
    ask = Asking(world, "sdk")

    assert [403, 403, 403] == [ask(path).status_code for path in ("", "?kind=jsapi_ticket", "?wait=1")]
    assert 403 == ask.rejected(generation=1).status_code
    assert "do not leave the hub" in ask().json()["errmsg"]


def test_accounts_of_others(ask: Asking) -> None:
    """A forbidden account and an unknown one cannot be told apart."""
    with TokenProvider(Account("wx1111111111111111", "s3cr3t")) as other:
        world = ask.world
        caller = world.hub.settings.by_caller["direct"]
        world.hub.use(type(world.hub.settings)([world.provider, other], [caller], [SECRET]))
        forbidden, unknown = ask(f"/v1/tokens/{other.account.appid}"), ask("/v1/tokens/wx2222222222222222")

    assert (404, forbidden.json()) == (unknown.status_code, unknown.json())


def test_rate(world: World) -> None:
    caller = Caller("direct", [hash_key(world.keys["direct"])], [world.appid], tokens="wechat", rate=4)
    world.hub.use(type(world.hub.settings)([world.provider], [caller], [SECRET]))
    answers = [Asking(world)() for _ in range(2)]

    assert [200, 429] == [each.status_code for each in answers]
    assert 45011 == answers[1].json()["errcode"]
    assert "1" == answers[1].headers["retry-after"]


def test_head(ask: Asking) -> None:
    answer = ask(method="HEAD")

    assert (200, b"") == (answer.status_code, answer.content)
    assert ask().headers["etag"] == answer.headers["etag"]


def test_no_token(ask: Asking) -> None:
    """While WeChat gives none the hub says so, and when to come again; WeChat's code is not the caller's."""
    ask.world.wechat.faults.add("/cgi-bin/stable_token", "errcode", errcode=40164)
    answer = ask()

    assert 503 == answer.status_code
    assert 1 <= int(answer.headers["retry-after"]) <= 5
    assert -1 == answer.json()["errcode"]
    assert "40164" in answer.json()["errmsg"]


@pytest.mark.parametrize("by", ["access_token", "generation"])
def test_rejected(ask: Asking, by: str) -> None:
    """A theft that one caller tells of is healed for all, by one fetch, however many tell of it."""
    first = ask().json()
    ask.world.wechat.revoke()
    answers = [ask.rejected(**{by: first[by]}) for _ in range(8)]

    assert [200] * 8 == [each.status_code for each in answers]
    assert 1 == len({each.json()["access_token"] for each in answers})
    assert ask.world.wechat.is_valid(answers[0].json()["access_token"])
    assert ask().json()["generation"] == answers[0].json()["generation"] > first["generation"]
    assert 2 == ask.world.wechat.fetches()


@pytest.mark.parametrize("by", ["access_token", "generation"])
def test_rejected_without_a_reason(ask: Asking, by: str) -> None:
    """Nobody's claim alone ends a token: WeChat is asked, seldom however often it is claimed, and none is fetched."""
    first = ask().json()
    answers = [ask.rejected(**{by: first[by]}) for _ in range(40)]

    assert {first["access_token"]} == {each.json()["access_token"] for each in answers}
    assert 1 == ask.world.wechat.fetches()
    assert 1 <= ask.world.wechat.calls("/cgi-bin/get_api_domain_ip") <= 20


def test_rejected_for_a_reason_at_last(ask: Asking) -> None:
    """A theft right after a claim that was not borne out is healed at once."""
    first = ask().json()
    claim = {"generation": first["generation"]}
    assert first == {**ask.rejected(**claim).json(), "expires_in": first["expires_in"]}
    ask.world.wechat.revoke()

    assert ask.world.wechat.is_valid(ask.rejected(**claim).json()["access_token"])
    assert 2 == ask.world.wechat.fetches()


@pytest.mark.parametrize("claim", [{"access_token": "88_never_given"}, {"access_token": "\ud800"}, {"generation": 1}])
def test_rejected_another(ask: Asking, claim: dict[str, Any]) -> None:
    """Who names another token than the one in use is given that, and WeChat is not asked."""
    first = ask().json()

    assert first["access_token"] == ask.rejected(**claim).json()["access_token"]
    assert 0 == ask.world.wechat.calls("/cgi-bin/get_api_domain_ip")


def test_rejected_twice(ask: Asking) -> None:
    """The engine's brakes hold for the hub's callers: two thefts within 30 s are healed once."""
    ask()
    for _ in range(2):
        ask.world.wechat.revoke()
        answer = ask.rejected(generation=ask().json()["generation"])

    assert 503 == answer.status_code
    assert 1 <= int(answer.headers["retry-after"]) <= 5
    assert 2 == ask.world.wechat.fetches()


def test_signature(world: World) -> None:
    """A page is signed also for a caller that may have no token of WeChat's."""
    ask, url = Asking(world, "sdk"), "https://shop.example.com/page?x=1#top"
    signed = ask.signature(url=url).json()
    again = ask.signature(url=url, rejected=signed).json()

    for each in (signed, again):
        ticket = world.wechat.current_ticket() or ""
        assert each["signature"] == sign(ticket, url, nonce=each["nonceStr"], timestamp=each["timestamp"])
        assert world.appid == each["appId"]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({}, 400, "url is a text"),
        ({"url": "/page"}, 400, "the page's whole URL"),
        ({"url": "https://a.example.com/\ud800"}, 400, "the page's whole URL"),
        ({"url": "https://a.example.com/", "rejected": "yes"}, 400, "what was signed before"),
        ({"url": "https://a.example.com/", "ticket": "card"}, 400, "jsapi or agent_config"),
        ({"url": "https://a.example.com/", "ticket": "agent_config"}, 403, "no such ticket"),
    ],
)
def test_no_signature(ask: Asking, body: dict[str, Any], status: int, said: str) -> None:
    answer = ask.signature(**body)

    assert status == answer.status_code
    assert said in answer.json()["errmsg"]


def test_no_ticket(ask: Asking) -> None:
    ask()
    ask.world.wechat.faults.add("/cgi-bin/ticket/getticket", "errcode", errcode=48001)
    answer = ask.signature(url="https://a.example.com/")

    assert 503 == answer.status_code
    assert "48001" in answer.json()["errmsg"]
    assert "retry-after" in answer.headers


def test_faces(world: World) -> None:
    """Each part of it is a face of its own."""
    faces: list[tuple[Face, list[int]]] = [("native", [200, 403]), ("jssdk", [403, 200])]
    for face, statuses in faces:
        caller = Caller("direct", [hash_key(world.keys["direct"])], [world.appid], [face], tokens="wechat")
        world.hub.use(type(world.hub.settings)([world.provider], [caller], [SECRET]))
        ask = Asking(world)

        assert statuses == [ask().status_code, ask.signature(url="https://a.example.com/").status_code]


def test_audit(ask: Asking, lines: list[dict[str, Any]]) -> None:
    """One line for each request: who, for whom, which token, and what came of it; never a token or a key."""
    first = ask()
    ask(if_none_match=first.headers["etag"])
    ask("/rejected", "POST", {})
    ask.world.wechat.revoke()
    ask.rejected(access_token=first.json()["access_token"])
    ask.signature(url="https://shop.example.com/")
    ask("/v1/tokens/%2e%2e")
    told = [
        (each["face"], each.get("caller"), each.get("account"), each["result"], each["status"], each.get("healed"))
        for each in lines[:]
    ]
    me, appid = "direct", ask.world.appid

    assert [
        ("native", me, appid, "ok", 200, None),
        ("native", me, appid, "unchanged", 304, None),
        ("native", me, appid, "refused", 400, None),
        ("native", me, appid, "ok", 200, True),
        ("jssdk", me, appid, "ok", 200, None),
        ("native", None, None, "refused", 404, None),
    ] == told
    assert lines[0]["generation"] == first.json()["generation"] < lines[3]["generation"]
    ticket = ask.world.wechat.current_ticket()
    assert ticket
    assert not [
        each for each in (first.json()["access_token"], ask.world.keys["direct"], ticket) if each in str(lines[:])
    ]


class _Counting(MemoryStore):
    """A store that others could write to, and that counts."""

    shared = True
    loads = 0

    def load(self, key: str) -> Any:
        self.loads += 1
        return super().load(key)


def test_answered_from_memory(world: World) -> None:
    """The store is not called for an answer."""
    store = _Counting()
    with TokenProvider(world.provider.account, store=store) as provider:
        world.hub.use(type(world.hub.settings)([provider], world.hub.settings.callers, [SECRET]))
        ask = Asking(world)
        tag = ask().headers["etag"]
        before = store.loads
        answers = [ask(if_none_match=each).status_code for each in ["", tag] * 50]

    assert [200, 304] * 50 == answers
    assert before == store.loads > 0


def test_unexpected(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake of the hub's own is a 500, and says nothing."""
    monkeypatch.setattr("wxmiddleware.hub._native.life_for", lambda *_: 1 / 0)
    answer = Asking(world)()

    assert (500, -1) == (answer.status_code, answer.json()["errcode"])


def test_mounted(world: World) -> None:
    """Below a path of another app it is the same."""
    from starlette.applications import Starlette
    from starlette.routing import Mount
    from starlette.testclient import TestClient

    hub = Hub([world.provider], callers=world.hub.settings.callers, secrets=[SECRET])
    http = TestClient(Starlette(routes=[Mount("/hub", app=hub)]))
    answer = http.get(f"/hub/v1/tokens/{world.appid}", headers=Asking(world).headers)

    assert 200 == answer.status_code
    assert 404 == http.get("/hub/v1/tokens/%2e%2e", headers=Asking(world).headers).status_code
