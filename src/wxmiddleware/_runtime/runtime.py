"""What time it is, how to wait and what is drawn by lot: what a test passes in place of the process's own."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, fields
from random import SystemRandom
from time import sleep, time

from ..exceptions import ConfigurationError
from .clock import Clock, clock

__all__ = ["Runtime"]

# The operating system's randomness: forked workers do not share its state.
_random = SystemRandom().random


@dataclass(frozen=True, slots=True)
class Runtime:
    """
    The clocks, the sleep and the randomness that a provider or a webhook goes by: by default the process's own.

    It is for tests: ``TokenProvider(account, runtime=Runtime(clock=clock, time=clock))``. Providers share a token only
    if their runtimes are equal, which they are if the same four functions are in them.

    Attributes:
        clock: Seconds on a clock that nobody steps.
        time: Seconds since 1970.
        sleep: Waits so many seconds between two reads of a store.
        random: A random number from 0 to 1, for jitter.

    Raises:
        ConfigurationError: One of them cannot be called, or has no hash to be compared by.
    """

    clock: Clock = clock
    time: Clock = time
    sleep: Callable[[float], object] = sleep
    random: Callable[[], float] = _random

    def __post_init__(self) -> None:
        for field in fields(self):
            given = getattr(self, field.name)
            if not callable(given) or not isinstance(given, Hashable):
                raise ConfigurationError(f"{field.name} of Runtime must be a function, or a callable that has a hash.")
