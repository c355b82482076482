"""
What a reply may have at most, and what becomes of one that has more.

A text of more than 2047 bytes is not taken as a passive reply: the user sees that the service is faulty. The
customer-service API, and WeCom's, name 2048; the same number serves all. News have one to eight articles.
"""

from __future__ import annotations

import logging
import re
import unicodedata
from dataclasses import replace

from ._wire import carried
from .replies import NewsReply, Reply, TextReply

_logger = logging.getLogger("wxmiddleware")

TEXT = 2047  # bytes of UTF-8
PIECES = 5  # WeChat takes five messages after one of the user's
_ARTICLES = 8

# Where a reader pauses, the best place first.
_ENDS = (
    re.compile(r"\n\s*\n"),
    re.compile(r"\n"),
    re.compile(r"[。！？!?…；;]+[”’」』）)\"']*|\.(?=\s)"),  # noqa: RUF001 - Chinese
    re.compile(r"[，、,：:]|\s"),
)
_JOINER = "\u200d"
_HALF_FLAGS = "".join(chr(0x1F1E6 + n) for n in range(26))  # two of them are one flag


def is_empty(reply: Reply) -> bool:
    """Whether nothing is to be said."""
    return isinstance(reply, TextReply) and not reply.content.strip()


def is_long(reply: Reply | None) -> bool:
    """Whether it is a text that has to be cut, or sent in pieces."""
    return isinstance(reply, TextReply) and _size(carried(reply.content)) > TEXT


def cut(reply: Reply) -> Reply:
    """Leave out what WeChat does not take, with a warning; the same reply if it takes all."""
    if is_long(reply):
        assert isinstance(reply, TextReply)
        (piece,), _ = pieces(reply.content, 1)
        _logger.warning(
            "A text reply of %d bytes was cut to %d: WeChat takes %d at most. With late=provider a longer one is sent "
            "in pieces.",
            _size(carried(reply.content)),
            _size(piece),
            TEXT,
        )
        return TextReply(piece)
    return cut_news(reply)


def cut_news(reply: Reply) -> Reply:
    """Leave out the articles that WeChat does not take, with a warning."""
    if isinstance(reply, NewsReply) and len(reply.articles) > _ARTICLES:
        _logger.warning("A news reply of %d articles was cut to %d.", len(reply.articles), _ARTICLES)
        return replace(reply, articles=reply.articles[:_ARTICLES])
    return reply


def pieces(text: str, most: int = PIECES) -> tuple[list[str], int]:
    """
    Split a text into pieces that WeChat takes, at ends of lines or sentences where there are some.

    Returns:
        The pieces, at most so many; and how many bytes are left over.
    """
    text = carried(text)
    if _size(text) <= TEXT:
        return [text], 0
    found: list[str] = []
    while text and len(found) < most:
        # Of the last piece nothing is given away for a good end.
        at = _end(text, good=len(found) < most - 1)
        found += filter(None, [text[:at].rstrip()])
        text = text[at:].lstrip()
    return found, _size(text)


def _end(text: str, *, good: bool) -> int:
    """Where a piece ends: not later than WeChat's limit, and not in the middle of what is seen as one character."""
    most = len(text.encode()[:TEXT].decode(errors="ignore"))
    if most == len(text):
        return most
    for end in _ENDS if good else ():
        last = max((found.end() for found in end.finditer(text, most // 2, most)), default=0)
        if last:
            return last
    at = most
    while at > max(1, most - 32) and _is_one(text, at):
        at -= 1
    return at


def _is_one(text: str, at: int) -> bool:
    """Whether what stands around a place may be parts of one that is seen: accents, emoji of several parts, flags."""
    before, after = text[at - 1], text[at]
    if after in _HALF_FLAGS:
        run = at - len(text[:at].rstrip(_HALF_FLAGS))
        return run % 2 == 1
    return (
        _JOINER in (before, after)
        or unicodedata.category(after) in ("Mn", "Me", "Mc", "Cf")
        or "\U0001f3fb" <= after <= "\U0001f3ff"  # tones of skin
    )


def _size(text: str) -> int:
    return len(text.encode())
