"""Followers of a hub under a real server: `RemoteToken`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from wxmiddleware import TokenProvider, TokenRefused, TokenUnavailable
from wxmiddleware.hub import Hub
from wxmiddleware.sources import RemoteToken

from .conftest import World
from .running import Running, running

PATIENCE = 20.0


def eventually(condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def server(world: World) -> Iterator[Running]:
    with running(world.hub) as server:
        yield server


@pytest.fixture
def follow(world: World, server: Running) -> Iterator[Callable[[], TokenProvider]]:
    """Makes followers, each as in a process of its own."""
    made: list[TokenProvider] = []

    def make(query: str = "", **options: Any) -> TokenProvider:
        url = f"{server.url}/v1/tokens/{world.appid}{query}"
        source = RemoteToken(url, key=world.keys["direct"], refresh_after=3600.0, timeout=5.0 + len(made), **options)
        made.append(TokenProvider(world.provider.account, source=source))
        return made[-1]

    yield make
    for each in made:
        each.close()


def waiting(hub: Hub) -> int:
    found = list(hub._native._watches._found.values())
    return sum(len(watch._waiters) for here in found for watch in list(here.values()))


def test_theft(world: World, follow: Callable[[], TokenProvider]) -> None:
    """A theft is healed at once by whoever meets it first, and for all: one fetch."""
    followers = [follow() for _ in range(4)]
    (token,) = {each.get_token() for each in followers}
    world.wechat.revoke()
    (newer,) = {each.get_token(rejected=token) for each in followers}

    assert world.wechat.is_valid(newer)
    assert 2 == world.wechat.fetches()
    assert 1 == world.wechat.calls("/cgi-bin/get_api_domain_ip")


def test_rejected_without_a_reason(world: World, follow: Callable[[], TokenProvider]) -> None:
    """An API that rejects what WeChat accepts ends no token: the caller is told, and the others keep it."""
    follower = follow()
    token = follower.get_token()
    with pytest.raises(TokenUnavailable, match="still gives it"):
        follower.get_token(rejected=token)

    assert token == follower.get_token()
    assert 1 == world.wechat.fetches()


def test_told_of_a_change(world: World, follow: Callable[[], TokenProvider]) -> None:
    """With `keep` a follower has the new token as soon as the hub has it, though nobody asks it for one."""
    followers = [follow() for _ in range(3)]
    tokens = {each.get_token() for each in followers}
    keepers = [each.keep() for each in followers]
    eventually(lambda: waiting(world.hub) == 3)
    world.wechat.revoke()
    newer = world.provider.get_token(rejected=tokens.pop())

    eventually(lambda: {newer} == {each.peek() for each in followers})
    for each in keepers:
        each.close()
    assert 2 == world.wechat.fetches()


def test_a_hub_that_goes_away(world: World, server: Running, follow: Callable[[], TokenProvider]) -> None:
    """It ends with followers waiting, and they use the token on."""
    follower = follow()
    token = follower.get_token()
    with follower.keep():
        eventually(lambda: waiting(world.hub) == 1)
        server.stop()
        eventually(lambda: waiting(world.hub) == 0)

        assert token == follower.get_token()


def test_a_ticket(world: World, follow: Callable[..., TokenProvider]) -> None:
    """A ticket is followed as a token is, and never told of as a rejected token."""
    follower = follow("?kind=jsapi_ticket", token_field="ticket")
    ticket = follower.get_token()
    assert world.wechat.current_ticket() == ticket
    with pytest.raises(TokenUnavailable, match="still gives it"):
        follower.get_token(rejected=ticket)

    assert 0 == world.wechat.calls("/cgi-bin/get_api_domain_ip")


@pytest.mark.parametrize(
    ("caller", "path", "said"),
    [
        ("sdk", "", r"tokens do not leave the hub for this caller .*Check what the hub lets this caller do"),
        ("nobody", "", r"knows no caller with this key.*Check the key"),
        ("direct", "x", r"does not know it, or not for this caller.*Check the AppID in the URL"),
        ("direct", "/x", r"nothing at this path"),
        ("direct", "?kind=x", r"kind is access_token, .*Check the URL"),
    ],
)
def test_refused(world: World, server: Running, caller: str, path: str, said: str) -> None:
    """What the hub says is told, without the key."""
    key = world.keys.get(caller, "k" * 43)
    source = RemoteToken(f"{server.url}/v1/tokens/{world.appid}{path}", key=key)
    with TokenProvider(world.provider.account, source=source) as follower, pytest.raises(TokenRefused, match=said):
        follower.get_token()


def test_no_token(world: World, follow: Callable[[], TokenProvider]) -> None:
    """Of WeChat's refusal the hub tells the code, and when to come again, which is soon."""
    world.wechat.faults.add("/cgi-bin/stable_token", "errcode", errcode=40164)
    with pytest.raises(TokenUnavailable, match="WeChat says 40164") as caught:
        follow().get_token()

    assert caught.value.retry_after is not None
    assert caught.value.retry_after <= 5.0
