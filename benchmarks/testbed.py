"""What the benchmarks borrow from the tests: real stores, and processes that can be killed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from _pytest.outcomes import Skipped
from fleet.depots import DEPOTS, Depot

__all__ = ["DEPOTS", "depot"]


@contextmanager
def depot(name: str) -> Iterator[Depot | None]:
    """Start a store; nothing, if its server is not installed."""
    try:
        started = DEPOTS[name]()
    except Skipped:
        yield None
        return
    try:
        yield started
    finally:
        started.close()
