"""What goes on behind a caller's back: tests let it come to its end before they count."""

from __future__ import annotations

import threading
import time

from wxmiddleware._engine.registry import registry

PATIENCE = 20.0  # seconds of real time
FROZEN = 2.0  # a flight that has not begun by then never will: the test keeps it from that


def landed() -> None:
    """Wait until no refresh is under way, and all has been told and logged."""
    for token in list(registry._tokens.values()):
        flight = token.flight
        deadline = time.monotonic() + FROZEN
        while flight is not None and not (flight.begun or flight._no_thread) and time.monotonic() < deadline:
            time.sleep(0.001)
    for thread in threading.enumerate():
        if thread.name == "wxmiddleware-refresh":
            thread.join(PATIENCE)
