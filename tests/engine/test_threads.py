"""
Threads and event loops that ask without a pause while the token is replaced.

What holds with a GIL holds without one (free-threaded builds), since a snapshot is immutable, published as a whole, and
replaced under a lock. Publish its end before its value, or decide without the lock, and a test here fails.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from wxmiddleware import Account, Runtime, TokenProvider
from wxmiddleware.testing import ScriptedSource

READERS = 6
ROUNDS = 8
LIFE = 7200.0
PATIENCE = 60.0  # seconds of real time
ENGINE = str(Path("wxmiddleware", "_engine"))


class Story:
    """
    One token after the other, ``T0``, ``T1`` and so on, while others read.

    Attributes:
        now: What the provider's clock shows.
        least: The number of the oldest token that a call which begins now may get.
        wrong: What a reader got although it should not have.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.least = 0
        self.wrong: list[str] = []
        self.source = ScriptedSource(*(f"T{number}" for number in range(ROUNDS + 1)))
        self.provider = TokenProvider(
            Account("wx0123456789abcdef", "secret"),
            source=self.source,
            timeout=PATIENCE,
            runtime=Runtime(clock=lambda: self.now, time=lambda: self.now, random=lambda: 0.0),
        )
        self._over = False
        self._calls = [0] * READERS

    def expire(self) -> None:
        """The token's time is over: who asks from now on gets the next one."""
        self.now += LIFE + 1.0
        self.least += 1
        self.provider.get_token()

    def renew_ahead(self) -> None:
        """The token nears its end: it is handed out until the next one is there."""
        self.now += LIFE - 100.0
        self._wait_while(lambda: self.provider.get_token() == f"T{self.least}")
        self.least += 1

    def reject(self) -> None:
        """An API has rejected the token, which has lived for so long that the rejection counts."""
        self.now += 400.0
        self.provider.get_token(rejected=f"T{self.least}")
        self.least += 1

    @contextmanager
    def readers(self) -> Iterator[None]:
        """Have all of them ask meanwhile: a third waits in threads, a third in event loops, a third not at all."""
        threads = [threading.Thread(target=self._read, args=(reader,), daemon=True) for reader in range(READERS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._over = True
            for thread in threads:
                thread.join()

    def let_all_read(self) -> None:
        """Wait until every reader has made a call from its beginning to its end."""
        before = list(self._calls)
        self._wait_while(lambda: any(now < then + 2 for then, now in zip(before, self._calls)))

    def _wait_while(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE
        while condition() and not self.wrong:
            assert time.monotonic() < end, "The next token does not come."
            time.sleep(0)

    def _read(self, reader: int) -> None:
        try:
            match reader % 3:
                case 0:
                    asyncio.run(self._await(reader))
                case 1:
                    self._wait(reader)
                case _:
                    self._glance(reader)
        except Exception as exc:
            self.wrong.append(repr(exc))

    def _wait(self, reader: int) -> None:
        while not self._over:
            least = self.least
            self._note(reader, least, self.provider.get_token())

    def _glance(self, reader: int) -> None:
        """Come while the token is handed out without the lock: who waits for that does not see a snapshot half done."""
        while not self._over:
            least = self.least
            hot = self.now < self.provider._cached.snapshot.hot_ticks
            self._note(reader, least, self.provider.peek() if hot else None)
            if not hot:
                time.sleep(1e-6)

    async def _await(self, reader: int) -> None:
        while not self._over:
            least = self.least
            self._note(reader, least, await self.provider.aget_token())

    def _note(self, reader: int, least: int, token: str | None) -> None:
        if token is not None and int(token[1:]) < least:
            self.wrong.append(f"{token} after T{least}")
        self._calls[reader] += 1


def _pause(frame: FrameType, event: str, _: object) -> Any:
    """Trace the engine's code, and let the other threads run before each of its instructions."""
    if event == "call" and ENGINE not in frame.f_code.co_filename:
        return None
    frame.f_trace_lines, frame.f_trace_opcodes = False, True
    time.sleep(1e-6)  # a sleep of 0 does not give the GIL away
    return _pause


@pytest.fixture
def _interrupted() -> Iterator[None]:
    """Threads take turns between any two instructions of the engine, which by itself happens once in a long while."""
    here, elsewhere = sys.gettrace(), threading.gettrace()
    threading.settrace(_pause)
    sys.settrace(_pause)
    try:
        yield
    finally:
        sys.settrace(here)
        threading.settrace(elsewhere)


@pytest.mark.usefixtures("_interrupted")
@pytest.mark.parametrize("replace", [Story.expire, Story.renew_ahead, Story.reject], ids=lambda each: each.__name__)
def test_replaced_token_is_not_handed_out(replace: Callable[[Story], None]) -> None:
    """Whoever asks after a token was replaced gets the next one, for which one fetch was made."""
    story = Story()
    story.provider.get_token()
    with story.readers():
        for _ in range(ROUNDS):
            replace(story)
            story.let_all_read()

    assert [] == story.wrong
    assert ROUNDS + 1 == story.source.fetches
