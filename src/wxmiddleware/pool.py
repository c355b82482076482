"""
Many accounts: a provider for each AppID, made when it is first wanted::

    pool = ProviderPool(lambda appid: TokenProvider(Account(appid, secret_of(appid)), store=store))

    pool.get(appid).get_token()
    await (await pool.aget(appid)).aget_token()

Accounts do not wait for each other. Each has its own flight anyway; here nothing is held while a provider is being
made, so that a slow look-up of one account's secret is nobody else's business.
"""

from __future__ import annotations

import inspect
import math
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cachetools import LRUCache

from ._engine.flight import Flight, start_task
from ._engine.provider import TokenProvider
from ._rules.policies import State, state
from ._runtime import checks, fork
from .exceptions import ConfigurationError, TokenUnavailable

__all__ = ["PoolStatus", "ProviderPool"]

_STILL_AT_IT = "The provider of this account is still being made. Is make(appid) slow?"
_BROKEN_OFF = "The making of this account's provider was broken off."


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """
    What the providers of a pool are like, added up.

    Attributes:
        count: How many there are.
        maxsize: How many there may be.
        states: How many are in each state, as `Status` names it; those that none is in are missing.
        backing_off: How many of them send no request to WeChat for a while (back-off).
        being_made: How many are being made at this moment.
    """

    count: int
    maxsize: int
    states: dict[str, int]
    backing_off: int
    being_made: int


@dataclass(frozen=True, slots=True)
class _Made:
    """The result of making a provider, which all who asked for it share."""

    provider: TokenProvider | None = None
    error: Exception | None = None

    def give(self) -> TokenProvider | None:
        if self.error is None:
            return self.provider
        raise self.error


class ProviderPool(fork.InOneProcess):
    """
    Providers by AppID, the least recently used of which go.

    A provider that has gone is not closed: whoever holds it goes on using it. When it is made anew, its token is
    still in the store or in this process's memory, so nothing is fetched; make stores and sessions outside of `make`,
    once.

    It is also what the middlewares take for ``provider``, if it is told how to see whose request it is::

        TokenMiddleware(app, ProviderPool(make, appid_of=lambda environ: environ["PATH_INFO"].split("/")[2]))

    Args:
        make: Makes the provider of an AppID; ``None`` if there is no such account. It may be slow. A thread that is the
            first to want an account calls it itself; for tasks it is called in a thread of its own, so nothing of a
            request is there. It is never called twice at a time for one AppID. What it raises goes to all who wait for
            this account, and is not remembered. It may be async: then it is awaited in the loop of the task that wants
            the account first, and threads (`get`, WSGI) cannot use the pool.

            When WeChat calls a provider's secret wrong and there is no good token, `make` is asked again, once for each
            such answer of WeChat's: the secret may have been changed. If that fails, the provider stays.
        maxsize: How many providers at most.
        appid_of: Finds the AppID in the WSGI environ or the ASGI scope of a request; ``None`` if it has none. What it
            finds comes from outside: have `make` look whether you know it.
        timeout: Seconds to wait at most for a `make` that somebody else has called.

    Raises:
        ConfigurationError: An argument is wrong.
    """

    def __init__(
        self,
        make: Callable[[str], TokenProvider | None] | Callable[[str], Awaitable[TokenProvider | None]],
        *,
        maxsize: int = 10_000,
        appid_of: Callable[[Any], str | None] | None = None,
        timeout: float = 10.0,
    ) -> None:
        for name, function in (("make", make), ("appid_of", appid_of)):
            if function is None and name == "appid_of":
                continue
            if not callable(function) or isinstance(function, TokenProvider):
                raise ConfigurationError(f"{name} must be a function, not a {type(function).__name__}.")
            if name == "appid_of" and checks.is_async(function):
                raise ConfigurationError("appid_of must not be async: it only looks at the request.")
        checks.count("maxsize", maxsize)
        self._make: Callable[[str], Any] = make
        self._async = checks.is_async(make)
        self._asked_again: LRUCache[str, float] = LRUCache(maxsize)  # for which pause after a wrong secret
        self._appid_of = appid_of
        self._timeout = checks.seconds("timeout", timeout)
        self._providers: LRUCache[str, TokenProvider] = LRUCache(maxsize)
        fork.begin(self)

    def after_fork(self) -> None:
        """Reset what a forked child must not inherit: locks another thread may have held, and providers being made."""
        self._lock = threading.RLock()  # a finaliser may ask, too
        self._making: dict[str, Flight[_Made]] = {}

    def get(self, appid: str) -> TokenProvider:
        """
        Get the provider of an account.

        Raises:
            LookupError: `make` knows no such account. Other errors are those of `make`.
            TokenUnavailable: `make` takes too long.
            ConfigurationError: `make` is async, and this account's provider is not there yet.
        """
        found = self._at_hand(appid, here=True)
        return _some(_made(found.wait(self._timeout))) if isinstance(found, Flight) else found

    async def aget(self, appid: str) -> TokenProvider:
        """Get the provider of an account: `get` for tasks of asyncio and trio."""
        found = self._at_hand(appid, here=False)
        return _some(_made(await found.wait_async(self._timeout))) if isinstance(found, Flight) else found

    def __call__(self, request: Mapping[str, Any]) -> Any:
        """
        Get the provider for a request, or ``None``: what the middlewares do.

        Args:
            request: The WSGI environ; or the ASGI scope, then the answer may have to be awaited.

        Raises:
            ConfigurationError: The pool was not given ``appid_of``.
        """
        if self._appid_of is None:
            raise ConfigurationError(
                "A pool that serves requests has to know whose they are: ProviderPool(make, appid_of=…)."
            )
        appid = self._appid_of(request)
        if appid is None:
            return None
        blocking = "wsgi.version" in request
        found = self._at_hand(appid, here=blocking)
        if not isinstance(found, Flight):
            return found
        return _made(found.wait(self._timeout)) if blocking else self._arrival(found)

    async def _arrival(self, flight: Flight[_Made]) -> TokenProvider | None:
        return _made(await flight.wait_async(self._timeout))

    def providers(self) -> list[TokenProvider]:
        """The providers that are in the pool now."""
        with self._lock:
            return list(self._providers.values())

    def status(self) -> PoolStatus:
        """
        Tell how many tokens are in which state, from this process's memory: no I/O.

        It looks at each provider for some microseconds, so that ten thousand of them are no burden.
        """
        states, backing_off = dict.fromkeys(State, 0), 0
        providers = self.providers()
        for provider in providers:
            own = provider._own
            now, cooldown = own.runtime.clock(), own.cooldown
            states[state(own.snapshot, now)] += 1
            backing_off += cooldown is not None and now < cooldown.until
        return PoolStatus(
            len(providers),
            int(self._providers.maxsize),
            {each.value: number for each, number in states.items() if number},
            backing_off,
            len(self._making),
        )

    def __len__(self) -> int:
        """The number of providers in the pool."""
        return len(self._providers)

    def __contains__(self, appid: object) -> bool:
        """Whether this account's provider is at hand."""
        return appid in self._providers

    def discard(self, appid: str) -> None:
        """Have the account's provider made anew when it is wanted again: its secret has changed, or it has left."""
        with self._lock:
            self._providers.pop(appid, None)
            self._making.pop(appid, None)

    def __repr__(self) -> str:
        return f"<ProviderPool of {len(self._providers)}, at most {self._providers.maxsize:.0f}>"

    def _at_hand(self, appid: str, *, here: bool) -> TokenProvider | Flight[_Made]:
        """The provider; or what to wait for, which the first who comes does at once, if that may be `here`."""
        with self._lock:
            provider = self._providers.get(appid)
            if provider is not None and not self._outdated(appid, provider, here):
                return provider
        fork.check()
        return self._under_way(appid, here, provider)

    def _outdated(self, appid: str, provider: TokenProvider, here: bool) -> bool:
        """Whether `make` may know a better secret; then the provider goes, and is made anew. Under the lock."""
        until = provider.wrong_until() if isinstance(provider, TokenProvider) else -math.inf
        if until == -math.inf or (here and self._async):
            return False
        # The store may tell of the same pause again, its clock read anew; another lasts for a minute at least.
        if until < self._asked_again.get(appid, -math.inf) + 5.0:
            return False
        self._asked_again[appid] = until
        del self._providers[appid]
        return True

    def _under_way(self, appid: str, here: bool, before: TokenProvider | None) -> TokenProvider | Flight[_Made]:
        if not isinstance(appid, str):
            raise TypeError(f"appid must be a str, not {type(appid).__name__}")
        if here and self._async:
            raise ConfigurationError("make is async, and a thread cannot await it. Use aget(), or a make that blocks.")
        flight: Flight[_Made] = Flight(
            lambda flight: self._do(appid, flight, before),
            on_error=_broken,
            on_done=lambda flight: None,
            due=math.inf,
        )
        with self._lock:
            made = self._providers.get(appid)
            if made is not None:  # in this very moment
                return made
            under_way = self._making.setdefault(appid, flight)
        if under_way is flight and self._async:
            flight.reserve()
            start_task(lambda: flight.run_async(lambda: self._do_async(appid, flight, before)))
        elif under_way is flight and here:
            flight.run()
        elif under_way is flight:
            flight.start()  # where there can be no thread, who waits makes it
        return under_way

    def _do(self, appid: str, flight: Flight[_Made], before: TokenProvider | None) -> _Made:
        try:
            return self._take(appid, flight, self._make(appid))
        except Exception:
            if before is None:
                raise
            return self._take(appid, flight, before)  # the error of its own says more
        finally:
            self._done(appid, flight)

    async def _do_async(self, appid: str, flight: Flight[_Made], before: TokenProvider | None) -> _Made:
        try:
            return self._take(appid, flight, await self._make(appid))
        except Exception:
            if before is None:
                raise
            return self._take(appid, flight, before)
        finally:
            self._done(appid, flight)

    def _take(self, appid: str, flight: Flight[_Made], provider: Any) -> _Made:
        if inspect.iscoroutine(provider):
            provider.close()
        if provider is not None and not hasattr(provider, "peek"):
            raise TypeError(f"make(appid) must return a TokenProvider or None, not a {type(provider).__name__}")
        with self._lock:
            # Discarded meanwhile: what was asked then is answered, and not kept.
            if provider is not None and self._making.get(appid) is flight:
                self._providers[appid] = provider
        return _Made(provider)

    def _done(self, appid: str, flight: Flight[_Made]) -> None:
        with self._lock:
            if self._making.get(appid) is flight:
                del self._making[appid]


def _made(result: _Made | None) -> TokenProvider | None:
    if result is None:
        raise TokenUnavailable(_STILL_AT_IT, retry_after=1.0)
    return result.give()


def _broken(error: BaseException) -> _Made:
    # An exception that ends a thread is not given to the waiters.
    return _Made(error=error if isinstance(error, Exception) else TokenUnavailable(_BROKEN_OFF, retry_after=1.0))


def _some(provider: TokenProvider | None) -> TokenProvider:
    if provider is None:
        raise LookupError("make(appid) knows no such account.")
    return provider
