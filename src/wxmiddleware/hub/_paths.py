"""Which path a request is for. There is one reading of it, and what could have two is refused."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from typing import Any, Final

_PLAIN: Final = re.compile(rb"(?:/[A-Za-z0-9_~-][A-Za-z0-9_.~-]*)+/?")
_APPID: Final = re.compile(r"w[wx][0-9a-f]{16}")


def path_of(scope: Mapping[str, Any], accounts: Container[str]) -> str | None:
    """
    Get the path as it was sent, below where the app is mounted; ``None`` if it could be read in two ways.

    All of WeChat's paths are made of letters, digits and ``-_.~``. So nothing that is escaped is let through, no empty
    part, no ``.`` or ``..``, no backslash. But one ``/`` too many at the beginning, or behind an account's name, is a
    client's base URL that ends in one, and is dropped.

    Args:
        scope: Of the request.
        accounts: The names of accounts with which a path may begin.
    """
    raw = _raw(scope)
    first, doubled, rest = raw[1:].partition(b"//")
    name = first.decode("ascii", "replace")
    if doubled and (name in accounts or like_appid(name)):
        raw = b"/%b/%b" % (first, rest)
    if raw == b"/":
        return "/"
    return raw.decode("ascii") if _PLAIN.fullmatch(raw) else None


def like_appid(name: str) -> bool:
    """Tell whether the first part of a path can be nothing but an AppID or a CorpID."""
    return _APPID.fullmatch(name) is not None


def is_native(scope: Mapping[str, Any]) -> bool:
    """Tell whether a path is the hub's own API's, however odd the rest of it is."""
    return _raw(scope).startswith(b"/v1/") or _raw(scope) == b"/v1"


def _raw(scope: Mapping[str, Any]) -> bytes:
    """Give the path as it was sent, below where the app is mounted; nothing if it is not below that."""
    raw: bytes = (scope.get("raw_path") or b"").partition(b"?")[0]
    if not raw:  # the server says it only decoded: a "?" in it was escaped
        raw = scope["path"].encode("utf-8", "surrogateescape")
    root: bytes = (scope.get("root_path") or "").rstrip("/").encode("utf-8", "surrogateescape")
    if not raw.startswith(root + b"/"):
        return b""
    raw = raw[len(root) :]
    return raw[1:] if raw.startswith(b"//") else raw


def split_first(path: str) -> tuple[str, str]:
    """Take the first part off a path: ``/wx8a1b/cgi-bin/token`` is ``wx8a1b`` and ``/cgi-bin/token``."""
    first, slash, rest = path[1:].partition("/")
    return first, slash + rest
