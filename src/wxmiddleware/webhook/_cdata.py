"""
Messages in which a user has typed ``]]>``. WeChat does not escape it, so what it pushes is no XML then; or it is XML
that says something else, with fields of the user's.

WeChat fills an element with one CDATA section, or with elements, or with a number. Read so, a section ends at the first
``]]></Name>`` after which the rest still consists of elements that are closed as they were opened, and none of what
stands once in a message stands there twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

#: What a message has once, below its root. Who types another one has typed the end of a field before it.
ONCE = frozenset(
    (
        *("ToUserName", "FromUserName", "CreateTime", "MsgType", "MsgId", "AgentID", "Encrypt"),
        *("Content", "Title", "Description", "Url", "Label", "Recognition", "Event", "EventKey"),
    )
)

_NAME = r"[A-Za-z_][A-Za-z0-9_.-]*"
_START = re.compile(r"\s*(?:<\?xml[^<>]*\?>)?")
_NEXT = re.compile(
    rf"\s*(?:<(?P<section>{_NAME})>\s*<!\[CDATA\[|<(?P<leaf>{_NAME})>[^<>]*</(?P=leaf)\s*>|<(?P<empty>{_NAME})\s*/>"
    rf"|<(?P<opened>{_NAME})>|</(?P<closed>{_NAME})\s*>)"
)
_DEPTH = 12
_SECTIONS = 2000
_TRIES = 200  # ends of sections that are tried
_WORK = 20  # times its own length that a text is read at most

Section: TypeAlias = "tuple[int, int]"


class _Place(NamedTuple):
    """A place in a message: where, within which elements, and what has been there of what is there once."""

    at: int
    within: tuple[str, ...] = ()
    once: frozenset[str] = frozenset()


class _Choice(NamedTuple):
    """A section that may still end elsewhere."""

    begun: _Place
    ends: Iterator[re.Match[str]]
    before: int  # how many sections


def escaped(text: str) -> str | None:
    """
    Escape ``]]>`` within the sections of a message.

    Returns:
        The message as XML; ``None`` if it cannot be read so either.
    """
    found = _sections(text)
    if found is None:
        return None
    parts, done = [], 0
    for start, end in found:
        parts += [text[done:start], text[start:end].replace("]]>", "]]]]><![CDATA[>")]
        done = end
    return "".join([*parts, text[done:]])


def _sections(text: str) -> list[Section] | None:
    """Find where the sections begin and end."""
    start = _START.match(text)
    place: _Place | None = _Place(start.end() if start else 0)
    found: list[Section] = []
    choices: list[_Choice] = []
    tries, work = _TRIES, _WORK * len(text)
    while tries > 0 and work > 0 and len(found) <= _SECTIONS:
        if place is not None:
            section, further = _step(text, place)
            if further is not None and not further.within and section is None and not text[further.at :].strip():
                return found
            work -= further.at - place.at if further else 0
            if section is None:
                place = further if further and further.within else None
                continue
            assert further is not None
            ends = re.compile(rf"\]\]>\s*</{re.escape(section)}\s*>").finditer(text, further.at)
            choices.append(_Choice(further, ends, len(found)))
        if not choices:
            return None
        begun, other, before = choices[-1]
        end = next(other, None)
        tries -= before < len(found)  # the first end of a section is no try
        work -= (end.end() if end else len(text)) - (found[before][1] if before < len(found) else begun.at)
        if end is None:
            choices.pop()
            place = None
            continue
        found[before:] = [(begun.at, end.start())]
        place = begun._replace(at=end.end())
    return None


def _step(text: str, place: _Place) -> tuple[str | None, _Place | None]:
    """Read one tag or number; or, with the element's name, the beginning of a section."""
    found = _NEXT.match(text, place.at)
    if found is None:
        return None, None
    kind, within, once = found.lastgroup, place.within, place.once
    name = found[kind] if kind else ""
    if kind == "closed":
        return None, (_Place(found.end(), within[:-1], once) if within[-1:] == (name,) else None)
    if (not within and kind != "opened") or len(within) > _DEPTH:
        return None, None
    if len(within) == 1 and name in ONCE:
        if name in once:
            return None, None
        once |= {name}
    if kind == "opened":
        within = (*within, name)
    return name if kind == "section" else None, _Place(found.end(), within, once)
