"""Waiting for another token, at a hub under a real server."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from wxmiddleware import TokenProvider
from wxmiddleware.hub import Hub, Settings, _watch
from wxmiddleware.hub._watch import Watch
from wxmiddleware.stores.memory import MemoryStore

from .conftest import SECRET, World
from .running import Running, running

PATIENCE = 20.0  # seconds, for what takes a moment


class Shared(MemoryStore):
    """A store that other replicas write to, too; it counts."""

    shared = True

    def __init__(self) -> None:
        super().__init__()
        self.loads = 0

    def load(self, key: str) -> Any:
        self.loads += 1
        return super().load(key)


class Place:
    """A hub under a server, with a store that another replica shares."""

    def __init__(self, world: World, store: Shared, server: Running, hub: Hub, provider: TokenProvider) -> None:
        self.world, self.store, self.server, self.hub, self.provider = world, store, server, hub, provider
        self.headers = {"Wxmiddleware": "1", "Authorization": f"Bearer {world.keys['direct']}"}
        self.url = f"{server.url}/v1/tokens/{world.appid}"

    def ask(self, query: str = "", **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx.get(self.url + query, headers=self.headers | named, timeout=90)

    def wait(self, tag: str, seconds: int = 60) -> Pending:
        return Pending(lambda: self.ask(f"?wait={seconds}", if_none_match=tag))

    @property
    def waiting(self) -> int:
        return sum(len(watch._waiters) for watch in self.watches)

    @property
    def watches(self) -> list[Watch]:
        return [watch for here in list(self.hub._native._watches._found.values()) for watch in here.values()]

    def replica(self) -> TokenProvider:
        """The provider of another replica, which shares nothing with this one but the store."""
        account = self.provider.account
        return TokenProvider(account, store=self.store, timeout=9.0, refresh_after=7000.0)


class Pending(threading.Thread):
    """A request that is being waited for."""

    def __init__(self, ask: Callable[[], httpx.Response]) -> None:
        super().__init__(daemon=True)
        self._ask = ask
        self.answer: httpx.Response | None = None
        self.start()

    def run(self) -> None:
        self.answer = self._ask()

    def get(self) -> httpx.Response:
        self.join(PATIENCE)
        assert self.answer is not None
        return self.answer


def eventually(condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def place(world: World) -> Iterator[Place]:
    store = Shared()
    with TokenProvider(world.provider.account, store=store) as provider:
        hub = Hub([provider], callers=world.hub.settings.callers, secrets=[SECRET])
        with running(hub) as server:
            yield Place(world, store, server, hub, provider)


def test_told_of_a_change(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits is given the token that this replica has just fetched, without a look at the store."""
    monkeypatch.setattr(_watch, "_LOOK", 3600.0)
    first = place.ask()
    pending = place.wait(first.headers["etag"])
    eventually(lambda: place.waiting)
    place.world.wechat.revoke()
    token = place.provider.get_token(rejected=first.json()["access_token"])

    assert token == pending.get().json()["access_token"]
    eventually(lambda: not place.waiting)


def test_told_of_another_replicas(place: Place) -> None:
    """And the token that another one has fetched, of which this one hears from the store alone."""
    first = place.ask()
    pending = place.wait(first.headers["etag"])
    eventually(lambda: place.waiting)
    place.world.wechat.revoke()
    with place.replica() as other:
        token = other.get_token(rejected=first.json()["access_token"])

        assert token == pending.get().json()["access_token"]
    assert 2 == place.world.wechat.fetches()


def test_one_look_however_many_wait(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of ten that wait each does not look at the store."""
    tag = place.ask().headers["etag"]
    pending = [place.wait(tag) for _ in range(10)]
    eventually(lambda: place.waiting == 10)
    (watch,) = place.watches
    looks = []
    monkeypatch.setattr(type(place.provider._live()), "look", lambda token: looks.append(watch._loop.time()))
    eventually(lambda: len(looks) >= 3)
    place.hub.leave()

    assert [304] * 10 == [each.get().status_code for each in pending]
    assert min(later - one for one, later in itertools.pairwise(looks)) > 0.7


def test_nobody_waits_nobody_looks(place: Place) -> None:
    """When the last one has gone the store is left alone."""
    tag = place.ask().headers["etag"]
    assert 304 == place.wait(tag, 1).get().status_code
    (watch,) = place.watches
    eventually(lambda: watch._looking is None and place.provider._live().flight is None)
    before = place.store.loads
    place.ask(if_none_match=tag)

    assert before == place.store.loads


def test_not_in_vain(place: Place) -> None:
    """Who has another token, or names none, is answered at once."""
    number = place.ask().json()["generation"]
    older = f'"{place.world.appid}.access_token.{number - 1}"'

    assert 200 == place.ask("?wait=60").status_code
    assert 200 == place.ask("?wait=60", if_none_match=older).status_code
    assert not place.waiting


def test_a_client_that_leaves(place: Place) -> None:
    """Costs nothing from then on."""
    tag = place.ask().headers["etag"]
    host, port = place.server.url.removeprefix("http://").split(":")
    head = "".join(f"{name}: {value}\r\n" for name, value in place.headers.items())
    with socket.create_connection((host, int(port))) as connection:
        path = f"/v1/tokens/{place.world.appid}?wait=60"
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nIf-None-Match: {tag}\r\n{head}\r\n".encode())
        eventually(lambda: place.waiting)

    eventually(lambda: not place.waiting)
    (watch,) = place.watches
    eventually(lambda: watch._looking is None)


def test_shutdown_ends_waits(place: Place) -> None:
    """A server that stops lets nobody wait: all are answered, and no connection is cut."""
    tag = place.ask().headers["etag"]
    pending = [place.wait(tag) for _ in range(3)]
    eventually(lambda: place.waiting == 3)
    place.server.stop()

    assert [304] * 3 == [each.get().status_code for each in pending]


def test_reload_ends_waits(place: Place) -> None:
    """Who waits by settings that hold no longer is answered, and asks again by those that do."""
    tag = place.ask().headers["etag"]
    pending = place.wait(tag)
    eventually(lambda: place.waiting)
    place.hub.use(Settings([place.provider], [], [SECRET]))

    assert 304 == pending.get().status_code
    assert 401 == place.ask("?wait=60", if_none_match=tag).status_code


def test_a_provider_that_is_closed(place: Place) -> None:
    tag = place.ask().headers["etag"]
    pending = place.wait(tag)
    eventually(lambda: place.waiting)
    place.provider.close()

    assert 503 == pending.get().status_code


def test_a_claim_of_another_replicas_token(place: Place) -> None:
    """A token that only the other replica knows is looked up before it is judged."""
    first = place.ask().json()
    place.world.wechat.revoke()
    with place.replica() as other:
        newer = other.get_token(rejected=first["access_token"])
        other_generation = other.status().generation
    answer = httpx.post(f"{place.url}/rejected", json={"generation": other_generation}, headers=place.headers)

    assert newer == answer.json()["access_token"]
    assert 2 == place.world.wechat.fetches()


def test_no_way_back(place: Place) -> None:
    """A follower whom another replica has given a newer token is not given an older one here."""
    first = place.ask()
    place.world.wechat.revoke()
    with place.replica() as other:
        newer = other.get_token(rejected=first.json()["access_token"])
        tag = first.headers["etag"].rpartition(".")[0] + f'.{other.status().generation}"'

    assert 304 == place.ask(if_none_match=tag).status_code
    assert newer == place.ask().json()["access_token"]
