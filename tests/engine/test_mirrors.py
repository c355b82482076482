"""Mirrors: each new token is written where other programs look, and what goes wrong there harms no token."""

from __future__ import annotations

import gc
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from pymemcache import Client
from redis import Redis
from redis.exceptions import NoPermissionError
from stores.redis_server import in_children
from support.background import landed

from wxmiddleware import Account, ConfigurationError, EventType, Runtime, StoreError, TokenEvent, TokenProvider
from wxmiddleware._engine import mirrors
from wxmiddleware._engine.link import StoreLink
from wxmiddleware.layouts import (
    ArticleFile,
    ArticleMemcached,
    ArticleTable,
    CoWechatApiFile,
    Kept,
    Layout,
    LayoutToken,
    PlainMemcached,
    PlainRedis,
)
from wxmiddleware.stores import Loaded, Record
from wxmiddleware.stores.memory import MemoryStore
from wxmiddleware.testing import ScriptedSource

START = 1_795_819_524.0
ACCOUNT = Account("wx1", "5ecret")
PATIENCE = 20.0  # seconds of real time


class Ours:
    """One process's view of a store that others share."""

    shared = True

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def load(self, key: str) -> Loaded:
        return self._store.load(key)

    def save(self, key: str, record: Record, version: Any) -> Any:
        return self._store.save(key, record, version)


class FakeLayout:
    """Keeps what is written, unless it is told to hang or to fail."""

    name = "a layout"

    def __init__(self) -> None:
        self.kept: Kept | None = None
        self.written: list[str] = []
        self.failures: list[BaseException] = []
        self.before: Callable[[str], object] = lambda value: None
        self.reads = 0

    def read(self) -> Kept | None:
        self.reads += 1
        if self.failures:
            raise self.failures.pop()
        return self.kept

    def write(self, value: str, expires_at: float) -> None:
        self.before(value)
        if self.failures:
            raise self.failures.pop()
        self.written.append(value)
        self.kept = Kept(value, expires_at)


class Stage:
    """A source, a store, a clock, and what makes providers of them."""

    def __init__(self) -> None:
        self.now = START
        self.source = ScriptedSource()
        self.store = MemoryStore(clock=self.clock)
        self.layout = FakeLayout()
        self.events: list[TokenEvent] = []
        self.made: list[TokenProvider] = []
        self._runtime = Runtime(clock=self.clock, time=self.clock, sleep=self.advance, random=lambda: 0.5)

    def clock(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds

    def process(self, *layouts: Any, **options: Any) -> TokenProvider:
        """A provider as of another process."""
        self.made.append(
            TokenProvider(
                ACCOUNT,
                source=self.source,
                store=Ours(self.store),
                mirrors=layouts or [self.layout],
                observers=[self.events.append],
                runtime=self._runtime,
                **options,
            )
        )
        return self.made[-1]

    def told(self) -> list[EventType]:
        return [each.name for each in self.events if each.name.value.startswith("mirror")]


@pytest.fixture(autouse=True)
def _pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again at once, and look hardly ever."""
    monkeypatch.setattr(mirrors, "_SHORTEST", 0.01)
    monkeypatch.setattr(mirrors, "_LOOK", 1000.0)


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    for provider in stage.made:
        provider.close()
    eventually(lambda: not workers())


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look all the time whether the token is still there."""
    monkeypatch.setattr(mirrors, "_LOOK", 0.01)


def eventually(predicate: Callable[[], object]) -> None:
    """Wait for what goes on in the background."""
    deadline = time.monotonic() + PATIENCE
    while not predicate():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def looked(stage: Stage) -> None:
    """Wait until the mirror has looked at least once more, from begin to end."""
    seen = stage.layout.reads
    eventually(lambda: stage.layout.reads > seen + 1)


def workers() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "wxmiddleware-mirror"]


class TestWrite:
    def test_our_own_store_first(self, stage: Stage) -> None:
        """The token is in our store when it is written elsewhere, with its end in seconds since 1970."""
        stage.source.answer("T1")
        found: list[str | None] = []
        key = stage.process()._own.key
        stage.layout.before = lambda value: found.append((stage.store.load(key).record or Record()).value)

        assert "T1" == stage.made[0].get_token()
        eventually(lambda: stage.layout.kept)

        assert ["T1"] == found
        assert Kept("T1", START + 7200) == stage.layout.kept

    def test_each_token(self, stage: Stage) -> None:
        """The next one is written, too, and each layout has it."""
        second = FakeLayout()
        stage.source.answer("T1", "T2")
        provider = stage.process(stage.layout, second)

        provider.get_token()
        eventually(lambda: ["T1"] == stage.layout.written == second.written)
        stage.advance(60)
        provider.get_token(rejected="T1")

        eventually(lambda: ["T1", "T2"] == stage.layout.written == second.written)
        assert [] == stage.told()

    def test_a_token_that_is_there(self, stage: Stage) -> None:
        """A provider that comes later, when the process has a token already, writes that."""
        stage.source.answer("T1")
        first, second = FakeLayout(), FakeLayout()
        store = Ours(stage.store)
        options: dict[str, Any] = {"source": stage.source, "store": store, "runtime": stage._runtime}
        stage.made = [TokenProvider(ACCOUNT, mirrors=[first], **options)]
        stage.made[0].get_token()
        eventually(lambda: first.written)

        stage.made.append(TokenProvider(ACCOUNT, mirrors=[second], **options))

        eventually(lambda: ["T1"] == second.written)

    def test_child(self, tmp_path: Path) -> None:
        """A forked child writes what it fetches, also if its parent has."""
        path = tmp_path / "access_token.json"
        layout, source = ArticleFile(path), ScriptedSource("T1", "T2")
        provider = TokenProvider(ACCOUNT, source=source, mirrors=[layout])
        provider.get_token()
        eventually(lambda: (layout.read() or Kept("", 0)).value == "T1")

        def work() -> str:
            provider.get_token(rejected="T1")
            eventually(lambda: (layout.read() or Kept("", 0)).value == "T2")
            return "well"

        assert ["well"] == in_children(work, 1)
        provider.close()

    def test_a_short_program(self, tmp_path: Path) -> None:
        """One that ends as soon as it has its token has written it."""
        path = tmp_path / "access_token.json"
        program = f"""
import time
from wxmiddleware import Account, TokenProvider
from wxmiddleware.layouts import ArticleFile
from wxmiddleware.testing import ScriptedSource

class Slow(ArticleFile):
    def write(self, value, expires_at):
        time.sleep(0.2)
        super().write(value, expires_at)

provider = TokenProvider(Account("wx1", "5ecret"), source=ScriptedSource("T1"), mirrors=[Slow({str(path)!r})])
print(provider.get_token())
"""
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)

        assert ("T1\n", "") == (done.stdout, done.stderr)
        assert "T1" == (ArticleFile(path).read() or Kept("", 0)).value


class TestTrouble:
    def test_hangs(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        """A write that hangs holds up nobody, is told, and goes on when it can."""
        monkeypatch.setattr(mirrors, "_HANGS", 0.02)
        gate, second = threading.Event(), FakeLayout()
        stage.layout.before = lambda value: gate.wait(PATIENCE)
        stage.source.answer("T1", "T2")
        provider = stage.process(stage.layout, second)

        assert "T1" == provider.get_token()
        eventually(lambda: EventType.MIRROR_FAILED in stage.told())
        assert "give its client a timeout" in next(each.message for each in stage.events if each.mirror)
        stage.advance(60)
        assert "T2" == provider.get_token(rejected="T1")
        eventually(lambda: second.written[-1:] == ["T2"])
        assert [] == stage.layout.written

        gate.set()
        eventually(lambda: stage.layout.written[-1:] == ["T2"])
        eventually(lambda: EventType.MIRROR_BACK in stage.told())
        assert [EventType.MIRROR_FAILED, EventType.MIRROR_BACK] == stage.told()

    @pytest.mark.parametrize("kind", [RuntimeError, TimeoutError, SystemExit])
    def test_fails(self, stage: Stage, kind: type[BaseException]) -> None:
        """It is told once, with the layout's name and no word of the error, and tried again until it works."""
        stage.layout.failures = [kind("T1 and the password")] * 4
        stage.source.answer("T1")

        stage.process().get_token()
        eventually(lambda: stage.layout.written)
        eventually(lambda: EventType.MIRROR_BACK in stage.told())

        failed, back = (each for each in stage.events if each.name.value.startswith("mirror"))
        assert (EventType.MIRROR_FAILED, "a layout") == (failed.name, failed.mirror)
        assert (EventType.MIRROR_BACK, "a layout") == (back.name, back.mirror)
        assert failed.message.startswith(f"a layout: The token could not be written ({kind.__name__}).")
        assert "T1" not in repr(failed) + repr(back)
        assert "password" not in repr(failed)

    @pytest.mark.parametrize(
        ("error", "said"),
        [
            (ConnectionRefusedError("T1"), "Nothing listens there. Check host and port"),
            (PermissionError(13, "T1"), "This user may not. Check the rights"),
            (OSError(28, "No space left on device"), "Make room"),
            (OSError(30, "Read-only file system"), "can only be read. Mount it otherwise"),
            (NoPermissionError("T1"), "+get +set +pttl"),
            (sqlite3.OperationalError("no such table: T1"), "The table is missing there. Make it"),
            (KeyError("T1"), "call the layout's write() on a shell to see it"),
            (StoreError("T1"), "call the layout's write() on a shell to see it"),
        ],
    )
    def test_cure(self, stage: Stage, error: BaseException, said: str) -> None:
        """Each failure comes with what to do, and with no word of an error that is not ours."""
        stage.layout.failures = [error]
        stage.source.answer("T1")
        stage.process().get_token()
        eventually(lambda: EventType.MIRROR_FAILED in stage.told())

        failed = next(each for each in stage.events if each.name is EventType.MIRROR_FAILED)
        assert said in failed.message
        assert "T1" not in failed.message

    def test_cure_of_ours(self, stage: Stage, tmp_path: Path) -> None:
        """What a layout of ours says itself is repeated: it names the path and what stands there."""
        layout = ArticleFile(tmp_path / "pipe")
        os.mkfifo(tmp_path / "pipe")
        stage.source.answer("T1")
        stage.process(layout).get_token()
        eventually(lambda: EventType.MIRROR_FAILED in stage.told())

        failed = next(each for each in stage.events if each.name is EventType.MIRROR_FAILED)
        assert f"{tmp_path}/pipe is not a regular file" in failed.message

    def test_a_name_that_fails(self, stage: Stage) -> None:
        """It is asked for once, and does not end the thread later."""

        class Named(FakeLayout):
            asked = 0

            @property
            def name(self) -> str:  # type: ignore[override]
                self.asked += 1
                if self.asked > 2:
                    raise RuntimeError
                return "a name"

        stage.layout = Named()
        stage.layout.failures = [ConnectionError()]
        stage.source.answer("T1")
        stage.process().get_token()

        eventually(lambda: ["T1"] == stage.layout.written)
        eventually(lambda: EventType.MIRROR_BACK in stage.told())
        assert {"a name", None} >= {each.mirror for each in stage.events}

    def test_what_was_fetched_here(self, stage: Stage) -> None:
        """It is written over another program's later token also if that takes two tries."""
        stage.layout.kept = Kept("PHP", START + 9000)
        stage.layout.failures = [ConnectionError()]
        stage.source.answer("T1")

        stage.process().get_token()

        eventually(lambda: ["T1"] == stage.layout.written)

    def test_our_own_store_is_down(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        """A token that only this process has is written all the same."""
        provider = stage.process()

        def down(*_: object) -> None:
            raise ConnectionError

        monkeypatch.setattr(Ours, "load", down)
        monkeypatch.setattr(Ours, "save", down)
        stage.source.answer("T1")

        provider.get_token()

        eventually(lambda: ["T1"] == stage.layout.written)

    def test_no_thread(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where no thread can be started, the next refresh tries again."""
        monkeypatch.setattr(mirrors, "start_thread", lambda *_: None)
        stage.source.answer("T1", "T2")
        provider = stage.process()
        provider.get_token()
        monkeypatch.undo()
        stage.advance(60)
        provider.get_token(rejected="T1")

        eventually(lambda: ["T2"] == stage.layout.written)


class TestOlderOverNewer:
    def test_a_slow_write_is_overtaken(self, stage: Stage) -> None:
        """What lands late over a newer token is followed at once by that; it does not stay."""
        gate, held, slow = threading.Event(), threading.Event(), FakeLayout()

        def before(value: str) -> None:
            held.set()
            gate.wait(PATIENCE)

        slow.before = before
        slow.written = stage.layout.written  # two ways to one place
        stage.source.answer("T1", "T2")
        stage.process(slow).get_token()
        held.wait(PATIENCE)
        stage.advance(60)
        stage.process().get_token(rejected="T1")
        eventually(lambda: stage.layout.written[-1:] == ["T2"])

        gate.set()

        eventually(lambda: stage.layout.written[-3:] == ["T2", "T1", "T2"])

    @pytest.mark.usefixtures("often")
    def test_a_write_that_was_given_up_lands_late(self, stage: Stage) -> None:
        """The client has given up, its server has not: an older token of ours is written over, also without an end."""
        stage.layout.failures = [TimeoutError()] * 3
        stage.source.answer("T1", "T2")
        provider = stage.process()
        provider.get_token()
        eventually(lambda: not stage.layout.failures)
        stage.advance(60)
        provider.get_token(rejected="T1")
        eventually(lambda: stage.layout.written[-1:] == ["T2"])

        stage.layout.kept = Kept("T1", None)

        eventually(lambda: stage.layout.written[-2:] == ["T2", "T2"])

    @pytest.mark.usefixtures("often")
    def test_who_has_hung_is_gone(self, stage: Stage) -> None:
        """Another process writes the newest token again, over the older one that it knows."""
        stage.source.answer("T1", "T2")
        slow, provider = FakeLayout(), stage.process()
        stage.process(slow).get_token()
        provider.get_token()
        eventually(lambda: ["T1"] == stage.layout.written)
        provider.get_token(rejected="T1")
        eventually(lambda: ["T1", "T2"] == stage.layout.written)
        looked(stage)

        for _ in range(2):
            written = len(stage.layout.written)
            stage.layout.kept = Kept("T1", None)
            eventually(lambda: len(stage.layout.written) > written)  # noqa: B023 - called here
        assert {"T2"} == set(stage.layout.written[1:])

    def test_looks_before_it_writes(self, stage: Stage) -> None:
        """One that could not write for long writes the newest token, also if another process has fetched that."""
        stage.layout.failures = [ConnectionError()] * 10_000
        stage.source.answer("T1", "T2")
        slow, other = stage.process(), stage.process(FakeLayout())
        slow.get_token()
        eventually(lambda: EventType.MIRROR_FAILED in stage.told())
        stage.advance(60)
        other.get_token(rejected="T1")
        stage.layout.failures = []

        eventually(lambda: ["T2"] == stage.layout.written)

    @pytest.mark.usefixtures("often")
    def test_fetched_during_a_look(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        """What is fetched while the store is read is written, and not what was read."""
        stage.source.answer("T1", "T2")
        stage.process(FakeLayout()).get_token()
        stage.layout.kept = Kept("PHP", START + 9000)
        provider = stage.process()
        provider.get_token()
        looked(stage)
        stage.advance(60)
        real = StoreLink.read

        def read(link: StoreLink) -> Record:
            record = real(link)
            if link is provider._own.link and record.value == "T1":
                provider.get_token(rejected="T1")
                eventually(lambda: provider._mirrors[0]._fetched)
            return record

        monkeypatch.setattr(StoreLink, "read", read)

        eventually(lambda: "T2" in stage.layout.written)
        assert ["T2"] == stage.layout.written

    @pytest.mark.usefixtures("often")
    @pytest.mark.parametrize("end", [None, START + 7200])
    def test_its_own(self, stage: Stage, end: float | None) -> None:
        """What it has written itself it writes over when another process has fetched, however soon that was."""
        stage.source.answer("T1", "T2")
        one, other = stage.process(), stage.process(FakeLayout())
        one.get_token()
        eventually(lambda: ["T1"] == stage.layout.written)
        stage.layout.kept = Kept("T1", end)
        stage.advance(3)

        other.get_token(rejected="T1")

        eventually(lambda: ["T1", "T2"] == stage.layout.written)

    @pytest.mark.usefixtures("often")
    def test_a_token_that_the_apis_do_not_know_yet(self, stage: Stage) -> None:
        """The one before is handed out again for a moment, and is not written over the newest."""
        stage.source.answer("T1", "T2")
        provider = stage.process()
        provider.get_token()
        eventually(lambda: ["T1"] == stage.layout.written)
        provider._own.expect_the_end()
        provider.get_token()
        landed()
        eventually(lambda: ["T1", "T2"] == stage.layout.written)
        assert "T1" == provider.get_token(rejected="T2")

        stage.layout.kept = None

        eventually(lambda: ["T1", "T2", "T2"] == stage.layout.written)


@pytest.mark.usefixtures("often")
class TestLook:
    def start(self, stage: Stage, kept: Kept | None) -> None:
        """A process takes over a token from the store, and this is in the layout."""
        stage.source.answer("T1")
        stage.process(FakeLayout()).get_token()
        stage.layout.kept = kept
        stage.process().get_token()

    @pytest.mark.parametrize(
        "kept", [None, Kept("T0", START + 6000), Kept("T0", None), Kept("T1", START + 6000)]
    )  # fmt: skip
    def test_what_is_missing(self, stage: Stage, kept: Kept | None) -> None:
        """Who fetched has died before it could write: a process that takes the token over does."""
        self.start(stage, kept)

        eventually(lambda: ["T1"] == stage.layout.written)

    @pytest.mark.parametrize("kept", [Kept("T1", None), Kept("T1", START + 7197)])
    def test_what_is_there(self, stage: Stage, kept: Kept) -> None:
        """Nothing is written over the same token."""
        self.start(stage, kept)
        looked(stage)

        assert [] == stage.layout.written
        assert [] == stage.told()

    def test_another_program(self, stage: Stage) -> None:
        """A token of another program's that ends later is left alone, and told, until we fetch."""
        self.start(stage, Kept("PHP", START + 9000))
        looked(stage)
        assert [] == stage.layout.written
        assert [EventType.MIRROR_FAILED] == stage.told()

        stage.advance(60)
        stage.source.answer("T2")
        stage.made[-1].get_token(rejected="T1")

        eventually(lambda: ["T2"] == stage.layout.written)
        eventually(lambda: [EventType.MIRROR_FAILED, EventType.MIRROR_BACK] == stage.told())

    def test_evicted(self, stage: Stage) -> None:
        """What is gone is written again."""
        self.start(stage, None)
        eventually(lambda: ["T1"] == stage.layout.written)

        stage.layout.kept = None

        eventually(lambda: ["T1", "T1"] == stage.layout.written)

    def test_write_again(self, stage: Stage) -> None:
        """Where entries end before the token does, they are written in time."""
        stage.layout.write_again = 1200.0  # type: ignore[attr-defined]
        self.start(stage, None)
        eventually(lambda: ["T1"] == stage.layout.written)
        stage.advance(1190)
        looked(stage)
        assert ["T1"] == stage.layout.written

        stage.advance(20)

        eventually(lambda: ["T1", "T1"] == stage.layout.written)


class TestEnd:
    @pytest.mark.usefixtures("often")
    def test_over(self, stage: Stage) -> None:
        """When the token is over nothing is written, and no thread is left; the next one is."""
        stage.source.answer("T1", "T2")
        provider = stage.process()
        provider.get_token()
        eventually(lambda: ["T1"] == stage.layout.written)
        stage.layout.kept = None
        stage.layout.failures = [ConnectionError()] * 10_000

        stage.advance(8000)
        eventually(lambda: not workers())
        stage.layout.failures = []
        provider.get_token()

        eventually(lambda: ["T1", "T2"] == stage.layout.written)

    def test_closed(self, stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
        """A provider that is closed writes no more, and its thread ends without a word, also if a call hangs."""
        begun, gate = threading.Event(), threading.Event()

        def before(value: str) -> None:
            begun.set()
            gate.wait(PATIENCE)

        stage.layout.before = before
        stage.layout.failures = [ConnectionError()]
        stage.source.answer("T1")
        provider = stage.process()
        provider.get_token()
        begun.wait(PATIENCE)

        provider.close()
        gate.set()

        eventually(lambda: not workers())
        assert () == provider.observers
        assert "mirror" not in caplog.text
        assert [] == stage.layout.written


def dropped(stage: Stage) -> None:
    """Forget the providers, as a program does that never closes them."""
    stage.made.clear()
    gc.collect()


class TestDropped:
    def test_written(self, stage: Stage) -> None:
        """One that nobody has any more, and nobody has closed, leaves no thread behind."""
        stage.source.answer("T1")
        stage.process().get_token()
        eventually(lambda: stage.layout.written)

        dropped(stage)

        eventually(lambda: not workers())

    @pytest.mark.usefixtures("often")
    def test_not_written_yet(self, stage: Stage) -> None:
        """What it has fetched during a look is written all the same."""
        begun, gate, reading = threading.Event(), threading.Event(), stage.layout.read

        def read() -> Kept | None:
            begun.set()
            gate.wait(PATIENCE)
            return reading()

        stage.source.answer("T1", "T2")
        stage.process().get_token()
        eventually(lambda: stage.layout.written)
        stage.layout.read = read  # type: ignore[method-assign]
        begun.wait(PATIENCE)
        stage.advance(60)
        stage.made[0].get_token(rejected="T1")
        dropped(stage)
        gate.set()

        eventually(lambda: not workers())
        assert ["T1", "T2"] == stage.layout.written

    def test_overtaken(self, stage: Stage) -> None:
        """An older token that came over a newer one does not stay."""
        begun, gate = threading.Event(), threading.Event()
        stage.source.answer("T1", "T2")
        other = stage.process(FakeLayout())

        def before(value: str) -> None:
            begun.set()
            gate.wait(PATIENCE)
            if len(stage.layout.written) == 1:
                stage.advance(60)
                other.get_token(rejected="T1")

        stage.layout.before = before
        stage.layout.read = lambda: None  # type: ignore[method-assign]
        stage.process().get_token()
        begun.wait(PATIENCE)
        dropped(stage)
        stage.made.append(other)
        gate.set()

        eventually(lambda: ["T1", "T1", "T2"] == stage.layout.written)

    def test_fails(self, stage: Stage) -> None:
        """It does not try for ever."""
        stage.layout.failures = [ConnectionError()] * 100_000
        stage.source.answer("T1")
        stage.process().get_token()
        eventually(lambda: EventType.MIRROR_FAILED in stage.told())

        dropped(stage)

        eventually(lambda: not workers())

    def test_hangs(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        """It does not wait for ever."""
        monkeypatch.setattr(mirrors, "_HANGS", 0.02)
        gate = threading.Event()
        stage.layout.before = lambda value: gate.wait()
        stage.source.answer("T1")
        stage.process().get_token()
        eventually(lambda: EventType.MIRROR_FAILED in stage.told())

        dropped(stage)

        eventually(lambda: not workers())
        gate.set()

    @pytest.mark.parametrize("line", range(1, 13))
    def test_in_its_own_thread(self, stage: Stage, line: int) -> None:
        """A finaliser may run in any thread and at any line, also where that looks whether there is something to do."""
        bell, lines = stage.process()._mirrors[0]._woken, iter(range(1, 1000))

        def trace(*_: object) -> Any:
            if next(lines) == line:
                bell.set()
            return trace

        def look() -> None:
            sys.settrace(trace)
            bell.clear()
            bell.is_set()
            bell.wait(0)
            sys.settrace(None)

        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        thread.join(PATIENCE)

        assert not thread.is_alive()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"mirrors": "redis://localhost"}, "mirrors must be a list"),
        ({"mirrors": FakeLayout()}, "mirrors must be a list"),
        ({"mirrors": [object()]}, "A mirror is a layout"),
        ({"mirrors": [FakeLayout]}, "not the class FakeLayout"),
        ({"mirrors": [FakeLayout()], "follow": True, "store": MemoryStore()}, "follow=True never does"),
        ({"mirrors": [FakeLayout()], "cache": False}, "cache=False and no store"),
    ],
)
def test_bad_settings(options: dict[str, Any], says: str) -> None:
    """They are told at construction."""
    with pytest.raises(ConfigurationError, match=says):
        TokenProvider(ACCOUNT, **options)


def test_frozen_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where threads do not run between requests, that is told."""
    monkeypatch.setattr(mirrors, "threads_freeze", lambda: True)
    with pytest.raises(ConfigurationError, match="enable-threads"):
        TokenProvider(ACCOUNT, mirrors=[FakeLayout()])


@pytest.mark.parametrize("other", [ArticleFile, CoWechatApiFile])
def test_what_is_read(tmp_path: Path, other: Callable[[Path], Any]) -> None:
    """Where another program owns the token nothing is written, be it by the same layout or by one of the same file."""
    (tmp_path / "link").symlink_to(tmp_path / "a.json")
    layout = ArticleFile(tmp_path / "a.json")
    for mirror in (layout, other(tmp_path / "a.json"), other(tmp_path / "link")):
        with pytest.raises(ConfigurationError, match="its owner alone writes there"):
            TokenProvider(Account("wx1"), source=LayoutToken(layout), mirrors=[mirror])

    elsewhere = other(tmp_path / "b.json")
    TokenProvider(Account("wx1"), source=LayoutToken(layout), mirrors=[elsewhere]).close()


def test_what_is_read_by_a_layout_of_ones_own() -> None:
    """A user's layout is known by itself alone: another one of the same name may be elsewhere."""
    layout = FakeLayout()
    with pytest.raises(ConfigurationError, match="a layout is where this provider reads the token"):
        TokenProvider(Account("wx1"), source=LayoutToken(layout), mirrors=[layout])
    TokenProvider(Account("wx1"), source=LayoutToken(layout), mirrors=[FakeLayout()]).close()


def test_what_is_read_on_a_server() -> None:
    """Keys, entries and rows are known by the client and the name."""
    client, cache = Redis(), Client(("127.0.0.1", 1))
    engine = sqlalchemy.create_engine("sqlite://")
    pairs: list[tuple[Layout, Layout, Layout]] = [
        (PlainRedis(client, "a"), PlainRedis(client, "a"), PlainRedis(Redis(port=1), "a")),
        (PlainMemcached(cache, "wx1"), ArticleMemcached(cache, "wx1"), PlainMemcached(cache, "wx2")),
        (ArticleTable(engine), ArticleTable(engine), ArticleTable(engine, row="jsapi_ticket")),
    ]
    for layout, same, other in pairs:
        with pytest.raises(ConfigurationError, match="its owner alone writes there"):
            TokenProvider(Account("wx1"), source=LayoutToken(layout), mirrors=[same])
        TokenProvider(Account("wx1"), source=LayoutToken(layout), mirrors=[other]).close()
