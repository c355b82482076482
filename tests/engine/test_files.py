"""A provider whose token another program keeps in a file, while that file lives through what files live through."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from engine.world import World
from wxmiddleware import Account, TokenProvider, TokenUnavailable
from wxmiddleware._rules.policies import CHEAP_BACKOFF, CHEAP_PAUSE
from wxmiddleware.sources import FileToken


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "token.json"


def put(path: Path, token: str) -> None:
    """Replace the file as a whole, as its owner should."""
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps({"access_token": token}))
    beside.replace(path)


def provider_of(world: World, path: Path) -> TokenProvider:
    world.account = Account("wx0123456789abcdef")
    return world.provider(source=FileToken(path))


def look(world: World, provider: TokenProvider) -> str:
    """What a caller has once the look that is due was made, which it does not wait for."""
    world.get(provider)
    world.drain()
    found = world.get(provider)
    world.drain()  # with a store, that may have been a read
    return found


def test_theft(world: World, path: Path) -> None:
    """A stolen token is asked for again each second, and the first call after the owner's renewal is healed."""
    put(path, "T1")
    provider = provider_of(world, path)
    world.get(provider)
    for _ in range(20):
        error = world.error(provider, "T1")
        assert isinstance(error, TokenUnavailable)
        assert f"the file {path} still gives it" in str(error)
        assert CHEAP_PAUSE == error.retry_after
        assert "T1" == world.get(provider)
        world.advance(CHEAP_PAUSE)
    put(path, "T2")

    assert ["T2"] * 8 == world.herd(provider, "T1", size=8)


def test_theft_that_the_owner_has_seen(world: World, path: Path) -> None:
    """If the new token is there already, the first call is healed."""
    put(path, "T1")
    provider = provider_of(world, path)
    world.get(provider)
    put(path, "T2")

    assert "T2" == world.get(provider, "T1")


@pytest.mark.parametrize("broken", ["absent", "empty", "cut", "null", "a directory", "too big", "no text", "html"])
def test_broken(world: World, path: Path, broken: str) -> None:
    """Whatever becomes of the file, the token that was read stays in use; it heals within seconds."""
    put(path, "T1")
    provider = provider_of(world, path)
    world.get(provider)
    path.unlink()
    contents = {"empty": "", "cut": '{"access_token": "T', "null": "null", "too big": "T" * 70_000, "html": "<p>\n</p>"}
    if broken == "a directory":
        path.mkdir()
    elif broken == "no text":
        path.write_bytes(b"\xff" * 9)
    elif broken in contents:
        path.write_text(contents[broken])
    for _ in range(30):
        world.advance(60)
        assert "T1" == look(world, provider)
    assert str(path) in str(world.error(provider, "T1"))
    assert "T1" == world.get(provider)
    world.drain()

    if broken == "a directory":
        path.rmdir()
    put(path, "T2")
    world.advance(CHEAP_BACKOFF)
    assert "T2" == look(world, provider)


def test_not_there_yet(world: World, path: Path) -> None:
    """Who starts before the owner has none, and has one within seconds of the first."""
    provider = provider_of(world, path)
    for _ in range(10):
        assert f"The file {path} is not there." in str(world.error(provider))
        world.advance(CHEAP_BACKOFF)
    put(path, "T1")

    assert "T1" == world.get(provider)


def test_renewed_in_time(world: World, path: Path) -> None:
    """A token that the owner renews ahead of its end is replaced within a minute, and no caller waits."""
    put(path, "T1")
    provider = provider_of(world, path)
    world.get(provider)
    put(path, "T2")
    world.advance(61)

    assert "T2" == look(world, provider)


def test_plain_text_written_in_place(world: World, path: Path) -> None:
    """Half a token passes for a whole one; it is rejected, and the rest is there by then."""
    path.write_text("T1")
    provider = provider_of(world, path)
    world.get(provider)
    path.write_text("T1-wh")
    world.advance(61)
    assert "T1-wh" == look(world, provider)
    with path.open("a") as file:
        file.write("ole")

    assert "T1-whole" == world.get(provider, "T1-wh")


def test_two_files(world: World, tmp_path: Path) -> None:
    """Two files of one account do not meet in the store."""
    for name in ("one", "two"):
        (tmp_path / name).write_text(f"T-{name}")
    providers = [provider_of(world, tmp_path / name) for name in ("one", "two")]

    assert ["T-one", "T-two"] == [world.get(each) for each in providers]
    assert os.path.basename(tmp_path / "one") not in providers[0]._own.key
