"""A token and nothing else, under a key of your own."""

from __future__ import annotations

import time
from typing import Any

from .._runtime.clock import Clock
from ._layout import word
from ._memcached import Entry
from ._redis import Key


class PlainRedis(Key):
    """
    A key of Redis whose value is the token, and that ends with it.

    Args:
        client: A synchronous client of redis-py.
        key: Its name.
        clock: Seconds since 1970.

    Raises:
        ConfigurationError: An argument is wrong.
    """

    def __init__(self, client: Any, key: str, *, clock: Clock = time.time) -> None:
        super().__init__(client, word("key", key, "'wechat:token'"), clock=clock)


class PlainMemcached(Entry):
    """
    An entry of memcached whose value is the token, and that ends with it.

    Args:
        client: A `pymemcache.Client` or `PooledClient`; connections of our own are opened like it.
        key: Its name.
        clock: Seconds since 1970.

    Raises:
        ConfigurationError: An argument is wrong.
    """

    def __init__(self, client: Any, key: str, *, clock: Clock = time.time) -> None:
        super().__init__(client, word("key", key, "'wechat:token'"), clock=clock)
