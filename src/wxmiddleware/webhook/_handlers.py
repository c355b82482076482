"""What the decorators take for a handler: functions, methods, and whatever else can be called with a message."""

from __future__ import annotations

import functools
import inspect
from typing import Any

from wxmiddleware.exceptions import ConfigurationError


def _yields(function: Any) -> bool:
    return any(inspect.isgeneratorfunction(each) or inspect.isasyncgenfunction(each) for each in _called(function))


def _called(function: Any) -> tuple[Any, Any]:
    """What is called: the function, or the method of an object that can be called."""
    while isinstance(function, functools.partial):
        function = function.func
    return function, getattr(function, "__call__", None)  # noqa: B004


def check_handler(handler: Any) -> None:
    """
    Check what stands under ``@webhook``.

    Raises:
        ConfigurationError: It cannot be called with a message.
    """
    if inspect.isclass(handler):
        raise ConfigurationError(f"@webhook is for functions and methods. Put it on a method of {handler.__name__}.")
    if not callable(handler):
        raise ConfigurationError(f"@webhook is for functions and methods, not for a {type(handler).__name__}.")
    if _yields(handler):
        raise ConfigurationError("The function under @webhook must not yield. It returns a reply, a string or None.")
    try:
        inspect.signature(handler).bind_partial(*[None] * (1 + is_method(handler)))
    except TypeError:
        raise ConfigurationError(
            "The function under @webhook has no parameter for the message. With a class-based view put @webhook on "
            "its method post(self, message)."
        ) from None


def check_call(name: str, function: Any, *arguments: str) -> None:
    """
    Check that a function of the caller's takes what it will be given.

    Raises:
        ConfigurationError: It does not.
    """
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError:
        given = " and ".join(arguments)
        raise ConfigurationError(f"{name} is called with {given}, and the function there does not take that.") from None
    except ValueError:  # one of C's that does not say
        return


def is_method(handler: Any) -> bool:
    """Whether it is a function in the body of a class, which is called with an object first."""
    within, _, _ = getattr(handler, "__qualname__", "").rpartition(".")
    if not inspect.isfunction(handler) or not within or within.endswith("<locals>"):
        return False
    return next(iter(inspect.signature(handler).parameters), "") in ("self", "cls")
