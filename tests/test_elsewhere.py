"""A theft, end to end: a simulated WeChat, an owner who fetches, and a process that only reads the owner's file."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from wxmiddleware import Account, ClassicToken, Runtime, TokenProvider, with_token
from wxmiddleware.simulator import SimulatedClock, SimulatorServer, WeChat
from wxmiddleware.sources import FileToken

Call = Callable[[], dict[str, Any]]


def sync_call(provider: TokenProvider) -> Call:
    @with_token(provider)
    def call(access_token: str) -> dict[str, Any]:
        return _ask(provider, access_token)

    return call


def async_call(provider: TokenProvider) -> Call:
    @with_token(provider)
    async def call(access_token: str) -> dict[str, Any]:
        return _ask(provider, access_token)

    return lambda: asyncio.run(call())


def _ask(provider: TokenProvider, token: str) -> dict[str, Any]:
    url = f"{provider.account.base_url}/cgi-bin/getcallbackip"
    answer: dict[str, Any] = requests.get(url, {"access_token": token}, timeout=30).json()
    return answer


@pytest.mark.parametrize("colour", [sync_call, async_call])
def test_theft(
    wechat: WeChat, wechat_server: SimulatorServer, tmp_path: Path, colour: Callable[[TokenProvider], Call]
) -> None:
    """Calls see WeChat's answer until the owner has renewed the token, and are healed from then on; nobody fetches."""
    path, clock = tmp_path / "token", SimulatedClock()
    owner = TokenProvider(Account(wechat.appid, wechat.secret, base_url=wechat_server.url), source=ClassicToken())
    first = owner.get_token()
    path.write_text(first)
    provider = TokenProvider(
        Account(wechat.appid, base_url=wechat_server.url), source=FileToken(path), runtime=Runtime(clock=clock)
    )
    call = colour(provider)
    assert "ip_list" in call()

    wechat.overlap = 0
    wechat.steal(slot="classic")
    for _ in range(3):
        assert 40001 == call()["errcode"]
        clock.advance(1)
    fetches = wechat.fetches()
    path.write_text(owner.get_token(rejected=first))

    assert "ip_list" in call()
    assert provider.get_token() == wechat.current(slot="classic")
    assert fetches + 1 == wechat.fetches()  # the owner's own
