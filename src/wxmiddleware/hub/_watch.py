"""
Who waits for another token (long poll).

What this process fetches or takes from the store is told by its own events. Of what another replica fetched nobody
tells it: so while somebody waits the store is looked at about once a second, once for each token, however many wait.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar
from weakref import WeakKeyDictionary

from starlette.requests import ClientDisconnect
from starlette.types import Receive

from .._engine.events import EventType, Observer, TokenEvent
from .._engine.provider import TokenProvider
from ..exceptions import ProviderClosed
from ._living import at_hand

_T = TypeVar("_T")
_LOOK = 0.8  # seconds between two looks: with the way of the answer a waiter is told within a second
_NEWS = (EventType.FETCH_DONE, EventType.ADOPTED)


class Watch:
    """
    The waiters for one token on one event loop. It is a listener of the engine's: the token is told its observers.

    Args:
        provider: Whose token.
    """

    def __init__(self, provider: TokenProvider) -> None:
        self._provider = provider
        self._loop = asyncio.get_running_loop()
        self._waiters: set[asyncio.Future[None]] = set()
        self._looking: asyncio.Task[None] | None = None
        self._looked_at = -_LOOK
        self._over = False
        self._seen = self._number()
        provider._live().listen(self)

    @property
    def observers(self) -> tuple[Observer, ...]:
        """Who is told the token's events."""
        return (self._told,)

    async def until(self, ready: Callable[[], _T | None], seconds: float, receive: Receive) -> _T | None:
        """
        Wait until `ready` gives something; it is asked after each change.

        Args:
            ready: Gives what is waited for, if it is there.
            seconds: For how long at most.
            receive: The request's, which tells when its client leaves.

        Returns:
            What `ready` gave; ``None`` if the time is over, or no one is to wait any more.

        Raises:
            ClientDisconnect: The client has left.
        """
        end, leaving = self._loop.time() + seconds, self._loop.create_task(_departure(receive))
        try:
            while (found := ready()) is None and not self._over and (left := end - self._loop.time()) > 0:
                await self._next(leaving, left)
                if leaving.done():
                    raise ClientDisconnect
            return found
        finally:
            leaving.cancel()

    async def look(self, seconds: float) -> None:
        """Look at the store now, unless that was done a moment ago, and wait for it for so long."""
        if self._loop.time() - self._looked_at < _LOOK:
            return
        self._looked_at = self._loop.time()
        flight = self._provider._live().look()
        if flight is not None:
            await flight.wait_async(seconds)

    def end(self) -> None:
        """Let nobody wait any more. It may be called in any thread."""
        self._over = True
        with suppress(RuntimeError):  # the loop has ended, and all who waited
            self._loop.call_soon_threadsafe(self._wake)

    async def _next(self, leaving: asyncio.Task[None], seconds: float) -> None:
        waiter = self._loop.create_future()
        self._waiters.add(waiter)
        if self._looking is None:
            self._looking = self._loop.create_task(self._keep_looking())
        try:
            await asyncio.wait((waiter, leaving), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._waiters.discard(waiter)

    async def _keep_looking(self) -> None:
        try:
            while self._waiters and not self._over:
                await asyncio.sleep(max(0.0, self._looked_at + _LOOK - self._loop.time()))
                self._looked_at = self._loop.time()
                self._provider.peek()  # as any caller does: near its end the token is renewed
                self._provider._live().look()
                if self._seen != self._number():
                    self._wake()
        except ProviderClosed:
            self.end()
        finally:
            self._looking = None

    def _told(self, event: TokenEvent) -> None:
        if event.name in _NEWS and self._waiters:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._seen = self._number()
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _number(self) -> int | None:
        found = None if self._provider.closed else at_hand(self._provider)
        return None if found is None else found.generation


class Watches:
    """Finds the `Watch` of a token on this event loop."""

    def __init__(self) -> None:
        self._found: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[TokenProvider, Watch]] = WeakKeyDictionary()
        self._lock = threading.RLock()  # a signal handler may end what its own thread begins
        self._over = False

    def of(self, provider: TokenProvider) -> Watch:
        """Give the one of a provider."""
        with self._lock:
            here = self._found.setdefault(asyncio.get_running_loop(), {})
        found = here.get(provider)
        if found is None:
            found = here[provider] = Watch(provider)
            if self._over:
                found.end()
        return found

    def end(self) -> None:
        """Let nobody wait any more, from now on. It may be called in any thread."""
        self._over = True
        with self._lock:
            watches = [watch for here in self._found.values() for watch in list(here.values())]
        for watch in watches:
            watch.end()


async def _departure(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
