"""A third-party platform: the pushed ticket, its own token, and rotating refresh tokens."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
import requests

from wxmiddleware import (
    Account,
    ConfigurationError,
    ProviderPool,
    Runtime,
    StoreError,
    TokenProvider,
    TokenRefused,
    TokenUnavailable,
    with_token,
)
from wxmiddleware._rules.models import Cooldown
from wxmiddleware.jssdk import JSSDK
from wxmiddleware.platform import Platform
from wxmiddleware.simulator import SimulatedClock, SimulatedPlatform, SimulatorServer, WeChat
from wxmiddleware.sources import AuthorizerToken, Cause, Failure, StableToken
from wxmiddleware.stores import Loaded, Record, TokenStore
from wxmiddleware.stores.jsonfile import JSONFileStore
from wxmiddleware.stores.memory import MemoryStore
from wxmiddleware.testing import ClockedStore

APPID, SECRET = "wxfedcba9876543210", "secret-of-the-platform"
RENEW = "/cgi-bin/component/api_authorizer_token"
LIST = "/cgi-bin/component/api_get_authorizer_list"
PATIENCE = 20.0


class Fragile:
    """A store that can be broken; it plays one that other processes share."""

    shared = durable = True

    def __init__(self, clock: Callable[[], float]) -> None:
        self.inner = MemoryStore(clock=clock)
        self.broken: set[str] = set()
        self.before_save: Callable[[Record], object] = lambda record: None

    def load(self, key: str) -> Loaded:
        if "load" in self.broken:
            raise ConnectionError("redis://:password@host")
        return self.inner.load(key)

    def save(self, key: str, record: Record, version: Any) -> Any | None:
        self.before_save(record)
        if "save" in self.broken:
            raise ConnectionError("redis://:password@host")
        return self.inner.save(key, record, version)


class Scene:
    """A platform at the simulator, an account that may authorise it, and our side of both."""

    def __init__(self, wechat: WeChat, url: str, clock: SimulatedClock) -> None:
        self.wechat, self.url, self.clock = wechat, url, clock
        self.there = wechat.add_platform(APPID, SECRET)
        self.store = Fragile(clock)
        self.slept: list[float] = []
        self.during_sleep: Callable[[], object] = lambda: None
        self.platform = self.make()

    def make(
        self,
        store: TokenStore | None = None,
        *,
        sleep: Callable[[float], object] | None = None,
        durable: bool | None = None,
    ) -> Platform:
        """Our side; each one made plays another process."""
        runtime = Runtime(clock=self.clock, time=self.clock, sleep=sleep or self._sleep, random=lambda: 0.0)
        account = Account(APPID, SECRET, base_url=self.url)
        return Platform(account, store=store or self.store, durable=durable, runtime=runtime)

    def authorised(self) -> TokenProvider:
        self.platform.remember_ticket(self.there.push_ticket())
        return self.platform.authorize(self.there.authorise())

    def record(self, provider: TokenProvider) -> Record:
        found = self.store.load(provider._own.key).record
        assert found is not None
        return found

    def call(self, token: str) -> dict[str, Any]:
        query = {"access_token": token, "openid": "oAda"}
        answer: dict[str, Any] = requests.get(f"{self.url}/cgi-bin/user/info", query, timeout=10).json()
        return answer

    def expire(self) -> None:
        self.platform.remember_ticket(self.there.push_ticket())
        self.clock.advance(7300)

    def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.advance(seconds)
        self.during_sleep()


@pytest.fixture
def scene(wechat: WeChat, wechat_server: SimulatorServer, wechat_clock: SimulatedClock) -> Scene:
    return Scene(wechat, wechat_server.url, wechat_clock)


@pytest.fixture
def there(scene: Scene) -> SimulatedPlatform:
    return scene.there


# The store


class Memcached:
    shared = True

    def load(self, key: str) -> Loaded:
        raise AssertionError

    def save(self, key: str, record: Record, version: Any) -> Any | None:
        raise AssertionError


@pytest.mark.parametrize("store", [MemoryStore(), Memcached()])
def test_forgetful_store(store: TokenStore) -> None:
    """A store that may forget is refused at construction, and the message says which ones are not."""
    with pytest.raises(ConfigurationError, match="may forget, and with a refresh token") as caught:
        Platform(Account(APPID, SECRET), store=store)

    assert type(store).__name__ in str(caught.value)
    assert "SQLStore or JSONFileStore" in str(caught.value)


def test_real_stores(tmp_path: Path) -> None:
    """Files and databases keep what they are given, also encrypted; memcached and Redis say nothing of the kind."""
    encrypted = pytest.importorskip("wxmiddleware.stores.encrypted")
    memcached = pytest.importorskip("wxmiddleware.stores.memcached")
    redis = pytest.importorskip("wxmiddleware.stores.redis")
    sql = pytest.importorskip("wxmiddleware.stores.sql")
    key = "A" * 43 + "="
    file = JSONFileStore(tmp_path / "tokens.json")
    kept = [file, encrypted.EncryptedStore(file, key), sql.SQLStore.from_url(f"sqlite:///{tmp_path}/tokens.db")]
    forgetful = [
        memcached.MemcachedStore.from_url("memcached://localhost"),
        redis.RedisStore.from_url("redis://localhost"),
        encrypted.EncryptedStore(MemoryStore(), key),
    ]

    for store in kept:
        assert repr(Platform(Account(APPID, SECRET), store=store)) == f"<Platform {APPID}>"
    for store in forgetful:
        with pytest.raises(ConfigurationError, match="may forget"):
            Platform(Account(APPID, SECRET), store=store)
    Platform(Account(APPID, SECRET), store=forgetful[1], durable=True)


@pytest.mark.parametrize("store", [None, "redis://localhost", JSONFileStore])
def test_store_wanted(store: Any) -> None:
    """There is no platform without a store."""
    with pytest.raises(ConfigurationError, match="needs store="):
        Platform(Account(APPID, SECRET), store=store)


def test_kept_for_ever(scene: Scene) -> None:
    """A record with a refresh token outlives its token by any time."""
    provider = scene.authorised()
    refresh = scene.record(provider).refresh
    scene.clock.advance(10 * 365 * 86_400)

    assert refresh == scene.record(provider).refresh is not None


# The ticket and the platform's own token


def test_component_token(scene: Scene, there: SimulatedPlatform) -> None:
    """With the pushed ticket the platform gets its token, once for all who ask."""
    scene.platform.remember_ticket(there.push_ticket())
    tokens = {scene.make().provider.get_token() for _ in range(3)}

    assert {there.current()} == tokens
    assert 1 == scene.wechat.fetches(slot="component")


def test_no_ticket(scene: Scene, there: SimulatedPlatform) -> None:
    """Without a ticket nobody is asked; once it comes, the next call works."""
    with pytest.raises(TokenUnavailable, match="has not pushed a component_verify_ticket"):
        scene.platform.provider.get_token()
    assert 0 == scene.wechat.fetches(slot="component")

    scene.platform.remember_ticket(there.push_ticket())
    token = scene.platform.provider.get_token()
    assert there.current() == token


def test_ticket_ends_pauses(scene: Scene, there: SimulatedPlatform) -> None:
    """What had no token for want of a ticket, or of a good one, has one when the ticket is there."""
    appid = scene.authorised().account.appid
    authorizer = scene.platform.authorizer(appid)
    for bad in (None, "ticket@@@wrong"):
        scene.clock.advance(13 * 3600)
        if bad:
            scene.platform.remember_ticket(bad)
        for provider in (scene.platform.provider, authorizer):
            with pytest.raises(TokenUnavailable, match="component_verify_ticket"):
                provider.get_token()
        scene.platform.remember_ticket(there.push_ticket())

        assert there.current() != authorizer.get_token()
        assert there.current() == scene.platform.provider.get_token()


def test_ticket_ends_the_pause_of_others(scene: Scene, there: SimulatedPlatform) -> None:
    """The pause that another process has left in the store ends, too."""
    with pytest.raises(TokenUnavailable):
        scene.make().provider.get_token()
    scene.platform.remember_ticket(there.push_ticket())

    assert scene.platform.provider.get_token() == there.current()


def test_ticket_ends_no_other_pause(scene: Scene, there: SimulatedPlatform) -> None:
    """What a ticket does not cure is left alone for as long as before."""
    scene.platform.remember_ticket(there.push_ticket())
    there.ip_allowlist = ["10.0.0.1"]
    for _ in range(3):
        with pytest.raises(TokenRefused, match="IP allowlist"):
            scene.platform.provider.get_token()
        scene.platform.remember_ticket(there.push_ticket())

    assert 1 == scene.wechat.calls("/cgi-bin/component/api_component_token")


def test_ticket_leaves_the_pause_of_others(scene: Scene, there: SimulatedPlatform) -> None:
    """A pause that another process has put into the store for another reason stays there."""
    with pytest.raises(TokenUnavailable):
        scene.platform.provider.get_token()
    key = scene.platform.provider._own.key
    loaded, pause = scene.store.load(key), Cooldown(scene.clock() + 60, Failure(Cause.PERMANENT, "No."))
    assert loaded.record is not None
    scene.store.save(key, replace(loaded.record, cooldown=pause), loaded.version)
    scene.platform.remember_ticket(there.push_ticket())

    assert scene.record(scene.platform.provider).cooldown == pause


def test_ticket_is_kept_whatever_else_fails(scene: Scene, there: SimulatedPlatform) -> None:
    """If the store fails after the ticket was saved, the ticket is kept and the pause ends by itself."""
    with pytest.raises(TokenUnavailable):
        scene.platform.provider.get_token()
    saves: list[Record] = []

    def fail_at_the_second(record: Record) -> None:
        saves.append(record)
        scene.store.broken = {"save"} if len(saves) > 1 else set()

    scene.store.before_save = fail_at_the_second
    ticket = there.push_ticket()
    scene.platform.remember_ticket(ticket)

    assert (2, ticket) == (len(saves), scene.platform._ticket())


def test_old_ticket(scene: Scene, there: SimulatedPlatform) -> None:
    """A ticket is good for 12 hours: pushes may be missed, but not all day."""
    never_deletes = ClockedStore(MemoryStore(clock=lambda: 0.0), scene.clock)
    platform = scene.make(never_deletes, durable=True)
    platform.remember_ticket(f"  {there.push_ticket()}\n")
    scene.clock.advance(12 * 3600 - 60)
    platform.provider.get_token()
    scene.clock.advance(7200)

    with pytest.raises(TokenUnavailable, match="12 hours old"):
        platform.provider.get_token()
    assert 1 == scene.wechat.fetches(slot="component")


def test_newest_ticket_counts(scene: Scene, there: SimulatedPlatform) -> None:
    """Each push replaces the one before, whichever process it reaches."""
    scene.platform.remember_ticket("wrong")
    scene.make().remember_ticket(there.push_ticket())
    scene.platform.provider.get_token()

    assert 1 == scene.wechat.fetches(slot="component")


def test_wrong_ticket(scene: Scene) -> None:
    """A ticket that WeChat does not know is a passing trouble: the next push brings another."""
    scene.platform.remember_ticket("ticket@@@wrong")
    with pytest.raises(TokenUnavailable, match="component_verify_ticket is wrong") as caught:
        scene.platform.provider.get_token()

    assert 61006 == caught.value.errcode
    assert "@@@wrong" not in repr(caught.value)


@pytest.mark.parametrize("ticket", ["", "  ", None, b"ticket"])
def test_ticket_wanted(scene: Scene, ticket: Any) -> None:
    """What is no ticket does not replace one."""
    with pytest.raises(ConfigurationError):
        scene.platform.remember_ticket(ticket)


def test_ticket_is_saved_or_not(scene: Scene, there: SimulatedPlatform) -> None:
    """If the store fails, whoever hands the ticket in is told, without a word of the store's own."""
    scene.store.broken = {"save"}
    with pytest.raises(StoreError, match=r"The store failed \(ConnectionError\)") as caught:
        scene.platform.remember_ticket(there.push_ticket())

    assert caught.value.__cause__ is caught.value.__context__ is None


def test_tickets_in_a_race(scene: Scene, there: SimulatedPlatform) -> None:
    """Pushes that arrive at once, in several threads, are all taken."""
    tickets = [there.push_ticket() for _ in range(8)]
    threads = [threading.Thread(target=scene.platform.remember_ticket, args=(ticket,)) for ticket in tickets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)

    assert scene.platform._ticket() in tickets


def test_store_that_takes_nothing(scene: Scene, there: SimulatedPlatform) -> None:
    """If others save in between every time, that is said in the end."""
    scene.store.inner.save = lambda *_: None  # type: ignore[method-assign]
    with pytest.raises(StoreError, match="takes nothing"):
        scene.platform.remember_ticket(there.push_ticket())


def test_ip_of_the_platform(scene: Scene, there: SimulatedPlatform) -> None:
    """61004 names the address that WeChat saw."""
    there.ip_allowlist = ["10.0.0.1"]
    scene.platform.remember_ticket(there.push_ticket())
    with pytest.raises(TokenRefused, match=r"Add 127\.0\.0\.1 to the platform's IP allowlist"):
        scene.platform.provider.get_token()


def test_wrong_platform_secret(scene: Scene, there: SimulatedPlatform) -> None:
    """A wrong secret is a person's business, and is not shown."""
    scene.platform.remember_ticket(there.push_ticket())
    there.secret = "another"
    with pytest.raises(TokenRefused) as caught:
        scene.platform.provider.get_token()

    assert SECRET not in repr(caught.value)


# Authorised accounts


def test_authorize(scene: Scene, there: SimulatedPlatform, wechat: WeChat) -> None:
    """The first tokens come with the code; other processes have them, too."""
    provider = scene.authorised()
    token = provider.get_token()

    assert wechat.current(slot="authorizer") == token
    assert "subscribe" in scene.call(token)
    assert wechat.appid == provider.account.appid
    assert token == scene.make().authorizer(wechat.appid).get_token()
    assert 0 == wechat.calls(RENEW)
    assert there.refresh_token(wechat.appid) == scene.record(provider).refresh


def test_used_code(scene: Scene, there: SimulatedPlatform) -> None:
    """A code is good once, and leads to its account again for a while; the error says what to do, not the code."""
    scene.platform.remember_ticket(there.push_ticket())
    code = there.authorise()
    first = scene.platform.authorize(code)
    assert first.get_token() == scene.platform.authorize(f" {code}").get_token()
    scene.clock.advance(601)
    with pytest.raises(TokenRefused, match="authorise the platform again") as caught:
        scene.platform.authorize(code)

    assert code not in repr(caught.value)
    with pytest.raises(ConfigurationError):
        scene.platform.authorize("")


@pytest.mark.parametrize(
    "body",
    [
        "{}",
        '{"authorization_info": 1}',
        '{"authorization_info": {"authorizer_access_token": "88_a", "expires_in": 7200}}',
        '{"authorization_info": {"authorizer_access_token": "88_a", "expires_in": 7200, "authorizer_appid": "wx1"}}',
    ],
)
def test_half_an_answer(scene: Scene, there: SimulatedPlatform, body: str) -> None:
    """An answer without all that is needed keeps nothing."""
    scene.platform.remember_ticket(there.push_ticket())
    scene.wechat.faults.add("/cgi-bin/component/api_query_auth", "body", body=body)
    with pytest.raises(TokenUnavailable):
        scene.platform.authorize(there.authorise())


def test_in_tasks(scene: Scene, there: SimulatedPlatform, wechat: WeChat) -> None:
    """A webhook in an event loop takes tickets and codes, too."""

    async def main() -> str:
        await scene.platform.aremember_ticket(there.push_ticket())
        provider = await scene.platform.aauthorize(there.authorise())
        return await provider.aget_token()

    assert anyio.run(main) == wechat.current(slot="authorizer")


def test_rotation(scene: Scene, there: SimulatedPlatform, wechat: WeChat) -> None:
    """Each refresh brings the refresh token of the next one, and both are saved in one step."""
    provider = scene.authorised()
    seen = [scene.record(provider).refresh]
    for _ in range(3):
        scene.expire()
        assert "subscribe" in scene.call(provider.get_token())
        record = scene.record(provider)
        seen.append(record.refresh)
        assert (there.refresh_token(wechat.appid), wechat.current(slot="authorizer")) == (record.refresh, record.value)

    assert 4 == len(set(seen))
    assert (3, 0) == (wechat.calls(RENEW), wechat.calls(LIST))


def test_no_rotation(scene: Scene, wechat: WeChat) -> None:
    """If WeChat gives the same refresh token each time, that is as good."""
    wechat.refresh_rotates = False
    provider = scene.authorised()
    for _ in range(3):
        scene.expire()
        provider.get_token()

    assert (3, 0) == (wechat.calls(RENEW), wechat.calls(LIST))


def test_without_one_in_the_answer(scene: Scene, wechat: WeChat) -> None:
    """An answer without a refresh token leaves the one that there is."""
    provider = scene.authorised()
    refresh = scene.record(provider).refresh
    scene.expire()
    scene.wechat.faults.add(RENEW, "body", body='{"authorizer_access_token": "88_x", "expires_in": 7200}')

    assert "88_x" == provider.get_token()
    assert refresh == scene.record(provider).refresh


def test_healed(scene: Scene, wechat: WeChat) -> None:
    """A rejected token of the account is replaced like any other."""
    provider = scene.authorised()
    wechat.revoke(slot="authorizer")
    answer = with_token(provider)(lambda access_token: scene.call(access_token))()  # noqa: PLW0108 - by that name

    assert "subscribe" in answer
    assert 1 == wechat.calls(RENEW)


def test_component_token_healed(scene: Scene, there: SimulatedPlatform, wechat: WeChat) -> None:
    """A rejected token of the platform is replaced within the refresh of the account's."""
    provider = scene.authorised()
    scene.expire()
    scene.platform.provider.get_token()
    there.revoke()
    provider.get_token()

    assert (2, 3) == (wechat.calls(RENEW), wechat.fetches(slot="component"))


def test_many_ask_one_rotates(scene: Scene, wechat: WeChat) -> None:
    """Eight processes of four threads that find the token over rotate once."""
    scene.authorised()
    scene.expire()
    providers = [scene.make(sleep=lambda _: threading.Event().wait(0.01)).authorizer(wechat.appid) for _ in range(8)]
    found: list[str] = []
    ready = threading.Barrier(32)

    def want(provider: TokenProvider) -> None:
        ready.wait(PATIENCE)
        found.append(provider.get_token())

    threads = [threading.Thread(target=want, args=(provider,)) for provider in providers for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)

    assert 8 == len({id(provider._own) for provider in providers})
    assert [wechat.current(slot="authorizer")] * 32 == found
    assert (1, 0) == (wechat.calls(RENEW), wechat.calls(LIST))


def test_never_authorised(scene: Scene, there: SimulatedPlatform, wechat: WeChat) -> None:
    """An account that is not in WeChat's list either is told to authorise, and WeChat is left alone for a while."""
    scene.platform.remember_ticket(there.push_ticket())
    provider = scene.platform.authorizer(wechat.appid)
    for _ in range(5):
        with pytest.raises(TokenRefused, match=r"hand the auth_code that comes back to Platform\.authorize"):
            provider.get_token()

    assert (1, 0) == (wechat.calls(LIST), wechat.calls(RENEW))
    scene.platform.authorize(there.authorise())
    assert wechat.current(slot="authorizer") == provider.get_token()


def test_withdrawn(scene: Scene, there: SimulatedPlatform, wechat: WeChat) -> None:
    """61003: the owner has withdrawn it."""
    provider = scene.authorised()
    scene.expire()
    there._authorised.clear()
    with pytest.raises(TokenRefused, match="has not authorised this platform, or not any more"):
        provider.get_token()

    assert (1, 0) == (wechat.calls(RENEW), wechat.calls(LIST))


# What may be lost


@pytest.mark.parametrize("keeps", [True, False])
def test_lost_answer(scene: Scene, there: SimulatedPlatform, wechat: WeChat, keeps: bool) -> None:
    """WeChat's answer was lost: the old refresh token is tried, and else WeChat's list has the new one."""
    wechat.refresh_keeps_previous = keeps
    provider = scene.authorised()
    scene.expire()
    wechat.faults.add(RENEW, "lost")
    with pytest.raises(TokenUnavailable):
        provider.get_token()
    scene.clock.advance(16)
    token = provider.get_token()

    assert wechat.current(slot="authorizer") == token
    assert there.refresh_token(wechat.appid) == scene.record(provider).refresh
    assert ((2, 0) if keeps else (3, 1)) == (wechat.calls(RENEW), wechat.calls(LIST))


def test_list_knows_no_better(scene: Scene, there: SimulatedPlatform, wechat: WeChat) -> None:
    """If the list has the very token that WeChat calls void, or none, the owner has to come again."""
    provider = scene.authorised()
    scene.expire()
    wechat.faults.add(RENEW, "errcode", None, errcode=61023)
    with pytest.raises(TokenRefused, match="void") as caught:
        provider.get_token()

    assert (61023, 1, 1) == (caught.value.errcode, wechat.calls(RENEW), wechat.calls(LIST))


def test_long_list(scene: Scene, there: SimulatedPlatform, wechat: WeChat) -> None:
    """The list is read page by page."""
    for number in range(501):
        appid = f"wx{number:016x}"
        wechat.add_account(appid, "secret")
        code = there.authorise(appid)
        there._platforms.query_auth(_Nobody(), there, {"authorization_code": code})  # type: ignore[arg-type]
    provider = scene.authorised()
    scene.expire()
    there.void_refresh_token(wechat.appid)

    assert wechat.current(slot="authorizer") != (token := provider.get_token())
    assert wechat.is_valid(token)
    assert (2, 2) == (wechat.calls(RENEW), wechat.calls(LIST))


class _Nobody:
    pass


@pytest.mark.parametrize("body", ["{}", '{"list": [1, {"authorizer_appid": "APPID", "refresh_token": 5}]}'])
def test_strange_list(scene: Scene, there: SimulatedPlatform, wechat: WeChat, body: str) -> None:
    """A list that makes no sense has nothing better."""
    provider = scene.authorised()
    scene.expire()
    there.void_refresh_token(wechat.appid)
    wechat.faults.add(LIST, "body", None, body=body.replace("APPID", wechat.appid))
    with pytest.raises(TokenRefused) as caught:
        provider.get_token()

    assert 61023 == caught.value.errcode


def test_lost_refresh_token(scene: Scene, wechat: WeChat) -> None:
    """A record that was deleted costs a look at WeChat's list, and no visit of the owner's."""
    scene.authorised()
    scene.expire()
    scene.store.inner = MemoryStore(clock=scene.clock)
    elsewhere = scene.make()
    elsewhere.remember_ticket(scene.there.push_ticket())
    token = elsewhere.authorizer(wechat.appid).get_token()

    assert wechat.current(slot="authorizer") == token
    assert (1, 1) == (wechat.calls(RENEW), wechat.calls(LIST))


def test_store_down_nobody_asks(scene: Scene, wechat: WeChat) -> None:
    """While the store is down a refresh token is not used: the answer's could not be kept."""
    provider = scene.authorised()
    scene.expire()
    scene.platform.provider.get_token()
    scene.store.broken = {"load", "save"}
    with pytest.raises(TokenUnavailable, match="The store cannot be reached, so WeChat was not asked"):
        provider.get_token()
    assert 0 == wechat.calls(RENEW)

    scene.store.broken = set()
    scene.clock.advance(60)
    token = provider.get_token()
    assert wechat.current(slot="authorizer") == token


def test_store_read_only(scene: Scene, wechat: WeChat) -> None:
    """Nor while it can be read and not written."""
    provider = scene.authorised()
    scene.expire()
    scene.platform.provider.get_token()
    scene.store.broken = {"save"}
    with pytest.raises(TokenUnavailable):
        provider.get_token()

    assert 0 == wechat.calls(RENEW)


def test_store_falters_at_the_save(scene: Scene, there: SimulatedPlatform, wechat: WeChat) -> None:
    """The store fails just when the answer is there: it is tried again for a while, and takes it."""
    provider = scene.authorised()
    scene.expire()
    scene.platform.provider.get_token()
    refresh = scene.record(provider).refresh

    def before_save(record: Record) -> None:
        if record.refresh not in (None, refresh):
            scene.store.broken = {"load", "save"}

    def during_sleep() -> None:
        if len(scene.slept) >= 3:
            scene.store.before_save = lambda record: None
            scene.store.broken = set()

    scene.store.before_save, scene.during_sleep = before_save, during_sleep
    token = provider.get_token()

    assert wechat.current(slot="authorizer") == token
    assert there.refresh_token(wechat.appid) == scene.record(provider).refresh != refresh
    assert [0.5, 0.5, 0.5] == scene.slept


def test_store_lost_at_the_save(scene: Scene, there: SimulatedPlatform, wechat: WeChat) -> None:
    """If the store stays away, this process has the new refresh token, and writes it when the store is back."""
    provider = scene.authorised()
    scene.expire()
    scene.platform.provider.get_token()
    refresh = scene.record(provider).refresh

    def before_save(record: Record) -> None:
        if record.refresh not in (None, refresh):
            scene.store.broken = {"load", "save"}

    scene.store.before_save = before_save
    token = provider.get_token()
    assert wechat.current(slot="authorizer") == token

    scene.store.before_save, scene.store.broken = (lambda record: None), set()
    scene.expire()  # its token is over by then, too
    again = provider.get_token()
    assert wechat.current(slot="authorizer") == again
    assert there.refresh_token(wechat.appid) == scene.record(provider).refresh
    assert (2, 0) == (wechat.calls(RENEW), wechat.calls(LIST))


def test_paused_past_its_lease(scene: Scene, there: SimulatedPlatform, wechat: WeChat) -> None:
    """A process that was paused before it asked finds its lease gone, looks again, and rotates nothing."""
    scene.authorised()
    scene.expire()
    slow, fast = (scene.make().authorizer(wechat.appid) for _ in range(2))
    scene.platform.provider.get_token()
    paused: list[str] = []

    def before_save(record: Record) -> None:
        if record.lease is not None and not paused:
            paused.append(record.lease.owner)

            def later() -> None:
                scene.store.before_save = lambda record: None
                scene.clock.advance(60)
                paused.append(fast.get_token())

            scene.store.before_save = lambda record: None
            real = scene.store.inner.save

            def save(key: str, record: Record, version: Any) -> Any:
                scene.store.inner.save = real  # type: ignore[method-assign]
                saved = real(key, record, version)
                later()
                return saved

            scene.store.inner.save = save  # type: ignore[method-assign]

    scene.store.before_save = before_save

    assert slow.get_token() == paused[1]
    assert 1 == wechat.calls(RENEW)


def test_two_asked_at_once(scene: Scene, there: SimulatedPlatform, wechat: WeChat) -> None:
    """A process that was paused while it asked finds that another has rotated meanwhile, and takes the other's."""
    scene.authorised()
    scene.expire()
    slow, fast = (scene.make().authorizer(wechat.appid) for _ in range(2))
    scene.platform.provider.get_token()
    fault = wechat.faults.add(RENEW, "hang", executed=True)
    got: list[str] = []
    thread = threading.Thread(target=lambda: got.append(slow.get_token()))
    thread.start()
    assert wechat.wait_for(lambda: wechat.fetches(slot="authorizer") == 1, PATIENCE)
    scene.clock.advance(60)
    theirs = fast.get_token()
    fault.release()
    thread.join(PATIENCE)

    assert [theirs] == got
    assert wechat.current(slot="authorizer") == theirs
    assert there.refresh_token(wechat.appid) == scene.record(fast).refresh


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs SIGKILL")
def test_killed_between_answer_and_save(scene: Scene, there: SimulatedPlatform, wechat: WeChat, tmp_path: Path) -> None:
    """The new refresh token died with the process; the next one finds it in WeChat's list."""
    path = tmp_path / "tokens.json"
    platform = scene.make(JSONFileStore(path, clock=scene.clock))
    platform.remember_ticket(there.push_ticket())
    provider = platform.authorize(there.authorise())
    scene.clock.advance(7300)
    platform.remember_ticket(there.push_ticket())
    program = textwrap.dedent(f"""
        import os, signal
        from wxmiddleware import Account, Runtime
        from wxmiddleware.platform import Platform
        from wxmiddleware.stores.jsonfile import JSONFileStore

        class Deadly(JSONFileStore):
            def save(self, key, record, version):
                before = self.load(key).record
                if before is not None and record.refresh != before.refresh:
                    os.kill(os.getpid(), signal.SIGKILL)
                return super().save(key, record, version)

        now = lambda: {scene.clock()}
        platform = Platform(
            Account({APPID!r}, {SECRET!r}, base_url={scene.url!r}),
            store=Deadly({str(path)!r}, clock=now), runtime=Runtime(clock=now, time=now),
        )
        platform.authorizer({wechat.appid!r}).get_token()
    """)
    done = subprocess.run([sys.executable, "-c", program], timeout=60, check=False, capture_output=True)

    assert (-9, 1) == (done.returncode, wechat.calls(RENEW)), done.stderr.decode()
    newer = there.refresh_token(wechat.appid)
    assert newer is not None
    assert newer not in path.read_text()
    token = provider.get_token()
    assert wechat.current(slot="authorizer") == token
    assert (3, 1) == (wechat.calls(RENEW), wechat.calls(LIST))
    assert str(there.refresh_token(wechat.appid)) in path.read_text()


# Moving in, and what else is built on it


def test_adopt(scene: Scene, there: SimulatedPlatform, wechat: WeChat) -> None:
    """An account that another system looked after goes on with its refresh token."""
    scene.platform.remember_ticket(there.push_ticket())
    there._platforms.query_auth(_Nobody(), there, {"authorization_code": there.authorise()})  # type: ignore[arg-type]
    provider = scene.platform.adopt_refresh_token(wechat.appid, str(there.refresh_token(wechat.appid)))
    token = provider.get_token()

    assert wechat.current(slot="authorizer") == token
    assert (1, 0) == (wechat.calls(RENEW), wechat.calls(LIST))
    with pytest.raises(ConfigurationError):
        scene.platform.adopt_refresh_token(wechat.appid, " ")


def test_new_secret_same_accounts(scene: Scene, there: SimulatedPlatform, wechat: WeChat) -> None:
    """When the platform's secret is reset, the authorised accounts stay."""
    provider = scene.authorised()
    there.secret = "another"
    runtime = Runtime(clock=scene.clock, time=scene.clock)
    renewed = Platform(Account(APPID, "another", base_url=scene.url), store=scene.store, runtime=runtime)

    assert provider.get_token() == renewed.authorizer(wechat.appid).get_token()


def test_tickets_of_an_account(scene: Scene, wechat: WeChat) -> None:
    """The pages of an authorised account are signed like all others."""
    config = JSSDK(scene.authorised()).signature("https://example.com/")

    assert "config:ok" == wechat.wx_config("https://example.com/", config)


def test_pool(scene: Scene, wechat: WeChat) -> None:
    """A pool makes the accounts' providers on demand."""
    scene.authorised()
    pool = ProviderPool(scene.platform.authorizer, maxsize=10)

    assert pool.get(wechat.appid).get_token() == wechat.current(slot="authorizer")


def test_account_of_another_kind(scene: Scene, wechat_account: Account) -> None:
    """An account with a secret of its own does not ask as an authorised one, nor the other way round."""
    provider = scene.authorised()
    with pytest.raises(ConfigurationError, match="StableToken is not for an account that authorised a Platform"):
        TokenProvider(provider.account, source=StableToken())
    with pytest.raises(ConfigurationError, match="AuthorizerToken is not for an Account"):
        TokenProvider(wechat_account, source=AuthorizerToken(provider))
    with pytest.raises(ConfigurationError, match="AuthorizerToken takes the TokenProvider"):
        AuthorizerToken("wx1")  # type: ignore[arg-type]


def test_encrypted(scene: Scene, there: SimulatedPlatform, wechat: WeChat) -> None:
    """In an encrypted store neither token, refresh token nor ticket can be read."""
    fernet = pytest.importorskip("cryptography.fernet")
    from wxmiddleware.stores.encrypted import EncryptedStore

    store = EncryptedStore(scene.store, fernet.Fernet.generate_key())
    platform = scene.make(store)
    ticket = there.push_ticket()
    platform.remember_ticket(ticket)
    provider = platform.authorize(there.authorise())
    hidden = [ticket, there.refresh_token(wechat.appid), provider.get_token()]
    kept = repr([(e.value, e.refresh) for e, _ in dict(scene.store.inner._records).values()])

    assert [] == [each for each in hidden if str(each) in kept]
    scene.clock.advance(7300)
    assert wechat.is_valid(provider.get_token())


def test_nothing_shows(scene: Scene, there: SimulatedPlatform, wechat: WeChat, caplog: Any) -> None:
    """No secret is in a repr or a log line, whatever fails."""
    caplog.set_level(0)
    scene.platform.remember_ticket(ticket := there.push_ticket())
    provider = scene.platform.authorize(there.authorise())
    record = scene.record(provider)
    for kind in ("empty", "reset", "html"):
        scene.expire()
        wechat.faults.add("/cgi-bin/component/*", kind, 2)
        with pytest.raises(TokenUnavailable):
            provider.get_token()
    for errcode in (61023, 48001):
        scene.expire()
        wechat.faults.clear()
        wechat.faults.add(RENEW, "errcode", None, errcode=errcode, errmsg=f"no {record.refresh}")
        with pytest.raises((TokenUnavailable, TokenRefused)) as caught:
            provider.get_token()
        assert str(record.refresh) not in repr(caught.value) + caught.value.errmsg
    seen = caplog.text + repr([record, scene.platform, provider, replace(record, value=None), there])

    secrets = [SECRET, ticket, record.value, record.refresh, there.refresh_token(wechat.appid)]
    assert [] == [each for each in secrets if str(each) in seen]
