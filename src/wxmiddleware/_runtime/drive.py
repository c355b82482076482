"""Drives generators that do no I/O: each yields what it wants done, and is sent what came of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeVar

Step = TypeVar("Step")
Result = TypeVar("Result")


def drive(flow: Generator[Step, Any, Result], perform: Callable[[Step], Any]) -> Result:
    """Do what `flow` yields, and return what it returns. What `perform` raises is raised in `flow`."""
    resume, reply = flow.send, None
    while True:
        try:
            step = resume(reply)
        except StopIteration as end:
            result: Result = end.value
            return result
        finally:
            reply = None  # a token, which error trackers would show; or an error, whose traceback holds this frame
        try:
            resume, reply = flow.send, perform(step)
        except Exception as error:
            resume, reply = flow.throw, error


async def adrive(flow: Generator[Step, Any, Result], perform: Callable[[Step], Awaitable[Any]]) -> Result:
    """Like `drive`, in a task."""
    resume, reply = flow.send, None
    while True:
        try:
            step = resume(reply)
        except StopIteration as end:
            result: Result = end.value
            return result
        finally:
            reply = None
        try:
            resume, reply = flow.send, await perform(step)
        except Exception as error:
            resume, reply = flow.throw, error
