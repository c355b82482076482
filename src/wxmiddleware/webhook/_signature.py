"""
WeChat's signatures: SHA-1 over sorted words.

[PUSH] [W90930]: lower-case hex of the words, sorted as bytes and joined without anything in between. SHA-1 is WeChat's
choice; what it protects here is that nobody signs without the token.
"""

from __future__ import annotations

import hashlib
import hmac


def sign(token: str, *words: str) -> str:
    """Sign `words`: timestamp and nonce, and the ciphertext where there is one."""
    # What a server hands out as bytes that are no UTF-8 may hold halves of characters; they sort and hash as well.
    ordered = sorted(word.encode("utf-8", "surrogatepass") for word in (token, *words))
    return hashlib.sha1(b"".join(ordered)).hexdigest()  # noqa: S324 - WeChat's choice


def signer(tokens: tuple[str, ...], signature: str, *words: str) -> str | None:
    """Find the token that `signature` was made with. Takes as long whichever it is, and if it is none."""
    given = signature.encode("utf-8", "surrogatepass")
    found = None
    for token in tokens:
        if hmac.compare_digest(sign(token, *words).encode(), given):
            found = token
    return found
