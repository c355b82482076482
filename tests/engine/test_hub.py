"""A provider whose token a hub gives, by real HTTP, while the hub lives through what hubs live through."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from support.api_server import Api, Seen, serving

from engine.world import World
from wxmiddleware import Account, TokenProvider, TokenUnavailable
from wxmiddleware._rules.policies import CHEAP_BACKOFF, CHEAP_PAUSE
from wxmiddleware.sources import RemoteToken


@pytest.fixture
def hub() -> Iterator[Api]:
    with serving() as api:
        owns(api, "T1")
        yield api


def owns(hub: Api, token: str) -> None:
    """Let the hub give this token, with an ETag."""

    def answer(seen: Seen) -> tuple[int, dict[str, str], list[bytes]]:
        tag = f'"of-{token}"'
        if seen.headers.get("if-none-match") == tag:
            return 304, {"ETag": tag}, [b""]
        return 200, {"ETag": tag}, [json.dumps({"access_token": token, "expires_in": 7200}).encode()]

    hub.answer = answer


def provider_of(world: World, hub: Api) -> TokenProvider:
    world.account = Account("wx0123456789abcdef")
    return world.provider(source=RemoteToken(f"{hub.url}/v1/tokens/wx1", key="key-of-this-caller"))


def test_theft(world: World, hub: Api) -> None:
    """A stolen token is asked for again each second; the first call after the owner's renewal heals all."""
    provider = provider_of(world, hub)
    world.get(provider)
    for asked in range(2, 8):
        error = world.error(provider, "T1")
        assert isinstance(error, TokenUnavailable)
        assert "still gives it" in str(error)
        world.error(provider, "T1")
        assert asked == len(hub.seen)
        assert "T1" == world.get(provider)
        world.advance(CHEAP_PAUSE)
    owns(hub, "T2")

    assert ["T2"] * 16 == world.herd(provider, "T1", size=16)
    assert 8 == len(hub.seen)


def test_theft_that_the_owner_has_seen(world: World, hub: Api) -> None:
    """If the hub has the new token already, one request heals all."""
    provider = provider_of(world, hub)
    world.get(provider)
    owns(hub, "T2")

    assert ["T2"] * 16 == world.herd(provider, "T1", size=16)
    assert 2 == len(hub.seen)


def test_no_token_in_a_request(world: World, hub: Api) -> None:
    """Nothing that is sent has a token in it, rejected or not."""
    provider = provider_of(world, hub)
    world.get(provider)
    world.error(provider, "T1")

    assert not [seen for seen in hub.seen if "T1" in seen.target or b"T1" in seen.body]


@pytest.mark.parametrize("status", [401, 404, 429, 500, 503])
def test_out_of_order(world: World, hub: Api, status: int) -> None:
    """While the hub gives none the token stays in use; it heals within seconds."""
    provider = provider_of(world, hub)
    world.get(provider)
    hub.answer = lambda seen: (status, {}, [b"{}"])
    for _ in range(10):
        world.advance(60)
        assert "T1" == world.get(provider)
        world.drain()
    owns(hub, "T2")
    world.advance(CHEAP_BACKOFF)
    world.get(provider)
    world.drain()

    assert "T2" == world.get(provider)
