"""
Verify that a push is WeChat's: pure functions of a request's query and body, and of the time.

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

from wxmiddleware._runtime import checks
from wxmiddleware.exceptions import ConfigurationError

from ._crypto import Cipher, Undecipherable
from ._receivers import AppIds, Receivers
from ._signature import has_another_time, sign, signer
from ._wire import Format, Unreadable, read, write
from ._words import several, tokens_of
from .messages import Message, message_from

_NAMES = ("signature", "msg_signature", "timestamp", "nonce", "echostr", "encrypt_type")
_LONGEST_QUERY = 4096
# WeChat's are numbers. Nothing else that WeChat or we encrypt looks like this: that is XML, JSON or a sentence.
_ECHO = re.compile(r"[A-Za-z0-9_.-]{1,128}")


class NotAuthentic(Exception):
    """A push is not WeChat's: its signature, time or encryption is wrong. The text is for the log."""


@dataclass(frozen=True, slots=True)
class Query:
    """The words of a push's query; the empty string for what is not there."""

    signature: str = field(default="", repr=False)
    msg_signature: str = field(default="", repr=False)
    timestamp: str = ""
    nonce: str = field(default="", repr=False)
    echostr: str = field(default="", repr=False)
    encrypt_type: str = ""

    @classmethod
    def read(cls, text: str) -> Query:
        """
        Read a query string; each octet of it a character.

        Raises:
            NotAuthentic: It cannot be read, or says one thing twice.
        """
        if len(text) > _LONGEST_QUERY:
            raise NotAuthentic("The query is too long.")
        try:
            pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=32)
        except ValueError:
            raise NotAuthentic("The query cannot be read.") from None
        words = [(name, value) for name, value in pairs if name in _NAMES]
        if len(words) > len({name for name, _ in words}):
            raise NotAuthentic("The query has a parameter twice.")
        return cls(**dict(words))

    @property
    def encrypted(self) -> bool:
        """Whether the body is to be decrypted. WeCom says so by the signature alone."""
        return bool(self.msg_signature)


@dataclass(frozen=True, slots=True)
class Seal:
    """
    With what an answer is encrypted: what the push itself was encrypted with, so that keys can be replaced.

    Attributes:
        cipher: With the push's key.
        token: What the push was signed with.
        receiver: Whom the push was for.
        small: The nonce of a push to an AI bot of WeCom's: its envelope has small names, and the answer's has them too.
    """

    cipher: Cipher = field(repr=False)
    token: str = field(repr=False)
    receiver: str
    small: str | None = field(default=None, repr=False)

    def close(self, body: bytes, style: Format, timestamp: str, nonce: str) -> bytes:
        """Encrypt an answer, and write the envelope around it."""
        text = self.cipher.encrypt(body, self.receiver)
        nonce = nonce if self.small is None else self.small
        signature = sign(self.token, timestamp, nonce, text)
        # The JSON form has the number, too: docs/wechat.md#encryption. Names of AI bots: docs/wechat.md#pushes.
        if self.small is not None:
            small = {"encrypt": text, "msgsignature": signature, "timestamp": int(timestamp), "nonce": nonce}
            return write(small, Format.JSON)
        envelope = {"Encrypt": text, "MsgSignature": signature, "TimeStamp": int(timestamp), "Nonce": nonce}
        return write(envelope, style)


@dataclass(frozen=True, slots=True)
class Push:
    """
    A push that WeChat has made. Its ``repr`` shows nothing that a user has written, and no ticket.

    Attributes:
        message: What it says.
        body: The body, decrypted.
        style: How it is written.
        seal: With what to encrypt the answer; ``None`` in plain mode, where the signature does not cover the body.
        token: What it was signed with.
        signature: Of token, timestamp and nonce: what may come with this message only, as far as plain pushes are let
            in; else the empty string.
    """

    message: Message = field(repr=False)
    body: bytes = field(repr=False)
    style: Format
    seal: Seal | None
    token: str = field(default="", repr=False)
    signature: str = field(default="", repr=False)


class Gate:
    """
    Lets in what WeChat has signed, and decrypts it.

    Args:
        token: The webhook's Token; several while it is being replaced, the current one first.
        aes_key: The EncodingAESKey, or several; ``None`` for plain mode.
        appid: Whom messages are encrypted for: the AppID; at WeCom the corpid or suite id; the component's AppID; the
            empty string for an AI bot of WeCom's. A container of such ids or a function is asked at each push.
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
        appid: AppIds = None,
        plain: bool = False,
        window: float | None = 300.0,
    ) -> None:
        self._tokens = tokens_of(token)
        keys = () if aes_key is None else several("aes_key", aes_key)
        self._ciphers = tuple(Cipher(key) for key in keys)
        self._receivers = Receivers(appid)
        if not isinstance(plain, bool):
            raise ConfigurationError(f"plain must be True or False, not a {type(plain).__name__}.")
        if self._ciphers and appid is None:
            raise ConfigurationError(
                "With aes_key= give appid= too: inside its encryption each message names whom it is for."
            )
        if appid is not None and not self._ciphers and not plain:
            raise ConfigurationError(
                "There is an appid= and no aes_key=, so pushes that are not encrypted would be let in. Give the "
                "EncodingAESKey (is the variable set that it is read from?), or plain=True for the plain mode."
            )
        self._plain = plain or not self._ciphers
        self.window = None if window is None else checks.seconds("window", window)

    def check_query(self, query: Query, now: float) -> None:
        """
        Check what can be checked without the body.

        Args:
            now: Seconds since 1970.

        Raises:
            NotAuthentic: It is not WeChat's.
        """
        self._check_time(query.timestamp, now)
        if query.encrypted:
            if not self._ciphers:
                raise NotAuthentic("The push is encrypted, and there is no key. Give the webhook aes_key= and appid=.")
        elif not self._plain:
            raise NotAuthentic(
                "The push is not encrypted, and the webhook has an aes_key=. Choose the safe mode on WeChat's site, "
                "or give plain=True."
            )
        else:
            self._signer(query)

    @property
    def plain_tokens(self) -> tuple[str, ...]:
        """The tokens that unencrypted pushes may be signed with."""
        return self._tokens if self._plain else ()

    @property
    def blocks(self) -> bool:
        """Whether `verify` and `open` may take long: they ask a function whom the push may be for."""
        return self._receivers.blocks

    def verify(self, query: Query, now: float) -> str:
        """
        Answer the verification of the URL.

        A push is signed over the same words. So whoever has seen one could have it decrypted here, unless nothing is
        answered that is not an echostr. Whose echostr are encrypted (WeCom's and a suite's) the ids do not tell: old
        corpids look like AppIDs.

        Raises:
            NotAuthentic: It is not WeChat's.
            Unavailable: Whom it may be for could not be found out.
        """
        self._check_time(query.timestamp, now)
        if query.encrypted:
            # Base64 has no blanks: here a plus was sent raw.
            text, _ = self._opened(query, query.echostr.replace(" ", "+"))
            said = text.decode("utf-8", "replace")
            if not _ECHO.fullmatch(said):
                raise NotAuthentic(
                    "What is to be decrypted is no echostr: somebody asks what a message or an answer says."
                )
            return said
        self._signer(query)
        if not _ECHO.fullmatch(query.echostr):
            raise NotAuthentic("The query has no echostr.")
        return query.echostr

    def open(self, query: Query, body: bytes) -> Push:
        """
        Read the body of a request that `check_query` has let through.

        Raises:
            NotAuthentic: It is not WeChat's.
            Unavailable: Whom it may be for could not be found out.
        """
        fields, style = _read(body)
        if not query.encrypted:
            return Push(_message(fields), body, style, None, self._signer(query), query.signature)
        text = fields.get("Encrypt", fields.get("encrypt"))
        if not isinstance(text, str):
            raise NotAuthentic("The body has nothing encrypted in it.")
        plain, seal = self._opened(query, text, small=style is Format.JSON and fields.keys() == {"encrypt"})
        inner, style = _read(plain)
        message = _message(inner)
        if has_another_time(query.timestamp, query.nonce, message.create_time):
            raise NotAuthentic("The timestamp is not the one that the message was sent with: it stands in the nonce.")
        # Where plain pushes are let in, the same timestamp and nonce would be good for one of those, too.
        signature = sign(seal.token, query.timestamp, query.nonce) if self._plain else ""
        return Push(message, plain, style, seal, seal.token, signature)

    def seal(self, push: Push, body: bytes, now: float) -> tuple[bytes, Format] | None:
        """
        Encrypt an answer to `push`.

        Returns:
            The body and how it is written; ``None`` if it goes out as it is.
        """
        # A bare success, or nothing, is not encrypted in any mode: docs/wechat.md#encryption.
        if push.seal is None or body in (b"", b"success"):
            return None
        nonce = str(secrets.randbelow(10**10))
        return push.seal.close(body, push.style, str(int(now)), nonce), push.style

    def _check_time(self, timestamp: str, now: float) -> None:
        if not (timestamp.isascii() and timestamp.isdecimal() and len(timestamp) < 15):
            raise NotAuthentic("The query has no timestamp.")
        off = int(timestamp) - now
        if self.window is not None and abs(off) > self.window:
            raise NotAuthentic(
                f"The timestamp is {off:+.0f} s off. Check this machine's clock, or give a longer window=."
            )

    def _signer(self, query: Query) -> str:
        token = signer(self._tokens, query.signature, query.timestamp, query.nonce)
        if token is None:
            raise NotAuthentic("The signature is wrong. Check that token= is the one on WeChat's site.")
        return token

    def _opened(self, query: Query, text: str, *, small: bool = False) -> tuple[bytes, Seal]:
        text, token = self._signed(query, text)
        for cipher in self._ciphers:
            try:
                if cipher.made(text):
                    raise NotAuthentic("It is an answer of this webhook's own, sent back to it.")
                plain, receiver = cipher.decrypt(text)
            except Undecipherable:
                continue
            if not self._receivers.allow(receiver):
                raise NotAuthentic("The message is encrypted for somebody else. Check appid=.")
            return plain, Seal(cipher, token, receiver, query.nonce if small else None)
        raise NotAuthentic("The message cannot be decrypted. Check that aes_key= is the one on WeChat's site.")

    def _signed(self, query: Query, text: str) -> tuple[str, str]:
        """The ciphertext, with a pretty printer's blanks and line ends or without, as it was signed; and the token."""
        for each in dict.fromkeys(("".join(text.split()), text)):
            token = signer(self._tokens, query.msg_signature, query.timestamp, query.nonce, each)
            if token is not None:
                return each, token
        raise NotAuthentic("The msg_signature is wrong. Check that token= is the one on WeChat's site.")


def _read(body: bytes) -> tuple[dict[str, Any], Format]:
    try:
        return read(body)
    except Unreadable:
        raise NotAuthentic("The body is no message.") from None


def _message(fields: Mapping[str, Any]) -> Message:
    if not {"MsgType", "InfoType", "msgtype"} & fields.keys():  # small at WeCom's AI bots
        raise NotAuthentic("The body is no message.")
    return message_from(fields)
