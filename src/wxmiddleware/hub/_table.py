"""One table of a TOML file: each key is asked for once, and all that is wrong is told together."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from ..exceptions import ConfigurationError

_T = TypeVar("_T")
_KINDS = {
    str: "a text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    list: "a list",
    dict: "a table",
}
_MOST = 20  # problems that are told; who has more has the wrong file


class Problems:
    """
    What is wrong in a file.

    Args:
        file: The file's name.
    """

    def __init__(self, file: str) -> None:
        self._file = file
        self._found: list[str] = []

    def add(self, where: str, problem: str) -> None:
        """Note a problem."""
        self._found.append(f"{where}: {problem.rstrip('.')}.")

    def has(self, where: str) -> bool:
        """Tell whether a problem of this place is noted."""
        return any(each.startswith(f"{where}: ") for each in self._found)

    @contextmanager
    def at(self, where: str) -> Iterator[None]:
        """Note what is raised here as a problem of this place."""
        try:
            yield
        except ConfigurationError as error:
            self.add(where, str(error))

    def tell(self) -> None:
        """
        Tell them all, if there are any.

        Raises:
            ConfigurationError: There are.
        """
        if not self._found:
            return
        if len(self._found) == 1:
            raise ConfigurationError(f"{self._file}, {self._found[0]}")
        told = self._found[:_MOST]
        more = [f"and {len(self._found) - _MOST} more"] if len(self._found) > _MOST else []
        raise ConfigurationError("\n  ".join([f"{self._file} has {len(self._found)} mistakes:", *told, *more]))


class Table:
    """
    A table of the file.

    Args:
        where: Its name in the file, such as ``[callers.shop]``.
        content: What TOML found there.
        problems: Where mistakes are noted.
    """

    def __init__(self, where: str, content: Any, problems: Problems) -> None:
        self.where = where
        self._problems = problems
        self._content: dict[str, Any] = content if isinstance(content, dict) else {}
        self._known: list[str] = []
        if not isinstance(content, dict):
            problems.add(where, "must be a table")

    def __contains__(self, key: str) -> bool:
        return key in self._content

    def get(self, key: str, kind: type[_T], default: _T) -> _T:
        """Get the value of a key, or the default if it is not there or not of this kind; the latter is noted."""
        found = self.maybe(key, kind)
        return default if found is None else found

    def maybe(self, key: str, kind: type[_T]) -> _T | None:
        """Get the value of a key, ``None`` if it is not there or not of this kind; the latter is noted."""
        self._known.append(key)
        if key not in self._content:
            return None
        value = self._content[key]
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is kind:  # a bool is an int to isinstance
            return value
        self._problems.add(self.place(key), f"must be {_KINDS[kind]}")
        return None

    def texts(self, key: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        """Get a list of texts."""
        found = self.get(key, list, list(default))
        if all(isinstance(each, str) for each in found):
            return tuple(found)
        self._problems.add(self.place(key), "must be a list of texts")
        return default

    def read(self, key: str, read: Callable[[Any], _T]) -> _T | None:
        """Get what a function makes of the value of a key, ``None`` if it is not there or the function raises."""
        self._known.append(key)
        if key in self._content:
            with self._problems.at(self.place(key)):
                return read(self._content[key])
        return None

    def tables(self, key: str) -> list[tuple[str, Table]]:
        """Get the tables below a key, with their names."""
        found = self.get(key, dict, {})
        return [(name, Table(f"[{key}.{name}]", content, self._problems)) for name, content in found.items()]

    def place(self, key: str) -> str:
        """Say where a key stands."""
        return f"{self.where} {key}".strip()

    def done(self) -> None:
        """Note keys that nobody asked for."""
        for key in self._content:
            if key not in self._known:
                like = difflib.get_close_matches(key, self._known, 1)
                hint = f"Perhaps {like[0]} is meant" if like else f"There are {', '.join(sorted(self._known))}"
                self._problems.add(self.place(key), f"is not known here. {hint}")
