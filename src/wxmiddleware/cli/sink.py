"""A directory with a file for each token, which `keep` writes."""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

from .._rules.models import LONGEST_TOKEN, Account
from ..exceptions import ConfigurationError, StoreError
from ..stores._private import check_directory

_REMAINS = 60.0  # seconds after which nobody is at work any more on a file that was begun
_logger = logging.getLogger("wxmiddleware")


class Sink:
    """
    A directory with a file for each token, for programs that can read nothing but a file.

    A file holds the token and nothing else, and is replaced as a whole: a reader meets the old token or the new one.

    Args:
        directory: Where; it must exist.
        mode: Who may read the files; others than their owner never write to them.

    Raises:
        ConfigurationError: There is no such directory, or it is a file; or this user cannot write to it, every user may
            replace the files in it, or the mode lets others write.
    """

    def __init__(self, directory: str, mode: int = 0o600) -> None:
        if Path(directory).exists() and not Path(directory).is_dir():
            raise ConfigurationError(
                f"--sink: {directory!r} is a file. Name the directory: each token has a file of its own in it."
            )
        if not Path(directory).is_dir():
            raise ConfigurationError(f"--sink: there is no directory {directory!r}. Make it, for the readers' group.")
        if not os.access(directory, os.W_OK | os.X_OK):
            raise ConfigurationError(f"--sink: this user may not write to {directory!r}.")
        try:
            check_directory(directory)
        except StoreError:
            raise ConfigurationError(
                f"--sink: every user of this machine may replace the files in {directory!r}, and so the token. "
                f"Run chmod o-w {directory}."
            ) from None
        if mode & 0o7133 or not mode & 0o400:
            raise ConfigurationError("--sink-mode is one like 0600 or 0640: the owner reads, and nobody else writes.")
        self._directory = directory
        self._mode = mode
        self._told = ""

    def write(self, name: str, token: str) -> bool:
        """
        Write a token, unless it is there already. What goes wrong is tried again with the next call, and logged once.

        Returns:
            Whether the file has this token now.
        """
        path = os.path.join(self._directory, name)
        if _holds(path, token, self._mode):
            return True
        left, problem = "", ""
        try:
            handle, left = tempfile.mkstemp(prefix=f".{name}.", dir=self._directory)
            with open(handle, "w", encoding="ascii") as file:
                os.fchmod(file.fileno(), self._mode)
                file.write(token)
                file.flush()
                os.fsync(file.fileno())
            os.replace(left, path)
            self._remove_remains(name)
        except OSError as error:
            problem = error.strerror or type(error).__name__
            with contextlib.suppress(OSError):
                os.unlink(left)
        if problem and problem != self._told:
            _logger.warning("The token could not be written to %s: %s. It is tried again each second.", path, problem)
        self._told = problem
        return not problem

    def _remove_remains(self, name: str) -> None:
        """Remove what keepers have left behind that were killed while they wrote this file: there is a token in it."""
        remains: list[os.DirEntry[str]] = []
        # To write a file one need not be allowed to list those that are there.
        with contextlib.suppress(OSError), os.scandir(self._directory) as entries:
            remains += [each for each in entries if each.name.startswith(f".{name}.")]
        for each in remains:
            with contextlib.suppress(OSError):
                # Another keeper may be writing now.
                if time.time() - each.stat(follow_symlinks=False).st_mtime > _REMAINS:
                    os.unlink(each)


def file_name(account: Account, kind: str) -> str:
    """
    Name the file of a token: ``[REALM@]APPID[.APP].KIND.token``, as little of it as tells it from all others.

    A realm is in it only if it was said and is not the usual one: a simulator's is its port, which programs that try
    themselves there need not know.
    """
    realm = "" if account.realm in (None, account._own_realm) else f"{account.realm}@"
    # The app is quoted already.
    words = [quote(account.appid, safe=""), account._app(), quote(kind, safe="")]
    return realm + ".".join(word.replace(".", "%2E") for word in words if word) + ".token"


def _holds(path: str, token: str, mode: int) -> bool:
    """Whether the token is in this file, and may be read by whom it should."""
    try:
        # A link leads to a file that others may change; a pipe would wait for somebody who writes.
        opened = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        with open(opened, "rb") as file:
            about = os.fstat(opened).st_mode
            sound = stat.S_ISREG(about) and stat.S_IMODE(about) == mode
            return sound and file.read(LONGEST_TOKEN + 1) == token.encode()
    except OSError:
        return False
