"""Webhooks written by hand, right and wrong, that know nothing of wxmiddleware. They answer the pusher's tests."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

TOKEN = "AAAAA"
AES_KEY = "A" * 43
TEXT = (
    "<xml><ToUserName>{FromUserName}</ToUserName><FromUserName>{ToUserName}</FromUserName>"
    "<CreateTime>1700000000</CreateTime><MsgType>text</MsgType><Content>you said {Content}</Content></xml>"
)


def sign(*values: str) -> str:
    return hashlib.sha1("".join(sorted(values)).encode()).hexdigest()


def cipher(aes_key: str) -> Cipher[modes.CBC]:
    key = base64.b64decode(aes_key + "=")
    return Cipher(algorithms.AES(key), modes.CBC(key[:16]))


def seal(message: str, receiver: str, aes_key: str = AES_KEY, block: int = 256) -> str:
    data = message.encode()
    padder = padding.PKCS7(block).padder()
    data = b"0123456789abcdef" + len(data).to_bytes(4, "big") + data + receiver.encode()
    encryptor = cipher(aes_key).encryptor()
    return base64.b64encode(encryptor.update(padder.update(data) + padder.finalize()) + encryptor.finalize()).decode()


def unseal(text: str, receiver: str, aes_key: str = AES_KEY) -> str:
    decryptor = cipher(aes_key).decryptor()
    unpadder = padding.PKCS7(256).unpadder()
    data = unpadder.update(decryptor.update(base64.b64decode(text)) + decryptor.finalize()) + unpadder.finalize()
    size = int.from_bytes(data[16:20], "big")
    assert data[20 + size :].decode() == receiver
    return data[20 : 20 + size].decode()


def fields_of(text: str) -> dict[str, Any]:
    if text.startswith("{"):
        return dict(json.loads(text))
    found = re.findall(r"<(\w+)>(?:<!\[CDATA\[(.*?)\]\]>|([^<]*))</\1>", text, re.DOTALL)
    return {name: cdata or bare for name, cdata, bare in found}


def envelope(encrypted: str, timestamp: str, nonce: str, token: str = TOKEN) -> str:
    return (
        f"<xml><Encrypt>{encrypted}</Encrypt><MsgSignature>{sign(token, timestamp, nonce, encrypted)}</MsgSignature>"
        f"<TimeStamp>{timestamp}</TimeStamp><Nonce>{nonce}</Nonce></xml>"
    )


class Webhook:
    """
    A right one, as a WSGI app.

    Args:
        receiver: Whom messages are encrypted for.
        reply: Makes the reply out of the message; by default a text.
        status: Of every answer to a message.
        checked: Whether signatures are looked at.
    """

    def __init__(
        self,
        receiver: str = "",
        reply: Callable[[dict[str, Any]], str] = TEXT.format_map,
        *,
        status: str = "200 OK",
        checked: bool = True,
    ) -> None:
        self.receiver = receiver
        self.reply = reply
        self.status = status
        self.checked = checked
        self.queries: list[dict[str, str]] = []
        self.bodies: list[str] = []
        self.messages: list[dict[str, Any]] = []

    def __call__(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        query = {name: values[0] for name, values in parse_qs(environ["QUERY_STRING"]).items()}
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)).decode()
        self.queries.append(query)
        self.bodies.append(body)
        status, answer = self.answer(environ["REQUEST_METHOD"], query, body)
        start(status, [("Content-Type", "text/plain; charset=utf-8")])
        return [answer.encode("utf-8")]

    def answer(self, method: str, query: dict[str, str], body: str) -> tuple[str, str]:
        outer = fields_of(body)
        sealed = query.get("echostr") if method == "GET" else outer.get("Encrypt", outer.get("encrypt"))
        stamps = (TOKEN, query["timestamp"], query["nonce"])
        if "msg_signature" in query:
            good = query["msg_signature"] == sign(*stamps, str(sealed))
        else:
            good = query["signature"] == sign(*stamps)
        if self.checked and not good:
            return "403 Forbidden", "no"
        if method == "GET":
            return "200 OK", unseal(str(sealed), self.receiver) if "msg_signature" in query else query["echostr"]
        message = fields_of(unseal(sealed, self.receiver)) if sealed else outer
        self.messages.append(message)
        reply = self.reply(message)
        if sealed and reply not in ("", "success"):
            reply = self.closed(reply, query)
        return self.status, reply

    def closed(self, reply: str, query: dict[str, str]) -> str:
        """Encrypt a reply."""
        return envelope(seal(reply, self.receiver), query["timestamp"], query["nonce"])
