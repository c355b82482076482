"""
For FastAPI apps::

    app = init_app(FastAPI(), provider)

    @app.post("/wechat")
    async def wechat(token: DepToken): ...

If no token can be had, `DepToken` answers 503 with ``Retry-After`` (a websocket is closed with 1013).
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, HTTPException, WebSocketException

# FastAPI reads the annotations of dependencies at run time.
from starlette.requests import HTTPConnection

from wxmiddleware._engine.provider import TokenProvider
from wxmiddleware.exceptions import TokenError
from wxmiddleware.starlette import get_token, init_app, no_token, provider_from

__all__ = ["DepProvider", "DepToken", "get_token", "init_app", "provider_from"]


async def _token(request: HTTPConnection) -> str:
    try:
        return await get_token(request)
    except TokenError as error:
        if request.scope["type"] == "websocket":
            raise WebSocketException(1013, "Try again later.") from error
        unavailable = no_token(error)
        raise HTTPException(503, unavailable.detail, unavailable.headers) from error  # FastAPI's own kind


async def _provider(request: HTTPConnection) -> TokenProvider:
    # Async, so that FastAPI does not send it to a thread.
    return provider_from(request)


#: The token that is good when the endpoint is called.
DepToken = Annotated[str, Depends(_token)]

#: The provider of the request.
DepProvider = Annotated[TokenProvider, Depends(_provider)]
