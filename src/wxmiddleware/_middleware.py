"""The options that the WSGI and the ASGI middleware share, checked, and their answers to a request without a token."""

from __future__ import annotations

import inspect
import logging
import math
import traceback
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, TypedDict

from wxmiddleware._rules.paths import APPID
from wxmiddleware.exceptions import ConfigurationError, ProviderClosed

from ._runtime.checks import is_async, kind, seconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from wxmiddleware.exceptions import TokenError

__all__ = [
    "DEFAULT_WAIT",
    "SORRY",
    "UNKNOWN",
    "Options",
    "check_app",
    "check_exclude",
    "check_path",
    "check_selection",
    "check_wait",
    "is_provider",
    "retry_after_seconds",
    "tell_of_no_account",
    "tell_of_no_token",
    "worth_waiting",
]

#: Seconds a request waits for its token at most. A webhook has five seconds in all.
DEFAULT_WAIT = 2.0

#: The body of a 404 where a request is for no account that is known.
UNKNOWN = b"Not found.\n"

#: The body of a 503, the same for everyone: it tells a stranger nothing about the account.
SORRY = b"This service is waiting for an answer from WeChat. Please try again later.\n"

_DEFAULT_RETRY_AFTER = 5
_logger = logging.getLogger("wxmiddleware")
_ARGUMENTS = {"wsgi": 2, "asgi": 3}
_PATTERN_CHARACTERS = frozenset("*?#<>{}[]$^|\\")


class Options(TypedDict, total=False):
    """The options of both middlewares, for the ``init_app`` functions."""

    paths: str | Collection[str] | None
    exclude: str | Collection[str] | None
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
        raise ConfigurationError(f"The app must be callable, not {kind(app)}. Give the WSGI or ASGI application.")
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
    return seconds("wait=", wait, zero=True)


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
            f"provider must be a TokenProvider, or a function that returns one for a request, not {kind(provider)}."
        )
    if not may_be_async and is_async(provider):
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
            raise ConfigurationError(f"only= must be a function of the request, not {kind(only)}.")
        if is_async(only):
            raise ConfigurationError("only= must not be async: a coroutine counts as true for every request.")
    if paths is None:
        return None
    found = _check_paths(paths, "paths")
    if not found:
        raise ConfigurationError("paths= is empty, so no request would ever get a token. Leave it out to choose all.")
    return found


def check_exclude(exclude: object, paths: tuple[str, ...] | None) -> tuple[str, ...]:
    """
    Check the paths of the requests that are never chosen, and return them without a slash at their ends.

    Args:
        exclude: The paths.
        paths: Those that `check_selection` has returned.

    Raises:
        ConfigurationError: They are not what they should be, or nothing is left to be chosen.
    """
    found = () if exclude is None else _check_paths(exclude, "exclude")
    if any(APPID in path.split("/") for path in found):
        raise ConfigurationError(f"A path in exclude= is meant as it stands, so {APPID} has no place in it.")
    chosen = ("",) if paths is None else paths
    if all(any(f"{path}/".startswith(f"{each}/") for each in found) for path in chosen):
        raise ConfigurationError("exclude= leaves no request that would get a token. Name fewer paths in it.")
    return found


def _check_paths(paths: object, option: str) -> tuple[str, ...]:
    if isinstance(paths, str):
        paths = (paths,)
    if not isinstance(paths, Collection) or isinstance(paths, (bytes, bytearray)):
        raise ConfigurationError(f"{option}= must be a path or a list of paths, not {kind(paths)}.")
    return tuple(check_path(path, option) for path in paths)


def worth_waiting(provider: Any, wait: float | None) -> float | None:
    """Seconds to wait for a token that is not at hand: `wait`, or less where that would be in vain."""
    tell: Callable[[float], float] | None = getattr(provider, "worth_waiting", None)  # somebody's own need not know
    return wait if tell is None or wait is None else tell(wait)


def tell_of_no_token(error: TokenError) -> None:
    """Log why a request was answered 503: its body says nothing."""
    _logger.warning("A request was answered 503, since its view had no token: %s", error)


def tell_of_no_account(error: LookupError) -> None:
    """Log that a request was answered 404, since its account is unknown."""
    # The text may have the caller's words in it, or a secret; a mistake in the function is found by its place.
    places = traceback.extract_tb(error.__traceback__)[-1:]
    where = "".join(f" at {place.filename}:{place.lineno}" for place in places)
    _logger.warning("A request is for no account that is known (%s%s): 404.", type(error).__name__, where)


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
        raise ConfigurationError(f"A path in {option}= must be a str, not {kind(path)}.")
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
