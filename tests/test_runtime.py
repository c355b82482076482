"""The clocks, the sleep and the randomness that a test passes in: what they may be, and who goes by them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from support.fake_provider import fake_provider

from wxmiddleware import Account, ConfigurationError, Runtime, TokenProvider
from wxmiddleware._runtime.clock import clock as process_clock
from wxmiddleware.jssdk import JSSDK
from wxmiddleware.platform import Platform
from wxmiddleware.stores.memory import MemoryStore
from wxmiddleware.testing import ScriptedSource
from wxmiddleware.webhook import CallbackAddresses, Webhook, asgi, wsgi

ACCOUNT = Account("wx0123456789abcdef", "secret")
TAKERS: dict[str, Callable[[Any], object]] = {
    "provider": lambda given: TokenProvider(ACCOUNT, runtime=given),
    "platform": lambda given: Platform(ACCOUNT, store=MemoryStore(), durable=True, runtime=given),
    "webhook": lambda given: Webhook(token="word", runtime=given),
    "wsgi": lambda given: wsgi.WebhookMiddleware(lambda e, s: [], path="/wechat", token="word", runtime=given),
    "asgi": lambda given: asgi.WebhookMiddleware(nothing, path="/wechat", token="word", runtime=given),
}


async def nothing(*_: object) -> None: ...


class Unhashable:
    __hash__ = None  # type: ignore[assignment]  # as a dataclass has that compares by value

    def __call__(self) -> float:
        return 0.0


def test_the_process_by_default() -> None:
    """Without arguments it is the process's own time."""
    runtime = Runtime()

    assert (process_clock, time.time, time.sleep) == (runtime.clock, runtime.time, runtime.sleep)
    assert 0.0 <= runtime.random() <= 1.0
    assert runtime == TokenProvider(ACCOUNT).runtime


def test_value() -> None:
    """It compares by the functions in it, and none of them can be exchanged."""
    sleep = list[float]().append

    assert Runtime(sleep=sleep) == Runtime(sleep=sleep)
    assert hash(Runtime(sleep=sleep)) == hash(Runtime(sleep=sleep))
    assert Runtime(sleep=sleep) != Runtime()
    with pytest.raises(FrozenInstanceError):
        Runtime().clock = time.time  # type: ignore[misc]


def test_equal_ones_share_a_token() -> None:
    """Providers whose runtimes are equal fetch once between them; another runtime is another process's."""

    def stopped() -> float:
        return 0.0

    source, store = ScriptedSource("T1"), MemoryStore(clock=stopped)
    one, same, other = (
        TokenProvider(ACCOUNT, source=source, store=store, runtime=Runtime(clock=stopped, random=random))
        for random in (stopped, stopped, lambda: 0.0)
    )

    assert one._own is same._own
    assert one._own is not other._own


@pytest.mark.parametrize("name", ["clock", "time", "sleep", "random"])
@pytest.mark.parametrize("given", [None, 1.0, Unhashable()], ids=["none", "number", "unhashable"])
def test_no_function(name: str, given: Any) -> None:
    """What cannot be called, or has no hash, is refused by its name."""
    with pytest.raises(ConfigurationError, match=f"^{name} of Runtime must be a function"):
        Runtime(**{name: given})


@pytest.mark.parametrize("taker", TAKERS)
@pytest.mark.parametrize(
    ("given", "kind"),
    [(Runtime, "the class Runtime"), (time.time, "a builtin_function_or_method"), ({"clock": time.time}, "a dict")],
    ids=["class", "clock", "dict"],
)
def test_wrong(taker: str, given: Any, kind: str) -> None:
    """What is no runtime is refused at construction."""
    with pytest.raises(ConfigurationError, match=rf"^runtime must be a Runtime\(.*\), not {kind}\.$"):
        TAKERS[taker](given)


@pytest.mark.parametrize("taker", TAKERS)
@pytest.mark.parametrize("given", [None, Runtime()], ids=["none", "own"])
def test_right(taker: str, given: Runtime | None) -> None:
    """``None`` is the process's own."""
    assert TAKERS[taker](given)


def test_of_a_provider() -> None:
    """Pages are signed, and lists of addresses renewed, by the time of the provider that they are made with."""
    runtime = Runtime(clock=lambda: 5.0, time=lambda: 1_700_000_000.0)
    provider = TokenProvider(ACCOUNT, source=ScriptedSource("T1"), runtime=runtime)

    assert provider.runtime is runtime
    assert JSSDK(provider)._runtime is runtime
    assert JSSDK(provider).tickets.runtime is runtime
    assert CallbackAddresses(provider)._clock is runtime.clock


def test_of_somebody_elses_provider() -> None:
    """One that has no runtime, since it is no `TokenProvider`, goes by the process's clock."""
    assert CallbackAddresses(fake_provider())._clock is process_clock


def test_of_a_platform() -> None:
    """A platform and the accounts that it looks after go by one time."""
    runtime = Runtime(clock=lambda: 5.0)
    platform = Platform(ACCOUNT, store=MemoryStore(), durable=True, runtime=runtime)

    assert platform.provider.runtime is runtime
    assert platform.authorizer("wx2").runtime is runtime
