"""What the WSGI and the ASGI middleware share: their options, checked, and how they say no."""

from __future__ import annotations

import inspect
import math
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, TypedDict

from wxmiddleware._paths import APPID
from wxmiddleware.exceptions import ConfigurationError, ProviderClosed

if TYPE_CHECKING:
    from collections.abc import Callable

    from wxmiddleware.exceptions import TokenError

__all__ = [
    "DEFAULT_WAIT",
    "SORRY",
    "Options",
    "check_app",
    "check_path",
    "check_selection",
    "check_wait",
    "is_provider",
    "retry_after_seconds",
]

#: Seconds a request waits for its token at most. A webhook has five seconds in all.
DEFAULT_WAIT = 2.0

#: The body of a 503, the same for everyone: it tells a stranger nothing about the account.
SORRY = b"This service is waiting for an answer from WeChat. Please try again later.\n"

_DEFAULT_RETRY_AFTER = 5
_ARGUMENTS = {"wsgi": 2, "asgi": 3}
_PATTERN_CHARACTERS = frozenset("*?#<>{}[]$^|\\")


class Options(TypedDict, total=False):
    """The options of both middlewares, for the ``init_app`` functions."""

    paths: str | Collection[str] | None
    only: Callable[[Any], bool] | None
    wait: float
    required: bool


def check_app(app: object, *, speaks: str, twin: str = "wxmiddleware.{} import TokenMiddleware") -> None:
    """
    Raise ConfigurationError unless `app` can be called, and does not clearly speak the other protocol.

    Args:
        speaks: ``wsgi`` or ``asgi``.
        twin: What to import for the other protocol, which goes between the braces.
    """
    if not callable(app):
        raise ConfigurationError(f"The app must be callable, not {_kind(app)}. Give the WSGI or ASGI application.")
    other = "asgi" if speaks == "wsgi" else "wsgi"
    if _takes(app, _ARGUMENTS[other]) and not _takes(app, _ARGUMENTS[speaks]):
        raise ConfigurationError(
            f"This is the {speaks.upper()} middleware, and the app speaks {other.upper()}: from {twin.format(other)}"
        )


def _takes(app: Callable[..., object], arguments: int) -> bool:
    try:
        inspect.signature(app).bind(*range(arguments))
    except (TypeError, ValueError):
        return False
    return True


def check_wait(wait: object) -> float:
    """Return `wait` in seconds, or raise ConfigurationError."""
    if isinstance(wait, bool) or not isinstance(wait, (int, float)) or not math.isfinite(wait) or wait < 0:
        raise ConfigurationError("wait= must be a number of seconds, 0 or more.")
    return float(wait)


def is_provider(provider: object, *, may_be_async: bool) -> bool:
    """
    Tell whether `provider` is one account's (True), or a function that finds it for a request (False).

    Raises:
        ConfigurationError: It is neither.
        ProviderClosed: It was closed.
    """
    if isinstance(provider, type):
        raise ConfigurationError(f"provider must be an instance, not the class {provider.__name__}.")
    if all(hasattr(provider, name) for name in ("peek", "get_token", "aget_token")):
        if getattr(provider, "closed", False):
            raise ProviderClosed("This provider was closed. Make a new one for the middleware.")
        return True
    if not callable(provider):
        raise ConfigurationError(
            f"provider must be a TokenProvider, or a function that returns one for a request, not {_kind(provider)}."
        )
    if not may_be_async and _is_async(provider):
        raise ConfigurationError("The function that finds the provider must not be async in a WSGI middleware.")
    return False


def check_selection(paths: object, only: object) -> tuple[str, ...] | None:
    """
    Check the two ways of choosing requests and return the path prefixes, without a slash at their ends.

    Raises:
        ConfigurationError: Both are given, or one of them is not what it should be.
    """
    if paths is not None and only is not None:
        raise ConfigurationError("Give paths= or only=, not both. A function in only= can look at the path too.")
    if only is not None:
        if not callable(only):
            raise ConfigurationError(f"only= must be a function of the request, not {_kind(only)}.")
        if _is_async(only):
            raise ConfigurationError("only= must not be async: a coroutine counts as true for every request.")
    if paths is None:
        return None
    if isinstance(paths, str):
        paths = (paths,)
    if not isinstance(paths, Collection) or isinstance(paths, (bytes, bytearray)):
        raise ConfigurationError(f"paths= must be a path or a list of paths, not {_kind(paths)}.")
    if not paths:
        raise ConfigurationError("paths= is empty, so no request would ever get a token. Leave it out to choose all.")
    return tuple(check_path(path) for path in paths)


def retry_after_seconds(error: TokenError) -> int:
    """Tell a client in how many whole seconds to come again: at least 1."""
    seconds = error.retry_after
    if seconds is None or not math.isfinite(seconds):
        return _DEFAULT_RETRY_AFTER
    return max(1, math.ceil(seconds))


def check_path(path: object, option: str = "paths") -> str:
    """
    Return `path` without a slash at its end.

    Raises:
        ConfigurationError: It is no plain path; ``option=`` is where it was given.
    """
    if not isinstance(path, str):
        raise ConfigurationError(f"A path in {option}= must be a str, not {_kind(path)}.")
    said = f"The path {path!r} in {option}="
    if not path.startswith("/"):
        raise ConfigurationError(f"{said} must begin with a slash.")
    pieces = path.rstrip("/").split("/")[1:]
    if any(piece != APPID and (piece.startswith(":") or not _PATTERN_CHARACTERS.isdisjoint(piece)) for piece in pieces):
        raise ConfigurationError(
            f"{said} looks like a pattern. Give a plain path; only {APPID} may stand for one whole part of it, as in "
            f"'/{APPID}/callback'."
        )
    if "" in pieces or "." in pieces or ".." in pieces or "%" in path or path != path.strip() or not path.isprintable():
        raise ConfigurationError(
            f"{said} is not as the app sees it. Give it decoded, with single slashes, without dots for folders, and "
            "without white space or control characters around it."
        )
    return path.rstrip("/")


def _is_async(function: object) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


def _kind(thing: object) -> str:
    # The type alone: somebody may have passed the secret itself.
    return f"a {type(thing).__name__}"
