"""A store that never worked is told where people see it, by its name and with the cure, by what real servers say."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from stores.memcached_server import Memcached
from stores.redis_server import RedisServer, free_port
from stores.sql_servers import MariaDB, PostgreSQL
from support.background import landed

from wxmiddleware import Account, EventType, Runtime, TokenEvent, TokenProvider
from wxmiddleware.stores import Loaded, Record, TokenStore, store_from_url
from wxmiddleware.stores._advice import advise
from wxmiddleware.testing import ScriptedSource

PASSWORD = "pa55word-of-the-store"
NEVER = "has not answered since this process was started"


def told(store: TokenStore, *, asked: int = 1) -> TokenEvent:
    """What is told when a provider cannot use that store; its token comes all the same."""
    events: list[TokenEvent] = []
    account = Account("wx1", "s3cr3t-of-this-test")
    source = ScriptedSource("T1")
    runtime = Runtime(sleep=lambda _: None, random=lambda: 0.0)
    with TokenProvider(account, source=source, store=store, observers=[events.append], runtime=runtime) as provider:
        assert provider.get_token() == "T1"
        landed()
    getattr(store, "close", lambda: None)()
    found = [event for event in events if event.name is EventType.STORE_FAILED]
    assert len(found) == asked
    # It may be readable, and take no saves: then it is neither back, nor do its reads lag.
    assert not {EventType.STORE_BACK, EventType.STORE_LAGS} & {event.name for event in events}
    assert not [event for event in events if PASSWORD in repr(event) or "pa55word" in repr(event)]
    return found[0]


def at(url: str) -> TokenEvent:
    return told(store_from_url(url))


@pytest.fixture(scope="module")
def mariadb() -> Iterator[MariaDB]:
    with MariaDB() as server:
        yield server


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgreSQL]:
    with PostgreSQL() as server:
        yield server


class TestMariaDB:
    @pytest.mark.servers
    @pytest.mark.parametrize(
        ("user", "database", "code", "advice"),
        [
            (f"wx:{PASSWORD}", "wx", "1045", "password is wrong"),
            ("wx:pa55word", "elsewhere", "1049", "no database of that name"),
            ("app:pa55word", "mysql", "1044", "may not use that database"),
        ],
        ids=["password", "database", "rights"],
    )
    def test_refuses(self, mariadb: MariaDB, user: str, database: str, code: str, advice: str) -> None:
        """Its numbers are explained."""
        event = at(f"mysql+pymysql://{user}@127.0.0.1:{mariadb.port}/{database}")

        assert code in event.message
        assert advice in event.message
        assert event.store is not None
        assert event.store.startswith(f"SQLStore(mysql+pymysql://127.0.0.1:{mariadb.port}/{database}")
        assert event.message.startswith(event.store)
        assert NEVER in event.message

    def test_not_there(self) -> None:
        """Nor is there anybody."""
        event = at(f"mysql+pymysql://wx:{PASSWORD}@127.0.0.1:{free_port()}/wx")

        assert "2003" in event.message
        assert "Check host and port" in event.message


@pytest.mark.servers
class TestPostgreSQL:
    @pytest.mark.parametrize(
        ("change", "advice"),
        [
            (("5432/postgres", "5432/elsewhere"), "no database of that name"),
            (("//postgres:", "//nobody:"), "may not come from this host"),
        ],
        ids=["database", "user"],
    )
    def test_refuses(self, postgresql: PostgreSQL, change: tuple[str, str], advice: str) -> None:
        """What it says at connecting has no code."""
        event = at(postgresql.url.replace(change[0].replace("5432", str(postgresql.port)),
                                          change[1].replace("5432", str(postgresql.port))))  # fmt: skip

        assert advice in event.message
        assert NEVER in event.message


class TestRedis:
    @pytest.mark.servers
    @pytest.mark.parametrize(
        ("user", "advice"),
        [("", "wants a password"), (f":{PASSWORD}@", "password in its URL is wrong")],
        ids=["none", "wrong"],
    )
    def test_password(self, tmp_path: Path, user: str, advice: str) -> None:
        """Without a password, or with a wrong one."""
        with RedisServer(tmp_path, "--requirepass", "another-one") as server:
            event = at(server.url.replace("//", f"//{user}"))

        assert advice in event.message
        assert event.store == f"RedisStore(127.0.0.1:{server.port}, db=0, prefix='')"

    @pytest.mark.servers
    @pytest.mark.parametrize(
        "rights",
        ["~* +@all -eval -evalsha", "~* +@all -hget", "~other:* +@all", "~* +@all -time"],
        ids=["scripts", "inside a script", "keys", "clock"],
    )
    def test_rights(self, tmp_path: Path, rights: str) -> None:
        """What a user must be allowed is said, also if the server refuses inside of the script."""
        with RedisServer(tmp_path) as server:
            with server.client() as client:
                client.execute_command("ACL", "SETUSER", "limited", "on", f">{PASSWORD}", *rights.split())
            event = at(server.url.replace("//", f"//limited:{PASSWORD}@"))

        assert "ACL SETUSER" in event.message
        assert "+eval +evalsha +hget" in event.message

    @pytest.mark.servers
    def test_what_it_says_is_enough(self, tmp_path: Path) -> None:
        """A user with the rights that are told can use the store."""
        advice = advise(Exception("NOPERM"))
        rights = advice.partition("ACL SETUSER name ")[2].rstrip(".").replace("'", "")
        with RedisServer(tmp_path) as server:
            with server.client() as client:
                client.execute_command("ACL", "SETUSER", "limited", "on", f">{PASSWORD}", *rights.split())
            store: Any = store_from_url(server.url.replace("//", f"//limited:{PASSWORD}@"))
            key = "wx:wechat:wx1:stable"
            version = store.save(key, Record(1, "T1", expires_at=store.load(key).now + 100), store.load(key).version)
            again = store.load(key)
            store.close()

        assert version == again.version
        assert again.record.value == "T1"

    @pytest.mark.servers
    def test_replica(self, tmp_path: Path) -> None:
        """A replica can be read; the first save is refused."""
        with RedisServer(tmp_path, "--replicaof", "127.0.0.1 1") as server:
            event = at(server.url)

        assert "give the store the primary" in event.message
        assert NEVER not in event.message

    @pytest.mark.servers
    def test_disk(self, tmp_path: Path) -> None:
        """One that cannot write to its disk takes no writes."""
        with RedisServer(tmp_path) as server, server.client() as client:
            client.config_set("save", "3600 1")
            (tmp_path / "dump.rdb").mkdir()
            client.set("a", "b")
            while client.info("persistence")["rdb_last_bgsave_status"] == "ok":
                with suppress(Exception):  # it is at it already
                    client.bgsave()
            event = at(server.url)

        assert "cannot write to its disk" in event.message

    @pytest.mark.servers
    def test_cluster(self, tmp_path: Path) -> None:
        """A node of a cluster wants a client for clusters."""
        # By default a node talks to its cluster at its port and 10000, which may be more than there are.
        with RedisServer(tmp_path, "--cluster-enabled", "yes", "--cluster-port", str(free_port())) as server:
            event = at(server.url)

        assert "RedisCluster" in event.message

    def test_not_there(self) -> None:
        """Nor is there anybody."""
        event = at(f"redis://:{PASSWORD}@127.0.0.1:{free_port()}/0")

        assert "Nothing listens there" in event.message
        assert NEVER in event.message

    @pytest.mark.servers
    def test_outage(self, tmp_path: Path) -> None:
        """A store that did answer is down, and not set up wrongly."""
        with RedisServer(tmp_path) as server:
            store: Any = store_from_url(server.url)
            events: list[TokenEvent] = []
            account = Account("wx1", "s3cr3t-of-this-test")
            with TokenProvider(account, source=ScriptedSource("T1"), store=store, observers=[events.append]) as one:
                one.get_token()
                server.kill()
                with pytest.raises(Exception, match="One fetch too many"):
                    one.get_token(rejected="T1")
                landed()
            store.close()
        failed = [event for event in events if event.name is EventType.STORE_FAILED]

        assert len(failed) == 1
        assert NEVER not in failed[0].message


class TestMemcached:
    def test_not_there(self) -> None:
        """Nor is there anybody."""
        port = free_port()
        event = at(f"memcached://127.0.0.1:{port}")

        assert "Nothing listens there" in event.message
        assert event.store == f"MemcachedStore(127.0.0.1:{port}, prefix='')"

    @pytest.mark.servers
    def test_too_large(self) -> None:
        """An item above its limit."""
        with Memcached() as server:
            store: Any = store_from_url(server.url)
            key = "wx:wechat:wx1:stable"
            with pytest.raises(Exception) as caught:
                store.save(key, Record(1, "x" * 2_000_000, expires_at=2e9), store.load(key).version)
            store.close()

        assert "raise it with -I" in advise(caught.value)

    @pytest.mark.servers
    def test_no_cas(self) -> None:
        """One that cannot compare and swap, at the first refresh of all."""
        with Memcached("-C") as server:
            event = at(server.url)

        assert "Start it without -C" in event.message


class TestFiles:
    @pytest.mark.parametrize("form", ["file:{}/missing/t.json", "sqlite:///{}/missing/t.db"])
    def test_no_directory(self, tmp_path: Path, form: str) -> None:
        """Where the directory is missing, it is to be made."""
        event = at(form.format(tmp_path))

        assert "Make i" in event.message
        assert str(tmp_path) in (event.store or "")
        assert NEVER in event.message or form.startswith("file:")

    def test_no_database(self, tmp_path: Path) -> None:
        """What is none."""
        (tmp_path / "t.db").write_text("what is no database" * 100)
        os.chmod(tmp_path / "t.db", 0o600)

        assert "is no database" in at(f"sqlite:///{tmp_path}/t.db").message


class Leaky:
    """A user's store, with a repr that says too much."""

    shared = True

    def __repr__(self) -> str:
        return f"Leaky({PASSWORD})"

    def load(self, key: str) -> Loaded:
        raise ConnectionRefusedError(PASSWORD)

    def save(self, key: str, record: Record, version: Any) -> Any:
        raise AssertionError


def test_store_of_the_users() -> None:
    """Of a store of the user's only the kind is told, and of its errors nothing but the cure."""
    from wxmiddleware.stores.encrypted import EncryptedStore

    pytest.importorskip("cryptography")
    from cryptography.fernet import Fernet

    assert "Leaky" == told(Leaky()).store
    assert "EncryptedStore(Leaky)" == told(EncryptedStore(Leaky(), Fernet.generate_key())).store


@pytest.mark.parametrize("text", ["", "odd", "1045"])
def test_unknown(text: str) -> None:
    """Of what is not known nothing is said."""
    assert "" == advise(Exception(text))
