"""`raise_for_errcode`: WeChat's errors as exceptions, from whatever holds an answer."""

from __future__ import annotations

import json
import re
from collections import UserDict
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import anyio
import flask
import httpx
import httpx2
import pytest
import requests
import starlette.responses
import urllib3
from hypothesis import given
from hypothesis import strategies as st
from support.api_server import serving
from support.clients import CLIENTS, NO_ROOTS

from wxmiddleware import (
    APIError,
    TokenProvider,
    TokenRefused,
    WeComAccount,
    araise_for_errcode,
    raise_for_errcode,
    use_provider,
    with_token,
)
from wxmiddleware._rules.advice import ROWS, Place
from wxmiddleware._rules.errcodes import words_on
from wxmiddleware.simulator import WeChat

TEXT = "invalid openid rid: 6aac0063-7ed08fb9-1250f724"
ERROR = {"errcode": 40003, "errmsg": TEXT}
USER = {"openid": "oABC", "nickname": "名"}
JPEG = b"\xff\xd8\xff\xe0" + bytes(range(256))


def _requests(body: bytes) -> requests.Response:
    response = requests.Response()
    response._content = body
    return response


WRAPPED: list[Callable[[bytes], Any]] = [
    json.loads,
    lambda body: UserDict(json.loads(body)),
    bytes,
    bytearray,
    bytes.decode,
    _requests,
    lambda body: httpx.Response(200, content=body),
    lambda body: httpx2.Response(200, content=body),
    lambda body: flask.Response(body, content_type="text/plain"),
    lambda body: starlette.responses.Response(body, media_type="image/jpeg"),
]


@pytest.mark.parametrize("wrap", WRAPPED)
def test_error(wrap: Callable[[bytes], Any]) -> None:
    """An error is raised with all that WeChat said, and with what to do."""
    with pytest.raises(APIError) as caught:
        raise_for_errcode(wrap(json.dumps(ERROR).encode()))

    assert (40003, TEXT, "6aac0063-7ed08fb9-1250f724") == (caught.value.errcode, caught.value.errmsg, caught.value.rid)
    assert str(caught.value) == (
        "WeChat answers errcode 40003 (invalid openid). Check the openid: it is not one of this account's users. "
        "Request id (rid): 6aac0063-7ed08fb9-1250f724."
    )


@pytest.mark.parametrize("answer", [USER, {"errcode": 0, "errmsg": "ok", "list": ["x" * 100_000]}])
@pytest.mark.parametrize("wrap", WRAPPED)
def test_success(wrap: Callable[[bytes], Any], answer: dict[str, Any]) -> None:
    """What is in an answer comes back, however long it is."""
    assert answer == raise_for_errcode(wrap(json.dumps(answer).encode()))


@pytest.mark.parametrize("body", [JPEG, b"[1]", b"12", b"<xml><return_code>SUCCESS</return_code></xml>", b"\x00"])
@pytest.mark.parametrize("wrap", [*WRAPPED[2:4], *WRAPPED[5:]])
def test_what_is_no_json_object(wrap: Callable[[bytes], Any], body: bytes) -> None:
    """A picture comes back as it was given."""
    answer = wrap(body)

    assert answer is raise_for_errcode(answer)
    assert answer is anyio.run(araise_for_errcode, answer)


BROKEN = {
    b"": "empty",
    b" \r\n": "empty",
    b'{"errcode":': "broken",
    b"{errcode: 0}": "broken",
    b"<html>502 Bad Gateway</html>": "HTML",
    b"\n<!DOCTYPE html><title>Login</title>": "HTML",
    b'{"errcode": "none"}': "no number",
    b'{"errcode": [40001]}': "no number",
}


@pytest.mark.parametrize("body", BROKEN, ids=lambda body: BROKEN[body])
@pytest.mark.parametrize("wrap", WRAPPED[2:])
def test_what_is_no_answer(wrap: Callable[[bytes], Any], body: bytes) -> None:
    """What cannot be read is no success: nobody knows whether the call did anything."""
    judges: list[Callable[[Any], object]] = [raise_for_errcode, lambda answer: anyio.run(araise_for_errcode, answer)]
    for judge in judges:
        with pytest.raises(APIError, match=BROKEN[body]) as caught:
            judge(wrap(body))

        assert caught.value.errcode is None


def test_html_by_its_type() -> None:
    """A page is one as well if it begins in another way."""
    with pytest.raises(APIError, match="HTML"):
        raise_for_errcode(httpx.Response(200, content=b"Bad gateway", headers={"Content-Type": "Text/HTML; x"}))


@pytest.mark.parametrize("body", [b"OK", b"null", b"[]", b'"busy"', b'[{"errcode": 40001}]', b"5"])
def test_json_without_an_object(body: bytes) -> None:
    """WeChat's JSON is always an object; a picture with the wrong type is a picture all the same."""
    headers = {"Content-Type": "Application/JSON; encoding=utf-8"}

    with pytest.raises(APIError, match="no object"):
        raise_for_errcode(httpx.Response(200, content=body, headers=headers))
    picture = httpx.Response(200, content=JPEG, headers=headers)
    assert picture is raise_for_errcode(picture)


def _status(status: int, body: bytes) -> list[Any]:
    response = _requests(body)
    response.status_code = status
    plain = "application/octet-stream"
    return [
        response,
        httpx.Response(status, content=body),
        httpx2.Response(status, content=body),
        flask.Response(body, status, content_type=plain),
        starlette.responses.Response(body, status, media_type=plain),
    ]


@pytest.mark.parametrize("status", [301, 302, 400, 403, 404, 500, 502, 503])
@pytest.mark.parametrize("body", [b"", b"Bad Gateway", JPEG, b'{"message":"no route"}', b'{"errcode":0}', b"[]"])
def test_http_errors(status: int, body: bytes) -> None:
    """A gateway's answer is none of WeChat's, whatever is in it."""
    for answer in _status(status, body):
        with pytest.raises(APIError, match=f"HTTP {status}") as caught:
            raise_for_errcode(answer)

        assert caught.value.errcode is None


@pytest.mark.parametrize("status", [200, 201, 412, 500])
def test_wechats_error_behind_any_status(status: int) -> None:
    """Its errcode counts for more than the status."""
    for answer in _status(status, json.dumps(ERROR).encode()):
        with pytest.raises(APIError) as caught:
            raise_for_errcode(answer)

        assert 40003 == caught.value.errcode


async def _coroutine() -> dict[str, Any]:
    return {"errcode": 43101}


class ClientResponse:
    """As aiohttp's looks from here."""

    status = 200


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (None, "None"),
        (0, "int"),
        (True, "bool"),
        (1.5, "float"),
        ([{"errcode": 0}], "list"),
        (("ok",), "tuple"),
        (object(), "object"),
        (ClientResponse(), "aiohttp"),
        (dict, "type"),
        (urllib3.HTTPResponse(b'{"errcode":43101}'), r"response\.data of urllib3"),
        (SimpleNamespace(errcode=0), "SimpleNamespace"),
    ],
    ids=lambda one: type(one).__name__,
)
def test_no_answer_at_all(answer: Any, told: str) -> None:
    """What it cannot look into it does not call a success."""
    with pytest.raises(TypeError, match=told):
        raise_for_errcode(answer)
    with pytest.raises(TypeError, match=told):
        anyio.run(araise_for_errcode, answer)


def test_a_call_that_was_not_awaited() -> None:
    """It is told as that."""
    forgotten = _coroutine()
    with pytest.raises(TypeError, match="await"):
        raise_for_errcode(forgotten)  # type: ignore[call-overload]
    forgotten.close()


@pytest.mark.parametrize(
    ("errcode", "answer"),
    [
        (40001, {"errcode": "40001"}),
        (-1, {"errcode": -1, "errmsg": None}),
        (40014, {"base_resp": {"errcode": 40014, "errmsg": "bad"}}),
        (9, {"base_resp": {"ret": 9}}),
    ],
)
def test_shapes(errcode: int, answer: dict[str, Any]) -> None:
    """Errors are found as numbers and as text, at the top and in base_resp."""
    with pytest.raises(APIError) as caught:
        raise_for_errcode(answer)

    assert errcode == caught.value.errcode
    assert caught.value.errmsg == ("bad" if "bad" in str(answer) else "")


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.none()), st.just(0) | st.integers(-(10**7), 10**7))
def test_round_trip(others: dict[str, Any], errcode: int) -> None:
    """Any object is raised with its errcode, or given back."""
    answer = {**others, "errcode": errcode}
    body = json.dumps(answer).encode()
    if errcode:
        with pytest.raises(APIError) as caught:
            raise_for_errcode(body)

        assert errcode == caught.value.errcode
    else:
        assert answer == raise_for_errcode(body)


def test_nothing_secret_is_quoted() -> None:
    """A gateway that quotes the URL shows no token."""
    with pytest.raises(APIError) as caught:
        raise_for_errcode({"errcode": 1, "errmsg": "no route: /x?access_token=88_token&a=1"})

    assert "no route: /x?access_token=***&a=1" == caught.value.errmsg
    assert "88_token" not in str(caught.value)


def test_a_stream_keeps_every_byte() -> None:
    """A picture that streams comes back as a response with all of it; an error in its place is raised."""
    with serving() as api, requests.Session() as session, httpx.Client(verify=NO_ROOTS) as client:
        api.success = ({}, JPEG * 1000)
        answer: Any = raise_for_errcode(session.get(api.url, stream=True, timeout=5))
        with client.stream("GET", api.url) as streamed:
            assert streamed is raise_for_errcode(streamed)
            assert JPEG * 1000 == streamed.read()
        assert JPEG * 1000 == answer.content
        api.success = ({"Content-Type": "image/jpeg"}, json.dumps(ERROR).encode())
        with pytest.raises(APIError), session.get(api.url, stream=True, timeout=5) as refused:
            raise_for_errcode(refused)


def test_what_cannot_be_looked_at() -> None:
    """An async response that was not read, and a stream that is gone, are said so."""

    async def main(url: str) -> None:
        async with httpx.AsyncClient(verify=NO_ROOTS) as client, client.stream("GET", url) as response:
            with pytest.raises(TypeError, match=r"aread.*araise_for_errcode"):
                raise_for_errcode(response)
            await response.aread()
            assert raise_for_errcode(response) == {"errcode": 0, "errmsg": "ok"}

    with serving() as api:
        anyio.run(main, api.url)
        response = requests.get(api.url, stream=True, timeout=5)
        assert b"" != b"".join(response.iter_content(10))
        with pytest.raises(TypeError, match="already"):
            raise_for_errcode(response)


@pytest.mark.parametrize("library", [httpx, httpx2])
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_async_stream(library: Any, backend: str) -> None:
    """A picture that streams keeps every byte; an error in its place is raised, and so is what breaks at once."""

    async def main(url: str, api: Any) -> None:
        async with library.AsyncClient(verify=NO_ROOTS, trust_env=False) as client:
            async with client.stream("GET", url) as response:
                assert response is await araise_for_errcode(response)
                assert JPEG * 1000 == await response.aread()
            api.success = ({"Content-Type": "image/jpeg"}, json.dumps(ERROR).encode())
            async with client.stream("GET", url) as response:
                with pytest.raises(APIError, match="40003"):
                    await araise_for_errcode(response)
            api.success = ({"Content-Disposition": "attachment"}, b'{"errcode":42001}')
            async with client.stream("GET", url) as response:
                assert response is await araise_for_errcode(response)
                assert b'{"errcode":42001}' == await response.aread()
            api.success = ({"Content-Encoding": "br"}, b"packed")
            async with client.stream("GET", url) as response:
                with pytest.raises(TypeError, match="packed"):
                    await araise_for_errcode(response)
            api.answer = lambda seen: (200, {"Content-Length": "100"}, iter([b'{"errcode"']))
            async with client.stream("GET", url) as response:
                with pytest.raises(library.HTTPError):
                    await araise_for_errcode(response)

    with serving() as api:
        api.success = ({}, JPEG * 1000)
        anyio.run(main, api.url, api, backend=backend)


def test_streams_that_cannot_be_looked_at() -> None:
    """They are told, and not taken for a success."""
    with serving() as api:
        api.success = ({}, b'{"errcode":43101}' + b" " * 100)
        with requests.get(api.url, stream=True, timeout=5) as response:
            response.raw.read(5)
            with pytest.raises(TypeError, match="in part"):
                raise_for_errcode(response)
        api.success = ({"Content-Encoding": "zstd"}, b"packed")
        with requests.get(api.url, stream=True, timeout=5) as response, pytest.raises(TypeError, match="packed"):
            raise_for_errcode(response)
        api.answer = lambda seen: (200, {"Content-Length": "100"}, iter([b'{"errcode"']))
        with requests.get(api.url, stream=True, timeout=5) as response, pytest.raises(urllib3.exceptions.HTTPError):
            raise_for_errcode(response)
        with requests.get(api.url, stream=True, timeout=5) as response, pytest.raises(TypeError, match="block"):
            anyio.run(araise_for_errcode, response)
        with httpx.Client(verify=NO_ROOTS) as client, client.stream("GET", api.url) as unread:
            pass
        with pytest.raises(TypeError, match="closed"):
            raise_for_errcode(unread)
    for made in (
        flask.Response(iter([b"{}"])),
        starlette.responses.StreamingResponse(iter([b"{}"])),
    ):
        with pytest.raises(TypeError, match="streams"):
            raise_for_errcode(made)


MORE = "more info at https://open.work.weixin.qq.com/devtool/query?e="
HINT = "hint: [1707074068426830714460135], from ip: 180.101.82.7, "


@pytest.mark.parametrize(
    ("errcode", "errmsg", "said"),
    [
        (
            60020,
            f"not allow to access from your ip, {HINT}{MORE}60020",
            "Add 180.101.82.7 to the app's trusted IPs (企业可信IP)",
        ),
        (60020, "not allow to access from your ip", "Add this machine's public IP to the app's trusted IPs"),
        (40001, f"invalid credential, {HINT}{MORE}40001", "A wrong secret at WeCom, which no new token cures"),
        (
            40001,
            "invalid credential, hint: [1621497478_50_a3e6c0f9f4b3b0e4d1c7c1b6f5a4a398]",
            "A wrong secret at WeCom",
        ),
        (45009, f"api freq out of limit, {HINT}{MORE}45009", "nothing that resets it"),
        (40014, f"invalid access_token, {MORE}40014", "The token was rejected"),
        (48002, f"api forbidden, {HINT}", "may not use this API"),
        (60111, "userid not found", "no such member"),
        (999, f"unknown, {HINT}", "WeCom's list"),
    ],
)
def test_wecom(errcode: int, errmsg: str, said: str) -> None:
    """What WeCom answers has WeCom's advice, and nothing of WeChat's."""
    with pytest.raises(APIError) as caught:
        raise_for_errcode({"errcode": errcode, "errmsg": errmsg})
    text = str(caught.value)

    assert text.startswith(f"WeCom answers errcode {errcode}")
    assert said in text
    assert not {"mp.weixin.qq.com", "clear_quota", "open.work.weixin"} & set(text.replace(";", " ").split())
    assert "more info" not in text
    assert "{" not in text


def test_wecom_by_its_host_and_by_the_request_that_is_served() -> None:
    """Not every API of WeCom appends a hint."""
    body = b'{"errcode":45009,"errmsg":"api freq out of limit"}'
    url = "https://qyapi.weixin.qq.com/cgi-bin/x"
    response = _requests(body)
    response.url = url
    for answer in (response, httpx.Response(200, content=body, request=httpx.Request("GET", url))):
        with pytest.raises(APIError, match="WeCom answers"):
            raise_for_errcode(answer)
    with (
        use_provider(TokenProvider(WeComAccount("ww1234567890abcdef", "z" * 43))),
        pytest.raises(APIError, match="WeCom answers"),
    ):
        raise_for_errcode(body)
    with pytest.raises(APIError, match="clear_quota"):
        raise_for_errcode(body)


@pytest.mark.parametrize(
    ("errcode", "errmsg", "said"),
    [
        (43101, "user refuse to accept the msg", "wx.requestSubscribeMessage"),
        (40029, "invalid code", "log in again"),
        (40163, "code been used", "good for one call"),
        (87014, "risky content", "do not publish"),
        (41030, "invalid page", "released version"),
        (61007, "api is unauthorized to component", "权限集"),
        (47003, "argument invalid! data.thing1.value is empty", "names the field"),
        (40164, "invalid ip 1.2.3.4, not in whitelist", "Add 1.2.3.4 to the account's IP allowlist (IP白名单)"),
        (61004, "access clientip is not registered requestIP: 119.3.47.98", "Add 119.3.47.98 to the platform's"),
        (40001, "access_token expired hint: [utxVxa0955vr19]", "The token was rejected"),
        (40003, "invalid openid", "openid"),
        (777, "x", "WeChat's list"),
    ],
)
def test_wechat(errcode: int, errmsg: str, said: str) -> None:
    """The codes of every day say what to do."""
    with pytest.raises(APIError) as caught:
        raise_for_errcode({"errcode": errcode, "errmsg": errmsg})

    assert str(caught.value).startswith(f"WeChat answers errcode {errcode}")
    assert said in str(caught.value)


def test_the_table() -> None:
    """Each row has a source, and each place has an errcode once."""
    keys = [(row.place, row.errcode) for row in ROWS]

    assert len(set(keys)) == len(keys)
    assert [] == [row for row in ROWS if not row.source.startswith(("https://", "reported"))]
    assert [] == [row for row in ROWS if not row.advice.endswith((".", "?")) or "{" in row.advice.replace("{ip}", "")]
    assert [] == [
        row for row in ROWS if not row.words.zh.endswith(("。", "？")) or not re.search("[一-鿿]", row.words.zh)
    ]
    assert [] == [row for row in ROWS if row.words.en.count("{ip}") != row.words.zh.count("{ip}")]


@pytest.mark.parametrize(
    ("place", "errcode", "errmsg", "en", "zh"),
    [
        (Place.TOKEN, 40125, "", "Check the AppSecret", "检查开发者密码(AppSecret)"),
        (Place.TOKEN, 40164, "invalid ip 203.0.113.7, not in whitelist", "Add 203.0.113.7 to", "把 203.0.113.7 加入"),
        (Place.TOKEN, 40164, "", "Add this machine's public IP to", "把 本机的公网 IP 加入该账号的IP白名单"),
        (Place.PLATFORM, 50002, "", "The account is limited", "账号受限"),
        (Place.API, 99999, "", "list of global return codes", "全局返回码"),
    ],
)
def test_both_languages(place: Place, errcode: int, errmsg: str, en: str, zh: str) -> None:
    """What to do is told in both languages, with the address that WeChat saw."""
    words = words_on(place, errcode, errmsg)

    assert en in words.en
    assert zh in words.zh


class TestWhyThereIsNoNewToken:
    """The cause of a lasting 40001 is often that the IP is not allowed to fetch; the user is told that one."""

    @pytest.fixture
    def provider(self, wechat: WeChat, wechat_account: Any) -> TokenProvider:
        provider = TokenProvider(wechat_account)
        provider.get_token()
        wechat.revoke()
        wechat.faults.add(
            "/cgi-bin/stable_token", "errcode", errcode=40164, errmsg="invalid ip 1.2.3.4, not in whitelist", times=None
        )
        return provider

    def check(self, error: APIError) -> None:
        assert 40001 == error.errcode
        assert isinstance(error.__cause__, TokenRefused)
        assert 40164 == error.__cause__.errcode
        text = "\n".join([str(error), *getattr(error, "__notes__", ())])
        assert "there is no new one" in text
        assert "Add 1.2.3.4 to the account's IP allowlist" in text

    @pytest.mark.parametrize("judged", ["inside", "outside"])
    def test_with_token(self, provider: TokenProvider, judged: str) -> None:
        @with_token(provider)
        def user(access_token: str) -> Any:
            params = {"access_token": access_token, "openid": "oFollower"}
            answer = requests.get(f"{provider.account.base_url}/cgi-bin/user/info", params, timeout=5)
            return raise_for_errcode(answer) if judged == "inside" else answer

        with pytest.raises(APIError) as caught:
            raise_for_errcode(user())

        self.check(caught.value)

    @pytest.mark.parametrize("client", ["requests", "httpx", "httpx-async"])
    def test_clients(self, provider: TokenProvider, client: str) -> None:
        answer = next(adapter for adapter in CLIENTS if adapter.name == client)(
            provider, provider.account.base_url
        ).get("/cgi-bin/user/info?openid=oFollower")
        with pytest.raises(APIError) as caught:
            raise_for_errcode(answer)

        self.check(caught.value)

    def test_an_error_of_somebody_else(self, provider: TokenProvider) -> None:
        """It keeps a cause of its own, and gets the note."""
        own = KeyError("own")

        class Theirs(Exception):
            errcode = 40001

        @with_token(provider)
        def fail(access_token: str) -> None:
            raise Theirs("no") from own

        with pytest.raises(Theirs) as caught:
            fail()

        assert caught.value.__cause__ is own
        assert "40164" in caught.value.__notes__[0]


def test_with_token_heals_it(wechat: WeChat, wechat_account: Any) -> None:
    """Inside a decorated function it does what an errcode in the answer does."""
    provider = TokenProvider(wechat_account)

    @with_token(provider)
    def user(access_token: str) -> Any:
        params = {"access_token": access_token, "openid": "oFollower"}
        return raise_for_errcode(requests.get(f"{wechat_account.base_url}/cgi-bin/user/info", params, timeout=5))

    provider.get_token()
    wechat.revoke()

    assert "oFollower" == user()["openid"]
