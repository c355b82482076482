"""The checks of the store, against real servers: each is made to fail, and only it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from stores.memcached_server import Memcached
from stores.redis_server import RedisServer, Twemproxy, free_port
from stores.sql_servers import MariaDB, PostgreSQL

from doctor.conftest import Doctor
from wxmiddleware import Account, Runtime
from wxmiddleware._rules.models import Loaded
from wxmiddleware.cli.doctor import command, stores
from wxmiddleware.cli.doctor.examination import Examination
from wxmiddleware.cli.doctor.findings import Level
from wxmiddleware.cli.doctor.stores import judge_memcached, judge_redis_memory, judge_store_clock
from wxmiddleware.simulator import WeChat
from wxmiddleware.stores import record_key, store_from_url
from wxmiddleware.stores.jsonfile import JSONFileStore

servers = pytest.mark.servers
PASSWORD = "p4ssw0rd-of-redis"


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of the test's own."""
    with RedisServer(tmp_path) as server:
        yield server


@pytest.fixture(scope="module")
def mariadb() -> Iterator[MariaDB]:
    """A MariaDB for all tests here; each leaves it as it was."""
    with MariaDB() as server:
        yield server


def run(server: MariaDB, *statements: str) -> None:
    """Have the server's master say something."""
    import pymysql

    with pymysql.connect(unix_socket=str(server.folder / "sock"), user="root", autocommit=True) as link:
        for statement in statements:
            link.cursor().execute(statement)


def make_table(url: str) -> None:
    """Have the store make its table."""
    store: Any = store_from_url(url)
    with closing(store):
        store.load("wx")


def let_in(server: RedisServer, *rules: str) -> None:
    """Make a user with these rules of access."""
    server.client().execute_command("ACL", "SETUSER", "app", "on", f">{PASSWORD}", "~*", *rules)


@servers
@pytest.mark.parametrize("kind", ["redis", "mariadb", "postgresql", "sqlite", "memcached"])
def test_sound(
    doctor: Doctor, environment: pytest.MonkeyPatch, kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """A store that is as it should be passes, and the probe is gone afterwards, or at its end."""
    url = f"sqlite:///{tmp_path}/tokens.db"
    if kind in ("memcached", "postgresql"):
        server = Memcached() if kind == "memcached" else PostgreSQL()
        request.addfinalizer(server.close)
        url = server.url
    elif kind != "sqlite":
        url = request.getfixturevalue("redis_server" if kind == "redis" else kind).url
    environment.setenv("WXM_STORE", url)
    if kind not in ("redis", "memcached"):
        make_table(url)
    visit = doctor(secrets=("pa55word",))
    checked = {name: visit.level(name) for name in visit.checks if name.startswith("store")}

    assert {"ok"} == set(checked.values()), checked
    store: Any = store_from_url(url)
    with closing(store):
        left = store.load(stores._PROBE).record
        assert left is None or left.lease is None
        assert kind == "memcached" or [] == store.keys()


@servers
def test_behind_a_proxy(
    doctor: Doctor, environment: pytest.MonkeyPatch, redis_server: RedisServer, tmp_path: Path
) -> None:
    """A proxy that knows no INFO does not tell of role and memory; all else is seen, and nothing fails."""
    with Twemproxy(tmp_path, redis_server) as between:
        environment.setenv("WXM_STORE", between.url)
        visit = doctor()
    checked = {name: visit.level(name) for name in visit.checks if name.startswith("store")}

    assert {"store_role": "skip", "store_eviction": "skip"} == {
        name: level for name, level in checked.items() if level != "ok"
    }
    assert 0 == visit.code


class TestReached:
    def test_nobody_there(self, doctor: Doctor, environment: pytest.MonkeyPatch) -> None:
        """A store that is not there is the cause, and its password is not shown."""
        environment.setenv("WXM_STORE", f"redis://alice:{PASSWORD}@127.0.0.1:{free_port()}/0")
        visit = doctor(secrets=(PASSWORD, "alice"))

        assert "Nothing listens there" in visit.only("store", "store.down")["seen"]
        assert "以及服务是否在运行。在它恢复之前" in visit.text

    @servers
    def test_wrong_password(self, doctor: Doctor, environment: pytest.MonkeyPatch, mariadb: MariaDB) -> None:
        """So is one that does not let us in."""
        environment.setenv("WXM_STORE", mariadb.url.replace("pa55word", PASSWORD))

        assert "password is wrong" in doctor(secrets=(PASSWORD,)).only("store", "store.down")["seen"]

    def test_no_file_yet(self, doctor: Doctor, environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """A file that is made with the first token is not made by the doctor."""
        environment.setenv("WXM_STORE", f"sqlite:///{tmp_path}/tokens.db")
        visit = doctor()

        assert "store.new_file" == visit.checks["store"]["finding"]
        assert [] == list(tmp_path.iterdir())


class TestRole:
    @servers
    def test_replica(
        self, doctor: Doctor, environment: pytest.MonkeyPatch, redis_server: RedisServer, tmp_path: Path
    ) -> None:
        """A replica is the cause: nothing is written to it."""
        (tmp_path / "replica").mkdir()
        with RedisServer(tmp_path / "replica", "--replicaof", "127.0.0.1", str(redis_server.port)) as replica:
            environment.setenv("WXM_STORE", replica.url)

            doctor().only("store_role", "store_role.replica")

    @servers
    def test_read_only(self, doctor: Doctor, environment: pytest.MonkeyPatch, mariadb: MariaDB) -> None:
        """So is a database that only lets itself be read."""
        make_table(mariadb.url)
        environment.setenv("WXM_STORE", mariadb.url)
        run(mariadb, "SET GLOBAL read_only = 1")
        try:
            doctor().only("store_role", "store_role.read_only")
        finally:
            run(mariadb, "SET GLOBAL read_only = 0")

    def test_file(self, doctor: Doctor, environment: pytest.MonkeyPatch, file_store: Path) -> None:
        """So is a file that this user may not write."""
        may = os.access
        environment.setattr(os, "access", lambda path, mode: mode == os.R_OK and may(path, mode))

        doctor().only("store_role", "store_role.file")


class TestCommands:
    @servers
    def test_scripts(self, doctor: Doctor, environment: pytest.MonkeyPatch, redis_server: RedisServer) -> None:
        """A user who may not run scripts is the cause."""
        redis_server.client().acl_setuser(
            "app", True, passwords=[f"+{PASSWORD}"], categories=["+@all", "-@scripting"], keys=["*"]
        )
        environment.setenv("WXM_STORE", redis_server.url.replace("127", f"app:{PASSWORD}@127"))
        visit = doctor(secrets=(PASSWORD,))

        assert "ACL SETUSER" in visit.only("store_commands", "store_commands.refused")["seen"]
        assert "允许它的用户" in visit.text

    @servers
    def test_other_table(self, doctor: Doctor, environment: pytest.MonkeyPatch, mariadb: MariaDB) -> None:
        """So is a table of another program's."""
        run(mariadb, "CREATE TABLE IF NOT EXISTS wx.theirs (id INT)")
        environment.setenv("WXM_STORE", f"{mariadb.url}?table=theirs")

        doctor().only("store_commands", "store_commands.refused")

    @servers
    def test_no_table_yet(self, doctor: Doctor, environment: pytest.MonkeyPatch, mariadb: MariaDB) -> None:
        """A table that is made later is not made by the doctor."""
        environment.setenv("WXM_STORE", f"{mariadb.url}?table=later")
        doctor().only("store_commands", "store_commands.table", "warn")

    def test_foreign_file(self, doctor: Doctor, environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """So is a file of another program's."""
        (tmp_path / "token.json").write_text('{"access_token": "88_x"}')
        environment.setenv("WXM_STORE", f"file:{tmp_path}/token.json")

        doctor().only("store_commands", "store_commands.refused")


class TestRecord:
    @servers
    def test_garbage(
        self, doctor: Doctor, environment: pytest.MonkeyPatch, redis_server: RedisServer, wechat_account: Account
    ) -> None:
        """What another program has written in a record's place is the cause."""
        environment.setenv("WXM_STORE", redis_server.url)
        name = f"{{{record_key(wechat_account, 'stable')}}}"
        redis_server.client().hset(name, mapping={"stamp": "1", "record": "88_theirs"})

        doctor(secrets=("88_theirs",)).only("record", "record.garbage")

    @servers
    def test_none_yet(self, doctor: Doctor, environment: pytest.MonkeyPatch, redis_server: RedisServer) -> None:
        """That there is none before the first token is no fault."""
        environment.setenv("WXM_STORE", redis_server.url)
        visit = doctor()

        assert ("record.none", 0) == (visit.checks["record"]["finding"], visit.code)


class TestEviction:
    @servers
    def test_full(self, doctor: Doctor, environment: pytest.MonkeyPatch, redis_server: RedisServer) -> None:
        """A Redis that is full and evicts nothing is the cause."""
        environment.setenv("WXM_STORE", redis_server.url)
        redis_server.client().config_set("maxmemory", 1000)

        doctor().only("store_eviction", "store_eviction.full")

    @servers
    def test_all_keys(self, doctor: Doctor, environment: pytest.MonkeyPatch, redis_server: RedisServer) -> None:
        """One that may evict any key is told."""
        environment.setenv("WXM_STORE", redis_server.url)
        redis_server.client().config_set("maxmemory", "1gb")
        redis_server.client().config_set("maxmemory-policy", "allkeys-lru")

        doctor().only("store_eviction", "store_eviction.allkeys", "warn")

    @pytest.mark.parametrize(
        ("info", "level"),
        [
            ({"maxmemory": 0, "used_memory": 5, "maxmemory_policy": "noeviction"}, Level.OK),
            ({"maxmemory": 100, "used_memory": 95, "maxmemory_policy": "volatile-ttl"}, Level.OK),
            ({"maxmemory": 100, "used_memory": 95, "maxmemory_policy": "noeviction"}, Level.WARN),
            ({"maxmemory": 100, "used_memory": 50, "maxmemory_policy": "noeviction"}, Level.OK),
        ],
    )
    def test_memory(self, info: dict[str, Any], level: Level) -> None:
        """What counts is whether writes fail, and whether records go before their end."""
        assert level is judge_redis_memory(info).level

    def test_memcached(self) -> None:
        """A memcached that has thrown items away is told."""
        assert Level.WARN is judge_memcached([{"evictions": "0"}, {"evictions": "3"}]).level


class TestWrite:
    @servers
    def test_command(self, doctor: Doctor, environment: pytest.MonkeyPatch, redis_server: RedisServer) -> None:
        """A user who may read and not write is the cause."""
        redis_server.client().acl_setuser(
            "app", True, passwords=[f"+{PASSWORD}"], categories=["+@all"], commands=["-hset"], keys=["*"]
        )
        environment.setenv("WXM_STORE", redis_server.url.replace("127", f"app:{PASSWORD}@127"))

        doctor(secrets=(PASSWORD,)).only("store_write", "store_write.refused")

    @servers
    def test_rights(self, doctor: Doctor, environment: pytest.MonkeyPatch, mariadb: MariaDB) -> None:
        """So is one who may only SELECT."""
        make_table(mariadb.url)
        run(
            mariadb,
            "CREATE OR REPLACE USER reader@'127.0.0.1' IDENTIFIED BY 'pa55word'",
            "GRANT SELECT ON wx.* TO reader@'127.0.0.1'",
        )
        environment.setenv("WXM_STORE", mariadb.url.replace("wx:pa55word", "reader:pa55word"))

        assert "SELECT, INSERT and UPDATE" in doctor().only("store_write", "store_write.refused")["seen"]

    @pytest.mark.parametrize(
        ("lies", "finding", "level"), [("swap", "store_write.swap", "fail"), ("reads", "store_write.lags", "warn")]
    )
    def test_store_that_lies(
        self, doctor: Doctor, environment: pytest.MonkeyPatch, file_store: Path, lies: str, finding: str, level: str
    ) -> None:
        """A store that takes a save over an outdated version, or does not show what was saved, is told."""
        save, load = JSONFileStore.save, JSONFileStore.load
        key, first = stores._PROBE_IN_FILE, []

        def save_all(self: JSONFileStore, key: str, record: Any, version: Any) -> Any:
            return save(self, key, record, load(self, key).version)

        def load_old(self: JSONFileStore, asked: str) -> Loaded:
            loaded = load(self, asked)
            return loaded if asked != key else (first.append(loaded) or first[0])  # type: ignore[func-returns-value]

        if lies == "swap":
            environment.setattr(JSONFileStore, "save", save_all)
        else:
            environment.setattr(JSONFileStore, "load", load_old)

        doctor().only("store_write", finding, level)


class TestClock:
    @servers
    def test_ahead(
        self, doctor: Doctor, environment: pytest.MonkeyPatch, redis_server: RedisServer, wechat: WeChat
    ) -> None:
        """A store whose clock is an hour ahead of this machine's and WeChat's is told; tokens do not mind."""
        environment.setenv("WXM_STORE", redis_server.url)
        slow = Runtime(time=lambda: time.time() - 3600.0)
        environment.setattr(command, "Examination", partial(Examination, runtime=slow))
        wechat.date_skew = -3600.0
        found = doctor().only("store_clock", "store_clock.off", "warn")

        assert 3600.0 == pytest.approx(found["data"]["ahead"], abs=60.0)

    def test_own(self) -> None:
        """A file has this machine's clock."""
        assert Level.OK is judge_store_clock(9999.0, "jsonfile").level
