"""
Who is let in: pure functions of a request's query and body, and of the time.

Signatures are checked in constant time and before anything is decrypted. Whoever is refused learns nothing but that;
why, the log says, without a token, a key or a message.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from wxmiddleware.exceptions import ConfigurationError

from ._crypto import Cipher, Undecipherable
from ._signature import sign, signer
from ._wire import Format, Unreadable, read, write
from .messages import Message, message_from

_NAMES = ("signature", "msg_signature", "timestamp", "nonce", "echostr", "encrypt_type")
_LONGEST_QUERY = 4096
_ECHO = re.compile(r"[\x20-\x7e]{1,1024}")


class Refused(Exception):
    """This is not WeChat's. The text is for the log."""


@dataclass(frozen=True, slots=True)
class Query:
    """The words of a push's query; the empty string for what is not there."""

    signature: str = ""
    msg_signature: str = ""
    timestamp: str = ""
    nonce: str = ""
    echostr: str = ""
    encrypt_type: str = ""

    @classmethod
    def read(cls, text: str) -> Query:
        """
        Read a query string; each octet of it a character.

        Raises:
            Refused: It cannot be read, or says one thing twice.
        """
        if len(text) > _LONGEST_QUERY:
            raise Refused("The query is too long.")
        try:
            pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=32)
        except ValueError:
            raise Refused("The query cannot be read.") from None
        words = [(name, value) for name, value in pairs if name in _NAMES]
        if len(words) > len({name for name, _ in words}):
            raise Refused("The query has a parameter twice.")
        return cls(**dict(words))

    @property
    def encrypted(self) -> bool:
        """Whether the body is to be decrypted. WeCom says so by the signature alone."""
        return bool(self.msg_signature)


@dataclass(frozen=True, slots=True)
class Seal:
    """With what an answer is encrypted: what the push itself was encrypted with, so that keys can be replaced."""

    cipher: Cipher = field(repr=False)
    token: str = field(repr=False)
    receiver: str

    def close(self, body: bytes, style: Format, timestamp: str, nonce: str) -> bytes:
        """Encrypt an answer, and write the envelope around it."""
        text = self.cipher.encrypt(body, self.receiver)
        signature = sign(self.token, timestamp, nonce, text)
        # [PUSH]: the JSON form has the number, too.
        envelope = {"Encrypt": text, "MsgSignature": signature, "TimeStamp": int(timestamp), "Nonce": nonce}
        return write(envelope, style)


@dataclass(frozen=True, slots=True)
class Push:
    """
    A push that WeChat has made.

    Attributes:
        message: What it says.
        body: The body, decrypted.
        style: How it is written.
        seal: With what to encrypt the answer; ``None`` in plain mode, where the signature does not cover the body.
    """

    message: Message
    body: bytes
    style: Format
    seal: Seal | None


class Gate:
    """
    Lets in what WeChat has signed, and decrypts it.

    Args:
        token: The webhook's Token; several while it is being replaced, the current one first.
        aes_key: The EncodingAESKey, or several; ``None`` for plain mode.
        appid: Whom messages are encrypted for: the AppID; at WeCom the corpid or suite id; the component's AppID.
        plain: Whether to let in what is not encrypted although there is a key.
        window: Seconds that a timestamp may be off; ``None`` not to look.

    Raises:
        ConfigurationError: One of these cannot be right.
        ImportError: There is a key, and the cryptography package is not installed.
    """

    __slots__ = ("_ciphers", "_plain", "_receivers", "_tokens", "window")

    def __init__(
        self,
        *,
        token: str | Collection[str],
        aes_key: str | Collection[str] | None = None,
        appid: str | Collection[str] | None = None,
        plain: bool = False,
        window: float | None = 300.0,
    ) -> None:
        self._tokens = _several("token", token)
        if not self._tokens or not all(self._tokens):
            raise ConfigurationError("token is empty. Give the Token that stands beside the URL on WeChat's site.")
        keys = () if aes_key is None else _several("aes_key", aes_key)
        self._ciphers = tuple(Cipher(key) for key in keys)
        self._receivers = () if appid is None else _several("appid", appid)
        if self._ciphers and not self._receivers:
            raise ConfigurationError(
                "With aes_key= give appid= too: inside its encryption each message names whom it is for."
            )
        self._plain = bool(plain) or not self._ciphers
        if window is not None and (isinstance(window, bool) or not isinstance(window, int | float) or not window > 0):
            raise ConfigurationError("window must be a positive number of seconds, or None not to look at the time.")
        self.window = window

    def screen(self, query: Query, now: float) -> None:
        """
        Check what can be checked without the body.

        Args:
            now: Seconds since 1970.

        Raises:
            Refused: It is not WeChat's.
        """
        self._check_time(query.timestamp, now)
        if query.encrypted:
            if not self._ciphers:
                raise Refused("The push is encrypted, and there is no key. Give the webhook aes_key= and appid=.")
        elif not self._plain:
            raise Refused(
                "The push is not encrypted, and the webhook has an aes_key=. Choose the safe mode on WeChat's site, "
                "or give plain=True."
            )
        elif not signer(self._tokens, query.signature, query.timestamp, query.nonce):
            raise Refused("The signature is wrong. Check that token= is the one on WeChat's site.")

    def verify(self, query: Query, now: float) -> str:
        """
        Answer the verification of the URL.

        Raises:
            Refused: It is not WeChat's.
        """
        self._check_time(query.timestamp, now)
        if query.encrypted:
            # Base64 has no blanks: here a plus was sent raw.
            text, _ = self._opened(query, query.echostr.replace(" ", "+"))
            return text.decode("utf-8", "replace")
        if not signer(self._tokens, query.signature, query.timestamp, query.nonce):
            raise Refused("The signature is wrong. Check that token= is the one on WeChat's site.")
        if not _ECHO.fullmatch(query.echostr):
            raise Refused("The query has no echostr.")
        return query.echostr

    def open(self, query: Query, body: bytes) -> Push:
        """
        Read the body of a request that `screen` has let through.

        Raises:
            Refused: It is not WeChat's.
        """
        fields, style = _read(body)
        if not query.encrypted:
            return Push(_message(fields), body, style, None)
        text = fields.get("Encrypt", fields.get("encrypt"))
        if not isinstance(text, str):
            raise Refused("The body has nothing encrypted in it.")
        plain, seal = self._opened(query, text)
        inner, style = _read(plain)
        return Push(_message(inner), plain, style, seal)

    def seal(self, push: Push, body: bytes, now: float) -> tuple[bytes, Format] | None:
        """
        Encrypt an answer to `push`.

        Returns:
            The body and how it is written; ``None`` if it goes out as it is.
        """
        # [PUSH]: a bare success, or nothing, is not encrypted in any mode.
        if push.seal is None or body in (b"", b"success"):
            return None
        nonce = str(secrets.randbelow(10**10))
        return push.seal.close(body, push.style, str(int(now)), nonce), push.style

    def _check_time(self, timestamp: str, now: float) -> None:
        if not (timestamp.isascii() and timestamp.isdecimal() and len(timestamp) < 15):
            raise Refused("The query has no timestamp.")
        off = int(timestamp) - now
        if self.window is not None and abs(off) > self.window:
            raise Refused(f"The timestamp is {off:+.0f} s off. Check this machine's clock, or give a longer window=.")

    def _opened(self, query: Query, text: str) -> tuple[bytes, Seal]:
        token = signer(self._tokens, query.msg_signature, query.timestamp, query.nonce, text)
        if token is None:
            raise Refused("The msg_signature is wrong. Check that token= is the one on WeChat's site.")
        for cipher in self._ciphers:
            try:
                plain, receiver = cipher.decrypt(text)
            except Undecipherable:
                continue
            if receiver not in self._receivers:
                raise Refused("The message is encrypted for somebody else. Check appid=.")
            return plain, Seal(cipher, token, receiver)
        raise Refused("The message cannot be decrypted. Check that aes_key= is the one on WeChat's site.")


def _read(body: bytes) -> tuple[dict[str, Any], Format]:
    try:
        return read(body)
    except Unreadable:
        raise Refused("The body is no message.") from None


def _message(fields: Mapping[str, Any]) -> Message:
    if not {"MsgType", "InfoType", "msgtype"} & fields.keys():  # small at WeCom's AI bots
        raise Refused("The body is no message.")
    return message_from(fields)


def _several(name: str, value: object) -> tuple[str, ...]:
    found = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, Collection) else ()
    if not found or isinstance(value, (bytes, bytearray)) or not all(isinstance(each, str) for each in found):
        raise ConfigurationError(f"{name} must be a str, or several in a tuple while it is being replaced.")
    return found
