"""What the benchmarks borrow from the tests: real stores, and processes that can be killed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from _pytest.outcomes import Skipped
from fleet.backends import BACKENDS, Backend
from stores.redis_server import free_port
from support.program import environment, kill_group

__all__ = ["BACKENDS", "backend", "environment", "free_port", "kill_group"]


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
