"""Tokens in MariaDB, PostgreSQL and SQLite, all of them real. What they have in common with the others: contract.py."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from stores.contract import KEY, SECRET, TOKEN, TokenStoreContract, record
from stores.fleet import Fleet, one_fetch
from stores.sql_servers import MariaDB, PgBouncer, PostgreSQL, Server, in_child
from stores.wire import Wire
from support.standstill import standing_still

from wxmiddleware import ConfigurationError
from wxmiddleware.exceptions import StoreError

pytest.importorskip("sqlalchemy")

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from wxmiddleware.stores import _sql_url, sql
from wxmiddleware.stores.sql import SQLStore

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


@pytest.fixture(scope="module")
def mariadb() -> Iterator[MariaDB]:
    with MariaDB() as server:
        yield server


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgreSQL]:
    with PostgreSQL() as server:
        yield server


def drop(url: str) -> None:
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE IF EXISTS wxmiddleware_tokens"))
    engine.dispose()


@pytest.fixture
def mariadb_url(mariadb: MariaDB) -> str:
    drop(mariadb.url)
    return mariadb.url


@pytest.fixture
def postgresql_url(postgresql: PostgreSQL) -> str:
    drop(postgresql.url)
    return postgresql.url


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'wx.db'}"


SERVERS = [pytest.param(name, marks=pytest.mark.servers) for name in ("mariadb", "postgresql")]


@pytest.fixture(params=["sqlite", *SERVERS])
def url(request: pytest.FixtureRequest) -> str:
    made: str = request.getfixturevalue(f"{request.param}_url")
    return made


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> Server:
    request.getfixturevalue(f"{request.param}_url")
    found: Server = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def stores() -> Iterator[Callable[..., SQLStore]]:
    """Makes stores, and closes them."""
    made: list[SQLStore] = []

    def make(url: str, **options: Any) -> SQLStore:
        made.append(SQLStore.from_url(url, **options))
        return made[-1]

    yield make
    for store in made:
        store.close()


@pytest.fixture
def store(url: str, stores: Callable[..., SQLStore]) -> SQLStore:
    return stores(url)


@pytest.fixture
def engine(url: str) -> Iterator[Any]:
    """The engine that a user has."""
    made = sa.create_engine(url)
    yield made
    made.dispose()


def fill(store: SQLStore, generation: int = 1) -> Any:
    loaded = store.load(KEY)
    version = store.save(KEY, record(loaded.now, generation), loaded.version)
    assert version is not None
    return version


def generation(store: SQLStore) -> int:
    found = store.load(KEY).record
    return 0 if found is None else found.generation


class SQLContract(TokenStoreContract):
    @pytest.fixture
    def store(self, url: str, stores: Callable[..., SQLStore]) -> SQLStore:
        return stores(url)

    @pytest.fixture
    def second(self, url: str, stores: Callable[..., SQLStore]) -> SQLStore:
        return stores(url)


class TestSQLite(SQLContract):
    @pytest.fixture
    def url(self, sqlite_url: str) -> str:
        return sqlite_url


@pytest.mark.servers
class TestMariaDB(SQLContract):
    @pytest.fixture
    def url(self, mariadb_url: str) -> str:
        return mariadb_url


@pytest.mark.servers
class TestPostgreSQL(SQLContract):
    @pytest.fixture
    def url(self, postgresql_url: str) -> str:
        return postgresql_url


class TestUsersEngine(SQLContract):
    """The contract over an engine of the user's, on every database."""

    @pytest.fixture
    def store(self, engine: Any) -> Iterator[SQLStore]:
        with closing(SQLStore(engine)) as store:
            yield store


class TestRows:
    def test_shared(self, store: SQLStore) -> None:
        """Other processes write to it, too."""
        assert store.shared is True

    def test_keys(self, store: SQLStore) -> None:
        """All tokens are listed: every kind and realm, and no messages."""
        kept = {f"wx:{realm}:wx1:{kind}" for realm in ("wechat", "private") for kind in ("stable", "jsapi_ticket")}
        for key in (*kept, "wx:me:webhook:0f", f"wx:wechat:{'x' * 200}:stable"):
            store.save(key, record(store.load(key).now), "")

        assert sorted(kept) == store.keys()

    def test_clock_is_of_the_epoch(self, store: SQLStore) -> None:
        """The database's clock is not moved by its time zone or the session's."""
        assert store.load(KEY).now == pytest.approx(time.time(), abs=2.0)

    def test_clock_goes_on_in_between(self, store: SQLStore) -> None:
        """Two looks give two times, also where a transaction's time stands still."""
        times = [store.load(KEY).now for _ in range(3) if not threading.Event().wait(0.01)]

        assert times == sorted(set(times))

    def test_row(self, store: SQLStore, engine: Any) -> None:
        """One row says to people whose token it is, until when it is kept and when it was written."""
        fill(store)
        now = store.load(KEY).now
        with engine.connect() as connection:
            rows = connection.execute(sa.text("SELECT * FROM wxmiddleware_tokens")).mappings().all()

        assert len(rows) == 1
        assert ("wx1", "stable") == (rows[0]["appid"], rows[0]["kind"])
        assert rows[0]["expires_at"] == pytest.approx(now + 7200, abs=3)
        assert rows[0]["updated"] == pytest.approx(now, abs=3)

    def test_no_secret_in_the_row(self, store: SQLStore, engine: Any) -> None:
        """Nothing but the record has the token, and nothing the secret."""
        fill(store)
        with engine.connect() as connection:
            row = dict(connection.execute(sa.text("SELECT * FROM wxmiddleware_tokens")).mappings().one())
        texts = {name: str(value) for name, value in row.items()}

        assert ["record"] == [name for name, text in texts.items() if TOKEN in text]
        assert [] == [name for name, text in texts.items() if SECRET in text]

    def test_case_matters(self, store: SQLStore) -> None:
        """Keys that differ in case alone are two."""
        fill(store)

        assert store.load(KEY.upper()).record is None

    @pytest.mark.parametrize("key", ["x" * 5000, "wx:\u5fae\u4fe1:stable:0", "wx: a b:stable:1", "a'\";--%s:%(x)s"])
    def test_odd_keys(self, store: SQLStore, key: str) -> None:
        """Any text is a key."""
        loaded = store.load(key)
        store.save(key, record(loaded.now), loaded.version)

        assert store.load(key).record is not None
        assert store.load(key + "x").record is None

    @pytest.mark.parametrize("text", ["", "{", "null", "[]", '{"v": 1, "expires_at": "x"}'])
    def test_corrupt(self, store: SQLStore, engine: Any, text: str) -> None:
        """What cannot be read is nothing, and is replaced."""
        fill(store)
        with engine.begin() as connection:
            connection.execute(sa.text("UPDATE wxmiddleware_tokens SET record = :text"), {"text": text})
        loaded = store.load(KEY)

        assert loaded.record is None
        assert store.save(KEY, record(loaded.now, 2), loaded.version) is not None
        assert generation(store) == 2

    def test_later_format(self, store: SQLStore, engine: Any) -> None:
        """What a later version has written is left alone."""
        fill(store)
        with engine.begin() as connection:
            connection.execute(sa.text("UPDATE wxmiddleware_tokens SET record = :text"), {"text": '{"v": 2}'})

        with pytest.raises(StoreError, match="later version"):
            store.load(KEY)

    def test_truncated(self, store: SQLStore, engine: Any) -> None:
        """Who saves over a row that is gone is told to look again."""
        version = fill(store)
        with engine.begin() as connection:
            connection.execute(sa.text("DELETE FROM wxmiddleware_tokens"))
        lost = store.save(KEY, record(0.0, 2), version)
        fill(store, 3)

        assert lost is None
        assert generation(store) == 3


class TestTable:
    def test_ddl_is_enough(self, url: str, engine: Any, stores: Callable[..., SQLStore]) -> None:
        """Who may not create tables is told so, and the printed statement makes one that does."""
        store = stores(url, create=False)
        with pytest.raises(StoreError, match=r"wxmiddleware_tokens is missing.*ddl"):
            store.load(KEY)
        with engine.begin() as connection:
            connection.exec_driver_sql(store.ddl().rstrip(";\n"))
        fill(store)

        assert generation(store) == 1

    @pytest.mark.parametrize("dialect", ["mysql", "mariadb", "postgresql", "sqlite"])
    def test_ddl_of_others(self, sqlite_url: str, stores: Callable[..., SQLStore], dialect: str) -> None:
        """It is printed for any of the databases."""
        text = stores(sqlite_url).ddl(dialect)

        assert text.startswith("CREATE TABLE IF NOT EXISTS wxmiddleware_tokens (")
        assert ("COLLATE ascii_bin" in text) == (dialect in ("mysql", "mariadb"))

    def test_dropped_meanwhile(self, store: SQLStore, url: str) -> None:
        """A table that is dropped is made again."""
        fill(store)
        drop(url)
        fill(store, 2)

        assert generation(store) == 2

    def test_another_name(self, url: str, stores: Callable[..., SQLStore]) -> None:
        """Tables of other names are apart."""
        store = stores(url)
        fill(store)
        other = stores(url, table="Other_tokens")
        other.load(KEY)

        assert other.load(KEY).record is None

    @pytest.mark.parametrize("name", ["", "a b", "x;--", "a.b.c", "1a", "wx'", "\u8868", 7])
    def test_bad_name(self, sqlite_url: str, name: Any) -> None:
        """A name that is none is said at construction."""
        with pytest.raises(ConfigurationError, match="table"):
            SQLStore.from_url(sqlite_url, table=name)


class TestForeignTable:
    """The article's table, and those of other programs."""

    def test_other_columns(self, url: str, engine: sa.Engine, stores: Callable[..., SQLStore]) -> None:
        """A table of that name with other columns is said to be somebody else's, and what to do."""
        with engine.begin() as connection:
            connection.execute(sa.text("DROP TABLE IF EXISTS wx_token"))
            connection.execute(sa.text("CREATE TABLE wx_token (id INTEGER, access_token VARCHAR(512), record TEXT)"))
        store = stores(url, table="wx_token")

        with pytest.raises(StoreError, match=r"wx_token is there.*no column name, appid,.*version.*table=") as caught:
            store.load(KEY)
        assert "record," not in str(caught.value)

    def test_more_columns(self, url: str, engine: sa.Engine, stores: Callable[..., SQLStore]) -> None:
        """A column that nobody fills is said, and not taken for a lost race."""
        store = stores(url)
        with engine.begin() as connection:
            connection.execute(sa.text(store.ddl().replace("(", "(owner VARCHAR(9) NOT NULL, ", 1)))

        with pytest.raises(StoreError, match="has columns owner as well"):
            fill(store)

    def test_named_as_in_the_article(self, url: str, engine: sa.Engine, stores: Callable[..., SQLStore]) -> None:
        """Who wants the article's name has it."""
        with engine.begin() as connection:
            connection.execute(sa.text("DROP TABLE IF EXISTS wx_token"))
        store = stores(url, table="wx_token")
        fill(store)

        assert 1 == generation(store)


class TestConstruction:
    @pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "sqlite:///file:x?mode=memory&uri=true"])
    def test_in_memory(self, url: str) -> None:
        """A database that nobody shares is none for this."""
        with pytest.raises(ConfigurationError, match="memory"):
            SQLStore.from_url(url)

    @pytest.mark.parametrize(
        "url",
        [
            *("pa55word", "//u:pa55word@h", "mysql://u:pa55word@h:port/x", 7, None, "", "mysql://u:p@h/d?=pa55word"),
            *("mysql://u:pa55@word@h/d", "mysql://u/x:pa55word@h/d", "mysql://u:pa55word@:3306/d", "mysql://u:p@/d"),
            *("mysql://u:p@h:99999/d", "mysql://u:p@h:0/d", "mysql://u:pa55word@${HOST}/d", "mysql://u:pa55word@h"),
            *("mysql://u:p@h/d?connect_timeout=pa55word", "mysql://u:p@h/d?charset=pa55word", "mysql://u:p@h/d?x=pa55word"),
            *("mysql://u:p@h/d?ssl_ca=/pa55word", "mysql://u:p@h/d?table=x&table=pa55word", "postgresql://u:p@h/d?x=pa55word"),
            *("postgresql://u:p@/d?host=a:1&host=b:pa55word", "postgresql://u:p@h/d?connect_timeout=pa55word"),
            *("mysql://u:p@h/d?table=", "postgresql://u:pa@h?ss@pa55word/d", "postgresql://u:p@h/d?sslmode=pa55word"),
            *("postgresql://u:p@h/d?target_session_attrs=pa55word", "postgresql://u:p@h,/d", "mysql://u:p@h1,h2/d"),
            *("sqlite://pa55word/x.db", "sqlite:///x.db?timeout=pa55word", "sqlite:///x.db?other=pa55word"),
        ],
    )  # fmt: skip
    def test_bad_url(self, url: Any) -> None:
        """A URL that is none, or has in it what cannot be, is said, and not quoted."""
        with pytest.raises(ConfigurationError) as caught:
            SQLStore.from_url(url)

        assert "pa55word" not in str(caught.value)
        assert caught.value.__context__ is None

    @pytest.mark.parametrize(
        ("url", "told"),
        [
            ("oracle+oracledb://u:pa55word@h/x", "oracledb"),
            ("nonsense://u:pa55word@h/x", "MySQL, MariaDB"),
            ("mysql+mysqldb://u:pa55word@h/x", r"pip install mysqlclient\. Or write mysql\+pymysql://"),
            ("mysql+mysqlconnector://u:pa55word@h/x", "pip install mysql-connector-python"),
            ("postgresql+psycopg2://u:pa55word@h/x", r"pip install psycopg2-binary\. Or write postgresql\+psycopg://"),
            ("postgresql+asyncpg://u:pa55word@h/x", r"postgresql\+psycopg://"),
            ("postgres+asyncpg://u:pa55word@h/x", r"postgresql\+psycopg://"),
            ("postgresql+psycopg_async://u:pa55word@h/x", r"postgresql\+psycopg://"),
            ("mysql+aiomysql://u:pa55word@h/x", r"mysql\+pymysql://"),
            ("mysql+asyncmy://u:pa55word@h/x", r"mysql\+pymysql://"),
            ("sqlite+aiosqlite:///x", "sqlite:///"),
        ],
    )
    def test_other_databases(self, url: str, told: str) -> None:
        """A database or driver that is not there is named."""
        with pytest.raises(ConfigurationError, match=told) as caught:
            SQLStore.from_url(url)

        assert "pa55word" not in str(caught.value)

    def test_no_engine(self) -> None:
        """What is no engine is said."""
        with pytest.raises(ConfigurationError, match="Engine"):
            SQLStore("sqlite:///x")  # type: ignore[arg-type]

    def test_async_engine(self) -> None:
        """An engine for tasks is refused, and so is the one inside it, which looks like any other."""
        engine = create_async_engine("postgresql+psycopg://u:pa55word@h/x")

        for each in (engine, engine.sync_engine):
            with pytest.raises(ConfigurationError, match=r"synchronous.*postgresql\+psycopg://"):
                SQLStore(each)  # type: ignore[arg-type]

    def test_odd_passwords(self) -> None:
        """SQLAlchemy understands more than other readers of URLs, and that goes on to work."""
        for password in ("a#b", "a/b", "a?b", "a:b", "a%b", "a?b&c", "/?"):
            store = SQLStore.from_url(f"mysql://me@azure:{password}@h:1/d")

            assert (password, "h", "d") == (
                store._engine.url.password,
                store._engine.url.host,
                store._engine.url.database,
            )

    def test_several_hosts(self) -> None:
        """libpq takes several, in both spellings."""
        for hosts in ("h1,h2:5432/d", "/d?host=h1:5432&host=h2:5432"):
            assert isinstance(SQLStore.from_url(f"postgresql://u:p@{hosts}"), SQLStore)

    def test_options_in_code(self) -> None:
        """Options for the engine are checked, too."""
        for options in ({"no_such": 1}, {"connect_args": {"no_such": 1}}):
            with pytest.raises(ConfigurationError):
                SQLStore.from_url("mysql://u:p@h/d", **options)

    def test_table_of_the_url(self) -> None:
        """The URL may name the table, which no driver gets to see; two different ones are a mistake."""
        store = SQLStore.from_url("mysql://u:p@h/d?table=a&charset=utf8mb4", table="a")

        assert "table='a'" in repr(store)
        assert {"charset": "utf8mb4"} == dict(store._engine.url.query)
        with pytest.raises(ConfigurationError, match="another one"):
            SQLStore.from_url("mysql://u:p@h/d?table=a", table="b")

    @pytest.mark.parametrize("name", ["mysql", "mariadb", "postgresql", "postgres"])
    def test_short_names(self, name: str) -> None:
        """A database without a driver gets the one that is installed."""
        text = repr(SQLStore.from_url(f"{name}://u:pa55word@h/x"))

        assert "+pymysql" in text or "+psycopg" in text

    def test_repr(self) -> None:
        """Neither user nor password shows."""
        text = repr(SQLStore.from_url("mysql://someone:pa55word@db.example:3307/wx?ssl_key=pa55word"))

        assert "SQLStore(mysql+pymysql://db.example:3307/wx, table='wxmiddleware_tokens')" == text


@pytest.fixture(params=[1, 2], ids=["one session", "two sessions"])
def bouncer(request: pytest.FixtureRequest, postgresql: PostgreSQL, postgresql_url: str) -> Iterator[PgBouncer]:
    with PgBouncer(postgresql, request.param) as pooler:
        yield pooler


@pytest.mark.servers
class TestBehindAPooler(SQLContract):
    """Sessions change hands after each statement, and stores have to share one or two of them."""

    @pytest.fixture
    def url(self, bouncer: PgBouncer) -> str:
        return bouncer.url

    @pytest.mark.processes
    def test_one_winner_of_a_fleet(self, url: str, fleet: Fleet) -> None:
        """Of eight processes that save over the same version exactly one wins, every time."""
        with fleet.on(url):
            for _ in range(15):
                fleet.all("load")
                assert [True] == [won for won in fleet.all("save") if won]

    def test_engine_that_prepares(self, url: str) -> None:
        """An engine of the user's that would prepare statements, which belong to a session, does no harm."""
        engine = sa.create_engine(url, connect_args={"prepare_threshold": 0})
        with closing(SQLStore(engine)) as one, closing(SQLStore(engine)) as two:
            for number in range(1, 11):
                fill(one, 2 * number)
                fill(two, 2 * number + 1)
            found = generation(one)
        engine.dispose()

        assert found == 21

    def test_pooler_restarted(self, bouncer: PgBouncer, stores: Callable[..., SQLStore]) -> None:
        """A restart that nobody saw is not noticed."""
        store = stores(bouncer.url)
        version = fill(store)
        bouncer.kill()
        bouncer.start()

        assert store.save(KEY, record(0.0, 2), version) is not None
        bouncer.kill()
        bouncer.start()
        assert generation(store) == 2


@contextmanager
def wired(server: Server) -> Iterator[tuple[str, Wire]]:
    """A URL by which the way to the server can be watched."""
    with Wire(server.port) as wire:
        yield server.url.replace(f":{server.port}/", f":{wire.port}/"), wire


ENGINES: dict[str, dict[str, Any]] = {
    "plain": {},
    "pings": {"pool_pre_ping": True},
    "commits": {"pool_reset_on_return": "commit"},
    "repeats": {"isolation_level": "REPEATABLE READ"},
}


class TestRoundTrips:
    @pytest.mark.parametrize("how", ["url", *ENGINES])
    def test_of_a_refresh(self, server: Server, how: str) -> None:
        """A look, a lease and a publication are one each, whatever engine the user has."""
        with wired(server) as (url, wire):
            engine = sa.create_engine(url, **ENGINES.get(how, {}))
            with closing(SQLStore.from_url(url) if how == "url" else SQLStore(engine)) as store:
                store.load(KEY)  # connects, and makes the table
                trips = [wire.during(lambda: store.load(KEY))]
                loaded = store.load(KEY)
                versions = [loaded.version]
                for _ in range(12):  # the first is an INSERT; a driver may prepare what it sends often
                    save = lambda: versions.append(store.save(KEY, record(loaded.now), versions[-1]))  # noqa: E731
                    trips += [wire.during(save), wire.during(lambda: store.load(KEY))]
            engine.dispose()

        assert None not in versions
        assert len(set(versions)) == 13
        assert {1} == set(trips)

    def test_of_a_save_that_loses(self, server: Server) -> None:
        """It is one, too."""
        with wired(server) as (url, wire), closing(SQLStore.from_url(url)) as store:
            version, nothing = fill(store), store.load("another").version
            newest = store.save(KEY, record(0.0, 2), version)

            assert wire.during(lambda: store.save(KEY, record(0.0, 3), version)) == 1
            assert wire.during(lambda: store.save(KEY, record(0.0, 4), nothing)) == 1
            assert newest == store.load(KEY).version

    @pytest.mark.parametrize(("filled", "statement"), [(False, b"INSERT"), (True, b"UPDATE")])
    def test_lost_answer(self, server: Server, filled: bool, statement: bytes) -> None:
        """A save whose answer was lost on the way is known to have won."""
        with wired(server) as (url, wire), closing(SQLStore.from_url(url)) as store:
            version = fill(store) if filled else store.load(KEY).version
            wire.lose = statement
            saved = store.save(KEY, record(0.0, 2), version)

            assert wire.lose is None
            assert saved is not None
            assert saved == store.load(KEY).version
            assert generation(store) == 2


class TestSessions:
    def test_killed_while_idle(self, server: Server, stores: Callable[..., SQLStore]) -> None:
        """Sessions that an administrator or the server ends in between are not missed, be they many."""
        store = stores(server.url)
        version = fill(store)
        for number in range(2, 6):
            start = threading.Barrier(4)
            with ThreadPoolExecutor(4) as pool:  # connections for four
                list(pool.map(lambda _: (start.wait(20), store.load(KEY)), range(4)))  # noqa: B023
            kill_sessions(server.url)
            if number % 2:
                assert generation(store) == number - 1
                kill_sessions(server.url)
            version = store.save(KEY, record(0.0, number), version)

            assert version is not None
            assert generation(store) == number

    @pytest.mark.servers
    def test_forgotten_autocommit(self, mariadb: MariaDB, mariadb_url: str, stores: Callable[..., SQLStore]) -> None:
        """A save is there for all, also if something in between has changed the session's mode."""
        store = stores(mariadb_url, pool_size=1, max_overflow=0)
        other = stores(mariadb_url)
        version = fill(store)
        with store._engine.connect() as connection:
            connection.exec_driver_sql("SET SESSION autocommit = 0, SESSION wait_timeout = 20")

        assert store.save(KEY, record(0.0, 2), version) is not None
        assert generation(other) == 2
        assert other.save(KEY, record(0.0, 3), other.load(KEY).version) is not None
        assert generation(store) == 3


def kill_sessions(url: str) -> None:
    """End all sessions."""
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    if engine.dialect.name == "postgresql":
        ask = "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
        kill = "SELECT pg_terminate_backend({})"
    else:
        ask = "SELECT id FROM information_schema.processlist WHERE user = 'wx' AND id <> CONNECTION_ID()"
        kill = "KILL CONNECTION {}"
    with engine.connect() as connection:
        killed = connection.exec_driver_sql(ask).scalars().all()
        assert killed
        for number in killed:
            with suppress(sa.exc.DBAPIError):  # it has ended meanwhile
                connection.exec_driver_sql(kill.format(number))
        deadline = time.monotonic() + 20
        while set(killed) & set(connection.exec_driver_sql(ask).scalars()):
            assert time.monotonic() < deadline
    engine.dispose()


class TestUsersTransactions:
    def test_repeatable_read(self, server: Server, stores: Callable[..., SQLStore]) -> None:
        """While a transaction of the user's still sees the past, the store sees the newest record."""
        other = stores(server.url)
        fill(other)
        engine = sa.create_engine(server.url, isolation_level="REPEATABLE READ", pool_size=1, max_overflow=0)
        store = SQLStore(engine)
        with engine.connect() as session:
            count = session.execute(sa.text("SELECT MIN(version) FROM wxmiddleware_tokens")).scalar_one()
            loaded = other.load(KEY)
            newest = other.save(KEY, record(loaded.now, 2), loaded.version)
            seen = store.load(KEY)
            saved = store.save(KEY, record(seen.now, 3), seen.version)
            still = session.execute(sa.text("SELECT MIN(version) FROM wxmiddleware_tokens")).scalar_one()
        store.close()
        engine.dispose()

        assert newest == seen.version
        assert saved is not None
        assert count == still
        assert generation(other) == 3

    def test_rollback(self, server: Server) -> None:
        """What the store has saved stays when the user's transaction is rolled back."""
        engine = sa.create_engine(server.url)
        store = SQLStore(engine)
        with engine.connect() as session:
            session.execute(sa.text("SELECT 1"))
            fill(store)
            session.rollback()
        found = generation(store)
        store.close()
        engine.dispose()

        assert found == 1

    def test_engine_is_left_alone(self, engine: Any) -> None:
        """The store takes no connection out of the user's pool, and leaves none of its settings there."""
        with closing(SQLStore(engine)) as store:
            fill(store)
            taken = engine.pool.status()
        with engine.connect() as connection:
            connection.execute(sa.text("SELECT 1"))
            level = connection.get_isolation_level()

        assert "Connections in pool: 0" in taken
        assert level != "AUTOCOMMIT"

    def test_connect_event(self, server: Server) -> None:
        """What an event of the user's sets on each connection is set on the store's, too."""
        engine = sa.create_engine(server.url)
        seen = []

        @sa.event.listens_for(engine, "connect")
        def set_time_zone(connection: Any, _: object) -> None:
            with connection.cursor() as cursor:
                cursor.execute("SET TIME ZONE '+03:00'" if "postgresql" in server.url else "SET time_zone = '+03:00'")
                seen.append(connection)

        with closing(SQLStore(engine)) as store:
            fill(store)
            with store._engine.connect() as connection:
                ask = "SHOW TIME ZONE" if "postgresql" in server.url else "SELECT @@time_zone"
                zone = connection.execute(sa.text(ask)).scalar_one()
            found = generation(store)
        engine.dispose()

        assert "03" in zone
        assert found == 1
        assert len(seen) == 1

    @pytest.mark.parametrize("pool", [sa.pool.StaticPool, sa.pool.AssertionPool])
    def test_pool_of_one(self, server: Server, pool: Any) -> None:
        """Threads do not share one connection, also if the user's engine has no more."""
        engine = sa.create_engine(server.url, poolclass=pool)
        with closing(SQLStore(engine)) as store:
            fill(store)
            with store._engine.connect() as one, store._engine.connect() as two:
                same = one.connection.dbapi_connection is two.connection.dbapi_connection
                found = generation(store)
        engine.dispose()

        assert not same
        assert found == 1

    def test_close_leaves_the_engine(self, engine: Any) -> None:
        """After `close` the user's connections are as before."""
        store = SQLStore(engine)
        with engine.connect() as connection:
            fill(store)
            store.close()

            assert connection.execute(sa.text("SELECT 1")).scalar_one() == 1

    def test_works_after_close(self, store: SQLStore) -> None:
        """It opens new connections when it is used again."""
        fill(store)
        store.close()

        assert generation(store) == 1


@contextmanager
def locked(url: str) -> Iterator[Any]:
    """Another session that has locked the table, as a migration does; not for ever, so that nothing hangs."""
    lock = "LOCK TABLE wxmiddleware_tokens" if "postgresql" in url else "LOCK TABLES wxmiddleware_tokens WRITE"
    engine = sa.create_engine(url)
    with engine.connect() as session:
        session.execute(sa.text(lock))
        end = threading.Timer(30.0, session.invalidate)
        end.start()
        yield session
        end.cancel()
        session.invalidate()
    engine.dispose()


def session_of(store: SQLStore) -> Any:
    """The number of the session in which the store does its next statement."""
    ask = "pg_backend_pid()" if store._engine.dialect.name == "postgresql" else "CONNECTION_ID()"
    with store._engine.connect() as connection:
        return connection.exec_driver_sql(f"SELECT {ask}").scalar_one()


def waiting_for_locks(session: Any) -> int:
    """How many statements wait for a lock in PostgreSQL."""
    ask = "SELECT pg_stat_clear_snapshot(), count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    count: int = session.execute(sa.text(ask)).one()[1]
    return count


class TestLocks:
    @pytest.fixture(autouse=True)
    def hurry(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sql, "LONGEST", 0.3)
        monkeypatch.setitem(_sql_url._PATIENCE["pymysql"], "read_timeout", 0.3)

    @pytest.mark.parametrize("how", ["url", "engine"])
    def test_locked_table(self, server: Server, how: str) -> None:
        """A table that somebody has locked is an error soon, and is then used again, whatever engine the user has."""
        engine = sa.create_engine(server.url)
        with closing(SQLStore.from_url(server.url) if how == "url" else SQLStore(engine)) as store:
            version = fill(store)
            with locked(server.url):
                with pytest.raises(StoreError):
                    store.load(KEY)
                with pytest.raises(StoreError):
                    store.save(KEY, record(0.0, 2), version)

            assert generation(store) in (1, 2)  # MariaDB may carry out what it was told
        engine.dispose()

    @pytest.mark.servers
    def test_nothing_is_left_behind(self, postgresql_url: str, stores: Callable[..., SQLStore]) -> None:
        """What is given up waits no longer in PostgreSQL either, so a long lock does not use up its connections."""
        store = stores(postgresql_url)
        version = fill(store)
        with locked(postgresql_url) as session:
            with pytest.raises(StoreError, match="57014"):
                store.save(KEY, record(0.0, 2), version)
            left = waiting_for_locks(session)

        assert left == 0
        assert generation(store) == 1

    @pytest.mark.servers
    def test_behind_a_pooler(self, bouncer: PgBouncer, stores: Callable[..., SQLStore]) -> None:
        """A pooler does not stand in the way of it, and no other client of its gets to feel it."""
        store = stores(bouncer.url)
        fill(store)
        with locked(bouncer._database.url), pytest.raises(StoreError, match="57014"):
            store.load(KEY)
        other = sa.create_engine(bouncer.url, connect_args={"prepare_threshold": None})
        with other.connect() as session:
            limits = [session.execute(sa.text(f"SHOW {name}_timeout")).scalar() for name in ("statement", "lock")]
        other.dispose()

        assert ["0", "0"] == limits
        assert generation(store) == 1

    @pytest.mark.servers
    def test_stopped_server(self, postgresql_url: str, postgresql: PostgreSQL) -> None:
        """A session that stops answering is given up, and the next one is a new one."""
        engine = sa.create_engine(postgresql_url)
        with closing(SQLStore(engine)) as store:
            fill(store)
            stopped = session_of(store)
            with standing_still(stopped):
                end = threading.Timer(30.0, os.kill, (stopped, signal.SIGCONT))
                end.start()
                try:
                    found = generation(store)
                    other = session_of(store)
                finally:
                    end.cancel()
        engine.dispose()

        assert found == 1
        assert other != stopped


class TestOutages:
    def test_killed_and_restarted(self, server: Server, stores: Callable[..., SQLStore]) -> None:
        """While it is down there is an error soon; afterwards idle connections do no harm, and all is there."""
        engine = sa.create_engine(server.url)  # without pre-ping
        own, users = stores(server.url), SQLStore(engine)
        version = fill(own)
        assert generation(users) == 1
        server.kill()
        try:
            for store in (own, users):
                with pytest.raises(StoreError) as caught:
                    store.load(KEY)
                assert caught.value.__context__ is None
        finally:
            server.start()

        assert users.save(KEY, record(0.0, 2), version) is not None
        assert generation(own) == 2
        users.close()
        engine.dispose()

    def test_restarted_while_idle(self, server: Server, stores: Callable[..., SQLStore]) -> None:
        """A restart that nobody saw is not noticed, be the next one who loads or who saves."""
        engine = sa.create_engine(server.url)
        loader, saver = SQLStore(engine), SQLStore(engine)
        version = fill(loader)
        assert generation(saver) == 1
        server.kill()
        server.start()

        assert saver.save(KEY, record(0.0, 2), version) is not None
        assert generation(loader) == 2
        loader.close()
        saver.close()
        engine.dispose()

    @pytest.mark.parametrize("filled", [False, True])
    def test_failover(self, server: Server, stores: Callable[..., SQLStore], filled: bool) -> None:
        """Sessions that can only read, as of a primary that is one no more, are left for new ones."""
        store = stores(server.url)
        version = fill(store) if filled else store.load(KEY).version
        demote = "default_transaction_read_only = on" if "postgresql" in server.url else "TRANSACTION READ ONLY"
        with store._engine.connect() as one, store._engine.connect() as two:
            for each in (one, two):
                each.exec_driver_sql(f"SET SESSION {demote}")

        assert store.save(KEY, record(0.0, 7), version) is not None
        assert generation(store) == 7

    @pytest.mark.servers
    def test_replica(self, mariadb: MariaDB, mariadb_url: str, stores: Callable[..., SQLStore]) -> None:
        """Where new sessions can only read, too, a save is an error."""
        store = stores(mariadb_url.replace("wx:", "app:"))
        version = fill(store)
        engine = sa.create_engine(mariadb_url, isolation_level="AUTOCOMMIT")
        with engine.connect() as session:
            session.exec_driver_sql("SET GLOBAL read_only = 1")
            try:
                before = session_of(store)
                with pytest.raises(StoreError, match="1290"):
                    store.save(KEY, record(0.0, 2), version)
                after = session_of(store)
                found = generation(store)
            finally:
                session.exec_driver_sql("SET GLOBAL read_only = 0")
        engine.dispose()

        assert before != after
        assert found == 1
        assert store.save(KEY, record(0.0, 2), version) is not None

    def test_lost_answer(self, store: SQLStore, monkeypatch: pytest.MonkeyPatch) -> None:
        """A save whose answer was lost is known to have won."""
        version = fill(store)
        once = store._once
        tries: list[bool] = []

        def losing(work: Any, again: bool) -> Any:
            tries.append(again)
            done = once(work, again)
            if not again:
                raise sa.exc.OperationalError("", {}, Exception("gone"), connection_invalidated=True)
            return done

        monkeypatch.setattr(store, "_once", losing)
        saved = store.save(KEY, record(0.0, 2), version)
        monkeypatch.undo()

        assert [False, True] == tries
        assert saved == store.load(KEY).version

    def test_errors_hold_no_values(self, store: SQLStore, engine: Any) -> None:
        """A statement that fails says why, without token, key or password."""
        version = fill(store)
        with engine.begin() as connection:
            connection.execute(sa.text("ALTER TABLE wxmiddleware_tokens RENAME COLUMN updated TO other"))

        with pytest.raises(StoreError) as caught:
            store.save(KEY, record(0.0, 2), version)
        assert TOKEN not in repr(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None

    def test_log_of_statements(self, store: SQLStore, caplog: pytest.LogCaptureFixture) -> None:
        """SQLAlchemy's log has no token in it, neither of what is written nor of what is read."""
        with caplog.at_level(logging.DEBUG, "sqlalchemy"):
            fill(store)
            fill(store, 2)
            found = store.load(KEY).record

        assert found is not None
        assert found.value == TOKEN
        assert "Row (" in caplog.text
        assert TOKEN not in caplog.text


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
class TestFork:
    def test_connections_stay_with_the_parent(self, store: SQLStore) -> None:
        """A child saves on a connection of its own, and the parent's is as good as before."""
        version = fill(store)

        def work() -> int:
            saved = store.save(KEY, record(0.0, 2), version)
            store.close()
            return 0 if saved is not None else 2

        assert in_child(work) == 0
        assert generation(store) == 2
        assert in_child(lambda: generation(store)) == 2
        assert store.save(KEY, record(0.0, 3), store.load(KEY).version) is not None


@contextmanager
def slow_save(store: SQLStore, seconds: float) -> Iterator[threading.Thread]:
    """A save of another thread that has begun, and lasts so long, or until the end of the block."""
    begun, end = threading.Event(), threading.Event()
    parent = os.getpid()

    def pause() -> None:
        if os.getpid() == parent:
            begun.set()
            end.wait(seconds)

    version = fill(store)
    sa.event.listen(store._engine, "connect", lambda connection, _: connection.create_function("pause", 0, pause))
    with store._engine.begin() as connection:
        connection.exec_driver_sql("CREATE TRIGGER slow AFTER UPDATE ON wxmiddleware_tokens BEGIN SELECT pause(); END")
    saving = threading.Thread(target=store.save, args=(KEY, record(0.0, 2), version), daemon=True)
    saving.start()
    assert begun.wait(20)
    yield saving
    end.set()
    saving.join(20)
    assert not saving.is_alive()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
class TestForkInASave:
    """In SQLite a save has a lock of the file while it lasts."""

    @pytest.fixture
    def url(self, sqlite_url: str) -> str:
        return sqlite_url

    def test_child_can_save(self, store: SQLStore, monkeypatch: pytest.MonkeyPatch) -> None:
        """A child that is forked while a thread saves finds the file usable, and so does its parent."""
        monkeypatch.setattr(sql, "_FORK_PATIENCE", 20.0)

        def work() -> int:
            with ThreadPoolExecutor(1) as pool:
                return 0 if pool.submit(fill, store, 3).result(10) else 2

        with slow_save(store, 0.5):
            assert in_child(work) == 0

        assert generation(store) == 3
        fill(store, 4)
        assert generation(store) == 4

    def test_fork_does_not_wait_for_ever(
        self, store: SQLStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A save that takes long does not hold up a fork, nor the child's use of another file."""
        monkeypatch.setattr(sql, "_FORK_PATIENCE", 0.05)

        def work() -> int:
            with closing(SQLStore.from_url(f"sqlite:///{tmp_path / 'other.db'}")) as other:
                fill(other)
                return generation(other) - 1

        with slow_save(store, 20) as saving:
            code = in_child(work)

            assert saving.is_alive()
        assert code == 0


@pytest.mark.processes
class TestFleet:
    def test_one_winner(self, url: str, fleet: Fleet) -> None:
        """Of eight processes that save over the same version exactly one wins, every time."""
        with fleet.on(url):
            for _ in range(15):
                fleet.all("load")
                assert [True] == [won for won in fleet.all("save") if won]

    def test_created_at_once(self, url: str, fleet: Fleet) -> None:
        """Eight processes that find no table make one, and nobody fails."""
        with fleet.on(url):
            for _ in range(5):
                drop(url)
                assert [None] * 8 == fleet.all("load")
                assert [True] == [won for won in fleet.all("save") if won]

    def test_one_fetch(self, url: str, fleet: Fleet) -> None:
        """Eight cold processes of eight threads fetch once; when their token is rejected, once more."""
        one_fetch(fleet, url)
