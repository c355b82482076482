"""
Is this answer a rejected token?

WeChat answers HTTP 200 and says in JSON that it did not like the token (`Getting the Access Token`_, and probed on 14
endpoints): ``{"errcode": 40001, "errmsg": "invalid credential, …"}``. The content type is no help: errors of endpoints
that send images have come as ``text/plain`` and as ``image/jpeg``. So whatever the type, a body that begins with ``{``
after whitespace is read as JSON in UTF-8.

What is looked at is somebody else's, and may fail at any question: an attribute that computes, a mapping that raises, a
proxy outside its context. It then says nothing, and its own caller gets it as it is.

Only API calls are judged here. On a token endpoint 40001 means a wrong secret, and on ``sns/*`` it speaks of a user's
own OAuth token; no fetch of ours cures either.

.. _Getting the Access Token:
   https://developers.weixin.qq.com/doc/offiaccount/en/Basic_Information/Get_access_token.html
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary

from .._rules.errcodes import RETRYABLE
from ..exceptions import TokenError
from .bodies import LIMIT, abody_of, body_of, may_be_object

__all__ = [
    "RETRYABLE",
    "aerrcode_of",
    "asks_to_be_awaited",
    "errcode_of",
    "errcode_of_error",
    "is_rejection",
    "note_not_renewed",
    "object_in",
    "why_not_renewed",
]


def is_rejection(errcode: int | None, codes: Collection[int] = RETRYABLE) -> bool:
    """Tell whether an errcode, if there is one, says that the token was rejected."""
    return errcode is not None and errcode in codes


def errcode_of(answer: object) -> int | None:
    """
    Find the errcode in what an API call returned: a mapping, a response, or a body as bytes or text.

    A response that still streams is looked at only as far as an error answer can reach, and nothing is taken from it.

    Returns:
        The errcode, which may be 0; ``None`` if there is none to be seen.
    """
    try:
        if isinstance(answer, Mapping):
            return _in_mapping(answer)
        return _in_body(answer if isinstance(answer, bytes | bytearray | str) else body_of(answer))
    except Exception:
        return None


async def aerrcode_of(answer: object) -> int | None:
    """Find the errcode in what an API call returned. Like `errcode_of`, and never blocks the event loop."""
    try:
        if isinstance(answer, Mapping):
            return _in_mapping(answer)
        return _in_body(answer if isinstance(answer, bytes | bytearray | str) else await abody_of(answer))
    except Exception:
        return None


def errcode_of_error(error: BaseException) -> int | None:
    """
    Find the errcode of what an API call raised: any exception that has an ``errcode``, such as wechatpy's.

    A `TokenError` has one too and is passed over: it comes from the token endpoint, where a new token cures nothing.
    """
    try:
        return None if isinstance(error, TokenError) else _number(getattr(error, "errcode", None))
    except Exception:
        return None


def asks_to_be_awaited(answer: object) -> bool:
    """Tell whether a call returned an awaitable."""
    try:
        return inspect.isawaitable(answer)
    except Exception:
        return False


# Responses whose rejected token was not replaced, and why. The caller may have `raise_for_errcode` look at them later.
_not_renewed: WeakKeyDictionary[Any, TokenError] = WeakKeyDictionary()


def note_not_renewed(answer: object, error: BaseException | None, why: TokenError) -> None:
    """
    Remember why the token that was rejected could not be replaced.

    Args:
        answer: The answer that said so.
        error: Or the error that did; it gets `why` as its cause, and a note.
    """
    why.__traceback__ = None  # it has frames, and these the answer
    with suppress(Exception):  # an answer may take no weak reference, and an error no note
        if error is not None:
            if error.__cause__ is None:
                error.__cause__ = why
            error.add_note(f"The token was rejected, and there is no new one. {why}")
        elif not isinstance(answer, Mapping | bytes | bytearray | str):
            _not_renewed[answer] = why


def why_not_renewed(answer: object) -> TokenError | None:
    """Tell why the token that this answer says was rejected could not be replaced, if that is known."""
    try:
        return _not_renewed.get(answer)
    except Exception:
        return None


def object_in(body: bytes | bytearray) -> dict[str, Any] | None:
    """Read a body as a JSON object, as leniently as WeChat needs it; ``None`` if it is none."""
    try:
        # WeChat lets control characters and halves of emoji through in what users typed.
        answer = json.loads(body.decode("utf-8-sig", "replace"), strict=False)
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None


def _in_mapping(answer: Mapping[Any, Any]) -> int | None:
    errcode = _number(answer.get("errcode"))
    if errcode is not None:
        return errcode
    # The device APIs wrap it: {"base_resp": {"errcode": 0, "errmsg": "ok"}}; some say "ret" there.
    nested = answer.get("base_resp")
    if not isinstance(nested, Mapping):
        return None
    errcode = _number(nested.get("errcode"))
    return _number(nested.get("ret")) if errcode is None else errcode


def _in_body(body: bytes | bytearray | str | None) -> int | None:
    if body is None or len(body) > LIMIT:
        return None
    if isinstance(body, str):
        body = body.encode("utf-8", "replace")
    # The second look spares the parsing of most answers that are no errors.
    if not may_be_object(bytes(body[:LIMIT])) or (b'"errcode"' not in body and b'"base_resp"' not in body):
        return None
    answer = object_in(body)
    return None if answer is None else _in_mapping(answer)


def _number(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return int.__index__(value)  # of a class of its own it may compare as it likes
    # wechatpy coerces strings; the longest code WeChat has ever sent has seven digits.
    if isinstance(value, str) and len(value) <= 12:
        text = value.strip()
        if text.isascii() and text.removeprefix("-").isdecimal():
            return int(text)
    return None
