"""
The history of a fleet, as its workers write it down, and a checker of it, in the manner of Jepsen.

Workers and test append to one file (`Recorder`), a line at the beginning of whatever takes time and one at its end. So
a line that stands above another one was written before it. The checker reads the lines, and nothing else: neither the
engine nor the store nor the simulated WeChat. What it holds against a fleet:

- *swap*: one version of the record was replaced twice, so a compare-and-swap was none.
- *order*: a save put an older generation, or a token that was fetched earlier, in the place of a newer one.
- *lease*: a process took the lease from another one that lived, before the lease's end, and brought no token.
- *flight*: two processes asked WeChat at the same time, and the first one's lease held; or one asked without a lease.
- *answer*: a process handed out an older token after a newer one that it was not told is rejected, or still an older
  one than the store has held for `LOOK` seconds.

Where the store was down, wiped or restored, the first three begin anew, and the others wait until all have looked.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

What = Literal["fetch", "fetched", "save", "saved", "ask", "answer", "failed", "killed", "down", "up"]

# What docs/why.md promises; not taken from the library, so that it cannot change both.
LOOK = 60.0
ROUNDING = 1.0  # how inexactly a process may know the store's clock, in seconds
HALF = 2**62  # of the generations


@dataclass(frozen=True)
class Event:
    """
    A line of the history.

    Attributes:
        what: ``fetch`` and ``fetched`` (with a token, or none), ``save`` and ``saved`` (with a version, if it was),
            ``ask`` and ``answer``; ``failed``, a call to the store; ``killed``; the store is ``down``, or was and is
            ``up`` again, perhaps with another record.
        who: The process's id; of the one that is killed. 0 is the test.
        clock: The fleet's clock.
        token: Which one, by a digest; never the token. At ``ask`` the rejected one.
        generation: Of the record that is saved.
        owner: The holder of the lease in that record.
        until: The end of that lease.
        version: What is replaced, at ``save``, and what was written, at ``saved``.
    """

    what: What
    who: int
    clock: float
    token: str | None = None
    generation: int = 0
    owner: str | None = None
    until: float = -math.inf
    version: str | None = None


class Recorder:
    """Appends to a history. Several processes may append to the same one."""

    def __init__(self, path: str | Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def __call__(self, event: Event) -> None:
        os.write(self._file, json.dumps(asdict(event)).encode("ascii") + b"\n")

    def close(self) -> None:
        os.close(self._file)


class Reader:
    """Reads what was appended since it read last."""

    def __init__(self, path: str | Path) -> None:
        self._path = path
        self._read = 0

    def __call__(self) -> list[Event]:
        with open(self._path, "rb") as file:
            file.seek(self._read)
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._read += len(whole)
        return [Event(**json.loads(line)) for line in whole.splitlines()]


def digest(token: str | None) -> str | None:
    """Name a token without showing it."""
    return None if token is None else hashlib.sha256(token.encode()).hexdigest()[:12]


def newer(one: int, other: int) -> bool:
    """Whether a generation is newer than another one (RFC 1982). 0 is that of no token, and older than all."""
    if not one or not other:
        return one > other
    return 0 < (one - other) % (2 * HALF) < HALF


@dataclass
class _Process:
    """
    What is known of one process.

    Attributes:
        lease: Which one it took last.
        until: Its end.
        saving: The save that has begun.
        fetching: When it asked WeChat, if there is no answer yet.
        asked_at: When it was asked last, and
        asked_before: the time before that.
        answer: The newest token that it has handed out.
        rejected: The tokens that it was told are rejected.
    """

    lease: str | None = None
    until: float = -math.inf
    saving: Event | None = None
    fetching: float | None = None
    asked_at: float = -math.inf
    asked_before: float = -math.inf
    answer: str | None = None
    rejected: set[str] = field(default_factory=set)


@dataclass
class _Fetched:
    """When a token was asked for first, and received last: the simulated endpoint may give one again."""

    first: float
    last: float


class Checker:
    """
    Reads a history, line by line.

    Attributes:
        problems: What does not hold, each with the name of the rule.
    """

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._processes: dict[int, _Process] = {}
        self._killed: set[int] = set()
        self._dropped: set[str] = set()  # leases that a token has taken the place of
        self._generations: dict[str, int] = {}  # token -> the newest generation that it had in the store
        self._fetches: dict[str, _Fetched] = {}
        self._is_down = False
        self._well_since = -math.inf  # the store
        self._begin_anew()

    def read(self, events: Iterable[Event]) -> None:
        """Go on with what has happened since."""
        for event in events:
            if event.who in self._killed:  # what it still did before the signal came
                continue
            getattr(self, f"_on_{event.what}")(event, self._processes.setdefault(event.who, _Process()))

    def _begin_anew(self) -> None:
        self._written: dict[str | None, Event] = {}  # version -> the save that made it
        self._replaced: dict[str | None, tuple[Event, str | None]] = {}  # version -> what took its place
        self._newest: Event | None = None  # of the records in the store, by generation
        self._newest_at = -math.inf

    # The store

    def _on_down(self, _: Event, __: _Process) -> None:
        self._is_down = True

    def _on_up(self, event: Event, _: _Process) -> None:
        self._is_down = False
        self._well_since = event.clock + LOOK
        self._begin_anew()

    def _on_failed(self, event: Event, process: _Process) -> None:
        process.saving = None
        self._well_since = max(self._well_since, event.clock + LOOK)

    def _is_well(self, clock: float) -> bool:
        return not self._is_down and clock >= self._well_since

    def _on_save(self, event: Event, process: _Process) -> None:
        process.saving = event

    def _on_saved(self, event: Event, process: _Process) -> None:
        save, process.saving = process.saving, None
        if save is None or event.version is None:
            return
        own = save.owner is not None and _is_of(save.owner, event.who)
        process.lease, process.until = (save.owner, save.until) if own else (None, -math.inf)
        if self._is_down:
            return
        if save.version in self._replaced:
            other, _ = self._replaced[save.version]
            self._say("swap", f"processes {other.who} and {save.who} have replaced the same version of the record")
        self._replaced[save.version] = save, event.version
        self._written[event.version] = save
        # Whoever wrote what this one replaced may come to tell of it only afterwards, and whoever replaced this before.
        if (before := self._written.get(save.version)) is not None:
            self._judge_save(before, save)
        if (after := self._replaced.get(event.version)) is not None:
            self._judge_save(save, after[0])
        if save.token is not None:
            self._is_in_store(save.token, save, event.clock)

    def _is_in_store(self, token: str, save: Event, clock: float) -> None:
        self._generations[token] = save.generation
        if self._newest is None or newer(save.generation, self._newest.generation):
            self._newest, self._newest_at = save, clock

    def _judge_save(self, before: Event, after: Event) -> None:
        """Judge a record by the one that it has replaced."""
        if newer(before.generation, after.generation):
            self._say("order", f"process {after.who} put an older generation in the place of a newer one")
        if before.token and after.token and self._is_older(after.token, before.token):
            self._say("order", f"process {after.who} put a token in the place of one that was fetched later")
        owner = before.owner
        if owner is None or owner == after.owner or _is_of(owner, after.who):
            return
        if after.owner is None and newer(after.generation, before.generation):
            self._dropped.add(owner)  # a token that comes late is saved all the same
        elif after.clock + ROUNDING < before.until and not any(_is_of(owner, killed) for killed in self._killed):
            left = before.until - after.clock
            self._say("lease", f"process {after.who} saved over a living process's lease {left:.0f} s before its end")

    # WeChat

    def _on_fetch(self, event: Event, process: _Process) -> None:
        process.fetching = event.clock
        if not self._is_well(event.clock):
            return
        if process.until + ROUNDING < event.clock:
            self._say("flight", f"process {event.who} asked WeChat without a lease")
        for number, other in self._processes.items():
            if number == event.who or other.fetching is None or other.lease in self._dropped:
                continue
            if event.clock + ROUNDING < other.until:
                left = other.until - event.clock
                self._say(
                    "flight",
                    f"process {event.who} asked WeChat while {number} did, whose lease held for {left:.0f} s more",
                )

    def _on_fetched(self, event: Event, process: _Process) -> None:
        began, process.fetching = process.fetching, None
        if event.token is not None and began is not None:
            fetched = self._fetches.setdefault(event.token, _Fetched(began, event.clock))
            fetched.last = event.clock

    def _is_older(self, one: str, other: str) -> bool:
        """Whether a token was surely received before another one was asked for. Their time stands still meanwhile."""
        first, second = self._fetches.get(one), self._fetches.get(other)
        return one != other and first is not None and second is not None and first.last < second.first

    # Workers

    def _on_ask(self, event: Event, process: _Process) -> None:
        process.asked_before, process.asked_at = process.asked_at, event.clock
        if event.token is not None:
            process.rejected.add(event.token)

    def _on_answer(self, event: Event, process: _Process) -> None:
        token, looked_at = event.token, process.asked_before
        if token is None:
            return
        before, process.answer = process.answer, token
        generation = self._generations.get(token, 0)
        # One that is rejected as soon as it is there may not be known everywhere yet, and the one before still good.
        if before is not None and before != token and before not in process.rejected:
            earlier = 0 < generation and newer(self._generations.get(before, 0), generation)
            if earlier or self._is_older(token, before):
                self._say("answer", f"process {event.who} handed out an older token after a newer one")
        newest = self._newest
        if newest is None or newest.token in (None, token) or newest.token in process.rejected or not generation:
            return
        # It looked when it was asked the time before, if not earlier.
        late = looked_at >= self._newest_at + LOOK and self._is_well(looked_at)
        if late and newer(newest.generation, generation):
            held = event.clock - self._newest_at
            self._say(
                "answer", f"process {event.who} handed out a token; the store has held a newer one for {held:.0f} s"
            )

    def _on_killed(self, event: Event, _: _Process) -> None:
        self._killed.add(event.who)
        del self._processes[event.who]

    def _say(self, rule: str, what: str) -> None:
        self.problems.append(f"{rule}: {what}.")


def _is_of(owner: str, who: int) -> bool:
    return f"/{who}/" in owner
