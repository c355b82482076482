"""Options that `with_token` and the clients' auth classes share."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

from ..exceptions import ConfigurationError

__all__ = ["checked_codes", "checked_timeout", "is_provider"]


def is_provider(thing: Any) -> bool:
    """Tell whether this gives tokens to threads and tasks."""
    return not isinstance(thing, type) and all(hasattr(thing, name) for name in ("get_token", "aget_token"))


def checked_codes(codes: Any) -> frozenset[int] | None:
    """
    Check the errcodes that mean a rejected token; ``None`` stands for those of the account's kind.

    Raises:
        ConfigurationError: They are no collection of int.
    """
    if codes is None:
        return None
    # A str would be taken apart into its characters.
    checked = frozenset(codes) if isinstance(codes, Collection) and not isinstance(codes, (str, bytes)) else None
    if checked is None or any(isinstance(code, bool) or not isinstance(code, int) for code in checked):
        raise ConfigurationError("codes must be a collection of errcodes as int, such as {40001, 40014, 42001}.")
    return checked


def checked_timeout(timeout: Any) -> float | None:
    """
    Check the seconds to wait for a token.

    Raises:
        ConfigurationError: They are no number above 0.
    """
    if timeout is None:
        return None
    number = isinstance(timeout, (int, float)) and not isinstance(timeout, bool)
    if not number or not math.isfinite(timeout) or timeout <= 0:
        raise ConfigurationError("timeout must be a number of seconds above 0, or None for the provider's own limit.")
    return float(timeout)
