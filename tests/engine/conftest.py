"""Every scenario is played with each store and in each colour."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from engine.world import FACES, STORES, Face, World


@pytest.fixture(params=FACES)
def face(request: pytest.FixtureRequest) -> Face:
    """Threads, or tasks of one of the event loops."""
    return FACES[request.param]()


@pytest.fixture(params=STORES)
def worlds(request: pytest.FixtureRequest, face: Face) -> Iterator[Callable[..., World]]:
    """Makes worlds, and checks each at the end."""
    made: list[World] = []

    def make(**options: Any) -> World:
        made.append(World(STORES[request.param], face, **options))
        return made[-1]

    yield make
    for world in made:
        world.drain()
        world.check()


@pytest.fixture
def world(worlds: Callable[..., World]) -> World:
    """A world with a classic issuer."""
    return worlds()


@pytest.fixture
def stable(worlds: Callable[..., World]) -> World:
    """A world with a stable issuer."""
    return worlds(stable=True)
