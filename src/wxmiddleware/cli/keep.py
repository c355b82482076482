"""The command ``wxmiddleware keep``: the token is young also when nobody asks for it."""

from __future__ import annotations

import logging
import sys
import threading

from .._engine.provider import TokenProvider
from .._engine.warmer import ask
from .signals import set_by_signals
from .sink import Sink, file_name

_LEAVING = 2.0  # seconds that a fetch under way is waited for at the end: its token would be lost to everybody
_logger = logging.getLogger("wxmiddleware")


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
