"""
Tokens that only your processes can read, whatever the store: ``pip install 'wxmiddleware[crypto]'``.

Only tokens are encrypted, and refresh tokens. Leases, ends and generations stay readable, so that the store can be
inspected without a key. What decides about a token (whose it is, its number, when it was fetched, when it ends) is in
the ciphertext as well, and that counts: who can write to the store, and has no key, can neither make a token nor move
one to another account, nor have an old one pass for a new one. They can still delete records, put back a whole record
from before, and write leases and failures.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple

from .._rules.models import LONGEST_LIFE, Loaded, Record
from .._runtime import fork
from .._runtime.needs import needs
from ..exceptions import ConfigurationError, StoreError
from . import TokenStore
from ._advice import name_of
from ._sealed import MARK

with needs("cryptography", extra="crypto"):
    from cryptography.fernet import Fernet, InvalidToken, MultiFernet

__all__ = ["EncryptedStore"]

_BOUND = ("generation", "expires_at", "sent_at", "received_at")
_UNREADABLE = (
    "The store holds a token that none of the keys can read, or that was encrypted for another account or at another "
    "time. Give EncryptedStore the key of the other processes as an older key, or delete the record."
)
_PLAIN = (
    "The store holds a token that is not encrypted, so it cannot be read with this key and is not used. If it was "
    "stored before encryption was turned on, say accept_plain=True for two hours, or delete the record; if not, "
    "somebody else can write to the store."
)
_KEY = re.compile("[A-Za-z0-9_-]{43}=")
_HOW = (
    "Make one with: python -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())' "
    "and keep it where you keep the AppSecret."
)


class EncryptedStore(fork.Closing):
    """
    Encrypts the token in another store, with Fernet (AES-128-CBC and HMAC-SHA256).

    All processes that share the store need a key. To turn encryption on while tokens are in the store, start all
    processes with ``accept_plain=True``; a token from before is then taken as it is, and encrypted when the record is
    next saved. Leave it out when the last such token is over: after two hours.

    To replace a key, first give every process the new one as an older key (``old, new``), then put it first
    (``new, old``), and leave the old one out when the last token that it encrypted is over: after two hours.

    Args:
        store: Where the records are kept. It stays yours.
        key: What `Fernet.generate_key` gives: 32 bytes as URL-safe base64. This one encrypts.
        older_keys: These can still be read.
        accept_plain: Whether a token that is not encrypted is taken as well. Whoever can write to the store can then
            have you use a token of theirs, and read what you send with it.

    Raises:
        ConfigurationError: A key is none, or `store` is no token store.
    """

    def __init__(
        self, store: TokenStore, key: str | bytes, *older_keys: str | bytes, accept_plain: bool = False
    ) -> None:
        if not isinstance(store, TokenStore) or isinstance(store, type):
            raise ConfigurationError("EncryptedStore(store, key) takes a token store such as RedisStore(client) first.")
        if not isinstance(accept_plain, bool):
            raise ConfigurationError("accept_plain must be True or False.")
        self._store = store
        self._accept_plain = accept_plain
        self._fernet = MultiFernet([_fernet(one) for one in (key, *older_keys)])

    def __repr__(self) -> str:
        return f"EncryptedStore({name_of(self._store)})"

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
            StoreError: There is a token that none of the keys can read, or that is not encrypted, and its life is not
                over. The message says what to do. Also as the inner store raises it.
        """
        loaded = self._store.load(key)
        record = loaded.record
        if record is None or record.value is record.refresh is None:
            return loaded
        value, refresh = self._opened(key, record.value), self._opened(_beside(key), record.refresh)
        # One whose life is over, or longer than any, may be written over.
        may_live = loaded.now < record.expires_at <= loaded.now + LONGEST_LIFE + 5.0
        lost = value is None and record.value is not None and may_live
        apart = value is not None and refresh is not None and value.bound != refresh.bound
        if lost or apart or (record.refresh is not None and refresh is None):
            plain = any(one is not None and not one.startswith(MARK) for one in (record.value, record.refresh))
            raise StoreError(_PLAIN if plain else _UNREADABLE)
        bound = (value or refresh or _Opened("", None)).bound
        if bound is not None:
            record = replace(record, **dict(zip(_BOUND, bound, strict=True)))
        record = replace(record, value=value and value.text, refresh=refresh and refresh.text)
        return replace(loaded, record=record)

    def save(self, key: str, record: Record, version: Any) -> Any | None:
        """Encrypt the token, and replace the record of `key`, if nothing was saved since `version` was loaded."""
        bound = [getattr(record, name) for name in _BOUND]
        value, refresh = record.value, record.refresh
        if value is not None:
            value = self._encrypt(key, value, bound)
        if refresh is not None:
            refresh = self._encrypt(_beside(key), refresh, bound)
        return self._store.save(key, replace(record, value=value, refresh=refresh), version)

    def close(self) -> None:
        """Close the inner store, if it can be closed."""
        close = getattr(self._store, "close", None)
        if close is not None:
            close()

    def _opened(self, key: str, value: str | None) -> _Opened | None:
        if value is None or value.startswith(MARK):
            return None if value is None else self._decrypt(key, value)
        return _Opened(value, None) if self._accept_plain else None

    def _encrypt(self, key: str, value: str, bound: list[Any]) -> str:
        # Fernet has no associated data, so what belongs to the token is in the ciphertext with it.
        return MARK + self._fernet.encrypt(json.dumps([key, value, *bound]).encode("ascii")).decode("ascii")

    def _decrypt(self, key: str, value: str) -> _Opened | None:
        with suppress(InvalidToken, ValueError):
            whose, text, *bound = json.loads(self._fernet.decrypt(value.removeprefix(MARK)))
            if whose == key and text and len(bound) == len(_BOUND):
                return _Opened(text, bound)
        return None


class _Opened(NamedTuple):
    """The content of a ciphertext: the token, and the fields of the record that belong to it."""

    text: str
    bound: list[Any] | None  # none of a token that was not encrypted


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
