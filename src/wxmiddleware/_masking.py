"""
Keep tokens and secrets out of the log lines and the errors of HTTP clients.

urllib3 logs the path and query of every request at DEBUG, httpx the whole URL at INFO; WeChat wants its token, and on
the classic endpoint the secret, in the query. A filter on those loggers puts *** in their place. The same is done to
the errors that the clients' auth classes see on their way to the caller.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# A filter on a logger does not see the records of those below it, so each that may quote a URL or a header is named.
_CORE = ("connection", "http11", "http2", "proxy", "socks")
LOGGERS = (
    "urllib3.connection",
    "urllib3.connectionpool",
    "urllib3.http2.connection",
    "urllib3.poolmanager",
    "urllib3.response",
    "urllib3.util.retry",
    "httpx",
    "httpx2",
    *(f"{core}.{part}" for core in ("httpcore", "httpcore2") for part in _CORE),
    "hpack.hpack",
    "hpack.table",
)
_SECRET = re.compile(r"((?:access_token|secret|appsecret|corpsecret|ticket)=)[^&\s\"'\\)>]+")


class _Mask(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(_masked(each) for each in record.args)
        if isinstance(record.msg, str):
            record.msg = mask(record.msg)
        return True


def mask(text: str) -> str:
    """Put *** in the place of each token and secret in a query."""
    return _SECRET.sub(r"\1***", text)


def _masked(value: Any) -> Any:
    if isinstance(value, int | float):
        return value
    text = str(value)
    masked = mask(text)
    return value if masked == text else masked


_mask = _Mask()


def install() -> None:
    """Put the filter in place, once. It changes nothing else about those loggers."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_mask)  # adding it again does nothing


@contextmanager
def masked_errors() -> Iterator[None]:
    """Take tokens and secrets out of what is raised here, and raise it all the same."""
    try:
        yield
    except Exception as error:
        mask_error(error)
        raise


def mask_error(error: BaseException) -> None:
    """
    Put *** in the place of tokens and secrets in an error and in all that is behind it.

    Looked at are texts and errors among arguments and attributes, causes and contexts, requests (what has a ``url`` and
    a ``copy``), which are replaced by a copy, and where responses (what has a ``history``) redirect to.
    """
    todo: list[BaseException | None] = [error]
    seen: set[int] = set()
    while todo:
        one = todo.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        todo += [one.__cause__, one.__context__]
        args = tuple(map(_masked_part, one.args))
        if args != one.args:
            one.args = args
        for name, value in list(vars(one).items()):
            masked = _masked_part(value)
            if masked is not value:
                setattr(one, name, masked)
        todo += [each for each in (*one.args, *vars(one).values()) if isinstance(each, BaseException)]


def _masked_part(value: Any) -> Any:
    if isinstance(value, str):
        masked = mask(value)
        return value if masked == value else masked
    if hasattr(value, "history"):
        # A response, whose redirect nobody is going to follow any more.
        for each in (value, *value.history):
            if "location" in each.headers:
                each.headers["location"] = mask(each.headers["location"])
    url = getattr(value, "url", None)
    if isinstance(url, str) and not isinstance(value, BaseException) and mask(url) != url and hasattr(value, "copy"):
        value = value.copy()
        value.url = mask(url)
    return value
