"""Which tokens of WeChat's were given out lately: by one an account is known, and with it who may be calling."""

from __future__ import annotations

import hmac
from collections import deque
from collections.abc import Iterable
from contextlib import suppress

import anyio

from .._runtime.clock import clock
from ..exceptions import ProviderClosed
from ._living import Living, at_hand
from ._settings import HubAccount

_REMEMBERED = 4  # tokens by which an account is still known
_AFTER_ITS_END = 300.0  # seconds for which WeChat takes a token that was replaced
_PAUSE = 0.25  # seconds between two looks at a store
_PATIENCE = 1.0  # seconds for one


class Given:
    """
    Knows accounts by their tokens: the living one, and the last ones before it.

    Args:
        accounts: Whose tokens callers may be given.
        before: What was known under other settings.
    """

    def __init__(self, accounts: Iterable[HubAccount], before: Given | None = None) -> None:
        self._accounts = tuple(accounts)
        self._tokens: dict[str, deque[tuple[str, float]]] = {
            each.name: deque(maxlen=_REMEMBERED) for each in self._accounts
        }
        self._looked_at: dict[str, float] = {}
        self._locks = {each.name: anyio.Lock() for each in self._accounts}
        if before is not None:
            self._take_over(before)

    def _take_over(self, before: Given) -> None:
        appids = {each.name: each.appid for each in before._accounts}
        for each in self._accounts:
            if appids.get(each.name) == each.appid:
                self._tokens[each.name].extend(before._tokens[each.name])

    def remember(self, account: HubAccount, found: Living) -> None:
        """
        Know an account by this token from now on, and no longer than it would have lived.

        It does not say who brings it: a caller of former times has it as well, and who read it in an old log.
        """
        known = self._tokens.get(account.name)
        if known is not None and all(token != found.token for token, _ in known):
            known.append((found.token, clock() + found.expires_in + _AFTER_ITS_END))

    def account_with(self, token: str) -> HubAccount | None:
        """Find the account whose token this is, or was a short while ago, as far as this process knows."""
        now = clock()
        for account in self._accounts:
            current = at_hand(account.provider)
            if current is not None:
                self.remember(account, current)
            known = [each for each, end in self._tokens[account.name] if now < end]
            if any(hmac.compare_digest(each.encode(), token.encode()) for each in known):
                return account
        return None

    async def look(self, accounts: Iterable[HubAccount]) -> None:
        """
        Look at the stores: another replica may have given out a token that this one does not know yet.

        A look is for all who wanted it before it began, so that strangers cause few.

        Args:
            accounts: Which may be meant.
        """
        wanted_at = clock()
        async with anyio.create_task_group() as tasks:
            for account in accounts:
                tasks.start_soon(self._look, account, wanted_at)

    async def _look(self, account: HubAccount, wanted_at: float) -> None:
        async with self._locks[account.name]:
            looked_at = self._looked_at.get(account.name, -_PAUSE)
            if looked_at >= wanted_at:
                return
            await anyio.sleep(max(0.0, looked_at + _PAUSE - clock()))
            self._looked_at[account.name] = clock()
            with suppress(ProviderClosed):  # the settings were replaced
                flight = account.provider._live().look()
                if flight is not None:
                    await flight.wait_async(_PATIENCE)
