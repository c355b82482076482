"""Keys of Redis, through the user's own client."""

from __future__ import annotations

import inspect
import time
from typing import Any

from .._runtime.checks import kind
from .._runtime.clock import Clock
from ..exceptions import ConfigurationError
from ._layout import Kept, text


def check_client(client: Any) -> None:
    """
    See that this is a client of redis-py.

    Raises:
        ConfigurationError: It is none, or asynchronous.
    """
    if isinstance(client, type) or not all(callable(getattr(client, each, None)) for each in ("get", "set", "pttl")):
        raise ConfigurationError(f"client must be a client such as redis.Redis(), not {kind(client)}.")
    if hasattr(client, "aclose") or inspect.iscoroutinefunction(getattr(client, "execute_command", None)):
        raise ConfigurationError(
            "client must be a synchronous one such as redis.Redis(), also where tasks use the provider: "
            "this never runs on the event loop."
        )


class Key:
    """
    One key that ends by itself.

    Args:
        client: A synchronous client of redis-py.
        key: Its name.
        margin: Seconds by which the entry ends before the token.
        name: What it is called in messages, where the key has something secret in it.
        clock: Seconds since 1970.

    Raises:
        ConfigurationError: The client is none, or asynchronous.
    """

    # A trace of a mistake shows what is not made yet, too.
    _key: str = ""
    _name: str | None = None

    def __init__(
        self, client: Any, key: str, *, margin: float = 0.0, name: str | None = None, clock: Clock = time.time
    ) -> None:
        check_client(client)
        self._client = client
        self._key = key
        self._margin = margin
        self._name = name
        self._clock = clock

    @property
    def name(self) -> str:
        """The key, for messages."""
        return f"{type(self).__name__}({self._name or self._key})"

    @property
    def _place(self) -> object:
        """What two layouts of one key have in common."""
        return self._client, self._key

    def __repr__(self) -> str:
        return self.name

    def read(self) -> Kept | None:
        """Read the token, and its end by the time that the key has left."""
        # Its time first: should another token come in between, its end is then taken for too early, not too late.
        left = self._client.pttl(self._key)
        value = self.decoded(self._client.get(self._key))
        end = self._clock() + left / 1000 + self._margin if left >= 0 else None
        return Kept(value, end) if value else None

    def write(self, value: str, expires_at: float) -> None:
        """Write the token, and let the key end when it does."""
        left = expires_at - self._clock() - self._margin
        self._client.set(self._key, self.encoded(value), px=max(1, int(left * 1000)))

    def decoded(self, raw: Any) -> str:
        """The token; empty if there is none."""
        return text(raw)

    def encoded(self, value: str) -> str:
        """What is written of a token."""
        return value
