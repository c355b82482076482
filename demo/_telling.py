"""How the servers' processes tell the demo what happens in them: the library's own log, one JSON object a line."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

_MARK = '{"wx_'


class Formatter(logging.Formatter):
    """Writes an event of wxmiddleware as JSON, and anything else as text."""

    def format(self, record: logging.LogRecord) -> str:
        """Write one line."""
        fields = {name: value for name, value in vars(record).items() if name.startswith("wx_")}
        return json.dumps({"wx_pid": os.getpid(), **fields}) if fields else super().format(record)


def log_config() -> dict[str, Any]:
    """The configuration of logging that both servers are started with."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"telling": {"()": f"{__name__}.Formatter"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "telling"}},
        # Not for all: httpx would write its URLs, and with them the token.
        "loggers": {"wxmiddleware": {"level": "DEBUG"}},
        "root": {"level": "WARNING", "handlers": ["stderr"]},
    }


class Tail:
    """Reads the events in a log file that is being written."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = 0

    def read(self) -> list[dict[str, Any]]:
        """Give the events since the last call."""
        with self._path.open("rb") as file:
            file.seek(self._position)
            news = file.read()
        complete = news[: news.rfind(b"\n") + 1]
        self._position += len(complete)
        lines = complete.decode(errors="replace").splitlines()
        return [json.loads(line) for line in lines if line.startswith(_MARK)]
