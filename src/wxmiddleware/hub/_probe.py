"""Does a token live? One cheap call tells, so that nobody's claim alone ends a token that all others use."""

from __future__ import annotations

from urllib.parse import quote

import anyio

from .._outbound.answers import errcode_of
from .._outbound.bodies import LIMIT
from .._runtime.clock import clock
from ._living import Living
from ._settings import HubAccount
from ._upstream import Upstream

_PATH = "/cgi-bin/get_api_domain_ip"  # docs/wechat.md: it lists addresses, of accounts and of WeCom
_PAUSE = 5.0  # seconds for which an answer about one token holds
_PATIENCE = 0.8  # seconds; who asked for a token has an answer within two


class Probe:
    """Asks WeChat whether it takes a token, at most once in five seconds for each, however many want to know."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, float, bool]] = {}
        self._locks: dict[str, anyio.Lock] = {}

    async def rejects(self, account: HubAccount, living: Living, upstream: Upstream) -> bool:
        """Tell whether WeChat rejects this token. One about which nothing can be learnt counts as good."""
        lock = self._locks.setdefault(account.name, anyio.Lock())
        async with lock:
            generation, until, rejected = self._known.get(account.name, (0, 0.0, False))
            if generation == living.generation and clock() < until:
                return rejected
            rejected = await _ask(account, living, upstream)
            self._known[account.name] = living.generation, clock() + _PAUSE, rejected
            return rejected


async def _ask(account: HubAccount, living: Living, upstream: Upstream) -> bool:
    import aiohttp

    target = f"{_PATH}?access_token={quote(living.token, safe='')}"
    try:
        with anyio.fail_after(_PATIENCE):
            answer = await upstream.send("GET", account.provider.account.base_url, target)
            body = b""
            async with answer:
                async for chunk in answer.content.iter_any():
                    body += chunk
                    if len(body) > LIMIT:
                        break
    except (aiohttp.ClientError, OSError):  # a TimeoutError is one
        return False
    return errcode_of(body) in account.provider.retryable_errcodes
