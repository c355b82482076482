"""Who answers: an API that was added, WeCom and its providers, the desk for platforms, or the APIs of accounts."""

from __future__ import annotations

from . import _added, _apis, _platforms, _providers, _wecom
from ._apis import Answer, Call


def answer(call: Call) -> Answer:
    """Answer one request as WeChat or WeCom does."""
    desks = (_added, _providers, _wecom, _platforms)
    found = next((made for desk in desks if (made := desk.answer(call)) is not None), None)
    return _apis.answer(call) if found is None else found
