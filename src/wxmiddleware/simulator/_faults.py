"""What may go wrong on the way: faults on request."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from wxmiddleware.exceptions import ConfigurationError

__all__ = ["Fault", "Faults"]

_HTML = b"<html><head><title>%s</title></head><body><center><h1>%s</h1></center></body></html>\r\n"
_REQUIRED = object()

# kind -> its options and what they are when not given
KINDS: dict[str, dict[str, object]] = {
    "errcode": {"errcode": _REQUIRED, "errmsg": None, "executed": False},
    "latency": {"seconds": _REQUIRED},
    "hang": {"seconds": None, "executed": False},
    "status": {"status": 502, "body": None, "content_type": "text/html", "executed": False},
    "reset": {"executed": False},
    "half": {"executed": True},
    "html": {"body": _HTML % (b"Welcome", b"Please log in to this network"), "executed": False},
    "empty": {"executed": False},
    "body": {"body": _REQUIRED, "content_type": None, "executed": False},
    "lost": {"executed": True},
    "trickle": {"seconds": 0.01},
}


class Interrupted(Exception):
    """The server is being stopped: nobody waits for this answer any more."""


class Fault:
    """
    One fault that was asked for.

    Attributes:
        path: Where it strikes.
        kind: What it does.
        hits: Requests it has struck so far. It counts when the request arrives, so a hanging one is counted too.
    """

    def __init__(self, faults: Faults, path: str, kind: str, times: int | None, options: Mapping[str, Any]) -> None:
        self.path = path
        self.kind = kind
        self.hits = 0
        self._times = times
        self._faults = faults
        self._options = dict(options)  # may hold a body with a token: kept out of the repr
        self._releases = 0

    def remove(self) -> None:
        """Strike no more. Requests that hang on it go on."""
        self._faults._remove(self)

    def release(self) -> None:
        """Let the requests that hang on it now go on; the next ones hang again."""
        self._faults._release(self)

    def option(self, name: str) -> Any:
        """Give one of the options it was added with."""
        return self._options[name]

    @property
    def executed(self) -> bool:
        """Whether the request takes effect although its answer does not arrive as it should."""
        return bool(self._options.get("executed", True))

    def strikes(self, path: str) -> bool:
        """Whether it concerns this path."""
        return path.startswith(self.path[:-1]) if self.path.endswith("*") else path == self.path

    def __repr__(self) -> str:
        left = "until removed" if self._times is None else f"{max(0, self._times - self.hits)} left"
        return f"<Fault {self.kind} at {self.path}: {self.hits} hits, {left}>"


class Faults:
    """
    The faults in force. The one added first strikes first; one request meets at most one.

    Args:
        tell: Called after each change, to wake those who wait for one.
    """

    def __init__(self, tell: Callable[[], None]) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._faults: list[Fault] = []
        self._clears = 0
        self._tell = tell

    def add(self, path: str, kind: str, times: int | None = 1, **options: Any) -> Fault:
        """
        Ask for a fault.

        Kinds and their options (seconds are real ones, bodies are ``bytes`` or ``str``):

        - ``errcode``: an answer with ``errcode=``, with WeChat's text or with exactly ``errmsg=``.
        - ``latency``: the usual answer, ``seconds=`` later (half of it before the request takes effect, half after).
        - ``hang``: no answer for ``seconds=`` (``None``: until ``release()``, ``remove()`` or the server's stop),
          then the usual one.
        - ``status``: an HTTP ``status=`` (502) with ``body=`` and ``content_type=`` (an HTML page).
        - ``reset``: the connection is reset (TCP RST) once the request was read.
        - ``half``: the length of the whole answer is promised, half of it is sent, the connection closed.
        - ``html``: status 200 with an HTML ``body=``, like a hotel's network.
        - ``empty``: status 200 with nothing.
        - ``body``: status 200 with this ``body=``, in ``content_type=`` (that of JSON answers).
        - ``lost``: the request takes effect, and the connection closes without an answer.
        - ``trickle``: the usual answer byte by byte, with ``seconds=`` (0.01) between two.

        ``executed=True`` or ``False`` says for all but latency and trickle whether the request takes effect all the
        same (default: only for half and lost). A hang that was not executed takes effect when it ends.

        Args:
            path: An exact path, a prefix such as ``/cgi-bin/message/*``, or ``*``.
            kind: One of the above.
            times: How many requests it strikes; ``None`` for all until it is removed.

        Raises:
            ConfigurationError: No such kind, or an option is missing, unknown or of no use.
        """
        known = KINDS.get(kind) if isinstance(kind, str) else None
        if known is None:
            raise ConfigurationError(f"There is no fault of kind {kind!r}; use one of: {', '.join(sorted(KINDS))}.")
        if not isinstance(path, str) or not (path == "*" or path.startswith("/")):
            raise ConfigurationError(f'A fault\'s path starts with "/" or is "*"; got {path!r}.')
        if "*" in path[:-1]:
            raise ConfigurationError(f'"*" stands only at the end of a fault\'s path; got {path!r}.')
        if times is not None and (isinstance(times, bool) or not isinstance(times, int) or times < 1):
            raise ConfigurationError(f"times is how many requests to strike, 1 or more, or None; got {times!r}.")
        unknown = sorted(set(options) - set(known))
        if unknown:
            raise ConfigurationError(
                f"A fault of kind {kind!r} has no option {', '.join(unknown)}; it has: {', '.join(sorted(known))}."
            )
        chosen = {name: options.get(name, default) for name, default in known.items()}
        missing = sorted(name for name, value in chosen.items() if value is _REQUIRED)
        if missing:
            raise ConfigurationError(f"A fault of kind {kind!r} needs {', '.join(missing)}.")
        for name, value in chosen.items():
            chosen[name] = _checked(kind, name, value)
        fault = Fault(self, path, kind, times, chosen)
        with self._changed:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Remove every fault. Requests that hang go on."""
        with self._changed:
            self._faults.clear()
            self._clears += 1
            self._changed.notify_all()

    def __iter__(self) -> Any:
        with self._changed:
            return iter(list(self._faults))

    def __len__(self) -> int:
        with self._changed:
            return len(self._faults)

    def __repr__(self) -> str:
        return f"<Faults: {', '.join(map(repr, self)) or 'none'}>"

    def take(self, path: str) -> tuple[Fault | None, int]:
        """Give the fault that strikes this request, if any, and the number of its releases so far."""
        with self._changed:
            for fault in self._faults:
                if fault.strikes(path):
                    fault.hits += 1
                    if fault._times is not None and fault.hits >= fault._times:
                        self._faults.remove(fault)
                    break
            else:
                return None, 0
            releases = fault._releases + self._clears
        self._tell()
        return fault, releases

    def pause(
        self, seconds: float | None, stopping: threading.Event | None, fault: Fault | None = None, releases: int = 0
    ) -> None:
        """
        Wait in real time, at most until ``fault`` is released.

        Raises:
            Interrupted: The server stops.
        """
        deadline = math.inf if seconds is None else time.monotonic() + seconds
        with self._changed:
            while True:
                if stopping is not None and stopping.is_set():
                    raise Interrupted
                if fault is not None and fault._releases + self._clears != releases:
                    return
                left = deadline - time.monotonic()
                if left <= 0:
                    return
                self._changed.wait(min(left, 3600.0))

    def wake(self) -> None:
        """Let everyone who waits look at whether the server stops."""
        with self._changed:
            self._changed.notify_all()

    def _remove(self, fault: Fault) -> None:
        with self._changed:
            if fault in self._faults:
                self._faults.remove(fault)
            fault._releases += 1
            self._changed.notify_all()

    def _release(self, fault: Fault) -> None:
        with self._changed:
            fault._releases += 1
            self._changed.notify_all()


def _checked(kind: str, name: str, value: object) -> object:
    if name == "executed" and not isinstance(value, bool):
        raise ConfigurationError(f"executed of a fault is True or False; got {value!r}.")
    if name == "seconds" and not ((value is None and kind == "hang") or _duration(value)):
        raise ConfigurationError(f"seconds of a fault is a number, 0 or more; got {value!r}.")
    if name in ("errcode", "status") and (isinstance(value, bool) or not isinstance(value, int)):
        raise ConfigurationError(f"{name} of a fault is a whole number; got {value!r}.")
    if name == "status" and not (isinstance(value, int) and 200 <= value <= 599):
        raise ConfigurationError(f"status of a fault is an HTTP status from 200 to 599; got {value!r}.")
    if name in ("errmsg", "content_type") and value is not None and not isinstance(value, str):
        raise ConfigurationError(f"{name} of a fault is a text; got {type(value).__name__}.")
    if name == "body":
        if isinstance(value, str):
            return value.encode()
        if value is not None and not isinstance(value, bytes):
            raise ConfigurationError(f"body of a fault is bytes or str; got {type(value).__name__}.")
    return value


def _duration(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value >= 0


def page(status: int, reason: str) -> bytes:
    """The HTML that a gateway sends with an error status."""
    line = f"{status} {reason}".encode()
    return _HTML % (line, line)
