"""
The fields of a push, read-only, and the ways into them.

WeChat has no lists: an element stands there several times, or in ``<item>``, and a list of one is the entry itself, in
XML and JSON alike. `entries` makes one shape of all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

__all__ = ["ReadOnlyDict", "at", "entries", "frozen", "plain"]


class ReadOnlyDict(dict[str, Any]):
    """A dict that cannot be changed, so that ``json``, ``pickle`` and ``dataclasses.asdict`` take it."""

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("The fields of a message cannot be changed. as_dict() gives a copy that can.")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __copy__(self) -> ReadOnlyDict:
        return self

    def __deepcopy__(self, _memo: object) -> ReadOnlyDict:
        return self

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (dict(self),)


def frozen(value: Any) -> Any:
    """Make `value` read-only, with all that is nested in it: lists become tuples."""
    if isinstance(value, Mapping):
        return ReadOnlyDict((name, frozen(each)) for name, each in value.items())
    return tuple(map(frozen, value)) if isinstance(value, (list, tuple)) else value


def plain(value: Any) -> Any:
    """Undo `frozen`: dicts and lists of the caller's own."""
    if isinstance(value, Mapping):
        return {name: plain(each) for name, each in value.items()}
    return list(map(plain, value)) if isinstance(value, (list, tuple)) else value


def at(fields: object, path: Iterable[str]) -> Any:
    """Give what is nested at `path`, or ``None``."""
    for name in path:
        fields = fields.get(name) if isinstance(fields, Mapping) else None
    return fields


def entries(value: object, path: Iterable[str] = ()) -> tuple[Any, ...]:
    """Give all entries at `path`, be there none, one or many, and in ``<item>`` or not."""
    found = _listed(value)
    for name in path:
        if name.lower() == "item" and not any(isinstance(each, Mapping) and name in each for each in found):
            continue  # `_listed` has looked into it, or it is JSON, which has none
        found = tuple(
            one for each in found if isinstance(each, Mapping) for one in _listed(each.get(name))
        )  # fmt: skip
    return found


def _listed(value: object) -> tuple[Any, ...]:
    if isinstance(value, (list, tuple)):
        return tuple(value)
    if value is None or value == {} or (isinstance(value, str) and not value.strip()):
        return ()
    if isinstance(value, Mapping) and len(value) == 1:
        ((name, inner),) = value.items()
        if name.lower() == "item":
            return _listed(inner)
    return (value,)
