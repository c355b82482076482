"""What the benchmarks borrow from the tests: real stores, and processes that can be killed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from _pytest.outcomes import Skipped
from fleet.backends import BACKENDS, Backend

__all__ = ["BACKENDS", "backend"]


@contextmanager
def backend(name: str) -> Iterator[Backend | None]:
    """Start a store; nothing, if its server is not installed."""
    try:
        started = BACKENDS[name]()
    except Skipped:
        yield None
        return
    try:
        yield started
    finally:
        started.close()
