"""The auth classes of requests, httpx and httpx2: the token goes in, and what is rejected is sent once more."""

from __future__ import annotations

import gzip
import hashlib
import io
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
import requests
import trio
from support.api_server import OK, REJECTED, Api
from support.clients import AsyncHttpx, ClientAdapter, Httpx, Requests

from wxmiddleware import (
    Account,
    APIError,
    ClassicToken,
    ProviderClosed,
    TokenProvider,
    TokenUnavailable,
    raise_for_errcode,
)
from wxmiddleware.exceptions import ConfigurationError
from wxmiddleware.simulator import WeChat

USER = "/cgi-bin/user/info?openid=oFollower"
SEND = "/cgi-bin/message/custom/send"
JPEG = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 64


class TestSimulator:
    def test_token_goes_in(self, wechat_adapter: ClientAdapter, wechat: WeChat) -> None:
        """A call without a token in sight is accepted."""
        answer = wechat_adapter.get(USER)

        assert "oFollower" == answer.json()["openid"]
        assert (1, 1) == (wechat.fetches(), wechat.calls())

    def test_herd(self, wechat_adapter: ClientAdapter, wechat: WeChat, provider: TokenProvider) -> None:
        """64 callers whose token is rejected at once cause one fetch, and all are served."""
        provider.get_token()
        wechat.revoke()
        answers = wechat_adapter.herd(64, USER)

        assert ["oFollower"] * 64 == [one.json().get("openid") for one in answers]
        assert 2 == wechat.fetches()
        assert wechat.calls() == 64 + wechat.rejections()

    def test_refused_again(self, adapter_class: type[ClientAdapter], wechat: WeChat, wechat_account: Account) -> None:
        """An API that refuses every token is called twice, and the caller sees WeChat's own answer."""
        wechat.faults.add("/cgi-bin/user/*", "errcode", times=None, errcode=40001)
        provider = TokenProvider(wechat_account, source=ClassicToken())
        answer = adapter_class(provider, wechat_account.base_url).get(USER)

        assert 40001 == answer.json()["errcode"]
        assert "rid: " in answer.json()["errmsg"]
        assert 2 == wechat.calls("/cgi-bin/user/info")
        assert 2 == wechat.fetches()

    def test_upload(
        self, wechat_adapter: ClientAdapter, wechat: WeChat, provider: TokenProvider, tmp_path: Path
    ) -> None:
        """An open file that is rejected at first arrives whole."""
        (tmp_path / "a.jpg").write_bytes(JPEG)
        provider.get_token()
        wechat.revoke()
        with (tmp_path / "a.jpg").open("rb") as file:
            answer = wechat_adapter.post("/cgi-bin/media/upload?type=image", files={"media": ("a.jpg", file)})
        saved = wechat_adapter.get("/cgi-bin/media/get", params={"media_id": answer.json()["media_id"]})

        assert JPEG == saved.content
        assert 1 == wechat.rejections()

    @pytest.mark.parametrize("content_type", ["text/plain", "application/json; encoding=utf-8", "image/jpeg"])
    def test_download(
        self, wechat_adapter: ClientAdapter, wechat: WeChat, provider: TokenProvider, content_type: str
    ) -> None:
        """A rejection in place of a file is found behind any content type (docs/wechat.md#how-errors-arrive)."""
        wechat.media_error_content_type = content_type
        answer = wechat_adapter.post("/cgi-bin/media/upload?type=image", files={"media": ("a.jpg", JPEG)})
        wechat.revoke()
        got: list[bytes] = []
        wechat_adapter.stream(f"/cgi-bin/media/get?media_id={answer.json()['media_id']}", got.append)

        assert hashlib.sha256(JPEG).digest() == hashlib.sha256(b"".join(got)).digest()
        assert 1 == wechat.rejections()

    def test_other_errors(self, wechat_adapter: ClientAdapter, wechat: WeChat) -> None:
        """What no new token cures is the caller's to see, at once."""
        answer = wechat_adapter.get("/cgi-bin/user/info?openid=!")
        with pytest.raises(APIError, match="40003"):
            raise_for_errcode(answer)

        assert (1, 1) == (wechat.fetches(), wechat.calls())

    def test_no_token(self, wechat_adapter: ClientAdapter, wechat: WeChat) -> None:
        """Without any token the request is not sent, and the error is the provider's."""
        wechat.faults.add("/cgi-bin/stable_token", "errcode", times=None, errcode=-1)
        with pytest.raises(TokenUnavailable):
            wechat_adapter.get(USER)

        assert 0 == wechat.calls()


def pieces() -> Iterator[bytes]:
    yield b"one"
    yield b"two"


async def async_pieces() -> AsyncIterator[bytes]:
    yield b"one"
    yield b"two"


class Pipe:
    """A stream that has no way back."""

    def __init__(self) -> None:
        self._file = io.BytesIO(b"onetwo")

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._file)

    def __len__(self) -> int:
        return 6


class TestBodies:
    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"json": {"touser": "oABC", "text": {"content": "你好"}}},
            {"data": {"a": "1", "b": "ü & =?"}},
            {"data": '{"content":"你好"}'.encode()},
            {"data": b""},
            {"files": {"media": ("a.jpg", JPEG, "image/jpeg")}},
        ],
        ids=["none", "json", "form", "bytes", "empty", "multipart"],
    )
    def test_sent_again_as_it_was(self, adapter: ClientAdapter, api: Api, options: dict[str, Any]) -> None:
        """The second request is the first, but for the token: method, path, query, headers and body."""
        given = {name: dict(value) if isinstance(value, dict) else value for name, value in options.items()}
        params, headers = {"lang": "zh_CN", "b": ["1", "2"]}, {"X-Mine": "1"}
        answer = adapter.post(
            f"{SEND}?a=%7E%20+x", params=params if adapter.name == "requests" else None, headers=headers, **options
        )
        first, second = api.seen

        assert OK == answer.content
        assert ["T1", "T2"] == api.tokens
        assert first.target.replace("T1", "T2") == second.target
        assert (first.method, first.headers, first.body) == (second.method, second.headers, second.body)
        assert (given, {"lang": "zh_CN", "b": ["1", "2"]}, {"X-Mine": "1"}) == (options, params, headers)

    def test_params_stay_as_they_are(self, adapter: ClientAdapter, api: Api) -> None:
        """The query that a client writes without us is what arrives, and then the token."""
        adapter.get(USER, params={"lang": "zh CN", "b": ["1", "ü"]})
        target, _, token = api.seen[-1].target.rpartition("access_token=")

        assert "T2" == token
        assert target.endswith(("lang=zh+CN&b=1&b=%C3%BC&", "lang=zh%20CN&b=1&b=%C3%BC&"))

    @pytest.mark.parametrize("how", ["multipart", "raw"])
    def test_open_file(self, adapter: ClientAdapter, api: Api, tmp_path: Path, how: str) -> None:
        """A file is sent twice with all its bytes, and is still the caller's, and open."""
        (tmp_path / "a.jpg").write_bytes(JPEG)
        with (tmp_path / "a.jpg").open("rb") as file:
            if how == "raw" and adapter.name.endswith("async"):
                pytest.skip("an AsyncClient takes no open file as its body")
            adapter.post("/upload", **({"files": {"media": file}} if how == "multipart" else {"data": file}))

            assert not file.closed
        assert JPEG in api.seen[0].body
        assert api.seen[0].body == api.seen[1].body
        assert api.seen[0].headers == api.seen[1].headers

    def test_file_from_where_it_stood(self, adapter: ClientAdapter, api: Api) -> None:
        """A raw body begins both times where the file stood when it was given."""
        if adapter.name.endswith("async"):
            pytest.skip("an AsyncClient takes no open file as its body")
        file = io.BytesIO(b"headbody")
        file.seek(4)
        headers = {} if adapter.name == "requests" else {"Content-Length": "4"}
        adapter.post("/upload", data=file, headers=headers)

        assert [b"body", b"body"] == [one.body for one in api.seen]

    @pytest.mark.parametrize("kind", ["generator", "pipe", "multipart"])
    def test_consumed_stream(
        self, adapter: ClientAdapter, api: Api, scripted: Any, kind: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """What can be read once is sent once: the caller sees WeChat's answer, the log says why, the token is new."""
        asynchronous = adapter.name.endswith("async")
        if kind == "multipart":
            if adapter.name == "requests":
                pytest.skip("requests reads files into memory when it prepares a request")
            options: dict[str, Any] = {"files": {"media": ("a", Pipe())}}
        else:
            options = {"data": async_pieces() if asynchronous else pieces() if kind == "generator" else Pipe()}
        with caplog.at_level(logging.WARNING, "wxmiddleware"):
            answer = adapter.post("/upload", **options)

        assert REJECTED == answer.content
        assert ["T1"] == api.tokens
        assert b"onetwo" in api.seen[0].body
        assert ["T1"] == scripted.rejected
        assert "T2" == scripted.get_token()
        assert "read only once" in caplog.text


class TestAnswers:
    @pytest.mark.parametrize("content_type", ["text/plain", "image/jpeg", "application/octet-stream", ""])
    @pytest.mark.parametrize("packed", [False, True])
    def test_refusal_behind_any_type(self, adapter: ClientAdapter, api: Api, content_type: str, packed: bool) -> None:
        """Before the caller sees a byte, a rejection is found whatever it says it is."""
        headers = {"Content-Type": content_type} if content_type else {}
        if packed:
            headers["Content-Encoding"] = "gzip"
        api.rejection = (headers, gzip.compress(REJECTED) if packed else REJECTED)
        api.success = ({"Content-Type": "image/jpeg"}, JPEG)
        got: list[bytes] = []
        adapter.stream("/cgi-bin/media/get", got.append)

        assert JPEG == b"".join(got)
        assert ["T1", "T2"] == api.tokens

    @pytest.mark.parametrize(
        "body",
        [
            JPEG,
            b"{" + JPEG,
            b"",
            b'{"errcode":40001' + b" " * 70_000 + b"}",
            b"[1]",
            OK,
            b'{"a":"' + b"x" * 100_000 + b'"}',
        ],
    )
    @pytest.mark.parametrize("packed", [False, True])
    def test_media_pass_untouched(self, adapter: ClientAdapter, api: Api, body: bytes, packed: bool) -> None:
        """Every byte of what is no rejection arrives, streamed or not, packed or not."""
        sent = gzip.compress(body) if packed else body
        api.rejection = ({"Content-Encoding": "gzip"} if packed else {}, sent)
        got: list[bytes] = []
        raw: list[bytes] = []
        answer = adapter.get("/cgi-bin/media/get")
        adapter.stream("/cgi-bin/media/get", got.append)
        adapter.stream("/cgi-bin/media/get", raw.append, raw=True)

        assert (body, body, sent) == (answer.content, b"".join(got), b"".join(raw))
        assert ["T1"] * 3 == api.tokens

    def test_a_users_file_decides_nothing(self, adapter: ClientAdapter, api: Api, scripted: Any) -> None:
        """A file that reads like a rejection is handed over; the token stays in use and nothing is fetched."""
        api.rejection = ({"Content-Disposition": 'attachment; filename="notes.json"'}, b'{"errcode":42001}')
        answer = adapter.get("/cgi-bin/media/get")

        assert b'{"errcode":42001}' == answer.content
        assert ["T1"] == api.tokens
        assert [] == scripted.rejected

    def test_streaming_stays_streaming(self, adapter: ClientAdapter, api: Api) -> None:
        """The caller has the first bytes of a file before the server has sent the last."""
        ended: list[bool] = []
        seen_at_first: list[bool] = []

        def endless(seen: Any) -> Any:
            def body() -> Iterator[bytes]:
                for _ in range(400):
                    yield JPEG
                ended.append(True)

            return 200, {}, body()

        api.answer = endless
        adapter.stream("/cgi-bin/media/get", lambda piece: seen_at_first.append(bool(ended)))

        assert not seen_at_first[0]
        assert ended

    def test_answer_cut_short(self, adapter: ClientAdapter, api: Api) -> None:
        """A connection that breaks while we look breaks where the caller reads, with the client's own error."""
        api.answer = lambda seen: (200, {"Content-Length": "500"}, iter([b'{"errcode":']))
        with pytest.raises(adapter.errors):
            adapter.get(USER)

        assert ["T1"] == api.tokens

    def test_history(self, adapter: ClientAdapter, api: Api) -> None:
        """The rejected answer is in the history of the one that the caller gets."""
        answer = adapter.get(USER)

        assert [REJECTED] == [one.content for one in answer.history]
        assert OK == answer.content

    def test_elapsed(self, adapter: ClientAdapter) -> None:
        """The time that the second request took is known."""
        assert adapter.get(USER).elapsed.total_seconds() > 0

    def test_no_history_without_need(self, adapter: ClientAdapter, api: Api) -> None:
        """An answer that was accepted at once has none."""
        api.rejection = api.success

        assert [] == adapter.get(USER).history

    def test_lasting_failure_of_the_second(self, adapter: ClientAdapter, api: Api) -> None:
        """An error of the second request is the caller's to see; a lost answer confirms no token."""
        api.answer = lambda seen: (
            (200, {}, [REJECTED]) if seen.token == "T1" else (200, {"Content-Length": "9"}, iter([]))
        )
        with pytest.raises(adapter.errors):
            adapter.get(USER)

        assert ["T1", "T2"] == api.tokens

    def test_confirmed(self, adapter: ClientAdapter, scripted: Any) -> None:
        """A token that WeChat took in the second call is confirmed."""
        adapter.get(USER)

        assert ["T2"] == scripted.confirmed

    def test_first_answer_stands_without_a_new_token(
        self, adapter_class: type[ClientAdapter], api: Api, scripted: Any
    ) -> None:
        """If no newer token can be had, the caller sees what WeChat said."""
        scripted.tokens = ["T1", TokenUnavailable("cooling")]

        assert REJECTED == adapter_class(scripted, api.url).get(USER).content
        assert ["T1"] == api.tokens


class TestOptions:
    def test_codes(self, adapter_class: type[ClientAdapter], api: Api, scripted: Any) -> None:
        """What counts as rejected is for the user to say."""
        adapter_class(scripted, api.url, codes={40014}).get(USER)

        assert ["T1"] == api.tokens

    def test_timeout(self, adapter_class: type[ClientAdapter], api: Api, scripted: Any) -> None:
        """The provider is asked for so many seconds, both times."""
        adapter_class(scripted, api.url, timeout=3).get(USER)

        assert [(None, 3.0), ("T1", 3.0)] == scripted.asked

    @pytest.mark.parametrize("wrong", [{"codes": 40001}, {"timeout": 0}, {"hosts": "wechat.test"}, {"hosts": [1]}])
    def test_wrong(self, adapter_class: type[ClientAdapter], scripted: Any, wrong: dict[str, Any]) -> None:
        """A wrong option is refused where it is given."""
        with pytest.raises(ConfigurationError):
            adapter_class.auth_class(scripted, **wrong)

    @pytest.mark.parametrize("wrong", [None, "wx8a1b", TokenProvider, "token"])
    def test_no_provider(self, adapter_class: type[ClientAdapter], wrong: Any) -> None:
        """The first argument is a provider."""
        with pytest.raises(ConfigurationError, match="TokenProvider"):
            adapter_class.auth_class(wrong)

    def test_closed(self, adapter_class: type[ClientAdapter], provider: TokenProvider) -> None:
        """A closed provider is refused at once, and when it is closed later at the call."""
        adapter = adapter_class(provider, provider.account.base_url)
        provider.close()
        with pytest.raises(ProviderClosed):
            adapter_class.auth_class(provider)
        with pytest.raises(ProviderClosed):
            adapter.get(USER)

    def test_repr(self, adapter: ClientAdapter, wechat_adapter: ClientAdapter, provider: TokenProvider) -> None:
        """It says whose tokens it gives, and none of them."""
        token = provider.get_token()

        assert repr(wechat_adapter.auth) == f"<WeChatAuth of {provider!r}>"
        assert token not in repr(wechat_adapter.auth)

    def test_colours(self, adapter: ClientAdapter, scripted: Any) -> None:
        """A task awaits its tokens; only threads are made to wait."""
        adapter.get(USER)

        assert {"task" if adapter.name.endswith("async") else "thread"} == set(scripted.colours)


def test_trio(api: Api, scripted: Any) -> None:
    """The async flow runs in trio, too."""

    async def main() -> bytes:
        async with AsyncHttpx(scripted, api.url).client() as client:
            found: bytes = (await client.get(api.url + USER)).content
            return found

    assert OK == trio.run(main)


def test_cancelled_while_it_streams(api: Api, scripted: Any) -> None:
    """A task that leaves a stream unread leaves nothing open behind."""
    api.rejection = ({}, JPEG * 1000)

    async def main() -> int:
        client = AsyncHttpx(scripted, api.url).client()
        async with client, client.stream("GET", api.url + USER) as response:
            async for piece in response.aiter_bytes():
                return len(piece)
        return 0

    assert anyio.run(main) > 0


def test_a_prepared_request_can_be_sent_again(api: Api, scripted: Any) -> None:
    """One request of requests, prepared once and sent twice, is healed each time."""
    with requests.Session() as session:
        prepared = session.prepare_request(requests.Request("GET", api.url + USER, auth=Requests(scripted, "").auth))
        answers = [session.send(prepared, timeout=10).content for _ in range(2)]

    assert [OK, OK] == answers
    assert ["T1", "T2", "T1", "T2"] == api.tokens


def test_the_request_given_to_httpx_is_not_changed(api: Api, scripted: Any) -> None:
    """A request that the caller built has no token after it was sent, and may be sent again."""
    with Httpx(scripted, api.url).client() as client:
        request = client.build_request("GET", api.url + USER)
        client.send(request)
        client.send(request)

    assert api.url + USER == str(request.url)
    assert "access_token" not in request.url.params
    assert ["T1", "T2", "T2"] == api.tokens
