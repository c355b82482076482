"""Recognise an encrypted value, for processes without the key or the package for it."""

from __future__ import annotations

from typing import Final

from .._rules.models import Loaded
from ..exceptions import StoreError

# No token begins so: WeChat's begin with a number and an underscore.
MARK: Final = "fernet:"


def readable(loaded: Loaded) -> Loaded:
    """
    Give back what was loaded, unless its value is a ciphertext.

    Raises:
        StoreError: It is one: WeChat must not be sent it, and nobody should write over it.
    """
    record = loaded.record
    if record is not None and any((one or "").startswith(MARK) for one in (record.value, record.refresh)):
        raise StoreError(
            "The store holds an encrypted token. Give this process the key, too: EncryptedStore(store, key)."
        )
    return loaded
