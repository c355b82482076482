"""What the tests of all stores share: a key, a record to keep, and the contract that users have, too."""

from __future__ import annotations

from wxmiddleware.testing import TokenStoreContract
from wxmiddleware.testing._data import KEY, SECRET, TOKEN, record

__all__ = ["KEY", "SECRET", "TOKEN", "TokenStoreContract", "record"]
