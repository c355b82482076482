"""What breaks a refresh, beside the source and the store's own errors: those who wait are told, and nothing hangs."""

from __future__ import annotations

from typing import Any

import pytest

from engine.world import World
from wxmiddleware import TokenUnavailable
from wxmiddleware.stores import Loaded

NONSENSE: Any = "soon"

pytestmark = pytest.mark.parametrize("worlds", ["fleet"], indirect=True)


def test_store_that_answers_nonsense(world: World) -> None:
    """A store whose clock is not a number is a mistake in it, after which there is a back-off like any other."""
    world.store.load = lambda key: Loaded(None, 1, NONSENSE)
    provider = world.provider()
    error = world.error(provider)

    assert isinstance(error, TokenUnavailable)
    assert "The refresh broke off with TypeError." in str(error)
    assert 1.0 == provider.status().backing_off


def test_nothing_works(world: World) -> None:
    """Where even the back-off cannot be reckoned, the caller is told what broke off first."""

    def broken() -> float:
        raise ArithmeticError

    world.store.load = lambda key: Loaded(None, 1, NONSENSE)
    provider = world.provider(random=broken)
    error = world.error(provider)

    assert isinstance(error, TokenUnavailable)
    assert "The refresh broke off with TypeError." in str(error)
