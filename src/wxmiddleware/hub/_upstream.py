"""The way to WeChat: aiohttp's client, as the gateway and the probe use it. docs/why.md says why this one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from requests.utils import get_environ_proxies, select_proxy

from ..exceptions import ConfigurationError

if TYPE_CHECKING:
    import aiohttp

_CONNECT = 2.0  # seconds, for each address
# What aiohttp adds by itself where the caller said nothing.
_NOT_ADDED = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")


class Upstream:
    """Keeps one client for each event loop: a mounted app sees no lifespan, and a connection is of its own loop."""

    def __init__(self) -> None:
        self._sessions: WeakKeyDictionary[asyncio.AbstractEventLoop, aiohttp.ClientSession] = WeakKeyDictionary()
        self._proxies: dict[str, str | None] = {}

    async def send(
        self,
        method: str,
        base_url: str,
        target: str,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes | AsyncIterator[bytes] | None = None,
    ) -> aiohttp.ClientResponse:
        """
        Send a request and give the answer, whose body is still to come. Redirects are not followed.

        Args:
            base_url: The account's.
            target: What follows in the URL, spelt as it is to be sent.
            headers: The only ones, besides those that say how long the body is.
        """
        from yarl import URL

        return await self._session().request(
            method,
            URL(base_url + target, encoded=True),
            headers=list(headers),
            data=body,
            allow_redirects=False,
            proxy=self._proxy(base_url),
        )

    async def aclose(self) -> None:
        """Close this loop's connections."""
        found = self._sessions.pop(asyncio.get_running_loop(), None)
        if found is not None:
            await found.close()

    def _session(self) -> aiohttp.ClientSession:
        loop = asyncio.get_running_loop()
        found = self._sessions.get(loop)
        if found is None or found.closed:
            found = self._sessions[loop] = _session()
        return found

    def _proxy(self, base_url: str) -> str | None:
        """The proxy that the environment names for this host, as for the fetches of tokens."""
        host = urlsplit(base_url).netloc
        if host not in self._proxies:
            self._proxies[host] = select_proxy(base_url, get_environ_proxies(base_url))
        return self._proxies[host]


def _session() -> aiohttp.ClientSession:
    import aiohttp

    return aiohttp.ClientSession(
        # As many connections as there are calls: a slow download must not keep others waiting.
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=_NOT_ADDED,
    )


def check_installed() -> None:
    """
    See that what a hub needs is there.

    Raises:
        ConfigurationError: It is not.
    """
    for name in ("aiohttp", "itsdangerous"):
        try:
            __import__(name)
        except ModuleNotFoundError:
            raise ConfigurationError("The hub needs more packages: pip install 'wxmiddleware[hub]'.") from None
