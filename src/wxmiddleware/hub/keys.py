"""The keys that callers bring: made here, shown once, and kept as a hash."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets

from ..exceptions import ConfigurationError

__all__ = ["hash_key", "new_key"]

_HASH = re.compile(r"sha256:[0-9a-f]{64}")


def new_key() -> str:
    """
    Make a key of 256 bits for a caller: 43 characters of ``A-Z a-z 0-9 - _``.

    Clients put it unescaped into URLs and into names of files, and one of them tells its apps apart by the first ten
    characters of their secrets: so it has no prefix.
    """
    return secrets.token_urlsafe(32)


def hash_key(key: str) -> str:
    """Give what the hub keeps of a key, ``sha256:`` and 64 digits. No salt: nobody can guess 256 bits."""
    return "sha256:" + hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def checked_hash(name: str, value: object) -> str:
    """
    Check what is kept of a key.

    Raises:
        ConfigurationError: It is none. The message does not quote it: somebody may have written the key itself.
    """
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        raise ConfigurationError(
            f"{name} must be hashes of keys, like 'sha256:' and 64 hexadecimal digits, and not the keys themselves. "
            "`wxmiddleware serve --new-caller NAME` makes a key and shows both."
        )
    return value


def same(one: str, other: str) -> bool:
    """Compare two hashes in constant time."""
    return hmac.compare_digest(one.encode(), other.encode())
