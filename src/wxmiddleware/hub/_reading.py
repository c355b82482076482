"""What a request says, read once for all faces: a query without doubles, a small JSON object."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request

from ._answers import NO_JSON, TOO_LONG, WRONG_PARAMETER, Refusal

_MOST_BYTES = 64 * 1024


def single(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """Read a query in which nothing stands twice."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Refusal(WRONG_PARAMETER, "invalid parameters: one stands there twice")
    return found


async def small_json(request: Request) -> dict[str, Any]:
    """Read a small JSON object, whatever type it says it is of."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_BYTES:
            raise Refusal(TOO_LONG, "invalid parameters: the body is too long")
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Refusal(NO_JSON, "data format error: the body is no JSON object")
    return found
