"""The query of a call, edited in place: what is not changed stays byte for byte as the caller wrote it."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import quote, unquote_plus

from ._answers import Refusal

WRONG_PARAMETER = 40035
TOKEN = "access_token"  # noqa: S105 - a parameter
_PLAIN = re.compile(rb"[!$-~]*")  # what may stand in a URL; not "#", which ends a query
_NOT_ASCII = re.compile(rb"[\x80-\xff]")
_SECRET = re.compile(r"\w*secret")
_SHORTEST = 40  # characters of a key or a token
_SEPARATOR = re.compile("[&;]")
_LONGEST = 8192  # bytes, as nginx takes of a whole URL
_MOST = 200  # parameters; WeChat's APIs have ten at most


class Query:
    """
    The parameters of one call.

    What could be read in two ways is refused: a token or a secret that stands there twice, or under a name that only
    some servers take for it (``access%5Ftoken``, ``Access_Token``, ``access_token[]``, after a ``;``).

    Raises:
        Refusal: It is written in a way that could mean another thing elsewhere.
    """

    __slots__ = ("_parts",)

    def __init__(self, raw: bytes) -> None:
        # Some clients do not escape Chinese; servers take it as if they did.
        raw = _NOT_ASCII.sub(lambda found: b"%%%02X" % found[0][0], raw)
        if not _PLAIN.fullmatch(raw):
            raise Refusal(WRONG_PARAMETER, "invalid parameters: a character of the query must be escaped")
        self._parts = raw.decode("ascii").split("&") if raw else []
        for part in self._parts:
            _check_names(part)

    def __str__(self) -> str:
        return "&".join(self._parts)

    def get(self, name: str) -> str | None:
        """Get a parameter's value, decoded; ``None`` if it is absent."""
        found = [part for part in self._parts if part.partition("=")[0] == name]
        if len(found) > 1:
            raise Refusal(WRONG_PARAMETER, f"invalid parameters: {name} stands there twice")
        return unquote_plus(found[0].partition("=")[2]) if found else None

    def put(self, name: str, value: str) -> None:
        """Put a value in the place of the one that is there, or at the end if none is."""
        part = f"{name}={quote(value, safe='')}"
        for i, each in enumerate(self._parts):
            if each.partition("=")[0] == name:
                self._parts[i] = part
                return
        self._parts.append(part)

    def without(self, name: str) -> None:
        """Leave a parameter out."""
        self._parts = [part for part in self._parts if part.partition("=")[0] != name]

    def has_elsewhere(self, credential_in: Callable[[str], bool], secret: bool) -> bool:
        """
        Tell whether a key or a token stands under another name than its own.

        Args:
            credential_in: Finds one in a text.
            secret: Whether ``secret`` is such a name, too.
        """
        own = (TOKEN, "secret") if secret else (TOKEN,)
        others = [part for part in self._parts if part.partition("=")[0] not in own]
        return any(len(part) >= _SHORTEST and credential_in(unquote_plus(part)) for part in others)

    @property
    def has_secret(self) -> bool:
        """Whether a secret stands there, of any kind."""
        return any(_SECRET.fullmatch(part.partition("=")[0]) for part in self._parts)


def check_size(raw: bytes) -> None:
    """
    See that a query is no larger than one that WeChat would take. A stranger's is read before anybody is asked for.

    Raises:
        Refusal: It is.
    """
    if len(raw) > _LONGEST or raw.count(b"&") + raw.count(b";") >= _MOST:
        raise Refusal(WRONG_PARAMETER, "invalid parameters: the query is too long")


def _check_names(part: str) -> None:
    """See that what some server may take for a token or a secret is spelt as all servers do."""
    for n, each in enumerate(_SEPARATOR.split(part)):
        written = each.partition("=")[0]
        meant = re.sub(r"\W+", "_", unquote_plus(unquote_plus(written))).strip("_").lower()
        if (n or meant != written) and (meant == TOKEN or _SECRET.fullmatch(meant)):
            raise Refusal(WRONG_PARAMETER, "invalid parameters: a token or a secret is not spelt as WeChat spells it")
