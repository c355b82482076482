"""How WeChat signs and encrypts what it pushes: docs/wechat.md#verifying-a-webhook, docs/wechat.md#encryption."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets

from wxmiddleware.exceptions import ConfigurationError

_KEY = re.compile("[A-Za-z0-9]{43}", re.ASCII)
_BLOCK = 32  # of the padding; AES itself has 16


class Unreadable(Exception):
    """Something that was to be decrypted is not what it should be; the text says what."""


def signature(*values: str) -> str:
    """Sign values as WeChat does: SHA-1 of them sorted and joined."""
    return hashlib.sha1("".join(sorted(values)).encode(), usedforsecurity=False).hexdigest()


class Seal:
    """
    Encrypts and decrypts with one EncodingAESKey, for one receiver.

    Args:
        aes_key: The EncodingAESKey, 43 letters and digits.
        receiver: What stands behind the message: AppID, CorpID, SuiteID or component AppID; may be empty.

    Raises:
        ConfigurationError: The key is none, or the cryptography package is missing.
    """

    def __init__(self, aes_key: str, receiver: str) -> None:
        if not isinstance(aes_key, str) or not _KEY.fullmatch(aes_key):
            raise ConfigurationError("An EncodingAESKey has 43 letters and digits; copy it from WeChat's site.")
        try:
            from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
        except ImportError:
            raise ConfigurationError(
                "Encrypted pushes need cryptography: pip install 'wxmiddleware[webhook]'."
            ) from None
        key = base64.b64decode(aes_key + "=")  # spare bits may be set, so it need not survive a way back
        self._cipher = Cipher(algorithms.AES(key), modes.CBC(key[:16]))
        self._receiver = receiver.encode()

    def encrypt(self, message: bytes, random: bytes | None = None) -> str:
        """
        Encrypt a message.

        Args:
            message: What the receiver is to read.
            random: The 16 bytes in front; by default new ones.
        """
        random = secrets.token_hex(8).encode() if random is None else random
        block = random + len(message).to_bytes(4, "big") + message + self._receiver
        pad = _BLOCK - len(block) % _BLOCK
        encryptor = self._cipher.encryptor()
        return base64.b64encode(encryptor.update(block + bytes([pad]) * pad) + encryptor.finalize()).decode()

    def decrypt(self, text: str) -> bytes:
        """
        Give the message in an encrypted text.

        Raises:
            Unreadable: It is not base64, not encrypted with this key, or for another receiver.
        """
        try:
            data = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise Unreadable("it is not base64") from None
        if not data or len(data) % _BLOCK:
            raise Unreadable("its length is not a multiple of 32 bytes; pad to 32, not to AES's 16")
        decryptor = self._cipher.decryptor()
        block = decryptor.update(data) + decryptor.finalize()
        pad = block[-1]
        if not 1 <= pad <= _BLOCK or block[-pad:] != bytes([pad]) * pad:
            raise Unreadable("its padding is wrong: another EncodingAESKey, or another padding than 1 to 32 bytes")
        block = block[:-pad]
        if len(block) < 20 or len(block) < 20 + (size := int.from_bytes(block[16:20], "big")):
            raise Unreadable("it is shorter than it says; the length is 4 bytes, big-endian, and counts bytes")
        if block[20 + size :] != self._receiver:
            raise Unreadable("it is for another receiver: the AppID (or CorpID) behind the message is not ours")
        return block[20 : 20 + size]
