"""What is gathered for a status page: in bounded time, whatever the stores do and however many accounts there are."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from wxmiddleware import Account, Runtime, TokenProvider, TokenRefused
from wxmiddleware._engine.token import CachedToken, Status
from wxmiddleware._rules.models import Loaded
from wxmiddleware.layouts import Kept
from wxmiddleware.platform import Platform, TicketState
from wxmiddleware.pool import ProviderPool
from wxmiddleware.simulator import SimulatedClock, SimulatorServer, WeChat
from wxmiddleware.status import StatusPage
from wxmiddleware.status._gather import SHOWN_ACCOUNTS, SHOWN_STORES
from wxmiddleware.stores.jsonfile import JSONFileStore
from wxmiddleware.stores.memory import MemoryStore


class Hanging(MemoryStore):
    """A store that does not answer until it is let go."""

    shared = True

    def __init__(self) -> None:
        super().__init__()
        self.go, self.entered, self.calls = threading.Event(), threading.Event(), 0
        self.go.set()

    def load(self, key: str) -> Loaded:
        self.calls += 1
        self.entered.set()
        assert self.go.wait(60)
        return super().load(key)


class Unwritable:
    """A layout that nobody can write."""

    name = "The table of another program"

    def read(self) -> Kept | None:
        return None

    def write(self, value: str, expires_at: float) -> None:
        raise ConnectionRefusedError(value)


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    store = Hanging()
    yield store
    store.go.set()


def test_a_store_that_hangs(wechat_account: Account, hanging: Hanging) -> None:
    """The page comes all the same, says so, and leaves one thread behind, however often it is viewed."""
    with TokenProvider(wechat_account, store=hanging) as provider:
        provider.get_token()
        page = StatusPage(provider, runtime=Runtime(clock=SimulatedClock(speed=1e6)))  # each look is a new one
        known = page.facts()["accounts"][0]["fetches_today"]
        hanging.go.clear()
        hanging.calls = 0
        found = [page.facts() for _ in range(5)][-1]

        assert 1 == known
        assert not found["stores"][0]["ok"]
        assert "It has not answered for" in found["stores"][0]["problem"]
        assert "没有响应" in found["stores"][0]["said"]["zh"]
        assert 1 == found["with_token"]
        assert 1 == found["accounts"][0]["fetches_today"]  # as it was read last
        assert 1 == hanging.calls


def test_viewers_do_not_wait_for_each_other(wechat_account: Account, hanging: Hanging) -> None:
    """While one gathers, the others get what was gathered last."""
    clock = SimulatedClock()
    with TokenProvider(wechat_account, store=hanging) as provider:
        provider.get_token()
        page = StatusPage(provider, runtime=Runtime(clock=clock))
        first = page._facts()
        hanging.go.clear()
        hanging.entered.clear()
        clock.advance(2.0)
        gathering = threading.Thread(target=page.facts)
        gathering.start()
        assert hanging.entered.wait(60)
        during = page._facts()
        hanging.go.set()
        gathering.join()

    assert during is first
    assert page._facts() is not first


def test_once_a_second(wechat_account: Account, hanging: Hanging) -> None:
    """However many look."""
    clock = SimulatedClock()
    with TokenProvider(wechat_account, store=hanging) as provider:
        provider.get_token()
        hanging.calls = 0
        page = StatusPage(provider, runtime=Runtime(clock=clock))
        for _ in range(100):
            page.facts()
        once = hanging.calls
        clock.advance(1.5)
        page.facts()

    assert 2 == once  # the ping and the record
    assert 4 == hanging.calls


def test_ten_thousand(hanging: Hanging, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what is shown is looked at closely, and read."""
    looked: list[CachedToken] = []
    status = CachedToken.status

    def counted(self: CachedToken) -> Status:
        looked.append(self)
        return status(self)

    monkeypatch.setattr(CachedToken, "status", counted)
    pool = ProviderPool(lambda appid: TokenProvider(Account(appid, "s" * 32), store=hanging))
    for number in range(10_000):
        pool.get(f"wx{number:016}")
    page = StatusPage(pool)
    found = page.facts()

    assert (10_000, {"empty": 10_000}) == (found["count"], found["states"])
    assert SHOWN_ACCOUNTS == len(found["accounts"]) == len(looked)
    assert hanging.calls <= SHOWN_ACCOUNTS + 1
    assert [{"count": 10_000, "maxsize": 10_000, "states": {"empty": 10_000}, "backing_off": 0, "being_made": 0}] == (
        found["pools"]
    )
    assert b"9900 more accounts are not shown" in page.answer({}).body
    assert len(page.answer({}).body) < 400_000


def test_a_store_for_each() -> None:
    """A few of the stores are asked, and the others are counted."""
    providers = [TokenProvider(Account(f"wx{n:016}", "s" * 32), store=MemoryStore()) for n in range(20)]
    page = StatusPage(*providers)

    assert SHOWN_STORES == len(page.facts()["stores"])
    assert f"{20 - SHOWN_STORES} more stores were not asked.".encode() in page.answer({}).body


def test_those_in_trouble_come_first(wechat_account: Account, wechat: WeChat, wechat_server: SimulatorServer) -> None:
    other = wechat.add_account("wx0000000000000001", "1" * 32)
    well = TokenProvider(Account(other.appid, other.secret, base_url=wechat_server.url))
    ill = TokenProvider(Account(wechat.appid, "0" * 32, base_url=wechat_server.url))
    well.get_token()
    with pytest.raises(TokenRefused):
        ill.get_token()
    page = StatusPage(well, ill)

    assert [wechat.appid, other.appid] == [each["appid"] for each in page.facts()["accounts"]]
    text = page.answer({}, "lang=zh").body.decode()
    assert "检查开发者密码(AppSecret)" in text
    assert "errcode 40125" in text  # WeChat's own text stays beside it
    assert "2 个账号中 1 个有可用的 token" in text


def test_others_are_not_told_of(wechat_account: Account, wechat: WeChat, wechat_server: SimulatorServer) -> None:
    """A page that shows one tenant's tokens says nothing of another's."""
    other = wechat.add_account("wx0000000000000001", "1" * 32)
    with (
        TokenProvider(wechat_account) as mine,
        TokenProvider(Account(other.appid, other.secret, base_url=wechat_server.url)) as others,
    ):
        page = StatusPage(mine)
        others.get_token()
        mine.get_token()
        whose = {(other.appid, None, "stable"), (wechat.appid, None, "stable")}
        assert wechat.wait_for(lambda: len(page._history.events(whose, 9)) == 2)

        assert other.appid not in page.answer({}).body.decode()
        assert wechat.appid in page.answer({}).body.decode()


def test_a_page_that_is_gone_is_told_nothing() -> None:
    from wxmiddleware._engine.events import _everywhere

    before = len(_everywhere.observers)
    page = StatusPage(TokenProvider(Account("wx0000000000000002", "s" * 32)))
    during = len(_everywhere.observers)
    del page

    assert before + 1 == during
    assert before == len(_everywhere.observers)


def test_a_mirror_that_fails(wechat: WeChat, wechat_account: Account) -> None:
    """Also if another provider of the same token has it."""
    first = TokenProvider(wechat_account)
    with TokenProvider(wechat_account, mirrors=[Unwritable()]) as provider:
        token = provider.get_token()
        assert wechat.wait_for(lambda: any(each.problem for each in provider.mirrors()), 20.0)
        page = StatusPage(first, provider)
        mirrors = page.facts()["accounts"][0]["mirrors"]
        text = page.answer({}).body.decode()

    assert ["The table of another program"] == [each["name"] for each in mirrors]
    assert "ConnectionRefusedError" in mirrors[0]["problem"]
    assert 'class="warn">The account has a token' in text
    assert token not in text
    assert [] == provider.mirrors()


class TestPlatform:
    """A platform's ticket."""

    @pytest.fixture
    def platform(
        self, wechat: WeChat, wechat_server: SimulatorServer, wechat_clock: SimulatedClock, tmp_path: object
    ) -> Platform:
        theirs = wechat.add_platform("wxfedcba9876543210", "secret-of-the-platform")
        return Platform(
            Account(theirs.appid, theirs.secret, base_url=wechat_server.url),
            store=JSONFileStore(f"{tmp_path}/tokens.json", clock=wechat_clock),
            runtime=Runtime(clock=wechat_clock, time=wechat_clock),
        )

    def test_its_states(self, platform: Platform, wechat_clock: SimulatedClock) -> None:
        before = platform.status()
        platform.remember_ticket("ticket@@@a-very-secret-ticket")
        wechat_clock.advance(600)
        good = platform.status()
        wechat_clock.advance(3600)
        late = platform.status()
        wechat_clock.advance(12 * 3600)
        over = platform.status()

        assert (TicketState.MISSING, None) == (before.ticket, before.ticket_age)
        assert (TicketState.GOOD, 600.0) == (good.ticket, good.ticket_age)
        assert 12 * 3600 - 600 == good.ticket_ends_in
        assert TicketState.LATE is late.ticket
        assert (TicketState.OVER, 0.0) == (over.ticket, over.ticket_ends_in)
        assert "a-very-secret-ticket" not in repr(good)

    def test_on_the_page(self, platform: Platform, wechat_clock: SimulatedClock) -> None:
        platform.remember_ticket("ticket@@@a-very-secret-ticket")
        wechat_clock.advance(3600)
        page = StatusPage(platform, runtime=platform.provider.runtime)
        text, found = page.answer({}).body.decode(), page.facts()["platforms"]

        assert "late: WeChat&#39;s pushes do not arrive" in text
        assert ("late", 3600.0) == (found[0]["status"]["ticket"], found[0]["status"]["ticket_age"])
        assert "a-very-secret-ticket" not in text

    def test_a_store_that_fails(self) -> None:
        class Down(MemoryStore):
            def load(self, key: str) -> Loaded:
                raise OSError("redis://:password@host")

        platform = Platform(Account("wxfedcba9876543210", "s" * 32), store=Down(), durable=True)
        found = platform.status()

        assert TicketState.UNKNOWN is found.ticket
        assert "OSError" in (found.problem or "")
        assert "password" not in (found.problem or "")
        assert "not known: the store does not answer" in StatusPage(platform).answer({}).body.decode()


def test_an_owner_that_is_late(wechat_account: Account, wechat_clock: SimulatedClock) -> None:
    """Who only follows is told in Chinese, too, whom to look at."""
    store, runtime = MemoryStore(clock=wechat_clock), Runtime(clock=wechat_clock, time=wechat_clock)
    with TokenProvider(wechat_account, store=store, runtime=runtime) as owner:
        owner.get_token()
    with TokenProvider(wechat_account, store=store, follow=True, runtime=runtime) as follower:
        follower.get_token()
        wechat_clock.advance(7200 - 60)
        page = StatusPage(follower, runtime=runtime)

        assert "请检查负责刷新的服务" in page.answer({}, "lang=zh").body.decode()
        assert "负责刷新" not in page.answer({}, "lang=en").body.decode()


def test_pool_counts(wechat_account: Account, wechat: WeChat, wechat_server: SimulatorServer) -> None:
    made: dict[str, Callable[[], TokenProvider]] = {
        "well": lambda: TokenProvider(wechat_account),
        "ill": lambda: TokenProvider(Account("wx0000000000000009", "0" * 32, base_url=wechat_server.url)),
    }
    pool = ProviderPool(lambda appid: made[appid](), maxsize=7)
    pool.get("well").get_token()
    with pytest.raises(TokenRefused):
        pool.get("ill").get_token()
    status = pool.status()

    assert (2, 7, 1, 0) == (status.count, status.maxsize, status.backing_off, status.being_made)
    assert {"fresh": 1, "empty": 1} == status.states
