"""
Keep tokens and secrets out of the log lines of HTTP clients.

urllib3 logs the path and query of every request at DEBUG, httpx the whole URL at INFO; WeChat wants its token, and on
the classic endpoint the secret, in the query. A filter on those loggers puts *** in their place.
"""

from __future__ import annotations

import logging
import re
from typing import Any

_LOGGERS = ("urllib3.connectionpool", "httpx", "httpx2")
_SECRET = re.compile(r"((?:access_token|secret|appsecret|corpsecret|ticket)=)[^&\s\"']+")


class _Mask(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(_masked(each) for each in record.args)
        if isinstance(record.msg, str):
            record.msg = masked(record.msg)
        return True


def masked(text: str) -> str:
    """Give `text` with *** in place of what stands in its queries."""
    return _SECRET.sub(r"\1***", text)


def _masked(value: Any) -> Any:
    if isinstance(value, int | float):
        return value
    text = str(value)
    hidden = masked(text)
    return value if hidden == text else hidden


_mask = _Mask()


def install() -> None:
    """Put the filter in place, once. It changes nothing else about those loggers."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_mask)  # adding it again does nothing
