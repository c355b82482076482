"""The body of a call, on its way through: its beginning is kept, so that the call can be sent again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect

if TYPE_CHECKING:
    from starlette.types import Receive

# Bytes. Pictures of messages have 2 MiB at most, and all JSON is far below. Every call may hold so many.
KEPT = 2 * 1024 * 1024
_AT_ONCE = 64 * 1024  # bytes that are handed on as one piece


class Body:
    """
    What the caller sends.

    A body of up to `KEPT` bytes is read as a whole before the call is sent on, and can be sent again. A longer one
    streams, and cannot.
    """

    def __init__(self, receive: Receive, length: int | None) -> None:
        self._receive = receive
        self._length = length
        self._beginning = bytearray()
        self._ended = asyncio.Event()
        self._kept = False
        self.client_left = False
        self.only_once = False

    async def begin(self) -> None:
        """
        Read it, up to what is kept.

        Raises:
            ClientDisconnect: The client left.
        """
        while not self._ended.is_set() and len(self._beginning) <= KEPT:
            self._beginning += await self._next()
        self._kept = self._ended.is_set() and len(self._beginning) <= KEPT

    @property
    def length(self) -> int | None:
        """Its length in bytes, if that is known."""
        return len(self._beginning) if self._kept else self._length

    def content(self) -> bytes | AsyncIterator[bytes] | None:
        """Give what is to be sent."""
        if self._kept and len(self._beginning) <= _AT_ONCE:
            return bytes(self._beginning) or None
        return self._stream()

    def rewind(self) -> bool:
        """Tell whether it can be sent again."""
        self.only_once = not self._kept
        return self._kept

    async def left(self) -> None:
        """Wait until the client has left. That can be seen only when its body is read."""
        await self._ended.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.client_left = True

    async def _stream(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._beginning), _AT_ONCE):
            yield bytes(self._beginning[start : start + _AT_ONCE])
        if self._kept:
            return
        self._beginning.clear()
        while not self._ended.is_set():
            if chunk := await self._next():
                yield chunk

    async def _next(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.client_left = True
            raise ClientDisconnect
        if not message.get("more_body", False):
            self._ended.set()
        chunk: bytes = message.get("body", b"")
        return chunk
