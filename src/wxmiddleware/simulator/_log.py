"""What the simulator has seen: counters, a bounded log, and a way to wait for something to happen."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

from ._errors import REJECTED

TOKEN_PATHS = {
    "/cgi-bin/token": "classic",
    "/cgi-bin/stable_token": "stable",
    "/cgi-bin/gettoken": "wecom",
    "/cgi-bin/component/api_component_token": "component",
    "/cgi-bin/service/get_suite_token": "suite",
    "/cgi-bin/service/get_provider_token": "provider",
    "/cgi-bin/service/get_corp_token": "corp",
}
_PATHS_COUNTED = 2000  # a scanner that tries every path does not fill the memory
_APPID = re.compile(r"wx[0-9a-f]{16}", re.ASCII)


@dataclass(frozen=True, slots=True)
class LogEntry:
    """
    One request that was answered, or whose answer was lost on purpose. Never holds a token or a secret.

    Attributes:
        number: 1 for the first request since the start or since ``reset_counters()``.
        at: Simulated Unix seconds at which the answer was ready.
        method: HTTP method.
        path: The path without its query; a long unknown segment is shortened.
        appid: Whose request it was, or ``None`` if that is not known.
        errcode: The answer's errcode, or ``None`` if it has none (a plain success, or no JSON).
        ip: The caller's address.
        status: HTTP status, or ``None`` when no answer was sent.
        fault: Kind of the injected fault, or ``None``.
    """

    number: int
    at: float
    method: str
    path: str
    appid: str | None
    errcode: int | None
    ip: str
    status: int | None
    fault: str | None


class Ledger:
    """Counts and remembers. Its lock is a leaf: nothing is called while it is held."""

    def __init__(self, size: int) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._changes = 0
        self._entries: deque[LogEntry] = deque(maxlen=size)
        self._clear()

    def _clear(self) -> None:
        self._fetches: Counter[tuple[str, str]] = Counter()
        self._minted: Counter[tuple[str, str]] = Counter()
        self._stolen: Counter[tuple[str, str]] = Counter()
        self._calls: Counter[str] = Counter()
        self._rejections = 0
        self._numbers = 0
        self._entries.clear()

    def reset(self) -> None:
        with self._changed:
            self._clear()
            self._tell()

    def fetched(self, appid: str, slot: str) -> None:
        with self._changed:
            self._fetches[appid, slot] += 1
            self._tell()

    def minted_one(self, appid: str, slot: str, *, stolen: bool) -> None:
        with self._changed:
            (self._stolen if stolen else self._minted)[appid, slot] += 1
            self._tell()

    def arrived(self, path: str) -> None:
        with self._changed:
            if path not in self._calls and len(self._calls) >= _PATHS_COUNTED:
                path = "(other)"
            self._calls[path] += 1
            self._tell()

    def answered(
        self,
        *,
        at: float,
        method: str,
        path: str,
        appid: str | None,
        errcode: int | None,
        ip: str,
        status: int | None,
        fault: str | None,
    ) -> None:
        with self._changed:
            self._numbers += 1
            if errcode in REJECTED and path not in TOKEN_PATHS:
                self._rejections += 1
            shown = "/".join(part if len(part) <= 40 else part[:8] + "..." for part in path.split("/"))[:200]
            self._entries.append(LogEntry(self._numbers, at, method, shown, appid, errcode, ip, status, fault))
            self._tell()

    def tell(self) -> None:
        """Let waiters look again."""
        with self._changed:
            self._tell()

    def _tell(self) -> None:
        self._changes += 1
        self._changed.notify_all()

    def fetches(self, appid: str | None, slot: str | None) -> int:
        with self._changed:
            return _sum(self._fetches, appid, slot)

    def minted(self, appid: str | None, slot: str | None) -> int:
        with self._changed:
            return _sum(self._minted, appid, slot)

    def stolen(self, appid: str | None, slot: str | None) -> int:
        with self._changed:
            return _sum(self._stolen, appid, slot)

    def calls(self, path: str | None) -> int:
        with self._changed:
            if path is None:
                return sum(count for seen, count in self._calls.items() if seen not in TOKEN_PATHS)
            if path.endswith("*"):
                return sum(count for seen, count in self._calls.items() if seen.startswith(path[:-1]))
            return self._calls[path]

    def calls_by_path(self) -> dict[str, int]:
        with self._changed:
            return {path: count for path, count in sorted(self._calls.items()) if count}

    def rejections(self) -> int:
        with self._changed:
            return self._rejections

    def newest(self) -> int:
        with self._changed:
            return self._numbers

    def entries(self) -> list[LogEntry]:
        with self._changed:
            return list(self._entries)

    def wait_for(self, predicate: Callable[[], object], timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        while True:
            with self._changed:
                seen = self._changes
            if predicate():  # outside the lock: it will ask for our counters
                return True
            with self._changed:
                while self._changes == seen:
                    left = deadline - time.monotonic()
                    if left <= 0:
                        break
                    self._changed.wait(left)
                unchanged = self._changes == seen
            if unchanged or time.monotonic() >= deadline:
                return bool(predicate())


def _sum(counter: Counter[tuple[str, str]], appid: str | None, slot: str | None) -> int:
    return sum(n for (whose, which), n in counter.items() if appid in (None, whose) and slot in (None, which))


def shown_appid(appid: object, known: bool) -> str | None:
    """Whose request to write into the log: a secret put where the appid belongs is not shown."""
    return appid if isinstance(appid, str) and (known or _APPID.fullmatch(appid)) else None
