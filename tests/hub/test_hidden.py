"""Tokens out of streams, wherever these are cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from wxmiddleware.hub._hidden import Hidden

TEXT = b"<p>60_6abc</p>6 60_660_6abc60_6ab"


@pytest.mark.parametrize("size", range(1, len(TEXT) + 1))
def test_a_token_in_pieces(size: int) -> None:
    hidden = Hidden()
    hidden.add("60_6abc")

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(TEXT), size):
            yield TEXT[start : start + size]

    async def shown() -> bytes:
        return b"".join([piece async for piece in hidden.out_of_stream(pieces())])

    assert b"<p>*******</p>6 60_6*******60_6ab" == asyncio.run(shown())
