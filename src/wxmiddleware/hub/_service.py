"""The hub that a file describes: read again on request, without a request that notices."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from .._runtime.clock import clock
from ..exceptions import ConfigurationError
from . import Hub
from ._audit import Listener
from ._config import Config, read_config
from ._stock import Stock

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

_FIXED = ("listen", "metrics", "socket_mode", "audit", "grace")  # what needs a restart
_LEAVING = 2.0  # seconds
_logger = logging.getLogger("wxmiddleware")


class Service:
    """
    An ASGI app: a hub, and the file that it goes by.

    Args:
        path: The file.
        config: What it says, if it has been read.
        listeners: As those of `Hub`.

    Raises:
        ConfigurationError: Something in it is wrong.
    """

    def __init__(self, path: Path, config: Config | None = None, *, listeners: Iterable[Listener] = ()) -> None:
        self._path = path
        self._stock = Stock(read_config(path) if config is None else config)
        self._at_work: dict[Stock, int] = {self._stock: 0}
        settings = self._stock.settings
        self.hub = Hub(settings.accounts, callers=settings.callers, secrets=settings.secrets, listeners=listeners)
        self._reloading = asyncio.Lock()

    @property
    def config(self) -> Config:
        """What it goes by."""
        return self._stock.config

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request. What it began with is closed after it."""
        if scope["type"] == "lifespan":  # it lasts as long as the process, and needs none of that
            await self.hub(scope, receive, send)
            return
        stock = self._stock
        self._at_work[stock] += 1
        try:
            await self.hub(scope, receive, send)
        finally:
            self._at_work[stock] -= 1
            self._clear()

    def keep(self) -> None:
        """Begin to keep the tokens young, if the file wants that."""
        self._stock.keep()

    async def reload(self) -> None:
        """Read the file again. If something in it is wrong, that is logged, and all stays as it is."""
        async with self._reloading:
            before = self._stock
            try:
                # A command that gives a secret, or a slow disk, holds up nobody.
                config = await asyncio.to_thread(read_config, self._path)
                if config == before.config:
                    _logger.info("%s says what it said before. Nothing changes.", self._path)
                    return
                stock = await asyncio.to_thread(Stock, config, before)
            except ConfigurationError as error:
                _logger.error("The settings stay as they were. %s", error)
                return
            except Exception as error:  # only its type: what it says may quote a secret
                _logger.error(
                    "The settings stay as they were: the hub met an unexpected %s. Please report it.",
                    type(error).__name__,
                )
                return
            self.hub.use(stock.settings)
            self._stock, self._at_work[stock] = stock, 0
            stock.keep()
            self._clear()
            _logger.info("%s", _told(before.config, config))

    def close(self) -> None:
        """Close all that it holds. A fetch under way is waited for: its token would be lost to everybody."""
        end = clock() + _LEAVING
        for flight in [each for stock in self._at_work for each in stock.flights]:
            flight.wait(max(0.0, end - clock()))
        for stock in self._at_work:
            stock.release()

    def _clear(self) -> None:
        """Close what only requests of earlier settings needed, when the last of them has ended."""
        for stock in [each for each, requests in self._at_work.items() if not requests and each is not self._stock]:
            del self._at_work[stock]
            stock.release(*self._at_work)


def _told(before: Config, now: Config) -> str:
    parts = [
        f"{what} {'changed' if one != other else 'as before'}"
        for what, one, other in (
            ("accounts", (before.accounts, before.hosts), (now.accounts, now.hosts)),
            ("callers", before.callers, now.callers),
            ("secrets", before.secrets, now.secrets),
            ("store", before.store, now.store),
        )
    ]
    fixed = [name for name in _FIXED if getattr(before, name) != getattr(now, name)]
    later = f" Restart it for {', '.join(fixed)}: they stay as they were." if fixed else ""
    return f"The settings were read again: {', '.join(parts)}.{later}"
