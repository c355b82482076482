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


def heals(hub: Api, token: str, newer: str) -> None:
    """Be a hub of this package, which gives this token, and a newer one to who says that it was rejected."""

    def answer(seen: Seen) -> tuple[int, dict[str, str], list[bytes]]:
        given = newer if seen.method == "POST" else token
        said = {"access_token": given, "expires_in": 7200, "generation": int(given[1:]), "kind": "access_token"}
        headers = {"ETag": f'"of-{given}"', "Wxmiddleware": "1"}
        if seen.headers.get("if-none-match") == headers["ETag"]:
            return 304, headers, [b""]
        return 200, headers, [json.dumps(said).encode()]

    hub.answer = answer


def test_theft_that_the_hub_is_told_of(world: World, hub: Api) -> None:
    """A hub of this package is told by its number which token was rejected, once for all callers."""
    heals(hub, "T1", "T2")
    provider = provider_of(world, hub)
    world.get(provider)

    assert ["T2"] * 16 == world.herd(provider, "T1", size=16)
    assert ["GET", "GET", "POST"] == [seen.method for seen in hub.seen]
    assert ("/v1/tokens/wx1/rejected", {"generation": 1}) == (hub.seen[2].target, json.loads(hub.seen[2].body))
    assert {"Bearer key-of-this-caller"} == {seen.headers["authorization"] for seen in hub.seen}
    assert {"1"} == {seen.headers["wxmiddleware"] for seen in hub.seen}


def test_rejection_that_is_not_borne_out(world: World, hub: Api) -> None:
    """If it stays with the token, the caller is told, and the hub is told again a second later, however often."""
    heals(hub, "T1", "T1")
    provider = provider_of(world, hub)
    world.get(provider)
    for told in range(1, 41):
        assert "still gives it" in str(world.error(provider, "T1"))
        world.error(provider, "T1")
        assert told == [seen.method for seen in hub.seen].count("POST")
        assert "T1" == world.get(provider)
        world.advance(CHEAP_PAUSE)


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
