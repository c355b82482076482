"""Runs a flow in a task of asyncio or trio: the ASGI side."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import math
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import anyio
import anyio.lowlevel

from wxmiddleware._rules.paths import without_root
from wxmiddleware._runtime.drive import adrive
from wxmiddleware._runtime.threads import NoThread, run_in_thread

from ._flow import (
    Answer,
    Attempt,
    BodyError,
    Do,
    Failed,
    Flow,
    Handle,
    Pause,
    Read,
    Request,
    Step,
    Webhook,
    length_of,
)
from ._gate import Push

if TYPE_CHECKING:
    from starlette.types import Receive, Scope

#: Handles a push; what it delivers is the answer.
Work: TypeAlias = "Callable[[Push, Callable[[Answer], None]], Awaitable[None]]"

# The loop itself holds tasks by weak references only.
_running: set[asyncio.Task[None]] = set()

_STEPS = 16  # threads that ask the store at once
_threads: anyio.lowlevel.RunVar[tuple[anyio.CapacityLimiter, anyio.CapacityLimiter]] = anyio.lowlevel.RunVar(
    "wxmiddleware_webhook_threads"
)


class BodyTaken(Exception):
    """The body was read before, and nobody has kept it. For what `receive` raises."""


async def serve(webhook: Webhook, scope: Scope, receive: Receive, work: Work, path: str = "", hint: str = "") -> Answer:
    """
    Answer an ASGI request.

    A task that is cancelled (its client has gone) ends its own wait only: what WeChat has sent is handled all the
    same, and a repeat finds the answer.

    Args:
        path: The webhook's path below what the app is mounted at, if it has but one; else the request's own.
        hint: What the log is to say as well if the request is refused.

    Raises:
        Exception: What `work` has raised in time.
    """
    headers = scope.get("headers") or ()
    request = Request(
        method=scope.get("method", ""),
        query=scope.get("query_string", b"").decode("latin-1"),
        length=_length(headers),
        peer=(scope.get("client") or ("",))[0],
        forwarded=",".join(value.decode("latin-1") for name, value in headers if name.lower() == b"x-forwarded-for"),
        path=_mounted(scope, path),
        hint=hint,
    )
    over = anyio.Event()
    ends: list[Answer | Failed] = []

    async def talk() -> None:
        try:
            ends.append(await _run(webhook.serve(request), receive, work))
        except Exception as error:
            ends.append(Failed(error))
        finally:
            over.set()

    _spawn(talk)
    await over.wait()
    if not ends:
        raise RuntimeError("The event loop is being shut down.")
    end = ends[0]
    if isinstance(end, Failed):
        raise end.error
    return end


def _length(headers: Any) -> int | None:
    said = [value.decode("latin-1") for name, value in headers if name.lower() == b"content-length"]
    if any(name.lower() == b"transfer-encoding" for name, _ in headers):
        return None
    return length_of(",".join(said))  # several are no length


def _spawn(function: Callable[[], Awaitable[None]]) -> None:
    trio = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_task():
        trio.lowlevel.spawn_system_task(function, context=contextvars.copy_context())
        return
    task: asyncio.Task[None] = asyncio.get_running_loop().create_task(function())  # type: ignore[arg-type]
    _running.add(task)
    task.add_done_callback(_running.discard)


def _limiters() -> tuple[anyio.CapacityLimiter, anyio.CapacityLimiter]:
    """Threads for the store, and for what is bounded elsewhere: the app's own endpoints have theirs to themselves."""
    try:
        return _threads.get()
    except LookupError:
        found = anyio.CapacityLimiter(_STEPS), anyio.CapacityLimiter(math.inf)
        _threads.set(found)
        return found


async def run_handler(function: Callable[[], Any]) -> Any:
    """Run a handler that is not async; how many there may be at once `Webhook.room` says."""
    return await run_in_thread(function, limiter=_limiters()[1])


async def _run(flow: Flow, receive: Receive | None = None, work: Work | None = None) -> Answer:
    return await adrive(flow, lambda step: _do(step, receive, work))


def _mounted(scope: Scope, path: str) -> str:
    root: str = scope.get("root_path", "")
    return root + (path or without_root(scope["path"], root))


async def _do(step: Step, receive: Receive | None, work: Work | None) -> Any:
    match step:
        case Do(function, blocks, needed):
            # What comes after an answer is no more than handlers there may be, and may take long.
            limiter = _limiters()[receive is None]
            try:
                result = await run_in_thread(function, limiter=limiter) if blocks else function()
            except NoThread:
                if not needed:
                    raise
                result = function()
            return await result if inspect.isawaitable(result) else result
        case Pause(seconds):
            return await anyio.sleep(seconds)
        case Read(limit, seconds):
            assert receive is not None
            return await _read(receive, limit, seconds)
        case Handle(push, attempt, seconds, _):
            assert work is not None
            return await _handle(work, push, attempt, seconds)


async def _handle(work: Work, push: Push, attempt: Attempt, seconds: float | None) -> Answer | Failed | None:
    there = anyio.Event()

    def deliver(answer: Answer) -> None:
        attempt.deliver(answer)
        there.set()

    async def run() -> None:
        try:
            try:
                await work(push, deliver)
            except Exception as error:
                attempt.deliver(Failed(error))
            finally:
                there.set()
            rest = attempt.afterwards()
            if rest is not None:
                await _run(rest)
        finally:
            attempt.ended()

    _spawn(run)
    with anyio.move_on_after(seconds):
        await there.wait()
    return attempt.give_up()


async def _read(receive: Receive, limit: int, seconds: float) -> bytes | BodyError:
    parts: list[bytes] = []
    room = limit
    with anyio.move_on_after(seconds):
        while True:
            try:
                message = await receive()
            except BodyTaken:
                return BodyError.TAKEN
            if message["type"] != "http.request":
                return BodyError.GONE
            part = message.get("body", b"")
            room -= len(part)
            if room < 0:
                return BodyError.LARGE
            parts.append(part)
            if not message.get("more_body", False):
                return b"".join(parts)
    return BodyError.SLOW
