"""
Tokens in one JSON file, for the processes of one machine.

Readers take no lock: the file is never changed, only replaced as a whole. Writers hold a lock on a second file beside
it, for the milliseconds in which they compare and replace; never while WeChat is asked.
"""

from __future__ import annotations

import errno
import json
import os
import random
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from .. import _fork
from .._clock import Clock
from .._models import Loaded, Record
from .._policies import keep_until
from ..exceptions import ConfigurationError, StoreError
from ._codec import dumps, loads

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["JSONFileStore"]

_Entries = dict[str, Any]

_FORMAT = 1
# What our files begin with: a file that begins otherwise is somebody else's, and is not replaced.
_MARK = b'{"wxmiddleware": '
# Seconds. Whoever holds the lock for so long and writes nothing has been stopped.
_LOCK_PATIENCE = 2.0
# While others keep writing, a waiter has this much at most: callers wait for its flight, and they have 10 s.
_LOCK_LONGEST = 6.0


class JSONFileStore:
    """
    Keeps records in a JSON file that only its owner can read.

    For the processes of one user on one machine, and a local file system. Beside the file lie ``<path>.lock``, which
    stays, and for a moment ``<path>.tmp``.

    Args:
        path: The file. Its directory must be there and writable. A symbolic link is followed.
        clock: Seconds since 1970, the same for all processes. If somebody sets the machine's clock, a token seems
            so much older or younger to the processes that start afterwards; one that WeChat refuses is replaced.

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
        # Whoever changes the working directory later, as daemons do, still means this file.
        self._path = os.path.abspath(name)
        self._directory = name.endswith(os.sep)
        self._clock = clock
        self._locks: set[int] = set()
        _fork.register(self)

    def __repr__(self) -> str:
        return f"JSONFileStore({self._path!r})"

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
        _fork.check()
        with self._explained("read"):
            entries, _ = self._read(self._real())
        version, record = _entry(entries.get(key))
        return Loaded(record, version, self._clock())

    def keys(self) -> list[str]:
        """
        List what the file holds.

        Raises:
            StoreError: As with `load`.
        """
        with self._explained("read"):
            entries, _ = self._read(self._real())
        return sorted(key for key, entry in entries.items() if _stamp(entry))

    def save(self, key: str, record: Record, version: str) -> str | None:
        """
        Replace the record of `key`, if nothing was saved since `version` was loaded.

        Raises:
            StoreError: The file cannot be written; what was in it is still there. The message says what to do.
        """
        _fork.check()
        with self._explained("written"):
            real = self._real()

            def lost() -> bool:
                return _stamp(self._read(real)[0].get(key)) != (version or "")

            # Looked at before the lock, too: in a race most have lost by then, and need not queue for it.
            if lost():
                return None
            with self._locked(real, lost) as locked:
                if not locked:
                    return None
                entries, owner = self._read(real)
                if _stamp(entries.get(key)) != (version or ""):
                    return None
                now = self._clock()
                kept = {name: entry for name, entry in entries.items() if name != key and _keep(entry, now)}
                stamp = ""
                if keep_until(record) > now:
                    stamp = secrets.token_hex(12)
                    kept[key] = {"stamp": stamp, "record": json.loads(dumps(record))}
                self._replace(real, kept, owner)
            _sync_directory(os.path.dirname(real))  # the others need not wait for that
            return stamp

    def _real(self) -> str:
        """The file that is meant: a link stays, and what it leads to is replaced."""
        if self._directory:
            raise IsADirectoryError(errno.EISDIR, "")
        return os.path.realpath(self._path)

    def _read(self, real: str) -> tuple[_Entries, os.stat_result | None]:
        try:
            # Without O_NONBLOCK a pipe would keep us waiting.
            descriptor = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return {}, None
        try:
            status = os.fstat(descriptor)
            if stat.S_ISDIR(status.st_mode):
                raise IsADirectoryError(errno.EISDIR, "")
            if not stat.S_ISREG(status.st_mode):
                raise StoreError(f"{self._path} is not a regular file. Give the store the path of one.")
            with open(descriptor, "rb", closefd=False) as file:
                content = file.read()
        finally:
            os.close(descriptor)
        return self._parse(content), status

    def _parse(self, content: bytes) -> _Entries:
        ours = content.startswith(_MARK) or _MARK.startswith(content.rstrip(b"\0"))
        try:
            parsed = json.loads(content)
        except (ValueError, RecursionError):  # it holds all the content, so it must not become a context
            parsed = None
        if parsed is None and ours:
            return {}  # empty, or cut off by a machine that went down: nothing in it is of use to anybody
        number = parsed.get("wxmiddleware") if isinstance(parsed, dict) else None
        if isinstance(number, int) and number > _FORMAT:
            raise StoreError(f"{self._path} was written by a later version of wxmiddleware. Update this process, too.")
        if number != _FORMAT:
            raise StoreError(
                f"{self._path} is not a file of tokens, so it is left alone. "
                "Delete it if nobody needs it, or give the store another path."
            )
        records = parsed.get("records") if isinstance(parsed, dict) else None
        return records if isinstance(records, dict) else {}

    def _replace(self, real: str, entries: _Entries, owner: os.stat_result | None) -> None:
        text = json.dumps({"wxmiddleware": _FORMAT, "records": entries})
        # Only the holder of the lock writes, so one name is enough, and one that was killed leaves one file at most.
        temporary = f"{real}.tmp"
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with open(descriptor, "wb") as file:
                self._hand_over(descriptor, owner)
                file.write(text.encode("ascii") + b"\n")
                file.flush()
                os.fsync(descriptor)
            os.replace(temporary, real)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise

    def _hand_over(self, descriptor: int, owner: os.stat_result | None) -> None:
        """Keep the file's owner, or leave it alone: a new owner would shut the old one out."""
        os.fchmod(descriptor, 0o600)
        if owner is None or owner.st_uid == os.fstat(descriptor).st_uid:
            return
        if os.geteuid() != 0:
            raise StoreError(
                f"{self._path} belongs to user {owner.st_uid}, and this process runs as user {os.geteuid()}. "
                "Run all processes that share it as one user, or give the store another path."
            )
        os.fchown(descriptor, owner.st_uid, owner.st_gid)

    @contextmanager
    def _locked(self, real: str, lost: Callable[[], bool]) -> Iterator[bool]:
        """Hold the lock for the block; not if the race was `lost` while it was waited for."""
        descriptor = self._lock(f"{real}.lock", real, lost)
        try:
            yield descriptor is not None
        finally:
            if descriptor is not None:
                self._unlock(descriptor)

    def _lock(self, name: str, real: str, lost: Callable[[], bool]) -> int | None:
        patience = _Patience(real)
        while True:
            # Opened anew each time: threads and forked children then have locks of their own.
            descriptor = os.open(name, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            self._locks.add(descriptor)
            held = False
            try:
                while not _try_lock(descriptor):
                    if patience.written() and lost():
                        return None
                    if patience.over():
                        raise StoreError(
                            f"{name} has been locked for {patience.waited:.0f} s. "
                            "A process that writes the tokens seems to be stopped: continue or end it."
                        )
                    time.sleep(random.uniform(0.0005, 0.005))  # noqa: S311 - it only spreads the waiters
                if _same_file(descriptor, name):
                    self._lock_of_owner(descriptor, real)
                    held = True
                    return descriptor
            finally:
                if not held:  # also if somebody has deleted the file, and others lock another one by now
                    self._unlock(descriptor)

    @staticmethod
    def _lock_of_owner(descriptor: int, real: str) -> None:
        """What root creates must not shut out the user whose file it is."""
        if os.geteuid() == 0 and os.fstat(descriptor).st_uid == 0:
            with suppress(FileNotFoundError):
                owner = os.stat(real)
                os.fchown(descriptor, owner.st_uid, owner.st_gid)

    def _unlock(self, descriptor: int) -> None:
        # Not left to close(): a child that was forked meanwhile has the same lock.
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        self._locks.discard(descriptor)
        os.close(descriptor)

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            problem = _explain(exc, self._path, what)
        else:
            return
        raise StoreError(problem)


class _Patience:
    """
    How long a waiter waits for the lock.

    The lock is not fair, and a disk may be slow: as long as others write, nobody has been stopped.
    """

    def __init__(self, real: str) -> None:
        self._real = real
        self._began = self._since = time.monotonic()
        self._seen = self._look()

    def written(self) -> bool:
        """Whether the file was replaced since the last call; the patience then begins anew."""
        seen, self._seen = self._seen, self._look()
        if seen == self._seen:
            return False
        self._since = time.monotonic()
        return True

    def over(self) -> bool:
        """Whether it is at its end."""
        now = time.monotonic()
        return now - self._since > _LOCK_PATIENCE or now - self._began > _LOCK_LONGEST

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
    return stamp, loads(json.dumps(record)) if stamp and record is not None else None


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
        case errno.EMFILE | errno.ENFILE:
            return f"{start}: too many files are open. Raise the limit (ulimit -n), or find out who keeps them open."
        case errno.ELOOP:
            return f"{start}: symbolic links lead in a circle, or its .lock is one. Remove them."
    reason = os.strerror(exc.errno) if exc.errno else type(exc).__name__
    return f"{start} ({reason}). Check the path and its file system."
