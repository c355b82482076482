"""Does a token live? One cheap call tells, so that nobody's claim alone ends a token that all others use."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import anyio

from .._outbound.answers import errcode_of
from .._runtime.clock import clock
from ._living import Living
from ._settings import HubAccount

if TYPE_CHECKING:
    import httpx

_PATH = "/cgi-bin/get_api_domain_ip"  # docs/wechat.md: it lists addresses, of accounts and of WeCom
_PAUSE = 5.0  # seconds for which an answer about one token holds
_PATIENCE = 0.8  # seconds; who asked for a token has an answer within two


class Probe:
    """Asks WeChat whether it takes a token, at most once in five seconds for each, however many want to know."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, float, bool]] = {}
        self._locks: dict[str, anyio.Lock] = {}

    async def rejects(self, account: HubAccount, living: Living, client: httpx.AsyncClient) -> bool:
        """Tell whether WeChat rejects this token. One about which nothing can be learnt counts as good."""
        lock = self._locks.setdefault(account.name, anyio.Lock())
        async with lock:
            generation, until, rejected = self._known.get(account.name, (0, 0.0, False))
            if generation == living.generation and clock() < until:
                return rejected
            rejected = await _ask(account, living, client)
            self._known[account.name] = living.generation, clock() + _PAUSE, rejected
            return rejected


async def _ask(account: HubAccount, living: Living, client: httpx.AsyncClient) -> bool:
    import httpx

    url = account.provider.account.base_url + _PATH
    try:
        with anyio.fail_after(_PATIENCE):
            answer = await client.get(url, params={"access_token": living.token}, follow_redirects=False)
            body = await answer.aread()
    except (httpx.HTTPError, TimeoutError, json.JSONDecodeError):
        return False
    return errcode_of(body) in account.provider.retryable_errcodes
