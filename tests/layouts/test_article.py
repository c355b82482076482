"""The article's own class, unchanged, in PHP: it reads what we write, and we read what it writes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pymemcache import Client
from stores.memcached_server import Memcached
from stores.sql_servers import MariaDB

from layouts.php import APPID, SECRET, php, sql_of_the_table, view
from wxmiddleware.layouts import ArticleFile, ArticleMemcached, ArticleTable, Layout
from wxmiddleware.simulator import SimulatorServer, WeChat

FORMS = ("database", "cache", "file")
pytestmark = [pytest.mark.servers]


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Servers, what PHP is told of them, and a client for each layout."""
    php()
    with MariaDB() as database, Memcached() as cache:
        engine = sa.create_engine(database.url)
        with engine.begin() as connection:
            for statement in sql_of_the_table():
                connection.exec_driver_sql(statement)
        client = Client(("127.0.0.1", cache.port))
        yield {
            "engine": engine,
            "client": client,
            "path": tmp_path_factory.mktemp("article") / "access_token.json",
            "told": {
                "ARTICLE_DSN": f"mysql:host=127.0.0.1;port={database.port};dbname=wx",
                "ARTICLE_USER": "wx",
                "ARTICLE_PASSWORD": "pa55word",
                "ARTICLE_MEMCACHED": f"127.0.0.1:{cache.port}",
            },
        }
        client.close()
        engine.dispose()


@pytest.fixture
def wechat() -> Iterator[tuple[WeChat, str]]:
    """A WeChat where each fetch ends the token before at once, and its address."""
    with SimulatorServer(WeChat(appid=APPID, secret=SECRET, overlap=0.0)) as server:
        yield server.wechat, server.url


class Neighbour:
    """The class in one of its forms, and our layout of it, both with nothing kept."""

    def __init__(self, form: str, parts: dict[str, Any], url: str) -> None:
        path: Path = parts["path"]
        path.unlink(missing_ok=True)
        parts["client"].flush_all(noreply=False)
        with parts["engine"].begin() as connection:
            connection.exec_driver_sql("UPDATE wx_token SET value = '', expire = '0'")
        self._form, self._url = form, url
        self._told = {**parts["told"], "ARTICLE_FILE": path}
        layouts: dict[str, Layout] = {
            "database": ArticleTable(parts["engine"]),
            "cache": ArticleMemcached(parts["client"], APPID),
            "file": ArticleFile(path),
        }
        self.layout = layouts[form]

    def view(self, *, ahead: float = 0.0) -> dict[str, Any]:
        """One page view."""
        return view(self._form, self._url, ahead=ahead, **self._told)


@pytest.fixture
def neighbour(request: pytest.FixtureRequest, parts: dict[str, Any], wechat: tuple[WeChat, str]) -> Neighbour:
    return Neighbour(request.param, parts, wechat[1])


@pytest.mark.parametrize("neighbour", FORMS, indirect=True)
def test_both_ways(neighbour: Neighbour, wechat: tuple[WeChat, str]) -> None:
    """PHP uses the token that we wrote and fetches none; and we read the one that it has fetched."""
    theirs = neighbour.view()["token"]
    kept = neighbour.layout.read()
    assert kept is not None
    assert theirs == kept.value == wechat[0].current()

    ours = wechat[0].steal()
    neighbour.layout.write(ours, time.time() + 7200)
    seen = neighbour.view()

    assert (ours, 0) == (seen["token"], seen["answer"]["errcode"])
    assert 1 == wechat[0].fetches()


@pytest.mark.parametrize("neighbour", ["database", "file"], indirect=True)
def test_takes_over(neighbour: Neighbour, wechat: tuple[WeChat, str]) -> None:
    """PHP leaves our token alone until its end, an hour longer than its own; when nobody renews it, it does."""
    neighbour.layout.write(wechat[0].steal(), time.time() + 7200)

    neighbour.view(ahead=7100)
    assert 0 == wechat[0].fetches()
    neighbour.view(ahead=7300)
    assert 1 == wechat[0].fetches()
