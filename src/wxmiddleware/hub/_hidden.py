"""Keeps a call's token and secret out of what comes back: WeChat, or what stands before it, may quote the URL."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable
from urllib.parse import quote


class Hidden:
    """
    What must not be shown.

    Each is replaced by as many asterisks, so that a length that was announced stays true.
    """

    def __init__(self) -> None:
        self._words: set[bytes] = set()
        self._pattern: re.Pattern[bytes] | None = None

    def add(self, secret: str) -> None:
        """Hide this as well, as it is and as it is written in a URL or in JSON."""
        plain = {secret, quote(secret, safe=""), quote(secret), secret.replace("/", "\\/")}
        self._words |= {each.encode() for each in plain if each}
        longest_first = sorted(self._words, key=len, reverse=True)
        self._pattern = re.compile(b"|".join(map(re.escape, longest_first)))

    def out_of(self, text: bytes) -> bytes:
        """Take them out of a text."""
        return text if self._pattern is None else self._pattern.sub(lambda found: b"*" * len(found[0]), text)

    def out_of_headers(self, headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """Take them out of the values of headers."""
        return [(name, self.out_of(value)) for name, value in headers]

    async def out_of_stream(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Take them out of a stream. Only what may be the beginning of one is held back until more has come."""
        rest = b""
        async for chunk in chunks:
            text = self.out_of(rest + chunk)
            held = self._beginning_at_end(text)
            text, rest = text[: len(text) - held], text[len(text) - held :]
            if text:
                yield text
        if rest:
            yield rest

    def _beginning_at_end(self, text: bytes) -> int:
        """How many bytes at the end may be the beginning of what is hidden."""
        longest = 0
        for word in self._words:
            start = max(0, len(text) - len(word) + 1)
            while (start := text.find(word[:1], start)) >= 0:
                if word.startswith(text[start:]):
                    longest = max(longest, len(text) - start)
                    break
                start += 1
        return longest
