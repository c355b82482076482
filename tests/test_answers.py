"""Is this answer a rejected token? Real streams come over a real connection; the retry itself: test_healing.py."""

from __future__ import annotations

import contextlib
import gzip
import json
import threading
import zlib
from collections import UserDict
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import anyio
import flask
import httpx
import httpx2
import pytest
import requests
import starlette.responses
import werkzeug
from requests.adapters import HTTPAdapter
from support.clients import NO_ROOTS

from wxmiddleware import raise_for_errcode
from wxmiddleware._outbound import bodies as _bodies
from wxmiddleware._outbound.answers import RETRYABLE, aerrcode_of, errcode_of, errcode_of_error, is_rejection
from wxmiddleware._outbound.bodies import LIMIT, adiscard, discard
from wxmiddleware.exceptions import APIError, TokenRefused

ERROR = b'{"errcode":40001,"errmsg":"invalid credential rid: 6aac0063-7ed08fb9-1250f724"}'
BINARY = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 4
LONG = b'{"errcode":40001,"errmsg":"' + b"x" * (3 * LIMIT) + b'"}'
ITEMS = b'{"data":[' + b",".join([b'{"openid":"o123456789"}'] * 9000) + b"]}"


@pytest.mark.parametrize(
    ("expected", "answer"),
    [
        (40001, {"errcode": 40001}),
        (40001, {"errcode": "40001"}),
        (40001, {"errcode": " 40001 "}),
        (-1, {"errcode": "-1"}),
        (0, {"errcode": 0}),
        (42001, UserDict(errcode=42001)),
        (40014, {"base_resp": {"errcode": 40014}}),
        (40014, {"base_resp": {"ret": "40014"}}),
        (0, {"errcode": 0, "base_resp": {"ret": 40001}}),
        (None, {}),
        (None, {"errcode": True}),
        (None, {"errcode": None}),
        (None, {"errcode": 40001.0}),
        (None, {"errcode": "4_0001"}),
        (None, {"errcode": "٤٠٠٠١"}),
        (None, {"errcode": "9" * 5000}),
        (None, {"errcode": [40001]}),
        (None, {"base_resp": 40001}),
        (None, {"data": {"errcode": 40001}}),
    ],
)
def test_a_mapping_tells_its_errcode(expected: int | None, answer: Any) -> None:
    """The errcode is found at the top or in base_resp, as a number or as text."""
    assert expected == errcode_of(answer)


@pytest.mark.parametrize(
    ("expected", "body"),
    [
        (40001, ERROR),
        (40001, b" \r\n\t" + ERROR + b"\n"),
        (40001, b"\xef\xbb\xbf" + ERROR),
        (40001, ERROR.decode()),
        (40001, bytearray(ERROR)),
        (40001, b'{"errcode":40001,"errmsg":"\xff\xfe \x01"}'),
        (40014, b'{"base_resp":{"ret":40014}}'),
        (None, b""),
        (None, b"[" + ERROR + b"]"),
        (None, b'"errcode"'),
        (None, b'{"errcode":40001'),
        (None, b'{"errcode":' + b"[" * 30_000),
        (None, b'{"errcode":' + b"9" * 5000 + b"}"),
        (None, BINARY + b'"errcode"'),
        (None, LONG),
        (None, LONG.decode()),
    ],
)
def test_a_body_tells_its_errcode(expected: int | None, body: Any) -> None:
    """A body that begins like a JSON object is read as UTF-8, and nothing that is in it can hurt."""
    assert expected == errcode_of(body)


@pytest.mark.parametrize("answer", [None, 40001, [ERROR], (ERROR,), object(), iter([ERROR])])
def test_other_answers_have_no_errcode(answer: object) -> None:
    """What is neither a mapping, nor a body, nor a response is not looked into."""
    assert errcode_of(answer) is None


def test_a_large_body_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of followers is not parsed only to see that it is no error."""
    monkeypatch.setattr("wxmiddleware._outbound.answers.json.loads", lambda *a, **k: pytest.fail("parsed"))

    assert errcode_of(ITEMS) is None
    assert errcode_of(ITEMS[: LIMIT // 2]) is None


def test_a_response_in_memory_tells_its_errcode() -> None:
    """The content type says image; the body says error."""
    headers = {"Content-Type": "image/jpeg"}
    read = requests.Response()
    read._content = ERROR

    class Mine(flask.Response):
        pass

    answers: list[Any] = [
        read,
        httpx.Response(200, content=ERROR, headers=headers),
        httpx2.Response(200, content=ERROR, headers=headers),
        werkzeug.Response(ERROR, headers=headers),
        flask.Response(ERROR.decode(), headers=headers),
        Mine([ERROR[:9], ERROR[9:]]),
        starlette.responses.JSONResponse({"errcode": "40001"}),
    ]

    assert [40001] * 7 == [errcode_of(answer) for answer in answers]
    assert [40001] * 7 == [anyio.run(aerrcode_of, answer) for answer in answers]
    assert ERROR == read.content == answers[1].content == answers[3].data == answers[5].data


FILES = [
    'attachment; filename="notes.json"',
    "attachment",
    "ATTACHMENT;filename=a.txt",
    " attachment ; filename*=UTF-8''a.txt",
    '"attachment"; filename="a"',
    'inline; filename="a.json"',
    "filename=a.json",
    "form-data; name=media; FileName = a.json",
]
NO_FILES = ["inline", "", "attachments", 'inline; name="attachment"', "x-filename=a", "form-data; name=filename"]


@pytest.mark.parametrize("disposition", [*FILES, *NO_FILES])
def test_a_file_is_no_error_answer(disposition: str) -> None:
    """What somebody wrote into a file says nothing about a token, however it is marked; other answers do."""
    headers = {"content-disposition": disposition}
    response = requests.Response()
    response._content = ERROR
    response.headers["Content-disposition"] = disposition
    answers: list[Any] = [
        response,
        httpx.Response(200, headers=headers, content=ERROR),
        httpx2.Response(200, headers=headers, content=ERROR),
        flask.Response(ERROR, headers=headers),
        starlette.responses.Response(ERROR, headers=headers),
    ]
    expected = None if disposition in FILES else 40001

    assert [expected] * 5 == [errcode_of(answer) for answer in answers]
    assert [expected] * 5 == [anyio.run(aerrcode_of, answer) for answer in answers]
    if expected is None:
        assert answers == [raise_for_errcode(answer) for answer in answers]


def test_a_file_that_streams_is_not_touched(url: str) -> None:
    """Nothing is read of it."""
    with requests.get(f"{url}/length/plain/error", stream=True, timeout=5) as response:
        response.headers["content-disposition"] = "attachment"

        assert errcode_of(response) is None
        assert response.raw.tell() == 0


def test_a_generated_response_is_not_run() -> None:
    """Reading a streaming response of one's own app would run the app's code."""
    generated = werkzeug.Response(iter([ERROR]))

    assert errcode_of(generated) is None
    assert errcode_of(werkzeug.Response([ERROR], direct_passthrough=True)) is None
    assert errcode_of(starlette.responses.StreamingResponse(iter([ERROR]))) is None
    assert ERROR == generated.get_data()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    bodies: ClassVar = {
        "error": ERROR,
        "spaced": b" " * 40 + ERROR,
        "binary": BINARY,
        "long": LONG,
        "items": ITEMS,
        "empty": b"",
    }
    packings: ClassVar[dict[str, Callable[[bytes], bytes]]] = {
        "gzip": gzip.compress,
        "deflate": zlib.compress,
        "br": bytes,
    }

    def do_GET(self) -> None:
        _, how, packing, what = self.path.split("/")
        body = self.bodies[what]
        self.send_response(200)
        self.send_header("Content-Type", "image/jpeg")
        if packing != "plain":
            self.send_header("Content-Encoding", packing)
            body = self.packings[packing](body)
        {"length": self._length, "chunked": self._chunked, "close": self._close, "cut": self._cut}[how](body)

    def _length(self, body: bytes) -> None:
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _chunked(self, body: bytes) -> None:
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for start in range(0, len(body), 5000 if len(body) > 5000 else 7):
            piece = body[start : start + (5000 if len(body) > 5000 else 7)]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def _close(self, body: bytes) -> None:
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def _cut(self, body: bytes) -> None:
        self.send_header("Content-Length", str(len(body) + 9))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def handle(self) -> None:
        # A client that hangs up in the middle of a body is what some of these tests are about.
        with contextlib.suppress(ConnectionError):
            super().handle()

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


STREAMS = [
    (40001, "length/plain/error"),
    (40001, "chunked/plain/error"),
    (40001, "close/plain/error"),
    (40001, "chunked/plain/spaced"),
    (40001, "length/gzip/error"),
    (40001, "chunked/deflate/error"),
    (None, "length/plain/binary"),
    (None, "chunked/plain/binary"),
    (None, "chunked/gzip/binary"),
    (None, "length/plain/long"),
    (None, "chunked/plain/long"),
    (None, "chunked/gzip/long"),
    (None, "close/plain/items"),
    (None, "length/plain/empty"),
    (None, "chunked/plain/empty"),
]


def _expected_body(path: str) -> bytes:
    return _Handler.bodies[path.rpartition("/")[2]]


@pytest.mark.parametrize("how", ["content", "chunks", "lines", "raw", "json"])
@pytest.mark.parametrize(("expected", "path"), STREAMS)
def test_a_requests_stream_keeps_every_byte(url: str, expected: int | None, path: str, how: str) -> None:
    """Whoever reads a streaming requests response afterwards, by any door, gets all of it."""
    with requests.Session() as session, session.get(f"{url}/{path}", stream=True, timeout=10) as response:
        actual = errcode_of(response)
        body = _read_requests(response, how, "json" if path.endswith("error") else "")

        assert expected == actual
        assert _expected_body(path) == body


def _read_requests(response: requests.Response, how: str, kind: str) -> bytes:
    if how == "chunks":
        return b"".join(response.iter_content(100))
    if how == "lines":
        return b"\n".join(response.iter_lines()) if kind else b"".join(response.iter_content(None))
    if how == "raw":
        return bytes(response.raw.read(decode_content=True))
    if how == "json" and kind:
        return json.dumps(response.json(), separators=(",", ":")).encode()
    return response.content


@pytest.mark.parametrize(("expected", "path"), STREAMS)
def test_a_stream_may_be_looked_at_twice(url: str, expected: int | None, path: str) -> None:
    """By an auth class and then by the decorator: both see the same, and the caller every byte."""
    with requests.get(f"{url}/{path}", stream=True, timeout=10) as response:
        actual = [errcode_of(response), errcode_of(response)]
        body = response.raw.read(decode_content=True)
        after = response.raw.read(10)

        assert [expected] * 2 == actual
        assert (_expected_body(path), b"") == (body, after)


def test_a_stream_is_read_no_further_than_an_error_answer_reaches(url: str) -> None:
    """Of a long body that begins like an error answer little more than the limit is fetched; of a picture, a piece."""
    taken = []
    for path in ("chunked/plain/long", "close/plain/binary"):
        with requests.get(f"{url}/{path}", stream=True, timeout=10) as response:
            before = response.raw
            errcode_of(response)
            taken.append(before.tell())

    assert LIMIT < taken[0] <= 2 * LIMIT
    assert 0 < taken[1] <= LIMIT


@pytest.mark.parametrize("path", ["length/plain/long", "length/br/error", "chunked/br/error"])
def test_a_stream_that_cannot_be_an_error_is_not_touched(url: str, path: str) -> None:
    """Too long by its own header, or packed in a way that is not undone here: nothing is read."""
    with requests.get(f"{url}/{path}", stream=True, timeout=10) as response:
        before = response.raw

        assert errcode_of(response) is None
        assert response.raw is before
        assert before.tell() == 0


def test_a_stream_that_the_caller_has_begun_is_not_touched(url: str) -> None:
    """The caller's own iterator would miss what we take, and what it took can't be looked at."""
    with requests.get(f"{url}/length/plain/spaced", stream=True, timeout=10) as response:
        pieces = response.iter_content(3)
        begun = next(pieces)

        assert errcode_of(response) is None
        assert _expected_body("spaced") == begun + b"".join(pieces)


def test_a_response_with_a_foreign_body_is_not_touched() -> None:
    """An adapter of somebody else's may put anything under a response."""
    response = requests.Response()
    response.raw = object()

    assert errcode_of(response) is None


@pytest.mark.parametrize("path", ["cut/plain/error", "cut/gzip/binary"])
def test_a_connection_that_breaks_breaks_where_the_caller_reads(url: str, path: str) -> None:
    """A body that is cut short raises the client's own error, from the caller's own read, after what did arrive."""
    with requests.get(f"{url}/{path}", stream=True, timeout=10) as response:
        assert errcode_of(response) is None
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            response.content  # noqa: B018
    with httpx.Client(verify=NO_ROOTS) as client, client.stream("GET", f"{url}/{path}") as streamed:
        assert errcode_of(streamed) is None
        with pytest.raises(httpx.RemoteProtocolError):
            streamed.read()


def test_a_discarded_requests_response_gives_its_connection_back(url: str) -> None:
    """The retry can use the same connection again."""
    with requests.Session() as session:
        for _ in range(3):
            response = session.get(f"{url}/chunked/plain/error", stream=True, timeout=10)
            errcode_of(response)
            discard(response)
        adapter = session.get_adapter(url)
        assert isinstance(adapter, HTTPAdapter)
        pools = adapter.poolmanager.pools

        assert [1] == [pools[key].num_connections for key in pools.keys()]  # noqa: SIM118


@pytest.mark.parametrize("library", [httpx, httpx2])
@pytest.mark.parametrize("how", ["read", "bytes", "raw"])
@pytest.mark.parametrize(("expected", "path"), STREAMS)
def test_an_httpx_stream_keeps_every_byte(url: str, expected: int | None, path: str, how: str, library: Any) -> None:
    """Whoever reads a streaming httpx response afterwards gets all of it."""
    with library.Client(verify=NO_ROOTS) as client, client.stream("GET", f"{url}/{path}") as response:
        actual = errcode_of(response)
        if how == "raw" and "/plain/" in path:
            body = b"".join(response.iter_raw())
        else:
            body = response.read() if how == "read" else b"".join(response.iter_bytes(100))

        assert expected == actual
        assert _expected_body(path) == body


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("library", [httpx, httpx2])
@pytest.mark.parametrize(("expected", "path"), STREAMS)
def test_an_async_stream_keeps_every_byte(
    url: str, expected: int | None, path: str, library: Any, backend: str
) -> None:
    """Whoever reads a streaming response afterwards, with await, gets all of it."""

    async def main() -> tuple[int | None, bytes]:
        async with library.AsyncClient(verify=NO_ROOTS) as client, client.stream("GET", f"{url}/{path}") as response:
            return await aerrcode_of(response), b"".join([piece async for piece in response.aiter_bytes()])

    assert (expected, _expected_body(path)) == anyio.run(main, backend=backend)


def test_an_async_stream_may_be_left_unread(url: str) -> None:
    """Closing a long response after the look leaves nothing open."""

    async def main() -> list[Any]:
        async with httpx.AsyncClient(verify=NO_ROOTS) as client:
            async with client.stream("GET", f"{url}/close/plain/items") as response:
                await aerrcode_of(response)
            return _connections(client)

    # Not under trio: there httpx itself reports its inner generators, as it does when a caller stops reading half-way.
    assert [] == anyio.run(main)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_discarded_async_response_gives_its_connection_back(url: str, backend: str) -> None:
    """The retry can use the same connection again."""

    async def main() -> list[Any]:
        async with httpx.AsyncClient(verify=NO_ROOTS) as client:
            for _ in range(3):
                request = client.build_request("GET", f"{url}/chunked/plain/error")
                answer = await client.send(request, stream=True)
                await aerrcode_of(answer)
                await adiscard(answer)
            return _connections(client)

    assert [True] == anyio.run(main, backend=backend)


def _connections(client: Any) -> list[bool]:
    return [connection.is_idle() for connection in client._transport._pool.connections]


def test_a_broken_async_connection_breaks_where_the_caller_reads(url: str) -> None:
    """A body that is cut short raises httpx's own error from the caller's own read."""

    async def main() -> None:
        async with (
            httpx.AsyncClient(verify=NO_ROOTS) as client,
            client.stream("GET", f"{url}/cut/plain/error") as response,
        ):
            assert await aerrcode_of(response) is None
            with pytest.raises(httpx.RemoteProtocolError):
                await response.aread()

    anyio.run(main)


def test_a_stream_of_somebody_elses_transport() -> None:
    """Its iterator may have no way to be closed; the stream has."""

    class Pieces:
        def __init__(self) -> None:
            self.left = [ERROR[:5], ERROR[5:]]

        async def __anext__(self) -> bytes:
            if not self.left:
                raise StopAsyncIteration
            return self.left.pop(0)

        def __aiter__(self) -> Any:
            return self

    class Body(httpx.AsyncByteStream):
        closed = False

        def __aiter__(self) -> Any:
            return Pieces()

        async def aclose(self) -> None:
            self.closed = True

    async def main() -> tuple[int | None, bool]:
        body = Body()
        response = httpx.Response(200, stream=body)
        errcode = await aerrcode_of(response)
        await response.aclose()
        return errcode, body.closed

    assert anyio.run(main) == (40001, True)


def test_streams_of_the_other_colour_are_left_alone(url: str) -> None:
    """A blocking stream in an event loop, and an async one outside, are not read."""

    async def main() -> None:
        with requests.get(f"{url}/length/plain/error", stream=True, timeout=10) as response:
            assert await aerrcode_of(response) is None
            assert response.raw.tell() == 0
        with (
            httpx.Client(verify=NO_ROOTS) as blocking,
            blocking.stream("GET", f"{url}/length/plain/error") as sync_answer,
        ):
            assert await aerrcode_of(sync_answer) is None
            assert ERROR == sync_answer.read()
        async with (
            httpx.AsyncClient(verify=NO_ROOTS) as client,
            client.stream("GET", f"{url}/length/plain/error") as answer,
        ):
            assert errcode_of(answer) is None
            assert ERROR == await answer.aread()

    anyio.run(main)


def test_a_packed_body_is_not_unpacked_beyond_the_limit() -> None:
    """A small bomb stays small."""
    bomb = gzip.compress(b'{"errcode":40001,"a":"' + b"x" * 50_000_000 + b'"}')
    head = _bodies.Head.of({"content-encoding": "gzip"})
    assert head is not None

    assert not head.wants_more(bomb)
    assert len(head._text) <= LIMIT + 1


def test_what_is_not_packed_as_it_says_is_no_error_answer() -> None:
    """A body that can't be unpacked is left to the client to complain about."""
    head = _bodies.Head.of({"content-encoding": "gzip"})
    assert head is not None

    assert not head.wants_more(b"{not gzip")
    assert head.body() is None


class _WeChatClientException(Exception):
    """Like wechatpy's."""

    def __init__(self, errcode: Any) -> None:
        self.errcode = errcode


@pytest.mark.parametrize(
    ("expected", "error"),
    [
        (40001, _WeChatClientException(40001)),
        (40001, _WeChatClientException("40001")),
        (42001, APIError("no", errcode=42001)),
        (None, _WeChatClientException(None)),
        (None, _WeChatClientException(True)),
        (None, ValueError("40001")),
        (None, TokenRefused("the secret is wrong", errcode=40001)),
    ],
)
def test_an_exception_tells_its_errcode(expected: int | None, error: Exception) -> None:
    """Any exception with an errcode counts, except those of the token endpoint."""
    assert expected == errcode_of_error(error)


@pytest.mark.parametrize(
    ("expected", "errcode"), [(True, 40001), (True, 40014), (True, 42001), (False, 0), (False, None)]
)
def test_three_codes_mean_a_refused_token(expected: bool, errcode: int | None) -> None:
    """WeChat has three codes that a new token cures."""
    assert expected == is_rejection(errcode)
    assert frozenset({40001, 40014, 42001}) == RETRYABLE
