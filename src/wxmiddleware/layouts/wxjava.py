"""The keys of WxJava in Redis: ``WxMpRedisConfigImpl`` and ``WxMaRedisBetterConfigImpl``."""

from __future__ import annotations

import time
from typing import Any

from .._runtime.clock import Clock
from ._layout import word
from ._redis import Key

_MINI = 200.0  # seconds before the token's end at which a mini program's is over to WxJava


class WxJavaRedis(Key):
    """
    The token of an official account or, with ``mini=True``, of a mini program.

    Jedis and Spring's ``StringRedisTemplate`` keep it as text. Redisson keeps it in a codec of its own: have it use
    ``StringCodec``.

    Args:
        client: A synchronous client of redis-py.
        appid: The AppID.
        mini: Whether it is a mini program's, whose key ends 200 s before the token.
        prefix: WxJava's key prefix; by default that of its Spring starters, ``wx`` or ``wa``. Those for several
            accounts have ``wx:mp:multi`` and ``wx:ma:multi``.
        clock: Seconds since 1970.

    Raises:
        ConfigurationError: An argument is wrong.
    """

    def __init__(
        self, client: Any, appid: str, *, mini: bool = False, prefix: str | None = None, clock: Clock = time.time
    ) -> None:
        prefix = ("wa" if mini else "wx") if prefix is None else word("prefix", prefix, "'wx'")
        key = f"{prefix}:access_token:{word('appid', appid, repr('wx8a1b…'))}"
        super().__init__(client, key, margin=_MINI if mini else 0.0, clock=clock)
