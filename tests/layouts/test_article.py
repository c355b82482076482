"""The article's own class, unchanged, in PHP: it reads what we write, and we follow what it fetches."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import sqlalchemy as sa
from stores.redis_server import in_children
from stores.sql_servers import wait_until
from support.background import landed

from layouts.php import APPID, SECRET, places, view
from wxmiddleware import Account, Runtime, TokenProvider
from wxmiddleware._engine import mirrors
from wxmiddleware._engine.warmer import ask
from wxmiddleware.layouts import ArticleFile, ArticleMemcached, ArticleTable, Layout, LayoutToken
from wxmiddleware.requests import WeChatAuth
from wxmiddleware.simulator import SimulatedClock, SimulatorServer, WeChat
from wxmiddleware.sources import ClassicToken

FORMS = ("database", "cache", "file")
FOLLOWERS = 8
pytestmark = [pytest.mark.servers]


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Servers, what PHP is told of them, and a client for each layout."""
    with places() as (engine, client, told):
        path = tmp_path_factory.mktemp("article") / "access_token.json"
        yield {"engine": engine, "client": client, "path": path, "told": told}


@pytest.fixture
def wechat() -> Iterator[tuple[WeChat, str]]:
    """A WeChat where each fetch ends the token before at once, and its address."""
    with SimulatorServer(WeChat(appid=APPID, secret=SECRET, overlap=0.0)) as server:
        yield server.wechat, server.url


class Neighbour:
    """The class in one of its forms, and our layout of it, both with nothing kept."""

    def __init__(self, form: str, parts: dict[str, Any], url: str, clock: Callable[[], float] = time.time) -> None:
        path: Path = parts["path"]
        path.unlink(missing_ok=True)
        parts["client"].flush_all(noreply=False)
        with parts["engine"].begin() as connection:
            connection.exec_driver_sql("UPDATE wx_token SET value = '', expire = '0'")
        self._form, self._url = form, url
        self._told = {**parts["told"], "ARTICLE_FILE": path}
        layouts: dict[str, Layout] = {
            "database": ArticleTable(parts["engine"], clock=clock),
            "cache": ArticleMemcached(parts["client"], APPID, clock=clock),
            "file": ArticleFile(path, clock=clock),
        }
        self.layout = layouts[form]
        self._client = parts["client"]

    def view(self, *, ahead: float = 0.0) -> dict[str, Any]:
        """One page view."""
        return view(self._form, self._url, ahead=ahead, **self._told)

    def fetches_early(self) -> dict[str, Any]:
        """A page view that fetches, as PHP takes what it has for an hour old."""
        kept = self.layout.read()
        assert kept is not None
        self._client.delete(APPID, noreply=False)
        if self._form != "cache":
            self.layout.write(kept.value, time.time() - 1)
        return self.view()


@pytest.fixture
def neighbour(request: pytest.FixtureRequest, parts: dict[str, Any], wechat: tuple[WeChat, str]) -> Neighbour:
    return Neighbour(request.param, parts, wechat[1])


@pytest.mark.parametrize("neighbour", FORMS, indirect=True)
def test_both_ways(neighbour: Neighbour, parts: dict[str, Any], wechat: tuple[WeChat, str]) -> None:
    """PHP uses the token that we wrote and fetches none; and we read the one that it has fetched."""
    theirs = neighbour.view()["token"]
    kept = neighbour.layout.read()
    assert kept is not None
    assert theirs == kept.value == wechat[0].current()

    ours, end = wechat[0].steal(), time.time() + 7200
    for _ in range(2):
        neighbour.layout.write(ours, end)
    seen = neighbour.view()

    assert (ours, 0) == (seen["token"], seen["answer"]["errcode"])
    assert 1 == wechat[0].fetches()
    with parts["engine"].connect() as connection:
        assert [1, 2] == list(connection.scalars(sa.text("SELECT id FROM wx_token ORDER BY id")))


@pytest.mark.parametrize("neighbour", ["database", "file"], indirect=True)
def test_takes_over(neighbour: Neighbour, wechat: tuple[WeChat, str]) -> None:
    """PHP leaves our token alone until its end, an hour longer than its own; when nobody renews it, it does."""
    neighbour.layout.write(wechat[0].steal(), time.time() + 7200)

    neighbour.view(ahead=7100)
    assert 0 == wechat[0].fetches()
    neighbour.view(ahead=7300)
    assert 1 == wechat[0].fetches()


@pytest.mark.parametrize("neighbour", FORMS, indirect=True)
def test_php_owns(neighbour: Neighbour, wechat: tuple[WeChat, str]) -> None:
    """
    Eight processes without the secret follow PHP, also when it fetches early, and never fetch.

    Each has a call rejected then, finds the new token at once, and no caller sees an error.
    """
    theirs, url = neighbour.view()["token"], f"{wechat[1]}/cgi-bin/get_api_domain_ip"
    provider = TokenProvider(Account(APPID, base_url=wechat[1]), source=LayoutToken(neighbour.layout))
    ready, begun = os.pipe()
    stolen, steal = os.pipe()

    def work() -> str:
        with requests.Session() as session:
            session.auth = WeChatAuth(provider)
            answers = [session.get(url, timeout=20).json()]
            old = provider.peek()
            os.write(begun, b".")
            os.read(stolen, 1)
            answers.append(session.get(url, timeout=20).json())
            new = provider.peek()
        assert [0, 0] == [each.get("errcode", 0) for each in answers]
        return f"{old} {new}"

    def theft() -> None:
        for _ in range(FOLLOWERS):
            os.read(ready, 1)
        neighbour.fetches_early()
        os.write(steal, b"." * FOLLOWERS)

    beside = threading.Thread(target=theft)
    beside.start()
    told = in_children(work, FOLLOWERS)
    beside.join()

    assert [f"{theirs} {wechat[0].current()}"] * FOLLOWERS == told
    assert 2 == wechat[0].fetches() == wechat[0].minted()
    for end in (ready, begun, stolen, steal):
        os.close(end)


def test_python_owns(parts: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Three hours in which only the keeper asks for a token: PHP's calls go well in every form, and it never fetches.

    Each fetch ends the token before at once. In between PHP has kept an error in place of the token, and memcached has
    lost its entry: both are mended without a fetch. Later somebody steals the token, and Python has a call rejected.
    """
    monkeypatch.setattr(mirrors, "_LOOK", 0.02)
    clock = SimulatedClock(time.time())
    with SimulatorServer(WeChat(appid=APPID, secret=SECRET, overlap=0.0, clock=clock)) as server:
        neighbours = [Neighbour(form, parts, server.url, clock) for form in FORMS]
        provider = TokenProvider(
            Account(APPID, SECRET, base_url=server.url),
            source=ClassicToken(),
            mirrors=[each.layout for each in neighbours],
            runtime=Runtime(clock=clock, time=clock),
        )

        def mirrored() -> bool:
            kept = [each.layout.read() for each in neighbours]
            return all(one is not None and one.value == server.wechat.current() for one in kept)

        for minute in range(0, 181, 20):
            ask(provider)
            landed()
            wait_until(mirrored, "The token is not where PHP looks.")
            for each in neighbours:
                seen = each.view(ahead=clock() - time.time())
                assert (server.wechat.current(), 0) == (seen["token"], seen["answer"]["errcode"])
            if minute == 60:
                with parts["engine"].begin() as connection:
                    connection.exec_driver_sql("UPDATE wx_token SET value = '', expire = %s", (str(int(clock())),))
                parts["client"].flush_all(noreply=False)
                wait_until(mirrored, "What PHP has kept stays.")
            if minute == 100:
                dead = provider.get_token()
                server.wechat.steal()
                provider.get_token(rejected=dead)
            clock.advance(1200)

        assert 2 == server.wechat.fetches()
        provider.close()
