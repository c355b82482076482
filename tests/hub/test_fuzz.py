"""Requests at random, to a hub whose WeChat answers at random: no exception, and nothing secret in an answer or log."""

from __future__ import annotations

import asyncio
import gzip
import io
import logging
import random
import re
from typing import Any
from urllib.parse import quote, unquote

import pytest
from support.sources import EndlessSource

from wxmiddleware import Account, TokenProvider
from wxmiddleware.hub import Caller, Hub, HubAccount, hash_key, new_key

APPID, APPSECRET, SIGNS = "wx0123456789abcdef", "f0e1d2c3" * 4, "hubsecret-0123456789abcdef-0123456789"
WECHATS = "60_aZ-9livingtoken" + "0" * 60
WORDS = """
/cgi-bin/message/custom/send /cgi-bin/menu/get /wxa/getwxacodeunlimit /sns/userinfo /sns/jscode2session
/sns/oauth2/access_token /cgi-bin/token /cgi-bin/stable_token /cgi-bin/gettoken /cgi-bin/ticket/get
/cgi-bin/ticket/getticket /cgi-bin/get_jsapi_ticket /cgi-bin/component/api_component_token /livez /
""".split()  # noqa: SIM905
BITS = [
    "..",
    ".",
    "",
    "%2e%2e",
    "%2f",
    "\\",
    ";a=b",
    "@",
    "#",
    "?",
    "a",
    "\x00",
    "é",
    "你",
    "cgi-bin",
    "token",
    APPID,
    "two",
    "v1",
]
NAMES = [b"cookie", b"x-forwarded-for", b"x-note", b"referer", b"connection", b"te", b"content-type", b"accept"]
NAMES += [b"transfer-encoding", b"content-length", b"expect", b"accept-encoding", b"x\xff", b"upgrade", b"via"]
SPELT = ["access_token", "access%5ftoken", "Access_Token", "access_token[]", " access_token", "secret", "corpsecret"]
SPELT += ["appid", "corpid", "type", "js_code", "a", "", "openid", "grant_type", "appsecret", "%73ecret"]


class Evil:
    """A WeChat that quotes all it was asked, breaks off, packs, redirects, and speaks no good HTTP."""

    def __init__(self, lot: random.Random) -> None:
        self.lot = lot
        self.arrived: list[bytes] = []
        self.wrong: list[str] = []
        self.talking: dict[asyncio.Task[object], asyncio.StreamWriter] = {}

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.talking[task] = writer
        task.add_done_callback(self.talking.pop)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await self._body(head, reader)
                self.arrived.append(head)
                answer = self._answer(head)
                whole = self.lot.random() < 0.8
                writer.write(answer if whole else answer[: self.lot.randrange(len(answer))])
                await writer.drain()
                if not whole or self.lot.random() < 0.1:
                    break
        except (asyncio.IncompleteReadError, OSError):
            pass
        except Exception as error:
            self.wrong.append(repr(error))
        finally:
            writer.close()

    async def _body(self, head: bytes, reader: asyncio.StreamReader) -> None:
        lengths = re.findall(rb"(?mi)^content-length: (\d+)\r$", head)
        chunked = re.findall(rb"(?mi)^transfer-encoding: chunked\r$", head)
        assert len(lengths) + len(chunked) <= 1
        if lengths:
            await reader.readexactly(int(lengths[0]))
        while chunked:
            size = int(await reader.readuntil(b"\r\n"), 16)
            await reader.readexactly(size + 2)
            if not size:
                break

    def _answer(self, head: bytes) -> bytes:
        lot = self.lot
        target = head.split(b" ")[1]
        url = b"http://api.example" + target
        code = lot.choice([0, 0, 40001, 40014, 42001, 45009, -1])
        body: bytes = lot.choice(
            [
                b'{"errcode":%d,"errmsg":"ok %b"}' % (code, url),
                b'{"errcode":%d,"errmsg":"ok rid: 6aac0063-7ed08fb9-1250f724"}' % code,
                b"<p>" + url + b"</p>",
                b"\xff\xd8" + bytes(lot.randrange(3000)) + url * lot.randrange(3),
                b'{"base_resp":{"ret":%d}}' % code,
                b'{"a":"' + b"x" * lot.choice([10, 70_000]) + url + b'"}',
                head,
                b"",
                b"{",
                b"[" * 50_000,
            ]
        )
        status = lot.choice(
            [b"200 OK"] * 8 + [b"302 Found", b"500 Error", b"204 No", b"304 No", b"99 x", b"700 x", b"x"]
        )
        headers = [b"Content-Type: " + lot.choice([b"application/json", b"image/jpeg", b"text/plain"])]
        more = [b"Location: " + url, b"Set-Cookie: a=" + target, b"X-Url: " + url, b"Link: <" + url + b">", b"X: \xe9"]
        more += [b"Connection: x-a", b"Keep-Alive: 5", b"X y: 1", b"Content-Encoding: br", b"Refresh: 0; url=" + url]
        headers += lot.sample(more, lot.randrange(3))
        if b"\r\nHEAD " in b"\r\n" + head:
            body = b""
        if lot.random() < 0.2:
            body, headers = gzip.compress(body), [*headers, b"Content-Encoding: gzip"]
        if lot.random() < 0.2:
            headers.append(b"Transfer-Encoding: chunked")
            half = len(body) // 2
            body = b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in (body[:half], body[half:]) if each)
            body += b"0\r\n\r\n"
        else:
            headers.append(b"Content-Length: %d" % len(body))
        return b"HTTP/1.1 " + status + b"\r\n" + b"\r\n".join(headers) + b"\r\n\r\n" + body


class Fuzz:
    """Makes requests, sends them, and looks at what comes of each."""

    def __init__(self, seed: int) -> None:
        self.lot = random.Random(seed)
        self.evil = Evil(random.Random(seed + 1))
        self.keys = {"shop": new_key(), "both": new_key(), "own": new_key()}
        self.tokens: list[str] = ["70_someother"]
        self.forwarded = 0

    async def run(self, count: int) -> None:
        server = await asyncio.start_server(self.evil.talk, "127.0.0.1", 0)
        base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with (
            TokenProvider(
                Account(APPID, APPSECRET, base_url=base_url), source=EndlessSource(WECHATS + "{number}x")
            ) as one,
            TokenProvider(
                Account("wx2", APPSECRET, base_url=base_url), source=EndlessSource(WECHATS + "{number}y")
            ) as two,
        ):
            callers = [
                Caller("shop", [hash_key(self.keys["shop"])], [APPID], paths=["/cgi-bin/", "/sns/"]),
                Caller("both", [hash_key(self.keys["both"])], [APPID, "two"]),
                Caller("own", [hash_key(self.keys["own"])], ["two"], keep_token=True),
            ]
            hub = Hub([HubAccount(APPID, one), HubAccount("two", two)], callers=callers, secrets=[SIGNS])
            try:
                await self._ask(hub, count)
            finally:
                await hub.aclose()
                server.close()
                for writer in self.evil.talking.values():
                    writer.transport.abort()
                if self.evil.talking:
                    await asyncio.wait(list(self.evil.talking))
        assert [] == self.evil.wrong

    async def _ask(self, hub: Hub, count: int) -> None:
        for key, appid in ((self.keys["shop"], APPID), (self.keys["both"], "two")):
            query = f"appid={appid}&secret={key}".encode()
            sent = await self._send(hub, "GET", b"/cgi-bin/token", query, [], [b""])
            self.tokens.append(re.findall(rb'"access_token":"([^"]+)"', sent[1]["body"])[0].decode())
        for _ in range(count):
            given = self._request()
            self._check(given, await self._send(hub, *given))

    def _request(self) -> tuple[str, bytes, bytes, list[tuple[bytes, bytes]], list[bytes]]:
        """Make a good request, and then change some of it."""
        lot = self.lot
        headers, parts = [(b"host", b"hub")], ["a=1"]
        path = lot.choice(["", "", f"/{APPID}", "/two"]) + lot.choice(WORDS)
        if lot.random() < 0.6:
            headers.append((b"authorization", f"Bearer {lot.choice(list(self.keys.values()))}".encode()))
        else:
            parts.append(f"access_token={lot.choice(self.tokens)}")
        method = lot.choice(["GET", "POST"])
        pieces = [bytes(lot.choice([0, 3, 1000, 100_000])) for _ in range(lot.randrange(4))]
        credentials = [*self.keys.values(), *self.tokens, "x", WECHATS + "1x", "", APPSECRET]
        for _ in range(lot.choice([0, 0, 1, 1, 2, 4])):
            match lot.randrange(8):
                case 0:
                    bits = path.split("/")
                    bits.insert(lot.randrange(len(bits) + 1), lot.choice([*BITS, lot.choice(credentials)]))
                    path = "/".join(bits)
                case 1:
                    kind = lot.choice(["Bearer ", "bearer ", "Basic ", "Bearer  ", "Bearer"])
                    headers.append((b"authorization", (kind + lot.choice(credentials)).encode()))
                case 2 | 3:
                    value = self._value(lot.choice([*credentials, "jsapi", "1", APPID]))
                    parts.insert(
                        lot.randrange(len(parts) + 1), lot.choice(SPELT) + lot.choice(["", *["=" + value] * 5])
                    )
                case 4 | 5:
                    values = [*credentials, "chunked", "5", "100-continue", "x-note", "é", "gzip", "keep-alive, x-note"]
                    value = lot.choice(values)
                    headers.append((lot.choice(NAMES), value.encode(lot.choice(["utf-8", "latin-1"]))))
                case 6:
                    method = lot.choice(["HEAD", "HEAD", "PUT", "TRACE", "CONNECT", "get", "OPTIONS"])
                case 7:
                    headers[0] = (b"host", lot.choice([b"hub:80", b"evil.example", b""]))
                    pieces.append(b'{"appid":"%b","secret":"%b"}' % (APPID.encode(), self.keys["shop"].encode()))
        if lot.random() < 0.002:
            pieces += [bytes(1024 * 1024)] * 3
        query = lot.choice(["&"] * 20 + [";"]).join(parts)
        return method, path.encode(), query.encode(), headers, pieces

    def _value(self, value: str) -> str:
        return self.lot.choice(
            [value, value, quote(value), value + self.lot.choice(["%00", "%zz", "#", " ", "é", "+", "\x7f"])]
        )

    async def _send(
        self, hub: Hub, method: str, path: bytes, query: bytes, headers: list[tuple[bytes, bytes]], pieces: list[bytes]
    ) -> list[Any]:
        leaves = self.lot.random() < 0.05
        messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
        if not leaves:
            messages.append({"type": "http.request", "body": b"", "more_body": False})
        coming, sent = iter(messages), list[Any]()

        async def receive() -> Any:
            message = next(coming, None)
            if message is None and not leaves:
                await asyncio.Event().wait()
            return message or {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": method,
            "path": path.decode("utf-8", "replace"),
            "raw_path": path,
            "query_string": query,
            "headers": list(headers),
            "http_version": self.lot.choice(["1.0", "1.1", "2"]),
            "scheme": "http",
            "root_path": "",
        }
        await asyncio.wait_for(hub(scope, receive, send), 60)
        return sent

    def _check(self, given: Any, sent: list[Any]) -> None:
        self.forwarded += len(self.evil.arrived)
        for head in self.evil.arrived:
            self._check_arrived(head)
        self.evil.arrived.clear()
        if not sent:
            return
        start, pieces = sent[0], sent[1:]
        assert 200 <= start["status"] < 600
        assert all(re.fullmatch(rb"[!-9;-~]+", name) and b"\n" not in value for name, value in start["headers"]), given
        body = b"".join(piece.get("body", b"") for piece in pieces)
        lengths = [int(value) for name, value in start["headers"] if name == b"content-length"]
        if pieces and not pieces[-1].get("more_body") and given[0] != "HEAD" and lengths:
            assert [len(body)] == lengths, given
        # The caller's own key and token may be in its own answer: the hub's errors have neither, WeChat never had them.
        shown = body + repr(start["headers"]).encode()
        mine = given[1] + given[2] + repr(given[3]).encode()
        for secret in (APPSECRET, SIGNS, WECHATS, *self.keys.values()):
            if secret in (APPSECRET, WECHATS) and secret.encode() in mine:
                continue  # it brought that itself
            assert secret.encode() not in shown, given

    def _check_arrived(self, head: bytes) -> None:
        line = head.partition(b"\r\n")[0].decode()
        method, target, _ = line.split(" ")
        path, _, query = target.partition("?")
        assert method in ("GET", "HEAD", "POST")
        assert re.fullmatch(r"(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)+/?", path), line
        assert path.rstrip("/") not in ("/cgi-bin/token", "/cgi-bin/gettoken", "/cgi-bin/component/api_component_token")
        if not path.startswith("/sns/"):
            assert query.count("access_token=") == 1, line
        if path not in ("/sns/jscode2session", "/sns/oauth2/access_token"):
            assert not re.search(r"(?i)secret=", unquote(query)), line
        for secret in (SIGNS, *self.keys.values(), *self.tokens[1:]):
            assert secret.encode() not in head, line


def fuzz(seed: int, count: int) -> str:
    """Send so many requests, and give all that was logged."""
    log = io.StringIO()
    handler, root, level = logging.StreamHandler(log), logging.getLogger(), logging.getLogger().level
    # urllib3, which fetches tickets, tells of each odd header with a traceback of its own.
    handler.addFilter(lambda record: not record.name.startswith("urllib3") or not record.exc_info)
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        made = Fuzz(seed)
        asyncio.run(made.run(count))
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    text = log.getvalue()
    for secret in (APPSECRET, SIGNS, WECHATS, *made.keys.values(), *made.tokens[1:]):
        assert secret not in text
    assert made.forwarded > count / 10
    return text


@pytest.mark.parametrize("seed", range(3))
def test_at_random(seed: int) -> None:
    text = fuzz(seed, 1000)

    assert "unexpected" not in text
    assert "Traceback" not in text


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(100, 110))
def test_at_random_at_length(seed: int) -> None:
    text = fuzz(seed, 10_000)

    assert "unexpected" not in text
    assert "Traceback" not in text
