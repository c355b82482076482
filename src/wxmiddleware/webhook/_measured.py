"""What becomes of pushes, told to the process's observers that add up (`wxmiddleware.observe`)."""

from __future__ import annotations

import time
from enum import StrEnum
from typing import Any

from wxmiddleware._engine.events import measure, meters_of
from wxmiddleware._engine.measures import Measure, Measurement


class Outcome(StrEnum):
    """What came of a request to the webhook."""

    ANSWERED = "answered"  # its handler's answer was sent in time
    LATE = "late"  # it was answered before its handler had ended, or without the answer, which was too long
    REPEATED = "repeated"  # it had come before
    VERIFIED = "verified"  # WeChat has looked whether the URL is ours
    REFUSED = "refused"  # it was not WeChat's
    UNREADABLE = "unreadable"  # its method or its body was not that of a push
    BUSY = "busy"  # too much was under way, and WeChat will repeat it
    FAILED = "failed"  # its handler raised, or answered with an error


_OF_STATUS = {200: Outcome.ANSWERED, 403: Outcome.REFUSED, 503: Outcome.BUSY}


def tell_of_push(outcome: Outcome | None, status: int) -> None:
    """Tell what came of a request; by the status of its answer, where nothing more is known."""
    if outcome is None:
        outcome = _OF_STATUS.get(status, Outcome.UNREADABLE)
    _tell(Measure.PUSH, outcome=outcome.value)


class Handling:
    """The time that a handler takes, from when it is begun to its answer; it is in progress until all is over."""

    __slots__ = ("_begun", "_failed", "_seconds")

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._seconds: float | None = None
        self._failed = True
        _tell(Measure.HANDLING)

    def answered(self, *, failed: bool) -> None:
        """Note that its answer is there. Only the first one counts."""
        if self._seconds is None:
            self._seconds, self._failed = time.monotonic() - self._begun, failed

    def ended(self) -> None:
        """Tell that all is over, also what was done after the answer."""
        self.answered(failed=True)
        _tell(Measure.HANDLED, outcome="error" if self._failed else "ok", seconds=self._seconds)


def _tell(name: Measure, **fields: Any) -> None:
    meters = meters_of()
    if meters:
        measure(Measurement(name, at=time.time(), **fields), meters)
