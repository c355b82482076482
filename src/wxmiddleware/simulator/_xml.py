"""XML as WeChat writes it, and as it reads it: ``<xml>`` with one element per field."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from xml.dom.minidom import Document, Element
from xml.etree.ElementTree import Element as Read

from wxmiddleware.exceptions import ConfigurationError

_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NAME = re.compile(r"[A-Za-z_][\w.-]*", re.ASCII)
_IN_ITEMS = ("Articles", "PicList", "ResultList")  # elsewhere WeChat repeats the element itself


def need_reader() -> None:
    """
    Say early what is missing.

    Raises:
        ConfigurationError: The defusedxml package is missing.
    """
    try:
        import defusedxml.ElementTree  # noqa: F401
    except ImportError:
        raise ConfigurationError("Pushing needs defusedxml: pip install 'wxmiddleware[webhook]'.") from None


def write(fields: Mapping[str, Any]) -> bytes:
    """
    Write fields: texts in CDATA, numbers bare, mappings as elements in elements.

    A sequence is the element several times, once or not at all, as WeChat writes it; in ``Articles``, ``PicList`` and
    ``ResultList`` the entries are ``<item>``.

    Raises:
        ConfigurationError: A name or a text cannot stand in XML.
    """
    document = Document()
    root = document.createElement("xml")
    _fill(document, root, fields)
    return root.toxml().encode()


def _fill(document: Document, parent: Element, fields: Mapping[str, Any]) -> None:
    for at, (name, value) in enumerate(_one_by_one(fields)):
        if not _NAME.fullmatch(name):
            raise ConfigurationError(f"{name!r} is no name of a field.")
        if at or parent.tagName != "xml":
            parent.appendChild(document.createTextNode("\n"))
        child = document.createElement(name)
        parent.appendChild(child)
        match value:
            case Mapping():
                _fill(document, child, value)
            case str():
                _fill_text(document, child, value)
            case int() | float():
                child.appendChild(document.createTextNode(str(value)))
            case _:
                raise ConfigurationError(f"{name} is a text, a number, a mapping or a list; got {value!r}.")
    parent.appendChild(document.createTextNode("\n"))


def _one_by_one(fields: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in fields.items():
        if not isinstance(value, Sequence) or isinstance(value, (str, bytes)):
            yield name, value
        elif name in _IN_ITEMS:
            yield name, {"item": value}
        else:
            yield from ((name, each) for each in value)


def _fill_text(document: Document, parent: Element, text: str) -> None:
    if wrong := _NO_XML.search(text):
        raise ConfigurationError(f"XML cannot hold the character {wrong[0]!r}.")
    for part in text.replace("]]>", "]]\0>").split("\0"):  # the end of a CDATA section cannot stand in one
        parent.appendChild(document.createCDATASection(part))


def read(data: bytes) -> dict[str, Any]:
    """
    Read fields: texts, and dicts where elements are in elements; the items of a list come as a list.

    Raises:
        ValueError: It is no XML, has a DTD, or another root than ``<xml>``; the text says which.
    """
    from xml.etree.ElementTree import ParseError

    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    try:
        root = fromstring(data, forbid_dtd=True)
    except ParseError as wrong:
        raise ValueError(f"it is no well-formed XML ({wrong})") from None
    except (DefusedXmlException, LookupError, ValueError) as wrong:  # LookupError: an encoding nobody knows
        raise ValueError(f"it is XML that nobody should read ({type(wrong).__name__})") from None
    if root.tag != "xml":
        raise ValueError("its root is not <xml>")
    fields = _fields(root)
    return fields if isinstance(fields, dict) else {}


def _fields(element: Read) -> dict[str, Any] | list[Any] | str:
    children = list(element)
    if not children:
        return element.text or ""
    if all(child.tag == "item" for child in children):
        return [_fields(child) for child in children]
    return {child.tag: _fields(child) for child in children}
