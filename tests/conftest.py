"""What all tests may use."""

import pytest

from wxmiddleware.simulator import SimulatedClock

pytest_plugins = ["pytester"]


@pytest.fixture
def wechat_clock() -> SimulatedClock:
    """The plugin's clock, at a fixed time: no quota's day ends in the middle of a test. Its own: test_push_docs.py."""
    return SimulatedClock()
