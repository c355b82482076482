"""Who answers: an API that was added, WeCom and its providers, platforms and their pages, or the APIs of accounts."""

from __future__ import annotations

from . import _added, _apis, _onboarding, _platforms, _providers, _wecom
from ._apis import Answer, Call


def answer(call: Call) -> Answer:
    """Answer one request as WeChat or WeCom does."""
    desks = (_added, _providers, _wecom, _platforms, _onboarding)
    found = next((made for desk in desks if (made := desk.answer(call)) is not None), None)
    return _apis.answer(call) if found is None else found
