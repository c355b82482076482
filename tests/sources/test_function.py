"""A token that a function of the user's gives."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import pytest
from support.leaks import everything_logged, shown

from wxmiddleware import Account, ConfigurationError, TokenProvider, TokenUnavailable
from wxmiddleware.sources import (
    CallableToken,
    Cause,
    ClassicToken,
    Failure,
    Grant,
    StableToken,
    TokenSource,
    WeComToken,
    _within,
    component,
    suite,
    tickets,
)
from wxmiddleware.sources._elsewhere import _FETCHED
from wxmiddleware.stores.memory import MemoryStore

ACCOUNT = Account("wx0123456789abcdef")
TOKEN = "88_abcDEF-ghi"


def ours() -> str:
    """Give the token as this company keeps it."""
    return TOKEN


def _another() -> str:
    return TOKEN


class Gives:
    """A function that gives these, one after the other, or raises them."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.calls = 0

    def __call__(self) -> Any:
        self.calls += 1
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call takes no time."""
    monkeypatch.setattr(_within, "clock", lambda: 100.0)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (TOKEN, Grant(TOKEN, 7200.0)),
        (f"{TOKEN}\n", Grant(TOKEN, 7200.0)),
        ((TOKEN, 60), Grant(TOKEN, 60.0)),
        ((TOKEN, None), Grant(TOKEN, 7200.0)),
        (Grant(TOKEN, 7.5), Grant(TOKEN, 7.5)),
        (Grant(TOKEN, "60"), Grant(TOKEN, 60.0)),  # type: ignore[arg-type]
        (Grant(TOKEN, None), Grant(TOKEN, 7200.0)),  # type: ignore[arg-type]
        (Grant(TOKEN, 60, "R"), Grant(TOKEN, 60.0, "R")),
    ],
)
def test_given(answer: Any, expected: Grant) -> None:
    """The token, with its seconds or without, or a grant."""
    assert expected == CallableToken(Gives(answer), kind="ours").fetch(ACCOUNT)


@pytest.mark.parametrize(
    ("answer", "cause", "said"),
    [
        (None, Cause.TRANSIENT, "has no token at present"),
        ("", Cause.TRANSIENT, "has no token at present"),
        ((TOKEN, 0), Cause.TRANSIENT, "a token that ended 0 s ago"),
        ((TOKEN, -5.0), Cause.TRANSIENT, "a token that ended 5 s ago"),
        ((TOKEN, 90_000), Cause.PERMANENT, "end is not plausible"),
        ((TOKEN, True), Cause.PERMANENT, "end is not plausible"),
        ((TOKEN, float("nan")), Cause.PERMANENT, "end is not plausible"),
        (Grant(TOKEN, float("nan")), Cause.PERMANENT, "end is not plausible"),
        (Grant(TOKEN, 90_000), Cause.PERMANENT, "end is not plausible"),
        (Grant(TOKEN, [60]), Cause.PERMANENT, "end is not plausible"),  # type: ignore[arg-type]
        (Grant(TOKEN, 0), Cause.TRANSIENT, "a token that ended 0 s ago"),
        (Grant(7, 60), Cause.PERMANENT, "gave no str and no Grant, but an int"),  # type: ignore[arg-type]
        ((TOKEN, 60, 7), Cause.PERMANENT, "gave no str and no Grant, but a tuple"),
        ({"access_token": TOKEN}, Cause.PERMANENT, "gave no str and no Grant, but a dict"),
        (TOKEN.encode(), Cause.PERMANENT, "gave no str and no Grant, but a bytes"),
        (f"{TOKEN} {TOKEN}", Cause.PERMANENT, "something that is not a token"),
        (ValueError(TOKEN), Cause.TRANSIENT, "failed with ValueError"),
        (TimeoutError(TOKEN), Cause.TRANSIENT, "did not return within 5 s, or raised TimeoutError"),
        (SystemExit(TOKEN), Cause.TRANSIENT, "failed with SystemExit"),
        (KeyboardInterrupt(TOKEN), Cause.TRANSIENT, "failed with KeyboardInterrupt"),
    ],
)
def test_gives_none(answer: Any, cause: Cause, said: str) -> None:
    """What is wrong is said, with the function's name, and no word of what it gave or raised."""
    failure = CallableToken(Gives(answer), kind="ours").fetch(ACCOUNT)

    assert isinstance(failure, Failure)
    assert cause is failure.cause
    assert failure.message.startswith("The function Gives ")
    assert said in failure.message
    assert "88_" not in repr(failure)


def test_never_quoted() -> None:
    """Neither the error, nor anything behind it, nor a log has what the function raised."""
    provider = TokenProvider(ACCOUNT, source=CallableToken(Gives(ValueError(TOKEN)), kind="quoting"))

    with everything_logged() as logged, pytest.raises(TokenUnavailable, match="failed with ValueError") as caught:
        provider.get_token()
    assert TOKEN not in shown(caught.value)
    assert TOKEN not in logged.getvalue()


async def _later() -> str:
    return TOKEN


class Later:
    async def __call__(self) -> str:
        return TOKEN


@pytest.mark.parametrize("function", [_later, partial(_later), Later()])
def test_async(function: Any) -> None:
    """An asynchronous function is refused with the way out, and that works."""
    with pytest.raises(ConfigurationError, match=r"lambda: asyncio.run\(function\(\)\)"):
        CallableToken(function)

    assert Grant(TOKEN, 7200.0) == CallableToken(lambda: asyncio.run(function()), kind="ours").fetch(ACCOUNT)


def test_coroutine() -> None:
    """A plain function that gives a coroutine is found out when it is called, and the coroutine is not left behind."""
    failure = CallableToken(partial(next, iter([_later()])), kind="ours").fetch(ACCOUNT)

    assert isinstance(failure, Failure)
    assert "but a coroutine" in failure.message


class Hangs:
    """A function that hangs until it is let go."""

    def __init__(self, kind: type = tuple) -> None:
        self.calls = 0
        self.kind = kind
        self.begun, self.let_go = threading.Event(), threading.Event()

    def __call__(self) -> Any:
        self.calls += 1
        self.begun.set()
        assert self.let_go.wait(30)
        return Grant(f"T{self.calls}", 100) if self.kind is Grant else (f"T{self.calls}", 100)


@pytest.mark.parametrize("kind", [tuple, Grant])
def test_hangs(monkeypatch: pytest.MonkeyPatch, kind: type) -> None:
    """It is given up in time and not called again beside itself; what it gives late is for who waits by then."""
    function = Hangs(kind)
    source = CallableToken(function, kind="ours", timeout=0.05)
    said = [source.fetch(ACCOUNT) for _ in range(3)]
    assert [True] * 3 == ["did not return within 0.05 s" in getattr(each, "message", "") for each in said]
    assert 1 == function.calls

    monkeypatch.setattr(_within, "clock", lambda: 130.0)
    threading.Timer(0.05, function.let_go.set).start()
    patient = CallableToken(function, kind="ours", timeout=30.0)
    object.__setattr__(patient, "_calls", source._calls)
    assert Grant("T1", 70.0) == patient.fetch(ACCOUNT)  # 30 s of its life were over
    assert Grant("T2", 100.0) == source.fetch(ACCOUNT)


def test_late_answer_that_nobody_waits_for() -> None:
    """What came when nobody waited is dropped: it may be old by now."""
    function = Hangs()
    source = CallableToken(function, kind="ours", timeout=0.05)
    source.fetch(ACCOUNT)
    running = source._calls._running
    assert running is not None
    function.let_go.set()
    running[0].result(30)

    assert Grant("T2", 100.0) == source.fetch(ACCOUNT)


def test_after_a_fork() -> None:
    """A child does not wait for a call of its parent's."""
    function = Hangs()
    source = CallableToken(function, kind="ours", timeout=0.05)
    source.fetch(ACCOUNT)
    source._calls.after_fork()
    function.let_go.set()

    assert Grant("T2", 100.0) == CallableToken.fetch(source, ACCOUNT)


def test_nothing_kept() -> None:
    """What a call gave or raised, and the frames behind it, are not held for longer than the call."""

    class Held:
        pass

    source = CallableToken(Gives(TOKEN, ValueError(Held()), TOKEN), kind="ours")
    for _ in range(3):
        source.fetch(ACCOUNT)
        assert source._calls._running is None


class _Lock:
    """A lock that does something first when it is taken the second time."""

    def __init__(self, then: Callable[[], object]) -> None:
        self.lock, self.taken, self.then = threading.RLock(), 0, then

    def __enter__(self) -> None:
        self.taken += 1
        if self.taken == 2:
            self.then()
        self.lock.acquire()

    def __exit__(self, *exc: object) -> None:
        self.lock.release()


def test_next_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who leaves a call that is over does not forget the next one, which has begun meanwhile."""
    function, second, calls = Hangs(), Gives(TOKEN), _within.OneAtATime()

    def begin_next() -> None:
        with pytest.raises(TimeoutError):
            calls.call(0.0, function)

    monkeypatch.setattr(calls, "_lock", _Lock(begin_next))
    assert (TOKEN, 0.0) == calls.call(30.0, Gives(TOKEN))
    with pytest.raises(TimeoutError):
        calls.call(0.0, second)
    function.let_go.set()

    assert (1, 0) == (function.calls, second.calls)


def test_kind() -> None:
    """The same function has one kind everywhere, another one has another; a name of the user's goes first."""
    assert CallableToken(ours).kind == CallableToken(ours, timeout=1).kind != CallableToken(_another).kind
    assert "ours" == CallableToken(Gives(), kind="ours").kind
    assert isinstance(CallableToken(ours), TokenSource)
    assert CallableToken(ours) == CallableToken(ours)
    assert hash(CallableToken(ours)) == hash(CallableToken(ours))
    assert f"CallableToken(ours, kind={CallableToken(ours).kind!r})" == repr(CallableToken(ours))


def _made() -> Callable[[], str]:
    return lambda: TOKEN


class Holder:
    def method(self) -> str:
        return TOKEN

    @classmethod
    def of_the_class(cls) -> str:
        return TOKEN

    @staticmethod
    def static() -> str:
        return TOKEN


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda: TOKEN, "a lambda"),
        (partial(ours), "a partial, which has no name"),
        (_made(), "a lambda"),
        (lru_cache(_made()), "a lambda"),
        (Gives(TOKEN), "a Gives, which has no name"),
        (Holder().method, "a method"),
        (Holder.of_the_class, "a method"),
    ],
)
def test_no_name_of_its_own(function: Any, said: str) -> None:
    """Two of one account would share a record, so a kind has to be said; with one each has its own."""
    with pytest.raises(ConfigurationError, match=f"is {said}.*CallableToken\\(function, kind='ours'\\)"):
        CallableToken(function)

    assert "shop" == CallableToken(function, kind="shop").kind


def test_made_inside_another() -> None:
    """A function that is made more than once has one name each time."""

    def local() -> str:
        return TOKEN

    with pytest.raises(ConfigurationError, match="made inside another function"):
        CallableToken(local)


@pytest.mark.parametrize("function", [ours, lru_cache(ours), Holder.static, os.getcwd])
def test_name_of_its_own(function: Any) -> None:
    """What has a name that nothing else has needs no kind."""
    assert CallableToken(function).kind.startswith("callable-")


def test_two_in_one_store() -> None:
    """What they give is kept apart."""
    store = MemoryStore()
    sources = [CallableToken(Gives(token), kind=kind) for token, kind in (("T1", "shop"), ("T2", "blog"))]

    assert ["T1", "T2"] == [TokenProvider(ACCOUNT, source=each, store=store).get_token() for each in sources]


def test_kinds_of_wechat_s_own() -> None:
    """None of them can be taken: the record would be that of who fetches."""
    fetched: list[Any] = [
        StableToken,
        ClassicToken,
        WeComToken,
        tickets.JsapiTicket,
        tickets.CardTicket,
        tickets.AgentTicket,
    ]
    of_platforms: list[Any] = [component.ComponentToken, component.AuthorizerToken]
    of_platforms += [suite.SuiteToken, suite.ProviderToken, suite.CorpToken]
    kinds = {each.kind for each in (*fetched, *of_platforms)}

    assert kinds | {"component_verify_ticket", "suite_ticket", "auth_codes"} == _FETCHED
    for kind in _FETCHED:
        with pytest.raises(ConfigurationError, match="fetched from WeChat"):
            CallableToken(ours, kind=kind)


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (["88_token"], {}),
        ([None], {}),
        ([str], {}),
        ([ours], {"kind": 7}),
        ([ours], {"kind": "a\nb"}),
        ([ours], {"timeout": 0}),
        ([ours], {"refresh_after": 0}),
    ],
)
def test_arguments(arguments: list[Any], options: dict[str, Any]) -> None:
    """What cannot be meant is said when it is made."""
    with pytest.raises(ConfigurationError) as caught:
        CallableToken(*arguments, **options)
    assert "88_" not in str(caught.value)


def test_thread() -> None:
    """It is called in a thread, so that it may block."""
    names: list[str] = []
    CallableToken(lambda: names.append(threading.current_thread().name), kind="ours").fetch(ACCOUNT)

    assert 1 == len(names)
    assert threading.current_thread().name not in names
