"""The simulator's time."""

from __future__ import annotations

import pytest

from wxmiddleware.exceptions import ConfigurationError
from wxmiddleware.simulator import SimulatedClock


def test_stands_still() -> None:
    """Without a speed only advance() moves it."""
    clock = SimulatedClock(100.0)

    assert clock() == clock() == 100.0
    assert clock.advance(7200) == clock() == 7300.0


def test_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a speed it runs that much faster than the real time, and a new speed makes no jump."""
    real = [50.0]
    monkeypatch.setattr("time.monotonic", lambda: real[0])
    clock = SimulatedClock(100.0, speed=3600)

    real[0] += 2
    assert clock() == 7300.0
    clock.speed = 0
    real[0] += 2
    assert clock() == 7300.0
    assert clock.speed == 0


@pytest.mark.parametrize("value", [-1, float("inf"), float("nan"), "5", True, None])
def test_no_number_of_seconds(value: float) -> None:
    """Neither a start, a speed nor a step can be negative or no number."""
    clock = SimulatedClock()

    with pytest.raises(ConfigurationError):
        SimulatedClock(value)
    with pytest.raises(ConfigurationError):
        clock.speed = value
    with pytest.raises(ConfigurationError):
        clock.advance(value)
