"""
Keep tokens and secrets out of the log lines and the errors of HTTP clients.

urllib3 logs the path and query of every request at DEBUG, httpx the whole URL at INFO; WeChat wants its token, and on
the classic endpoint the secret, in the query. A filter on those loggers puts *** in their place. The same is done to
the errors that the clients' auth classes and `with_token` see on their way to the caller. What users put into their own
loggers and exporters is in `wxmiddleware.masking`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, MutableMapping
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any, Final

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

# Names end in one of these: corpsecret, component_access_token, authorizer_refresh_token, component_verify_ticket.
_NAMES: Final = r"(?:access_token|refresh_token|secret|ticket|permanent_code)"
# A query; a repr of arguments; JSON or the repr of a dict or a pair, also within a string; JSON within a query; XML.
_BETWEEN: Final = (
    r"(?:=(?:\s?b?\\*[\"'])?|\\*[\"']\s*[:,]\s*b?\\*[\"']|%3D|%22(?:%20|\+)*%3A(?:%20|\+)*%22|>(?:<!\[CDATA\[)?)"
)
_SECRET: Final = re.compile(rf"({_NAMES}{_BETWEEN})[^&\s\"'\\)><\]]+", re.IGNORECASE)
# "ticket" alone may be a ticket of any kind; under a longer name only these are WeChat's.
_SECRET_NAME: Final = re.compile(
    r".*(?:access_token|refresh_token|secret|permanent_code)|(?:.*(?:api|card|agent|suite|verify)_?)?ticket|token",
    re.IGNORECASE,
)
_DEPTH: Final = 12
MASK: Final = "***"
# What OSError and UnicodeError keep apart from their arguments; urllib's HTTPError has its URL there.
_APART: Final = ("filename", "strerror", "object")


def mask(text: str) -> str:
    """Put *** in the place of each token and secret in a query, in JSON, in the repr of a dict, or in XML."""
    return _SECRET.sub(r"\1***", text)


def names_secret(key: object) -> bool:
    """Tell whether what stands under this key is a token or a secret."""
    return isinstance(key, str) and _SECRET_NAME.fullmatch(key) is not None


def mask_data(value: Any, depth: int = _DEPTH) -> Any:
    """
    Mask texts in dicts, lists and tuples, and whatever stands under the name of a token or secret.

    Gives the value itself if there is nothing to mask in it. What is no text but shows one of these when it is printed,
    such as a URL object, becomes text.
    """
    kind = type(value)
    if kind is str:
        masked: Any = mask(value)
    elif kind in (int, float, bool, type(None)) or depth == 0:
        return value
    elif isinstance(value, bytes | bytearray):
        masked = mask(value.decode("latin-1")).encode("latin-1")
    elif isinstance(value, dict):
        masked = {
            key: MASK if each and names_secret(key) and isinstance(each, str | bytes) else mask_data(each, depth - 1)
            for key, each in value.items()
        }
        return value if all(masked[key] is each for key, each in value.items()) else masked
    elif kind in (list, tuple):
        if len(value) == 2 and names_secret(value[0]) and isinstance(value[1], str | bytes):
            return kind((value[0], MASK))  # a pair, as parameters are also given
        masked = kind([mask_data(each, depth - 1) for each in value])
        return value if all(new is old for new, old in zip(masked, value, strict=True)) else masked
    else:
        with suppress(Exception):
            text = str(value)
            masked = mask(text)
            return value if masked == text else masked
        return value
    return value if masked == value else masked


class LogFilter(logging.Filter):
    """
    Puts *** in the place of tokens and secrets in log records: in messages, arguments, extras and errors.

    Put it on a *handler*: a filter on a logger does not see the records of the loggers below it.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask a record. It is never dropped."""
        with suppress(Exception):  # the message and its arguments do not fit; the handler says so
            text = record.getMessage()
            masked = mask(text)
            if masked != text:
                record.msg, record.args = masked, ()
        for name, value in list(vars(record).items()):
            if name not in _OWN:
                vars(record)[name] = MASK if isinstance(value, str) and names_secret(name) else mask_data(value)
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            mask_error(error)
        return True


# `exc_text` and `stack_info` are texts like any other.
_OWN: Final = frozenset(vars(logging.makeLogRecord({}))) - {"exc_text", "stack_info"} | {"message", "asctime"}
_filter: Final = LogFilter()


def install() -> None:
    """Put the filter in place. It changes nothing else about those loggers."""
    for logger in _loggers():
        if _filter not in logger.filters:
            logger.addFilter(_filter)


@cache
def _loggers() -> tuple[logging.Logger, ...]:
    return tuple(map(logging.getLogger, LOGGERS))


@contextmanager
def masked_errors() -> Iterator[None]:
    """Take tokens and secrets out of what is raised here, and raise it all the same."""
    try:
        yield
    except BaseException as error:
        mask_error(error)
        raise


def mask_error(error: BaseException) -> None:
    """
    Put *** in the place of tokens and secrets in an error and in all that is behind it.

    Looked at are texts and errors among arguments, attributes and notes, causes, contexts and the members of groups.
    Requests (what has a ``url``) are replaced by a copy; in responses (what has a ``history``) the URLs, the requests
    and where they redirect to are replaced. Never raises.
    """
    todo: list[Any] = [error]
    seen: set[int] = set()
    while todo:
        one = todo.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        # Each by itself: an error of somebody else's may fail at any question.
        for look in (_mask_arguments, _mask_attributes, _mask_apart, _behind):
            with suppress(Exception):
                todo += look(one)


def _mask_arguments(error: BaseException) -> Iterable[object]:
    args = tuple(map(_masked_part, error.args))
    if any(new is not old for new, old in zip(args, error.args, strict=True)):
        error.args = args
    return _errors_among(args)


def _mask_attributes(error: BaseException) -> Iterable[object]:
    inside = vars(error)
    for name, value in list(inside.items()):
        inside[name] = _masked_part(value)
    return _errors_among(inside.values())


def _mask_apart(error: BaseException) -> Iterable[object]:
    for name in _APART:
        with suppress(Exception):
            text = getattr(error, name, None)
            if isinstance(text, str) and mask(text) != text:
                setattr(error, name, mask(text))
    return ()


def _behind(error: BaseException) -> Iterable[object]:
    members = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    return (error.__cause__, error.__context__, *members)


def _errors_among(values: Iterable[object]) -> list[object]:
    return [each for each in values if issubclass(type(each), BaseException)]


def _masked_part(value: Any) -> Any:
    # Attributes of attributes: anything may be there, and fail at any question.
    with suppress(Exception):
        if isinstance(value, str | bytes) or type(value) in (list, tuple, dict):
            return mask_data(value)
        if not isinstance(value, BaseException):
            return _masked_holder(value)
    return value


def _masked_holder(value: Any) -> Any:
    """Mask what an HTTP client's error holds: a request, or a response with the requests that led to it."""
    inside = getattr(value, "__dict__", None)
    if not isinstance(inside, MutableMapping):
        return value
    if "history" in inside or "_request" in inside:
        for each in (value, *(value.history or ())):
            _mask_response(each)
        return value
    changed = {name: _masked_url(inside[name]) for name in ("url", "params") if name in inside}
    if all(each is inside[name] for name, each in changed.items()):
        return value
    # A copy: the request's owner may send it again.
    copied = object.__new__(type(value))
    copied.__dict__.update(inside, **changed)
    return copied


def _mask_response(response: Any) -> None:
    inside = vars(response)
    for name in ("request", "_request"):
        if inside.get(name) is not None:
            inside[name] = _masked_holder(inside[name])
    if "url" in inside:
        inside["url"] = _masked_url(inside["url"])
    location = response.headers.get("location")
    # Nobody is going to follow this redirect any more.
    if location is not None and mask(location) != location:
        response.headers["location"] = mask(location)


def _masked_url(url: Any) -> Any:
    """Mask a text, a dict of parameters, or an object that is made of a text, such as the URL of httpx."""
    if isinstance(url, str | bytes | dict | list | tuple):
        return mask_data(url)
    text = str(url)
    return url if mask(text) == text else type(url)(mask(text))
