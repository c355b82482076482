"""JSON files of other programs: read as they may be met, replaced as a whole."""

from __future__ import annotations

import errno
import json
import os
import stat
import tempfile
from contextlib import suppress
from typing import Any

from ..exceptions import ConfigurationError, StoreError
from ..sources._reading import read_file
from ..stores._private import check_link

_MOST_BYTES = 65_536


class JSONFile:
    """
    A file with one JSON object.

    Args:
        path: The file; a relative one is below the directory that the process is in now.
        mode: Who may read and write a new file.

    Raises:
        ConfigurationError: It is no path, or that of a directory; or the mode lets every user write.
    """

    def __init__(self, path: str | os.PathLike[str], *, mode: int = 0o600) -> None:
        if not isinstance(path, str | os.PathLike) or not isinstance(os.fspath(path), str):
            raise ConfigurationError("path must be the path of a file, a str or a Path.")
        if not str(path) or "\0" in str(path) or "://" in str(path):
            raise ConfigurationError("path must be the name of a file, and is empty, a URL or has a NUL in it.")
        if os.path.isdir(path):
            raise ConfigurationError("path is a directory. Name the file in it, such as access_token.json.")
        if isinstance(mode, bool) or not isinstance(mode, int) or mode & ~0o664 or mode & 0o600 != 0o600:
            raise ConfigurationError(
                "mode is one like 0o600, 0o640 or 0o660: its owner reads and writes, and not every user writes."
            )
        self._path = os.path.abspath(path)
        self._mode = mode

    @property
    def name(self) -> str:
        """The file, for messages."""
        return f"{type(self).__name__}({self._path})"

    @property
    def _place(self) -> object:
        """What two layouts of one file have in common."""
        return os.path.realpath(self._path)

    def __repr__(self) -> str:
        return self.name

    def load(self) -> dict[str, Any]:
        """
        What is in the file; nothing if it is away, empty, half written or no object.

        Raises:
            StoreError: It is no file.
        """
        try:
            raw, _ = read_file(self._path, _MOST_BYTES)
            if raw is None:
                raise _no_file(self._path)
            found = json.loads(raw)
        except (FileNotFoundError, ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    def replace(self, content: str) -> None:
        """
        Replace the file as a whole, but keep whose it is and who may read and write it.

        Where this user may not give files away, as only root may, another user's file is written in place: else its
        owner could write it no more.

        Raises:
            StoreError: Its name is a link of another user's, or it is no file.
        """
        path, raw = _real(self._path), content.encode()
        try:
            there = os.lstat(path)
        except FileNotFoundError:
            there = None
        if there is not None and not stat.S_ISREG(there.st_mode):
            raise _no_file(path)
        handle, beside = tempfile.mkstemp(prefix=f".{os.path.basename(path)}.", dir=os.path.dirname(path))
        try:
            with open(handle, "wb") as file:
                file.write(raw)
                os.fchmod(handle, self._mode if there is None else stat.S_IMODE(there.st_mode))
                if there is not None and _owner(os.fstat(handle)) != _owner(there):
                    try:
                        os.fchown(handle, *_owner(there))
                    except PermissionError:
                        _write_in_place(path, raw)
                        return
                file.flush()
                os.fsync(handle)
            os.replace(beside, path)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(beside)


def _owner(about: os.stat_result) -> tuple[int, int]:
    return about.st_uid, about.st_gid


def _no_file(path: str) -> StoreError:
    return StoreError(f"{path} is not a regular file.")


def _real(path: str) -> str:
    """
    Follow the links at the file's name: root's and our own user's only.

    Whoever may write to the directory could else have us replace any file that we may. The directories above are not
    looked at, and may be links of anybody's: a deployment changes such a link with each release (``current``), as a
    user of its own. So who may change those chooses the file, as who may change the settings does.
    """
    for _ in range(40):
        directory = os.path.realpath(os.path.dirname(path))
        path = os.path.join(directory, os.path.basename(path))
        check_link(path, anybody=True)
        if not os.path.islink(path):
            return path
        path = os.path.join(directory, os.readlink(path))
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)


def _write_in_place(path: str, raw: bytes) -> None:
    """Write over what is there in one step, and cut off what is left behind it."""
    # Somebody may just have put a link or a pipe there.
    handle = os.open(path, os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise _no_file(path)
        os.write(handle, raw)
        os.ftruncate(handle, len(raw))
    finally:
        os.close(handle)
