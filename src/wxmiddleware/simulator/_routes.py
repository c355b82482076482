"""Who answers: WeCom, the desk for platforms, or the APIs of accounts. Their paths do not overlap."""

from __future__ import annotations

from . import _apis, _platforms, _wecom
from ._apis import Answer, Call


def answer(call: Call) -> Answer:
    """Answer one request as WeChat or WeCom does."""
    return _wecom.answer(call) or _platforms.answer(call) or _apis.answer(call)
