"""Many callers at once: threads, tasks of asyncio or trio, and all of them together."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import anyio

from wxmiddleware import TokenProvider
from wxmiddleware.exceptions import TokenError

Answers = list[str | TokenError]
Herd = Callable[..., Answers]


def together(*works: Callable[[], object]) -> None:
    """Run each in a thread of its own, all at the same moment, and wait for all; what one raises is raised."""
    start = threading.Barrier(len(works))
    raised: list[BaseException] = []

    def run(work: Callable[[], object]) -> None:
        try:
            start.wait(20)
            work()
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for error in raised:
        raise error
    assert not any(thread.is_alive() for thread in threads), "Some thread still waits."


def thread_work(provider: TokenProvider, answers: Answers, rejected: str | None) -> Callable[[], None]:
    def ask() -> None:
        try:
            answers.append(provider.get_token(rejected))
        except TokenError as error:
            answers.append(error)

    return ask


def task_work(
    provider: TokenProvider, answers: Answers, rejected: str | None
) -> Callable[[], Coroutine[Any, Any, None]]:
    async def ask() -> None:
        try:
            answers.append(await provider.aget_token(rejected))
        except TokenError as error:
            answers.append(error)

    return ask


async def _all_tasks(ask: Callable[[], Coroutine[Any, Any, None]], count: int) -> None:
    async with anyio.create_task_group() as group:
        for _ in range(count):
            group.start_soon(ask)


def threads(provider: TokenProvider, rejected: str | None = None, *, count: int = 64) -> Answers:
    """Let threads ask."""
    answers: Answers = []
    together(*[thread_work(provider, answers, rejected)] * count)
    return answers


def tasks(provider: TokenProvider, rejected: str | None = None, *, backend: str, count: int = 200) -> Answers:
    """Let the tasks of one event loop ask."""
    answers: Answers = []
    anyio.run(_all_tasks, task_work(provider, answers, rejected), count, backend=backend)
    return answers


def loops_and_threads(provider: TokenProvider, rejected: str | None = None) -> Answers:
    """Let two event loops with 32 tasks each ask, together with 32 threads."""
    answers: Answers = []

    def loop() -> None:
        asyncio.run(_all_tasks(task_work(provider, answers, rejected), 32))

    together(loop, loop, *[thread_work(provider, answers, rejected)] * 32)
    return answers


HERDS: dict[str, tuple[Herd, int]] = {
    "threads": (threads, 64),
    "asyncio": (partial(tasks, backend="asyncio"), 200),
    "trio": (partial(tasks, backend="trio"), 200),
    "loops-and-threads": (loops_and_threads, 96),
}
