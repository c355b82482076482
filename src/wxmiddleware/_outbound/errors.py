"""`raise_for_errcode`: the errors that WeChat answers with HTTP 200, as exceptions."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Final, Protocol, TypeVar, overload
from urllib.parse import urlsplit

from .._rules.errcodes import api_error_text, is_wecoms, request_id
from .._rules.models import WeComAccount
from .._runtime.masking import mask
from ..context import block_or_request
from ..exceptions import APIError
from .answers import errcode_of, is_rejection, object_in, why_not_renewed
from .bodies import awhole_body_of, is_file, is_response, may_be_object, whole_body_of

__all__ = ["araise_for_errcode", "error_in", "raise_for_errcode"]

MappingT = TypeVar("MappingT", bound=Mapping[Any, Any])

_AT_HAND: Final = (Mapping, bytes, bytearray, memoryview, str)
_PAGE: Final = (b"<!doctype", b"<!--", b"<html", b"<head", b"<body")


class Response(Protocol):
    """A response of requests, httpx, httpx2, werkzeug (Flask) or starlette."""

    @property
    def status_code(self) -> int: ...
    @property
    def headers(self) -> Any: ...


# A picture comes back as the response that it was given as. Nearly all answers are JSON, and whoever reads them should
# not have to narrow a union, so what else it may be is Any, as in typeshed.
@overload
def raise_for_errcode(answer: MappingT) -> MappingT: ...
@overload
def raise_for_errcode(answer: Response | bytes | bytearray | memoryview | str) -> dict[str, Any] | Any: ...
def raise_for_errcode(answer: Any) -> Any:
    """
    Raise WeChat's error if this answer is one; else give what is in it.

    ::

        user = raise_for_errcode(session.get(url, params={"openid": "oABC"}))

    WeChat says in JSON what went wrong, with HTTP 200 and behind any content type (docs/wechat.md#how-errors-arrive).
    The error has the ``errcode``, WeChat's ``errmsg``, its ``rid`` for the support staff, and says what a person should
    do. Inside `with_token` it is healed if it means a rejected token.

    What cannot be read is no success: an HTTP status other than 2xx, a page of HTML, an empty or broken answer raise an
    `APIError` whose ``errcode`` is ``None``; what is no answer at all, a `TypeError`.

    Args:
        answer: A mapping, ``bytes`` or ``str``, or a response of requests, httpx, httpx2, werkzeug or starlette. One
            that still streams is looked at only as far as an error can reach, and keeps every byte.

    Returns:
        The mapping, or the JSON object that was in the body. What is no JSON object, such as a picture, and what is
        marked as a file comes back as it was given, and so does a response that streams more than an error.

    Raises:
        APIError: The errcode is not 0; or, without one, there is no answer of WeChat's.
        TypeError: It is no answer, such as a coroutine that was not awaited or a response of another client; or it
            streams and cannot be looked at here: for an async one there is `araise_for_errcode`.
    """
    if isinstance(answer, _AT_HAND):
        found = _read_at_hand(answer)
    else:
        _check(answer)
        found = _read_response(answer, None if is_file(answer) else whole_body_of(answer))
    error = None if found is None else error_in(found, answer)
    if error is None:
        return answer if found is None else found
    # A gateway may quote the URL it was asked for, and error trackers show local variables.
    del answer, found
    raise error


@overload
async def araise_for_errcode(answer: MappingT) -> MappingT: ...
@overload
async def araise_for_errcode(answer: Response | bytes | bytearray | memoryview | str) -> dict[str, Any] | Any: ...
async def araise_for_errcode(answer: Any) -> Any:
    """
    Raise WeChat's error if this answer is one; else give what is in it. Like `raise_for_errcode`, for async clients.

    ::

        async with client.stream("GET", url) as response:
            await araise_for_errcode(response)          # an error in the place of a picture is raised
            async for chunk in response.aiter_bytes(): ...

    A response that still streams is looked at only as far as an error can reach, without blocking the event loop, and
    keeps every byte.
    """
    if isinstance(answer, _AT_HAND):
        found = _read_at_hand(answer)
    else:
        _check(answer)
        found = _read_response(answer, None if is_file(answer) else await awhole_body_of(answer))
    error = None if found is None else error_in(found, answer)
    if error is None:
        return answer if found is None else found
    del answer, found  # as above
    raise error


def _read_at_hand(answer: Mapping[str, Any] | bytes | bytearray | memoryview | str) -> Mapping[str, Any] | None:
    return answer if isinstance(answer, Mapping) else _read(_bytes_of(answer))


def error_in(found: Mapping[str, Any], answer: Any = None) -> APIError | None:
    """
    Make the error that an answer stands for, or ``None`` if it is none.

    Args:
        found: The JSON object.
        answer: The response that it was in, if there is one.
    """
    errcode = errcode_of(found)
    if errcode is None and found.get("errcode") is not None:
        return _nonsense("an errcode that is no number")
    if not errcode:
        return None
    nested = found.get("base_resp")
    text = found.get("errmsg") or (nested.get("errmsg") if isinstance(nested, Mapping) else None)
    # A gateway may quote the URL it was asked for.
    errmsg = mask(text) if isinstance(text, str) else ""
    wecom = is_wecoms(errcode, errmsg, _host_of(answer)) or _serves_wecom()
    because = why_not_renewed(answer) if is_rejection(errcode) else None
    error = APIError(
        api_error_text(errcode, errmsg, wecom=wecom, because=None if because is None else str(because)),
        errcode=errcode,
        errmsg=errmsg,
        rid=request_id(errmsg),
    )
    error.__cause__ = because
    return error


def _host_of(answer: Any) -> str | None:
    if isinstance(answer, Mapping):
        return None
    try:
        return urlsplit(str(answer.url)).hostname
    except Exception:  # a response that was made by hand has no request; those of frameworks have no URL
        return None


def _serves_wecom() -> bool:
    serving = block_or_request()
    return serving is not None and isinstance(getattr(serving[0].provider, "account", None), WeComAccount)


def _check(answer: Any) -> None:
    """See that this is something to look into."""
    if is_response(answer):
        return
    if inspect.isawaitable(answer) or inspect.isasyncgen(answer):
        raise TypeError(f"This is a {type(answer).__name__}, not an answer: it was not awaited. Write: await ....")
    if answer is None:
        raise TypeError("This is None, not an answer. Does the function that makes the call return it?")
    raise TypeError(
        f"raise_for_errcode() cannot look into a {type(answer).__name__} of {type(answer).__module__}. Give it the "
        "body or its JSON: await response.json(content_type=None) of aiohttp, response.data of urllib3, "
        "response.read() of urllib."
    )


def _bytes_of(answer: Any) -> bytes:
    return answer.encode("utf-8", "replace") if isinstance(answer, str) else bytes(answer)


def _ok(response: Any) -> bool:
    status = response.status_code
    return not isinstance(status, int) or 200 <= status < 300


def _read_response(response: Any, body: bytes | None) -> Mapping[str, Any] | None:
    """Find the JSON object in a response; ``None`` if it is something else that WeChat may have answered."""
    if _ok(response):
        return None if body is None else _read(body, str(response.headers.get("content-type", "")).lower())
    found = object_in(body) if body and may_be_object(body) else None
    if found is not None and errcode_of(found):
        return found
    raise APIError(
        f"No answer of WeChat's, but HTTP {response.status_code}. Check the URL and what stands between you and WeChat."
    )


def _read(body: bytes, kind: str = "") -> Mapping[str, Any] | None:
    if not may_be_object(body):
        if "text/html" in kind or body.removeprefix(b"\xef\xbb\xbf").lstrip()[:16].lower().startswith(_PAGE):
            raise _nonsense("a page of HTML")
        if "json" in kind and _is_text(body):  # WeChat's JSON is always an object
            raise _nonsense("something that is called JSON and is no object")
        return None
    found = object_in(body)
    if found is None:
        raise _nonsense("JSON that is cut short or broken" if body.strip() else "nothing: the body is empty")
    return found


def _is_text(body: bytes) -> bool:
    try:
        return bool(body.decode())
    except UnicodeDecodeError:
        return False


def _nonsense(what: str) -> APIError:
    return APIError(
        f"No answer of WeChat's, but {what}. Nobody knows whether the call succeeded. Check the URL and what stands "
        "between you and WeChat."
    )
