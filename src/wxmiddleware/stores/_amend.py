"""Change a record by compare-and-swap, for what is brought to this process and not fetched."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .._rules.models import Loaded, Record
from .._rules.policies import believable
from ..exceptions import StoreError
from ._sealed import readable

if TYPE_CHECKING:
    from . import TokenStore

_TRIES = 20


def amend(store: TokenStore, key: str, change: Callable[[Record, float], Record]) -> Record:
    """
    Load the record of `key`, have `change` make the new one of it and of the store's time, and save that.

    If another process saves in between, it is done again (compare-and-swap).

    Raises:
        StoreError: The store failed, or another process saved each time. Nothing has been saved then.
    """
    for _ in range(_TRIES):
        loaded: Loaded = readable(_safely(lambda: store.load(key)))
        record = change(believable(loaded.record or Record(), loaded.now), loaded.now)
        if _safely(lambda: store.save(key, record, loaded.version)) is not None:  # noqa: B023 - called here and now
            return record
    raise StoreError("The store takes nothing: somebody else has saved each time.")


def pausing(store: TokenStore, key: str) -> bool:
    """
    Whether the record of `key` holds a back-off after a failure.

    Raises:
        StoreError: The store failed.
    """
    loaded: Loaded = readable(_safely(lambda: store.load(key)))
    return loaded.record is not None and loaded.record.cooldown is not None


def _safely(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except StoreError:
        raise
    except Exception as exc:  # a client's own; its text may quote the URL
        from ._advice import advise

        problem = f"The store failed ({type(exc).__name__}). {advise(exc)}".rstrip()
    raise StoreError(problem)
