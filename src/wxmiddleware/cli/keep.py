"""The command ``wxmiddleware keep``: the token is young also when nobody asks for it."""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import sys
import tempfile
import threading
from pathlib import Path
from urllib.parse import quote

from .._engine.provider import TokenProvider
from .._engine.warmer import ask
from .._rules.models import LONGEST_TOKEN, Account
from ..exceptions import ConfigurationError, StoreError
from ..stores._private import check_directory
from .signals import set_by_signals

_LEAVING = 2.0  # seconds that a fetch under way is waited for at the end: its token would be lost to everybody
_logger = logging.getLogger("wxmiddleware")


class Sink:
    """
    A directory with a file for each token, for programs that can read nothing but a file.

    A file holds the token and nothing else, and is replaced as a whole: a reader meets the old token or the new one.

    Args:
        directory: Where; it must exist.
        mode: Who may read the files; others than their owner never write to them.

    Raises:
        ConfigurationError: There is no such directory, this user cannot write to it, every user may replace the files
            in it, or the mode lets others write.
    """

    def __init__(self, directory: str, mode: int = 0o600) -> None:
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
        self._written: dict[str, str] = {}
        self._told = ""

    def write(self, name: str, token: str) -> bool:
        """
        Write a token, unless it is there already. What goes wrong is tried again with the next call, and logged once.

        Returns:
            Whether the file has this token now.
        """
        path = os.path.join(self._directory, name)
        if self._written.get(name) == token and _holds(path, token):
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
        except OSError as error:
            problem = error.strerror or type(error).__name__
            with contextlib.suppress(OSError):
                os.unlink(left)
        if problem and problem != self._told:
            _logger.warning("The token could not be written to %s: %s. It is tried again each second.", path, problem)
        self._told = problem
        if problem:
            return False
        self._written[name] = token
        return True


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


def _holds(path: str, token: str) -> bool:
    """Whether the token is in this file still, and not what another program has put there."""
    try:
        # A link leads to a file that others may change; a pipe would wait for somebody who writes.
        opened = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        with open(opened, "rb") as file:
            regular = stat.S_ISREG(os.fstat(opened).st_mode)
            return regular and file.read(LONGEST_TOKEN + 1) == token.encode()
    except OSError:
        return False


def keep(provider: TokenProvider, woken: threading.Event, sink: Sink | None = None) -> int:
    """
    Ask for the token again and again, until Ctrl-C or SIGTERM.

    Args:
        provider: Whose token.
        woken: Set when something has happened to the token: it is looked at once more then.
        sink: Where to write it, too.

    Returns:
        0.
    """
    stopped = threading.Event()
    name = file_name(provider.account, provider.status().kind)
    with set_by_signals(stopped, woken):
        while not stopped.is_set():
            woken.clear()
            pause = ask(provider)
            token = provider.peek()
            if sink is not None and token is not None and not sink.write(name, token):
                pause = 1.0
            if not stopped.is_set():
                woken.wait(pause)
        flight = provider._own.flight
        if flight is not None:
            flight.wait(_LEAVING)
    return 0


def log_to_stderr() -> None:
    """Show what happens to the token as lines on the standard error, for the journal."""
    if not _logger.hasHandlers():
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
        _logger.addHandler(handler)
        _logger.setLevel(logging.INFO)
