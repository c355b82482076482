"""
The hub's status page, for callers that were given the face ``status``, each of whom sees its own accounts.

A browser asks for a password: the caller's key, with any user name. That the request comes from this machine opens
nothing: behind a proxy on the same machine, every stranger's does.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import TYPE_CHECKING

from starlette.responses import PlainTextResponse, Response

from .._engine.events import observe
from ..status import StatusPage
from ..status._history import History
from ._audit import Entry
from ._callers import Callers, bearer
from ._settings import Settings

if TYPE_CHECKING:
    from starlette.datastructures import Headers
    from starlette.requests import Request

PATH = "/status"
_ASK = {"WWW-Authenticate": 'Basic realm="wxmiddleware hub", charset="UTF-8"', "Cache-Control": "no-store"}


class StatusPages:
    """The pages of all callers. What was seen outlives the settings."""

    def __init__(self) -> None:
        self._history: History | None = None
        self._pages: Mapping[str, StatusPage] = {}

    def use(self, settings: Settings) -> None:
        """Go by these settings from now on."""
        allowed = [caller for caller in settings.by_caller.values() if "status" in caller.faces]
        if allowed and self._history is None:
            self._history = History()
            observe(self._history)
        self._pages = {
            caller.name: StatusPage(
                *(settings.by_name[name].provider for name in caller.accounts), _history=self._history
            )
            for caller in allowed
        }

    async def answer(self, request: Request, callers: Callers, entry: Entry) -> Response:
        """
        Answer one request.

        Raises:
            Refusal: The caller asks too often.
        """
        visitor = callers.with_key(_key(request.headers))
        if visitor is None:
            entry.result = "no key"
            return PlainTextResponse("The password is the key of a caller of this hub.\n", 401, _ASK)
        entry.caller = visitor.caller.name
        page = self._pages.get(callers.admitted(visitor).caller.name)
        if page is None:
            entry.result = "refused"
            return PlainTextResponse("This caller's faces do not have status.\n", 403, {"Cache-Control": "no-store"})
        return Response(*await page.aanswer(request.headers, request.url.query, request.method))


def _key(headers: Headers) -> str:
    """The key of an ``Authorization`` header, be it ``Bearer`` or a browser's ``Basic``; empty if there is none."""
    key = bearer(headers)
    if key is not None:
        return key
    values = headers.getlist("authorization")
    kind, _, given = values[0].partition(" ") if len(values) == 1 else ("", "", "")
    if kind.lower() != "basic":
        return ""
    try:
        return base64.b64decode(given, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""
