"""The command ``wxmiddleware keep``: the token is young also when nobody asks for it."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
import threading
from pathlib import Path

from .._engine.provider import TokenProvider
from .._engine.warmer import ask
from ..exceptions import ConfigurationError
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
        ConfigurationError: There is no such directory, this user cannot write to it, or the mode lets others write.
    """

    def __init__(self, directory: str, mode: int = 0o600) -> None:
        if not Path(directory).is_dir():
            raise ConfigurationError(f"--sink: there is no directory {directory!r}. Make it, for the readers' group.")
        if not os.access(directory, os.W_OK | os.X_OK):
            raise ConfigurationError(f"--sink: this user may not write to {directory!r}.")
        if mode & 0o7133 or not mode & 0o400:
            raise ConfigurationError("--sink-mode is one like 0600 or 0640: the owner reads, and nobody else writes.")
        self._directory = directory
        self._mode = mode
        self._written: dict[str, str] = {}

    def write(self, name: str, token: str) -> bool:
        """
        Write a token, unless it is there already. What goes wrong is logged, and tried again with the next call.

        Returns:
            Whether the file has this token now.
        """
        path = os.path.join(self._directory, name)
        if self._written.get(name) == token and os.path.exists(path):
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
        if problem:
            _logger.warning("The token could not be written to %s: %s. It is tried again.", path, problem)
            return False
        self._written[name] = token
        return True


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
    name = f"{provider.account.appid}.{provider.status().kind}.token"
    if sink is not None and "/" in name:
        raise ConfigurationError("--sink: the AppID has a / in it, so there can be no file of that name.")
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
