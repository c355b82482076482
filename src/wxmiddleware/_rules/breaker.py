"""
Circuit breaker: whether a store that fails or hangs may be called.

Pure: the times come in as arguments. Its owner guards it with a lock.
"""

from __future__ import annotations

from .models import NEVER
from .policies import FAILURE_THRESHOLD, OPEN_AFTER_HANG, OPEN_SECONDS, RECOVERY_WINDOW


class CircuitBreaker:
    """
    Closed, calls go through; open, only those go through that see whether the store is back, and after a hang not these
    either. It closes when its time is over (then it takes as many failures as before to open it again), when a call
    succeeds, or when its owner closes it for a call that must be tried.

    Times are seconds on the process's clock.
    """

    __slots__ = ("_failures", "_hangs", "_open_until", "_recovering_until", "_told")

    def __init__(self) -> None:
        self._failures = 0  # in a row
        self._recovering_until = NEVER
        self._open_until = NEVER
        self._hangs = False  # whether it is open since a call does not return
        self._told = False  # whether somebody knows that it fails, and not yet that it works again

    def is_open(self, now: float) -> bool:
        """Whether there is to be no call."""
        return now < self._open_until

    def may_probe(self, now: float) -> bool:
        """Whether whoever has the time may call all the same, as a call takes no longer than the store's timeouts."""
        return not (self._hangs and self.is_open(now))

    def recovering(self, now: float) -> bool:
        """Whether the last failure, or the pause after a hang, was over less than `RECOVERY_WINDOW` ago."""
        return now < self._recovering_until

    def failure(self, now: float, *, probe: bool = False) -> bool:
        """
        Count a failed call; `FAILURE_THRESHOLD` in a row open it for `OPEN_SECONDS`. ``True`` if the failure is news.

        Args:
            probe: It was only to see whether the store is back, and does not count.
        """
        self._failures += not probe
        if self._failures >= FAILURE_THRESHOLD:
            self._failures, self._open_until, self._hangs = 0, now + OPEN_SECONDS, False
        return self._down(now)

    def trip(self, now: float) -> bool:
        """Open it at once, for `OPEN_AFTER_HANG`: a call does not return. ``True`` if that is news."""
        self._failures, self._open_until, self._hangs = 0, now + OPEN_AFTER_HANG, True
        return self._down(self._open_until)

    def success(self, *, tell: bool) -> bool:
        """Close it: a call has returned. ``True`` if that is to be told now, and is news."""
        self.close()
        news = tell and self._told
        self._told = self._told and not news
        return news

    def close(self) -> None:
        """Let the next call through, whatever was before."""
        self._failures, self._open_until, self._hangs = 0, NEVER, False

    def _down(self, since: float) -> bool:
        self._recovering_until = since + RECOVERY_WINDOW
        news, self._told = not self._told, True
        return news
