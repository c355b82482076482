"""Makes the one token of an account, source, store and options in this process, and hands it what refreshes it."""

from __future__ import annotations

import threading
from collections.abc import Hashable
from weakref import WeakValueDictionary

from cachetools import LRUCache

from .._rules.models import Account
from .._runtime import fork
from .._runtime.runtime import Runtime
from ..sources import TokenSource
from ..stores import TokenStore
from .refresh import Refresh
from .token import CachedToken, Plan


class _Registry:
    """Finds the token of an account, so that its providers share the cache and the flight (single flight)."""

    def __init__(self) -> None:
        self._tokens: WeakValueDictionary[Hashable, CachedToken] = WeakValueDictionary()
        # An app may make a provider for each request; what was learnt in one (a failure, a rejection) serves the next.
        self._lately: LRUCache[int, CachedToken] = LRUCache(1024)
        self._lock = threading.RLock()
        fork.register(self)

    def after_fork(self) -> None:
        self._lock = threading.RLock()

    def token(
        self,
        account: Account,
        source: TokenSource,
        store: TokenStore,
        plan: Plan,
        runtime: Runtime,
        *,
        remember: bool,
    ) -> CachedToken:
        """
        Find the token of these in this process, or make it.

        Args:
            remember: Keep it for a while even if nobody holds it: its store is in this process alone.
        """
        fork.check()
        # A source that compares by value is the same wherever it was made; one without a hash is only itself.
        which = source if isinstance(source, Hashable) else id(source)
        identity = (account, which, id(store), plan, runtime)
        with self._lock:
            found = self._tokens.get(identity)
            if found is None:
                made = CachedToken(account, source, store, plan, runtime, Refresh, alone=remember)
                # A finaliser may have come here meanwhile, and made it.
                found = self._tokens.setdefault(identity, made)
            if remember:
                self._lately[id(found)] = found
            return found

    def tokens(self) -> list[CachedToken]:
        """All tokens of this process."""
        return [token for ref in self._tokens.valuerefs() if (token := ref()) is not None]


registry = _Registry()
