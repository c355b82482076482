"""
The two examples, as `test_servers.py` runs them: on the test's clock, and with a few paths beside their own.

``/token`` only has the middleware attach a token. ``/peek`` starts a refresh behind the middleware's back, if one is
due; ``/peek-and-wait`` then waits until the simulated WeChat opens the gate. Each answer names the worker.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import requests
from flask import request as flask_request
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from support.prelude import GATE, WORKER, mark, time_of_test

import wxmiddleware

EXAMPLES = Path(__file__).parents[2] / "examples"


def load(name: str) -> Any:
    """Load an example, with a provider on the test's clock; with a token, too, if it is to be loaded before a fork."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / name / "app.py")
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    plain = wxmiddleware.TokenProvider
    wxmiddleware.TokenProvider = functools.partial(plain, **time_of_test())  # type: ignore[misc, assignment]
    try:
        spec.loader.exec_module(example)
    finally:
        wxmiddleware.TokenProvider = plain  # type: ignore[misc]
    if os.environ.get("WX_TEST_PRELOAD"):
        example.provider.get_token()
    return example


def be_busy() -> None:
    """Leave the next request to the other workers."""
    end = time.perf_counter() + 0.01
    while time.perf_counter() < end:
        pass


def make_flask_app() -> Callable[..., Iterable[bytes]]:
    example = load("flask_app")
    example.app.add_url_rule("/token", view_func=lambda: mark(flask_request.environ["wxmiddleware.token"]))

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            return start_response(status, [*headers, (WORKER, str(os.getpid()))], *rest)

        be_busy()
        if not environ["PATH_INFO"].startswith("/peek"):
            body: Iterable[bytes] = example.app(environ, start)
            return body
        token = example.provider.peek() or ""
        if environ["PATH_INFO"] == "/peek-and-wait":
            requests.get(example.account.base_url + GATE, timeout=20)  # threads run while a request waits
        start("200 OK", [("Content-Type", "text/plain")])
        return [mark(token).encode()]

    return app


def make_starlette_app() -> Callable[..., Any]:
    example = load("starlette_app")

    async def token(request: Request) -> PlainTextResponse:
        return PlainTextResponse(mark(request.state.wx_token))

    example.app.router.routes.append(Route("/token", token))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def signed(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (WORKER.encode(), str(os.getpid()).encode())]
            await send(message)

        be_busy()
        await example.app(scope, receive, signed)

    return app
