"""A token is young also when nobody asks for it: `TokenProvider.keep` and what it does each time."""

from __future__ import annotations

import threading

import pytest

from wxmiddleware import Account, ConfigurationError, ProviderClosed, TokenProvider, TokenUnavailable
from wxmiddleware._engine import warmer
from wxmiddleware._engine.warmer import ask
from wxmiddleware.sources import Failure, Grant

from .world import BUSY, WRONG, World

DAY = 86_400.0
OLDEST = 7200.0 - 600.0 + 60.0  # renewed ten minutes before the end, and looked at in less than a minute


class TestAsk:
    def test_day(self, world: World) -> None:
        """Idle for a day: the token is never older than it should be, and fetched as rarely as it can."""
        world.script(*(f"T{number}" for number in range(1, 16)))
        idle = [world.elsewhere() for _ in range(8 if world.store.shared else 0)]  # workers that nobody asks all night
        provider, begun, since, last = world.provider(), world.clock(), world.clock(), None
        while world.clock() < begun + DAY:
            pause = ask(provider)
            world.drain()
            token = provider.peek()
            assert token is not None
            assert pause is not None
            if token != last:
                since, last = world.clock(), token
            assert world.clock() - since <= OLDEST
            world.advance(pause)

        assert world.issuer.fetches <= 14
        fetches = world.issuer.fetches
        assert {last} >= {world.get(worker) for worker in idle}
        assert fetches == world.issuer.fetches

    def test_two(self, world: World) -> None:
        """Of two with one store one fetches; when it is gone, the other goes on."""
        if not world.store.shared:
            pytest.skip("nobody shares it")
        world.script(*(f"T{number}" for number in range(1, 9)))
        both = [world.provider(), world.elsewhere()]
        for gone in range(2):
            end = world.clock() + DAY / 8
            while world.clock() < end:
                pauses = [ask(provider) for provider in both[gone:]]
                world.drain()
                world.advance(min(pause for pause in pauses if pause is not None))
            assert both[-1].status().state == "fresh"

        assert world.issuer.fetches == 4

    def test_back_off(self, world: World) -> None:
        """While WeChat is down it asks as seldom as any caller, and goes on by itself afterwards."""
        world.script(BUSY, "T1")
        provider = world.provider()

        first = ask(provider)
        world.drain()
        assert ask(provider) == 1.0
        world.advance(2.0)
        ask(provider)
        world.drain()

        assert (1.0, "T1", 2) == (first, provider.peek(), world.issuer.fetches)

    def test_wrong_secret(self, world: World) -> None:
        """After an error that a person must mend it looks again all the same: somebody may have mended it."""
        world.script(WRONG)
        provider = world.provider()
        ask(provider)
        world.drain()

        assert (20.0, 1) == (ask(provider), world.issuer.fetches)

    def test_closed(self, world: World) -> None:
        """Closing the provider ends it."""
        provider = world.provider()
        provider.close()

        assert ask(provider) is None


class TestKeep:
    def test_nobody_asks(self, world: World) -> None:
        """A thread asks from the beginning, and until it is closed."""
        world.script("T1")
        provider = world.provider()
        with provider.keep():
            world.issuer.wait_for(1)
            threads = [thread for thread in threading.enumerate() if thread.name == "wxmiddleware-keep"]
        for thread in threads:
            thread.join(20)

        assert (1, [False]) == (len(threads), [thread.is_alive() for thread in threads])
        assert all(thread.daemon for thread in threads)

    def test_provider_is_closed(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """The thread ends with its provider."""
        monkeypatch.setattr(warmer, "_SHORTEST", 0.001)
        monkeypatch.setattr(warmer, "_LONGEST", 0.001)
        world.script("T1")
        provider = world.provider()
        provider.keep()
        world.issuer.wait_for(1)
        (thread,) = [thread for thread in threading.enumerate() if thread.name == "wxmiddleware-keep"]
        provider.close()
        thread.join(20)

        assert not thread.is_alive()

    def test_nothing_to_keep(self) -> None:
        """Without a cache and a store each question would be a fetch."""
        with pytest.raises(ConfigurationError, match="nothing to keep"):
            TokenProvider(Account("wx1", "s"), cache=False).keep()

    def test_closed(self) -> None:
        """A provider that was closed keeps nothing."""
        provider = TokenProvider(Account("wx1", "s"))
        provider.close()
        with pytest.raises(ProviderClosed):
            provider.keep()

    def test_frozen_threads(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where threads lie frozen between requests it would keep nothing, and says what to do."""
        monkeypatch.setattr(warmer, "threads_freeze", lambda: True)
        with pytest.raises(ConfigurationError, match="enable-threads"):
            TokenProvider(Account("wx1", "s")).keep()

    def test_no_thread(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where no thread can be started, that is told at once."""
        monkeypatch.setattr(warmer, "start_thread", lambda *_: None)
        with pytest.raises(TokenUnavailable, match="No thread can be started"):
            TokenProvider(Account("wx1", "s")).keep()


class _Stopped:
    """An event that is never set; to wait for it takes no time but the test's."""

    def __init__(self) -> None:
        self.now = 100.0

    def wait(self, seconds: float) -> bool:
        self.now += seconds
        return False

    def is_set(self) -> bool:
        return False


class TestPause:
    """How a keeper waits where there may be another token: the seconds of each wait, and of all in between."""

    def pause(self, monkeypatch: pytest.MonkeyPatch, *answers: tuple[float, bool | None]) -> list[float]:
        """Let each wait at the source take so long and end so; give how long each pause took."""
        stopped, left = _Stopped(), list(answers)

        def another(seconds: float) -> bool | None:
            took, answer = left.pop(0)
            stopped.now += min(took, seconds)
            return answer

        monkeypatch.setattr(warmer, "clock", lambda: stopped.now)
        monkeypatch.setattr(warmer, "start_thread", lambda *_: object())
        keeper = warmer.Warmer(TokenProvider(Account("wx1", "s")), another)
        monkeypatch.setattr(keeper, "_stopped", stopped)
        took = []
        while left:
            began = stopped.now
            keeper._pause(20.0)
            took.append(stopped.now - began)
        return took

    def test_nowhere(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where one cannot wait it is a pause as any other."""
        assert [20.0, 20.0] == self.pause(monkeypatch, (0.0, None), (0.0, None))

    def test_in_vain(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The wait takes the whole pause."""
        assert [20.0] == self.pause(monkeypatch, (20.0, False))

    def test_news(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It ends at once when there is another token."""
        assert [3.0, 7.0] == self.pause(monkeypatch, (3.0, True), (7.0, True))

    def test_away(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Who is away, or about to end, is asked again a second later, and not sooner."""
        assert [20.0] == self.pause(monkeypatch, *[(0.0, False)] * 20)
        assert [5.0] == self.pause(monkeypatch, *[(0.0, False)] * 3, (2.0, True))

    def test_news_without_end(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What is told each time at once, as it is not taken here, is believed once a second."""
        assert [0.0, 1.0, 1.0, 1.0] == self.pause(monkeypatch, *[(0.0, True)] * 4)


class SlowHub:
    """A source whose second answer takes as long as the test wants, and that one can wait at."""

    kind, timeout, refresh_ahead, revokes_previous, can_force, cheap = "hub", 5.0, 600.0, False, False, True

    def __init__(self) -> None:
        self.asked, self.waited_with = 0, list[str]()
        self.goes_on = threading.Event()

    def fetch(self, account: Account, *, force: bool = False) -> Grant | Failure:
        self.asked += 1
        if self.asked > 1:
            self.goes_on.wait(60)
        return Grant(f"T{self.asked}", 7200.0)

    def wait_for_another(self, token: str, seconds: float) -> bool:
        self.waited_with.append(token)
        return False


def test_waits_for_a_refresh_first() -> None:
    """Who waits for another token while one is asked for waits for that, and then for the one after it."""
    source = SlowHub()
    with TokenProvider(Account("wxslow", "secret"), source=source) as provider:
        provider.get_token()
        provider._own.expect_the_end()
        provider.peek()
        found: list[bool | None] = []
        thread = threading.Thread(target=lambda: found.append(provider._own.await_another(60.0)))
        thread.start()
        source.goes_on.set()
        thread.join(60)

    assert ([False], ["T2"]) == (found, source.waited_with)
