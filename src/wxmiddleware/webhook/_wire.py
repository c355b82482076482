"""
Bodies to fields and back, XML and JSON.

XML is parsed by defusedxml, which refuses every DTD and so every entity; JSON by the standard library. Both stop at a
depth and a number of elements that no message of WeChat's comes near.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypeAlias

from wxmiddleware._runtime.needs import needs

with needs("defusedxml", extra="webhook"):
    from defusedxml.common import DefusedXmlException
    from defusedxml.ElementTree import ParseError, XMLParser

from ._cdata import ONCE, escaped

#: A string, or what is nested in it: WeChat's pictures and articles come as lists of items.
Fields: TypeAlias = "dict[str, Any]"

_DEPTH = 12
_ELEMENTS = 2000
# What XML 1.0 cannot carry in any form: most control characters, halves of emoji, and two that are no characters.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_HALVES = re.compile("[\ud800-\udfff]")
_TYPED = re.compile(r"\]\]>(?!\s*</)")
_NAME = re.compile("[A-Za-z_][A-Za-z0-9_.-]*")


class Format(StrEnum):
    """How a push is written. Its answer is written like it."""

    XML = "application/xml; charset=utf-8"
    JSON = "application/json; charset=utf-8"


class Unreadable(Exception):
    """A body that is no message. Says nothing about why: its text could quote the body."""


def read(body: bytes) -> tuple[Fields, Format]:
    """
    Read a body. What it is, it says itself: the Content-Type of a push is no help.

    Raises:
        Unreadable: It is neither one XML element of fields nor a JSON object; or has a DTD, or is too deep.
    """
    # Users type control characters and halves of emoji, and WeChat lets them through; a message is not lost for one.
    text = body.decode("utf-8-sig", "replace").strip()
    if text.startswith("{"):
        return _from_json(text), Format.JSON
    return _from_users_xml(_FORBIDDEN.sub("\ufffd", text)), Format.XML


def write(fields: Mapping[str, Any], style: Format) -> bytes:
    """Write fields. Characters that the format cannot carry become U+FFFD."""
    if style is Format.JSON:
        # WeChat shows the backslashes of \uXXXX in some places (40033), so they are not used at all.
        return _HALVES.sub("\ufffd", json.dumps(fields, ensure_ascii=False, separators=(",", ":"))).encode()
    return f"<xml>{''.join(_element(name, value) for name, value in fields.items())}</xml>".encode()


def _element(name: str, value: Any) -> str:
    assert _NAME.fullmatch(name)  # names are ours, never a user's
    if isinstance(value, Mapping):
        inner = "".join(_element(each, value[each]) for each in value)
    elif isinstance(value, list):
        inner = "".join(_element("item", each) for each in value)
    elif isinstance(value, int):
        inner = str(value)
    else:
        inner = _cdata(value)
    return f"<{name}>{inner}</{name}>"


def carried(text: str) -> str:
    """Say what of a text arrives: every parser makes newlines of returns, and some characters cannot be sent."""
    return _FORBIDDEN.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))


def _cdata(text: str) -> str:
    text = carried(text)
    return f"<![CDATA[{text.replace(']]>', ']]]]><![CDATA[>')}]]>"


def _from_json(text: str) -> Fields:
    try:
        fields = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict) or _too_deep(fields, _DEPTH):
        raise Unreadable
    if "\\ud" in text or "\\uD" in text:
        whole: Fields = _without_halves(fields)
        return whole
    return fields


def _without_halves(value: Any) -> Any:
    if isinstance(value, dict):
        return {_without_halves(name): _without_halves(each) for name, each in value.items()}
    if isinstance(value, list):
        return list(map(_without_halves, value))
    return _HALVES.sub("\ufffd", value) if isinstance(value, str) else value


def _too_deep(value: Any, left: int) -> bool:
    inner: Any = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return left < 0 or any(_too_deep(each, left - 1) for each in inner)


def _from_users_xml(text: str) -> Fields:
    try:
        fields = _from_xml(text)
        if not _typed(text) and not any(isinstance(fields.get(name), list) for name in ONCE):
            return fields
    except Unreadable:
        fields = None
    mended = escaped(text) if "]]>" in text else None
    if mended is not None:
        return _from_xml(mended)
    if fields is None:
        raise Unreadable
    return fields


def _typed(text: str) -> bool:
    """Whether a section ends where no element does, so that a user has typed its end; writers of XML do but one."""
    return _TYPED.search(text.replace("]]]]><![CDATA[>", "\ufffd")) is not None


def _from_xml(text: str) -> Fields:
    builder = _Builder()
    parser = XMLParser(target=builder, forbid_dtd=True)
    try:
        parser.feed(text)
        fields = parser.close()
    except (ParseError, DefusedXmlException, ValueError, LookupError):
        raise Unreadable from None
    if not isinstance(fields, dict):
        raise Unreadable
    return fields


class _Builder:
    """Makes fields of what the parser tells: no tree in between, and no step deeper than need be."""

    def __init__(self) -> None:
        self._open: list[tuple[str, Fields, list[str]]] = []
        self._elements = 0
        self._root: Any = None

    def start(self, tag: str, _attributes: object) -> None:
        self._elements += 1
        if len(self._open) > _DEPTH or self._elements > _ELEMENTS:
            raise ValueError
        self._open.append((tag, {}, []))

    def data(self, text: str) -> None:
        self._open[-1][2].append(text)

    def end(self, _tag: str) -> None:
        tag, fields, texts = self._open.pop()
        value: Any = fields or "".join(texts)
        if not self._open:
            self._root = fields if fields or not value.strip() else value
            return
        siblings = self._open[-1][1]
        if tag in siblings:  # a list, as in <item>..</item><item>..</item>
            before = siblings[tag]
            value = [*before, value] if isinstance(before, list) else [before, value]
        siblings[tag] = value

    def close(self) -> Any:
        return self._root
