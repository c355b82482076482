"""Entries of memcached as the article's class and wechatpy have them."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from pymemcache import Client, HashClient, PooledClient
from stores.memcached_server import Memcached
from stores.redis_server import in_children

from wxmiddleware.exceptions import ConfigurationError
from wxmiddleware.layouts import ArticleMemcached, Kept, PlainMemcached, WechatpyMemcached


@pytest.fixture(scope="module")
def server() -> Iterator[Memcached]:
    with Memcached() as server:
        yield server


@pytest.fixture
def client(server: Memcached) -> Iterator[Client]:
    client = Client(("127.0.0.1", server.port), default_noreply=False)
    client.flush_all()
    yield client
    client.close()


def left(client: Client, key: str) -> int:
    """Seconds that an entry has left."""
    return int(client.raw_command(f"mg {key} t".encode()).split(b"t")[1])


@pytest.mark.servers
class TestReal:
    def test_plain(self, client: Client) -> None:
        """The bare token, for as long as it lives."""
        layout = PlainMemcached(client, "ours")
        assert None is layout.read()

        end = time.time() + 7200
        layout.write("T", end)

        assert b"T" == client.get("ours")
        assert 7190 < left(client, "ours") <= 7200
        kept = layout.read()
        assert kept is not None
        assert "T" == kept.value
        assert pytest.approx(end, abs=10) == kept.expires_at

    def test_no_entry_lasts_for_ever(self, client: Client) -> None:
        """0 would be for ever; what is over lasts for a second more."""
        PlainMemcached(client, "ours").write("T", time.time() - 5)

        assert left(client, "ours") <= 1

    def test_without_an_end(self, client: Client) -> None:
        """An entry that stays for ever says nothing of the token's end."""
        client.set("ours", b"T", noreply=False)

        assert Kept("T", None) == PlainMemcached(client, "ours").read()

    @pytest.mark.parametrize(("life", "lasts"), [(7200, 3600), (3000, 2940), (30, 1)])
    def test_article(self, client: Client, life: int, lasts: int) -> None:
        """An hour at most, and a minute less than the token; whoever reads it does not learn the token's end."""
        layout = ArticleMemcached(client, "wx1")

        layout.write("T", time.time() + life)

        assert lasts - 10 < left(client, "wx1") <= lasts
        assert Kept("T", None) == layout.read()

    def test_flags(self, client: Client, server: Memcached) -> None:
        """Bytes with the flags 0, whatever the user's client does to a str: PHP takes others for compressed."""
        from pymemcache import serde

        marked = PooledClient(("127.0.0.1", server.port), serde=serde.pickle_serde)
        ArticleMemcached(marked, "wx1").write("T", time.time() + 7200)

        assert b"HD f0" == client.raw_command(b"mg wx1 f")
        marked.close()

    def test_wechatpy(self, client: Client) -> None:
        """Both entries, in JSON; and what its own session has written."""
        from wechatpy.session.memcachedstorage import MemcachedStorage

        layout = WechatpyMemcached(client, "wx1")
        assert None is layout.read()
        end = time.time() + 7200

        layout.write("T", end)

        session = MemcachedStorage(client)
        assert ("T", int(end)) == (session.get("wx1_access_token"), session.get("wx1_access_token_expires_at"))
        session.set("wx1_access_token", "theirs", 0)
        assert Kept("theirs", int(end)) == layout.read()
        session.set("wx1_access_token", "theirs", 600)
        kept = layout.read()
        assert kept is not None
        assert pytest.approx(time.time() + 600, abs=10) == kept.expires_at
        client.set("wechatpy:wx1_access_token", b"no JSON", noreply=False)
        assert None is layout.read()

    def test_prefix(self, server: Memcached, client: Client) -> None:
        """The client's own prefix goes before the key, also when the time is asked for."""
        prefixed = Client(("127.0.0.1", server.port), key_prefix=b"p:")
        layout = PlainMemcached(prefixed, "ours")

        layout.write("T", time.time() + 100)

        kept = layout.read()
        assert kept is not None
        assert kept.expires_at is not None
        assert b"T" == client.get("p:ours")

    def test_an_old_memcached(self, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        """One that does not know the command tells no end."""
        layout = PlainMemcached(client, "ours")
        layout.write("T", time.time() + 100)
        real = Client.raw_command
        monkeypatch.setattr(Client, "raw_command", lambda self, command: real(self, b"nonsense"))

        assert Kept("T", None) == layout.read()

    def test_children(self, client: Client) -> None:
        """A forked child has connections of its own."""
        layout = PlainMemcached(client, "ours")
        layout.write("T", time.time() + 100)

        def work() -> str:
            for _ in range(100):
                kept = layout.read()
                assert kept is not None
                assert kept.value == "T"
            return "well"

        assert ["well"] * 2 == in_children(work, 2)


@pytest.mark.parametrize(
    ("client", "key", "says"),
    [
        (HashClient([("localhost", 1)]), "ours", "one server"),
        ("memcached://localhost", "ours", "not a str"),
        (Client("localhost"), "two words", "without white space"),
        (Client("localhost"), "k" * 251, "250 ASCII"),
        (Client("localhost", key_prefix=b"p:"), "k" * 249, "250 ASCII"),
        (Client("localhost"), "钥匙", "250 ASCII"),
    ],
)
def test_bad_settings(client: object, key: str, says: str) -> None:
    """They are told at construction."""
    with pytest.raises(ConfigurationError, match=says):
        PlainMemcached(client, key)
