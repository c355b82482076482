"""Following whoever owns a token: `LayoutToken`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from support.background import landed

from wxmiddleware import Account, Runtime, TokenProvider, TokenUnavailable
from wxmiddleware.exceptions import ConfigurationError
from wxmiddleware.layouts import Kept, LayoutToken
from wxmiddleware.sources import Cause, Failure, Grant
from wxmiddleware.stores.memory import MemoryStore

ACCOUNT = Account("wx1")
START = 1_795_819_524.0


class FakeLayout:
    """Keeps what the test says."""

    name = "a layout"

    def __init__(self, kept: Any = None) -> None:
        self.kept = kept
        self.reads = 0

    def read(self) -> Kept | None:
        self.reads += 1
        if isinstance(self.kept, BaseException):
            raise self.kept
        kept: Kept | None = self.kept() if callable(self.kept) else self.kept
        return kept

    def write(self, value: str, expires_at: float) -> None:
        raise AssertionError("A follower writes nothing.")


def fetch(kept: Any, **options: Any) -> Grant | Failure:
    return LayoutToken(FakeLayout(kept), clock=lambda: START, **options).fetch(ACCOUNT)


@pytest.mark.parametrize(
    ("kept", "grant"),
    [(Kept("T", START + 60), Grant("T", 60)), (Kept("T", None), Grant("T", 7200))],
)
def test_grant(kept: Kept, grant: Grant) -> None:
    """A token lives until the end that the layout tells, or for as long as WeChat's do."""
    assert grant == fetch(kept)


@pytest.mark.parametrize(
    ("kept", "cause", "says"),
    [
        (None, Cause.TRANSIENT, "a layout has no token at present."),
        (Kept("T", START - 5), Cause.TRANSIENT, "a layout has a token that ended 5 s ago."),
        (Kept("T", 0), Cause.TRANSIENT, f"a layout has a token that ended {START:.0f} s ago."),
        (Kept("T", 7200), Cause.TRANSIENT, "a layout has a token that ended"),
        (Kept("T", START * 2), Cause.PERMANENT, "a layout has a token whose end is not plausible."),
        (Kept("T", "soon"), Cause.PERMANENT, "a layout has a token whose end is not plausible."),  # type: ignore[arg-type]
        (Kept("two words", None), Cause.PERMANENT, "a layout has something that is not a token"),
        ("T", Cause.PERMANENT, "a layout gave no Kept, but a str."),
        (RuntimeError("T"), Cause.TRANSIENT, "a layout cannot be read (RuntimeError)."),
        (SystemExit("T"), Cause.TRANSIENT, "a layout cannot be read (SystemExit)."),
        (TimeoutError("T"), Cause.TRANSIENT, "a layout did not answer within 5 s."),
        (ConnectionRefusedError("T"), Cause.TRANSIENT, "a layout cannot be read (ConnectionRefusedError). Nothing"),
    ],
)
def test_failure(kept: Any, cause: Cause, says: str) -> None:
    """What goes wrong is said with the layout's name, and with no word of what was read or raised."""
    failure = fetch(kept)

    assert isinstance(failure, Failure)
    assert cause is failure.cause
    assert failure.message.startswith(says)


def test_hangs() -> None:
    """A look that hangs is given up in time."""
    gate = threading.Event()
    failure = fetch(lambda: gate.wait(20), timeout=0.05)
    gate.set()

    assert Failure(Cause.TRANSIENT, "a layout did not answer within 0.05 s.") == failure


def test_kind() -> None:
    """Two places have two names, and one has one."""
    one, same, other = FakeLayout(), FakeLayout(), FakeLayout()
    other.name = "another layout"

    assert LayoutToken(one).kind == LayoutToken(same).kind != LayoutToken(other).kind
    assert "a layout" == LayoutToken(one).asks


def test_two_places_of_one_name() -> None:
    """Keys of one name on two servers: told apart by kind=, processes that share a store do not mix them up."""
    store, tokens = MemoryStore(), []
    for token in ("T1", "T2"):
        source = LayoutToken(FakeLayout(Kept(token, None)), kind=f"server-{token}")
        tokens.append(TokenProvider(ACCOUNT, source=source, store=store).get_token())

    assert ["T1", "T2"] == tokens


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: LayoutToken("redis://localhost"), "layout must be one"),  # type: ignore[arg-type]
        (lambda: LayoutToken(FakeLayout), "not the class FakeLayout"),  # type: ignore[arg-type]
        (lambda: LayoutToken(FakeLayout(), refresh_after=0), "refresh_after"),
        (lambda: LayoutToken(FakeLayout(), timeout=-1), "timeout"),
        (lambda: LayoutToken(FakeLayout(), kind="two words"), "short word"),
        (lambda: LayoutToken(FakeLayout(), kind="stable"), "fetched from WeChat"),
    ],
)
def test_bad_settings(make: Callable[[], object], says: str) -> None:
    """They are told at construction."""
    with pytest.raises(ConfigurationError, match=says):
        make()


class TestProvider:
    """A provider without the secret."""

    def provider(self, layout: FakeLayout) -> TokenProvider:
        self.now = START

        def clock() -> float:
            return self.now

        source = LayoutToken(layout, clock=clock)
        return TokenProvider(ACCOUNT, source=source, runtime=Runtime(clock=clock, time=clock, random=lambda: 0.5))

    def test_a_newer_one(self) -> None:
        """A token that comes while the old one still lives is found in the background, in 5 s."""
        layout = FakeLayout(Kept("T1", START + 7200))
        with self.provider(layout) as provider:
            assert "T1" == provider.get_token()
            layout.kept = Kept("T2", START + 9000)
            assert "T1" == provider.get_token()
            self.now += 6
            provider.get_token()
            landed()

            assert "T2" == provider.get_token()

    def test_rejected(self) -> None:
        """It looks at once, says so if the owner has not renewed it, and finds it as soon as that has."""
        layout = FakeLayout(Kept("T1", START + 7200))
        with self.provider(layout) as provider:
            provider.get_token()
            with pytest.raises(TokenUnavailable, match="a layout"):
                provider.get_token(rejected="T1")
            assert 2 == layout.reads

            layout.kept = Kept("T2", START + 9000)
            self.now += 2

            assert "T2" == provider.get_token(rejected="T1")

    @pytest.mark.parametrize("kept", [None, ConnectionError()])
    def test_gone(self, kept: Any) -> None:
        """What was read before stays in use until its end, and no longer."""
        layout = FakeLayout(Kept("T1", START + 7200))
        with self.provider(layout) as provider:
            provider.get_token()
            layout.kept = kept
            self.now += 7100
            assert "T1" == provider.get_token()
            landed()
            assert "T1" == provider.get_token()

            self.now += 200
            with pytest.raises(TokenUnavailable, match="a layout"):
                provider.get_token()
