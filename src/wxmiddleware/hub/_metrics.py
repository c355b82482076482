"""
The metrics of the process, for Prometheus, at addresses of their own: callers of the hub do not come there.

The server is one more of `_server.py`, in the same event loop. It ends after the hub's, so that the requests that a
hub finishes after SIGTERM are still seen.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from .._runtime.needs import needs
from ..exceptions import ConfigurationError
from ._server import beside

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

PATH = "/metrics"


def check_installed() -> None:
    """
    See that what shows metrics is there.

    Raises:
        ConfigurationError: It is not.
    """
    try:
        with needs("prometheus_client", extra="prometheus"):
            import prometheus_client  # noqa: F401
    except ModuleNotFoundError as error:
        raise ConfigurationError(str(error)) from None


@asynccontextmanager
async def shown(sockets: list[socket.socket]) -> AsyncIterator[None]:
    """
    Show the metrics while the block runs.

    Args:
        sockets: Where; nowhere if there is none.
    """
    if not sockets:
        yield
        return
    made = beside(_app())
    serving = asyncio.create_task(made.serve(sockets))
    try:
        yield
    finally:
        made.should_exit = True
        await serving


def _app() -> ASGIApp:
    from prometheus_client import REGISTRY
    from prometheus_client.exposition import choose_encoder

    one_at_a_time = asyncio.Lock()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        response: Response = PlainTextResponse(f"The metrics are at {PATH}.\n", 404)
        if scope["path"] == PATH and request.method in ("GET", "HEAD"):
            encode, kind = choose_encoder(request.headers.get("accept", ""))
            async with one_at_a_time:  # a hundred accounts take a while, and the hub's requests do not wait for that
                text = await asyncio.to_thread(encode, REGISTRY)
            response = Response(text, headers={"content-type": kind})
        await response(scope, receive, send)

    return app
