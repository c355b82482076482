"""
What "this request is for that path" means, for every router at its laxest. Pure: strings in, decisions out.

A middleware that compares paths as they stand can be walked around: the router behind it may strip slashes, decode once
more, drop octets, take a line end for the end of the path, or know a prefix that nobody else knows. So a path is *read*
in all the ways that routers are known to read one, and what any of them takes for the webhook's path is guarded.

What each reading is for:

=====================================  ==========================================================================
repeated, leading, trailing slashes    werkzeug, Litestar and Bottle strip them, nginx merges them
percent signs that are left            a proxy or a router that decodes once more
octets that are no UTF-8               Bottle drops them, others put U+FFFD there
control characters, white space        ``$`` of a regular expression matches before a line end
``\\``, ``;params``, ``.`` and ``..``    proxies and file systems
letter case                            routers that ignore it
``http://host/path``, ``?``, ``#``     Quart parses what does not begin with a slash as a URL
a prefix                               ``FastAPI(root_path=)``, ``FORCE_SCRIPT_NAME``, mounts
=====================================  ==========================================================================
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from typing import TypeAlias
from urllib.parse import unquote

__all__ = ["APPID", "Kinship", "PathGuard", "Prefixes", "one_spelling", "same_path", "text_of", "without_root"]

#: What WeChat writes for the AppID in a platform's URL. It stands for one part of a path.
APPID = "$APPID$"

_DECODINGS = 4  # nothing decodes a path as often
_LONGEST = 2048  # characters; what is odd and longer is not read in all those ways

# The usual path: nothing in it that two routers read differently, but for the letter case.
# Each request is held against it, so it never goes back (possessive quantifiers).
_USUAL = r"(?:/[A-Za-z0-9_~-][A-Za-z0-9_~.-]*+)*+/?"
_usual = re.compile(_USUAL).fullmatch

# Control characters, white space, and what decoders leave of an octet that is no UTF-8.
_noise = re.compile(
    "[\x00-\x20\x7f-\xa0\xad\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff\ufffd\ud800-\udfff]+"
)
_end_of_path = re.compile(r"[?#\x00-\x1f]")
_scheme = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(?://[^/?#]*)?")
_dotted_i = str.maketrans("\u0130\u0131", "ii")  # a regular expression that ignores the case takes them for one
_NOTHING = frozenset(("", "."))  # segments that may be there or not

#: A path, segment by segment; ``None`` stands for any one.
Parts: TypeAlias = "tuple[str | None, ...]"


class Kinship(Enum):
    """
    What a request's path is to the webhook's.

    Attributes:
        OTHER: Another path.
        NEAR: Some router may take it for the webhook's.
        OWN: It ends in the webhook's path as that stands: what comes before it is a prefix that the framework knows.
    """

    OTHER = 0
    NEAR = 1
    OWN = 2


class PathGuard:
    """
    Tells which requests are for a webhook's path, or may be taken for that by some router.

    Args:
        path: The path without a slash at its end, ``""`` for the root. ``$APPID$`` stands for any one part of it.
        exempt: Paths of other pages that look alike, as they stand.
    """

    __slots__ = ("_exempt", "_is_own", "_is_usual", "_last", "_parts", "_wholes", "path")

    def __init__(self, path: str, exempt: Iterable[str] = ()) -> None:
        self.path = path
        pieces = path.split("/")[1:]
        self._exempt = frozenset(each.rstrip("/") + end for each in exempt for end in ("", "/"))
        own = "".join("/" + _regex(piece) for piece in pieces)
        self._parts: Parts = tuple(None if piece == APPID else _folded(piece) for piece in pieces)
        literals = [part for part in self._parts if part is not None]
        self._last = literals[-1] if literals else ""
        # A framework may strip from the request what it finds of a prefix that stands in `path`, or do without it.
        self._wholes: tuple[Parts, ...] = tuple(_tails(self._parts))
        if not pieces:
            self._is_own = re.compile(r"/?").fullmatch
            self._is_usual = re.compile(r"/").fullmatch
            return
        self._is_own = re.compile(rf"(?s:.*){own}/?").fullmatch
        tails = "|".join("".join("/" + (re.escape(p) if p else "[^/]+") for p in tail) for tail in self._wholes)
        self._is_usual = re.compile(rf"(?s:.*){own}/?" + (rf"|(?:{tails})/?" if tails else ""), re.IGNORECASE).fullmatch

    def judge(self, path: str, root: str = "") -> Kinship:
        """
        Tell what `path` is to the webhook's.

        Args:
            path: The request's path, decoded once, as servers do.
            root: The prefix that the request says it has, if any.
        """
        stripped = without_root(path, root.rstrip("/")) if root else path
        if stripped in self._exempt:
            return Kinship.OTHER
        # The framework need not heed the request's own prefix, if it has been given another one.
        if self._is_own(stripped) or (root and self._is_own(path)):
            return Kinship.OWN
        if _usual(path):
            near = self._is_usual(path) or (root and (self._is_usual(stripped) or self._strays(path, stripped, root)))
            return Kinship.NEAR if near else Kinship.OTHER
        return Kinship.NEAR if self._may_be(path, root) else Kinship.OTHER

    def _strays(self, path: str, stripped: str, root: str) -> bool:
        """Tell whether the request's own prefix leads to the webhook's path if it is cut off where it should not."""
        return path.split(root, maxsplit=1)[-1].lstrip("/") != stripped.lstrip("/") and self._may_be(path, root)

    def _may_be(self, path: str, root: str) -> bool:
        wholes = self._wholes if self._parts else ((), tuple(_segments(root)))
        for segments in _readings(path, root, self._last):
            for known in (segments, _resolved(segments)):
                if self._parts and _leads(self._parts[::-1], known[::-1]):
                    return True
                if any(_leads(parts, known, whole=True) for parts in wholes):
                    return True
        return len(path) > _LONGEST and self._last in _folded(unquote(path, errors="replace"))


class Prefixes:
    """
    Tells which requests are at or below some paths.

    Args:
        paths: The paths without a slash at their ends. ``$APPID$`` stands for any one part of them.

    They are for ``path.startswith(below) or path in exactly or (not usual(path) and matches(path))``: ``/wechat`` then
    means ``/wechat`` and ``/wechat/x``, not ``/wechatx``; the root means everything. The comparison itself stands in
    the middlewares: a call more for each request is what they would notice.
    """

    __slots__ = ("_parts", "below", "exactly", "usual")

    def __init__(self, paths: Iterable[str]) -> None:
        split = [path.split("/")[1:] for path in paths]
        plain = ["".join("/" + piece for piece in pieces) for pieces in split if APPID not in pieces]
        self.exactly = frozenset(plain)
        self.below = tuple(path + "/" for path in plain)
        self._parts = [tuple(None if piece == APPID else _folded(piece) for piece in pieces) for pieces in split]
        patterns = ["".join("/" + _regex(piece) for piece in pieces) for pieces in split if APPID in pieces]
        other = rf"(?!(?:{'|'.join(patterns)})(?:/|\Z))" if patterns else ""
        self.usual = re.compile(f"{other}(?:{_USUAL})").fullmatch

    def matches(self, path: str) -> bool:
        """Tell whether some router reads one of the paths in `path`."""
        return any(
            _leads(parts, known)
            for segments in _readings(path, "", "")
            for known in (segments, _resolved(segments))
            for parts in self._parts
        )


def same_path(one: str, other: str) -> bool:
    """Tell whether some router may take two paths, neither of which has a pattern in it, for the same."""
    return _segments(one) == _segments(other)


def one_spelling(path: str) -> str:
    """Make one of all spellings of a path that some router may take for the same."""
    for _ in range(_DECODINGS):
        path = unquote(path, errors="replace")
    return "/".join(_resolved(_segments(path.replace("\\", "/"))))


def text_of(path: str) -> str:
    """Read the path of a WSGI environ, each character of which is an octet."""
    if path.isascii():
        return path
    try:
        return path.encode("latin-1").decode("utf-8", "replace")
    except UnicodeEncodeError:  # a server that has decoded it
        return path


def without_root(path: str, root: str) -> str:
    """Take an ASGI app's ``root_path`` off a path. The path begins with it; only older servers leave it out."""
    return path[len(root) :] if path == root or path.startswith(root + "/") else path


def _regex(piece: str) -> str:
    return "[^/]+" if piece == APPID else re.escape(piece)


def _readings(path: str, root: str, needed: str) -> Iterator[list[str]]:
    """All that routers may read in `path`, if what is `needed` is in it."""
    if len(path) > _LONGEST:
        return
    texts = [path]
    for _ in range(_DECODINGS):
        decoded = unquote(texts[-1], errors="replace")
        if decoded == texts[-1]:
            break
        texts.append(decoded)
    texts = [text for text in texts if needed in _folded(text)]
    changes: list[Callable[[str], str]] = [
        lambda text: text.replace("\\", "/"),
        lambda text: _scheme.sub("", _noise.sub("", text), count=1) if _scheme.match(_noise.sub("", text)) else text,
        lambda text: _end_of_path.split(text, maxsplit=1)[0],
    ]
    if root:
        # Litestar cuts it off wherever it stands, Quart also without a slash behind it.
        changes.append(lambda text: text.split(root, maxsplit=1)[-1])
    for change in changes:
        texts += [changed for text in texts if (changed := change(text)) != text]
    for text in dict.fromkeys(texts):
        yield _segments(text)


def _segments(text: str) -> list[str]:
    """Split a path. Of a segment that says nothing there stays an empty one: a parameter of a route may take it."""
    return [_folded(each.partition(";")[0]) for each in text.split("/") if each]


def _folded(text: str) -> str:
    return _noise.sub("", text).translate(_dotted_i).casefold()


def _resolved(segments: list[str]) -> list[str]:
    found: list[str] = []
    for segment in segments:
        if segment == "..":
            del found[-1:]
        elif segment not in _NOTHING:
            found.append(segment)
    return found


def _tails(parts: Parts) -> Iterator[Parts]:
    """What is left of a path whose first segments are a prefix; something of it must be known by name."""
    while parts and parts[0] is not None and any(parts[1:]):
        parts = parts[1:]
        yield parts


def _leads(parts: Parts, segments: list[str], *, whole: bool = False) -> bool:
    """Tell whether `segments` begin with `parts`, or are them. Segments that say nothing may be there or not."""
    reached = {0}  # how many parts may have been read
    for segment in segments:
        if not whole and len(parts) in reached:
            return True
        further = {n + 1 for n in reached if n < len(parts) and parts[n] in (None, segment)}
        reached = further | reached if segment in _NOTHING else further
        if not reached:
            return False
    return len(parts) in reached
