"""Where a secret might show, and how to look there."""

from __future__ import annotations

import io
import logging
import pickle
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def everything_logged(*filters: logging.Filter) -> Iterator[io.StringIO]:
    """All that is logged at DEBUG, by anybody: messages, tracebacks and every attribute of every record."""
    text = io.StringIO()

    class Everything(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            text.write(logging.Formatter().format(record))
            text.write(repr(vars(record)))

    root = logging.getLogger()
    handler, level = Everything(), root.level
    for each in filters:
        handler.addFilter(each)
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield text
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


def shown(error: BaseException) -> str:
    """Every text that an error, or anything behind it, can be made to show; with the URL of its request, if any."""
    texts: list[str] = []
    todo: list[BaseException | None] = [error]
    seen: list[BaseException] = []
    while todo:
        one = todo.pop()
        if one is None or one in seen:
            continue
        seen.append(one)
        texts += [str(one), repr(one), repr(one.args), repr(vars(one)), repr(getattr(one, "__notes__", ""))]
        for holder in (
            getattr(one, "request", None) if vars(one).get("request") or vars(one).get("_request") else None,
            vars(one).get("response"),
        ):
            texts.append(str(getattr(holder, "url", "")))
        texts += traceback.format_exception(one)
        todo += [one.__cause__, one.__context__, *(arg for arg in one.args if isinstance(arg, BaseException))]
        todo += [value for value in vars(one).values() if isinstance(value, BaseException)]
    with suppress(TypeError, AttributeError, pickle.PicklingError):  # some clients put their sockets there
        texts.append(repr(pickle.dumps(error)))
    return "\n".join(texts)
