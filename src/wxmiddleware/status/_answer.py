"""What goes over HTTP: the answer for any framework, and what the request wants."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import parse_qs

from werkzeug.datastructures import LanguageAccept, MIMEAccept
from werkzeug.http import parse_accept_header

from .._runtime.language import Language, language, of_code
from ._style import POLICY

_PLAIN: Final = "text/plain; charset=utf-8"


class HasHeaders(Protocol):
    """The headers of a request, in which upper and lower case are the same."""

    def get(self, key: str, /) -> str | None:
        """One of them."""


class Answer(NamedTuple):
    """
    An answer, in the order in which Flask takes it from a view, and `Response` of Starlette and FastAPI as arguments.

    Attributes:
        body: The body.
        status: The status.
        headers: The headers; each has one value.
    """

    body: bytes
    status: int
    headers: dict[str, str]

    @property
    def reason(self) -> str:
        """The status as WSGI wants it."""
        return f"{self.status} {HTTPStatus(self.status).phrase}"


def shown(what: str | dict[str, Any]) -> Answer:
    """Answer with a page, or with JSON."""
    if isinstance(what, str):
        return _answer(200, "text/html; charset=utf-8", what)
    return _answer(200, "application/json", json.dumps(what, ensure_ascii=False))


def only_read() -> Answer:
    """Answer to a method that the page does not have."""
    return _answer(405, _PLAIN, "This page is only read.\n", Allow="GET, HEAD")


def nothing_here() -> Answer:
    """Answer to a path below the page."""
    return _answer(404, _PLAIN, "There is nothing here.\n")


def wants_json(accept: str) -> bool:
    """Tell whether a request wants JSON rather than a page."""
    offered = ["text/html", "application/json"]
    return parse_accept_header(accept, MIMEAccept).best_match(offered, "text/html") == "application/json"


def chosen(query: str, languages: str) -> Language:
    """Give the language that the query names, or that the browser asks for; else that of the process."""
    named = of_code(parse_qs(query).get("lang", [""])[0])
    if named is not None:
        return named
    wanted = (of_code(code) for code, _ in parse_accept_header(languages, LanguageAccept))
    return next((each for each in wanted if each is not None), None) or language()


def _answer(status: int, content_type: str, body: str, **more: str) -> Answer:
    raw = body.encode("utf-8", "replace")
    return Answer(
        raw,
        status,
        {
            "Content-Type": content_type,
            "Content-Length": str(len(raw)),
            "Cache-Control": "no-store",
            "Content-Security-Policy": POLICY,
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Vary": "Accept, Accept-Language",
            **more,
        },
    )
