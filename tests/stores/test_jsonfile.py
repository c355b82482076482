"""Tokens in a JSON file. What it has in common with the other stores: contract.py."""

from __future__ import annotations

import errno
import json
import math
import os
import select
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from stores.contract import KEY, SECRET, TOKEN, TokenStoreContract, record
from stores.fleet import Fleet, one_fetch
from stores.redis_server import in_children
from support.prelude import fork_in_c

from wxmiddleware import ConfigurationError, StoreError
from wxmiddleware._rules.models import Lease, Loaded, Record
from wxmiddleware._runtime import process
from wxmiddleware.simulator import SimulatedClock
from wxmiddleware.stores import jsonfile
from wxmiddleware.stores.jsonfile import JSONFileStore

if sys.platform == "win32":
    pytest.skip("needs flock", allow_module_level=True)

import fcntl

OTHER = f"{KEY}:other"
MESSAGES = "wx:wx1:webhook:3f"
HALF = json.dumps({"wxmiddleware": 1, "records": {KEY: {"stamp": "a", "record": {"v": 1, "value": TOKEN}}}})
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
forks = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    directory = tmp_path / "tokens"
    directory.mkdir()
    return directory / "access_token.json"


@pytest.fixture
def store(path: Path) -> JSONFileStore:
    return JSONFileStore(path)


def put(store: JSONFileStore, key: str = KEY, **changes: Any) -> Record:
    """Save a record, whatever is there."""
    loaded = store.load(key)
    made = record(loaded.now, **changes)
    assert store.save(key, made, loaded.version) is not None
    return made


def names(path: Path) -> list[str]:
    """What lies in the directory of the file."""
    return sorted(each.name for each in path.parent.iterdir())


def everything(path: Path) -> list[str]:
    """The same with all that lies below it."""
    return sorted(str(each.relative_to(path.parent)) for each in path.parent.rglob("*"))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


class TestJSONFileStore(TokenStoreContract):
    @pytest.fixture
    def store(self, path: Path) -> JSONFileStore:
        return JSONFileStore(path)

    @pytest.fixture
    def second(self, path: Path) -> JSONFileStore:
        return JSONFileStore(path)


class OfMessages(JSONFileStore):
    """Keeps what the contract's tests keep where a webhook would."""

    def load(self, key: str) -> Loaded:
        return super().load(f"{key}:webhook:3f")

    def save(self, key: str, record: Record, version: str) -> str | None:
        return super().save(f"{key}:webhook:3f", record, version)


class TestOfMessages(TokenStoreContract):
    """What holds for tokens holds for messages."""

    @pytest.fixture
    def store(self, path: Path) -> JSONFileStore:
        return OfMessages(path)

    @pytest.fixture
    def second(self, path: Path) -> JSONFileStore:
        return OfMessages(path)


class TestFile:
    def test_path(self, store: JSONFileStore, path: Path) -> None:
        """It says where it is, and cannot be sent elsewhere."""
        assert str(path) == store.path
        with pytest.raises(AttributeError):
            store.path = "/elsewhere"  # type: ignore[misc]

    def test_shared(self, store: JSONFileStore) -> None:
        """Other processes write to it."""
        assert store.shared is True

    def test_what_is_in_it(self, store: JSONFileStore, path: Path) -> None:
        """One JSON object with the records by their keys; no secret, neither in it nor in a name."""
        put(store)
        put(store, OTHER)
        content = json.loads(path.read_text())

        assert content["wxmiddleware"] == 1
        assert [KEY, OTHER] == sorted(content["records"])
        assert content["records"][KEY]["record"]["value"] == TOKEN
        assert SECRET not in path.read_text() + str(names(path))

    def test_names(self, store: JSONFileStore, path: Path) -> None:
        """Nothing but the file and its lock is left behind."""
        put(store)

        assert ["access_token.json", "access_token.json.lock"] == names(path)

    @pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o177])
    def test_modes(self, store: JSONFileStore, path: Path, umask: int) -> None:
        """Only the owner may read, whatever the umask."""
        before = os.umask(umask)
        try:
            put(store)
            put(store)
        finally:
            os.umask(before)

        assert mode(path) == 0o600
        assert mode(path.with_name("access_token.json.lock")) == 0o600

    def test_mode_of_a_file_that_was_open(self, store: JSONFileStore, path: Path) -> None:
        """A file that others could read is closed to them with the next save."""
        put(store)
        path.chmod(0o644)
        put(store)

        assert mode(path) == 0o600

    def test_loading_leaves_nothing(self, store: JSONFileStore, path: Path) -> None:
        """Who only reads creates nothing."""
        store.load(KEY)

        assert names(path) == []

    def test_clock(self, path: Path) -> None:
        """The time it tells is that of the clock it was given."""
        clock = SimulatedClock(1_700_000_000.0)

        assert JSONFileStore(path, clock=clock).load(KEY).now == 1_700_000_000.0
        assert JSONFileStore(path).load(KEY).now == pytest.approx(time.time(), abs=5)

    def test_expired_records_go(self, path: Path) -> None:
        """What has ended is dropped with the next save; what lives stays."""
        clock = SimulatedClock(1_700_000_000.0)
        store = JSONFileStore(path, clock=clock)
        put(store, "short", expires_at=clock() + 100)
        put(store, "leased", expires_at=-math.inf, lease=Lease("1-a", clock() + 300))
        put(store, "long")
        clock.advance(200)
        put(store)

        assert {KEY, "leased", "long"} == set(json.loads(path.read_text())["records"])

    def test_over_when_it_is_saved(self, store: JSONFileStore) -> None:
        """A record with nothing left to remember replaces the one that is there."""
        put(store)
        version = store.save(KEY, Record(3, TOKEN, expires_at=1.0), store.load(KEY).version)

        assert version == store.load(KEY).version
        assert store.load(KEY).record is None

    def test_stamp_is_new(self, store: JSONFileStore, path: Path) -> None:
        """A version from before the file was deleted is of no use after it."""
        version = store.save(KEY, record(time.time()), "")
        path.unlink()

        assert store.save(KEY, record(time.time(), 2), version or "") is None
        assert put(store)
        assert store.save(KEY, record(time.time(), 3), version or "") is None

    def test_keys(self, store: JSONFileStore, path: Path) -> None:
        """It can list what it holds; listing creates nothing."""
        before = store.keys(), names(path)
        put(store, OTHER)
        put(store)

        assert ([], []) == before
        assert [KEY, OTHER] == store.keys()

    def test_keys_of_broken_records(self, store: JSONFileStore, path: Path) -> None:
        """What is no record is not listed; what a later version has written is."""
        put(store)
        content = json.loads(path.read_text())
        content["records"] |= {"none": None, "number": 5, "later": {"stamp": "a", "record": {"v": 2}}}
        path.write_text(json.dumps(content))

        assert [KEY, "later"] == sorted(store.keys(), key=len, reverse=True)

    def test_keys_of_somebody_elses(self, store: JSONFileStore, path: Path) -> None:
        """A file that is none of ours is said so."""
        path.write_text("[]")

        with pytest.raises(StoreError, match="not a file of tokens"):
            store.keys()

    def test_name_survives_a_crash(self, store: JSONFileStore, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The directory is synced after the file has its name, and without the lock."""
        real, synced = os.fsync, []

        def note(descriptor: int) -> None:
            if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                synced.append((os.path.samestat(os.fstat(descriptor), path.parent.stat()), path.exists(), store._locks))
            real(descriptor)

        monkeypatch.setattr(os, "fsync", note)
        put(store)

        assert [(True, True, set())] == synced

    def test_directory_that_cannot_be_synced(self, store: JSONFileStore, monkeypatch: pytest.MonkeyPatch) -> None:
        """Some file systems refuse that; the record is saved all the same."""
        real = os.fsync

        def refuse(descriptor: int) -> None:
            if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                raise OSError(errno.EINVAL, "no")
            real(descriptor)

        monkeypatch.setattr(os, "fsync", refuse)

        assert put(store) == store.load(KEY).record

    @pytest.mark.parametrize("target_there", [True, False])
    def test_symbolic_link(self, path: Path, tmp_path: Path, target_there: bool) -> None:
        """What a link leads to is replaced, and the lock is the same by either name."""
        link = tmp_path / "link.json"
        link.symlink_to(path)
        if target_there:
            put(JSONFileStore(path))
        saved = put(JSONFileStore(link))

        assert link.is_symlink()
        assert saved == JSONFileStore(path).load(KEY).record
        assert ["access_token.json", "access_token.json.lock"] == names(path)
        assert not (tmp_path / "link.json.lock").exists()

    def test_relative_path(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A relative path means the same file after the working directory has changed."""
        monkeypatch.chdir(path.parent)
        store = JSONFileStore(path.name)
        monkeypatch.chdir("/")
        put(store)

        assert path.exists()
        assert repr(store) == f"JSONFileStore({str(path)!r})"

    def test_lock_that_was_deleted(self, store: JSONFileStore, path: Path) -> None:
        """A waiter whose lock file was deleted meanwhile takes the new one, and does not wait for the old one."""
        put(store)
        lock = path.with_name("access_token.json.lock")
        with lock.open() as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            with ThreadPoolExecutor(1) as pool:
                saving = pool.submit(put, store, generation=2)
                deadline = time.monotonic() + 20
                while not store._locks:
                    assert time.monotonic() < deadline
                lock.unlink()
                saved = saving.result(20)

        assert saved == store.load(KEY).record
        assert lock.exists()

    @pytest.mark.parametrize("others", [True, False])
    def test_lock_deleted_under_its_holder(
        self, store: JSONFileStore, path: Path, monkeypatch: pytest.MonkeyPatch, others: bool
    ) -> None:
        """A holder that goes on after its lock file was deleted does not undo what others have saved since."""
        put(store)
        put(store, OTHER)
        version = store.load(KEY).version
        real = os.fsync

        def stop(descriptor: int) -> None:
            monkeypatch.setattr(os, "fsync", real)
            path.with_name("access_token.json.lock").unlink()
            if others:
                put(JSONFileStore(path), OTHER, generation=3)
            real(descriptor)

        monkeypatch.setattr(os, "fsync", stop)
        saved = store.save(KEY, record(time.time(), 2), version)

        assert saved is None
        assert version == store.load(KEY).version
        assert getattr(store.load(OTHER).record, "generation", None) == (3 if others else 1)
        assert not path.with_name("access_token.json.tmp").exists()
        assert put(store)

    def test_lock_for_ever(self, store: JSONFileStore, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A lock that nobody gives back is an error after a while; reading needs none."""
        monkeypatch.setattr(jsonfile, "_LOCK_LONGEST", 0.05)
        saved = put(store)
        with path.with_name("access_token.json.lock").open() as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            with pytest.raises(StoreError, match="continue or end it"):
                put(store)

            assert saved == store.load(KEY).record
        assert put(store)

    @pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc/locks")
    def test_stopped_holder(self, store: JSONFileStore, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """For a process that was stopped while it holds the lock nobody waits long."""
        monkeypatch.setattr(jsonfile, "_LOCK_PATIENCE", 0.05)
        monkeypatch.setattr(jsonfile, "_LOCK_LONGEST", 1000.0)
        put(store)
        code = "import fcntl, os, signal; fcntl.flock(0, fcntl.LOCK_EX); os.kill(os.getpid(), signal.SIGSTOP)"
        with path.with_name("access_token.json.lock").open() as held:
            stopped = subprocess.Popen([sys.executable, "-c", code], stdin=held)
            try:
                assert os.WIFSTOPPED(os.waitpid(stopped.pid, os.WUNTRACED)[1])
                with pytest.raises(StoreError, match="continue or end it"):
                    put(store)
            finally:
                stopped.kill()
                stopped.wait()

        assert put(store)

    def test_slow_disk(self, store: JSONFileStore, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A writer that waits for the disk has not been stopped, however long its fsync takes."""
        monkeypatch.setattr(jsonfile, "_LOCK_PATIENCE", 0.02)
        monkeypatch.setattr(jsonfile, "_LOCK_LONGEST", 1000.0)
        asked: list[int] = []
        stopped = process.lock_is_stopped

        def ask(inode: int) -> bool:
            asked.append(inode)
            return stopped(inode)

        monkeypatch.setattr(process, "lock_is_stopped", ask)
        put(store)
        real, syncing = os.fsync, threading.Event()

        def slow(descriptor: int) -> None:
            monkeypatch.setattr(os, "fsync", real)
            syncing.set()
            deadline = time.monotonic() + 20
            while len(asked) < 3:
                assert time.monotonic() < deadline
            real(descriptor)

        monkeypatch.setattr(os, "fsync", slow)
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(put, store, OTHER)
            assert syncing.wait(20)
            second = put(store)

            assert first.result(20) == store.load(OTHER).record
            assert second == store.load(KEY).record

    def test_race_lost_while_waiting(self, store: JSONFileStore, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A waiter leaves as soon as another one has won, however long the lock is held."""
        monkeypatch.setattr(jsonfile, "_LOCK_PATIENCE", 1000.0)
        monkeypatch.setattr(jsonfile, "_LOCK_LONGEST", 1000.0)
        put(store)
        version = store.load(KEY).version
        won = path.read_text().replace(version, "f" * len(version))
        with path.with_name("access_token.json.lock").open() as held, ThreadPoolExecutor(1) as pool:
            fcntl.flock(held, fcntl.LOCK_EX)
            saving = pool.submit(store.save, KEY, record(time.time(), 2), version)
            deadline = time.monotonic() + 20
            while not store._locks:
                assert time.monotonic() < deadline
            path.with_name("won").write_text(won)
            path.with_name("won").replace(path)
            try:
                assert saving.result(20) is None
            finally:
                fcntl.flock(held, fcntl.LOCK_UN)

    def test_patience(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A waiter is patient while others write, up to a point."""
        now = 100.0
        monkeypatch.setattr(jsonfile, "time", SimpleNamespace(monotonic=lambda: now))

        def write() -> None:
            path.with_name("new").write_text("{}")
            path.with_name("new").replace(path)

        monkeypatch.setattr(process, "lock_is_stopped", [71].__contains__)
        file = jsonfile._File(str(path), str(path))
        idle, busy, pushing = (jsonfile._Patience(each) for each in (file, file, file._replace(of_messages=True)))
        lasted = []
        for _ in range(10):
            assert not busy.written()
            if not busy.over(71):
                lasted.append(busy.waited)
            if now == 103.0:
                assert [True, False, True] == [idle.over(71), idle.over(72), pushing.over(72)]
                idle._asked = -math.inf
            now += 1.0
            write()
            assert busy.written()

        assert idle.over(72)
        assert [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0] == lasted


class TestMessages:
    """What webhooks remember: often written, soon over, and no token."""

    @pytest.fixture
    def clock(self) -> SimulatedClock:
        return SimulatedClock(1_700_000_000.0)

    @pytest.fixture
    def store(self, path: Path, clock: SimulatedClock) -> JSONFileStore:
        return JSONFileStore(path, clock=clock)

    def below(self, path: Path) -> list[str]:
        """What lies in the directory of the messages."""
        return sorted(each.name for each in path.with_name("access_token.json.webhook").iterdir())

    def written(self, path: Path) -> tuple[int, int, int]:
        """What a save changes, and a reader does not (a reader may change the access time)."""
        status = path.stat()
        return status.st_ino, status.st_mtime_ns, status.st_size

    def test_files(self, store: JSONFileStore, path: Path) -> None:
        """They lie beside the tokens, by the last two digits of their keys; the tokens' file is not touched."""
        token = put(store)
        before = path.stat()
        saved = {key: put(store, key) for key in (MESSAGES, "wx:wx2:webhook:3f", "wx:wx1:webhook:00")}

        assert saved == {key: store.load(key).record for key in saved}
        assert before == path.stat()
        assert token == store.load(KEY).record
        assert [KEY] == store.keys()
        assert ["00.json", "00.json.lock", "3f.json", "3f.json.lock"] == self.below(path)

    @pytest.mark.parametrize("key", ["wx:wx1:webhook:3", "wx:wx1:webhook:3fa", "wx:wx1:webhook:3F", "webhook:3f"])
    def test_other_keys(self, store: JSONFileStore, path: Path, key: str) -> None:
        """Whatever only looks like such a key is a token's."""
        put(store, key)

        assert [key] == store.keys()
        assert ["access_token.json", "access_token.json.lock"] == names(path)

    def test_a_save_touches_one(self, store: JSONFileStore, path: Path) -> None:
        """A save leaves the other files alone, however many there are."""
        for number in range(8):
            put(store, f"wx:wx1:webhook:{number:02x}")
        directory = path.with_name("access_token.json.webhook")
        before = {name: self.written(directory / name) for name in self.below(path)}
        put(store, "wx:wx1:webhook:03")

        assert ["03.json"] == [name for name, seen in before.items() if self.written(directory / name) != seen]

    def test_does_not_wait_for_the_disk(self, store: JSONFileStore, monkeypatch: pytest.MonkeyPatch) -> None:
        """A push waits for no disk. A token does, and its name."""
        synced: list[int] = []
        monkeypatch.setattr(os, "fsync", synced.append)
        put(store, MESSAGES)
        of_messages = len(synced)
        put(store)

        assert [0, 2] == [of_messages, len(synced)]

    def test_older_version(self, store: JSONFileStore, path: Path) -> None:
        """What an older version had with the tokens goes when it is over; the tokens are good."""
        token = put(store)
        content = json.loads(path.read_text())
        for key, until in ((MESSAGES, -1.0), ("wx:wx1:webhook:40", 600.0)):
            old = {"v": 1, "value": "{}", "expires_at": store.load(KEY).now + until}
            content["records"][key] = {"stamp": "a", "record": old}
        path.write_text(json.dumps(content))

        assert token == store.load(KEY).record
        assert [KEY] == store.keys()
        put(store, OTHER)
        assert [KEY, OTHER, "wx:wx1:webhook:40"] == sorted(json.loads(path.read_text())["records"])

    @pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o177])
    def test_modes(self, store: JSONFileStore, path: Path, umask: int) -> None:
        """Only the owner may look, whatever the umask."""
        before = os.umask(umask)
        try:
            put(store, MESSAGES)
        finally:
            os.umask(before)
        directory = path.with_name("access_token.json.webhook")

        assert [0o700, 0o600, 0o600] == [mode(directory), *(mode(directory / name) for name in self.below(path))]

    def test_symbolic_link(self, store: JSONFileStore, path: Path, tmp_path: Path) -> None:
        """By whatever name the tokens are known, the messages are the same."""
        link = tmp_path / "link.json"
        link.symlink_to(path)
        saved = put(JSONFileStore(link), MESSAGES, expires_at=math.inf)

        assert saved == store.load(MESSAGES).record

    def test_loading_leaves_nothing(self, store: JSONFileStore, path: Path) -> None:
        """Who only reads creates nothing."""
        assert store.load(MESSAGES).record is None
        assert names(path) == []

    @pytest.mark.parametrize("key", [KEY, MESSAGES])
    def test_tidies(self, store: JSONFileStore, path: Path, clock: SimulatedClock, key: str) -> None:
        """What is over goes with a later save, whatever that saves: answers were in it. What lives stays."""
        put(store, "wx:wx1:webhook:00", expires_at=clock() + 100)
        put(store, "wx:wx1:webhook:01", expires_at=clock() + 1000)
        put(store, "wx:wx2:webhook:00", expires_at=clock() + 90)
        path.with_name("access_token.json.webhook").joinpath("02.json.tmp").touch()  # of one that was killed
        clock.advance(101)
        put(store, key)

        assert {"00.json", "00.json.lock", "02.json.tmp"}.isdisjoint(self.below(path))
        assert {"01.json", "01.json.lock"} <= set(self.below(path))
        assert store.load("wx:wx1:webhook:01").record is not None
        assert store.load("wx:wx1:webhook:00").version == ""

    def test_tidies_seldom(
        self, store: JSONFileStore, path: Path, clock: SimulatedClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It looks for that once a minute, not with every push; also if the clock was put back."""
        looks: list[float] = []
        real = os.listdir

        def look(name: str) -> list[str]:
            looks.append(store._clock())
            return real(name)

        monkeypatch.setattr(os, "listdir", look)
        began = clock()
        for _ in range(13):
            put(store, MESSAGES)
            clock.advance(10)
        store._clock = SimulatedClock(began - 1000)
        put(store, MESSAGES)

        assert [began, began + 60, began + 120, began - 1000] == looks

    def test_tidying_waits_for_nobody(
        self, store: JSONFileStore, path: Path, clock: SimulatedClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A file that somebody is about to write is left alone."""
        monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("It waits."))
        put(store, "wx:wx1:webhook:00", expires_at=clock() + 100)
        clock.advance(101)
        with path.with_name("access_token.json.webhook").joinpath("00.json.lock").open() as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            put(store)

        assert ["00.json", "00.json.lock"] == self.below(path)

    def test_tidying_sees_what_came_meanwhile(
        self, store: JSONFileStore, path: Path, clock: SimulatedClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A file that was written anew just before it would be removed stays."""
        put(store, MESSAGES, expires_at=clock() + 100)
        clock.advance(101)
        real, other = fcntl.flock, JSONFileStore(path, clock=clock)
        other._tidied = clock()
        saved = []

        def lock(descriptor: int, operation: int) -> None:
            if operation != fcntl.LOCK_UN and ".webhook" in os.readlink(f"/proc/self/fd/{descriptor}"):
                monkeypatch.setattr(fcntl, "flock", real)
                saved.append(put(other, MESSAGES, generation=2))
            real(descriptor, operation)

        if not Path("/proc/self/fd").exists():
            pytest.skip("needs /proc")
        monkeypatch.setattr(fcntl, "flock", lock)
        put(store)

        assert saved == [store.load(MESSAGES).record]

    @pytest.mark.parametrize("content", [b"", b"{", HALF[:-1].encode(), b"\0" * 100])
    def test_half_written(self, store: JSONFileStore, path: Path, content: bytes) -> None:
        """What is left of them when the machine went down counts as nothing."""
        put(store, MESSAGES)
        path.with_name("access_token.json.webhook").joinpath("3f.json").write_bytes(content)
        loaded = store.load(MESSAGES)
        saved = put(store, MESSAGES)

        assert loaded.record is None
        assert saved == store.load(MESSAGES).record

    @pytest.mark.parametrize(
        ("content", "says"), [("[]", "not a file of tokens"), ('{"wxmiddleware": 2}', "Update this process")]
    )
    def test_somebody_elses(
        self, store: JSONFileStore, path: Path, clock: SimulatedClock, content: str, says: str
    ) -> None:
        """A file that is none of ours, or a later version's, is named and left alone, also when tidying."""
        put(store, MESSAGES)
        file = path.with_name("access_token.json.webhook") / "3f.json"
        file.write_text(content)
        clock.advance(10_000)

        with pytest.raises(StoreError, match=says) as caught:
            put(store, MESSAGES)
        assert put(store, "wx:wx1:webhook:00")
        assert str(file) in str(caught.value)
        assert content == file.read_text()

    def test_no_directory(self, store: JSONFileStore, path: Path) -> None:
        """What stands in the way of the directory is said; tokens are saved all the same."""
        path.with_name("access_token.json.webhook").touch()

        with pytest.raises(StoreError, match=r"access_token\.json\.webhook is not a directory"):
            store.load(MESSAGES)
        with pytest.raises(StoreError, match=r"access_token\.json\.webhook is not a directory"):
            store.save(MESSAGES, record(time.time()), "")
        assert put(store) == store.load(KEY).record

    def test_directory_deleted(self, store: JSONFileStore, path: Path) -> None:
        """It is made anew when somebody has cleaned up."""
        put(store, MESSAGES)
        shutil.rmtree(path.with_name("access_token.json.webhook"))

        assert put(store, MESSAGES) == store.load(MESSAGES).record

    @forks
    @as_root
    @pytest.mark.parametrize("there", ["tokens", "messages"])
    def test_root_leaves_the_owner(self, path: Path, there: str) -> None:
        """What root saves stays the service's: the directory, the files, their locks."""
        store = JSONFileStore(path)
        os.chown(path.parent, 65534, 65534)
        told = as_nobody(path, lambda: outcome(put, store, KEY if there == "tokens" else "wx:wx1:webhook:00"))
        put(store, MESSAGES)
        told += as_nobody(path, lambda: outcome(put, store, MESSAGES), own=False)

        assert ["Record", "Record"] == [each.partition("(")[0] for each in told]


class TestConstruction:
    @pytest.mark.parametrize("path", ["", "a\0b", None, 5])
    def test_bad_path(self, path: Any) -> None:
        """What is no path is said at construction."""
        with pytest.raises(ConfigurationError, match="path"):
            JSONFileStore(path)

    @pytest.mark.parametrize("url", ["file:/var/lib/app/token.json", "redis://h/0"])
    def test_url(self, url: str) -> None:
        """A URL is no name of a file, though one could have it."""
        with pytest.raises(ConfigurationError, match="store_from_url"):
            JSONFileStore(url)

    def test_without_flock(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A platform without flock is said at construction."""
        monkeypatch.setattr(jsonfile, "fcntl", None)

        with pytest.raises(ConfigurationError, match="RedisStore"):
            JSONFileStore(path)

    def test_import_without_flock(self) -> None:
        """There the module can be imported all the same."""
        program = "import sys; sys.modules['fcntl'] = None\nimport wxmiddleware.stores.jsonfile"

        assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


class TestBadContent:
    @pytest.mark.parametrize(
        "content",
        [b"", b"{", HALF[:30].encode(), HALF[:-1].encode(), b"\0" * 100, HALF[:40].encode() + b"\0" * 50],
        ids=["empty", "one byte", "cut off early", "cut off late", "zeros", "zeros at its end"],
    )
    def test_half_written(self, store: JSONFileStore, path: Path, content: bytes) -> None:
        """What a machine that went down has left of our file counts as nothing, and is replaced."""
        path.write_bytes(content)
        loaded = store.load(KEY)
        saved = put(store)

        assert loaded.record is None
        assert saved == store.load(KEY).record

    @pytest.mark.parametrize(
        "entry",
        [
            None,
            5,
            [],
            {},
            {"stamp": 5, "record": {"v": 1}},
            {"stamp": "a"},
            {"stamp": "a", "record": None},
            {"stamp": "a", "record": {"v": 1, "value": 5}},
            {"stamp": "a", "record": {"v": "x"}},
        ],
    )
    def test_broken_record(self, store: JSONFileStore, path: Path, entry: Any) -> None:
        """One record that is none is replaced, and the others stay."""
        kept = put(store, OTHER)
        content = json.loads(path.read_text())
        content["records"][KEY] = content["records"]["broken"] = entry
        path.write_text(json.dumps(content))
        loaded = store.load(KEY)
        saved = put(store)

        assert loaded.record is None
        assert saved == store.load(KEY).record
        assert kept == store.load(OTHER).record
        assert "broken" not in path.read_text()

    @pytest.mark.parametrize("records", [None, [], 5])
    def test_no_records(self, store: JSONFileStore, path: Path, records: Any) -> None:
        """A file of ours without records is one without records."""
        path.write_text(json.dumps({"wxmiddleware": 1, "records": records}))

        assert store.load(KEY).record is None
        assert put(store) == store.load(KEY).record

    @pytest.mark.parametrize(
        "content",
        [
            b'{"name": "my-precious-package"}',
            b"[]",
            b"null",
            b"PRECIOUS=1\n",
            b"\xff\xfe\x00precious",
            b"[" * 100_000,
            b'{"wxmiddleware": 0}',
            b'{"wxmiddleware": null, "records": {}}',
        ],
    )
    @pytest.mark.parametrize("verb", ["load", "save"])
    def test_somebody_elses(self, store: JSONFileStore, path: Path, content: bytes, verb: str) -> None:
        """A file that is none of ours is left alone; the error names it, and shows nothing of it."""
        path.write_bytes(content)

        with pytest.raises(StoreError, match="not a file of tokens") as caught:
            store.load(KEY) if verb == "load" else store.save(KEY, record(time.time()), "")
        assert path.read_bytes() == content
        assert str(path) in str(caught.value)
        assert "precious" not in f"{caught.value}{caught.value.__cause__!r}{caught.value.__context__!r}"
        assert caught.value.__context__ is None

    @pytest.mark.parametrize("verb", ["load", "save"])
    def test_later_file(self, store: JSONFileStore, path: Path, verb: str) -> None:
        """A file of a later version is left alone."""
        path.write_text('{"wxmiddleware": 2, "things": []}')

        with pytest.raises(StoreError, match="Update this process"):
            store.load(KEY) if verb == "load" else store.save(KEY, record(time.time()), "")
        assert path.read_text() == '{"wxmiddleware": 2, "things": []}'

    def test_later_record(self, store: JSONFileStore, path: Path) -> None:
        """A record of a later version survives the saves of other keys."""
        put(store)
        content = json.loads(path.read_text())
        theirs = content["records"][OTHER] = {"stamp": "a", "record": {"v": 2, "value": TOKEN}}
        path.write_text(json.dumps(content))
        put(store)

        assert json.loads(path.read_text())["records"][OTHER] == theirs
        with pytest.raises(StoreError, match="Update this process") as caught:
            store.load(OTHER)
        assert TOKEN not in str(caught.value)


class TestBadPlaces:
    @pytest.mark.parametrize("slash", ["", "/"])
    def test_directory(self, path: Path, slash: str) -> None:
        """A directory is no file."""
        path.mkdir()
        store = JSONFileStore(f"{path}{slash}")

        with pytest.raises(StoreError, match="is a directory"):
            store.load(KEY)
        with pytest.raises(StoreError, match="is a directory"):
            store.save(KEY, record(time.time()), "")

    def test_no_directory(self, tmp_path: Path) -> None:
        """A directory that is missing is named."""
        store = JSONFileStore(tmp_path / "no" / "file.json")

        assert store.load(KEY).record is None
        with pytest.raises(StoreError, match="no is not a directory"):
            store.save(KEY, record(time.time()), "")

    def test_below_a_file(self, tmp_path: Path) -> None:
        """A file is no directory."""
        (tmp_path / "file").touch()

        with pytest.raises(StoreError, match="file is not a directory"):
            JSONFileStore(tmp_path / "file" / "tokens.json").load(KEY)

    def test_pipe(self, store: JSONFileStore, path: Path) -> None:
        """A pipe keeps nobody waiting."""
        os.mkfifo(path)

        with pytest.raises(StoreError, match="regular file"):
            store.load(KEY)

    def test_circle(self, store: JSONFileStore, path: Path) -> None:
        """Links that lead in a circle are said."""
        path.symlink_to(path)

        with pytest.raises(StoreError, match="circle"):
            store.load(KEY)

    def test_lock_is_a_link(self, store: JSONFileStore, path: Path) -> None:
        """A lock that leads elsewhere is not followed."""
        path.with_name("access_token.json.lock").symlink_to("/etc/passwd")

        with pytest.raises(StoreError, match="lock is one"):
            put(store)

    @pytest.mark.parametrize(
        ("number", "advice"),
        [
            (errno.ENOSPC, "Make room"),
            (errno.EDQUOT, "Make room"),
            (errno.EROFS, "read-only"),
            (errno.EACCES, "Let this user own"),
            (errno.EIO, "Check the path"),
            (errno.EBUSY, "Mount its directory"),
            (errno.EMFILE, "ulimit"),
        ],
    )
    @pytest.mark.parametrize("call", ["fsync", "replace"])
    def test_failing_disk(
        self, store: JSONFileStore, path: Path, monkeypatch: pytest.MonkeyPatch, number: int, advice: str, call: str
    ) -> None:
        """A save that fails leaves what was there, nothing beside it, and says what to do."""
        saved = put(store)
        version = store.load(KEY).version

        def fail(*_: Any) -> None:
            raise OSError(number, "no")

        monkeypatch.setattr(os, call, fail)
        with pytest.raises(StoreError, match=advice) as caught:
            store.save(KEY, record(time.time(), 2), version)
        monkeypatch.undo()

        assert saved == store.load(KEY).record
        assert store.load(KEY).version == version
        assert ["access_token.json", "access_token.json.lock"] == names(path)
        assert TOKEN not in str(caught.value)
        assert put(store)

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
    def test_device(self) -> None:
        """A device is no file."""
        with pytest.raises(StoreError, match="regular file"):
            JSONFileStore("/dev/full").load(KEY)

    @forks
    @pytest.mark.parametrize("there", [True, False])
    def test_read_only_directory(self, store: JSONFileStore, path: Path, there: bool) -> None:
        """In a directory that nobody may write to the tokens can be read; who saves is told."""
        if there:
            put(store)
        path.parent.chmod(0o555)
        try:
            told = as_nobody(path, lambda: outcome(store.load, KEY), lambda: outcome(put, store))
        finally:
            path.parent.chmod(0o755)

        assert "Loaded" in told[0]
        assert "StoreError" in told[1]
        assert "Let this user own" in told[1]

    @forks
    @as_root
    def test_other_users_file(self, store: JSONFileStore, path: Path) -> None:
        """Another user's file is not taken away from them, even where the directory would allow it."""
        saved = put(store)
        os.chown(path, 1234, 1234)
        path.chmod(0o644)
        path.with_name("access_token.json.lock").chmod(0o644)
        path.parent.chmod(0o1777)
        told = as_nobody(path, lambda: outcome(put, store), own=False)
        path.parent.chmod(0o755)

        assert "belongs to user 1234" in told[0]
        assert path.stat().st_uid == 1234
        assert saved == store.load(KEY).record

    @forks
    @as_root
    def test_private_file_of_another_user(self, store: JSONFileStore, path: Path) -> None:
        """A file that this user may not read is said so."""
        put(store)
        told = as_nobody(path, lambda: outcome(store.load, KEY), own=False)

        assert "could not be read: user 65534 may not" in told[0]

    @forks
    @as_root
    def test_root_leaves_the_owner(self, store: JSONFileStore, path: Path) -> None:
        """What root saves, in a shell, stays the service's: the file and its lock."""
        os.chown(path.parent, 65534, 65534)
        told = as_nobody(path, lambda: outcome(put, store))
        path.with_name("access_token.json.lock").unlink()
        put(store)
        told += as_nobody(path, lambda: outcome(put, store))

        assert ["Record", "Record"] == [each.partition("(")[0] for each in told]
        assert path.stat().st_uid == 65534


def outcome(call: Callable[..., object], *args: Any) -> str:
    try:
        return repr(call(*args))
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def as_nobody(path: Path, *works: Callable[[], str], own: bool = True) -> list[str]:
    """Do it as a user without special rights."""

    def become_nobody() -> str:
        if os.geteuid() == 0:
            os.setgid(65534)
            os.setuid(65534)
        return "\0".join(work() for work in works)

    if os.geteuid() == 0:
        for parent in path.parents:
            if parent.stat().st_uid == 0 and parent != path.parent and "pytest" in str(parent):
                parent.chmod(0o755)
        if own:
            for each in (path.parent, *path.parent.iterdir()):
                os.chown(each, 65534, 65534)
    return in_children(become_nobody, 1)[0].split("\0")


def killed_at(module: Any, call: str, when: str, work: Callable[[], object]) -> None:
    """Do it in a process that is killed before or after it makes this call."""
    child = os.fork()
    if not child:
        real = getattr(module, call)

        def die(*args: Any, **options: Any) -> None:
            if when == "after":
                real(*args, **options)
            os.kill(os.getpid(), signal.SIGKILL)

        setattr(module, call, die)
        work()
        os._exit(3)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL


@forks
class TestProcesses:
    @pytest.mark.processes
    def test_race(self, store: JSONFileStore) -> None:
        """Eight forked processes swap with one inherited store, and no update is lost."""
        put(store, rejections=0)

        def work() -> str:
            won: list[str] = []
            while len(won) < 25:
                loaded = store.load(KEY)
                assert loaded.record is not None
                more = replace(loaded.record, rejections=loaded.record.rejections + 1)
                with suppress(StoreError):  # on a busy machine a waiter may lose its patience; it says so
                    if store.save(KEY, more, loaded.version) is not None:
                        won.append(loaded.version)
            return " ".join(won)

        won = " ".join(in_children(work, 8)).split()

        assert len(won) == len(set(won)) == 200
        assert getattr(store.load(KEY).record, "rejections", None) == 200

    @pytest.mark.parametrize(
        ("key", "call"),
        [
            *((KEY, call) for call in ("flock", "open", "fchmod", "fsync", "replace", "close")),
            *((MESSAGES, call) for call in ("flock", "open", "fchmod", "replace", "close", "listdir")),
        ],
    )
    @pytest.mark.parametrize("when", ["before", "after"])
    def test_killed_at(self, store: JSONFileStore, path: Path, key: str, call: str, when: str) -> None:
        """A process that is killed at any step of a save leaves the old record or the new, and no lock."""
        old = put(store, key)
        new = replace(old, generation=2)
        version = store.load(key).version
        before = everything(path)
        store._tidied = -math.inf
        killed_at(fcntl if call == "flock" else os, call, when, lambda: store.save(key, new, version))
        left = store.load(key).record
        again = put(store, key, generation=3)

        assert left in (old, new)
        assert again == store.load(key).record
        assert before == everything(path)

    @pytest.mark.parametrize("call", ["mkdir", "chmod"])
    @pytest.mark.parametrize("when", ["before", "after"])
    def test_killed_with_the_first_message(self, store: JSONFileStore, call: str, when: str) -> None:
        """The next process takes the directory as it is."""
        killed_at(os, call, when, lambda: put(store, MESSAGES))

        assert put(store, MESSAGES) == store.load(MESSAGES).record

    @pytest.mark.parametrize("count", range(4))
    def test_killed_while_it_tidies(self, path: Path, count: int) -> None:
        """What it leaves is removed a minute later, and hinders nobody."""
        clock = SimulatedClock(1_700_000_000.0)
        store = JSONFileStore(path, clock=clock)
        put(store, "wx:wx1:webhook:00", expires_at=clock() + 10)
        path.with_name("access_token.json.webhook").joinpath("00.json.tmp").touch()
        clock.advance(61)
        calls = iter(range(count))
        real = os.unlink

        def die(name: str) -> None:
            if ".webhook" in name and next(calls, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)
            real(name)

        child = os.fork()
        if not child:
            os.unlink = die  # type: ignore[assignment]
            put(store)
            os._exit(3)
        _, status = os.waitpid(child, 0)
        clock.advance(61)
        put(store)
        left = everything(path)

        assert os.waitstatus_to_exitcode(status) == (-signal.SIGKILL if count < 3 else 3)
        assert ["access_token.json", "access_token.json.lock", "access_token.json.webhook"] == left
        assert put(store, "wx:wx1:webhook:00") == store.load("wx:wx1:webhook:00").record

    @pytest.mark.processes
    def test_race_while_others_tidy(self, path: Path) -> None:
        """Files come and go, and no update is lost between them."""
        clock = SimulatedClock(1_700_000_000.0)

        def work() -> str:
            store = JSONFileStore(path, clock=clock)
            won: list[str] = []
            while len(won) < 40:
                store._tidied = -math.inf
                loaded = store.load(MESSAGES)
                # Every other one is over at once, and so is the file.
                end = clock() + (100 if loaded.record is None else 0)
                with suppress(StoreError):  # on a busy machine a waiter may lose its patience; it says so
                    if store.save(MESSAGES, Record(value="{}", expires_at=end), loaded.version) is not None:
                        won.append(loaded.version or "-")
            return " ".join(won)

        versions = " ".join(in_children(work, 4)).replace("-", "").split()

        assert len(versions) == len(set(versions)) == 80

    @pytest.mark.processes
    def test_killed_any_time(self, store: JSONFileStore, path: Path) -> None:
        """Writers that are killed without choosing the moment never leave anything but a whole record."""
        generation = 1
        put(store, generation=generation)
        for _ in range(30):
            child = os.fork()
            if not child:
                while True:
                    loaded = store.load(KEY)
                    before = loaded.record or record(loaded.now)
                    value = "x" * (before.generation % 9 * 4000 + 1)
                    store.save(KEY, replace(before, generation=before.generation + 1, value=value), loaded.version)
            aim = generation + 3
            while generation < aim:
                left = store.load(KEY).record
                assert left is not None
                assert generation <= left.generation
                generation = left.generation
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            left = store.load(KEY).record
            assert left is not None
            assert generation <= left.generation
            generation = left.generation
        put(store, generation=generation + 1)

        assert ["access_token.json", "access_token.json.lock"] == names(path)

    def test_fork_while_a_thread_holds_the_lock(self, store: JSONFileStore, monkeypatch: pytest.MonkeyPatch) -> None:
        """A child that is forked then neither has the lock nor keeps it from the others."""
        put(store)
        held, forked = threading.Event(), threading.Event()
        real = os.fsync

        def wait(descriptor: int) -> None:
            held.set()
            forked.wait(20)
            real(descriptor)

        monkeypatch.setattr(os, "fsync", wait)
        saver = threading.Thread(target=put, args=(store,), kwargs={"generation": 2})
        saver.start()
        held.wait(20)
        gate, opening = os.pipe()
        child = os.fork()
        if not child:
            code = 1
            try:
                monkeypatch.undo()
                os.close(opening)
                os.read(gate, 1)  # until the parent has closed the other end
                put(store, generation=4)
                code = 0 if not store._locks else 2
            finally:
                os._exit(code)
        forked.set()
        saver.join(20)
        monkeypatch.undo()
        put(store, generation=3)
        os.close(opening)
        os.close(gate)
        _, status = os.waitpid(child, 0)

        assert os.waitstatus_to_exitcode(status) == 0
        assert getattr(store.load(KEY).record, "generation", None) == 4

    def test_parent_killed_with_the_lock(self, store: JSONFileStore) -> None:
        """A child that outlives a parent which was killed holding the lock does not hold it for them."""
        put(store)
        gate, opening = os.pipe()
        parent = os.fork()
        if not parent:
            os.close(opening)

            def fork_and_die(fd: object) -> None:
                if os.fork() == 0:
                    os.read(gate, 1)  # until the test is over
                    os._exit(0)
                os.kill(os.getpid(), signal.SIGKILL)

            os.fsync = fork_and_die
            put(store, generation=2)
        os.waitpid(parent, 0)
        again = put(store, generation=3)
        os.close(opening)
        os.close(gate)

        assert again == store.load(KEY).record

    def test_fork_in_c_while_a_thread_holds_the_lock(self, store: JSONFileStore) -> None:
        """Forked without the hook, as uWSGI does it, a child drops the lock with its first call, if only by reading."""
        put(store)
        telling, told = os.pipe()
        gate, opening = os.pipe()
        parent = os.fork()
        if not parent:
            with suppress(BaseException):
                os.close(opening)
                held = threading.Event()

                def wait(fd: object) -> None:
                    held.set()
                    time.sleep(1000)  # until it is killed

                os.fsync = wait
                threading.Thread(target=put, args=(store,), kwargs={"generation": 2}, daemon=True).start()
                held.wait(20)
                if fork_in_c() == 0:
                    os.write(told, str(getattr(store.load(KEY).record, "generation", None)).encode())
                    os.read(gate, 1)  # until the test is over
                    os._exit(0)
                time.sleep(1000)
            os._exit(1)
        os.close(told)
        os.close(gate)
        try:
            assert select.select([telling], [], [], 20)[0]
            seen = os.read(telling, 10)
            os.kill(parent, signal.SIGKILL)
            again = put(store, generation=3)
        finally:
            os.close(opening)
            os.close(telling)
            with suppress(ProcessLookupError):
                os.kill(parent, signal.SIGKILL)
            os.waitpid(parent, 0)

        assert seen == b"1"
        assert again == store.load(KEY).record

    @pytest.mark.processes
    @pytest.mark.parametrize("kind", ["classic", "stable"])
    def test_fleet(self, path: Path, fleet: Fleet, kind: str) -> None:
        """Eight processes of eight threads fetch once when they are cold, and once when the token is rejected."""
        one_fetch(fleet, f"file:{path}", kind)
