"""A view that finds no message says no, in its framework's own way: an absent message is not an open door."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cache
from typing import Any

from starlette.exceptions import HTTPException
from werkzeug.exceptions import Forbidden

from wxmiddleware.exceptions import NotVerified

from .messages import Message

_logger = logging.getLogger("wxmiddleware")

_MISSING = (
    "A view asked for WeChat's message, and the webhook's check has not run for this request. Put WebhookMiddleware "
    "around the app, and check that its path= is the view's and that exempt= does not name it."
)


def found(message: object, request: object, *, asgi: bool) -> Message:
    """
    Return `message` if it is one.

    Raises:
        NotVerified: It is none. In the framework that `request` is of, that is a 403.
    """
    if isinstance(message, Message):
        return message
    _logger.warning(_MISSING)
    raise _refusal(request, asgi)


def carrier(request: Any, name: str) -> Mapping[str, Any]:
    """Get the environ or the scope of a request, or of what is one already."""
    inner = request if isinstance(request, Mapping) else getattr(request, name, None)
    if not isinstance(inner, Mapping):
        raise TypeError(f"message_from() takes a request, or its {name}, not a {type(request).__name__}.")
    return inner


def _refusal(request: object, asgi: bool) -> NotVerified:
    error: NotVerified
    if hasattr(request, "META"):
        from django.core.exceptions import PermissionDenied

        error = _kind(PermissionDenied)("Forbidden")
    # Flask's and Quart's request is a proxy: its class is told by the attribute.
    elif (root := request.__class__.__module__.partition(".")[0]) == "bottle":
        from bottle import HTTPError

        error = _kind(HTTPError)(403, "Forbidden")
    elif asgi and root != "quart":
        error = _kind(HTTPException)(403)
    else:
        error = _kind(Forbidden)()
    error.add_note(_MISSING)
    return error


@cache
def _kind(base: type[Exception]) -> type[NotVerified]:
    return type("NotVerified", (NotVerified, base), {"__module__": NotVerified.__module__})
