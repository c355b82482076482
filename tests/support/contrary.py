"""Results and errors of other people's that fail at every question that is put to them."""

from __future__ import annotations

from collections import UserDict
from typing import Any, NoReturn


class Contrary:
    """An object that raises whatever it is asked, also for its class; but event loops show what their tasks return."""

    def _refuse(self, *_: object) -> NoReturn:
        raise ZeroDivisionError("asked")

    __getattr__ = __eq__ = __bool__ = __len__ = __iter__ = __contains__ = __int__ = __index__ = _refuse
    __hash__ = __str__ = _refuse
    __repr__ = object.__repr__
    __class__ = property(_refuse)


class ContraryNumber(int):
    """A number that cannot be compared."""

    def _refuse(self, *_: object) -> NoReturn:
        raise ZeroDivisionError("asked")

    __eq__ = __ne__ = __bool__ = _refuse
    __hash__ = _refuse


class ContraryMapping(UserDict[str, Any]):
    """A mapping that is not read."""

    def __getitem__(self, key: str) -> NoReturn:
        raise ZeroDivisionError("asked")

    def __contains__(self, key: object) -> NoReturn:
        raise ZeroDivisionError("asked")


class ContraryError(Exception):
    """An error whose attributes compute, and fail."""

    @property
    def errcode(self) -> int:
        return int(self.args[0].partition("=")[2])

    @property
    def filename(self) -> NoReturn:
        raise ZeroDivisionError("asked")

    def add_note(self, note: str) -> NoReturn:
        raise ZeroDivisionError("asked")

    @property
    def __dict__(self) -> NoReturn:  # type: ignore[override]
        raise ZeroDivisionError("asked")


class ErrorWithErrcode(Exception):
    """An error with this errcode."""

    def __init__(self, errcode: object) -> None:
        self.errcode = errcode
