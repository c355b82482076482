"""The simulator's own time, so that a test can let two hours pass between two lines."""

from __future__ import annotations

import math
import threading
import time

from wxmiddleware.exceptions import ConfigurationError

__all__ = ["SimulatedClock"]


class SimulatedClock:
    """
    A wall clock that a test moves.

    Calling it gives Unix seconds. It stands still unless ``speed`` is above 0, and never goes back.
    It may be read and moved from any thread.

    Args:
        start: Unix seconds that it shows at first.
        speed: Simulated seconds per real second: 0 stands still, 1 runs like a clock, 3600 makes an hour a second.

    Raises:
        ConfigurationError: ``start`` or ``speed`` is not a number that a clock can show.
    """

    def __init__(self, start: float = 1_700_000_000.0, speed: float = 0.0) -> None:
        self._lock = threading.Lock()
        self._shown = _number("start", start)
        self._since = time.monotonic()
        self._speed = _number("speed", speed)

    def __call__(self) -> float:
        """Give the simulated time in Unix seconds."""
        with self._lock:
            return self._read()

    def advance(self, seconds: float) -> float:
        """
        Let time pass and give the new time.

        Args:
            seconds: Simulated seconds, 0 or more. WeChat's clock does not go back; for a client whose clock
                differs from WeChat's, start the client's somewhere else.

        Raises:
            ConfigurationError: ``seconds`` is negative or no number.
        """
        step = _number("seconds", seconds)
        with self._lock:
            self._shown += step
            return self._read()

    @property
    def speed(self) -> float:
        """Simulated seconds per real second. It can be set at any time; the time shown does not jump."""
        return self._speed

    @speed.setter
    def speed(self, speed: float) -> None:
        checked = _number("speed", speed)
        with self._lock:
            self._shown = self._read()
            self._since = time.monotonic()
            self._speed = checked

    def _read(self) -> float:
        if not self._speed:
            return self._shown
        return self._shown + (time.monotonic() - self._since) * self._speed

    def __repr__(self) -> str:
        return f"SimulatedClock(start={self():.3f}, speed={self._speed:g})"


def _number(name: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value < 0:
        raise ConfigurationError(f"SimulatedClock needs {name} as a number of seconds, 0 or more; got {value!r}.")
    return float(value)
