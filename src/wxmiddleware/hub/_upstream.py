"""The way to WeChat: httpx's client, as the gateway and the probe use it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from ..exceptions import ConfigurationError

if TYPE_CHECKING:
    import httpx

_CONNECT = 2.0  # seconds
_SILENCE = 60.0  # seconds without a byte, either way
_CONNECTIONS = 200


class Upstream:
    """Keeps one client for each event loop: a mounted app sees no lifespan, and a connection is of its own loop."""

    def __init__(self) -> None:
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, httpx.AsyncClient] = WeakKeyDictionary()

    @property
    def client(self) -> httpx.AsyncClient:
        """The client of this loop. It follows no redirect and repeats nothing by itself."""
        loop = asyncio.get_running_loop()
        found = self._clients.get(loop)
        if found is None:
            found = self._clients[loop] = _client()
        return found

    async def aclose(self) -> None:
        """Close this loop's connections."""
        found = self._clients.pop(asyncio.get_running_loop(), None)
        if found is not None:
            await found.aclose()


def _client() -> httpx.AsyncClient:
    import httpx

    return httpx.AsyncClient(
        follow_redirects=False,
        timeout=httpx.Timeout(_SILENCE, connect=_CONNECT),
        limits=httpx.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS),
    )


def check_installed() -> None:
    """
    See that what a hub needs is there.

    Raises:
        ConfigurationError: It is not.
    """
    for name in ("httpx", "itsdangerous"):
        try:
            __import__(name)
        except ModuleNotFoundError:
            raise ConfigurationError("The hub needs more packages: pip install 'wxmiddleware[hub]'.") from None
