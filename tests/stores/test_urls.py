"""A store named by one string."""

from __future__ import annotations

from pathlib import Path

import pytest

from wxmiddleware import ConfigurationError
from wxmiddleware.stores import store_from_url


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("memory:", "MemoryStore"),
        ("file:tokens.json", "JSONFileStore"),
        ("redis://localhost:1/0", "RedisStore"),
        ("memcached://localhost:1", "MemcachedStore"),
        ("sqlite:///tokens.db", "SQLStore"),
        ("mysql+pymysql://u:p@localhost:1/d", "SQLStore"),
        ("postgresql+psycopg://u:p@localhost:1/d", "SQLStore"),
    ],
)
def test_kinds(url: str, kind: str) -> None:
    """Each kind of URL makes its store, and connects to nothing yet."""
    assert kind == type(store_from_url(url)).__name__


@pytest.mark.parametrize("form", ["file:{}", "file://{}"])
def test_absolute_file(form: str, tmp_path: Path) -> None:
    """A file's path may be absolute, with slashes before it or not."""
    path = tmp_path / "tokens.json"

    assert repr(str(path)) in repr(store_from_url(form.format(path)))


@pytest.mark.parametrize(
    ("url", "table"),
    [
        ("redis://h?prefix=app:", "prefix='app:'"),
        ("unix:///run/redis.sock?prefix=app:", "prefix='app:'"),
        ("memcached://h?prefix=app:", "prefix='app:'"),
        ("sqlite:///tokens.db?table=app_token", "table='app_token'"),
        ("mysql://u:p@h/d?charset=utf8mb4&table=app_token", "table='app_token'"),
        ("postgresql://u:p@h/d?table=app.token", "table='app.token'"),
    ],
)
def test_namespace(url: str, table: str) -> None:
    """What keeps programs apart in one server can be named in each kind of URL."""
    assert table in repr(store_from_url(url))


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis://h?table=x", "prefix="),
        ("memcached://h?table=x", "prefix="),
        ("mysql://u:p@h/d?prefix=x", "table="),
        ("file:token.json?prefix=x", "another file"),
        ("file:///token.json?table=x", "another file"),
    ],
)
def test_another_stores_namespace(url: str, told: str) -> None:
    """A namespace that a store does not have is refused, with the name that it has for it."""
    with pytest.raises(ConfigurationError, match=told):
        store_from_url(url)


@pytest.mark.parametrize(
    "url", ["file:~/tokens.json", "file://~/tokens.json", "file:///~/tokens.json", "sqlite:///~/tokens.json"]
)
def test_home(url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Who has no shell between has his home all the same."""
    monkeypatch.setenv("HOME", str(tmp_path))

    assert f"{tmp_path}/tokens.json" in repr(store_from_url(url))


@pytest.mark.parametrize(
    "url",
    [
        *(
            "file:$HOME/x",
            "file:/a/${X}/x",
            "file://token.json",
            "file:~no-such-user/x",
            "file:",
            "file:///~nobody-such/x",
        ),
        *("sqlite:///$HOME/x", "sqlite:////a/${X}/x.db", "unix:///run/$X/redis.sock", "memcached:///${X}/m.sock"),
    ],
)
def test_bad_file(url: str) -> None:
    """A path that is not what it was meant to be is refused."""
    with pytest.raises(ConfigurationError):
        store_from_url(url)


@pytest.mark.parametrize("form", ['"{}"', "'{}'", " {}", "{}\n", "{}\t"])
@pytest.mark.parametrize("url", ["redis://h", "mysql://u:p@h/d", "memcached://h", "file:x", "memory:"])
def test_as_a_file_of_the_environment_has_it(form: str, url: str) -> None:
    """Quotes and white space around a URL are refused: nobody has removed them."""
    with pytest.raises(ConfigurationError, match=r"quotes|white space"):
        store_from_url(form.format(url))


@pytest.mark.parametrize("url", ["", "tokens.json", "http://user:pa55word@host/", "redis", None, "memory:?prefix=x"])
def test_others(url: str) -> None:
    """Anything else is refused with a list of what there is, and not repeated: it may hold a password."""
    with pytest.raises(ConfigurationError, match="redis://") as caught:
        store_from_url(url)

    assert "pa55word" not in str(caught.value)
