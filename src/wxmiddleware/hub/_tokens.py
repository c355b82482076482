"""
The hub's own tokens: what a caller is given in place of WeChat's.

One says who the caller is, by which of its keys it came, and which account it asked for; a signature (HMAC-SHA-256)
proves that a hub made it. It has no end of its own: each time it is used the hub looks whether the caller, that key
and that account are still allowed. So nothing has to be kept, and every replica that has the secret can read it. The
same caller gets the same token each time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import NamedTuple

from itsdangerous import BadSignature, Signer
from itsdangerous.encoding import base64_decode, base64_encode

from ..exceptions import ConfigurationError

_VERSION = 1
_SALT = b"wxmiddleware.hub.token"
_LEAST = 32  # characters of a secret
_LONGEST = 512  # as long as clients expect WeChat's to be


class Claims(NamedTuple):
    """
    What a token of the hub's says.

    Attributes:
        caller: The name of the caller.
        key: The beginning of the hash of the key that it came with.
        account: The name of the account in the hub.
    """

    caller: str
    key: str
    account: str


class Tokens:
    """
    Makes and reads tokens of the hub's own.

    Args:
        secrets: What they are signed with: the first signs, all are accepted, so that one can be replaced.
    """

    def __init__(self, secrets: Sequence[str]) -> None:
        # itsdangerous signs with the last one.
        self._signer = Signer(list(reversed(secrets)), salt=_SALT, digest_method=hashlib.sha256, key_derivation="hmac")

    def make(self, claims: Claims) -> str:
        """Make the token. Names that are too long for one were refused with the settings."""
        said = json.dumps([_VERSION, *claims], separators=(",", ":"), ensure_ascii=False).encode()
        token = self._signer.sign(base64_encode(said)).decode()
        assert len(token) <= _LONGEST
        return token

    def read(self, token: str) -> Claims | None:
        """Read a token; ``None`` if it is none of a hub's with one of these secrets."""
        if len(token) > _LONGEST or not token.isascii():
            return None
        try:
            version, *claims = json.loads(base64_decode(self._signer.unsign(token)))
        except (BadSignature, ValueError):
            return None
        return Claims(*claims) if version == _VERSION else None


def checked_secrets(secrets: Sequence[str]) -> tuple[str, ...]:
    """
    Check the secrets that tokens are signed with.

    Raises:
        ConfigurationError: One is too short, or no text. The message does not quote it.
    """
    if isinstance(secrets, str):
        secrets = [secrets]
    for secret in secrets:
        if not isinstance(secret, str) or len(secret) < _LEAST:
            raise ConfigurationError(
                f"Each of secrets must be a text of {_LEAST} characters or more, such as the output of "
                "`wxmiddleware serve --new-secret`."
            )
    return tuple(secrets)
