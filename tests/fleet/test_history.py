"""The checker of histories: hand-written ones, right and wrong, and a fleet whose engine lacks what it relies on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from . import soak as soak_module
from .backends import Backend
from .fork_server import ForkServer
from .history import HALF, LOOK, Checker, Event, Reader, Recorder, digest, newer
from .schedule import SEATS, Setting, Step
from .soak import Broken, Tally, live

ONE, TWO, THREE = 101, 102, 103
LEASE = 23.0


class Scribe:
    """Writes a history down. Its time stands still until it is told."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.clock = 1000.0
        self._tokens: dict[str, dict[str, object]] = {}  # version -> which one is in it

    def __call__(self, what: str, who: int = 0, **more: object) -> Scribe:
        self.events.append(Event(what, who, self.clock, **more))  # type: ignore[arg-type]
        return self

    def later(self, seconds: float) -> Scribe:
        self.clock += seconds
        return self

    def saves(self, who: int, over: str, version: str | None, **record: object) -> Scribe:
        """A process saves a record, and does so in no time. Its token is that of before, if nothing is said."""
        record = {**self._tokens.get(over, {}), **record}
        if version is not None:
            self._tokens[version] = {name: record[name] for name in ("token", "generation") if name in record}
        return self("save", who, version=over, **record)("saved", who, version=version)

    def claims(self, who: int, over: str, version: str | None, **record: object) -> Scribe:
        """A process takes the lease."""
        return self.saves(who, over, version, owner=f"host/{who}/1/", until=self.clock + LEASE, **record)

    def fetches(self, who: int, over: str, version: str, token: str, generation: int) -> Scribe:
        """A process takes the lease, fetches and publishes."""
        self.claims(who, over, f"{version} claimed")("fetch", who).later(0.1)("fetched", who, token=token)
        return self.saves(who, f"{version} claimed", version, token=token, generation=generation)

    def asked(self, who: int, token: str | None, rejected: str | None = None) -> Scribe:
        """A process is asked, and answers."""
        return self("ask", who, token=rejected)("answer", who, token=token)

    @property
    def rules(self) -> list[str]:
        """Which rules do not hold."""
        checker = Checker()
        checker.read(self.events)
        return [problem.partition(":")[0] for problem in checker.problems]


@pytest.fixture
def scribe() -> Scribe:
    return Scribe()


class TestRight:
    """Histories that are in order."""

    def test_peace(self, scribe: Scribe) -> None:
        """Each in turn, a fetch that fails, and all hand out what the store holds."""
        scribe.fetches(ONE, "none", "v1", "t1", 5).asked(ONE, "t1").asked(TWO, "t1").later(6000)
        scribe.claims(TWO, "v1", "v2")("fetch", TWO)("fetched", TWO)
        scribe.saves(TWO, "v2", "v3").later(60)
        scribe.claims(ONE, "v3", "v4")("fetch", ONE)("fetched", ONE, token="t2")
        scribe.saves(ONE, "v4", "v5", token="t2", generation=6).asked(ONE, "t2").asked(TWO, "t2")

        assert [] == scribe.rules

    def test_lost_swap(self, scribe: Scribe) -> None:
        """Of two that claim at once, one loses, and asks nothing."""
        scribe("save", ONE, version="none", owner=f"host/{ONE}/", until=1023.0)
        scribe("save", TWO, version="none", owner=f"host/{TWO}/", until=1023.0)
        scribe("saved", TWO, version="v1")("saved", ONE, version=None)("fetch", TWO)("fetched", TWO, token="t1")

        assert [] == scribe.rules

    def test_told_late(self, scribe: Scribe) -> None:
        """Who saved first may come to tell of it last."""
        scribe("save", ONE, version="none", generation=5).saves(TWO, "v1", "v2", generation=6)
        scribe("saved", ONE, version="v1")

        assert [] == scribe.rules

    def test_lease_over(self, scribe: Scribe) -> None:
        """A process is stopped for longer than its lease; when it goes on, it finds a newer token."""
        scribe.claims(ONE, "none", "v1")("fetch", ONE).later(LEASE + 0.5)
        scribe.fetches(TWO, "v1", "v2", "t2", 5)("fetched", ONE, token="t1").saves(ONE, "v1", None).asked(ONE, "t2")

        assert [] == scribe.rules

    def test_saved_over(self, scribe: Scribe) -> None:
        """A token that comes late is saved over another process's lease, which then keeps nobody from asking."""
        scribe.claims(ONE, "none", "v1")("fetch", ONE).later(LEASE + 2).claims(TWO, "v1", "v2")("fetch", TWO)
        scribe("fetched", ONE, token="t1").saves(ONE, "v2", "v3", token="t1", generation=5)
        scribe.claims(THREE, "v3", "v4")("fetch", THREE)

        assert [] == scribe.rules

    def test_killed(self, scribe: Scribe) -> None:
        """A killed process's lease counts for nothing, and neither does what it still wrote."""
        scribe.claims(ONE, "none", "v1")("fetch", ONE)("killed", ONE)("fetch", ONE)

        assert [] == scribe.fetches(TWO, "v1", "v2", "t1", 5).rules

    def test_store_lost(self, scribe: Scribe) -> None:
        """While the store is down each fetches on its own, and a backup may bring an older record and its version."""
        scribe.fetches(ONE, "none", "v1", "t1", 5).later(100).fetches(ONE, "v1", "v2", "t2", 6)("down")
        scribe("fetch", ONE)("fetch", TWO)("fetched", ONE, token="t3")("fetched", TWO, token="t4")
        scribe.saves(ONE, "v1", "v3", token="t3", generation=8).saves(TWO, "v3", "v4", token="t4", generation=7)("up")
        scribe.saves(TWO, "v1", "v7", token="t1", generation=5).later(LOOK - 1)("fetch", TWO)

        assert [] == scribe.rules

    def test_failed_call(self, scribe: Scribe) -> None:
        """A process that could not call the store goes on without it."""
        scribe("failed", ONE)("fetch", ONE)("fetched", ONE, token="t1")

        assert [] == scribe.asked(ONE, "t1").rules

    def test_not_looked_yet(self, scribe: Scribe) -> None:
        """An older token may be handed out until a process has been asked after a minute; it looks then."""
        scribe.fetches(ONE, "none", "v1", "t1", 5).asked(TWO, "t1").fetches(ONE, "v1", "v2", "t2", 6)
        scribe.later(LOOK + 1).asked(TWO, "t1").asked(TWO, "t2")

        assert [] == scribe.rules

    def test_not_known_yet(self, scribe: Scribe) -> None:
        """A process may go back to the token before, if it was told that the newer one is rejected."""
        scribe.fetches(ONE, "none", "v1", "t1", 5).later(1).fetches(ONE, "v1", "v2", "t2", 6)
        scribe.asked(TWO, "t2").asked(TWO, "t1", rejected="t2")

        assert [] == scribe.rules

    def test_could_not_look(self, scribe: Scribe) -> None:
        """Nor is a newer one known to a process that could not read the store when it was asked before."""
        scribe.fetches(ONE, "none", "v1", "t1", 5).fetches(ONE, "v1", "v2", "t2", 6).later(LOOK)
        scribe("failed", TWO).asked(TWO, "t1").asked(TWO, "t1")

        assert [] == scribe.rules

    def test_rejected(self, scribe: Scribe) -> None:
        """Nobody need hand out what it was told is rejected."""
        scribe.fetches(ONE, "none", "v1", "t1", 5).asked(TWO, None, rejected="t2").fetches(ONE, "v1", "v2", "t2", 6)
        scribe.later(LOOK + 1).asked(TWO, "t1").asked(TWO, "t1")

        assert [] == scribe.rules


class TestWrong:
    """Histories that are not."""

    def test_swap(self, scribe: Scribe) -> None:
        """Two have replaced the same version."""
        assert ["swap"] == scribe.saves(ONE, "v0", "v1").saves(TWO, "v0", "v2").rules

    def test_older_generation(self, scribe: Scribe) -> None:
        """An older generation takes the place of a newer one."""
        scribe.saves(ONE, "v0", "v1", generation=6).saves(TWO, "v1", "v2", generation=5)

        assert ["order"] == scribe.rules

    def test_told_late(self, scribe: Scribe) -> None:
        """Also if the one that was replaced is told of last."""
        scribe("save", ONE, version="none", generation=6).saves(TWO, "v1", "v2", generation=5)

        assert ["order"] == scribe("saved", ONE, version="v1").rules

    def test_older_token(self, scribe: Scribe) -> None:
        """A token takes the place of one that was fetched later, under a newer number."""
        scribe.claims(ONE, "none", "v1")("fetch", ONE)("fetched", ONE, token="t1").later(LEASE + 2)
        scribe.fetches(TWO, "v1", "v2", "t2", 5).saves(ONE, "v2", "v3", token="t1", generation=6)

        assert ["order"] == scribe.rules

    def test_lease_taken(self, scribe: Scribe) -> None:
        """The lease is taken from a process that lives, and both ask WeChat."""
        scribe.claims(ONE, "none", "v1")("fetch", ONE).claims(TWO, "v1", "v2")("fetch", TWO)

        assert ["lease", "flight"] == scribe.rules

    def test_lease_dropped(self, scribe: Scribe) -> None:
        """A record without a lease takes the place of one with it."""
        assert ["lease"] == scribe.claims(ONE, "none", "v1").saves(TWO, "v1", "v2").rules

    def test_no_lease(self, scribe: Scribe) -> None:
        """A process asks WeChat without a lease, though the store answers."""
        assert ["flight"] == scribe("fetch", ONE).rules

    def test_lease_given_back(self, scribe: Scribe) -> None:
        """A lease serves for one fetch."""
        assert ["flight"] == scribe.fetches(ONE, "none", "v1", "t1", 5)("fetch", ONE).rules

    def test_lease_over(self, scribe: Scribe) -> None:
        """A process asks WeChat after its lease."""
        assert ["flight"] == scribe.claims(ONE, "none", "v1").later(LEASE + 2)("fetch", ONE).rules

    def test_well_again(self, scribe: Scribe) -> None:
        """A minute after the store was down, all holds again."""
        assert ["flight"] == scribe("down")("up").later(LOOK)("fetch", ONE).rules

    @pytest.mark.parametrize("saved", [True, False])
    def test_older_answer(self, scribe: Scribe, saved: bool) -> None:
        """A process goes back to a token that has an older generation, or was fetched earlier."""
        if saved:
            scribe.saves(ONE, "none", "v1", token="t1", generation=5).saves(ONE, "v1", "v2", token="t2", generation=6)
        else:
            scribe("down").fetches(ONE, "none", "v1", "t1", 5).later(1).fetches(ONE, "v1", "v2", "t2", 6)
        scribe.asked(TWO, "t2").asked(TWO, "t1")

        assert ["answer"] == scribe.rules

    def test_never_looks(self, scribe: Scribe) -> None:
        """A process that was asked a minute after the store had a newer token hands out the older one once more."""
        scribe.fetches(ONE, "none", "v1", "t1", 5).fetches(ONE, "v1", "v2", "t2", 6)
        scribe.later(LOOK).asked(TWO, "t1").asked(TWO, "t1")

        assert ["answer"] == scribe.rules


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [(2, 1, True), (1, 2, False), (1, 1, False), (1, 0, True), (0, 1, False), (1, 2 * HALF - 1, True), (HALF, 1, True)],
)
def test_newer(one: int, other: int, expected: bool) -> None:
    """Generations are compared on a circle; 0 is older than all."""
    assert expected == newer(one, other)


def test_file(tmp_path: Path) -> None:
    """What is written is read, each line once, and not before it is whole; a token is not in it."""
    path, events = tmp_path / "history", [Event("fetched", ONE, 1.5, token=digest("a token")), Event("up", 0, 2.0)]
    write, read = Recorder(path), Reader(path)
    write(events[0])
    first = read()
    with path.open("ab") as file:
        file.write(b'{"what": "do')
    torn = read()
    with path.open("ab") as file:
        file.write(b'wn", "who": 0, "clock": 2.0}\n')
    write(events[1])
    write.close()

    assert events[:1] == first
    assert [] == torn
    assert [Event("down", 0, 2.0), events[1]] == read()
    assert "a token" not in path.read_text()


def _live(fork_server: ForkServer, backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """A short life: a renewal whose fetcher waits for long while the others ask; then one for which all ask at once."""
    steps = [
        Step("converge"),
        Step("fetcher", {"fate": "slow", "executed": True, "left": 150.0}),
        Step("repair", {"back": "kept"}),
        Step("converge"),
        Step("jump", {"seconds": 7300.0}),
        Step("pass_time", {"seconds": 10.0, "who": list(range(SEATS)), "at_once": True}),
        Step("converge"),
        Step("end"),
    ]
    monkeypatch.setattr(soak_module, "schedule", lambda *_, **__: steps)
    live(backend, fork_server, Setting("jsonfile", "stable", overlap=300.0), 1, 1, Tally())


@pytest.mark.parametrize(("what", "rules"), [("lease", "lease|flight"), ("cas", "swap")])
def test_sabotage(
    fork_server: ForkServer,
    backend_of: Callable[[str], Backend],
    monkeypatch: pytest.MonkeyPatch,
    sabotage: Callable[[str], None],
    what: str,
    rules: str,
) -> None:
    """A fleet's history shows that it heeds no lease, or that its last writer wins; else it is in order."""
    backend = backend_of("jsonfile")
    _live(fork_server, backend, monkeypatch)
    sabotage(what)
    with pytest.raises(Broken, match=f"history: ({rules}):"):
        _live(fork_server, backend, monkeypatch)
