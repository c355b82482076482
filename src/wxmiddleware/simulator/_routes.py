"""Who answers: an API that was added, WeCom, the desk for platforms, or the APIs of accounts."""

from __future__ import annotations

from . import _added, _apis, _platforms, _wecom
from ._apis import Answer, Call


def answer(call: Call) -> Answer:
    """Answer one request as WeChat or WeCom does."""
    return _added.answer(call) or _wecom.answer(call) or _platforms.answer(call) or _apis.answer(call)
