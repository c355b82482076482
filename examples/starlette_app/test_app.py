"""The Starlette example against the simulator; what it is to do stands in ../checks.py."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from examples.checks import AppChecks


@pytest.fixture
def client(module: Any) -> Iterator[TestClient]:
    with TestClient(module.app) as client:
        yield client


class TestStarletteApp(AppChecks):
    """All that both apps do."""
