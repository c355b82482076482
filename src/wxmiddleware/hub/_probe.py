"""Does a token live? One cheap call tells, so that nobody's claim alone ends a token that all others use."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import quote

import anyio

from .._outbound.answers import errcode_of
from .._outbound.bodies import LIMIT
from .._runtime.clock import clock
from ._living import Living
from ._rate import Bucket
from ._settings import HubAccount
from ._upstream import Upstream

_PATH = "/cgi-bin/get_api_domain_ip"  # docs/wechat.md: it lists addresses, of accounts and of WeCom
_AT_ONCE = 10.0  # questions about one account; a client that heals repeats its call three times within a moment
_A_SECOND = 0.2  # and then
_DEAD = 5.0  # seconds for which a token that was rejected counts as that
_PATIENCE = 0.8  # seconds; who asked for a token has an answer within two


class _Known(NamedTuple):
    generation: int
    sent_at: float
    rejected: bool


class Probe:
    """
    Asks WeChat whether it takes a token, seldom, however many want to know.

    An answer is for those who wanted it before the question was put: a token may be stolen a moment later. To others it
    is given only if the question was put too often.
    """

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}
        self._locks: dict[str, anyio.Lock] = {}
        self._buckets: dict[str, Bucket] = {}

    async def rejects(self, account: HubAccount, living: Living, upstream: Upstream) -> bool:
        """Tell whether WeChat rejects this token. One about which nothing can be learnt counts as good."""
        wanted_at = clock()
        async with self._locks.setdefault(account.name, anyio.Lock()):
            known = self._known.get(account.name)
            if known is None or known.generation != living.generation or not self._will_do(account, known, wanted_at):
                sent_at = clock()
                known = _Known(living.generation, sent_at, await _ask(account, living, upstream))
                self._known[account.name] = known
            return known.rejected

    def _will_do(self, account: HubAccount, known: _Known, wanted_at: float) -> bool:
        now = clock()
        if known.sent_at >= wanted_at or (known.rejected and now < known.sent_at + _DEAD):
            return True
        return not self._buckets.setdefault(account.name, Bucket(_AT_ONCE, _A_SECOND)).take(now)


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
