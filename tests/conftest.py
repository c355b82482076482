"""What all tests may use."""

import pytest
from hypothesis import HealthCheck, settings

from wxmiddleware.simulator import SimulatedClock

pytest_plugins = ["pytester"]

# A busy machine may take a second for one example; that says nothing about the code.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


@pytest.fixture
def wechat_clock() -> SimulatedClock:
    """The plugin's clock, at a fixed time: no quota's day ends in the middle of a test. Its own: test_push_docs.py."""
    return SimulatedClock()
