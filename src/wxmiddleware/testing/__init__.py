"""
Tests for a token store of your own: what every store keeps to, as a class for pytest.

Subclass it and give two fixtures, and pytest runs some thirty tests: what is saved and loaded, who wins a race, and
whole fleets of `TokenProvider` that must fetch once between them, however slow or late one of them is. A store in ten
lines, and all that it takes to test it::

    import sqlite3, time
    import pytest
    from wxmiddleware.stores import Loaded, dumps_record, loads_record
    from wxmiddleware.testing import TokenStoreContract

    class SQLiteStore:
        shared = True  # other processes write to it, too

        def __init__(self, path):
            self.path = path
            with self.open() as db:
                db.execute("CREATE TABLE IF NOT EXISTS token (name PRIMARY KEY, version, record)")

        def open(self):
            return sqlite3.connect(self.path, timeout=10, isolation_level=None, factory=Closing)

        def load(self, key):
            with self.open() as db:
                row = db.execute("SELECT record, version FROM token WHERE name = ?", [key]).fetchone()
            return Loaded(loads_record(row[0]), row[1], time.time()) if row else Loaded(None, 0, time.time())

        def save(self, key, record, version):
            new = [dumps_record(record), key, version]
            with self.open() as db:
                db.execute("INSERT OR IGNORE INTO token VALUES (?, 0, '')", [key])
                swap = "UPDATE token SET record = ?, version = version + 1 WHERE name = ? AND version = ?"
                return version + 1 if db.execute(swap, new).rowcount else None

    class Closing(sqlite3.Connection):
        def __exit__(self, *error):
            super().__exit__(*error)
            self.close()

    class TestSQLiteStore(TokenStoreContract):
        @pytest.fixture
        def store(self, tmp_path):
            return SQLiteStore(tmp_path / "tokens.db")  # empty

        @pytest.fixture
        def second(self, store):
            return SQLiteStore(store.path)  # another client of the same records

A test that fails says what the store does and what it should do. Only test suites import this module; it needs pytest.
"""

from __future__ import annotations

from .._runtime.needs import needs

with needs("pytest"):
    import pytest

from ..stores import TokenStore
from ._fleet import ClockedStore, ScriptedSource
from ._records import RecordRules
from ._refreshes import RefreshRules

__all__ = ["ClockedStore", "ScriptedSource", "TokenStoreContract"]


class TokenStoreContract(RecordRules, RefreshRules):
    """
    Every token store passes these. Subclass it as ``Test…`` and give the fixtures `store` and, if it can, `second`.

    Attributes:
        precision: Seconds by which a time may differ when it is loaded again. A store with coarser columns says so;
            up to 0.5 does no harm.
    """

    @pytest.fixture
    def store(self) -> TokenStore:
        """The store, empty. Override it."""
        raise NotImplementedError(f"Give {type(self).__name__} a fixture named store that returns an empty store.")

    @pytest.fixture
    def second(self, store: TokenStore) -> TokenStore:
        """Another way to the same records: a second client or process. In-process stores have only one."""
        return store
