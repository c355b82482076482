"""
WeChat's signatures: SHA-1 over sorted words.

Lower-case hex of the words, sorted as bytes and joined with nothing in between (docs/wechat.md#verifying-a-webhook).
SHA-1 is WeChat's choice; what it protects here is that nobody signs without the token.

Since nothing stands between the sorted words, timestamp and nonce can be swapped, and digits moved from one to the
other, and the signature is still right. So what came with a signature is known by the signature, not by those words.
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


_FAR = 3600  # seconds; what a message says may be as old when WeChat pushes it
_EARLIEST = 10**9  # before that there was no WeChat


def has_another_time(timestamp: str, nonce: str, said: int) -> bool:
    """
    Tell whether the same signature is that of another timestamp, by which the message was sent when it says it was.

    Args:
        timestamp: The query's, digits only.
        nonce: The query's.
        said: When the message was made, as it says itself under the signature; 0 if it does not say.
    """
    if said < _EARLIEST:
        return False
    digits = len(str(said))
    off = abs(int(timestamp) - said)
    for joined in (timestamp + nonce, nonce + timestamp):
        for other in (joined[:digits], joined[-digits:]):
            if other.isascii() and other.isdecimal() and abs(int(other) - said) < min(off, _FAR):
                return True
    return False
