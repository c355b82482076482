"""What the page says, as plain values; its JSON is these as they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from .._runtime.language import Text
from ._history import Mark

if TYPE_CHECKING:
    from .._engine.mirrors import MirrorStatus
    from ..health import StoreHealth
    from ..platform import PlatformStatus
    from ..pool import PoolStatus

GOOD: Final = ("fresh", "ahead")  # the states in which callers are given a token

Process = tuple[str, str]  # its machine, and its number there


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
        since: When this process took it, in seconds since 1970.
        generation: Which token.
        backing_off: Seconds for which no request is sent to WeChat.
        failure: Why, and what to do.
        errcode: WeChat's error code, if that is why.
        advice: What to do about that, in both languages.
        fetches_today: Fetches of the whole fleet today (China's day), if the store counts them.
        forced_today: How many of these with the forced mode.
        rejections: Fetches in a row after a rejection that cured nothing.
        refreshed_by: Which process refreshes it at this moment.
        mirrors: Where else it is written, and whether that works.
        marks: What happened to it while this process looked on.
    """

    appid: str
    app: str | None
    kind: str
    host: str
    state: str
    expires_in: float | None
    renews_in: float | None
    since: float | None
    generation: int
    backing_off: float | None
    failure: str | None
    errcode: int | None = None
    advice: Text | None = None
    fetches_today: int | None = None
    forced_today: int = 0
    rejections: int = 0
    refreshed_by: Process | None = None
    mirrors: list[MirrorStatus] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)

    @property
    def has_token(self) -> bool:
        """Whether callers are given a token."""
        return self.state in GOOD

    @property
    def is_well(self) -> bool:
        """Whether it has one, and nothing asks for a person."""
        return self.has_token and self.failure is None and all(each.problem is None for each in self.mirrors)


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """How a store answers, and what is wrong with it in both languages."""

    health: StoreHealth
    said: Text | None


@dataclass(frozen=True, slots=True)
class PlatformFacts:
    """A platform; its status is not known where its store has not answered."""

    appid: str
    status: PlatformStatus | None


@dataclass(frozen=True, slots=True)
class EventFacts:
    """One event, as a person reads it."""

    at: float
    name: str
    appid: str
    kind: str
    message: str
    errcode: int | None
    rid: str | None
    advice: Text | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """
    Everything that the page shows.

    Attributes:
        now: In seconds since 1970.
        process: This process.
        states: How many tokens are in which state.
        accounts: The tokens, those that need somebody first; of very many only some.
        stores: The stores behind these.
        stores_left_out: How many stores were not asked.
        platforms: The platforms among what is shown.
        pools: The pools among what is shown.
        processes: Who was seen refreshing a token, this process among them, and when last.
        pushes: How many requests the webhooks of this process have answered, by outcome.
        pushed_at: When the last of them came, in seconds since 1970.
        events: The last events, the newest first.
    """

    now: float
    process: Process
    states: dict[str, int]
    accounts: list[AccountFacts]
    stores: list[StoreFacts]
    stores_left_out: int
    platforms: list[PlatformFacts]
    pools: list[PoolStatus]
    processes: dict[Process, float]
    pushes: dict[str, int]
    pushed_at: float | None
    events: list[EventFacts]

    @property
    def count(self) -> int:
        """How many accounts there are."""
        return sum(self.states.values())

    @property
    def with_token(self) -> int:
        """How many of them have a token."""
        return sum(number for state, number in self.states.items() if state in GOOD)

    @property
    def unwell(self) -> int:
        """How many of those that are shown need somebody, although they have a token."""
        return sum(each.has_token and not each.is_well for each in self.accounts)

    def as_json(self) -> dict[str, Any]:
        """The same as plain values, times in ISO 8601 and numbers of a useful length."""
        return {
            "time": iso(self.now),
            "process": _name(self.process),
            "count": self.count,
            "with_token": self.with_token,
            "states": self.states,
            "accounts": [_account(each) for each in self.accounts],
            "stores": [
                asdict(each.health) | {"seconds": round(each.health.seconds, 4), "said": _both(each.said)}
                for each in self.stores
            ],
            "platforms": [_plain(asdict(each)) for each in self.platforms],
            "pools": [asdict(each) for each in self.pools],
            "processes": [{"name": _name(who), "seen": iso(at)} for who, at in self.processes.items()],
            "pushes": self.pushes,
            "pushed_at": None if self.pushed_at is None else iso(self.pushed_at),
            "events": [asdict(each) | {"at": iso(each.at), "advice": _both(each.advice)} for each in self.events],
        }


def iso(time: float) -> str:
    """Write a time as programs read it."""
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="seconds")


def _account(one: AccountFacts) -> dict[str, Any]:
    plain: dict[str, Any] = _plain(asdict(one))
    return plain | {
        "since": None if one.since is None else iso(one.since),
        "advice": _both(one.advice),
        "refreshed_by": None if one.refreshed_by is None else _name(one.refreshed_by),
        "marks": [asdict(each) | {"at": iso(each.at)} for each in one.marks],
    }


def _both(text: Text | None) -> dict[str, str] | None:
    return None if text is None else text._asdict()


def _name(process: Process) -> str:
    return f"process {process[1]} on {process[0]}"


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 1)
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list) else value
