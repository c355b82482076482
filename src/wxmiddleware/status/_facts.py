"""What the page says, as plain values: gathered once for each request, and given as JSON as it is."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from .._rules.models import Record
from .._rules.policies import china_day
from .._runtime import process
from ..exceptions import StoreError
from ..health import StoreHealth, ping
from ._history import History, Mark

if TYPE_CHECKING:
    from .._engine.events import TokenEvent
    from .._engine.provider import TokenProvider
    from ..stores import TokenStore

_GOOD: Final = ("fresh", "ahead")
_SHOWN_EVENTS: Final = 20
_SHOWN_ACCOUNTS: Final = 200


@dataclass(frozen=True, slots=True)
class AccountFacts:
    """
    What is known of one token.

    Attributes:
        appid: Whose.
        app: WeCom's AgentId, or the platform that the account has authorised.
        kind: The kind of token.
        host: Where it is fetched.
        state: As `Status` has it.
        expires_in: Seconds that are left of its life.
        renews_in: Seconds until it is renewed.
        generation: Which token.
        backing_off: Seconds for which no request is sent to WeChat.
        failure: Why, and what to do.
        errcode: WeChat's error code, if that is why.
        fetches_today: Fetches of the whole fleet today (China's day), if the store counts them.
        forced_today: How many of these with the forced mode.
        rejections: Fetches in a row after a rejection that cured nothing.
        refreshed_by: Which process refreshes it at this moment.
        marks: What happened to it while this process looked on.
    """

    appid: str
    app: str | None
    kind: str
    host: str
    state: str
    expires_in: float | None
    renews_in: float | None
    generation: int
    backing_off: float | None
    failure: str | None
    errcode: int | None = None
    fetches_today: int | None = None
    forced_today: int = 0
    rejections: int = 0
    refreshed_by: str | None = None
    marks: list[Mark] = field(default_factory=list)

    @property
    def has_token(self) -> bool:
        """Whether callers are given a token."""
        return self.state in _GOOD


@dataclass(frozen=True, slots=True)
class EventFacts:
    """One event, as a person reads it."""

    at: str
    name: str
    appid: str
    kind: str
    message: str
    errcode: int | None
    rid: str | None


@dataclass(frozen=True)
class Facts:
    """
    Everything that the page shows.

    Attributes:
        now: In seconds since 1970.
        process: This process: its machine and its number.
        accounts: The tokens, those without first.
        others: Of accounts that are not shown, whether each has a token.
        stores: The stores behind them.
        processes: Who was seen refreshing a token, this process among them, and when last.
        pushes: How many requests the webhook has answered, by outcome.
        events: The last events, the newest first.
    """

    now: float
    process: str
    accounts: list[AccountFacts]
    others: list[bool]
    stores: list[StoreHealth]
    processes: dict[str, float]
    pushes: dict[str, int]
    events: list[EventFacts]

    @cached_property
    def with_token(self) -> int:
        """How many accounts have a token."""
        return sum(account.has_token for account in self.accounts) + sum(self.others)

    @property
    def count(self) -> int:
        """How many accounts there are."""
        return len(self.accounts) + len(self.others)

    def as_json(self) -> dict[str, Any]:
        """The same as plain values, times in ISO 8601 and numbers with a useful length."""
        whole = asdict(self) | {
            "time": _iso(self.now),
            "count": self.count,
            "with_token": self.with_token,
            "processes": [{"name": name, "seen": _iso(at)} for name, at in self.processes.items()],
        }
        del whole["now"], whole["others"]
        return {name: _short(value) for name, value in whole.items()}


def gather(providers: Iterable[TokenProvider], history: History, seen: dict[str, float]) -> Facts:
    """
    Look at everything once: memory, and each record in its store.

    Args:
        providers: Whose tokens.
        history: What this process has seen of them.
        seen: Processes that were seen refreshing, and when; is added to.
    """
    now, live = time.time(), [each for each in providers if not each.closed]
    live.sort(key=lambda each: (each.status().state in _GOOD, each.account.appid))
    stores: dict[int, TokenStore] = {id(each._own.store): each._own.store for each in live}
    asked = {key: ping(store) for key, store in stores.items()}
    answering = {key for key, store in asked.items() if store.ok}
    accounts = [_account(each, history, seen, now, answering) for each in live[:_SHOWN_ACCOUNTS]]
    seen[process.host_and_pid(process.name())] = now
    return Facts(
        now,
        process.host_and_pid(process.name()),
        accounts,
        [each.status().state in _GOOD for each in live[_SHOWN_ACCOUNTS:]],
        list(asked.values()),
        dict(sorted(seen.items(), key=lambda pair: -pair[1])),
        history.pushes(),
        [_event(each) for each in history.events()[:_SHOWN_EVENTS]],
    )


def _account(
    provider: TokenProvider, history: History, seen: dict[str, float], now: float, answering: set[int]
) -> AccountFacts:
    status, cached = provider.status(), provider._own
    record = None
    if id(cached.store) in answering:
        try:
            record = cached.link.read()
        except StoreError:
            answering.discard(id(cached.store))  # a hundred more would each take their time
    cooldown = cached.cooldown
    known = _of_record(record, now, seen, cached.runtime.clock())
    whose = (status.appid, provider.account._app() or None, status.kind)
    return AccountFacts(
        *whose,
        status.host,
        status.state,
        status.expires_in,
        status.renews_in,
        status.generation,
        status.backing_off,
        status.failure,
        errcode=None if cooldown is None or status.backing_off is None else cooldown.failure.errcode,
        marks=history.marks(whose),
        **known,
    )


def _of_record(record: Record | None, now: float, seen: dict[str, float], clock: float) -> dict[str, Any]:
    """What the fleet knows, beyond this process."""
    if record is None:
        return {}
    today, lease = china_day(now), record.lease
    by = None if lease is None or lease.until <= clock else process.host_and_pid(lease.owner)
    if by is not None:
        seen[by] = now
    return {
        "fetches_today": record.fetched if record.fetched_day == today else 0,
        "forced_today": record.forced if record.forced_day == today else 0,
        "rejections": record.rejections,
        "refreshed_by": by,
    }


def _event(event: TokenEvent) -> EventFacts:
    return EventFacts(
        _iso(event.at), event.name.value, event.appid, event.kind, event.message, event.errcode, event.rid
    )


def _iso(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="seconds")


def _short(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 1)
    if isinstance(value, Mapping):
        return {name: _short(each) for name, each in value.items()}
    return [_short(each) for each in value] if isinstance(value, list) else value
