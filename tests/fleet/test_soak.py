"""A short soak; `make soak` makes long ones."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .backends import Backend
from .fork_server import ForkServer
from .schedule import Setting, schedule
from .soak import Broken, Soak, Tally, live

EPISODES = 12

pytestmark = pytest.mark.timeout(1200)


def test_pure() -> None:
    """What happens is a function of the seed."""
    first, again, other = (list(schedule(seed, EPISODES, keeps=True)) for seed in (7, 7, 8))

    assert first == again != other


@pytest.mark.nightly
@pytest.mark.parametrize(("store", "kind", "seed"), [("jsonfile", "classic", 1), ("redis", "stable", 2)])
def test_soak(fork_server: ForkServer, backend_of: Callable[[str], Backend], store: str, kind: str, seed: int) -> None:
    """A fleet lives through faults, and what must hold does."""
    tally = Tally()
    live(backend_of(store), fork_server, Setting(store, kind, overlap=300.0), seed, EPISODES, tally)

    assert 1 == tally.lives
    assert tally.hours > 5
    assert len(tally.faults) > 8


def test_failure_can_be_repeated(
    fork_server: ForkServer, backend_of: Callable[[str], Backend], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When something does not hold, the error says what had happened."""

    def steal(soak: Soak) -> None:
        soak.asked -= 50  # as if there had been so many fetches

    monkeypatch.setattr(Soak, "steal", steal)
    with pytest.raises(Broken) as caught:
        live(backend_of("jsonfile"), fork_server, Setting("jsonfile", "classic", overlap=300.0), 1, 40, Tally())

    assert "steal()" in caught.value.__notes__[-1]


@pytest.mark.parametrize(
    ("what", "complaint"),
    [("renewal", "s to live, and nobody renewed it"), ("memory", "got an error though its token was good")],
)
def test_sabotage(
    fork_server: ForkServer,
    backend_of: Callable[[str], Backend],
    sabotage: Callable[[str], None],
    what: str,
    complaint: str,
) -> None:
    """A fleet that renews nothing ahead, or throws its token away when WeChat fails, does not get through a life."""
    sabotage(what)
    with pytest.raises(Broken, match=f"{complaint}|fetches without a cause"):  # whichever is seen first
        live(backend_of("jsonfile"), fork_server, Setting("jsonfile", "stable", overlap=300.0), 3, 40, Tally())
