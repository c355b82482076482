"""`raise_for_errcode`: WeChat's errors as exceptions, from whatever holds an answer."""

from __future__ import annotations

import json
from collections import UserDict
from collections.abc import Callable
from typing import Any

import anyio
import flask
import httpx
import httpx2
import pytest
import requests
import starlette.responses
from api_server import serving
from hypothesis import given
from hypothesis import strategies as st

from wxmiddleware import APIError, raise_for_errcode, with_token
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


@pytest.mark.parametrize("body", [JPEG, b"", b"[1]", b"12", b'{"errcode":'])
@pytest.mark.parametrize("wrap", [*WRAPPED[2:4], *WRAPPED[5:]])
def test_what_is_no_json_object(wrap: Callable[[bytes], Any], body: bytes) -> None:
    """A picture, or a broken answer, comes back as it was given."""
    answer = wrap(body)

    assert answer is raise_for_errcode(answer)


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
    with serving() as api, requests.Session() as session, httpx.Client() as client:
        api.success = ({}, JPEG * 1000)
        answer = raise_for_errcode(session.get(api.url, stream=True, timeout=5))
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
        async with httpx.AsyncClient() as client, client.stream("GET", url) as response:
            with pytest.raises(TypeError, match="aread"):
                raise_for_errcode(response)
            await response.aread()
            assert raise_for_errcode(response) == {"errcode": 0, "errmsg": "ok"}

    with serving() as api:
        anyio.run(main, api.url)
        response = requests.get(api.url, stream=True, timeout=5)
        assert b"" != b"".join(response.iter_content(10))
        with pytest.raises(TypeError, match="already"):
            raise_for_errcode(response)


def test_with_token_heals_it(wechat: WeChat, wechat_account: Any) -> None:
    """Inside a decorated function it does what an errcode in the answer does."""
    from wxmiddleware import TokenProvider

    provider = TokenProvider(wechat_account)

    @with_token(provider)
    def user(access_token: str) -> Any:
        params = {"access_token": access_token, "openid": "oFollower"}
        return raise_for_errcode(requests.get(f"{wechat_account.base_url}/cgi-bin/user/info", params, timeout=5))

    provider.get_token()
    wechat.revoke()

    assert "oFollower" == user()["openid"]
