"""``wxmiddleware inspect``: the status of this process's token, or of all tokens in a store."""

from __future__ import annotations

import contextlib
import json
import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from .._rules.identity import key_parts, record_key
from .._rules.models import Account, Loaded, Record, WeComAccount
from .._rules.policies import FORCED_PER_DAY, State, Timing, ahead_at, china_day
from .._runtime import process
from .._runtime.language import Language, columns
from ..exceptions import StoreError
from ..sources import ClassicToken, StableToken, WeComToken
from ..stores._advice import translated
from .words import CAUSES, LABELS, SAID, STATES, reason

if TYPE_CHECKING:
    from .._engine.token import Status
    from .store import FleetStore

Rows = list[tuple[str, str]]

_AHEAD = {each.kind: each.refresh_ahead for each in (StableToken, ClassicToken, WeComToken)}
_UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Refresher:
    """The process that holds the lease."""

    owner: str
    seconds: float  # until it ends by itself
    ended: bool  # the process has surely ended


@dataclass(frozen=True, slots=True)
class Cooling:
    """Why WeChat is left alone, and for how many seconds."""

    seconds: float
    cause: str
    streak: int
    errcode: int | None
    errmsg: str
    rid: str | None
    message: str


@dataclass(frozen=True, slots=True)
class Held:
    """
    What a store holds for one token; never the token.

    Attributes:
        appid: Whose.
        kind: The kind of token, such as ``stable``.
        app: At WeCom the AgentId (or ``secret=`` and a digest), of an authorised account its platform; else ``None``.
        realm: Which WeChat: ``wechat``, ``wecom``, or another one, such as a simulator.
        state: ``empty``, ``fresh``, ``ahead``, ``expired``, or ``unreadable``.
        expires_in: Seconds that are left of its life.
        generation: Rises with every token.
        fetched_at: When WeChat's answer was there, by the store's clock.
        fetched_ago: The same in seconds.
        lease: Who is refreshing.
        cooldown: Why nobody should ask WeChat now.
        rejections: How many fetches in a row rejected tokens have caused.
        fetches_today: How many requests were sent to the token endpoint, on this day of China's time.
        forced_today: How often the forced mode was used.
        problem: Why it cannot be read.
    """

    appid: str
    kind: str
    app: str | None
    realm: str
    state: str
    expires_in: float | None = None
    generation: int = 0
    fetched_at: str | None = None
    fetched_ago: float | None = None
    lease: Refresher | None = None
    cooldown: Cooling | None = None
    rejections: int = 0
    fetches_today: int = 0
    forced_today: int = 0
    problem: str | None = None

    @property
    def readable(self) -> bool:
        """Whether it could be read."""
        return self.state != _UNREADABLE


# Looking


def keys_of(account: Account) -> list[str]:
    """The keys of the account's tokens in the store."""
    wecom = isinstance(account, WeComAccount)
    return [record_key(account, kind) for kind in _AHEAD if (kind == WeComToken.kind) is wecom]


def look(store: FleetStore, keys: Iterable[str]) -> list[Held]:
    """
    Read records, and change nothing.

    Raises:
        StoreError: None of them could be read.
    """
    held: list[Held] = []
    problem = ""
    for key in keys:
        try:
            loaded = store.load(key)
        except StoreError as error:
            problem = str(error)
            held.append(Held(*_names(key), _UNREADABLE, problem=problem))
        else:
            if loaded.record is not None:
                held.append(_held(key, loaded, loaded.record))
    if problem and not any(each.readable for each in held):
        raise StoreError(problem)
    return held


def _names(key: str) -> tuple[str, str, str | None, str]:
    """AppID, kind, app and realm; of a key that is not made of them, the key."""
    parts = key_parts(key)
    return (key, "", None, "") if parts is None else (parts.appid, parts.kind, parts.app or None, parts.realm)


def _held(key: str, loaded: Loaded, record: Record) -> Held:
    appid, kind, app, realm = _names(key)
    now = loaded.now
    lease, cooldown = record.lease, record.cooldown
    fetched = record.value is not None and math.isfinite(record.received_at)
    return Held(
        appid,
        kind,
        app,
        realm,
        _state(record, kind, now),
        expires_in=None if record.value is None else max(0.0, record.expires_at - now),
        generation=record.generation,
        fetched_at=datetime.fromtimestamp(record.received_at, UTC).isoformat(" ", "seconds") if fetched else None,
        fetched_ago=now - record.received_at if fetched else None,
        lease=Refresher(process.host_and_pid(lease.owner), lease.until - now, process.gone(lease.owner))
        if lease is not None and lease.until > now
        else None,
        cooldown=Cooling(
            cooldown.until - now,
            cooldown.failure.cause.value,
            cooldown.streak,
            cooldown.failure.errcode,
            cooldown.failure.errmsg,
            cooldown.failure.rid,
            cooldown.failure.message,
        )
        if cooldown is not None and cooldown.until > now
        else None,
        rejections=record.rejections,
        fetches_today=record.fetched if record.fetched_day == china_day(now) else 0,
        forced_today=record.forced if record.forced_day == china_day(now) else 0,
    )


def _state(record: Record, kind: str, now: float) -> str:
    if record.value is None:
        return State.EMPTY.value
    if now >= record.expires_at:
        return State.EXPIRED.value
    window = Timing(_AHEAD.get(kind, 0.0))
    return (State.AHEAD if now >= ahead_at(record.received_at, record.expires_at, window, 0.0) else State.FRESH).value


# Showing


def rows_of_status(status: Status, language: Language = Language.ENGLISH) -> Rows:
    """Make the rows that show the status of a provider's token."""
    rows = [("appid", status.appid), ("kind", status.kind), ("host", status.host), ("state", status.state)]
    if status.expires_in is not None:
        rows.append(("ends in", SAID["seconds"].say(language, seconds=status.expires_in)))
    if status.renews_in is not None:
        rows.append(("renews in", SAID["seconds"].say(language, seconds=status.renews_in)))
    if status.generation:
        rows.append(("generation", str(status.generation)))
    if status.backing_off is not None:
        rows.append(("back-off", SAID["back-off"].say(language, seconds=status.backing_off)))
    if status.failure is not None:
        rows.append(("reason", status.failure))
    return rows


def rows_of_held(held: Held, language: Language = Language.ENGLISH) -> Rows:
    """Make the rows that show the status of a token in a store."""
    rows = [("appid", held.appid), ("kind", held.kind), ("realm", held.realm), ("state", held.state)]
    if held.app is not None:
        rows.insert(1, ("app", held.app))
    if held.problem is not None:
        return [*rows, ("reason", translated(held.problem).say(language))]
    if held.expires_in is not None:
        rows.append(("ends in", SAID["seconds"].say(language, seconds=held.expires_in)))
    if held.generation:
        rows.append(("generation", str(held.generation)))
    if held.fetched_at is not None:
        rows.append(("fetched", SAID["ago"].say(language, at=held.fetched_at, seconds=held.fetched_ago)))
    if held.lease is not None:
        said = SAID["lease of one that has ended" if held.lease.ended else "lease"]
        rows.append(("being renewed", said.say(language, owner=held.lease.owner, seconds=held.lease.seconds)))
    if held.cooldown is not None:
        rows += _rows_of_cooling(held.cooldown, held.kind == WeComToken.kind, language)
    rows.append(("rejected", SAID["in a row"].say(language, count=held.rejections)))
    rows.append(("fetches today", str(held.fetches_today)))
    rows.append(("forced today", SAID["of"].say(language, count=held.forced_today, most=FORCED_PER_DAY)))
    return rows


def _rows_of_cooling(cooling: Cooling, wecom: bool, language: Language) -> Rows:
    cause = CAUSES[cooling.cause].say(language)
    rows = [
        ("back-off", SAID["back-off"].say(language, seconds=cooling.seconds)),
        ("cause", SAID["streak"].say(language, cause=cause, count=cooling.streak)),
    ]
    if cooling.errcode is not None:
        rows.append(("errcode", str(cooling.errcode)))
    if cooling.errmsg:
        rows.append(("WeChat's text", cooling.errmsg))
    return [*rows, ("reason", reason(language, cooling.message, cooling.errcode, cooling.errmsg, wecom=wecom))]


def print_tables(tables: Sequence[Rows], language: Language = Language.ENGLISH) -> None:
    """Print tables for people, with an empty line between two."""
    for number, rows in enumerate(tables):
        if number:
            print()
        # What is in a store may have been written by anybody, and a terminal obeys control characters.
        clean = [(name, "".join(c if c.isprintable() else "?" for c in value)) for name, value in rows]
        _print_table(clean, language)


def _print_table(rows: Rows, language: Language) -> None:
    if sys.stdout.isatty():
        with contextlib.suppress(ImportError):
            return _print_rich(rows, language)
    width = max(columns(LABELS[name].say(language)) for name, _ in rows)
    for name, value in rows:
        label = LABELS[name].say(language)
        print(f"{label}{' ' * (width - columns(label))}  {_shown(name, value, language)}")
    return None


def _shown(name: str, value: str, language: Language) -> str:
    return STATES[value].say(language) if name == "state" and value in STATES else value


def _print_rich(rows: Rows, language: Language) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    colours = {"fresh": "green", "ahead": "yellow"}
    table = Table.grid(padding=(0, 2))
    for name, value in rows:
        colour = colours.get(value, "red") if name == "state" else ""
        table.add_row(Text(LABELS[name].say(language), "dim"), Text(_shown(name, value, language), colour))
    Console(highlight=False).print(table)


def print_json(found: Status | Sequence[Held]) -> None:
    """Print one JSON object for machines."""
    fields = {"records": [asdict(each) for each in found]} if isinstance(found, Sequence) else asdict(found)
    print(json.dumps(_rounded(fields), indent=2))


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 1)
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, list) else value
