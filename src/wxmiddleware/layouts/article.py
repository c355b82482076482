"""
The PHP class that an article of 2017 shows and many sites use, in the three forms in which it keeps a token.

It asks ``/cgi-bin/token`` when a page is viewed. Its ``expire`` and ``expires_time`` say when a token was fetched, and
it takes another an hour later. So an hour before the token's end is written: PHP leaves the entry alone while somebody
renews it, and takes over by itself at the end.
"""

from __future__ import annotations

import json
import os
import time
from typing import Any

from .._runtime import fork
from .._runtime.checks import kind
from .._runtime.clock import Clock
from .._runtime.needs import needs
from ..exceptions import ConfigurationError
from ..sources._http import number
from ._files import JSONFile
from ._layout import Kept, word
from ._memcached import Entry

_KEPT_FOR = 3600.0  # seconds that PHP keeps a token
_LIFE = 7200.0  # seconds that WeChat gives it, which is nowhere written
_ROWS = {"access_token": 1, "jsapi_ticket": 2}


_AHEAD = 300.0  # seconds by which PHP's clock is surely not ahead


class _Ends:
    """
    When tokens end, by what is written.

    PHP writes no time that is yet to come: such a one is ours. In the last hour of a token's life it has come, so what
    was ours once stays so. Only who sees a token of ours in its last hour for the first time takes its end for an hour
    later.
    """

    def __init__(self) -> None:
        self._ours: tuple[str, float] = ("", 0.0)

    def written(self, token: str, expires_at: float) -> int:
        """What to write for a token; it is known from now on."""
        fetched = int(expires_at - _KEPT_FOR)
        self._ours = (token, fetched)
        return fetched

    def read(self, token: str, fetched: float | None, now: float) -> Kept:
        """The token with its end."""
        if fetched is None:
            return Kept(token, None)
        if fetched > now + _AHEAD:
            self._ours = (token, fetched)
        ours = fetched > now or (token, fetched) == self._ours
        return Kept(token, fetched + (_KEPT_FOR if ours else _LIFE))


class ArticleTable:
    """
    The table ``wx_token(id, type, expire, value)``: one account for each database.

    The article is one of 2017, whose PHP class many sites use: it keeps the token for an hour in this table of MySQL.

    Args:
        engine: An SQLAlchemy engine.
        row: Which row: ``access_token`` or ``jsapi_ticket``.
        table: The table's name. It must be there.
        clock: Seconds since 1970.

    Raises:
        ConfigurationError: The engine is none, or asynchronous; or there is no such row.
    """

    def __init__(
        self, engine: Any, *, row: str = "access_token", table: str = "wx_token", clock: Clock = time.time
    ) -> None:
        with needs("sqlalchemy", extra="sql"):
            import sqlalchemy as sa
        if not isinstance(engine, sa.Engine):
            raise ConfigurationError(f"engine must be an SQLAlchemy Engine, not {kind(engine)}.")
        if row not in _ROWS:
            raise ConfigurationError(f"row must be {' or '.join(_ROWS)}.")
        self._engine = engine
        self._table = sa.table(word("table", table, "'wx_token'"), *map(sa.column, ("id", "type", "expire", "value")))
        self._row = row
        self._clock = clock
        self._ends = _Ends()
        self._left: list[object] = []
        fork.register(self)

    @property
    def name(self) -> str:
        """The table and the row, for messages."""
        return f"ArticleTable({self._table.name}, {self._row})"

    @property
    def _place(self) -> object:
        """What two layouts of one row have in common."""
        return self._engine, self._table.name, self._row

    def __repr__(self) -> str:
        return self.name

    def after_fork(self) -> None:
        """A child opens connections of its own, and says nothing on its parent's."""
        self._left.append(self._engine.pool)  # kept, so that nothing collects and thereby ends them
        self._engine.dispose(close=False)

    def read(self) -> Kept | None:
        """Read the row."""
        import sqlalchemy as sa

        fork.check()
        columns = self._table.c
        with self._engine.connect() as connection:
            found = connection.execute(
                sa.select(columns.value, columns.expire).where(columns.type == self._row)
            ).first()
        if found is None or not found[0]:
            return None
        return self._ends.read(found[0], number(found[1]), self._clock())

    def write(self, value: str, expires_at: float) -> None:
        """Change the row, or make it: PHP never does."""
        import sqlalchemy as sa

        fork.check()
        columns, kept = self._table.c, {"expire": str(self._ends.written(value, expires_at)), "value": value}
        update = self._table.update().where(columns.type == self._row).values(kept)
        with self._engine.begin() as connection:
            if connection.execute(update).rowcount:  # SQLAlchemy has all drivers count rows that stay the same, too
                return
        try:
            with self._engine.begin() as connection:
                taken = set(connection.scalars(sa.select(columns.id)))
                number = _ROWS[self._row] if _ROWS[self._row] not in taken else max(taken) + 1
                connection.execute(self._table.insert().values(id=number, type=self._row, **kept))
        except sa.exc.IntegrityError:  # somebody was first
            with self._engine.begin() as connection:
                connection.execute(update)


class ArticleMemcached(Entry):
    """
    The entry of memcached that is named like the AppID.

    The article is one of 2017, whose PHP class many sites use: in this form it keeps the token for an hour there.
    PHP fetches when it is gone, so it is written again in time, by whoever keeps the token.

    Args:
        client: A `pymemcache.Client` or `PooledClient`; connections of our own are opened like it.
        appid: The AppID.
        clock: Seconds since 1970.

    Raises:
        ConfigurationError: An argument is wrong.
    """

    write_again = 1200.0

    def __init__(self, client: Any, appid: str, *, clock: Clock = time.time) -> None:
        super().__init__(client, word("appid", appid, "'wx8a1b…'"), longest=_KEPT_FOR, margin=60.0, clock=clock)


class ArticleFile(JSONFile):
    """
    The file ``access_token.json``.

    The article is one of 2017, whose PHP class many sites use: in this form it keeps the token for an hour there.
    It is replaced as a whole, while PHP writes in place. Owner and mode of a file that is there stay.

    Args:
        path: The file. Its directory must be there.
        mode: Who may read and write a new file. By default our own user only; PHP mostly has another, so give it the
            group of the directory (``chmod g+s``) and say ``0o660``, or make the file beforehand.
        clock: Seconds since 1970.

    Raises:
        ConfigurationError: The path is none, or the mode lets every user write.
    """

    def __init__(
        self, path: str | os.PathLike[str] = "access_token.json", *, mode: int = 0o600, clock: Clock = time.time
    ) -> None:
        super().__init__(path, mode=mode)
        self._ends = _Ends()
        self._clock = clock

    def read(self) -> Kept | None:
        """Read the file."""
        found = self.load()
        value = found.get("access_token")
        if not isinstance(value, str) or not value:
            return None
        return self._ends.read(value, number(found.get("expires_time")), self._clock())

    def write(self, value: str, expires_at: float) -> None:
        """Replace the file."""
        self.replace(json.dumps({"access_token": value, "expires_time": self._ends.written(value, expires_at)}))
