"""What arrives at WeChat, and what comes back: bytes, beside a server that remembers each."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from starlette.testclient import TestClient
from support.api_server import OK, REJECTED, Api, serving
from support.sources import EndlessSource

from wxmiddleware import Account, TokenProvider
from wxmiddleware.hub import Caller, Hub, hash_key, new_key

from .conftest import SECRET

APPID, APPSECRET = "wx0123456789abcdef", "f" * 32
PATH = "/cgi-bin/message/custom/send"


@dataclass
class Wire:
    """A hub whose WeChat remembers what it was sent. Its tokens are T1, which is rejected, T2, and so on."""

    api: Api
    hub: Hub
    http: TestClient
    key: str
    own_key: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    def token(self) -> str:
        query = {"appid": APPID, "secret": self.key}
        token: str = self.http.get("/cgi-bin/token", params=query).json()["access_token"]
        return token

    def target(self, query: str, **more: Any) -> str:
        """Call with a query, and give what of the last request's URL arrived."""
        self.http.get(f"{PATH}?{query}", **more)
        return self.api.seen[-1].target.partition("?")[2]


@pytest.fixture
def wire() -> Iterator[Wire]:
    key, own_key = new_key(), new_key()
    callers = [
        Caller("shop", [hash_key(key)], [APPID]),
        Caller("own", [hash_key(own_key)], [APPID], keep_token=True),
    ]
    with serving() as api:
        account = Account(APPID, APPSECRET, base_url=api.url)
        with TokenProvider(account, source=EndlessSource("T{number}", kind="forwarded")) as provider:
            hub = Hub([provider], callers=callers, secrets=[SECRET])
            with TestClient(hub) as http:
                yield Wire(api, hub, http, key, own_key)


def test_the_query_is_edited_in_place(wire: Wire) -> None:
    token = wire.token()

    assert "b=%e4%bd%a0&access_token=T2&a=1&a=2&c&=&d=+" == wire.target(
        f"b=%e4%bd%a0&access_token={token}&a=1&a=2&c&=&d=+"
    )
    assert "a=%2b&access_token=T2" == wire.target("a=%2b", headers=wire.headers)
    assert "access_token=T2" == wire.target("", headers=wire.headers)


def test_the_callers_affairs_stay_here(wire: Wire) -> None:
    given = {
        **wire.headers,
        "Cookie": "a=b",
        "X-Forwarded-For": "10.0.0.7",
        "Forwarded": "for=10.0.0.7",
        "X_Forwarded_For": "10.0.0.7",
        "X-Client-IP": "10.0.0.7",
        "Transfer_Encoding": "chunked",
        "Content_Length": "7",
        "X-HTTP-Method-Override": "DELETE",
        "X-Original-URL": "/cgi-bin/token",
        "Via": "1.1 proxy",
        "Proxy-Authorization": "Basic eDp5",
        "X-Wxmiddleware-Caller": "shop",
        "Connection": "X-Private, keep-alive",
        "X-Private": "1",
        "TE": "trailers",
        "X-Copy-Of-Key": f"key={wire.key}",
        "Referer": "http://inside.example/",
        "Accept-Encoding": "br",
        "Content-Type": "application/json; charset=gbk",
        "User-Agent": "shop/1.0",
        "Accept": "application/json",
        "X-Other": "kept",
    }
    wire.http.post(PATH, content=b"{}", headers=given)

    assert {
        "host": wire.api.url.removeprefix("http://"),
        "accept-encoding": "identity",
        "content-type": "application/json; charset=gbk",
        "content-length": "2",
        "user-agent": "shop/1.0",
        "accept": "application/json",
        "x-other": "kept",
    } == wire.api.seen[-1].headers


def test_nothing_is_added(wire: Wire) -> None:
    for name in ("user-agent", "accept"):
        del wire.http.headers[name]
    wire.http.post(PATH, content=b"{}", headers=wire.headers)

    assert {"host", "accept-encoding", "content-length"} == set(wire.api.seen[-1].headers)


def test_sent_again_as_it_was(wire: Wire) -> None:
    body = bytes(range(256)) * 4000
    answer = wire.http.post(PATH, content=body, headers=wire.headers)

    assert OK == answer.content
    assert ["T1", "T2"] == wire.api.tokens
    assert [body, body] == [each.body for each in wire.api.seen]


def test_too_long_to_be_kept(wire: Wire) -> None:
    body = bytes(3 * 1024 * 1024)
    answer, again = (wire.http.post(PATH, content=body, headers=wire.headers) for _ in range(2))

    assert -1 == answer.json()["errcode"]
    assert "send the call again" in answer.json()["errmsg"]
    assert OK == again.content
    assert [body, body] == [each.body for each in wire.api.seen]


@pytest.mark.parametrize("errcode", [40001, 40014, 42001])
def test_no_caller_sees_a_rejection(wire: Wire, errcode: int) -> None:
    rejected = json.dumps({"errcode": errcode, "errmsg": "invalid credential"}).encode()
    wire.api.answer = lambda seen: (200, {}, [rejected])

    for query in ("", f"?access_token={wire.token()}"):
        answer = wire.http.post(PATH + query, content=b"{}", headers={} if query else wire.headers).json()
        assert -1 == answer["errcode"]
        assert "Try again later" in answer["errmsg"]
    assert "within 30 s of the last rejection it may not" in answer["errmsg"]


def test_a_token_of_its_own_is_kept(wire: Wire) -> None:
    own = {"Authorization": f"Bearer {wire.own_key}"}

    assert "access_token=users%5fown&a=1" == wire.target("access_token=users%5fown&a=1", headers=own)
    assert "access_token=T2&a=1" == wire.target(f"access_token={wire.token()}&a=1", headers=own)
    assert "access_token=T2&a=1" == wire.target("access_token=T2&a=1", headers=own)
    assert "a=1&access_token=T2" == wire.target("a=1", headers=own)
    wire.api.answer = lambda seen: (200, {}, [REJECTED])
    assert REJECTED == wire.http.get(f"{PATH}?access_token=own", headers=own).content
    assert "own" == wire.api.tokens[-1]


@pytest.mark.parametrize("path", ["/sns/jscode2session", "/sns/oauth2/access_token"])
def test_a_users_login(wire: Wire, path: str) -> None:
    wire.http.get(f"{path}?appid={APPID}&secret={wire.key}&js_code=c")
    wire.http.get(f"/{APPID}{path}?js_code=c", headers=wire.headers)

    assert [
        f"{path}?appid={APPID}&secret={APPSECRET}&js_code=c",
        f"{path}?js_code=c&appid={APPID}&secret={APPSECRET}",
    ] == [each.target for each in wire.api.seen]
    assert 40125 == wire.http.get(f"{path}?appid={APPID}&secret={APPSECRET}").json()["errcode"]
    assert 40125 == wire.http.get(f"{path}?appid={APPID}&secret={wire.own_key}", headers=wire.headers).json()["errcode"]
    assert 40013 == wire.http.get(f"{path}?appid=wx0&secret={wire.key}").json()["errcode"]
    assert 41004 == wire.http.get(f"{path}?appid={APPID}").json()["errcode"]


def test_a_users_token(wire: Wire) -> None:
    wire.http.get("/sns/userinfo?access_token=T1&openid=o", headers=wire.headers)

    assert "/sns/userinfo?access_token=T1&openid=o" == wire.api.seen[-1].target
    assert 1 == len(wire.api.seen)
    assert 40014 == wire.http.get(f"/sns/userinfo?access_token={wire.token()}", headers=wire.headers).json()["errcode"]


def test_nothing_quoted_comes_back(wire: Wire) -> None:
    def quoting(seen: Any) -> Any:
        url = f"http://{seen.headers['host']}{seen.target}"
        return 502, {"Location": url, "Content-Type": "text/html"}, [f"<p>{url}</p>".encode()]

    wire.api.answer = quoting
    for path in (f"{PATH}?a=1", f"/sns/jscode2session?appid={APPID}"):
        answer = wire.http.get(path, headers=wire.headers, follow_redirects=False)
        shown = answer.text + str(answer.headers)
        assert 502 == answer.status_code
        assert "T1" not in shown
        assert APPSECRET not in shown


@pytest.mark.parametrize(("name", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_packed_all_the_same(wire: Wire, name: str, pack: Any) -> None:
    wire.api.rejection = {"Content-Encoding": name}, pack(REJECTED)
    wire.api.success = {"Content-Encoding": name}, pack(OK)
    answer = wire.http.post(PATH, content=b"{}", headers=wire.headers)

    assert OK == answer.content
    assert "content-encoding" not in answer.headers
    assert ["T1", "T2"] == wire.api.tokens


def test_packed_in_another_way(wire: Wire) -> None:
    wire.api.rejection = {"Content-Encoding": "zstd"}, b"anything"
    answer = wire.http.post(PATH, content=b"{}", headers=wire.headers).json()

    assert -1 == answer["errcode"]


def test_a_file_is_nobodys_error(wire: Wire) -> None:
    wire.api.rejection = {"Content-Disposition": 'attachment; filename="a.txt"'}, REJECTED
    answer = wire.http.get("/cgi-bin/media/get", headers=wire.headers)

    assert REJECTED == answer.content
    assert 1 == len(wire.api.seen)


def test_headers_that_come_back(wire: Wire) -> None:
    wire.api.rejection = (
        {
            "Set-Cookie": "a=b",
            "Alt-Svc": 'h3=":443"',
            "Connection": "x-hop, keep-alive",
            "Keep-Alive": "timeout=5",
            "X-Hop": "1",
            "X-Kept": "1",
            "Content-Type": "text/plain",
        },
        OK,
    )
    answer = wire.http.get(PATH, headers=wire.headers)

    assert {"content-length": "27", "content-type": "text/plain", "x-kept": "1"} == dict(answer.headers)


def test_wechat_is_away(wire: Wire) -> None:
    wire.token()
    wire.api.answer = lambda seen: (_ for _ in ()).throw(ConnectionError)
    answer = wire.http.post(PATH, content=b"{}", headers=wire.headers).json()

    assert -1 == answer["errcode"]
    assert "Nobody knows" in answer["errmsg"]
