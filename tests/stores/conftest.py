"""What the tests of stores share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from stores.fleet import Fleet


@pytest.fixture(scope="session")
def fleet() -> Iterator[Fleet]:
    """Eight processes, to share a store; a test that has them is marked `processes`."""
    fleet = Fleet()
    yield fleet
    fleet.close()
