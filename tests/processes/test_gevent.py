"""
Greenlets instead of threads, in a program patched by gevent: what ``test_herds.py`` shows of threads holds here.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.prelude import SharedClock
from support.program import Program

from wxmiddleware.simulator import WeChat

from .conftest import PATHS, StartProgram

pytest.importorskip("gevent", reason="gevent is not installed")

STABLE = PATHS["stable"]

PATCHED = """
    from gevent import monkey
    monkey.patch_all()

    import gc
    import json
    import gevent
    from gevent.fileobject import FileObject
    from gevent.threadpool import ThreadPool
    from support.prelude import *
    from wxmiddleware.exceptions import TokenError

    fetched = gevent.event.Event()
    provider = make_provider(observers=[lambda event: event.name == "fetch_done" and fetched.set()])
    stdin = FileObject(sys.stdin.fileno(), "r", closefd=False)  # other greenlets go on while this one hears

    def hear():
        return stdin.readline().strip()

    def ask(rejected=None):
        try:
            return provider.get_token(rejected)
        except TokenError as error:
            return f"{type(error).__name__}: {error}"
"""

HERD = (
    PATCHED
    + """
    def greenlets(rejected):
        asking = [gevent.spawn(ask, rejected) for _ in range(64)]
        gevent.joinall(asking)
        return [each.value for each in asking]

    def threads(rejected):
        answers = []
        asking = [threading.Thread(target=lambda: answers.append(ask(rejected))) for _ in range(64)]
        for each in asking:
            each.start()
        for each in asking:
            each.join()
        return answers

    herd = {"greenlets": greenlets, "threads": threads}[sys.argv[1]]
    while (line := hear()) != "end":
        if line == "await fetch":
            fetched.wait()
            say("fetched")
        else:
            fetched.clear()
            say(json.dumps(herd(line or None)))
    """
)


@pytest.fixture
def wechat_clock(shared_clock: SharedClock) -> SharedClock:
    return shared_clock


class Herd:
    """64 callers in another process, who ask all at once whenever they are told to."""

    def __init__(self, running: Program) -> None:
        self.running = running

    def __call__(self, rejected: str = "") -> list[Any]:
        self.running.say(rejected)
        answers: list[Any] = json.loads(self.running.hear())
        assert len(answers) == 64
        return answers

    def await_fetch(self) -> None:
        self.running.say("await fetch")
        assert self.running.hear() == "fetched"

    def end(self) -> None:
        self.running.say("end")
        assert self.running.end() == []


# Threads of a patched program are greenlets, too. Native ones (gevent's pool) that contend for a lock with greenlets
# hang by gevent's own doing, with any `threading.Lock`; so there is no herd of both.
@pytest.fixture(params=["greenlets", "threads"])
def herd(program: StartProgram, wechat: WeChat, request: pytest.FixtureRequest) -> Herd:
    wechat.token_latency = 0.2
    return Herd(program(HERD, request.param))


def test_cold(herd: Herd, wechat: WeChat) -> None:
    """All who come when there is no token get the one that a single fetch brings."""
    answers = herd()

    assert set(answers) == {wechat.current(slot="stable")}
    assert (wechat.fetches(), wechat.minted()) == (1, 1)
    herd.end()


def test_ahead(herd: Herd, wechat: WeChat, shared_clock: SharedClock) -> None:
    """All who come near a token's end have it at once, while a single fetch of the next is still under way."""
    (first,) = set(herd())
    shared_clock.advance(7200 - 200)
    hang = wechat.faults.add(STABLE, "hang", times=None)

    answers = herd()

    assert set(answers) == {first}
    assert wechat.minted() == 1
    hang.remove()
    herd.await_fetch()
    assert set(herd()) == {wechat.current(slot="stable")} != {first}
    assert (wechat.fetches(), wechat.minted()) == (2, 2)
    herd.end()


def test_expired(herd: Herd, wechat: WeChat, shared_clock: SharedClock) -> None:
    """All who come after a token's end get the next one, which a single fetch brings."""
    herd()
    shared_clock.advance(7300)

    answers = herd()

    assert set(answers) == {wechat.current(slot="stable")}
    assert (wechat.fetches(), wechat.minted()) == (2, 2)
    herd.end()


def test_refused(herd: Herd, wechat: WeChat) -> None:
    """All who report the same rejected token get the next one, which a single fetch brings."""
    (first,) = set(herd())
    wechat.steal()

    answers = herd(first)

    assert set(answers) == {wechat.current(slot="stable")} != {first}
    assert (wechat.fetches(), wechat.minted()) == (2, 1)
    herd.end()


def test_down(herd: Herd, wechat: WeChat) -> None:
    """All who need a token while WeChat is down get the same error, after a single attempt."""
    wechat.faults.add(STABLE, "errcode", times=None, errcode=-1)

    answers = herd()

    assert len(set(answers)) == 1
    assert answers[0].startswith("TokenUnavailable: ")
    assert wechat.fetches() == 1
    herd.end()


def test_killed_waiter(program: StartProgram, wechat: WeChat) -> None:
    """A killed greenlet, were it the first of all, takes the token from nobody."""
    hang = wechat.faults.add(STABLE, "hang")
    running = program(
        PATCHED
        + """
    first = gevent.spawn(ask)
    gevent.sleep(0)
    others = [gevent.spawn(ask) for _ in range(63)]
    hear()
    first.kill()
    say("killed", first.successful())
    gevent.joinall(others)
    say(*{each.value for each in others})
    """
    )
    assert wechat.wait_for(lambda: hang.hits == 1, timeout=20)
    running.say("kill")

    assert running.hear() == "killed True"
    hang.release()

    assert running.end() == [wechat.current(slot="stable")]
    assert wechat.fetches() == 1


def test_killed_flight(program: StartProgram, wechat: WeChat) -> None:
    """If the greenlet that fetches is killed itself, all who wait for it get an error, and nobody hangs."""
    hang = wechat.faults.add(STABLE, "hang")
    running = program(
        PATCHED
        + """
    waiting = [gevent.spawn(ask) for _ in range(64)]
    hear()
    (flight,) = [
        each for each in gc.get_objects() if isinstance(each, gevent.Greenlet) and each and each not in waiting
    ]
    flight.kill()
    gevent.joinall(waiting)
    say(*{each.value for each in waiting})
    """
    )
    assert wechat.wait_for(lambda: hang.hits == 1, timeout=20)

    running.say("kill")

    assert "TokenUnavailable" in running.hear()
    hang.release()


def test_flight_of_a_thread_that_left(program: StartProgram, wechat: WeChat, shared_clock: SharedClock) -> None:
    """A refresh that a native thread started and left behind, where nothing can run it, is flown by who waits."""
    running = program(
        PATCHED
        + """
    say(ask())
    hear()
    pool = ThreadPool(1)
    say(pool.spawn(ask).get())  # near its end: the thread starts a flight in a hub of its own, which then stands still
    hear()
    say(ask())
    """
    )
    first = running.hear()
    shared_clock.advance(7200 - 200)
    running.say("ahead")
    assert running.hear() == first
    shared_clock.advance(201)
    running.say("expired")

    assert running.end() == [wechat.current(slot="stable")]
