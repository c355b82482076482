"""The gateway on the wire: real servers, a client that writes what it likes, and a WeChat that keeps every byte."""

from __future__ import annotations

import http.client
import json
import logging
import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from wxmiddleware.hub import Settings, _forward

from .raw import APPID, OK, PATH, SERVERS, Arrived, Door, RawWeChat, Wire, answer_on, door, until

BODY = bytes(range(256)) * 8
ASKED = b"GET /cgi-bin/smuggled HTTP/1.1\r\nHost: hub\r\n\r\n"


@pytest.fixture(params=SERVERS)
def wire(request: pytest.FixtureRequest) -> Iterator[Door]:
    with door(request.param) as made:
        yield made


@pytest.fixture
def one() -> Iterator[Door]:
    """The server that `wxmiddleware serve` uses."""
    with door("patient") as made:
        yield made


def chunked(*pieces: bytes, trailers: bytes = b"") -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n" + trailers + b"\r\n"


def errcode_of(response: http.client.HTTPResponse) -> int:
    errcode: int = json.loads(response.read())["errcode"]
    return errcode


def entry(wire: Door) -> dict[str, object]:
    """The newest line of the audit."""
    until(lambda: wire.audit)
    found: dict[str, object] = json.loads(wire.audit[-1])
    return found


def test_bodies_arrive_as_they_were_sent(wire: Door) -> None:
    form = b"--x\r\nContent-Disposition: form-data; name=media; filename=a\r\n\r\n" + BODY + b"\r\n--x--\r\n"
    for kind, body in (
        ("application/json", '{"touser":"oABC","text":"你好"}'.encode()),
        ("application/x-www-form-urlencoded", b"a=1&b=%e4%bd%a0"),
        ("multipart/form-data; boundary=x", form),
    ):
        length = wire.head(f"POST {PATH} HTTP/1.1", f"Content-Type: {kind}", f"Content-Length: {len(body)}")
        stream = wire.head(f"POST {PATH} HTTP/1.1", f"Content-Type: {kind}", "Transfer-Encoding: chunked")
        assert 0 == errcode_of(wire.ask(length + body))
        assert 0 == errcode_of(wire.ask(length, body[:5], body[5:]))
        assert 0 == errcode_of(wire.ask(stream + chunked(body)))
        assert 0 == errcode_of(wire.ask(stream, *(chunked(body[:7], body[7:])[i : i + 9] for i in range(0, 9000, 9))))
        for arrived in wire.wechat.arrived[-4:]:
            assert body == arrived.body
            assert [kind] == arrived.values("content-type")
            assert f"POST {PATH}?access_token=T1 HTTP/1.1" == arrived.line


def test_a_long_stream_arrives_as_it_was_sent(wire: Door) -> None:
    body = BODY * 2048
    pieces = [body[i : i + 50_001] for i in range(0, len(body), 50_001)]

    wire.ask(wire.head(f"POST {PATH} HTTP/1.1", "Transfer-Encoding: chunked"), chunked(*pieces))
    wire.ask(wire.head(f"POST {PATH} HTTP/1.1", f"Content-Length: {len(body)}"), *pieces)

    assert [body, body] == [each.body for each in wire.wechat.arrived]
    assert [["chunked"], []] == [each.values("transfer-encoding") for each in wire.wechat.arrived]


@pytest.mark.parametrize("kind", ["patient", "h11"])  # plain uvicorn takes them for headers if they come soon
def test_trailers_end_here(kind: str) -> None:
    trailers = b"X-Checksum: 1\r\nAuthorization: x\r\n"
    with door(kind) as wire:
        head = wire.head(f"POST {PATH} HTTP/1.1", "Transfer-Encoding: chunked", "Trailer: X-Checksum")
        for pieces in ([head + chunked(BODY, trailers=trailers)], [head, chunked(BODY, trailers=trailers)]):
            assert 0 == errcode_of(wire.ask(*pieces))
            assert BODY == wire.wechat.arrived[-1].body
            assert b"checksum" not in wire.wechat.arrived[-1].head.lower()


def test_expect(wire: Door) -> None:
    head = wire.head(f"POST {PATH} HTTP/1.1", "Expect: 100-continue", f"Content-Length: {len(BODY)}")
    with wire.connect() as sock:
        sock.sendall(head)
        assert b"HTTP/1.1 100 Continue" == Wire(sock).line(b"\r\n\r\n")
        sock.sendall(BODY)
        assert 0 == errcode_of(answer_on(sock))

    assert BODY == wire.wechat.arrived[-1].body
    assert [] == wire.wechat.arrived[-1].values("expect")
    # Who is refused need not send its body.
    with wire.connect() as sock:
        sock.sendall(wire.head(f"POST {PATH} HTTP/1.1", "Expect: 100-continue", "Content-Length: 9", key=False))
        assert Wire(sock).line().startswith(b"HTTP/1.1 200")


def test_http_1_0(wire: Door) -> None:
    with wire.connect() as sock:
        sock.sendall(wire.head(f"POST {PATH} HTTP/1.0", "Content-Length: 2") + b"{}")
        response = answer_on(sock)
        assert None is response.getheader("transfer-encoding")
        assert b'{"errcode":0,"errmsg":"ok"}' == response.read()
        assert b"" == sock.recv(1)
    assert f"POST {PATH}?access_token=T1 HTTP/1.1" == wire.wechat.arrived[-1].line


def test_head(wire: Door) -> None:
    picture = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\nContent-Type: image/jpeg\r\n\r\n"
    wire.wechat.answer = lambda arrived, _: picture if "HEAD" in arrived.line else OK
    with wire.connect() as sock:
        sock.sendall(wire.head("HEAD /cgi-bin/media/get HTTP/1.1"))
        response = answer_on(sock, "HEAD")
        assert ("5000", "image/jpeg") == (response.getheader("content-length"), response.getheader("content-type"))
        sock.sendall(wire.head(f"GET {PATH} HTTP/1.1"))
        assert 0 == errcode_of(answer_on(sock))


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
def test_answers_without_a_body(wire: Door, status: bytes) -> None:
    wire.wechat.answer = lambda arrived, _: b"HTTP/1.1 " + status + b"\r\nContent-Length: 5\r\n\r\n"
    with wire.connect() as sock:
        sock.sendall(wire.head(f"GET {PATH} HTTP/1.1"))
        assert int(status[:3]) == answer_on(sock).status


@pytest.mark.parametrize(
    "headers",
    [
        ["Content-Length: 4", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked", "Content-Length: 4"],
        ["Content-Length: 4", "Content-Length: 60"],
        ["Content-Length: 4", "Content-Length: 4"],
        ["Content-Length: 4, 60"],
        ["Content-Length: +4"],
        ["Content-Length: 0x4"],
        ["Content-Length: 4 4"],
        ["Content-Length: -1"],
        ["Content-Length: 99999999999999999999"],
        ["Transfer-Encoding: chunked, identity"],
        ["Transfer-Encoding: identity, chunked"],
        ["Transfer-Encoding: xchunked"],
        ["Transfer-Encoding: gzip, chunked"],
        ["Transfer-Encoding : chunked"],
        ["Transfer-Encoding: \x0bchunked"],
        ["Transfer-Encoding:", " chunked"],
        ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked", "Transfer-Encoding: x"],
        ["X: y\nTransfer-Encoding: chunked"],
        ["X: y\rTransfer-Encoding: chunked"],
        ["X: y\0z"],
        ["Content-Length: 4", "Connection: content-length"],
        ["Transfer-Encoding: chunked", "Connection: transfer-encoding"],
        ["Connection: host, content-length, access_token"],
        ["Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABkAAQAAP__"],
        ["Content_Length: 4"],
        ["X\xff: y"],
        ["X: \xff\xfe"],
    ],
    ids=repr,
)
@pytest.mark.parametrize(
    "body", [b"0\r\n\r\n" + ASKED, b"4\r\nabcd\r\n0\r\n\r\n" + ASKED, ASKED], ids=["0", "4", "none"]
)
def test_nothing_is_smuggled(wire: Door, headers: list[str], body: bytes) -> None:
    # What the server takes for a request of its own brings no key: so it may not arrive, whoever reads it how.
    with wire.connect() as sock:
        sock.sendall(wire.head(f"POST {PATH} HTTP/1.1", *headers) + body)
        sock.shutdown(socket.SHUT_WR)
        Wire(sock).wait_for_end()
    until(lambda: wire.wechat.open == 0 or wire.audit)

    assert [] == [each.line for each in wire.wechat.arrived if "smuggled" in each.line or "POST" not in each.line]
    assert len(wire.wechat.arrived) <= 1
    assert 0 == errcode_of(wire.ask(wire.head(f"GET {PATH} HTTP/1.1")))


@pytest.mark.parametrize(
    "target",
    [
        "/cgi-bin/menu/../token",
        "/cgi-bin/./menu/get",
        "/cgi-bin/%2e%2e/token",
        "/cgi-bin%2fmenu%2fget",
        "/cgi-bin/menu%00/get",
        "/cgi-bin/menu\\..\\token",
        "/cgi-bin//menu/get",
        "///evil.example/cgi-bin/menu/get",
        "/cgi-bin/menu;/get",
        "/cgi-bin/menu/get;a=b",
        "/wx0123456789abcdef/../cgi-bin/menu/get",
        "/@evil.example/cgi-bin/menu/get",
        "/\\evil.example/cgi-bin/menu/get",
        "/cgi-bin/token",
        "/cgi-bin/stable_token/",
        "/cgi-bin/menu/get#/x",
        "*",
        "cgi-bin/menu/get",
    ],
)
def test_paths_that_could_be_read_in_two_ways(wire: Door, target: str) -> None:
    with wire.connect() as sock:
        sock.sendall(wire.head(f"POST {target} HTTP/1.1", "Content-Length: 0"))
        sock.shutdown(socket.SHUT_WR)
        Wire(sock).wait_for_end()

    assert [] == [each.line for each in wire.wechat.arrived if not each.line.startswith("POST /cgi-bin/menu/get?")]


@pytest.mark.parametrize("target", ["http://evil.example/cgi-bin/menu/get", "//evil.example/cgi-bin/menu/get"])
def test_another_host_is_nobody(wire: Door, target: str) -> None:
    with wire.connect() as sock:
        sock.sendall(
            wire.head(f"GET {target} HTTP/1.1", "X-Forwarded-Host: evil.example").replace(b" hub", b" evil.ex")
        )
        errcode_of(answer_on(sock))

    for arrived in wire.wechat.arrived:
        assert [wire.wechat.url.removeprefix("http://")] == arrived.values("host")
        assert b"evil" not in arrived.head or b"GET /evil.example/" in arrived.head


def test_a_client_that_leaves(wire: Door, caplog: pytest.LogCaptureFixture) -> None:
    def silent(arrived: Arrived, there: Wire) -> None:
        there.wait_for_end()

    def endless(arrived: Arrived, there: Wire) -> None:
        there.sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: 999999999\r\n\r\n")
        try:
            while True:
                there.sock.sendall(bytes(65536))
        except OSError:
            pass

    for answer, request in (
        (silent, wire.head(f"GET {PATH} HTTP/1.1")),
        (silent, wire.head(f"POST {PATH} HTTP/1.1", "Content-Length: 9000000") + bytes(3_000_000)),
        (endless, wire.head(f"GET {PATH} HTTP/1.1")),
    ):
        wire.wechat.answer = answer
        wire.audit.clear()
        with wire.connect() as sock:
            count = len(wire.wechat.arrived)
            sock.sendall(request)
            if b"GET" in request:
                until(lambda: len(wire.wechat.arrived) > count)  # noqa: B023 - within the round
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        until(lambda: wire.audit)
        assert "client left" == entry(wire)["result"]
        until(lambda: wire.wechat.open == 0)
    assert [] == [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR]


HEADS = [
    b"Content-Length: 100000",
    b"Transfer-Encoding: chunked",
    b"Content-Length: 100000\r\nContent-Disposition: attachment",
]


@pytest.mark.parametrize("head", HEADS, ids=["length", "chunked", "file"])
@pytest.mark.parametrize("start", [b'{"a":"', b"\xff\xd8", b'{"a":"' + b"x" * 70_000], ids=["json", "picture", "long"])
def test_an_answer_that_breaks_off(wire: Door, head: bytes, start: bytes, caplog: pytest.LogCaptureFixture) -> None:
    piece = b"%x\r\n%b\r\n" % (len(start), start) if b"chunked" in head else start

    def broken(arrived: Arrived, there: Wire) -> None:
        there.sock.sendall(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n" + piece)

    wire.wechat.answer = broken
    with wire.connect() as sock:
        sock.sendall(wire.head(f"GET {PATH} HTTP/1.1"))
        response = answer_on(sock)
        if start == b'{"a":"' and b"attachment" not in head and b"Length" not in head:
            assert -1 == errcode_of(response)  # nothing of it was handed on yet
        else:
            with pytest.raises(http.client.IncompleteRead):
                response.read()
    assert "broken off" == entry(wire)["result"]
    assert "access_token" not in caplog.text
    assert "Traceback" not in caplog.text


def test_an_answer_before_the_body(one: Door) -> None:
    def early(arrived: Arrived, there: Wire) -> None:
        there.sock.sendall(b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}")

    one.wechat.answer = early
    with one.connect() as sock:
        sock.sendall(one.head(f"POST {PATH} HTTP/1.1", "Content-Length: 8000000"))
        threading.Thread(target=lambda: sock.sendall(bytes(8_000_000)), daemon=True).start()
        assert answer_on(sock).status in (200, 413)


def test_slow_on_both_ends(one: Door) -> None:
    picture = BODY * 256

    def slowly(arrived: Arrived, there: Wire) -> None:
        there.sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nConnection: close\r\n\r\n")
        for i in range(0, len(picture), 4096):
            there.sock.sendall(picture[i : i + 4096])

    one.wechat.answer = slowly
    with one.connect() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)
        for byte in one.head(f"POST {PATH} HTTP/1.1", "Content-Length: 3") + b"abc":
            sock.sendall(bytes([byte]))
        response = answer_on(sock)
        assert picture == b"".join(iter(lambda: response.read(1000), b""))


def test_silence_ends(one: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_forward, "_SILENCE", 0.1)

    def silent(arrived: Arrived, there: Wire) -> None:
        if "media" in arrived.line:
            there.sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: 9\r\n\r\nab")
        there.wait_for_end()

    one.wechat.answer = silent
    assert -1 == errcode_of(one.ask(one.head(f"GET {PATH} HTTP/1.1")))
    assert "silence" == entry(one)["result"]
    with pytest.raises(http.client.IncompleteRead):
        one.ask(one.head("GET /cgi-bin/media/get HTTP/1.1")).read()
    until(lambda: one.wechat.open == 0)


def test_the_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = RawWeChat()
    monkeypatch.setenv("http_proxy", proxy.url)
    monkeypatch.delenv("no_proxy", raising=False)
    with door("patient", base_url="http://wechat.example") as made:
        assert 0 == errcode_of(made.ask(made.head(f"GET {PATH} HTTP/1.1")))
    proxy.close()

    assert [f"GET http://wechat.example{PATH}?access_token=T1 HTTP/1.1"] == [each.line for each in proxy.arrived]


def test_redirects_are_the_callers(wire: Door) -> None:
    wire.wechat.answer = lambda arrived, _: (
        b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: https://file.example/x?a=1&access_token=T1&b=2\r\n\r\n"
    )
    response = wire.ask(wire.head(f"GET {PATH} HTTP/1.1"))

    assert 302 == response.status
    assert "https://file.example/x?a=1&access_token=**&b=2" == response.getheader("location")
    assert 1 == len(wire.wechat.arrived)


def test_revoked_before_the_body_is_there(one: Door) -> None:
    """Who sends slowly keeps no call in hand for later."""
    with one.connect() as slow, one.connect() as other:
        for sock in (slow, other):
            sock.sendall(one.head(f"POST /{APPID}{PATH} HTTP/1.1", "Content-Length: 4") + b"ab")
        one.ask(one.head(f"POST /{APPID}{PATH} HTTP/1.1", "Content-Length: 2", "Connection: close"), b"{}")
        assert one.hub is not None
        settings = one.hub.settings
        one.hub.use(settings)
        other.sendall(b"cd")
        assert 0 == errcode_of(answer_on(other))
        one.hub.use(Settings(settings.accounts, [], settings.secrets))
        slow.sendall(b"cd")
        assert 48001 == errcode_of(answer_on(slow))

    assert [b"{}", b"abcd"] == [each.body for each in one.wechat.arrived]
