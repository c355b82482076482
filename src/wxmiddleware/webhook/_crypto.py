"""
WeChat's encryption of messages: AES-256-CBC, padded to 32 bytes, with the receiver's id inside.

The plain block is ``random(16) + length of the message in bytes (uint32, big-endian) + message + receiver``; the IV is
the first half of the key (docs/wechat.md#encryption). Nothing in it authenticates the ciphertext: check the signature
first.

A push and an answer are encrypted and signed alike, so an answer of ours can be sent back as a push. We know it again:
the second half of our random bytes is an HMAC of the first. WeChat's are random throughout.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import struct
from typing import TYPE_CHECKING

from wxmiddleware._runtime.needs import needs
from wxmiddleware.exceptions import ConfigurationError

if TYPE_CHECKING:
    from typing import Any

_BLOCK = 32  # not AES's 16: pads of 17 to 32 do occur
_HEAD = 20
_RANDOM = 16
_KEY = re.compile("[A-Za-z0-9]{43}")
_WHERE = "It stands beside the webhook's URL on WeChat's site (消息加解密密钥): 43 letters and digits."


class Undecipherable(Exception):
    """A ciphertext that was not made with this key. Says nothing about why: whoever sent it need not know."""


class Cipher:
    """
    Encrypts and decrypts with one EncodingAESKey.

    Args:
        aes_key: The 43 characters. They never show in a ``repr`` or an error.

    Raises:
        ConfigurationError: It is no EncodingAESKey.
        ImportError: The cryptography package is not installed.
    """

    __slots__ = ("_cipher", "secret")

    def __init__(self, aes_key: str) -> None:
        key = _decoded(aes_key)
        #: To make digests with that tell nothing of what they were made of.
        self.secret = hmac.digest(key, b"wxmiddleware", hashlib.sha256)
        with needs("cryptography", extra="webhook"):
            from cryptography.hazmat.primitives.ciphers import Cipher as Aes
            from cryptography.hazmat.primitives.ciphers import algorithms, modes
        self._cipher: Aes[Any] = Aes(algorithms.AES(key), modes.CBC(key[:16]))

    def encrypt(self, message: bytes, receiver: str, *, head: bytes | None = None) -> str:
        """
        Encrypt `message` for `receiver`, as base64.

        Args:
            head: The 16 bytes at the beginning, for tests. By default they are such as `made` knows.
        """
        if head is None:
            random = os.urandom(_RANDOM // 2)
            head = random + self._mark(random)
        block = head + struct.pack(">I", len(message)) + message + receiver.encode()
        pad = _BLOCK - len(block) % _BLOCK
        encryptor = self._cipher.encryptor()
        return base64.b64encode(encryptor.update(block + bytes([pad]) * pad) + encryptor.finalize()).decode("ascii")

    def decrypt(self, text: str) -> tuple[bytes, str]:
        """
        Decrypt base64, and give the message and the receiver it was encrypted for.

        Raises:
            Undecipherable: It was not made with this key, or was changed.
        """
        block = self._decrypted(_sealed(text))
        pad = block[-1]
        if not 1 <= pad <= _BLOCK or block[-pad:] != bytes([pad]) * pad:
            raise Undecipherable
        (length,) = struct.unpack(">I", block[_RANDOM:_HEAD])
        end = _HEAD + length
        if end > len(block) - pad:
            raise Undecipherable
        try:
            return block[_HEAD:end], block[end:-pad].decode()
        except UnicodeDecodeError:
            raise Undecipherable from None

    def made(self, text: str) -> bool:
        """
        Tell whether `encrypt` has made a ciphertext, in this process or another one that has the key.

        Raises:
            Undecipherable: It is no ciphertext.
        """
        head = self._decrypted(_sealed(text)[:_RANDOM])
        return hmac.compare_digest(self._mark(head[: _RANDOM // 2]), head[_RANDOM // 2 :])

    def _decrypted(self, sealed: bytes) -> bytes:
        decryptor = self._cipher.decryptor()
        return decryptor.update(sealed) + decryptor.finalize()

    def _mark(self, random: bytes) -> bytes:
        return hmac.digest(self.secret, b"made here" + random, hashlib.sha256)[: _RANDOM // 2]


def _sealed(text: str) -> bytes:
    try:
        sealed = base64.b64decode("".join(text.split()).encode("ascii"), validate=True)
    except ValueError:
        raise Undecipherable from None
    if not sealed or len(sealed) % _BLOCK:
        raise Undecipherable
    return sealed


def _decoded(aes_key: object) -> bytes:
    # The key itself stays out of every message, also one that is wrong by a character only.
    if not isinstance(aes_key, str):
        raise ConfigurationError(f"An EncodingAESKey must be a str, not a {type(aes_key).__name__}. {_WHERE}")
    if len(aes_key) == 44 and aes_key.endswith("="):
        raise ConfigurationError(f"The EncodingAESKey ends in =. Leave that off. {_WHERE}")
    blank = ", a blank or a line end among them" if any(map(str.isspace, aes_key)) else ""
    if len(aes_key) != 43:
        raise ConfigurationError(f"The EncodingAESKey has {len(aes_key)} characters{blank}. {_WHERE}")
    if not _KEY.fullmatch(aes_key):
        raise ConfigurationError(f"The EncodingAESKey has other characters in it{blank}. {_WHERE}")
    # Most keys are not canonical base64: bits are left over in the last character. Python drops them, as WeChat does.
    return base64.b64decode(aes_key + "=")
