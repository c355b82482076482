"""
Under which names a webhook remembers what has been here: by what heard a push, not by whom the push is for.

Several apps of one account may share a store, each with its own token, key or URL, and each must hear all. A name is
made of the token and the key that the push itself came with: while they are replaced, a process that knows the new
ones already has the same names as one that does not.

A token is short, and a name stands in the store. So a name is made with the EncodingAESKey; where there is none, of a
token that was stretched: who reads the store must take long to try a token.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from functools import lru_cache

from wxmiddleware._rules.paths import one_spelling


class Names:
    """
    Makes the names.

    Args:
        tokens: Those that plain pushes may be signed with.
        stored: Whether anybody else may see the names.
    """

    __slots__ = ("_keys",)

    def __init__(self, tokens: Iterable[str], *, stored: bool) -> None:
        self._keys = {token: _stretched(token) if stored else token.encode() for token in tokens}

    def of_webhook(self, token: str, secret: bytes | None, path: str) -> str:
        """
        Name what has heard a push.

        Args:
            token: What the push was signed with.
            secret: `Cipher.secret` of the key that it was encrypted with; ``None`` if it was not.
            path: The path of the URL.
        """
        return _digest(self._keys[token] if secret is None else secret, "webhook", token, one_spelling(path))

    def of_token(self, token: str) -> str:
        """Name the token, whatever the URL."""
        return _digest(self._keys[token], "token")


@lru_cache(maxsize=128)
def _stretched(token: str) -> bytes:
    # Some 50 ms and 16 MB for each try.
    return hashlib.scrypt(token.encode(), salt=b"wxmiddleware", n=2**14, r=8, p=1, dklen=32)


def _digest(key: bytes, *words: str) -> str:
    return hmac.digest(key, "\0".join(words).encode("utf-8", "surrogatepass"), hashlib.sha256).hex()[:32]
