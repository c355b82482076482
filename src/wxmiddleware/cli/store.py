"""The shell's way to a store that a fleet shares: nothing is asked of WeChat that the fleet would not learn of."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from .._rules.models import Account, Cause, Failure, Grant, Loaded, Record
from .._runtime import fork
from ..exceptions import ConfigurationError, StoreError
from ..sources import TokenSource
from ..stores import TokenStore
from ..stores._advice import advise
from ..stores._urls import open_store

_NOT_ASKED = "So WeChat was not asked: no other process would learn of the token."


class FleetStore(fork.Closing):
    """
    The shared store at a URL; whatever it raises becomes a `StoreError` that is safe to show.

    Args:
        url: As `store_from_url` takes it.
        create: Whether a table or file that is missing may be created.
        forgiving: Whether a call that works makes up for an earlier one that failed: for a command that stays.

    Attributes:
        shared: Always.
        problem: What went wrong last; empty if nothing has since it was made, or with `forgiving` if the last call
            worked.

    Raises:
        ConfigurationError: There is no such store, its package is missing, or nobody shares it.
        StoreError: It is a file that does not exist, and nothing may be created.
    """

    shared = True

    def __init__(self, url: str, *, create: bool = True, forgiving: bool = False) -> None:
        self._store = _store(url, create)
        self._forgiving = forgiving
        self.problem = ""

    def __repr__(self) -> str:
        return repr(self._store)

    def load(self, key: str) -> Loaded:
        """Read the record of `key`."""
        loaded: Loaded = self._do("load", key)
        return loaded

    def save(self, key: str, record: Record, version: Any) -> Any | None:
        """Replace the record of `key`, if nothing was saved since `version` was loaded."""
        return self._do("save", key, record, version)

    def keys(self) -> list[str] | None:
        """List the tokens that it holds; ``None`` if it cannot."""
        if not callable(getattr(self._store, "keys", None)):
            return None
        keys: list[str] | None = self._do("keys")
        return None if keys is None else sorted(keys)

    def close(self) -> None:
        """Close its connections, if it has any."""
        close = getattr(self._store, "close", None)
        if close is not None:
            close()

    def _do(self, verb: str, *args: Any) -> Any:
        try:
            done = getattr(self._store, verb)(*args)
        except StoreError as error:
            problem = str(error)
        except Exception as error:  # a client's own; its text may quote the URL
            problem = f"{self._store!r} failed ({type(error).__name__}). {advise(error)}".rstrip()
        else:
            self.problem = "" if self._forgiving else self.problem
            return done
        self.problem = problem
        raise StoreError(problem)

    @property
    def failed(self) -> bool:
        """Whether there is a problem."""
        return self.problem != ""


class OnlyWithStore:
    """A source that asks only as long as the store works, where a provider would rather carry on without it."""

    def __init__(self, source: TokenSource, store: FleetStore) -> None:
        self.kind = source.kind
        self.timeout = source.timeout
        self.refresh_ahead = source.refresh_ahead
        self.revokes_previous = source.revokes_previous
        self.can_force = source.can_force
        self._source = source
        self._store = store

    def fetch(self, account: Account, *, force: bool = False) -> Grant | Failure:
        """Ask for a token, unless the store has failed."""
        if self._store.failed:
            return Failure(Cause.TRANSIENT, f"{self._store.problem} {_NOT_ASKED}")
        return self._source.fetch(account, force=force)


def _store(url: str, create: bool) -> TokenStore:
    problem = ""
    try:
        store = open_store(url, create=create)
    except ImportError as error:
        problem = str(error)  # ours: it says what to install
    if problem:
        raise ConfigurationError(problem)
    if not store.shared:
        raise ConfigurationError("That store is in the memory of one process. Name one that is shared.")
    if not create:
        _check_there(store)
    return store


def _check_there(store: Any) -> None:
    path = getattr(store, "path", None)
    if path is None:
        return
    if not hasattr(store, "ddl"):
        _check_file(store)
    elif not path.startswith("file:") and not Path(path).exists():
        raise ConfigurationError("There is no SQLite database of that name.")


def _check_file(store: Any) -> None:
    try:
        os.stat(store.path)
    except FileNotFoundError:
        problem = f"The file {store.path!r} does not exist. It is made with the first token."
    except OSError:
        return  # reading it says what is wrong
    else:
        return
    raise StoreError(problem)
