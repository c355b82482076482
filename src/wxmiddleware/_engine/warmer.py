"""
Keeps a token young also when nobody asks for it (cache warming).

A token is renewed by the callers that meet it near its end. A process that serves nobody for an hour renews nothing,
and a neighbour that only reads the store is left with a dead token. A `Warmer` is a caller that never sleeps for long.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Protocol, Self

from .._runtime import fork
from .._runtime.clock import clock
from .._runtime.threads import NO_THREAD, NoThread, start_thread, threads_freeze
from ..exceptions import ConfigurationError, ProviderClosed, TokenError

_LONGEST = 20.0  # seconds between two calls: less than lie between two reads of a shared store
_SHORTEST = 1.0


class Status(Protocol):
    """What a warmer asks of a provider's status."""

    @property
    def renews_in(self) -> float | None: ...


class Provider(Protocol):
    """What a warmer asks for tokens."""

    def peek(self) -> str | None: ...
    def get_token(self, *, timeout: float) -> str: ...
    def status(self) -> Status: ...


class Warmer(fork.Closing):
    """
    Asks a provider for its token again and again, in a thread of its own, until it is closed.

    Near the token's end that starts a refresh in the background, as any caller's question does, under the store's
    lease: of several warmers one fetches. The thread ends with the process, and does not hold it up. A forked child has
    none.

    Args:
        provider: Whose token. Closing the provider ends the warmer, too.
        await_another: Waits for so many seconds until there is another token where it comes from, and tells whether
            there is; ``None`` if one cannot wait there.

    Raises:
        ConfigurationError: Threads do not run between requests in this server.
        NoThread: No thread can be started.
    """

    def __init__(self, provider: Provider, await_another: Callable[[float], bool | None] = lambda _: None) -> None:
        if threads_freeze():
            raise ConfigurationError(
                "keep() needs a thread, and this server (uWSGI) lets none run between requests. Set enable-threads, or "
                "run `wxmiddleware keep` beside it."
            )
        self._provider = provider
        self._await_another = await_another
        self._news_at = -math.inf
        self._stopped = threading.Event()
        if start_thread(self._run, "wxmiddleware-keep") is None:
            raise NoThread(NO_THREAD, retry_after=1.0)

    def close(self) -> None:
        """
        End it, at once. A refresh under way goes on by itself, and so does a wait at a hub, 20 s at most, in vain.

        Closing twice does nothing.
        """
        self._stopped.set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def _run(self) -> None:
        pause: float | None = 0.0
        while pause is not None and not self._pause(pause):
            pause = ask(self._provider)

    def _pause(self, seconds: float) -> bool:
        """Wait for so long, or until there is another token. ``True`` if it is to end."""
        end = clock() + seconds
        while (left := end - clock()) >= _SHORTEST and not self._stopped.is_set():
            asked = clock()
            news = self._await_another(left)
            if news is None:
                break
            # Whoever answers at once, again and again, is about to end, or gives what is not taken here.
            last = self._news_at if news else asked
            stopped = self._stopped.wait(max(0.0, last + _SHORTEST - clock()))
            if stopped or news:
                self._news_at = clock()
                return stopped
        return self._stopped.wait(max(0.0, end - clock()))


def ask(provider: Provider) -> float | None:
    """
    Ask for the token once, so that what is due is done. It waits a second at most, unless it has to do the work itself.

    Returns:
        Seconds until it should be asked for again; ``None`` if the provider is closed.
    """
    try:
        if provider.peek() is None:
            provider.get_token(timeout=_SHORTEST)  # where no thread can be started, one that waits does the work
        # Near its end it is renewed in the background: see soon what became of that.
        pause = provider.status().renews_in or 0.0
    except ProviderClosed:
        return None
    except TokenError as error:  # the observers, among them the log, have been told
        pause = error.retry_after or 0.0
    return min(max(pause, _SHORTEST), _LONGEST)
