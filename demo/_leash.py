"""
Runs a command that does not outlive whoever started it: ``python _leash.py COMMAND...``.

Standard input is the leash: at its end, be it that it was closed or that the process at the other end was killed, the
command is asked to end, and after three seconds its whole process group is killed. Imports nothing of wxmiddleware.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

_PATIENCE = 3.0


def main(command: list[str]) -> None:
    """Run `command` until it ends or the leash is let go of."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603 - the demo's own command
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: child.terminate())
    threading.Thread(target=_hold, args=(child,), daemon=True).start()
    child.wait()
    os.killpg(0, signal.SIGKILL)  # also this process, and whatever the command has left behind


def _hold(child: subprocess.Popen[bytes]) -> None:
    while os.read(0, 1024):
        pass
    child.terminate()
    try:
        child.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1:])
