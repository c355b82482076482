"""How often a caller may ask: a token bucket, as in most gateways. Pure: whoever asks says what time it is."""

from __future__ import annotations

import math


class Bucket:
    """
    Allows `burst` requests at once, and then `per_second`.

    It is in this process alone: of several replicas each counts by itself.
    """

    __slots__ = ("_burst", "_filled_at", "_left", "_per_second")

    def __init__(self, burst: float, per_second: float) -> None:
        self._burst, self._per_second = burst, per_second
        self._left, self._filled_at = burst, -math.inf

    def take(self, now: float) -> bool:
        """Take one, if there is one at a time on any clock that does not go back."""
        self._left = min(self._burst, self._left + max(0.0, now - self._filled_at) * self._per_second)
        self._filled_at = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True
