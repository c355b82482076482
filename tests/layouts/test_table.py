"""The article's table, in SQLite; in MariaDB: test_article.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from wxmiddleware.exceptions import ConfigurationError
from wxmiddleware.layouts import ArticleFile, ArticleTable, Kept

NOW = 1_795_819_524.0


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    """The table without a row."""
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'wx.db'}")
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE wx_token (id int PRIMARY KEY, type varchar(20), expire varchar(16), value varchar(600))"
        )
    yield engine
    engine.dispose()


def rows(engine: sa.Engine) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql("SELECT * FROM wx_token ORDER BY id")]


def insert(engine: sa.Engine, *values: object) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO wx_token VALUES (?, ?, ?, ?)", values)


def table(engine: sa.Engine, row: str = "access_token") -> ArticleTable:
    return ArticleTable(engine, row=row, clock=lambda: NOW)


def test_rows(engine: sa.Engine) -> None:
    """A row that is absent is made, which PHP never does; one that is there is changed; the other is left alone."""
    table(engine).write("T", NOW + 7200)
    table(engine, "jsapi_ticket").write("J", NOW + 7200)
    table(engine).write("U", NOW + 3600)
    table(engine).write("U", NOW + 3600)

    assert [(1, "access_token", "1795819524", "U"), (2, "jsapi_ticket", "1795823124", "J")] == rows(engine)
    assert Kept("U", NOW + 7200) == table(engine).read()
    assert Kept("J", NOW + 7200) == table(engine, "jsapi_ticket").read()


def test_a_number_that_is_taken(engine: sa.Engine) -> None:
    """A table with its rows in another order gets the next number."""
    insert(engine, 1, "jsapi_ticket", "", "")
    insert(engine, 7, "other", "", "")

    table(engine).write("T", NOW + 7200)

    assert (8, "access_token", "1795823124", "T") == rows(engine)[-1]


def test_somebody_was_first(engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two processes that make the row one does, and the other changes it."""
    layout, real = table(engine), sa.Connection.scalars

    def scalars(self: sa.Connection, *args: Any, **more: Any) -> Any:
        monkeypatch.setattr(sa.Connection, "scalars", real)
        found = real(self, *args, **more).all()
        table(engine).write("theirs", NOW)
        return found

    monkeypatch.setattr(sa.Connection, "scalars", scalars)
    layout.write("T", NOW + 7200)

    assert [(1, "access_token", "1795823124", "T")] == rows(engine)


@pytest.mark.parametrize(
    ("expire", "value", "kept"),
    [
        ("1795819524", "T", Kept("T", NOW + 7200)),  # by PHP, now
        ("1795812324", "T", Kept("T", NOW)),  # by PHP, two hours ago
        ("1795819525", "T", Kept("T", NOW + 3601)),  # by us: PHP writes no time to come
        ("1795819524", "", None),  # an error that PHP has kept
        ("", "", None),
        ("soon", "T", Kept("T", None)),
    ],
)
def test_read(engine: sa.Engine, expire: str, value: str, kept: Kept | None) -> None:
    """A token's end by the time of its fetch; an empty value is none."""
    assert None is table(engine).read()
    insert(engine, 1, "access_token", expire, value)

    assert kept == table(engine).read()


@pytest.mark.parametrize("writes", [False, True])
@pytest.mark.parametrize("form", ["table", "file"])
def test_last_hour(engine: sa.Engine, tmp_path: Path, form: str, writes: bool) -> None:
    """A token of ours keeps its end in its last hour, and PHP's own next one has the end of PHP's."""
    clock = [NOW]

    def make() -> ArticleTable | ArticleFile:
        if form == "table":
            return ArticleTable(engine, clock=lambda: clock[0])
        return ArticleFile(tmp_path / "a.json", clock=lambda: clock[0])

    writer, reader = make(), make()
    writer.write("T", NOW + 7200)
    seen = [reader.read()]
    for later in (3500, 3599, 3601, 7100):
        clock[0] = NOW + later
        seen.append((writer if writes else reader).read())
    assert [Kept("T", NOW + 7200)] * 5 == seen

    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE wx_token SET expire = '1795826724', value = 'U'")
    (tmp_path / "a.json").write_text('{"access_token": "U", "expires_time": 1795826724}')
    for later in (7190, 7200, 12_000):  # PHP's clock is a little ahead
        clock[0] = NOW + later
        last = reader.read()
    assert Kept("U", NOW + 7200 + 7200) == last


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda engine: ArticleTable("mysql://localhost"), "not a str"),
        (lambda engine: ArticleTable(engine, row="card_ticket"), "row must be"),
        (lambda engine: ArticleTable(engine, table=""), "table must be"),
    ],
)
def test_bad_settings(engine: sa.Engine, make: Callable[[sa.Engine], object], says: str) -> None:
    """They are told at construction."""
    with pytest.raises(ConfigurationError, match=says):
        make(engine)


def test_name(engine: sa.Engine) -> None:
    """The table, not the database's address with its password."""
    assert "ArticleTable(wx_token, access_token)" == table(engine).name == repr(table(engine))
