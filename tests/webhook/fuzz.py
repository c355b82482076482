"""
Random requests to a webhook: signed and not, encrypted and not, over WSGI and ASGI.

From the folder tests: ``python -m webhook.fuzz --count 100000 --seed 1`` prints how many requests had which status. A
status that docs/webhooks.md does not list, or an exception, ends it with the seed and the number of the request.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import logging
import random
from collections import Counter
from typing import Any

from support.gateway import noting

from wxmiddleware.webhook import asgi, wsgi

from .sites import AT_NOW
from .wechat import Pushed, Pusher, text

#: What docs/webhooks.md lists, beside what a handler of an app answers.
LISTED = {200, 400, 403, 405, 408, 413, 500, 503}

_PUSHER = Pusher()
_OPTIONS: dict[str, Any] = {
    "path": "/wechat",
    "token": _PUSHER.token,
    "aes_key": _PUSHER.aes_key,
    "appid": _PUSHER.appid,
    "plain": True,
    "limit": 4096,
    "runtime": AT_NOW,
    "deadline": None,
}
_REPLY = "<xml><MsgType><![CDATA[text]]></MsgType><Content><![CDATA[{}]]></Content></xml>"
_WORDS = [
    "",
    "0",
    "-1",
    "\x00",
    "\ud83d",
    "\U0001f600",
    "%",
    "%zz",
    "+",
    " ",
    "x" * 3000,
    "<a>",
    "]]>",
    "&#0;",
    "{",
    "你",
    "1" * 400,
]
_BODIES = [
    b"",
    b"<xml>",
    b"{",
    b"[1]",
    b"\xff\xfe",
    b"<xml><a><b/></a></xml>",
    b"<!DOCTYPE x><xml/>",
    b"{}" * 3000,
    b"\0" * 50,
]
_LENGTHS = ["", "-1", "+5", "1_000", "9" * 5000, "4097", "0x10", "5, 5", " 7 ", "\u0665"]
_METHODS = ["GET", "HEAD", "PUT", "OPTIONS", "", "post", "\x00", "PATCH"]


class Request:
    """One request, made of a right one by some changes."""

    def __init__(self, dice: random.Random, number: int) -> None:
        content = dice.choice(_WORDS).replace("]]>", "") if dice.random() < 0.3 else "hello"
        content = content.encode("utf-8", "replace").decode()
        words = text(content, msg_id=str(number), sender=f"o{number % 97}")
        if dice.random() < 0.2:
            words = json.dumps({"MsgType": "text", "FromUserName": "o", "Content": content, "MsgId": number})
        make = dice.choice([_PUSHER.plain, _PUSHER.sealed])
        pushed: Pushed = make(words, nonce=str(number))
        self.method = "POST" if dice.random() < 0.85 else dice.choice(_METHODS)
        self.query, self.body = dict(pushed.query), pushed.body
        self.length: str | None = str(len(self.body))
        if self.method in ("GET", "HEAD") and dice.random() < 0.7:
            self.query["echostr"] = dice.choice([str(number), *_WORDS])
        for _ in range(dice.choice([0, 0, 1, 1, 2])):
            dice.choice([self._word, self._lost_word, self._body, self._flip, self._cut, self._length])(dice)
        raw = "&".join(f"{name}={_quoted(value)}" for name, value in self.query.items())
        if dice.random() < 0.05:
            raw += "&" + dice.choice(["nonce=1", "=&=", "&" * 200, "timestamp", "%ff=%ff", "a" * 5000, "signature[]=1"])
        self.raw = raw

    def _word(self, dice: random.Random) -> None:
        self.query[dice.choice([*self.query, "echostr", "encrypt_type", "msg_signature"])] = dice.choice(_WORDS)

    def _lost_word(self, dice: random.Random) -> None:
        self.query.pop(dice.choice(list(self.query)), None) if self.query else None

    def _body(self, dice: random.Random) -> None:
        self.body = dice.choice(_BODIES)
        self.length = str(len(self.body))

    def _flip(self, dice: random.Random) -> None:
        at = dice.randrange(len(self.body)) if self.body else 0
        self.body = self.body[:at] + bytes([dice.randrange(256)]) + self.body[at + 1 :]
        self.length = str(len(self.body))

    def _cut(self, dice: random.Random) -> None:
        self.body = self.body[: dice.randrange(len(self.body) + 1)]

    def _length(self, dice: random.Random) -> None:
        self.length = dice.choice([None, *_LENGTHS])


def _quoted(value: str) -> str:
    return "".join(
        each if each.isalnum() and each.isascii() else f"%{octet:02x}"
        for each in value
        for octet in each.encode("utf-8", "replace")[:1]
    )


def _app(environ: Any, start_response: Any) -> list[bytes]:
    body = environ["wsgi.input"].read()
    assert environ["CONTENT_LENGTH"] == str(len(body))
    start_response("200 OK", [("Content-Type", "text/xml")])
    return [_REPLY.format("你好" * (900 if b"hello" not in body else 1)).encode()]


async def _asgi_app(scope: Any, receive: Any, send: Any) -> None:
    body = (await receive())["body"]
    reply = _REPLY.format("你好" * (900 if b"hello" not in body else 1)).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": reply})


class Sites:
    """The same webhook behind both doors."""

    def __init__(self) -> None:
        self._wsgi = wsgi.WebhookMiddleware(_app, **_OPTIONS)
        self._asgi = asgi.WebhookMiddleware(_asgi_app, **_OPTIONS)

    def over_wsgi(self, request: Request) -> int:
        statuses: list[str] = []
        environ: dict[str, Any] = {
            "REQUEST_METHOD": request.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": "/wechat",
            "QUERY_STRING": request.raw,
            "SERVER_NAME": "s.test",
            "SERVER_PORT": "80",
            "REMOTE_ADDR": "6.6.6.6",
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(request.body),
            "wsgi.input_terminated": True,
            "wsgi.multithread": True,
        }
        if request.length is not None:
            environ["CONTENT_LENGTH"] = request.length
        b"".join(self._wsgi(environ, noting(statuses)))
        return int(statuses[-1].split()[0])

    async def over_asgi(self, request: Request) -> int:
        statuses: list[int] = []
        length = [] if request.length is None else [(b"content-length", request.length.encode())]

        async def receive() -> Any:
            return {"type": "http.request", "body": request.body}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        scope = {
            "type": "http",
            "method": request.method,
            "path": "/wechat",
            "root_path": "",
            "query_string": request.raw.encode("latin-1", "replace"),
            "headers": length,
            "client": ("6.6.6.6", 1),
        }
        await self._asgi(scope, receive, send)
        return statuses[-1]


def fuzz(count: int, seed: int) -> dict[str, Counter[int]]:
    """
    Send so many requests, each over one of the two.

    Raises:
        AssertionError: A status that is not listed, or an exception, and which request it was.
    """
    sites, found = Sites(), {"wsgi": Counter[int](), "asgi": Counter[int]()}

    async def run() -> None:
        for number in range(count):
            dice = random.Random(f"{seed}/{number}")
            request = Request(dice, number)
            face = dice.choice(["wsgi", "asgi"])
            try:
                status = sites.over_wsgi(request) if face == "wsgi" else await sites.over_asgi(request)
                assert status in LISTED, status
            except Exception as error:
                raise AssertionError(f"Request {number} of seed {seed} over {face}: {error!r}") from error
            found[face][status] += 1

    asyncio.run(run())
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    chosen = parser.parse_args()
    logging.disable(logging.CRITICAL)
    print(f"seed {chosen.seed}")
    for where, statuses in fuzz(chosen.count, chosen.seed).items():
        print(where, dict(sorted(statuses.items())))
