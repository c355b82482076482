"""Random requests; more of them by `fuzz.py`, or with WX_TEST_FUZZ=100000."""

from __future__ import annotations

import os

import pytest

from .fuzz import fuzz


@pytest.mark.timeout(3600)
def test_fuzz() -> None:
    """Whatever comes is answered with a status that the docs list, and nothing is raised."""
    found = fuzz(int(os.environ.get("WX_TEST_FUZZ", "1500")), seed=1)

    for statuses in found.values():
        assert {200, 400, 403, 405, 413} <= set(statuses)
