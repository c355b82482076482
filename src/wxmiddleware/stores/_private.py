"""
Files that hold tokens are their owner's alone: what else lies at their place is refused.

Whoever can write to a file of tokens has the service use a token of theirs. So a file counts only where nobody else
can put or change it. Nothing here opens what it looks at: a pipe would keep us waiting, and closing a file ends the
locks that SQLite has on it.
"""

from __future__ import annotations

import logging
import os
import stat
from contextlib import suppress

from ..exceptions import StoreError

_logger = logging.getLogger("wxmiddleware")

MODE = 0o600
# What each kind of file is called, for people.
_KINDS = ((stat.S_ISDIR, "directory"), (stat.S_ISLNK, "symbolic link"), (stat.S_ISFIFO, "pipe"))


def check_directory(name: str) -> bool:
    """
    Look at the directory of a file.

    Returns:
        Whether every user may put files into it, though none may replace those of others (``/tmp``).

    Raises:
        StoreError: Every user may replace files in it.
        OSError: It cannot be looked at.
    """
    mode = os.stat(name).st_mode
    if not _has_users() or not mode & stat.S_IWOTH:
        return False
    if not mode & stat.S_ISVTX:
        raise StoreError(
            f"Every user of this machine may replace the files in {name}, and so the token. "
            f"Run chmod o-w {name}, or give the store a path in a directory of its own."
        )
    return True


def check_file(status: os.stat_result, name: str, *, anybody: bool) -> None:
    """
    Look at a file that is there, as `os.stat` or `os.fstat` tells of it.

    Args:
        status: What is known of it.
        name: Its name, for messages.
        anybody: Whether every user may put files into its directory.

    Raises:
        StoreError: It is not a regular file, has a second name, is another user's, or every user may write to it.
    """
    if not stat.S_ISREG(status.st_mode):
        kind = next((word for test, word in _KINDS if test(status.st_mode)), "device")
        raise StoreError(f"{name} is not a regular file but a {kind}. Remove it, or give the store another path.")
    if status.st_nlink > 1:
        raise StoreError(
            f"{name} has a second name (a hard link), under which it can be changed. Copy it, and put the copy there."
        )
    _check_owner(status, name, anybody)
    if _has_users() and status.st_mode & stat.S_IWOTH:
        raise StoreError(
            f"Every user of this machine may write to {name}, so what is in it may be anybody's. Delete it; the next "
            "token makes it anew, for this user alone."
        )


def check_link(name: str, *, anybody: bool) -> None:
    """
    Look at the name that the user has given: it may be a link, but not one of another user's.

    Raises:
        StoreError: It is.
    """
    with suppress(FileNotFoundError):
        status = os.lstat(name)
        if stat.S_ISLNK(status.st_mode):
            _check_owner(status, name, anybody)


def check_own_directory(name: str, *, anybody: bool) -> None:
    """
    Look at a directory that the store has made, if it is there.

    Raises:
        StoreError: It is something else, another user's, or every user may write to it.
    """
    with suppress(FileNotFoundError):
        status = os.lstat(name)
        if not stat.S_ISDIR(status.st_mode):
            raise StoreError(f"{name} is not a directory. Remove it, or give the store another path.")
        _check_owner(status, name, anybody)
        check_directory(name)


def close_to_others(status: os.stat_result, name: str) -> None:
    """Take away the rights of other users, where there are any; that is told."""
    if _has_users() and stat.S_IMODE(status.st_mode) & 0o077:
        with suppress(OSError):
            os.chmod(name, MODE)
            _logger.warning(
                "Other users of this machine could read %s. It is closed to them now; if they are not to be trusted, "
                "replace the token in it.",
                name,
            )


def secure_database(path: str, *, create: bool) -> None:
    """
    Make sure that an SQLite database is its owner's alone, with the files that SQLite puts beside it.

    SQLite gives those the rights of the database. What cannot be looked at or made is left to it to complain of.

    Args:
        path: Where it is.
        create: Make an empty one if there is none; SQLite would let the umask decide who may read it.

    Raises:
        StoreError: Somebody else could have put or changed one of them.
    """
    real = os.path.realpath(path)
    with suppress(OSError):
        anybody = check_directory(os.path.dirname(real))
        check_link(path, anybody=check_directory(os.path.dirname(path)))
        for name in (real, f"{real}-journal", f"{real}-wal", f"{real}-shm"):
            with suppress(FileNotFoundError):
                status = os.lstat(name)
                check_file(status, name, anybody=anybody)
                close_to_others(status, name)
        if create and not os.path.lexists(real):
            # Not one that somebody else has made in this moment.
            descriptor = os.open(real, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE)
            try:
                os.fchmod(descriptor, MODE)  # whatever the umask
            finally:
                os.close(descriptor)


def _check_owner(status: os.stat_result, name: str, anybody: bool) -> None:
    if not _has_users() or status.st_uid in (0, os.geteuid()) or (os.geteuid() == 0 and not anybody):
        # Root in a shell meets the service's files. Where everybody can put some, it trusts only its own.
        return
    raise StoreError(
        f"{name} belongs to user {status.st_uid}, and this process runs as user {os.geteuid()}. "
        "Run all processes that share it as one user, or give the store another path."
    )


def _has_users() -> bool:
    return hasattr(os, "geteuid")
