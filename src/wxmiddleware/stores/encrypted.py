"""
Tokens that only your processes can read, whatever the store: ``pip install 'wxmiddleware[crypto]'``.

Only tokens are encrypted, and refresh tokens. Leases, ends and generations stay readable, so that the store can be
inspected without a key.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from .._models import Loaded, Record
from ..exceptions import ConfigurationError, StoreError
from . import TokenStore
from ._sealed import MARK

try:
    from cryptography.fernet import Fernet, InvalidToken, MultiFernet
except ImportError as exc:
    raise ImportError(
        "EncryptedStore needs the cryptography package: pip install 'wxmiddleware[crypto]'", name=exc.name
    ) from None

__all__ = ["EncryptedStore"]

_KEY = re.compile("[A-Za-z0-9_-]{43}=")
_HOW = (
    "Make one with: python -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())' "
    "and keep it where you keep the AppSecret."
)


class EncryptedStore:
    """
    Encrypts the token in another store, with Fernet (AES-128-CBC and HMAC-SHA256).

    A token that was stored before encryption was turned on is taken as it is, and encrypted when the record is next
    saved. All processes that share the store need a key.

    To replace a key, first give every process the new one as an older key (``old, new``), then put it first
    (``new, old``), and leave the old one out when the last token that it encrypted is over: after two hours.

    Args:
        store: Where the records are kept. It stays yours.
        key: What `Fernet.generate_key` gives: 32 bytes as URL-safe base64. This one encrypts.
        older_keys: These can still be read.

    Raises:
        ConfigurationError: A key is none, or `store` is no token store.
    """

    def __init__(self, store: TokenStore, key: str | bytes, *older_keys: str | bytes) -> None:
        if not isinstance(store, TokenStore) or isinstance(store, type):
            raise ConfigurationError("EncryptedStore(store, key) takes a token store such as RedisStore(client) first.")
        self._store = store
        self._fernet = MultiFernet([_fernet(one) for one in (key, *older_keys)])

    def __repr__(self) -> str:
        return f"EncryptedStore({self._store!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __getattr__(self, name: str) -> Any:
        # What some stores can do and others cannot, such as keys(), is there if the inner store can.
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._store, name)

    @property
    def shared(self) -> bool:
        """Whether other processes write to the inner store, too."""
        return self._store.shared

    def load(self, key: str) -> Loaded:
        """
        Read the record of `key`, and decrypt its token.

        Raises:
            StoreError: There is a token that none of the keys can read, and its life is not over. The message says
                what to do. Also as the inner store raises it.
        """
        loaded = self._store.load(key)
        record = loaded.record
        if record is None:
            return loaded
        value, refresh = self._opened(key, record.value), self._opened(_beside(key), record.refresh)
        lost = record.value is not None and value is None and record.expires_at > loaded.now
        if lost or (record.refresh is not None and refresh is None):
            raise StoreError(
                "The store holds a token that none of the keys can read, or that was encrypted for another account. "
                "Give EncryptedStore the key of the other processes as an older key, or delete the record."
            )
        return replace(loaded, record=replace(record, value=value, refresh=refresh))

    def save(self, key: str, record: Record, version: Any) -> Any | None:
        """Encrypt the token, and replace the record of `key`, if nothing was saved since `version` was loaded."""
        if record.value is not None:
            record = replace(record, value=self._encrypt(key, record.value))
        if record.refresh is not None:
            record = replace(record, refresh=self._encrypt(_beside(key), record.refresh))
        return self._store.save(key, record, version)

    def close(self) -> None:
        """Close the inner store, if it can be closed."""
        close = getattr(self._store, "close", None)
        if close is not None:
            close()

    def _opened(self, key: str, value: str | None) -> str | None:
        return self._decrypt(key, value) if value is not None and value.startswith(MARK) else value

    def _encrypt(self, key: str, value: str) -> str:
        # With the key in it, a ciphertext that was moved to another account's record is noticed.
        return MARK + self._fernet.encrypt(f"{key}\0{value}".encode("utf-8", "surrogatepass")).decode("ascii")

    def _decrypt(self, key: str, value: str) -> str | None:
        with suppress(InvalidToken, ValueError):
            text = self._fernet.decrypt(value.removeprefix(MARK)).decode("utf-8", "surrogatepass")
            mine = f"{key}\0"
            if text.startswith(mine):
                return text.removeprefix(mine) or None
        return None


def _beside(key: str) -> str:
    """Under another name than the token, so that neither is ever taken for the other."""
    return f"{key}:refresh"


def _fernet(key: object) -> Fernet:
    if not isinstance(key, (str, bytes)):
        raise ConfigurationError(f"A key must be a str or bytes, not {type(key).__name__}. {_HOW}")
    text = key if isinstance(key, str) else key.decode("latin-1")
    # Fernet itself ignores what follows the first key, such as a second one after a comma.
    if _KEY.fullmatch(text.strip()):
        with suppress(ValueError):
            return Fernet(text.strip())
    raise ConfigurationError(f"A key must be 32 bytes as URL-safe base64. {_HOW}")
