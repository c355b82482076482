"""
Many callers, one fetch: against the simulated WeChat over real sockets.

It is at its strictest (a new token kills the one before at once) and takes 0.2 s for a fetch. Greenlets are in
``test_gevent.py``. Time stands still unless a test moves it.
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import anyio
import pytest
import requests

from wxmiddleware import Account, Runtime, TokenEvent, TokenProvider, with_token
from wxmiddleware.exceptions import TokenUnavailable
from wxmiddleware.simulator import SimulatedClock, WeChat
from wxmiddleware.sources import ClassicToken, StableToken, TokenSource

from . import herds
from .conftest import PATHS
from .herds import HERDS, Herd

LATENCY = 0.2
USERS = "/cgi-bin/user/get"
SOURCES: dict[str, Callable[[], TokenSource]] = {"stable": StableToken, "classic": ClassicToken}


# For what has nothing to do with the source.
ONE_SOURCE = pytest.mark.parametrize("source", ["stable"], indirect=True)


@pytest.fixture(params=list(SOURCES))
def source(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=list(HERDS))
def herd(request: pytest.FixtureRequest) -> Herd:
    """Let many ask at once, and check that every one of them got an answer."""
    ask, count = HERDS[request.param]

    def checked(*args: Any, **kwargs: Any) -> herds.Answers:
        answers = ask(*args, **kwargs)
        assert len(answers) == count
        return answers

    return checked


@pytest.fixture
def provider(wechat: WeChat, wechat_account: Account, wechat_clock: SimulatedClock, source: str) -> TokenProvider:
    wechat.token_latency = LATENCY
    return TokenProvider(
        wechat_account, source=SOURCES[source](), runtime=Runtime(clock=wechat_clock, time=wechat_clock)
    )


def warm(provider: TokenProvider, wechat: WeChat) -> str:
    """Let the provider fetch its first token, which is not what the test is about: quickly, and not counted."""
    wechat.token_latency = 0.0
    token = provider.get_token()
    wechat.token_latency = LATENCY
    wechat.reset_counters()
    return token


def counted(wechat: WeChat) -> tuple[int, int]:
    return wechat.fetches(), wechat.minted()


def test_cold(herd: Herd, provider: TokenProvider, wechat: WeChat, source: str) -> None:
    """All who come when there is no token get the one that a single fetch brings."""
    answers = herd(provider)

    assert set(answers) == {wechat.current(slot=source)}
    assert counted(wechat) == (1, 1)


def test_ahead(herd: Herd, provider: TokenProvider, wechat: WeChat, wechat_clock: SimulatedClock, source: str) -> None:
    """All who come near a token's end have it at once, while a single fetch of the next is still under way."""
    first = warm(provider, wechat)
    wechat_clock.advance(7200 - 200)
    hang = wechat.faults.add(PATHS[source], "hang", times=None)

    answers = herd(provider)

    assert set(answers) == {first}
    assert wechat.wait_for(lambda: hang.hits == 1)
    assert counted(wechat) == (0, 0)  # nobody has waited for it: it has no answer yet
    hang.remove()
    assert wechat.wait_for(lambda: wechat.in_progress == 0)
    assert counted(wechat) == (1, 1)
    assert hang.hits == 1


def test_ahead_then_fresh(provider: TokenProvider, wechat: WeChat, wechat_clock: SimulatedClock, source: str) -> None:
    """What was fetched ahead is handed out as soon as it is there."""
    done = threading.Event()

    def note(event: TokenEvent) -> None:
        if event.reason == "ahead" and event.name == "fetch_done":
            done.set()

    provider = TokenProvider(
        provider.account,
        source=SOURCES[source](),
        runtime=Runtime(clock=wechat_clock, time=wechat_clock),
        observers=[note],
    )
    first = warm(provider, wechat)
    wechat_clock.advance(7200 - 200)
    herds.threads(provider)
    assert done.wait(20)

    answers = herds.threads(provider)

    assert set(answers) == {wechat.current(slot=source)} != {first}
    assert counted(wechat) == (1, 1)


def test_expired(
    herd: Herd, provider: TokenProvider, wechat: WeChat, wechat_clock: SimulatedClock, source: str
) -> None:
    """All who come after a token's end get the next one, which a single fetch brings."""
    warm(provider, wechat)
    wechat_clock.advance(7300)

    answers = herd(provider)

    assert set(answers) == {wechat.current(slot=source)}
    assert counted(wechat) == (1, 1)


# What happened to the token, and what a client has to do then: (fetches, minted).
REFUSALS = {
    # Normal mode names the thief's token as the current one, and that one is good.
    ("stable", "stolen"): (1, 0),
    ("stable", "revoked"): (1, 1),
    # Normal mode goes on naming the dead one, so the flight asks again, in forced mode.
    ("stable", "revoked and sticky"): (2, 1),
    ("classic", "stolen"): (1, 1),
    ("classic", "revoked"): (1, 1),
}


@pytest.mark.parametrize(("source", "fate"), list(REFUSALS), indirect=["source"])
def test_refused(herd: Herd, provider: TokenProvider, wechat: WeChat, source: str, fate: str) -> None:
    """All who report the same rejected token get the next one, which a single flight brings."""
    token = warm(provider, wechat)
    wechat.stable_sticky = fate.endswith("sticky")
    if fate == "stolen":
        wechat.steal()
    else:
        wechat.revoke()
    wechat.reset_counters()

    answers = herd(provider, rejected=token)

    (healed,) = set(answers)
    assert wechat.is_valid(str(healed)), healed
    assert counted(wechat) == REFUSALS[source, fate]


def test_refused_late(herd: Herd, provider: TokenProvider, wechat: WeChat, source: str) -> None:
    """A rejection of a token that has been replaced meanwhile costs nothing."""
    token = warm(provider, wechat)
    wechat.token_latency = 0.0
    wechat.steal()
    healed = provider.get_token(rejected=token)
    wechat.reset_counters()

    answers = herd(provider, rejected=token)

    assert set(answers) == {healed}
    assert counted(wechat) == (0, 0)


def test_several_providers(provider: TokenProvider, wechat: WeChat, wechat_clock: SimulatedClock, source: str) -> None:
    """Threads with a provider each share one fetch, too."""
    answers: herds.Answers = []
    shared, runtime = SOURCES[source](), Runtime(clock=wechat_clock, time=wechat_clock)
    others = [TokenProvider(provider.account, source=shared, runtime=runtime) for _ in range(64)]

    herds.together(*[herds.thread_work(other, answers, None) for other in others])

    assert answers == [wechat.current(slot=source)] * 64
    assert counted(wechat) == (1, 1)


@pytest.fixture
def expired(provider: TokenProvider, wechat: WeChat, wechat_clock: SimulatedClock, source: str) -> TokenProvider:
    """A provider whose token is over, at a time when WeChat is too busy (-1)."""
    warm(provider, wechat)
    wechat_clock.advance(7300)
    wechat.faults.add(PATHS[source], "errcode", times=None, errcode=-1)
    return provider


def test_down(herd: Herd, expired: TokenProvider, wechat: WeChat) -> None:
    """All who need a token while WeChat is down get the same error, after a single attempt."""
    answers = herd(expired)

    assert {type(answer) for answer in answers} == {TokenUnavailable}
    assert len({str(answer) for answer in answers}) == 1
    assert wechat.fetches() == 1


@ONE_SOURCE
def test_down_second_wave(herd: Herd, expired: TokenProvider, wechat: WeChat) -> None:
    """All who come while a failure is remembered get it told without an attempt."""
    herd(expired)
    wechat.reset_counters()

    answers = herd(expired)

    assert len({str(answer) for answer in answers}) == 1
    assert isinstance(answers[0], TokenUnavailable)
    assert answers[0].errcode == -1
    assert wechat.fetches() == 0


@ONE_SOURCE
def test_back(herd: Herd, expired: TokenProvider, wechat: WeChat, wechat_clock: SimulatedClock, source: str) -> None:
    """All who come after the pause, when WeChat is back, get a token that a single fetch brings."""
    herd(expired)
    wechat.faults.clear()
    wechat.reset_counters()
    wechat_clock.advance(31)

    answers = herd(expired)

    assert set(answers) == {wechat.current(slot=source)}
    assert counted(wechat) == (1, 1)


def test_errors_are_their_own(expired: TokenProvider) -> None:
    """No two callers get the same exception object: each has a traceback of its own."""
    answers = herds.threads(expired)

    assert len({id(answer) for answer in answers}) == 64


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_cancelled_leader(provider: TokenProvider, wechat: WeChat, source: str, backend: str) -> None:
    """The task that came first may be cancelled: the others get the token of the same fetch."""
    hang = wechat.faults.add(PATHS[source], "hang")
    answers: herds.Answers = []
    ask = herds.task_work(provider, answers, None)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            with anyio.CancelScope() as leader:
                async with anyio.create_task_group() as first:
                    first.start_soon(ask)
                    await anyio.to_thread.run_sync(wechat.wait_for, lambda: hang.hits == 1)
                    for _ in range(63):
                        group.start_soon(ask)
                    leader.cancel()
            hang.release()

    anyio.run(main, backend=backend)

    assert answers == [wechat.current(slot=source)] * 63
    assert counted(wechat) == (1, 1)


def test_impatient_callers(provider: TokenProvider, wechat: WeChat, source: str) -> None:
    """Callers that do not wait get an error at once; the fetch goes on and serves the patient."""
    hang = wechat.faults.add(PATHS[source], "hang")

    for _ in range(64):
        with pytest.raises(TokenUnavailable):
            provider.get_token(timeout=0)
    assert wechat.wait_for(lambda: hang.hits == 1)
    hang.release()

    assert provider.get_token() == wechat.current(slot=source)
    assert counted(wechat) == (1, 1)


@pytest.fixture
def frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that are started for a flight and never run, as in uWSGI without threads."""
    begin = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        if thread.name != "wxmiddleware-refresh":
            begin(thread)

    monkeypatch.setattr(threading.Thread, "start", start)


@ONE_SOURCE
@pytest.mark.usefixtures("frozen")
def test_thread_that_never_runs(herd: Herd, provider: TokenProvider, wechat: WeChat, source: str) -> None:
    """Where a flight's thread does not run, one of those who wait runs the flight."""
    answers = herd(provider)

    assert set(answers) == {wechat.current(slot=source)}
    assert counted(wechat) == (1, 1)


# A token that WeChat refuses for ever


@pytest.fixture
def users(provider: TokenProvider, wechat_account: Account, wechat: WeChat) -> Callable[[], dict[str, Any]]:
    """A decorated call of an API that refuses every token."""
    warm(provider, wechat)
    wechat.token_latency = 0.0
    wechat.faults.add(USERS, "errcode", times=None, errcode=40001)

    @with_token(provider)
    def users(access_token: str) -> dict[str, Any]:
        answer = requests.get(wechat_account.base_url + USERS, params={"access_token": access_token}, timeout=20)
        return dict(answer.json())

    return users


def test_refused_for_ever(users: Callable[[], dict[str, Any]], wechat: WeChat) -> None:
    """A call that is rejected for ever is sent twice, costs one new token, and gives WeChat's own answer."""
    answer = users()

    assert answer["errcode"] == 40001
    assert "rid" in answer["errmsg"]
    assert wechat.calls(USERS) == 2
    assert wechat.minted() == 1


def test_many_rejected_calls_at_once(users: Callable[[], dict[str, Any]], wechat: WeChat, source: str) -> None:
    """500 calls within 30 s that are rejected for ever cost one refresh in all."""
    codes: Counter[int] = Counter()
    herds.together(*[lambda: codes.update(users()["errcode"] for _ in range(25))] * 20)

    assert codes == {40001: 500}
    assert wechat.minted() == 1
    # Only the stable endpoint is asked twice: normal mode names the rejected token again.
    assert wechat.fetches() == (2 if source == "stable" else 1)


def refreshes_by_rejection(seconds: float) -> int:
    """
    How many refreshes the rules (5.5) allow in so long a time of rejections.

    Ten in a row, 30 s apart; from then on 60, 120, 240, 480 and at last 600 s.
    """
    count, at = 0, 0.0
    while at <= seconds:
        count += 1
        at += 30.0 if count < 10 else min(60.0 * 2.0 ** (count - 10), 600.0)
    return count


def test_many_rejected_calls_in_a_row(
    users: Callable[[], dict[str, Any]], wechat: WeChat, wechat_clock: SimulatedClock, source: str
) -> None:
    """500 calls, 10 s apart, that are rejected for ever cost no more refreshes than the rules allow."""
    for _ in range(500):
        assert users()["errcode"] == 40001
        wechat_clock.advance(10)

    allowed = refreshes_by_rejection(5000)
    assert allowed == 20
    ahead = math.ceil(5000 / 7200)
    if source == "classic":
        assert 10 <= wechat.minted() <= allowed + ahead
        assert wechat.fetches() == wechat.minted()
    else:
        # Forced mode mints; its budget is 10 a day. Each refresh asks normal mode before.
        assert wechat.minted() <= 10 + ahead
        assert wechat.fetches() <= allowed + 10 + ahead
    assert wechat.calls(USERS) <= 500 + allowed + ahead
