"""The stores, providers and keepers that a hub's settings ask for. What did not change goes over to newer settings."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass, replace

from .._engine.flight import Flight
from .._engine.provider import TokenProvider
from .._engine.warmer import Warmer
from .._rules.models import RefreshResult
from ..exceptions import ConfigurationError
from ..stores import TokenStore, store_from_url
from ._config import AccountConfig, Config
from ._reference import Reference
from ._settings import HubAccount, Settings

_logger = logging.getLogger("wxmiddleware")


@dataclass(frozen=True, slots=True)
class _Secret:
    """An account's secret. Why it cannot be read is logged here: the engine does not repeat what a function says."""

    lies: Reference
    appid: str

    def __call__(self) -> str:
        try:
            return self.lies()
        except ConfigurationError as error:
            _logger.warning("The secret of %s: %s.", self.appid, str(error).rstrip("."))
            raise


class Stock:
    """
    What one `Config` needs.

    Args:
        config: What the file says.
        before: What there is already. It stays as it is until `release`.

    Attributes:
        config: What it was made for.
        settings: What the hub is told.

    Raises:
        ConfigurationError: The settings do not fit together.
    """

    def __init__(self, config: Config, before: Stock | None = None) -> None:
        self.config = config
        self._before = before
        self._store = self._opened(config.store)
        self._providers: dict[AccountConfig, TokenProvider] = {}
        self._keepers: dict[AccountConfig, Warmer] = {}
        try:
            accounts = [
                HubAccount(name, self._provider(each), config.hosts[name]) for name, each in config.accounts.items()
            ]
            self.settings = Settings(accounts, config.callers, config.secrets)
        except BaseException:
            self.release(*([] if before is None else [before]))
            raise

    def keep(self) -> None:
        """Have the tokens kept young, if the settings want that, in threads that end with `release`."""
        before = {} if self._before is None else self._before._keepers
        if self.config.keep:
            for each, provider in self._providers.items():
                same = self._before is not None and self._before._providers.get(each) is provider
                self._keepers[each] = before.pop(each) if same and each in before else provider.keep()
        for keeper in before.values():
            keeper.close()
        before.clear()
        self._before = None

    def release(self, *others: Stock) -> None:
        """
        Close what nobody else needs.

        Args:
            others: Who may need it.
        """
        kept = {id(each) for other in others for each in (other._store, *other._providers.values())}
        for keeper in self._keepers.values():
            keeper.close()
        for provider in self._providers.values():
            if id(provider) not in kept:
                provider.close()
        close = None if id(self._store) in kept else getattr(self._store, "close", None)
        with suppress(Exception):  # a server's connection that was lost
            if close is not None:
                close()

    @property
    def store(self) -> TokenStore | None:
        """The store, if there is one."""
        return self._store

    @property
    def flights(self) -> list[Flight[RefreshResult]]:
        """The refreshes under way."""
        found = [each._own.flight for each in self._providers.values()]
        return [flight for flight in found if flight is not None]

    def _opened(self, url: str | None) -> TokenStore | None:
        if url is None:
            return None
        if self._before is not None and self._before.config.store == url:
            return self._before.store
        problem = ""
        try:
            store = store_from_url(url)
        except (ImportError, ConfigurationError) as error:
            problem = str(error)  # ours: it says what to install, or to write
        else:
            if store.shared:
                return store
            problem = "That store is in the memory of one process. Name one that is shared, or leave store out."
        raise ConfigurationError(f"store: {problem}")

    def _provider(self, each: AccountConfig) -> TokenProvider:
        if self._before is not None and self._before.store is self._store and each in self._before._providers:
            self._providers[each] = self._before._providers[each]
        if each not in self._providers:
            account = each.account
            if callable(account.secret):
                account = replace(account, secret=_Secret(account.secret, account.appid))  # type: ignore[arg-type]
            self._providers[each] = TokenProvider(account, source=each.source, store=self._store, follow=each.follow)
        return self._providers[each]
