"""Entries of memcached, through connections like the user's."""

from __future__ import annotations

import math
import time
import weakref
from typing import Any

from .._runtime import fork
from .._runtime.checks import kind
from .._runtime.clock import Clock
from .._runtime.needs import needs
from ..exceptions import ConfigurationError
from ._layout import Kept, text


class Entry:
    """
    One entry: bytes with the flags 0, which programs in every language read.

    Args:
        client: A `pymemcache.Client` or `PooledClient`. It is a model: connections of our own are opened like it.
        key: Its name. The client's own ``key_prefix`` goes before it.
        longest: The most seconds that an entry is to last.
        margin: Seconds by which it ends before the token.
        clock: Seconds since 1970.

    Raises:
        ConfigurationError: The client is none of these, or the key is too long.
    """

    def __init__(
        self, client: Any, key: str, *, longest: float = math.inf, margin: float = 0.0, clock: Clock = time.time
    ) -> None:
        with needs("pymemcache", extra="memcached"):
            from pymemcache import Client, PooledClient
        from ..stores.memcached import Server

        if not isinstance(client, (Client, PooledClient)):
            raise ConfigurationError(
                f"client must be a pymemcache Client or PooledClient of one server, not {kind(client)}: which of "
                "several servers has a key is for each program's client to say, and they differ."
            )
        self._server = Server(client)
        if not key.isascii() or len(key) > self._server.room:
            raise ConfigurationError("memcached takes a key of at most 250 ASCII characters.")
        self._key = key
        self._longest = longest
        self._margin = margin
        self._clock = clock
        fork.register(self)
        weakref.finalize(self, self._server.close)

    @property
    def name(self) -> str:
        """The key, for messages."""
        return f"{type(self).__name__}({self._key})"

    @property
    def _place(self) -> object:
        """What two layouts of one entry have in common."""
        return self._server.name, self._server.room, self._key

    def __repr__(self) -> str:
        return self.name

    def after_fork(self) -> None:
        """A child does not speak on its parent's connections."""
        self._server.forget()

    def read(self) -> Kept | None:
        """Read the token, and its end by the time that the entry has left; memcached tells that from 1.6 on."""
        fork.check()
        # Its time first: should another token come in between, its end is then taken for too early, not too late.
        left = self._server.run(self._left)
        value = self.decoded(text(self._server.run(lambda client: client.get(self._key))))
        if not value:
            return None
        # An entry that lasts for its longest says nothing of the token's end, but that it is later.
        known = left is not None and self._longest == math.inf
        return Kept(value, self._clock() + left + self._margin if known and left is not None else None)

    def write(self, value: str, expires_at: float) -> None:
        """Write the token, and let the entry end before it does."""
        fork.check()
        left = min(self._longest, expires_at - self._clock() - self._margin)
        raw = self.encoded(value).encode()
        # 0 would be for ever.
        self._server.run(lambda client: client.set(self._key, raw, expire=max(1, int(left)), noreply=False))

    def _left(self, client: Any) -> float | None:
        """Seconds that the entry has left; ``None`` if that is not known."""
        with needs("pymemcache", extra="memcached"):
            from pymemcache.exceptions import MemcacheError
        try:
            answer: bytes = client.raw_command(b"mg %s%s t" % (client.key_prefix, self._key.encode()))
        except MemcacheError:  # it does not know the command
            return None
        found = answer.split()
        left = found[1][1:] if len(found) == 2 and found[1][:1] == b"t" else b""
        return float(left) if left.isdigit() else None

    def decoded(self, raw: str) -> str:
        """The token; empty if there is none."""
        return raw

    def encoded(self, value: str) -> str:
        """What is written of a token."""
        return value
