"""The process's clock: NTP does not step it and, where the platform can, a suspended machine does not stop it."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

Clock = Callable[[], float]


def _best() -> Clock:
    if hasattr(time, "CLOCK_BOOTTIME"):
        try:
            time.clock_gettime(time.CLOCK_BOOTTIME)
        except OSError:  # an old kernel, or a sandbox
            return time.monotonic
        return partial(time.clock_gettime, time.CLOCK_BOOTTIME)
    return time.monotonic


clock: Clock = _best()


def ticks_of(which: Clock) -> Clock:
    """
    Get the cheapest clock there is to look at again and again in the place of `which`.

    The process's clock costs about twice as much as `time.monotonic`, which a suspended machine stops. Whoever goes by
    the ticks must look at the real clock once in a while.
    """
    return time.monotonic if which is clock else which
