"""Another program's clock, set ahead by the library that Debian calls libfaketime."""

from __future__ import annotations

from pathlib import Path

from support.debian import missing


def ahead(seconds: float) -> dict[str, str]:
    """What a program's environment needs so that its clock is so many seconds ahead."""
    return {"LD_PRELOAD": _library(), "FAKETIME": f"+{seconds:.0f}s"}


class Ahead:
    """
    How far ahead the clock of a program is that runs already.

    Args:
        path: A file that says it, which the program looks into.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seconds = 0.0
        self.advance(0.0)
        self.environment = {
            "LD_PRELOAD": _library(),
            "FAKETIME_TIMESTAMP_FILE": str(path),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",  # what it waits for comes in real time
        }

    def advance(self, seconds: float) -> None:
        """Set it ahead by more."""
        self._seconds += seconds
        new = self._path.with_suffix(".new")
        new.write_text(f"+{self._seconds:.0f}s\n")
        new.replace(self._path)


def _library() -> str:
    found = next(map(str, Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), "")
    if not found:
        missing("libfaketime", "libfaketime")
    return found
