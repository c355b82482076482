"""What a token's life costs at each store, in round trips to its server. The tests start the servers, so here, too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from .. import testbed
from ..report import Table


def run(*, quick: bool) -> Iterator[Table]:
    """Count."""
    from stores.test_round_trips import SERVERS, count

    table = Table(
        "round-trips",
        "Round trips to the store's server",
        ["store", "first token", "a hundred fresh ones", "a look", "renewed ahead", "rejected"],
    )
    for name in SERVERS[:1] if quick else SERVERS:
        with testbed.backend(name) as backend:
            if backend is None:
                table.notes.append(f"{name} is not installed.")
            else:
                table.add(name, *asdict(count(backend.url)).values())
    yield table
