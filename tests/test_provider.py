"""
The provider as its user meets it: construction, sharing, closing, status.

What a token's life does to callers: tests/engine. What shows of secrets: test_secrets.py.
"""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from support.background import landed
from support.sources import EndlessSource

from wxmiddleware import (
    Account,
    ClassicToken,
    ConfigurationError,
    EventType,
    ProviderClosed,
    Runtime,
    StableToken,
    Status,
    TokenError,
    TokenEvent,
    TokenProvider,
    TokenRefused,
    TokenUnavailable,
)
from wxmiddleware._engine.flight import Flight
from wxmiddleware.simulator import SimulatedClock
from wxmiddleware.sources import Cause, Failure, Grant
from wxmiddleware.stores.memory import MemoryStore
from wxmiddleware.testing import ScriptedSource

SECRET = "5ec2e75ec2e75ec2e75ec2e75ec2e75e"
_numbers = itertools.count()


class World:
    """A clock, a source and an account that no other test has."""

    def __init__(self) -> None:
        self.clock = SimulatedClock(1000.0)
        self.source = EndlessSource()
        self.account = Account(f"wx{next(_numbers)}", SECRET, base_url="https://wechat.example")

    def provider(self, account: Account | None = None, **options: Any) -> TokenProvider:
        runtime = Runtime(
            clock=self.clock,
            time=self.clock,
            sleep=options.pop("sleep", no_sleep),
            random=options.pop("random", no_draw),
        )
        given: dict[str, Any] = {"source": self.source, "runtime": runtime}
        return TokenProvider(account or self.account, **(given | options))

    def token(self, number: int) -> str:
        return f"{self.account.appid}-T{number}"


def no_sleep(_: float) -> None: ...


def no_draw() -> float:
    return 0.0


@pytest.fixture
def world() -> Iterator[World]:
    yield World()
    landed()  # before the next test counts anything


@pytest.fixture(params=["thread", "asyncio", "trio"])
def get(request: pytest.FixtureRequest) -> Callable[..., str]:
    """`get_token` in a thread, and `aget_token` in a task of each kind of loop."""
    if request.param == "thread":
        return TokenProvider.get_token

    def get(provider: TokenProvider, rejected: str | None = None, **options: Any) -> str:
        async def main() -> str:
            return await provider.aget_token(rejected, **options)

        return anyio.run(main, backend=request.param)

    return get


class TestConstruction:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (
                {"source": ClassicToken},
                "source must be a token source such as ClassicToken(), not the class ClassicToken",
            ),
            ({"source": "stable"}, "source must be a token source such as ClassicToken(), not a str"),
            ({"source": object()}, "source must be a token source such as ClassicToken(), not an object"),
            (
                {
                    "source": SimpleNamespace(
                        kind="a", timeout=1.0, refresh_ahead=1.0, revokes_previous=False, fetch=print
                    )
                },
                "source must be a token source such as ClassicToken(), not a SimpleNamespace",
            ),
            (
                {"store": SimpleNamespace(shared=False, load=print, save=None)},
                "store must be a token store such as MemoryStore(), not a SimpleNamespace",
            ),
            ({"store": MemoryStore}, "store must be a token store such as MemoryStore(), not the class MemoryStore"),
            ({"store": {}}, "store must be a token store such as MemoryStore(), not a dict"),
            (
                {"store": "redis://localhost"},
                "store must be a token store such as MemoryStore(), not a str. For a URL there is store_from_url(url)",
            ),
            ({"follow": True}, "follow=True never fetches, so give it the store= that another service writes"),
            ({"timeout": 0}, "timeout must be a positive number of seconds"),
            ({"timeout": -1}, "timeout must be a positive number of seconds"),
            ({"timeout": None}, "timeout must be a positive number of seconds"),
            ({"timeout": "10"}, "timeout must be a positive number of seconds"),
            ({"timeout": True}, "timeout must be a positive number of seconds"),
            ({"timeout": math.inf}, "timeout must be a positive number of seconds"),
            ({"timeout": math.nan}, "timeout must be a positive number of seconds"),
            ({"refresh_after": 0}, "refresh_after must be a positive number of seconds"),
            ({"refresh_after": -3600}, "refresh_after must be a positive number of seconds"),
            ({"refresh_after": "3600"}, "refresh_after must be a positive number of seconds"),
            ({"refresh_after": True}, "refresh_after must be a positive number of seconds"),
            ({"refresh_after": math.nan}, "refresh_after must be a positive number of seconds"),
            ({"observers": [print, None]}, "An observer is a function of one event, not NoneType"),
            ({"observers": print}, "observers must be a list of functions, as in observers=[function]"),
            ({"observers": "print"}, "observers must be a list of functions, as in observers=[function]"),
        ],
    )
    def test_wrong(self, options: dict[str, Any], message: str) -> None:
        """A wrong argument is named where it is given, with what to give instead."""
        with pytest.raises(ConfigurationError) as caught:
            TokenProvider(Account("wx1", SECRET), **options)

        assert f"{message}." == str(caught.value)

    @pytest.mark.parametrize("kind", ["function", "partial", "method", "object"])
    def test_asynchronous_observer(self, kind: str) -> None:
        """An observer that somebody would have to await is refused, in whatever it is wrapped."""

        async def observe(event: object) -> None: ...

        class Observing:
            async def __call__(self, event: object) -> None: ...

            async def observe(self, event: object) -> None: ...

        observer: Any = {
            "function": observe,
            "partial": partial(observe),
            "method": Observing().observe,
            "object": Observing(),
        }[kind]
        with pytest.raises(ConfigurationError, match="must not be async"):
            TokenProvider(Account("wx1", SECRET), observers=[print, observer])

    @pytest.mark.parametrize("account", [None, "wx1", ("wx1", SECRET), Account, {"appid": "wx1", "secret": SECRET}])
    def test_no_account(self, account: Any) -> None:
        """What is no account is not shown: it may be a secret."""
        with pytest.raises(ConfigurationError, match=r"account must be an Account\(appid, secret\), not ") as caught:
            TokenProvider(account)

        assert SECRET not in str(caught.value)

    @pytest.mark.parametrize("options", [{"token": 1}, {"refreshafter": 3600}, {"expires_in": 7200}])
    def test_unknown(self, options: dict[str, Any]) -> None:
        """A misspelt option is an error, not ignored."""
        with pytest.raises(TypeError):
            TokenProvider(Account("wx1", SECRET), **options)

    def test_options_are_named(self) -> None:
        """Nothing but the account is given by position."""
        with pytest.raises(TypeError):
            TokenProvider(Account("wx1", SECRET), StableToken())  # type: ignore[call-arg]

    def test_fetches_nothing(self, world: World) -> None:
        """Making a provider asks nobody, and starts no thread."""
        before = threading.active_count()
        world.provider()

        assert (0, before) == (world.source.fetches, threading.active_count())

    def test_slow_source(self, world: World) -> None:
        """A source may take its time where no other process waits for it."""
        world.source.timeout = 60.0
        world.provider(store=MemoryStore())
        world.provider(store=None)

    def test_default_source(self) -> None:
        """Without a source it is WeChat's recommendation."""
        assert TokenProvider(Account("wx1", SECRET)).status().kind == StableToken.kind == "stable"

    def test_no_new_attributes(self, world: World) -> None:
        """A misspelt attribute is an error."""
        with pytest.raises(AttributeError):
            world.provider().time_out = 5  # type: ignore[attr-defined]

    def test_unhashable_source(self, world: World) -> None:
        """A source of the user's that is a plain dataclass with a dict in it works, or is refused in words."""

        class Unhashable(EndlessSource):
            __hash__ = None  # type: ignore[assignment]  # as @dataclass makes it

        try:
            token = world.provider(source=Unhashable()).get_token()
        except ConfigurationError:
            return

        assert world.token(1) == token


class TestGetToken:
    def test_first(self, world: World, get: Callable[..., str]) -> None:
        """The first caller gets the token that it has caused."""
        assert world.token(1) == get(world.provider())

    def test_again(self, world: World, get: Callable[..., str]) -> None:
        """The second costs nothing."""
        provider = world.provider()

        assert [world.token(1)] * 3 == [get(provider) for _ in range(3)]
        assert world.source.fetches == 1

    def test_no_cache(self, world: World, get: Callable[..., str]) -> None:
        """Without a cache every call fetches, as in the article's fourth form."""
        provider = world.provider(cache=False)

        assert [world.token(number) for number in (1, 2, 3)] == [get(provider) for _ in range(3)]

    def test_no_cache_with_a_store(self, world: World, get: Callable[..., str]) -> None:
        """With a store it is the store that is asked every time."""
        store = MemoryStore(clock=world.clock)
        provider = world.provider(cache=False, store=store)

        assert [world.token(1)] * 3 == [get(provider) for _ in range(3)]

    @pytest.mark.parametrize(("age", "fetches"), [(3599.0, 1), (3600.0, 2)])
    def test_refresh_after(self, world: World, get: Callable[..., str], age: float, fetches: int) -> None:
        """A token of that age is renewed, though its end is far; the caller who causes it does not wait."""
        provider = world.provider(refresh_after=3600)
        get(provider)
        world.clock.advance(age)
        during = get(provider)
        landed()

        assert (world.token(1), fetches) == (during, world.source.fetches)
        assert world.token(fetches) == get(provider)

    def test_ahead_waits_for_no_thread(
        self, world: World, get: Callable[..., str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Near the end nobody waits, not even for the refresh's thread to get its first turn."""
        provider = world.provider()
        get(provider)
        landed()
        world.clock.advance(7199.0)
        turn, start = threading.Event(), threading.Thread.start

        def late(thread: threading.Thread) -> None:
            if thread.name == "wxmiddleware-refresh":
                assert turn.wait(20)
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", late)
        assert [world.token(1)] * 3 == [get(provider) for _ in range(3)]
        assert world.source.fetches == 1
        turn.set()
        landed()
        assert world.token(2) == get(provider)

    def test_decides_only(self, world: World, get: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
        """Under the lock nothing is asked of the system: it would let others run, and they would wait for the lock."""
        held: list[bool] = []

        def asked(answer: Any) -> Callable[..., Any]:
            def of_the_system(*_: object) -> Any:
                held.append(provider._own._lock._is_owned())  # type: ignore[attr-defined]
                return answer

            return of_the_system

        provider = world.provider(random=asked(0.0))
        monkeypatch.setattr("wxmiddleware._runtime.process.name", asked("host/1/1/-/"))
        monkeypatch.setattr("secrets.token_hex", asked("00"))
        get(provider)
        landed()
        world.clock.advance(7199.0)
        get(provider)
        landed()
        world.clock.advance(10.0)  # not in the first seconds of its life
        get(provider, world.token(2))
        landed()

        assert world.source.fetches == 3
        assert len(held) >= 3 * 3
        assert not any(held)

    def test_rejected(self, world: World, get: Callable[..., str]) -> None:
        """A rejected token is replaced."""
        provider = world.provider()

        assert world.token(2) == get(provider, get(provider))

    def test_late_rejection(self, world: World, get: Callable[..., str]) -> None:
        """A token that was replaced already costs nothing when it is rejected."""
        provider = world.provider()
        first = get(provider)
        second = get(provider, first)

        assert second == get(provider, first) == get(provider, "of somebody else")
        assert world.source.fetches == 2

    @pytest.mark.parametrize("rejected", [b"T", 5, True, ["T"]])
    def test_wrong_rejected(self, world: World, get: Callable[..., str], rejected: Any) -> None:
        """A rejected token that is no text is a mistake in the program."""
        with pytest.raises(TypeError, match="rejected must be the rejected token, a str"):
            get(world.provider(), rejected)

    @pytest.mark.parametrize(
        ("cause", "kind"),
        [(Cause.TRANSIENT, TokenUnavailable), (Cause.QUOTA, TokenUnavailable), (Cause.PERMANENT, TokenRefused)],
    )
    def test_failure(self, world: World, get: Callable[..., str], cause: Cause, kind: type[TokenError]) -> None:
        """A failure reaches the caller as an error with all that is known; the next call does not ask again."""
        world.source.answer(Failure(cause, "No.", errcode=40013, errmsg="invalid appid", rid="a-b-c"))
        provider = world.provider()
        errors = []
        for _ in range(2):
            with pytest.raises(
                kind, match=r"^No\. The next try is in \d+ s\.( If it is mended already, .*)?$"
            ) as caught:
                get(provider)
            errors.append(caught.value)

        assert world.source.fetches == 1
        assert errors[0] is not errors[1]
        assert {(40013, "invalid appid", "a-b-c")} == {(e.errcode, e.errmsg, e.rid) for e in errors}
        assert errors[0].__context__ is errors[0].__cause__ is None

    def test_source_that_raises(self, world: World, get: Callable[..., str]) -> None:
        """A mistake in a source of the user's is an error of ours, and its text stays where it is."""

        def broken(account: Account, *, force: bool = False) -> Grant:
            raise ZeroDivisionError(account.secret)

        world.source.fetch = broken  # type: ignore[method-assign]
        with pytest.raises(TokenUnavailable, match="broke off with ZeroDivisionError"):
            get(world.provider())


class TestTimeout:
    @pytest.fixture
    def hanging(self, world: World) -> Iterator[World]:
        go_on = threading.Event()

        def hang(account: Account, *, force: bool = False) -> Grant:
            go_on.wait(20)
            return Grant(world.token(1), 7200)

        world.source.fetch = hang  # type: ignore[method-assign]
        yield world
        go_on.set()

    @pytest.mark.parametrize("timeout", [0, 0.02])
    def test_of_the_call(self, hanging: World, get: Callable[..., str], timeout: float) -> None:
        """A caller waits no longer than it says; the refresh goes on."""
        with pytest.raises(TokenUnavailable, match=rf"^No token came within {timeout} s; the refresh goes on\."):
            get(hanging.provider(), timeout=timeout)

    def test_together(self, hanging: World) -> None:
        """Requests wait together for a refresh that hangs as long as one would; the later ones do not wait again."""
        provider = hanging.provider()
        assert provider.peek() is None
        fresh = provider.worth_waiting(2.0)
        flight = provider._own.flight
        assert flight is not None
        flight.since -= 1.5
        later = provider.worth_waiting(2.0)
        flight.since -= 0.6

        assert 1.0 < fresh <= 2.0
        assert 0.0 <= later <= 0.5
        assert 0.0 == provider.worth_waiting(2.0)

    def test_overdue(self, hanging: World) -> None:
        """A refresh that should have ended is waited for: then a waiting caller starts another (supersedes it)."""
        provider = hanging.provider()
        assert provider.peek() is None
        flight = provider._own.flight
        assert flight is not None
        flight.since -= 100
        hanging.clock.advance(flight.due - hanging.clock())

        assert 2.0 == provider.worth_waiting(2.0)

    def test_after_a_failure(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """The refresh after one that failed is waited for only for a moment, until one succeeds."""
        go_on = threading.Event()
        answers: list[Grant | Failure] = [Failure(Cause.TRANSIENT, "No."), Grant("T", 7200)]

        def fetch(account: Account, *, force: bool = False) -> Grant | Failure:
            if len(answers) == 1:
                go_on.wait(20)
            return answers.pop(0)

        world.source.fetch = fetch  # type: ignore[method-assign]
        provider = world.provider()
        with pytest.raises(TokenUnavailable):
            provider.get_token()
        cooling = provider.worth_waiting(2.0)
        world.clock.advance(120)
        assert provider.peek() is None
        again = provider.worth_waiting(2.0)
        monkeypatch.setattr("wxmiddleware._engine.provider.threads_freeze", lambda: True)
        frozen = provider.worth_waiting(2.0)
        go_on.set()
        landed()

        assert 2.0 == cooling  # for the reason, which is at hand
        assert again <= 0.25
        assert 2.0 == frozen  # threads run only while a request waits
        assert "T" == provider.peek()

    def test_of_the_provider(self, hanging: World, get: Callable[..., str]) -> None:
        """Else it is the provider's time."""
        with pytest.raises(TokenUnavailable, match=r"within 0\.03 s") as caught:
            get(hanging.provider(timeout=0.03))

        assert caught.value.retry_after is not None


class TestSharing:
    def test_one_account(self, world: World) -> None:
        """Providers of one account share cache and fetches."""
        tokens = [world.provider().get_token() for _ in range(5)]

        assert [world.token(1)] * 5 == tokens
        assert world.source.fetches == 1

    def test_equal_accounts(self, world: World) -> None:
        """An account is the same if its values are."""
        same = Account(world.account.appid, SECRET, base_url="https://wechat.example/")
        tokens = {world.provider().get_token(), world.provider(same).get_token()}

        assert {world.token(1)} == tokens

    def test_refresh_reaches_the_others(self, world: World) -> None:
        """A token that one has refreshed, all have."""
        one, other = world.provider(), world.provider()
        one.get_token(rejected=one.get_token())

        assert world.token(2) == other.get_token()
        assert world.source.fetches == 2

    def test_outlives_its_provider(self, world: World) -> None:
        """A provider for each request still fetches once, where the provider's store lives on."""
        store = MemoryStore(clock=world.clock)
        tokens = {world.provider(store=store).get_token() for _ in range(3)}

        assert {world.token(1)} == tokens

    def test_different_options(self, world: World) -> None:
        """Providers that differ only in how they go about it use one token."""
        tokens = [world.provider().get_token(), world.provider(refresh_after=3600).get_token()]
        tokens += [world.provider(timeout=3).get_token(), world.provider(observers=[print]).get_token()]

        assert [world.token(1)] * 4 == tokens

    def test_another_way(self, world: World) -> None:
        """Who takes another way to WeChat, or has another secret, gets the same token, and no second one is fetched."""
        store = MemoryStore(clock=world.clock)
        members = [
            world.account,
            Account(world.account.appid, SECRET, base_url="https://proxy.example/wechat"),
            Account(world.account.appid, SECRET, base_url="http://gateway.internal", realm="wechat"),
            Account(world.account.appid, SECRET[::-1]),
        ]

        assert {world.token(1)} == {world.provider(account, store=store).get_token() for account in members}
        assert [world.account] == world.source.asked

    @pytest.mark.parametrize(
        "other",
        [
            lambda one: Account(f"{one.appid}x", SECRET, base_url=one.base_url),
            lambda one: Account(one.appid, SECRET, base_url="http://other.example"),
            lambda one: Account(one.appid, SECRET, realm="private"),
        ],
        ids=["appid", "simulator", "realm"],
    )
    def test_different_accounts(self, world: World, other: Callable[[Account], Account]) -> None:
        """Another AppID or WeChat shares nothing, not even in one store."""
        store = MemoryStore(clock=world.clock)
        stranger = other(world.account)
        for account in (world.account, stranger, world.account, stranger):
            world.provider(account, store=store).get_token()

        assert [world.account, stranger] == world.source.asked

    def test_different_secrets(self, world: World) -> None:
        """In the process's own memory a token is for who has its secret; a store is for all who have the store."""
        stranger = Account(world.account.appid, SECRET[::-1], base_url=world.account.base_url)
        store = MemoryStore(clock=world.clock)
        for account in (world.account, stranger, world.account, stranger):
            world.provider(account).get_token()
        for account in (world.account, stranger):
            world.provider(account, store=store).get_token()

        assert [world.account, stranger, world.account] == world.source.asked

    def test_without_a_secret(self, world: World) -> None:
        """Who may fetch needs a secret; that is said at construction."""
        account = Account(world.account.appid)
        with pytest.raises(ConfigurationError, match="follow=True"):
            world.provider(account)
        with pytest.raises(ConfigurationError, match="follow=True"):
            world.provider(account, store=MemoryStore())

        assert world.provider(account, store=MemoryStore(), follow=True)

    def test_different_kinds(self, world: World) -> None:
        """Tokens of another endpoint are other tokens."""
        store, other = MemoryStore(clock=world.clock), EndlessSource(kind="other")
        world.provider(store=store).get_token()
        world.provider(store=store, source=other).get_token()

        assert (1, 1) == (world.source.fetches, other.fetches)

    def test_different_stores(self, world: World) -> None:
        """What is to be kept in two places is not shared behind their back."""
        for _ in range(2):
            world.provider(store=MemoryStore(clock=world.clock)).get_token()

        assert world.source.fetches == 2


class TestFollow:
    def test_takes_what_is_there(self, world: World, get: Callable[..., str]) -> None:
        """Who follows uses the token that another service has put into the store."""
        store, source = MemoryStore(clock=world.clock), EndlessSource()
        world.provider(store=store).get_token()

        assert world.token(1) == get(world.provider(store=store, source=source, follow=True))
        assert source.fetches == 0

    def test_never_fetches(self, world: World, get: Callable[..., str]) -> None:
        """With nothing in the store there is an error, and no fetch."""

        def sleep(seconds: float) -> None:
            world.clock.advance(seconds)

        follower = world.provider(store=MemoryStore(clock=world.clock), follow=True, sleep=sleep)
        with pytest.raises(TokenUnavailable, match="has not put a token into the store yet"):
            get(follower)

        assert world.source.fetches == 0


class TestObservers:
    def test_told(self, world: World) -> None:
        """An observer is told what its provider's token does."""
        seen: list[TokenEvent] = []
        world.provider(observers=[seen.append]).get_token()
        landed()

        assert [EventType.FETCH_BEGUN, EventType.FETCH_DONE] == [event.name for event in seen]
        assert {(world.account.appid, "fake", "first", 1000.0)} == {(e.appid, e.kind, e.reason, e.at) for e in seen}

    def test_all_providers_of_an_account(self, world: World) -> None:
        """What one causes, the observers of all are told."""
        one: list[TokenEvent] = []
        two: list[TokenEvent] = []
        first, _second = world.provider(observers=[one.append]), world.provider(observers=[two.append])
        first.get_token()
        landed()

        assert one == two != []

    def test_closed(self, world: World) -> None:
        """A closed provider's observers are told nothing more; another's are."""
        one: list[TokenEvent] = []
        two: list[TokenEvent] = []
        first, second = world.provider(observers=[one.append]), world.provider(observers=[two.append])
        first.close()
        second.get_token()
        landed()

        assert [] == one
        assert [] != two

    def test_twice(self, world: World) -> None:
        """One observer of two providers is told until both are closed."""
        seen: list[TokenEvent] = []
        first, second = world.provider(observers=[seen.append]), world.provider(observers=[seen.append])
        first.close()
        first.close()
        second.get_token()
        landed()

        assert len(seen) == 2

    def test_forgotten(self, world: World) -> None:
        """A provider that nobody has any more leaves nothing behind."""
        seen: list[TokenEvent] = []
        keeps = world.provider()
        for _ in range(100):
            world.provider(observers=[seen.append])
        keeps.get_token()
        landed()

        assert [] == seen


class TestClose:
    @pytest.mark.parametrize(
        "use",
        [
            TokenProvider.get_token,
            lambda provider: provider.get_token(rejected="T"),
            lambda provider: anyio.run(provider.aget_token),
            lambda provider: anyio.run(provider.aget_token, "T"),
            TokenProvider.peek,
            TokenProvider.status,
            TokenProvider.drain,
            lambda provider: provider.confirm("T"),
            lambda provider: provider.worth_waiting(1.0),
        ],
    )
    @pytest.mark.parametrize("warm", [False, True])
    def test_refuses(self, world: World, use: Callable[[TokenProvider], object], warm: bool) -> None:
        """A closed provider gives nothing, whether it had a token or not, and says what to do."""
        provider = world.provider()
        if warm:
            provider.get_token()
        provider.close()
        with pytest.raises(ProviderClosed, match="Make a new one, or close it later"):
            use(provider)

        assert world.source.fetches == warm

    def test_twice(self, world: World) -> None:
        """Closing it again does nothing."""
        provider = world.provider()
        provider.close()
        provider.close()

        assert provider.closed

    def test_others_go_on(self, world: World) -> None:
        """Other providers of the account keep their token."""
        one, other = world.provider(), world.provider()
        one.get_token()
        one.close()

        assert world.token(1) == other.get_token()
        assert world.source.fetches == 1

    def test_context_manager(self, world: World) -> None:
        """It is closed at the end of a with block, also of one that raises."""
        provider = world.provider()
        with pytest.raises(ZeroDivisionError), provider as entered:
            raise ZeroDivisionError

        assert entered is provider
        assert provider.closed

    @pytest.mark.parametrize("backend", ["asyncio", "trio"])
    def test_async_context_manager(self, world: World, backend: str) -> None:
        """So it is at the end of an async with block, and by aclose."""
        one, other = world.provider(), world.provider()

        async def main() -> None:
            async with one as entered:
                assert entered is one
            await other.aclose()
            await other.aclose()

        anyio.run(main, backend=backend)

        assert one.closed
        assert other.closed


class TestRepr:
    def test_open(self, world: World) -> None:
        """Its text says whose token and which kind."""
        assert f"<TokenProvider {world.account.appid} fake>" == repr(world.provider())

    def test_closed(self, world: World) -> None:
        """It says if it is closed."""
        provider = world.provider()
        provider.close()

        assert f"<TokenProvider {world.account.appid} fake closed>" == repr(provider) == str(provider)


class TestStatus:
    def status(self, world: World, state: str, *life: float | None, **changes: Any) -> Status:
        expires_in, renews_in, generation = life
        expires_at = None if expires_in is None else 1000.0 + 7200.0
        fetches = min(world.source.fetches, 1)
        given = {"backing_off": None, "failure": None, "fetches_today": fetches, "forced_today": 0, **changes}
        return Status(
            world.account.appid,
            "fake",
            "wechat.example",
            state,
            expires_in,
            expires_at,
            renews_in,
            int(generation or 0),
            **given,
        )

    def test_empty(self, world: World) -> None:
        """Before the first token there is none, and asking how it stands fetches none."""
        assert self.status(world, "empty", None, None, 0) == world.provider().status()
        assert world.source.fetches == 0

    @pytest.mark.parametrize(
        ("age", "state", "expires_in", "renews_in"),
        [
            (0.0, "fresh", 7200.0, 6600.0),
            (6599.0, "fresh", 601.0, 1.0),
            (6600.0, "ahead", 600.0, 0.0),
            (7199.0, "ahead", 1.0, 0.0),
            (7200.0, "expired", 0.0, 0.0),
            (9999.0, "expired", 0.0, 0.0),
        ],
    )
    def test_life(self, world: World, age: float, state: str, expires_in: float, renews_in: float) -> None:
        """It tells what is left of the token's life."""
        provider = world.provider()
        provider.get_token()
        world.clock.advance(age)

        assert self.status(world, state, expires_in, renews_in, 1_000_000_000) == provider.status()

    def test_cooling(self, world: World) -> None:
        """It tells that WeChat is left alone, for how long and why."""
        world.source.answer(Failure(Cause.PERMANENT, "The secret is wrong."))
        provider = world.provider()
        with pytest.raises(TokenRefused):
            provider.get_token()
        world.clock.advance(20)

        expected = self.status(world, "empty", None, None, 0, backing_off=40.0, failure="The secret is wrong.")
        assert expected == provider.status()

    def test_cooled_down(self, world: World) -> None:
        """When the time is over it is not mentioned any more."""
        world.source.answer(Failure(Cause.PERMANENT, "The secret is wrong."))
        provider = world.provider()
        with pytest.raises(TokenRefused):
            provider.get_token()
        world.clock.advance(60)

        assert self.status(world, "empty", None, None, 0) == provider.status()

    def test_silent(self, world: World) -> None:
        """It never holds the token."""
        provider = world.provider()

        assert provider.get_token() not in repr(provider.status())


class TestPeek:
    def test_at_hand(self, world: World) -> None:
        """The token that is there is given at once."""
        provider = world.provider()
        provider.get_token()

        assert world.token(1) == provider.peek()

    def test_nothing_there(self, world: World) -> None:
        """Without one it gives None, and one is fetched meanwhile."""
        provider = world.provider()
        first = provider.peek()
        landed()

        assert first is None
        assert (world.token(1), 1) == (provider.peek(), world.source.fetches)

    def test_near_the_end(self, world: World) -> None:
        """Near its end the token is still given, and the next one fetched meanwhile."""
        provider = world.provider()
        provider.get_token()
        world.clock.advance(6600)
        first = provider.peek()
        landed()

        assert [world.token(1), world.token(2)] == [first, provider.peek()]

    def test_failed(self, world: World) -> None:
        """While WeChat is left alone there is none, and no error."""
        world.source.answer(Failure(Cause.PERMANENT, "No."))
        provider = world.provider()
        with pytest.raises(TokenRefused):
            provider.get_token()

        assert provider.peek() is None
        assert world.source.fetches == 1


class TestSettle:
    @pytest.mark.parametrize("freeze", [False, True])
    def test_waits(self, world: World, monkeypatch: pytest.MonkeyPatch, freeze: bool) -> None:
        """Where threads freeze it lets the refresh come to its end; elsewhere it does not wait."""
        waits: list[float] = []
        go_on = threading.Event()

        def hang(account: Account, *, force: bool = False) -> Grant:
            go_on.wait(20)
            return Grant("T", 7200)

        monkeypatch.setattr("wxmiddleware._engine.provider.threads_freeze", lambda: freeze)
        monkeypatch.setattr(Flight, "wait", lambda _, timeout: waits.append(timeout))
        world.source.fetch = hang  # type: ignore[method-assign]
        provider = world.provider(timeout=7)
        provider.peek()
        provider.drain()
        go_on.set()

        assert ([7.0] if freeze else []) == waits

    def test_nothing_under_way(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without a refresh there is nothing to do."""
        monkeypatch.setattr("wxmiddleware._engine.provider.threads_freeze", lambda: True)
        world.provider().drain()

        assert world.source.fetches == 0


def test_confirm(world: World) -> None:
    """A healed call is told to the observers."""
    seen: list[TokenEvent] = []
    provider = world.provider(observers=[seen.append])
    token = provider.get_token()
    landed()
    provider.confirm(token)

    assert seen[-1].name is EventType.HEALED


class TestCheapestClock:
    """The hot path goes by `time.monotonic`, which a suspended machine stops, and looks up once a second."""

    @pytest.fixture
    def seconds(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
        """Both clocks in the test's hand: the process's, and the cheapest."""
        seconds = {"process": 1000.0, "cheapest": 50.0}
        monkeypatch.setattr("wxmiddleware._engine.token.ticks_of", lambda clock: lambda: seconds["cheapest"])
        return seconds

    @pytest.fixture
    def asked(self, seconds: dict[str, float]) -> list[float]:
        """When the process's clock was read."""
        return []

    @pytest.fixture
    def provider(self, seconds: dict[str, float], asked: list[float]) -> TokenProvider:
        """One with a fresh token."""

        def clock() -> float:
            asked.append(seconds["process"])
            return seconds["process"]

        account, source = Account("wx0123456789abcdef", "secret"), ScriptedSource("T1", "T2")
        provider = TokenProvider(account, source=source, runtime=Runtime(clock=clock))
        provider.get_token()
        asked.clear()
        return provider

    def test_looks_up_once_a_second(
        self, provider: TokenProvider, seconds: dict[str, float], asked: list[float]
    ) -> None:
        """Within a second the process's clock is not read; then it is, once, and nothing else is done."""
        for _ in range(40):
            seconds["process"] += 0.125
            seconds["cheapest"] += 0.125
            assert "T1" == provider.get_token()

        assert 1 <= len(set(asked)) <= 5

    def test_suspended(self, provider: TokenProvider, seconds: dict[str, float]) -> None:
        """A token that ended while the machine slept is handed out for a second at most."""
        seconds["process"] += 8000.0
        seconds["cheapest"] += 1.0

        assert "T2" == provider.get_token()

    def test_rejected(self, provider: TokenProvider, seconds: dict[str, float]) -> None:
        """A rejection counts at once, also within the second."""
        assert "T2" == provider.get_token("T1")
        assert "T2" == provider.get_token()
