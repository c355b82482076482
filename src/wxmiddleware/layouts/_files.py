"""JSON files of other programs: read as they may be met, replaced as a whole."""

from __future__ import annotations

import json
import os
import stat
import tempfile
from contextlib import suppress
from typing import Any

from ..exceptions import ConfigurationError

_MOST_BYTES = 65_536
_NEW = 0o644  # for the other program's user, who is rarely ours


class JSONFile:
    """
    A file with one JSON object.

    Args:
        path: The file; a relative one is below the directory that the process is in now.

    Raises:
        ConfigurationError: It is no path.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        if not isinstance(path, str | os.PathLike) or not isinstance(os.fspath(path), str):
            raise ConfigurationError("path must be the path of a file, a str or a Path.")
        if not str(path) or "\0" in str(path) or "://" in str(path):
            raise ConfigurationError("path must be the name of a file, and is empty, a URL or has a NUL in it.")
        self._path = os.path.abspath(path)

    @property
    def name(self) -> str:
        """The file, for messages."""
        return f"{type(self).__name__}({self._path})"

    def __repr__(self) -> str:
        return self.name

    def load(self) -> dict[str, Any]:
        """What is in the file; nothing if it is away, empty, half written or no object."""
        try:
            with open(self._path, "rb") as file:
                found = json.loads(file.read(_MOST_BYTES))
        except (FileNotFoundError, ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    def replace(self, content: str) -> None:
        """
        Replace the file as a whole, but keep whose it is and who may read and write it.

        Where this user may not give files away, as only root may, another user's file is written in place: else its
        owner could write it no more.
        """
        path, raw = os.path.realpath(self._path), content.encode()
        try:
            there = os.stat(path)
        except FileNotFoundError:
            there = None
        handle, beside = tempfile.mkstemp(prefix=f".{os.path.basename(path)}.", dir=os.path.dirname(path))
        try:
            with open(handle, "wb") as file:
                file.write(raw)
                os.fchmod(handle, _NEW if there is None else stat.S_IMODE(there.st_mode))
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


def _write_in_place(path: str, raw: bytes) -> None:
    """Write over what is there in one step, and cut off what is left behind it."""
    handle = os.open(path, os.O_WRONLY)
    try:
        os.write(handle, raw)
        os.ftruncate(handle, len(raw))
    finally:
        os.close(handle)
