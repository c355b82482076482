"""The entry of EasyWeChat 6 in Redis, as Symfony's adapter writes it with and without the extension igbinary."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

from .._runtime.clock import Clock
from ..exceptions import ConfigurationError
from ._layout import text, word
from ._redis import Key, check_client

_PHP = re.compile(rb's:(\d+):"(.*)";', re.DOTALL)
_IGBINARY = b"\x00\x00\x00\x02"
_SHORT, _LONG = 0x11, 0x12  # a string whose length is in one byte, or in two


class EasyWeChatRedis(Key):
    """
    The token of an official account or a mini program.

    The AppSecret is part of EasyWeChat's key, so whoever lists the keys of this Redis sees it; nothing here tells the
    key.

    Args:
        client: A synchronous client of redis-py, without ``decode_responses``.
        appid: The AppID.
        secret: The AppSecret.
        stable: Whether EasyWeChat is set to ``use_stable_access_token``.
        app: EasyWeChat's name for the kind of account: ``official_account`` or ``mini_app``.
        namespace: That of its cache.
        clock: Seconds since 1970.

    Raises:
        ConfigurationError: An argument is wrong.
    """

    def __init__(
        self,
        client: Any,
        appid: str,
        secret: str,
        *,
        stable: bool = False,
        app: str = "official_account",
        namespace: str = "easywechat",
        clock: Clock = time.time,
    ) -> None:
        word("appid", appid, "'wx8a1b…'")
        word("secret", secret, "os.environ['WECHAT_SECRET']")
        if app not in ("official_account", "mini_app"):
            raise ConfigurationError("app must be 'official_account' or 'mini_app'.")
        word("namespace", namespace, "'easywechat'")
        check_client(client)
        settings: Callable[[], dict[str, Any]] = getattr(client, "get_connection_kwargs", dict)
        if settings().get("decode_responses"):
            raise ConfigurationError(
                "client decodes what it reads, and what EasyWeChat writes may be no text. Give it one without "
                "decode_responses."
            )
        # Nothing fails from here on: a trace shows what a frame holds, and trackers hide only what is called a secret.
        key = f"{namespace}:{app}.access_token.{appid}.{secret}.{int(stable)}"
        name = f"{namespace}:{app}, {appid}{', stable' if stable else ''}"
        super().__init__(client, key, name=name, clock=clock)

    def decoded(self, raw: Any) -> str:
        """The token, of either encoding."""
        raw = raw or b""
        found = _PHP.fullmatch(raw)
        if found is not None:
            return text(found[2]) if len(found[2]) == int(found[1]) else ""
        if raw[:4] == _IGBINARY and len(raw) > 6:
            width = {_SHORT: 1, _LONG: 2}.get(raw[4], 0)
            value = raw[5 + width :]
            return text(value) if width and int.from_bytes(raw[5 : 5 + width], "big") == len(value) else ""
        return ""

    def encoded(self, value: str) -> str:
        """PHP's own encoding, which it reads with and without igbinary."""
        return f's:{len(value)}:"{value}";'
