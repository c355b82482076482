"""
Tokens in one JSON file, for the processes of one machine.

Readers take no lock: the file is never changed, only replaced as a whole. Writers hold a lock on a second file beside
it, for the milliseconds of the compare-and-swap; never during a request to WeChat.

What webhooks remember of messages is written with every push, so it lies in small files of its own, in a directory
beside the tokens: written as those are, but without waiting for the disk.
"""

from __future__ import annotations

import errno
import json
import math
import os
import random
import re
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, NamedTuple

from .._rules.models import Loaded, Record
from .._rules.policies import keep_until
from .._runtime import fork, process
from .._runtime.clock import Clock
from ..exceptions import ConfigurationError, StoreError
from ._codec import LaterVersion, dumps, parsed
from ._keys import digits_of_messages
from ._private import MODE, check_directory, check_file, check_link, check_own_directory, close_to_others

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["JSONFileStore"]

_Entries = dict[str, Any]

_FORMAT = 1
# What our files begin with: a file that begins otherwise is somebody else's, and is not replaced.
_MARK = b'{"wxmiddleware": '
# Seconds. A process that holds the lock for so long and writes nothing is taken to be stopped.
_LOCK_PATIENCE = 2.0
# Seconds that a process waits for the lock at most, while others keep writing: its callers wait for 10 s.
_LOCK_LONGEST = 6.0
# Seconds between two questions whether the holder is stopped.
_ASK = 0.1
# Seconds between two looks for what webhooks remembered and is over: answers are in it, too.
_TIDY = 60.0
_OF_MESSAGES = re.compile(r"[0-9a-f]{2}\.json")


class _File(NamedTuple):
    """
    A file of records.

    Attributes:
        name: Its name, for messages.
        real: Where it is: a link stays, and what it leads to is replaced.
        of_messages: Whether it need not survive a crash of the machine: WeChat's repeats would not either.
    """

    name: str
    real: str
    of_messages: bool = False


class JSONFileStore:
    """
    Keeps records in a JSON file that only its owner can read.

    For the processes of one user on one machine, and a local file system. Beside the file lie ``<path>.lock``, which
    stays, for a moment ``<path>.tmp``, and what webhooks remember in the directory ``<path>.webhook``.

    Args:
        path: The file. Its directory must be there and writable. A symbolic link is followed.
        clock: Seconds since 1970, the same for all processes. If somebody sets the machine's clock, a token seems
            so much older or younger to the processes that start afterwards; one that WeChat rejects is replaced.

    Raises:
        ConfigurationError: The path is none, or this platform has no ``flock``.
    """

    shared: Final = True
    durable: Final = True

    def __init__(self, path: str | os.PathLike[str], *, clock: Clock = time.time) -> None:
        if fcntl is None:
            raise ConfigurationError(
                "JSONFileStore needs flock, which this platform does not have. Use another store, such as RedisStore."
            )
        if not isinstance(path, (str, os.PathLike)):
            raise ConfigurationError(f"path must be a str or a Path, not {type(path).__name__}.")
        name = os.fsdecode(path)
        if not name or "\0" in name:
            raise ConfigurationError("path is empty or has a NUL in it. Give the name of a file.")
        if "://" in name or name.startswith("file:"):
            raise ConfigurationError("path is a URL. Give the name of a file; store_from_url(url) takes URLs.")
        # Absolute, as a daemon may change the working directory later.
        self._path = os.path.abspath(name)
        self._directory = name.endswith(os.sep)
        self._clock = clock
        self._tidied = -math.inf
        self._locks: set[int] = set()
        fork.register(self)

    def __repr__(self) -> str:
        return f"JSONFileStore({self._path!r})"

    @property
    def path(self) -> str:
        """The file, as an absolute path."""
        return self._path

    def after_fork(self) -> None:
        """A lock that another thread of the parent holds in this moment would live on in the child."""
        while self._locks:
            with suppress(OSError):
                os.close(self._locks.pop())

    def load(self, key: str) -> Loaded:
        """
        Read the record of `key`.

        Raises:
            StoreError: The file cannot be read or is none of ours; the message says what to do.
        """
        fork.check()
        file = self._file(key)
        with self._explained("read", file):
            entries, _ = self._read(file)
        version, record = _entry(entries.get(key))
        return Loaded(record, version, self._clock())

    def keys(self) -> list[str]:
        """
        List what the file holds; not what webhooks remember.

        Raises:
            StoreError: As with `load`.
        """
        file = self._file()
        with self._explained("read", file):
            entries, _ = self._read(file)
        # Older versions kept messages here, too.
        return sorted(key for key, entry in entries.items() if _stamp(entry) and digits_of_messages(key) is None)

    def save(self, key: str, record: Record, version: str) -> str | None:
        """
        Replace the record of `key`, if nothing was saved since `version` was loaded.

        Raises:
            StoreError: The file cannot be written; what was in it is still there. The message says what to do.
        """
        fork.check()
        file = self._file(key)
        with self._explained("written", file):

            def lost() -> bool:
                return _stamp(self._read(file)[0].get(key)) != (version or "")

            # Looked at before the lock, too: in a race most have lost by then, and need not queue for it.
            if lost():
                return None
            if file.of_messages:
                self._make_directory(os.path.dirname(file.real))
            with self._locked(file, lost) as lock:
                if lock is None:
                    return None
                entries, owner = self._read(file)
                if _stamp(entries.get(key)) != (version or ""):
                    return None
                now = self._clock()
                kept = {name: entry for name, entry in entries.items() if name != key and _keep(entry, now)}
                stamp = ""
                if keep_until(record) > now:
                    stamp = secrets.token_hex(12)
                    kept[key] = {"stamp": stamp, "record": json.loads(dumps(record))}
                if not self._replace(file, kept, owner, lock):
                    return None
            if not file.of_messages:
                _sync_directory(os.path.dirname(file.real))  # the others need not wait for that
        self._tidy(now)
        return stamp

    def _file(self, key: str = "") -> _File:
        """The file that holds a key's record, among others."""
        real = os.path.realpath(self._path)
        digits = digits_of_messages(key)
        if digits is None:
            return _File(self._path, real)
        real = f"{real}.webhook/{digits}.json"
        return _File(real, real, of_messages=True)

    def _read(self, file: _File) -> tuple[_Entries, os.stat_result | None]:
        try:
            anybody = self._guard(file)
            # Without O_NONBLOCK a pipe would keep us waiting.
            descriptor = os.open(file.real, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return {}, None
        try:
            status = os.fstat(descriptor)
            if stat.S_ISDIR(status.st_mode):
                raise IsADirectoryError(errno.EISDIR, "")
            check_file(status, file.name, anybody=anybody)
            close_to_others(status, file.real)
            with open(descriptor, "rb", closefd=False) as stream:
                content = stream.read()
        finally:
            os.close(descriptor)
        return _parse(content, file.name), status

    def _guard(self, file: _File) -> bool:
        """See that nobody else can put a file there; whether everybody can put others beside it."""
        directory = os.path.dirname(file.real)
        if file.of_messages:
            check_own_directory(directory, anybody=check_directory(os.path.dirname(directory)))
            return False
        check_link(self._path, anybody=check_directory(os.path.dirname(self._path)))
        return check_directory(directory)

    def _replace(self, file: _File, entries: _Entries, owner: os.stat_result | None, lock: int) -> bool:
        """Write the file anew; not if the lock is none any more, because somebody has deleted its file."""
        text = json.dumps({"wxmiddleware": _FORMAT, "records": entries})
        # Only the holder of the lock writes, so one name is enough, and one that was killed leaves one file at most.
        temporary = f"{file.real}.tmp"
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with open(descriptor, "wb") as stream:
                _hand_over(descriptor, owner or _owner(file), file.name)
                stream.write(text.encode("ascii") + b"\n")
                stream.flush()
                if not file.of_messages:
                    os.fsync(descriptor)
                if not _same_file(lock, f"{file.real}.lock"):
                    # A holder that was stopped for long, perhaps. Others have a lock by now, and maybe this file, too.
                    if _same_file(descriptor, temporary):
                        os.unlink(temporary)
                    return False
            os.replace(temporary, file.real)
            return True
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise

    def _make_directory(self, name: str) -> None:
        """Make the directory for messages, as private as a file, and its owner's."""
        if os.path.isdir(name):
            return
        with suppress(FileExistsError):
            os.mkdir(name, 0o700)
            os.chmod(name, 0o700)  # whatever the umask
            owner = _owner(self._file())
            if owner is not None and os.geteuid() == 0:
                os.chown(name, owner.st_uid, owner.st_gid)

    def _tidy(self, now: float) -> None:
        """Remove files of expired messages, once a minute: maybe no push comes that would replace them."""
        if abs(now - self._tidied) < _TIDY:
            return
        self._tidied = now
        directory = f"{self._file().real}.webhook"
        with suppress(OSError):
            for digits in {name[:2] for name in os.listdir(directory) if _OF_MESSAGES.match(name)}:
                real = f"{directory}/{digits}.json"
                with suppress(StoreError):
                    self._remove_if_over(_File(real, real, of_messages=True), now)

    def _remove_if_over(self, file: _File, now: float) -> None:
        def over() -> bool:
            return not any(_keep(entry, now) for entry in self._read(file)[0].values())

        if not over():
            return
        with self._locked(file) as lock:
            if lock is not None and over():
                for name in (file.real, f"{file.real}.tmp", f"{file.real}.lock"):  # whoever waits for it sees it go
                    with suppress(FileNotFoundError):
                        os.unlink(name)

    @contextmanager
    def _locked(self, file: _File, lost: Callable[[], bool] | None = None) -> Iterator[int | None]:
        """Hold the lock for the block; none if the race was `lost` while it was waited for, or without waiting."""
        descriptor = self._lock(file, lost)
        try:
            yield descriptor
        finally:
            if descriptor is not None:
                self._unlock(descriptor)

    def _lock(self, file: _File, lost: Callable[[], bool] | None) -> int | None:
        name = f"{file.real}.lock"
        anybody = self._guard(file)
        patience = _Patience(file)
        while True:
            # Opened anew each time: threads and forked children then have locks of their own.
            descriptor = _open_lock(name)
            self._locks.add(descriptor)
            held = False
            try:
                status = os.fstat(descriptor)
                check_file(status, name, anybody=anybody)
                if stat.S_IMODE(status.st_mode) != MODE:
                    with suppress(PermissionError):  # who can open it, can hold it for ever
                        os.fchmod(descriptor, MODE)
                while not _try_lock(descriptor) and _same_file(descriptor, name):
                    if lost is None or (patience.written() and lost()):
                        return None
                    if patience.over(status.st_ino):
                        raise StoreError(
                            f"{name} has been locked for {patience.waited:.0f} s. "
                            "A process that writes seems to be stopped: continue or end it."
                        )
                    time.sleep(random.uniform(0.0005, 0.005))  # noqa: S311 - it only spreads the waiters
                if _same_file(descriptor, name):
                    _lock_of_owner(descriptor, file)
                    held = True
                    return descriptor
            finally:
                if not held:  # also if somebody has deleted the file, and others lock another one by now
                    self._unlock(descriptor)

    def _unlock(self, descriptor: int) -> None:
        # Not left to close(): a child that was forked meanwhile has the same lock.
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        self._locks.discard(descriptor)
        os.close(descriptor)

    @contextmanager
    def _explained(self, what: str, file: _File) -> Iterator[None]:
        try:
            if self._directory:
                raise IsADirectoryError(errno.EISDIR, "")
            yield
        except OSError as exc:
            problem = _explain(exc, file.name, what)
        else:
            return
        raise StoreError(problem)


def _parse(content: bytes, name: str) -> _Entries:
    ours = content.startswith(_MARK) or _MARK.startswith(content.rstrip(b"\0"))
    try:
        parts = json.loads(content)
    except (ValueError, RecursionError):  # it holds all the content, so it must not become a context
        parts = None
    if parts is None and ours:
        return {}  # empty, or cut off by a machine that went down: nothing in it is of use to anybody
    number = parts.get("wxmiddleware") if isinstance(parts, dict) else None
    if isinstance(number, int) and number > _FORMAT:
        raise LaterVersion(f"{name} was written by a later version of wxmiddleware. Update this process, too.")
    if number != _FORMAT:
        raise StoreError(
            f"{name} is not a file of tokens, so it is left alone. "
            "Delete it if nobody needs it, or give the store another path."
        )
    records = parts.get("records") if isinstance(parts, dict) else None
    return records if isinstance(records, dict) else {}


def _owner(file: _File) -> os.stat_result | None:
    """Whose the file is, or will be; nobody's if that makes no difference yet."""
    for name in (file.real, os.path.dirname(file.real)) if file.of_messages else (file.real,):
        with suppress(FileNotFoundError):
            return os.stat(name)
    return None


def _hand_over(descriptor: int, owner: os.stat_result | None, name: str) -> None:
    """Keep the file's owner, or leave it alone: a new owner would shut the old one out."""
    os.fchmod(descriptor, 0o600)
    if owner is None or owner.st_uid == os.fstat(descriptor).st_uid:
        return
    if os.geteuid() != 0:
        raise StoreError(
            f"{name} belongs to user {owner.st_uid}, and this process runs as user {os.geteuid()}. "
            "Run all processes that share it as one user, or give the store another path."
        )
    os.fchown(descriptor, owner.st_uid, owner.st_gid)


def _open_lock(name: str) -> int:
    # As above: without O_NONBLOCK a pipe would keep us waiting.
    flags = os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    with suppress(IsADirectoryError):
        return os.open(name, flags, MODE)
    raise StoreError(f"{name} is not a regular file but a directory. Remove it, or give the store another path.")


def _lock_of_owner(descriptor: int, file: _File) -> None:
    """Give a lock file that root has created to the owner of the tokens' file, who must be able to open it."""
    if os.geteuid() == 0 and os.fstat(descriptor).st_uid == 0:
        owner = _owner(file)
        if owner is not None:
            os.fchown(descriptor, owner.st_uid, owner.st_gid)


class _Patience:
    """
    How long a waiter waits for the lock.

    The lock is not fair, and a disk may be slow: as long as others write, nobody has been stopped; nor has a holder
    that sits in ``fsync``. Files of messages are not synced, and whoever pushes them waits for 5 s.
    """

    def __init__(self, file: _File) -> None:
        self._real = file.real
        self._synced = not file.of_messages
        self._began = self._since = time.monotonic()
        self._asked = -math.inf
        self._seen = self._look()

    def written(self) -> bool:
        """Whether the file was replaced since the last call; the patience then begins anew."""
        seen, self._seen = self._seen, self._look()
        if seen == self._seen:
            return False
        self._since = time.monotonic()
        return True

    def over(self, inode: int) -> bool:
        """Whether it is at its end; `inode` is the lock's."""
        now = time.monotonic()
        if now - self._began > _LOCK_LONGEST:
            return True
        if now - self._since <= _LOCK_PATIENCE:
            return False
        if not self._synced:
            return True
        if now - self._asked < _ASK:
            return False
        self._asked = now
        return process.lock_is_stopped(inode)

    @property
    def waited(self) -> float:
        """For how many seconds it has lasted."""
        return time.monotonic() - self._began

    def _look(self) -> tuple[int, int] | None:
        with suppress(FileNotFoundError):
            status = os.stat(self._real)
            return status.st_ino, status.st_mtime_ns
        return None


def _sync_directory(name: str) -> None:
    """Have the new name survive a crash of the machine. The file itself is there, so failing is not an error."""
    with suppress(OSError):
        descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _entry(entry: Any) -> tuple[str, Record | None]:
    record = entry.get("record") if isinstance(entry, dict) else None
    stamp = _stamp(entry)
    return stamp, parsed(record) if stamp and record is not None else None


def _stamp(entry: Any) -> str:
    stamp = entry.get("stamp") if isinstance(entry, dict) else None
    return stamp if isinstance(stamp, str) else ""


def _keep(entry: Any, now: float) -> bool:
    try:
        _, record = _entry(entry)
    except StoreError:
        return True  # a later version's, and good to that one
    return record is not None and keep_until(record) > now


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _same_file(descriptor: int, name: str) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(name))
    except FileNotFoundError:
        return False


def _explain(exc: OSError, path: str, what: str) -> str:
    directory = os.path.dirname(os.path.realpath(path))
    start = f"{path} could not be {what}"
    match exc.errno:
        case errno.EISDIR:
            return f"{path} is a directory. Give the store the path of a file in it."
        case errno.ENOENT | errno.ENOTDIR:
            return f"{start}: {directory} is not a directory. Make it, for the user of this process alone."
        case errno.EACCES | errno.EPERM:
            return (
                f"{start}: user {os.geteuid()} may not. "
                f"Let this user own the file, its .lock and the directory {directory}, or give the store another path."
            )
        case errno.EROFS:
            return f"{start}: its file system is read-only. Give the store a path that can be written."
        case errno.ENOSPC | errno.EDQUOT:
            return f"{start}: the disk is full. Make room; what was in the file is still there."
        case errno.EBUSY:
            return (
                f"{start}: something is mounted there, and so it cannot be replaced. "
                f"Mount its directory {directory} instead of the file."
            )
        case errno.EMFILE | errno.ENFILE:
            return f"{start}: too many files are open. Raise the limit (ulimit -n), or find out who keeps them open."
        case errno.ELOOP:
            return f"{start}: symbolic links lead in a circle, or its .lock is one. Remove them."
    reason = os.strerror(exc.errno) if exc.errno else type(exc).__name__
    return f"{start} ({reason}). Check the path and its file system."
