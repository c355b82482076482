"""
What a call costs while the token is fresh: in bytecode instructions and in memory that stays, not in seconds.

These repeat; `benchmarks/` has the times. The limits are what was counted with Python 3.11, and a fifth more; later
Pythons need a few less. Whoever makes a path longer on purpose changes its limit.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from types import FrameType
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from wxmiddleware import Account, Runtime, TokenProvider, with_token
from wxmiddleware._runtime import fork
from wxmiddleware.asgi import TokenMiddleware as ASGIMiddleware
from wxmiddleware.otel import WxmiddlewareInstrumentor
from wxmiddleware.prometheus import instrument, uninstrument
from wxmiddleware.testing import ScriptedSource
from wxmiddleware.wsgi import TokenMiddleware as WSGIMiddleware

CALLS = 2000
Call = Callable[[], object]


def now(coroutine: Coroutine[Any, Any, object]) -> object:
    """Run a coroutine that awaits nothing."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("It waits.")


def instructions(call: Call) -> int:
    """Count the bytecode instructions that `call` executes."""
    count = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal count
        frame.f_trace_lines, frame.f_trace_opcodes = False, True
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    gc.disable()  # the finalisers of other tests' garbage are no part of the call
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
        gc.enable()
    return count


def get_token(provider: TokenProvider) -> Call:
    return provider.get_token


def aget_token(provider: TokenProvider) -> Call:
    return lambda: now(provider.aget_token())


def peek(provider: TokenProvider) -> Call:
    return provider.peek


def decorated(provider: TokenProvider) -> Call:
    @with_token(provider)
    def send(access_token: str, openid: str) -> dict[str, object]:
        return {"errcode": 0, "errmsg": "ok"}

    return lambda: send("oABC")


def decorated_coroutine(provider: TokenProvider) -> Call:
    @with_token(provider)
    async def send(access_token: str, openid: str) -> dict[str, object]:
        return {"errcode": 0, "errmsg": "ok"}

    return lambda: now(send("oABC"))


def start_response(*_: object) -> Callable[[bytes], object]:
    return len


def wsgi(provider: TokenProvider) -> Call:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        environ["wxmiddleware.token"]
        start_response("200 OK", [])
        return [b""]

    middleware = WSGIMiddleware(app, provider)

    return lambda: list(middleware({"REQUEST_METHOD": "GET", "PATH_INFO": "/"}, start_response))


async def receive() -> Any:
    raise AssertionError


async def send(message: Any) -> None: ...


def asgi(provider: TokenProvider) -> Call:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["state"]["wx_token"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    middleware = ASGIMiddleware(app, provider)
    return lambda: now(middleware({"type": "http", "path": "/", "headers": []}, receive, send))


def wsgi_paths(provider: TokenProvider, path: str) -> Call:
    middleware = WSGIMiddleware(lambda environ, start: [], provider, paths=["/wechat", "/$APPID$/callback"])
    return lambda: list(middleware({"REQUEST_METHOD": "GET", "PATH_INFO": path}, start_response))


def asgi_paths(provider: TokenProvider, path: str) -> Call:
    async def app(scope: Any, receive: Any, send: Any) -> None: ...

    middleware = ASGIMiddleware(app, provider, paths=["/wechat", "/$APPID$/callback"])
    return lambda: now(middleware({"type": "http", "path": path, "headers": []}, receive, send))


def wsgi_chosen(provider: TokenProvider) -> Call:
    return wsgi_paths(provider, "/wechat/x")


def wsgi_other(provider: TokenProvider) -> Call:
    return wsgi_paths(provider, "/users/7/orders")


def asgi_chosen(provider: TokenProvider) -> Call:
    return asgi_paths(provider, "/wechat/x")


def asgi_other(provider: TokenProvider) -> Call:
    return asgi_paths(provider, "/users/7/orders")


LIMITS: dict[Callable[[TokenProvider], Call], int] = {
    get_token: 23,
    aget_token: 56,
    peek: 21,
    decorated: 129,
    decorated_coroutine: 162,
    wsgi: 123,
    asgi: 184,
    wsgi_chosen: 129,
    wsgi_other: 68,
    asgi_chosen: 171,
    asgi_other: 115,
}
paths = pytest.mark.parametrize("path", LIMITS, ids=lambda path: path.__name__)


@pytest.fixture
def provider() -> TokenProvider:
    """One with a fresh token."""
    provider = TokenProvider(
        Account("wx0123456789abcdef", "secret"), source=ScriptedSource("T1"), runtime=Runtime(clock=lambda: 0.0)
    )
    provider.get_token()
    return provider


@paths
def test_instructions(path: Callable[[TokenProvider], Call], provider: TokenProvider) -> None:
    """A call with a fresh token executes no more instructions than it did."""
    call = path(provider)
    call()
    counted = max(instructions(call) for _ in range(3))  # Python 3.12 and later begin to count in the second round

    assert 0 < counted <= LIMITS[path]


@paths
def test_instructions_with_metrics(path: Callable[[TokenProvider], Call], provider: TokenProvider) -> None:
    """Who counts for Prometheus and OpenTelemetry counts nothing of such a call: it executes no more instructions."""
    registry = CollectorRegistry()
    instrument(registry)
    WxmiddlewareInstrumentor().instrument()
    try:
        test_instructions(path, provider)
    finally:
        WxmiddlewareInstrumentor().uninstrument()
        uninstrument(registry)


@paths
def test_memory(path: Callable[[TokenProvider], Call], provider: TokenProvider) -> None:
    """Nothing stays of a call with a fresh token."""
    call = path(provider)
    for _ in range(100):
        call()
    gc.freeze()  # to look through what other tests have left takes longer than the calls
    try:
        gc.collect()
        before = sys.getallocatedblocks()
        for _ in range(CALLS):
            call()
        gc.collect()
        kept = sys.getallocatedblocks() - before
    finally:
        gc.unfreeze()

    assert kept < CALLS / 10


def test_many_accounts() -> None:
    """Who waits for a token asks no lock of the accounts whose tokens are at hand."""

    def counted() -> int:
        with ThreadPoolExecutor(1) as threads:  # the functions that a test runs in take locks of such names
            return max(threads.submit(instructions, fork.holds_lock).result() for _ in range(3))

    before = counted()
    pool = [TokenProvider(Account(f"wx{number:016x}", "secret"), source=ScriptedSource()) for number in range(50)]

    assert 0 < counted() <= before + len(pool) / 2
