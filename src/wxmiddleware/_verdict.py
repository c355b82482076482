"""`raise_for_errcode`: the errors that WeChat answers with HTTP 200, as exceptions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._answers import errcode_of, object_in
from ._bodies import may_be_object, whole_body_of
from ._errcodes import api_error_text, request_id
from ._masking import mask
from .exceptions import APIError

__all__ = ["raise_for_errcode"]


def raise_for_errcode(answer: Any) -> Any:
    """
    Raise WeChat's error if this answer is one; else give what is in it.

    ::

        user = raise_for_errcode(session.get(url, params={"openid": "oABC"}))

    WeChat says in JSON what went wrong, with HTTP 200 and behind any content type (wechat-api, section 5). The error
    has the ``errcode``, WeChat's ``errmsg``, its ``rid`` for the support staff, and says what a person should do.
    Inside `with_token` it is healed if it means a refused token. The HTTP status is not looked at.

    Args:
        answer: A mapping, ``bytes`` or ``str``, or a response of requests, httpx, httpx2, werkzeug or starlette. One
            that still streams is looked at only as far as an error can reach, and keeps every byte.

    Returns:
        The mapping, or the JSON object that was in the body. What is no JSON object, such as a picture, comes back as
        it was given, and so does a response that streams more than an error.

    Raises:
        APIError: The errcode is not 0.
        TypeError: An async response has not been read yet (``await response.aread()``), or was streamed already.
    """
    found = _object_of(answer)
    if found is None:
        return answer
    error = error_in(found)
    if error is None:
        return found
    # A gateway may quote the URL it was asked for, and error trackers show local variables.
    del answer, found
    raise error


def error_in(answer: Mapping[str, Any]) -> APIError | None:
    """Make the error that an answer stands for, or ``None`` if it is none."""
    errcode = errcode_of(answer)
    return _error(errcode, answer) if errcode else None


def _object_of(answer: Any) -> Mapping[str, Any] | None:
    if isinstance(answer, Mapping):
        return answer
    if isinstance(answer, str):
        answer = answer.encode("utf-8", "replace")
    body = bytes(answer) if isinstance(answer, bytes | bytearray) else whole_body_of(answer)
    return object_in(body) if body and may_be_object(body) else None


def _error(errcode: int, found: Mapping[str, Any]) -> APIError:
    nested = found.get("base_resp")
    text = found.get("errmsg") or (nested.get("errmsg") if isinstance(nested, Mapping) else None)
    errmsg = mask(text) if isinstance(text, str) else ""
    return APIError(api_error_text(errcode, errmsg), errcode=errcode, errmsg=errmsg, rid=request_id(errmsg))
