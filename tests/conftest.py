"""What all tests may use."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from support import debian

from wxmiddleware._engine.registry import registry
from wxmiddleware._runtime.clock import clock
from wxmiddleware.simulator import SimulatedClock
from wxmiddleware.stores.memory import process_store

pytest_plugins = ["pytester"]

# A busy machine may take a second for one example; that says nothing about the code.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

TESTS = Path(__file__).parent
PROCESSES = ("fleet", "processes")  # folders of tests with many processes, whatever else they need


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what `make test` leaves out because of its folder; CONTRIBUTING.md has the tiers."""
    for item in items:
        if item.path.is_relative_to(TESTS) and item.path.relative_to(TESTS).parts[0] in PROCESSES:
            item.add_marker("processes")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """See that no test without a marker starts a server: on a laptop it would be slow, or red."""
    debian.may_start = any(map(item.get_closest_marker, debian.MARKERS))
    return (yield)


@pytest.fixture(autouse=True)
def _forgetful() -> Iterator[None]:
    """Let the process remember no token of an account into the next test, which may use the same name and host."""
    yield
    registry._lately.clear()
    process_store(clock)._records.clear()


@pytest.fixture(autouse=True, scope="session")
def _english() -> None:
    """Let commands speak English, whatever the developer's locale is."""
    os.environ["WXM_LANG"] = "en"


@pytest.fixture
def wechat_clock() -> SimulatedClock:
    """The plugin's clock, at a fixed time: no quota's day ends in the middle of a test. Its own: test_push_docs.py."""
    return SimulatedClock()


@pytest.fixture
def pytester(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A pytest of a user's with no plugin but ours: to import hypothesis and Faker takes longer than his tests."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p wxmiddleware -p no:cacheprovider")
    return pytester
