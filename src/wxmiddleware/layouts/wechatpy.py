"""The session of wechatpy, in Redis and memcached: as 1.8 and 2.0 keep the token of an official account."""

from __future__ import annotations

import json
import time
from typing import Any

from .._runtime.clock import Clock
from ..sources._http import number
from ._layout import Kept, text, word
from ._memcached import Entry
from ._redis import Key


def _key(prefix: str, appid: str) -> str:
    return f"{word('prefix', prefix, repr('wechatpy'))}:{word('appid', appid, repr('wx8a1b…'))}_access_token"


def _unquoted(raw: str) -> str:
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        return ""
    return value if isinstance(value, str) else ""


class WechatpyRedis(Key):
    """
    What ``wechatpy.session.redisstorage.RedisStorage`` keeps.

    wechatpy 2 also keeps the end of the token, and fetches if that is over, whatever the token's key says; 1.8 does not
    know it, and leaves it as it is. So it is written before the token, and read only where the token's key has no end.

    Args:
        client: A synchronous client of redis-py.
        appid: The AppID.
        prefix: What the session was given as ``prefix``.
        clock: Seconds since 1970.

    Raises:
        ConfigurationError: An argument is wrong.
    """

    def __init__(self, client: Any, appid: str, *, prefix: str = "wechatpy", clock: Clock = time.time) -> None:
        super().__init__(client, _key(prefix, appid), clock=clock)
        self._end = f"{self._key}_expires_at"

    def read(self) -> Kept | None:
        """Read the token and its end."""
        end = number(text(self._client.get(self._end)))
        kept = super().read()
        return Kept(kept.value, end) if kept is not None and kept.expires_at is None else kept

    def write(self, value: str, expires_at: float) -> None:
        """Write the end, then the token."""
        left = max(1, int((expires_at - self._clock()) * 1000))
        self._client.set(self._end, int(expires_at), px=left)
        super().write(value, expires_at)

    def decoded(self, raw: Any) -> str:
        """The token without its quotes."""
        return _unquoted(text(raw))

    def encoded(self, value: str) -> str:
        """The token in double quotes."""
        return json.dumps(value)


class WechatpyMemcached(Entry):
    """
    What ``wechatpy.session.memcachedstorage.MemcachedStorage`` keeps.

    Args:
        client: A `pymemcache.Client` or `PooledClient`; connections of our own are opened like it.
        appid: The AppID.
        prefix: What the session was given as ``prefix``.
        clock: Seconds since 1970.

    Raises:
        ConfigurationError: An argument is wrong.
    """

    def __init__(self, client: Any, appid: str, *, prefix: str = "wechatpy", clock: Clock = time.time) -> None:
        key = _key(prefix, appid)
        super().__init__(client, key, clock=clock)
        self._end = Entry(client, f"{key}_expires_at", clock=clock)

    def read(self) -> Kept | None:
        """Read the token and its end."""
        end = self._end.read()
        kept = super().read()
        return Kept(kept.value, number(end.value)) if kept and end and kept.expires_at is None else kept

    def write(self, value: str, expires_at: float) -> None:
        """Write the end, then the token."""
        self._end.write(str(int(expires_at)), expires_at)
        super().write(value, expires_at)

    def decoded(self, raw: str) -> str:
        """The token without its quotes."""
        return _unquoted(raw)

    def encoded(self, value: str) -> str:
        """The token in double quotes."""
        return json.dumps(value)
