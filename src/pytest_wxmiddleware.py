"""
pytest fixtures: a simulated WeChat for tests of services that talk to it.

Installed with wxmiddleware and found by pytest by itself. A test that uses none of them pays nothing:
wxmiddleware is imported by the fixtures, not here.
"""

from __future__ import annotations

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from wxmiddleware import Account
    from wxmiddleware.simulator import Pusher, SimulatedClock, SimulatorServer, WeChat

pytest.register_assert_rewrite("wxmiddleware.testing")  # a failing contract shows the values, too


@pytest.fixture
def wechat_clock() -> SimulatedClock:
    """
    The time at the simulated WeChat. It stands still until the test calls ``wechat_clock.advance(seconds)``.

    It starts at the real time, in whole seconds: a webhook looks at the timestamps of what is pushed to it.
    """
    import time

    from wxmiddleware.simulator import SimulatedClock

    return SimulatedClock(int(time.time()))


@pytest.fixture
def wechat(wechat_clock: SimulatedClock) -> WeChat:
    """
    A simulated WeChat with an account of its own (``wechat.appid``, ``wechat.secret``), strict: the fetch of a new
    token kills the one before at once. Set ``wechat.overlap = 300`` for WeChat's five minutes of grace.
    """
    from wxmiddleware.simulator import WeChat

    return WeChat(clock=wechat_clock, overlap=0)


@pytest.fixture
def wechat_server(wechat: WeChat) -> Iterator[SimulatorServer]:
    """
    The simulated WeChat behind a socket on a free port; ``wechat_server.url`` is the base URL.
    """
    from wxmiddleware.simulator import SimulatorServer

    with SimulatorServer(wechat) as server:
        yield server


@pytest.fixture
def wechat_account(wechat: WeChat, wechat_server: SimulatorServer) -> Account:
    """
    A ``wxmiddleware.Account`` for the simulated WeChat, ready for a ``TokenProvider``.
    """
    from wxmiddleware import Account

    return Account(wechat.appid, wechat.secret, base_url=wechat_server.url)


@pytest.fixture
def wechat_pusher(wechat: WeChat) -> Iterator[Callable[..., Pusher]]:
    """
    Make a ``Pusher`` of the simulated WeChat's: ``wechat_pusher(WSGITransport(app), token="...").text("hello")``.
    It takes the arguments of ``Pusher`` save ``wechat``.

    A handler is late when ``wechat_clock`` has moved on by more than 5 s meanwhile, however long it really takes.
    """
    from contextlib import ExitStack

    from wxmiddleware.simulator import Pusher

    with ExitStack() as made:
        yield lambda *args, **options: made.enter_context(Pusher(wechat, *args, **options))
