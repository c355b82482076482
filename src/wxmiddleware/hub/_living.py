"""WeChat's token as the hub has it at hand: with its number and what is left of its life."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from .._engine.provider import TokenProvider
from .._rules.decisions import USABLE
from .._rules.policies import state
from ..exceptions import TokenUnavailable


@dataclass(frozen=True, slots=True)
class Living:
    """
    A token that WeChat will accept.

    Attributes:
        token: The token.
        generation: Its number, which rises; the same at all replicas that share a store.
        expires_in: What is left of its life, in whole seconds above 0.
    """

    token: str = field(repr=False)
    generation: int
    expires_in: int


def at_hand(provider: TokenProvider) -> Living | None:
    """Get the token that is in this process's memory, if one is: no I/O, and no refresh is started."""
    cached = provider._live()
    now, snapshot = cached.runtime.clock(), cached.snapshot
    if state(snapshot, now) not in USABLE:
        return None
    return Living(snapshot.value, snapshot.generation, max(1, math.floor(snapshot.expires_at - now)))


async def living(provider: TokenProvider, *, rejected: str | None = None, timeout: float) -> Living:
    """
    Get the token, and wait for it if need be.

    Raises:
        TokenError: None can be had, or none within so many seconds.
    """
    await provider.aget_token(rejected, timeout=timeout)
    found = at_hand(provider)  # the number and the end belong to this one, which may be newer by now
    if found is None or found.token == rejected:
        raise TokenUnavailable("The token ended at this moment.", retry_after=1.0)
    return found
