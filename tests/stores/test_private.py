"""Files of tokens are their owner's alone, in a JSON file as in an SQLite database; what else lies there is refused."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from stores.contract import KEY, TOKEN, record
from stores.redis_server import in_children

from wxmiddleware import StoreError
from wxmiddleware.stores import store_from_url

if sys.platform == "win32":
    pytest.skip("has no such users", allow_module_level=True)

NOBODY, MALLORY = 65534, 1234
MESSAGES = "wx:wx1:webhook:3f"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
forks = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that other users can come to; pytest closes its own whenever it is started."""
    with tempfile.TemporaryDirectory(prefix="wx-private-") as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.fixture
def folder(place: Path) -> Path:
    made = place / "tokens"
    made.mkdir(0o755)
    return made


@pytest.fixture(params=["file:", "sqlite:///"])
def url(request: pytest.FixtureRequest, folder: Path) -> str:
    return f"{request.param}{folder / 'tokens'}"


def put(url: str, key: str = KEY) -> None:
    """Save a record there, as a process that has just started."""
    store: Any = store_from_url(url)
    loaded = store.load(key)
    assert store.save(key, record(loaded.now), loaded.version) is not None
    getattr(store, "close", lambda: None)()


def told(url: str, key: str = KEY) -> str:
    """Why that did not go."""
    with pytest.raises(StoreError) as caught:
        put(url, key)
    return str(caught.value)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def as_user(user: int, work: Callable[[], object]) -> str:
    """Do it as a user without special rights; what came of it."""

    def become() -> str:
        os.setgid(user)
        os.setuid(user)
        try:
            return repr(work())
        except Exception as error:
            return f"{type(error).__name__}: {error}"

    return in_children(become, 1)[0]


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o777])
def test_modes(folder: Path, url: str, umask: int) -> None:
    """Only the owner may read what holds a token, whatever the umask."""
    before = os.umask(umask)
    try:
        put(url)
        put(url)
    finally:
        os.umask(before)

    assert {mode(each) for each in folder.iterdir()} == {0o600}
    assert TOKEN.encode() in (folder / "tokens").read_bytes()


def test_modes_beside_a_database(folder: Path) -> None:
    """So it is with the files that SQLite puts beside a database while it is written."""
    import sqlalchemy as sa

    url = f"sqlite:///{folder / 'tokens'}"
    put(url)
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        connection.exec_driver_sql("SELECT count(*) FROM sqlite_master")
        put(url)
        found = {each.name: mode(each) for each in folder.iterdir()}
    engine.dispose()

    assert found == dict.fromkeys(("tokens", "tokens-wal", "tokens-shm"), 0o600)


@pytest.mark.parametrize("before", [0o644, 0o640, 0o660])
def test_open_to_readers(folder: Path, url: str, before: int, caplog: pytest.LogCaptureFixture) -> None:
    """A file that others could read is closed to them, and that is told once."""
    put(url)
    (folder / "tokens").chmod(before)
    put(url)
    put(url)

    assert mode(folder / "tokens") == 0o600
    assert caplog.text.count("could read") == 1
    assert TOKEN not in caplog.text


def test_open_to_writers(folder: Path, url: str) -> None:
    """What anybody may have written is not used."""
    put(url)
    (folder / "tokens").chmod(0o666)

    assert "Every user of this machine may write to" in told(url)


@pytest.mark.parametrize("there", [True, False])
def test_open_directory(folder: Path, url: str, there: bool) -> None:
    """Nor is a file that anybody may replace."""
    if there:
        put(url)
    folder.chmod(0o777)

    assert "may replace the files in" in told(url)
    folder.chmod(0o1777)
    put(url)
    folder.chmod(0o775)
    put(url)


@pytest.mark.parametrize("there", [True, False])
def test_link_out_of_an_open_directory(folder: Path, place: Path, url: str, there: bool) -> None:
    """A link that anybody may replace leads nowhere."""
    if there:
        put(url)
    public = place / "public"
    public.mkdir()
    public.chmod(0o777)
    (public / "link").symlink_to(folder / "tokens")

    assert "may replace the files in" in told(url.replace(str(folder / "tokens"), str(public / "link")))


def pipe(path: Path) -> None:
    os.mkfifo(path)


def second_name(path: Path) -> None:
    other = path.parent.parent / "other"
    other.write_text("what a victim has")
    os.link(other, path)


def link(path: Path) -> None:
    path.symlink_to("/dev/zero")


KINDS: dict[str, tuple[Callable[[Path], object], str]] = {
    "pipe": (pipe, "regular file|directory"),
    "directory": (Path.mkdir, "directory"),
    "device": (link, "regular file|[Ss]ymbolic link"),
    "hard link": (second_name, "second name"),
}


@pytest.mark.parametrize(("plant", "why"), KINDS.values(), ids=KINDS)
def test_something_else(folder: Path, url: str, plant: Callable[[Path], object], why: str) -> None:
    """A pipe, a directory, a device, a second name of another file: each is refused, at once."""
    plant(folder / "tokens")

    with pytest.raises(StoreError, match=why):
        put(url)


@pytest.mark.parametrize(("plant", "why"), KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("beside", ["tokens-journal", "tokens-wal", "tokens-shm"])
def test_something_else_beside_a_database(folder: Path, beside: str, plant: Callable[[Path], object], why: str) -> None:
    """SQLite would take what lies beside a database for a part of it."""
    url = f"sqlite:///{folder / 'tokens'}"
    put(url)
    plant(folder / beside)

    with pytest.raises(StoreError, match=why):
        put(url)


@pytest.mark.parametrize(("plant", "why"), KINDS.values(), ids=KINDS)
def test_something_else_as_a_lock(folder: Path, plant: Callable[[Path], object], why: str) -> None:
    """The same for the lock of a JSON file."""
    plant(folder / "tokens.lock")

    with pytest.raises(StoreError, match=why):
        put(f"file:{folder / 'tokens'}")


@pytest.mark.parametrize(("plant", "why"), KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("name", ["tokens.webhook", "tokens.webhook/3f.json", "tokens.webhook/3f.json.lock"])
def test_something_else_for_messages(folder: Path, plant: Callable[[Path], object], why: str, name: str) -> None:
    """The same where webhooks remember messages."""
    if name != "tokens.webhook":
        (folder / "tokens.webhook").mkdir(0o700)
    elif why == "directory":
        pytest.skip("a directory is right there")
    plant(folder / name)

    with pytest.raises(StoreError, match=f"{why}|not a directory"):
        put(f"file:{folder / 'tokens'}", MESSAGES)


def test_lock_that_others_could_hold(folder: Path) -> None:
    """Who can open the lock can hold it for ever; it is closed to others."""
    lock = folder / "tokens.lock"
    lock.touch()
    lock.chmod(0o644)
    put(f"file:{folder / 'tokens'}")

    assert mode(lock) == 0o600


@forks
@as_root
@pytest.mark.parametrize("user", [0, NOBODY])
@pytest.mark.parametrize("name", ["tokens", "tokens.lock", "tokens-journal", "tokens.webhook"])
def test_planted_by_another_user(folder: Path, url: str, user: int, name: str) -> None:
    """In a directory where everybody can put files, another user's is refused; by root, too."""
    folder.chmod(0o1777)
    key = KEY
    if name == "tokens.webhook":
        (folder / name).mkdir(0o777)
        key = MESSAGES
    else:
        (folder / name).touch()
    os.chown(folder / name, MALLORY, MALLORY)
    concerns = name == "tokens" or ("-" in name) == url.startswith("sqlite")
    got = as_user(user, lambda: put(url, key))

    assert (f"belongs to user {MALLORY}" in got) == concerns
    assert ("None" == got) != concerns


@forks
@as_root
@pytest.mark.parametrize("user", [0, NOBODY])
def test_link_of_another_user(folder: Path, place: Path, url: str, user: int) -> None:
    """Another user's link is not followed, wherever it leads."""
    public = place / "public"
    public.mkdir()
    public.chmod(0o1777)
    os.chown(folder, user, user)
    (public / "link").symlink_to(folder / "tokens")
    os.chown(public / "link", MALLORY, MALLORY, follow_symlinks=False)
    got = as_user(user, lambda: put(url.replace(str(folder / "tokens"), str(public / "link"))))

    assert f"link belongs to user {MALLORY}" in got
    assert not (folder / "tokens").exists()


@forks
@as_root
def test_root_in_a_shell(folder: Path, url: str) -> None:
    """In a directory that is not everybody's root reads the service's file, and the service goes on with it."""
    os.chown(folder, NOBODY, NOBODY)
    first = as_user(NOBODY, lambda: put(url))
    put(url)

    assert ["None", "None"] == [first, as_user(NOBODY, lambda: put(url))]
    assert (folder / "tokens").stat().st_uid == NOBODY


@forks
@as_root
def test_file_of_another_user(folder: Path, url: str) -> None:
    """Who may read another user's file does not use it."""
    folder.chmod(0o775)
    put(url)
    os.chown(folder / "tokens", MALLORY, MALLORY)
    (folder / "tokens").chmod(0o644)

    assert f"belongs to user {MALLORY}" in as_user(NOBODY, lambda: put(url))


def test_creator_of_the_users(folder: Path) -> None:
    """Where an engine has a creator of its own, no file is made at the place that its URL names."""
    import sqlite3

    import sqlalchemy as sa

    from wxmiddleware.stores.sql import SQLStore

    engine = sa.create_engine(f"sqlite:///{folder / 'named'}", creator=lambda: sqlite3.connect(folder / "real"))
    store = SQLStore(engine)
    loaded = store.load(KEY)
    store.save(KEY, record(loaded.now), loaded.version)

    assert ["real"] == [each.name for each in folder.iterdir()]


@pytest.mark.parametrize("form", ["sqlite:///file:{}?uri=true", "sqlite:///file://{}?uri=true"])
def test_uri(folder: Path, form: str) -> None:
    """A database that is named by a URI is private, too."""
    put(form.format(folder / "a%20b"))

    assert {"a b": 0o600} == {each.name: mode(each) for each in folder.iterdir()}


def test_uri_that_makes_nothing(folder: Path) -> None:
    """Where the URI says so, nothing is made."""
    told(f"sqlite:///file:{folder / 'tokens'}?mode=rw&uri=true")

    assert [] == list(folder.iterdir())
