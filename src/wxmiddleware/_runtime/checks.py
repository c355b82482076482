"""What several parts check of the arguments that they are given."""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit

from ..exceptions import ConfigurationError
from .runtime import Runtime

__all__ = [
    "checked_codes",
    "checked_runtime",
    "checked_timeout",
    "count",
    "has_members_of",
    "is_async",
    "is_provider",
    "kind",
    "seconds",
    "whole_url",
]

_PROCESS = Runtime()


def is_provider(thing: Any) -> bool:
    """Tell whether this gives tokens to threads and tasks."""
    return not isinstance(thing, type) and all(hasattr(thing, name) for name in ("get_token", "aget_token"))


def has_members_of(protocol: type, thing: Any) -> bool:
    """
    Tell whether an object, and not a class, has what a protocol asks for.

    ``isinstance`` tells that, too; on Python 3.11 it takes as long as the rest of what makes a provider.
    """
    return not isinstance(thing, type) and all(getattr(thing, name, None) is not None for name in _members_of(protocol))


@functools.cache
def _members_of(protocol: type) -> tuple[str, ...]:
    return tuple(name for name in vars(protocol) if not name.startswith("_"))


def checked_codes(codes: Any) -> frozenset[int] | None:
    """
    Check the errcodes that mean a rejected token; ``None`` stands for those of the account's kind.

    Raises:
        ConfigurationError: They are no collection of int.
    """
    if codes is None:
        return None
    # A str would be taken apart into its characters.
    checked = frozenset(codes) if isinstance(codes, Collection) and not isinstance(codes, (str, bytes)) else None
    if checked is None or any(isinstance(code, bool) or not isinstance(code, int) for code in checked):
        raise ConfigurationError("codes must be a collection of errcodes as int, such as {40001, 40014, 42001}.")
    return checked


def checked_timeout(timeout: Any) -> float | None:
    """
    Check the seconds to wait for a token; ``None`` stands for the provider's own limit.

    Raises:
        ConfigurationError: They are no number above 0.
    """
    return None if timeout is None else seconds("timeout", timeout)


def checked_runtime(runtime: Any) -> Runtime:
    """
    Check what a test passes; ``None`` stands for the process's own.

    Raises:
        ConfigurationError: It is no `Runtime`.
    """
    if runtime is None:
        return _PROCESS
    if not isinstance(runtime, Runtime):
        raise ConfigurationError(f"runtime must be a Runtime(clock=…, time=…), not {kind(runtime)}.")
    return runtime


def seconds(name: str, value: Any, *, zero: bool = False) -> float:
    """
    Check a number of seconds that can be waited for.

    Args:
        name: What they are called where they were given.
        zero: Whether there may be none.

    Raises:
        ConfigurationError: They are no number, or not above 0, or more than any thread can wait.
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value <= threading.TIMEOUT_MAX or (value == 0 and not zero):
        what = "a number of seconds, 0 or more" if zero else "a positive number of seconds"
        raise ConfigurationError(f"{name} must be {what}.")
    return float(value)


def count(name: str, value: Any, least: int = 1) -> int:
    """Check a whole number, or raise ConfigurationError."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigurationError(f"{name} must be a whole number of at least {least}.")
    return value


def kind(value: object) -> str:
    """Say what was given. Its type alone: somebody may have passed the secret itself."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    name = type(value).__name__
    return f"an {name}" if name.lower().startswith(tuple("aeio")) else f"a {name}"


def is_async(function: Any) -> bool:
    """Tell whether what this gives has to be awaited; also of partials and of objects with an async ``__call__``."""
    while isinstance(function, functools.partial):
        function = function.func
    call = getattr(type(function), "__call__", None)  # noqa: B004 - what is called
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


def whole_url(name: str, value: Any, example: str) -> str:
    """
    Check an address that somebody else is sent to.

    Raises:
        ConfigurationError: It is no URL with a scheme and a host.
    """
    try:
        parts = urlsplit(value) if isinstance(value, str) else None
    except ValueError:
        parts = None
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(f"{name} must be a whole URL, such as {example!r}.")
    return str(value)
