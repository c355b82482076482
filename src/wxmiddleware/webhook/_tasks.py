"""Holds a conversation in a task of asyncio or trio: the ASGI side."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import anyio
import anyio.to_thread

from ._conversation import (
    Answer,
    Attempt,
    Conversation,
    Do,
    Failed,
    Handle,
    Pause,
    Read,
    Request,
    Spoilt,
    Step,
    Webhook,
)
from ._gate import Push

if TYPE_CHECKING:
    from starlette.types import Receive, Scope

#: Handles a push; what it delivers is the answer.
Work: TypeAlias = "Callable[[Push, Callable[[Answer], None]], Awaitable[None]]"

# The loop itself holds tasks by weak references only.
_running: set[asyncio.Task[None]] = set()


async def serve(webhook: Webhook, scope: Scope, receive: Receive, work: Work) -> Answer:
    """
    Answer an ASGI request.

    A task that is cancelled (its client has gone) ends its own wait only: what WeChat has sent is handled all the
    same, and a repeat finds the answer.

    Raises:
        Exception: What `work` has raised in time.
    """
    headers = scope.get("headers") or ()
    length = _header(headers, b"content-length")
    request = Request(
        method=scope.get("method", ""),
        query=scope.get("query_string", b"").decode("latin-1"),
        length=int(length) if length.isascii() and length.isdecimal() else None,
        peer=(scope.get("client") or ("",))[0],
        forwarded=",".join(value.decode("latin-1") for name, value in headers if name.lower() == b"x-forwarded-for"),
    )
    over = anyio.Event()
    ends: list[Answer | Failed] = []

    async def talk() -> None:
        try:
            ends.append(await _hold(webhook.serve(request), receive, work))
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


def _header(headers: Any, wanted: bytes) -> str:
    return next((value.decode("latin-1") for name, value in headers if name.lower() == wanted), "")


def _spawn(function: Callable[[], Awaitable[None]]) -> None:
    trio = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_task():
        trio.lowlevel.spawn_system_task(function, context=contextvars.copy_context())
        return
    task: asyncio.Task[None] = asyncio.get_running_loop().create_task(function())  # type: ignore[arg-type]
    _running.add(task)
    task.add_done_callback(_running.discard)


async def _hold(conversation: Conversation, receive: Receive | None = None, work: Work | None = None) -> Answer:
    send: Callable[[Any], Step] = conversation.send
    what: Any = None
    while True:
        try:
            step = send(what)
        except StopIteration as end:
            answer: Answer = end.value
            return answer
        try:
            send, what = conversation.send, await _do(step, receive, work)
        except Exception as error:
            send, what = conversation.throw, error


async def _do(step: Step, receive: Receive | None, work: Work | None) -> Any:
    match step:
        case Do(function, blocks):
            result = await anyio.to_thread.run_sync(function) if blocks else function()
            return await result if inspect.isawaitable(result) else result
        case Pause(seconds):
            return await anyio.sleep(seconds)
        case Read(limit, seconds):
            assert receive is not None
            return await _read(receive, limit, seconds)
        case Handle(push, attempt, seconds):
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
                await _hold(rest)
        finally:
            attempt.ended()

    _spawn(run)
    with anyio.move_on_after(seconds):
        await there.wait()
    return attempt.give_up()


async def _read(receive: Receive, limit: int, seconds: float) -> bytes | Spoilt:
    parts: list[bytes] = []
    room = limit
    with anyio.move_on_after(seconds):
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return Spoilt.GONE
            part = message.get("body", b"")
            room -= len(part)
            if room < 0:
                return Spoilt.LARGE
            parts.append(part)
            if not message.get("more_body", False):
                return b"".join(parts)
    return Spoilt.SLOW
