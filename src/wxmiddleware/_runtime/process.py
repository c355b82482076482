"""
The name of a lease's holder, and whether that process still runs.

A lease names its holder by host, process id, start time and "space": which boot of which machine, and which of its
namespaces of process ids. Only in the same space can a process be known to have ended; all others, and all where there
is no ``/proc``, are taken to be alive.

The kernel tells a start time in the time namespace of the process that asks, so the name has that namespace in it
(``unshare --time``, CRIU, some containers). Between two of these only the process id is compared.
"""

from __future__ import annotations

import hashlib
import os
import re
import socket
from functools import lru_cache
from pathlib import Path

_UNKNOWN = "-"
_PID = re.compile("[1-9][0-9]{0,18}")


def name() -> str:
    """Name this process, as ``host/pid/start/space/``."""
    return _name(os.getpid())


def host_and_pid(owner: str) -> str:
    """Name the holder of a lease for people."""
    host, pid, *_ = [*owner.split("/"), "", ""]
    return f"process {pid} on {host}" if pid else owner


def gone(owner: str) -> bool:
    """Whether the holder of a lease has surely ended."""
    host, pid, start, space, *_ = [*owner.split("/"), "", "", "", ""]
    here, _, _, our_space, _ = name().split("/")
    if space in ("", _UNKNOWN) or (host, space) != (here, our_space) or not _PID.fullmatch(pid):
        return False
    try:
        os.kill(int(pid), 0)  # sends nothing, only asks; works also where /proc hides the processes of other users
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):  # it runs, as another user's
        pass
    state, ticks = _state_and_ticks(int(pid))
    return state in ("Z", "X") or _another(start, f"{ticks}{_timescale()}")


def lock_is_stopped(inode: int) -> bool:
    """Whether the process that holds the ``flock`` on a file is known to be stopped (SIGSTOP, a debugger)."""
    try:
        lines = Path("/proc/locks").read_text("ascii").splitlines()
    except (OSError, ValueError):
        return False
    for fields in map(str.split, lines):
        # "1: FLOCK ADVISORY WRITE 4711 fe:00:1234 0 EOF"; of one that waits "1: -> FLOCK ..."
        if len(fields) > 5 and fields[1] == "FLOCK" and fields[5].rpartition(":")[2] == str(inode):
            return _PID.fullmatch(fields[4]) is not None and _state_and_ticks(int(fields[4]))[0] in ("T", "t")
    return False


@lru_cache(1)
def _name(pid: int) -> str:
    # A forked child has a process id of its own, and so a name of its own.
    _, ticks = _state_and_ticks(pid)
    host = socket.gethostname().replace("/", "_") or _UNKNOWN
    return f"{host}/{pid}/{ticks}{_timescale()}/{_space()}/"


def _another(start: str, started: str) -> bool:
    """Whether a process was surely started at another time than one of the same id."""
    (ticks, _, scale), (theirs, _, their_scale) = start.partition("@"), started.partition("@")
    return scale == their_scale and _UNKNOWN not in (ticks, theirs) and ticks != theirs


def _timescale() -> str:
    """Name this process's namespace of time, as what follows a start time in it; empty where there are none."""
    try:
        return "@" + os.readlink("/proc/self/ns/time").strip("time:[]")
    except OSError:  # a kernel before 5.6
        return ""


def _space() -> str:
    try:
        if os.readlink("/proc/self") != str(os.getpid()):
            return _UNKNOWN  # this is the /proc of another namespace
        boot = Path("/proc/sys/kernel/random/boot_id").read_bytes()
        return hashlib.sha256(boot + os.readlink("/proc/self/ns/pid").encode()).hexdigest()[:12]
    except OSError:
        return _UNKNOWN


def _state_and_ticks(pid: int) -> tuple[str, str]:
    """Give a process's state, and when it was started (in ticks since the machine was)."""
    try:
        # The second field is the program's name in brackets, and may itself hold brackets and blanks.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return fields[0].decode(), fields[19].decode()
    except (OSError, LookupError, ValueError):
        return _UNKNOWN, _UNKNOWN
