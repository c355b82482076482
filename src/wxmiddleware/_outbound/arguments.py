"""
Files and streams among the arguments of a call.

A call that sent a file or a stream has used it up. `Arguments` remembers where the files stood before the first call
and winds them back before the second; where that can't be done there is no second call, because WeChat would take an
empty file for a good one and report success.
"""

from __future__ import annotations

import inspect
import io
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import Any, Final

__all__ = ["PLAIN", "Arguments"]

# Arguments of these types are never files; nearly all arguments are of these types.
PLAIN: Final = frozenset({str, int, float, bool, bytes, type(None)})
# requests takes files=[("media", (name, file, type))]: a file three levels down.
_DEPTH: Final = 3


class Arguments:
    """
    The files and streams among the arguments of a call, and where they stood before it.

    Looked for in the arguments themselves and three levels down in lists, tuples and dicts. A file is what has
    ``read``; it is wound back if it can ``tell`` and ``seek``. Any other stream, and any iterator, can be sent once.
    """

    __slots__ = ("_files", "_once")

    def __init__(self, args: Iterable[Any], depth: int = _DEPTH) -> None:
        self._files: list[tuple[Any, Any]] = []
        self._once = False
        self._look(args, depth)

    def rewind(self) -> bool:
        """Put every file back to where it stood. Tells whether all can be sent again."""
        if self._once:
            return False
        try:
            for file, position in self._files:
                file.seek(position)
        # Closed by the first call, or a pipe after all, or something else that only looks like a file.
        except Exception:
            return False
        return True

    def _look(self, things: Iterable[Any], depth: int) -> None:
        for thing in things:
            kind = type(thing)
            if kind in PLAIN:
                continue
            try:
                if isinstance(thing, (list, tuple)):
                    if depth:
                        self._look(thing, depth - 1)
                elif isinstance(thing, Mapping):
                    if depth:
                        self._look(thing.values(), depth - 1)
                else:
                    self._remember(thing)
            # Whatever this is, it does not let itself be looked at.
            except Exception:
                self._once = True

    def _remember(self, thing: Any) -> None:
        reads, file = _file_of(thing)
        if not reads:
            # An iterator is used up by sending it, and so is every kind of generator. Not so the object that a proxy
            # such as Flask's `request` stands for, while the proxy itself has all methods there are.
            self._once = self._once or issubclass(thing.__class__, (Iterator, AsyncIterator))
            return
        try:
            seekable = file.seekable() if hasattr(file, "seekable") else hasattr(file, "seek")
            if seekable:
                self._files.append((file, file.tell()))
        # Closed already, or nothing to wind back (None).
        except Exception:
            seekable = False
        self._once = self._once or not seekable


def _file_of(thing: Any) -> tuple[bool, Any]:
    """Tell whether one can read from this; and what to wind back then, which may be ``None``."""
    if isinstance(thing, io.IOBase):
        return True, thing
    try:
        read = thing.read
    # A proxy outside its context can't say what it is: it is no file.
    except Exception:
        return False, None
    if not callable(read):
        return False, None
    # Starlette's upload wraps a plain file; what else reads with await can't be wound back without one.
    return True, getattr(thing, "file", None) if inspect.iscoroutinefunction(read) else thing
