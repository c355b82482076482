"""Labels of which there can only be so many: a metrics server keeps a time series for each that it has ever seen."""

from __future__ import annotations

import threading
from typing import Final

from .._rules.advice import ROWS
from .._runtime import fork
from .._runtime.checks import count

OTHER: Final = "other"
_CODES: Final = frozenset(row.errcode for row in ROWS)


def errcode_label(errcode: int | None) -> str:
    """The errcode, if it is in the table of those that are known; ``other`` if not, and nothing if there is none."""
    if errcode is None:
        return ""
    return str(errcode) if errcode in _CODES else OTHER


class Bounded:
    """
    Gives the first names that it meets, and ``other`` for those beyond.

    Args:
        most: How many; ``None`` gives all.
    """

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._met: set[str] = set()
        fork.begin(self)

    def after_fork(self) -> None:
        """A child goes on with the names of its parent, and with a lock of its own."""
        self._lock = threading.RLock()

    def knows(self, name: str) -> bool:
        """Whether the name may be shown already, without taking the place of another one."""
        return self._most is None or name in self._met

    def label(self, name: str) -> str:
        """The name as it may be shown."""
        if self._most is None or name in self._met:
            return name
        with self._lock:
            if len(self._met) >= self._most:
                return OTHER
            self._met.add(name)
            return name


def checked_most(most: int | None) -> int | None:
    """
    How many accounts have labels of their own.

    Raises:
        ConfigurationError: It is no number of accounts.
    """
    return None if most is None else count("max_accounts", most, 0)
