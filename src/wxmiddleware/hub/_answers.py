"""
What the hub says itself, in WeChat's words: HTTP 200, ``errcode`` and always ``errmsg`` (some clients die without).

The codes are those that clients stop at. 40001 is none of them: one client asks again without end.
"""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse

from ..exceptions import TokenError

SYSTEM_ERROR = -1
UNKNOWN_APPID = 40013
INVALID_TOKEN = 40014
WRONG_PARAMETER = 40035
UNKNOWN_KEY = 40125
MISSING_TOKEN = 41001
TOO_LONG = 45002
TOO_OFTEN = 45011
NO_JSON = 47001
NOT_ALLOWED = 48001


class Refusal(Exception):
    """
    The hub says no. It is told to the caller, and in the audit.

    Args:
        errcode: In WeChat's words.
        errmsg: Why, for people.
        caller: Who is refused, for the audit, if that is known.
    """

    def __init__(self, errcode: int, errmsg: str, caller: str = "") -> None:
        super().__init__(errcode, errmsg)
        self.errcode = errcode
        self.errmsg = errmsg
        self.caller = caller


def in_wechats_words(content: dict[str, Any]) -> JSONResponse:
    """Give an answer as WeChat gives it."""
    return JSONResponse(content, headers={"Cache-Control": "no-store"})


def refused(refusal: Refusal) -> JSONResponse:
    """Give a refusal as WeChat gives it."""
    return in_wechats_words({"errcode": refusal.errcode, "errmsg": f"{refusal.errmsg} (said by the hub)"})


def no_token(error: TokenError) -> Refusal:
    """
    Say that the hub has no token itself.

    WeChat's errcode stands in the text: as the caller's own it would mislead (40125 is the caller's key here).
    """
    said = "" if error.errcode is None else f" WeChat says {error.errcode}."
    return Refusal(SYSTEM_ERROR, f"the hub has no token for this account at the moment.{said} Its log says why")
