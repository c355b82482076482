"""Two keepers on one store: one is killed at each step of a refresh, and the other goes on."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from fleet.backends import BACKENDS, Backend
from support.prelude import SharedClock
from support.program import PATIENCE, environment, kill_group

from processes.keeper import STEPS
from wxmiddleware import Account
from wxmiddleware.layouts import ArticleFile
from wxmiddleware.simulator import SimulatorServer, WeChat
from wxmiddleware.stores import Record, record_key

AHEAD = 540.0  # seconds before its end at which a token is renewed at the latest
LIFE = 7200.0
TICK = 5.0
SOON = 60.0  # seconds in which the other one has to make up for the one that was killed

# How often WeChat acts on a fetch: for the first token, and for the second. One that was on its way to a keeper which
# is killed is lost; "sent" has reached WeChat, which has not acted on it yet.
FETCHES = dict.fromkeys(STEPS, 2) | {"sent": 2, "answered": 3, "before the save": 3}


@pytest.fixture
def shared_clock(tmp_path: Path) -> Iterator[SharedClock]:
    """Ahead of the real time, by which Redis lets keys end."""
    with SharedClock.create(tmp_path / "clock", time.time()) as clock:
        yield clock


@pytest.fixture
def wechat_clock(shared_clock: SharedClock) -> SharedClock:
    """The keepers' clock is WeChat's, too."""
    return shared_clock


@pytest.fixture(params=["redis", "jsonfile"])
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """A store of this test's own."""
    with closing(BACKENDS[request.param]()) as backend:
        yield backend


class Keepers:
    """
    Keepers of one token, and what can be seen of them.

    Args:
        backend: The store.
        wechat: The simulated WeChat.
        url: Where it is.
        clock: The test's.
        directory: Where all their files are.
    """

    def __init__(self, backend: Backend, wechat: WeChat, url: str, clock: SharedClock, directory: Path) -> None:
        self._backend = backend
        self._wechat = wechat
        self._url = url
        self.clock = clock
        self._directory = directory
        self._key = record_key(Account(wechat.appid, base_url=url), "classic")
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        (directory / "out").mkdir()
        self.file = directory / "out" / f"{wechat.appid}.classic.token"
        self.mirror = ArticleFile(directory / "access_token.json", clock=clock)

    def start(self, name: str) -> None:
        """Start one, and wait until its first round is done."""
        command = [sys.executable, str(Path(__file__).with_name("keeper.py")), str(self._directory), name]
        command += [str(self._directory / "access_token.json"), "keep", "--store", self._backend.url]
        command += ["--source", "classic", "--sink", str(self.file.parent)]
        names = {"WECHAT_APPID": self._wechat.appid, "WECHAT_SECRET": self._wechat.secret, "WECHAT_BASE_URL": self._url}
        self._running[name] = subprocess.Popen(
            command, env=environment(measured=False, **names), stderr=subprocess.DEVNULL, start_new_session=True
        )
        self.round(name)

    def order(self, name: str, what: str, text: str = "") -> None:
        """Order something of one; see `processes.keeper`."""
        (self._directory / f"{name}.ordering").write_text(text)
        (self._directory / f"{name}.ordering").rename(self._directory / f"{name}.{what}")

    def withdraw(self, name: str, what: str) -> None:
        """Order it no more."""
        (self._directory / f"{name}.{what}").unlink()

    def said(self, name: str, what: str) -> bool:
        """Whether one has said this."""
        return (self._directory / f"{name}.{what}").exists()

    def round(self, name: str) -> None:
        """Wait until one has looked at all that is to be seen now."""
        file = self._directory / f"{name}.round"
        self.until(lambda: file.exists() and float(file.read_text()) >= self.clock())

    def kill(self, name: str) -> None:
        """Kill one, wherever it stands."""
        assert self._running[name].poll() is None
        kill_group(self._running.pop(name))

    def until(self, true: Callable[[], object]) -> None:
        """Wait for something, while all keepers live."""
        deadline = time.monotonic() + PATIENCE
        while not true():
            assert time.monotonic() < deadline
            assert not [name for name, process in self._running.items() if process.poll() is not None]
            time.sleep(0.005)

    @property
    def record(self) -> Record:
        """What the store holds."""
        record = self._backend.record(self._key)
        assert record is not None
        return record

    @property
    def left(self) -> float:
        """Seconds that the token in the store has left."""
        return self.record.expires_at - self.clock()

    def written(self) -> bool:
        """Whether the store's token is a good one, and in the sink and the mirror, too."""
        token, kept = self.record.value, self.mirror.read()
        mirrored = kept is not None and kept.value == token
        return self._wechat.check(token) is None and self.file.read_text() == token and mirrored

    def close(self) -> None:
        """Kill them all."""
        for process in self._running.values():
            kill_group(process)


@pytest.fixture
def keepers(
    backend: Backend, wechat: WeChat, wechat_server: SimulatorServer, shared_clock: SharedClock, tmp_path: Path
) -> Iterator[Keepers]:
    """None yet."""
    wechat.overlap = 0.0
    with closing(Keepers(backend, wechat, wechat_server.url, shared_clock, tmp_path)) as keepers:
        yield keepers


@pytest.mark.parametrize("step", FETCHES)
def test_killed(keepers: Keepers, wechat: WeChat, step: str) -> None:
    """The token is young again within a minute, and WeChat is asked no more often than it has to be."""
    keepers.start("doomed")
    keepers.start("other")
    keepers.until(keepers.written)
    keepers.order("other", "pause")
    keepers.until(lambda: keepers.said("other", "paused"))

    keepers.order("doomed", "hold", step)
    fault = {"sent": False, "answered": True}.get(step)
    hang = None if fault is None else wechat.faults.add("/cgi-bin/token", "hang", executed=fault)
    keepers.clock.advance(LIFE - AHEAD)
    keepers.until(lambda: hang.hits if hang is not None else keepers.said("doomed", "held"))
    if step == "answered":
        assert wechat.wait_for(lambda: wechat.minted() == 2, PATIENCE)
    before = wechat.fetches()
    keepers.withdraw("other", "pause")
    keepers.round("other")
    assert before == wechat.fetches() or step == "before the lease"  # while one is at it, the other leaves it to that
    keepers.kill("doomed")
    late = keepers.clock() + SOON
    while keepers.left < LIFE - AHEAD or keepers.file.read_text() != keepers.record.value:
        assert keepers.clock() < late
        keepers.clock.advance(TICK)
        keepers.round("other")
    keepers.until(keepers.written)

    assert None is keepers.record.lease
    assert FETCHES[step] == wechat.fetches()
    goes_on(keepers, "other")
    assert FETCHES[step] + 1 == wechat.fetches()


def goes_on(keepers: Keepers, name: str) -> None:
    """See one renew the next token, too, before it is old."""
    before = keepers.record.value
    keepers.clock.advance(keepers.left - AHEAD - 2 * SOON)
    keepers.round(name)
    while keepers.record.value == before:
        assert keepers.left > AHEAD - 2 * TICK
        keepers.clock.advance(TICK)
        keepers.round(name)
    keepers.until(keepers.written)
