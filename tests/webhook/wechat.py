"""WeChat, as far as it pushes: signs and encrypts with nothing of what is tested."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import struct
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from .vectors import KEY_A

NOW = 1_714_037_059


def sign(*words: str) -> str:
    return hashlib.sha1("".join(sorted(words)).encode()).hexdigest()


def text(content: str = "hello", msg_id: str = "1", sender: str = "oAda") -> str:
    return (
        f"<xml><ToUserName><![CDATA[gh_1]]></ToUserName><FromUserName><![CDATA[{sender}]]></FromUserName>"
        "<CreateTime>1348831860</CreateTime><MsgType><![CDATA[text]]></MsgType>"
        f"<Content><![CDATA[{content}]]></Content><MsgId>{msg_id}</MsgId></xml>"
    )


@dataclass(frozen=True)
class Pushed:
    """A request of WeChat's."""

    query: dict[str, str]
    body: bytes = b""

    def but(self, **words: str) -> Pushed:
        return replace(self, query={**self.query, **words})

    @property
    def url(self) -> str:
        return "/wechat?" + urlencode(self.query)


@dataclass(frozen=True)
class Pusher:
    """An account's settings on WeChat's site."""

    token: str = "AAAAA"
    aes_key: str = KEY_A
    appid: str = "wxba5fad812f8e6fb9"
    now: int = NOW

    def plain(self, body: str, nonce: str = "486452656") -> Pushed:
        words = {"timestamp": str(self.now), "nonce": nonce}
        return Pushed({"signature": sign(self.token, *words.values()), **words}, body.encode())

    def sealed(self, body: str, nonce: str = "486452656", rest: str = "", receiver: str | None = None) -> Pushed:
        sealed = self.encrypt(body, self.appid if receiver is None else receiver)
        query = {
            **self.plain("", nonce).query,
            "encrypt_type": "aes",
            "msg_signature": sign(self.token, str(self.now), nonce, sealed),
        }
        if body.startswith("{"):
            return Pushed(query, json.dumps({"ToUserName": "gh_1", "Encrypt": sealed}).encode())
        head = "<xml><ToUserName><![CDATA[gh_1]]></ToUserName>"
        return Pushed(query, f"{head}{rest}<Encrypt><![CDATA[{sealed}]]></Encrypt></xml>".encode())

    def compatible(self, body: str) -> Pushed:
        """Plain and encrypted in one."""
        return self.sealed(body, rest=body.removeprefix("<xml>").removesuffix("</xml>").partition("</ToUserName>")[2])

    def encrypt(self, body: str, receiver: str) -> str:
        key = base64.b64decode(self.aes_key + "=")
        plain = os.urandom(16) + struct.pack(">I", len(body.encode())) + body.encode() + receiver.encode()
        pad = 32 - len(plain) % 32
        encryptor = Cipher(algorithms.AES(key), modes.CBC(key[:16])).encryptor()
        return base64.b64encode(encryptor.update(plain + bytes([pad]) * pad) + encryptor.finalize()).decode()

    def opened(self, body: bytes) -> str:
        """Decrypt an answer, if it is right in every respect."""
        envelope: dict[str, Any]
        if body.startswith(b"{"):
            envelope = {name: str(value) for name, value in json.loads(body).items()}
        else:
            found = re.fullmatch(
                r"<xml><Encrypt><!\[CDATA\[(.+)\]\]></Encrypt><MsgSignature><!\[CDATA\[(.+)\]\]></MsgSignature>"
                r"<TimeStamp>(\d+)</TimeStamp><Nonce><!\[CDATA\[(.+)\]\]></Nonce></xml>",
                body.decode(),
            )
            assert found is not None, body
            envelope = dict(zip(("Encrypt", "MsgSignature", "TimeStamp", "Nonce"), found.groups()))
        words = (self.token, envelope["TimeStamp"], envelope["Nonce"], envelope["Encrypt"])
        assert sign(*words) == envelope["MsgSignature"]
        key = base64.b64decode(self.aes_key + "=")
        decryptor = Cipher(algorithms.AES(key), modes.CBC(key[:16])).decryptor()
        plain = decryptor.update(base64.b64decode(envelope["Encrypt"])) + decryptor.finalize()
        plain = plain[16 : -plain[-1]]
        (length,) = struct.unpack(">I", plain[:4])
        assert plain[4 + length :].decode() == self.appid
        return plain[4 : 4 + length].decode()
