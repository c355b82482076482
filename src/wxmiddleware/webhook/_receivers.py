"""
Whom pushes may be for: asked at each push, since the customers of a suite or a platform come and go.
"""

from __future__ import annotations

import inspect
import logging
import traceback
from collections.abc import Callable, Collection, Container
from contextlib import suppress
from typing import Any, TypeAlias

from wxmiddleware._runtime import checks
from wxmiddleware._runtime.masking import mask
from wxmiddleware.exceptions import ConfigurationError

from ._handlers import check_call
from ._words import check_word

_logger = logging.getLogger("wxmiddleware")

_HINT = "appid= must be the AppID (at WeCom the corpid or suite id), a container of them, or a function of one."

AppIds: TypeAlias = "str | Container[str] | Callable[[str], object] | None"


class Unavailable(Exception):
    """The receiver could not be looked up, so the push is answered 503. The reason is in the log."""


class Receivers:
    """
    Tells whether a push may be for somebody.

    Args:
        appid: One id, which is exact; a container of ids, asked as it is at that moment; or a function of the id.
            ``None`` allows nobody.

    Raises:
        ConfigurationError: It cannot be right.
    """

    __slots__ = ("_asked", "blocks")

    def __init__(self, appid: AppIds) -> None:
        #: Whether the answer may take long: a function, or a container of the caller's own, may ask a database.
        self.blocks = False
        self._asked: Callable[[str], object] = lambda receiver: False
        if appid is None:
            return
        if isinstance(appid, str):
            check_word("appid", appid)
            self._asked = appid.__eq__
        elif isinstance(appid, (type, bytes, bytearray, memoryview)):
            raise ConfigurationError(_HINT)
        elif isinstance(appid, Container):
            if isinstance(appid, (tuple, list, set, frozenset, dict)):
                _check(appid)
            else:
                self.blocks = True
            self._asked = appid.__contains__
        elif callable(appid):
            if checks.is_async(appid) or inspect.isasyncgenfunction(appid):
                raise ConfigurationError("The function in appid= must not be async. It runs in a thread: let it wait.")
            check_call("appid=", appid, "an id")
            self.blocks = True
            self._asked = appid
        else:
            raise ConfigurationError(_HINT)

    def allow(self, receiver: str) -> bool:
        """
        Tell whether a push may be for `receiver`.

        Raises:
            Unavailable: The function or the container has failed.
        """
        try:
            allowed = self._asked(receiver)
            if inspect.isawaitable(allowed):
                with suppress(AttributeError):
                    allowed.close()  # type: ignore[attr-defined]  # a coroutine that nobody awaits would warn
                raise TypeError("The function in appid= must not be async.")
            return bool(allowed)
        except Exception as error:
            text = "".join(traceback.format_exception(error))
        _logger.error("Asking appid= whom a push may be for has failed; WeChat will repeat the push.\n%s", mask(text))
        raise Unavailable


def _check(ids: Collection[Any]) -> None:
    if not ids and isinstance(ids, (tuple, frozenset)):
        raise ConfigurationError("appid= is empty and will stay so: every push would be refused.")
    for each in ids:
        if not isinstance(each, str):
            raise ConfigurationError(f"{_HINT} There is a {type(each).__name__} in it.")
        check_word("appid", each)
