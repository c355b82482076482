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


@pytest.mark.parametrize("url", ["", "tokens.json", "http://user:pa55word@host/", "redis", None])
def test_others(url: str) -> None:
    """Anything else is refused with a list of what there is, and not repeated: it may hold a password."""
    with pytest.raises(ConfigurationError, match="redis://") as caught:
        store_from_url(url)

    assert "pa55word" not in str(caught.value)
