"""The article's class, in a PHP of its own for each page view."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from pymemcache import Client
from stores.memcached_server import Memcached
from stores.sql_servers import MariaDB
from support import faketime
from support.debian import find, missing

_ARTICLE = Path(__file__).with_name("article.php")
_NEEDS = ("curl", "memcached", "pdo_mysql")
APPID, SECRET = "wxarticle", "5ecret"


def php() -> str:
    """PHP's command line, with the extensions that the class uses; without them the test is skipped, in CI it fails."""
    path = find("php", package="php-cli")
    there = subprocess.run([path, "-m"], capture_output=True, text=True, check=True).stdout.lower().split()
    without = [each for each in _NEEDS if each not in there]
    if without:
        missing(f"PHP's {' and '.join(without)}", "php-curl php-mysql php-memcached")
    return path


def view(form: str, base_url: str, *, ahead: float = 0.0, **settings: object) -> dict[str, Any]:
    """
    View a page: the class gets a token as it does, and makes one call with it.

    Args:
        form: In which form it keeps its token.
        base_url: Where WeChat is.
        ahead: By how many seconds PHP's clock is ahead.
        settings: What it is told besides, such as `ARTICLE_FILE`.

    Returns:
        The token in use after the call, and WeChat's answer.
    """
    environment = {
        **os.environ,
        "WECHAT_BASE_URL": base_url,
        "WECHAT_APPID": APPID,
        "WECHAT_SECRET": SECRET,
        **{name: str(value) for name, value in settings.items()},
    }
    if ahead:
        environment |= faketime.ahead(ahead)
    command = [php(), str(_ARTICLE), form]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


@contextmanager
def places() -> Iterator[tuple[sa.Engine, Client, dict[str, str]]]:
    """Servers in which the class may keep its token: clients of them, and what PHP is told of them."""
    php()
    with MariaDB() as database, Memcached() as cache:
        engine = sa.create_engine(database.url)
        with engine.begin() as connection:
            for statement in _sql_of_the_table():
                connection.exec_driver_sql(statement)
        client = Client(("127.0.0.1", cache.port))
        told = {
            "ARTICLE_DSN": f"mysql:host=127.0.0.1;port={database.port};dbname=wx",
            "ARTICLE_USER": "wx",
            "ARTICLE_PASSWORD": "pa55word",
            "ARTICLE_MEMCACHED": f"127.0.0.1:{cache.port}",
        }
        yield engine, client, told
        client.close()
        engine.dispose()


def _sql_of_the_table() -> list[str]:
    """The statements that make the table."""
    printed = subprocess.run([php(), str(_ARTICLE), "table"], capture_output=True, text=True, check=True).stdout
    return [each.strip() for each in printed.split(";") if each.strip()]
