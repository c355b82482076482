"""
Gathers what the page says: from this process's memory, and from the stores as far as they answer in time.

Of ten thousand accounts each costs a microsecond or two; only those that are shown are looked at closely.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from .._engine.provider import TokenProvider
from .._rules.models import Failure, Record
from .._rules.policies import china_day, state
from .._runtime import process
from .._runtime.language import Text
from ..health import HasProviders, providers_of
from ..platform import Platform
from ..pool import ProviderPool
from ..suite import Suite
from ._advice import OWNER_LATE, advice_on
from ._facts import GOOD, AccountFacts, EventFacts, Facts, PlatformFacts, Process, StoreFacts
from ._history import History
from ._looks import Looks, Seen, Wanted

if TYPE_CHECKING:
    from .._engine.events import TokenEvent
    from .._engine.mirrors import MirrorStatus
    from .._engine.token import CachedToken, Status
    from ..stores import TokenStore

SHOWN_ACCOUNTS: Final = 100
SHOWN_STORES: Final = 8
_SHOWN_EVENTS: Final = 20
_SHOWN_PROCESSES: Final = 16


def gather(
    now: float,
    sources: Sequence[TokenProvider | HasProviders],
    history: History,
    looks: Looks,
    before: dict[Process, float],
) -> Facts:
    """
    Look at everything once.

    Args:
        now: In seconds since 1970.
        sources: What is shown.
        history: What this process has seen of it.
        looks: The way to the stores.
        before: Processes that were seen refreshing before, and when.
    """
    seen = dict(before)
    live = [each for each in providers_of(sources) if not each.closed]
    ranked = [(_rank(each._own), each.account.appid, number) for number, each in enumerate(live)]
    shown = [live[number] for *_, number in heapq.nsmallest(SHOWN_ACCOUNTS, ranked)]
    platforms = [each for each in sources if isinstance(each, Platform | Suite)]
    wanted = _wanted([each._own for each in shown], platforms)
    asked = dict(zip((id(each.store) for each in wanted), looks.at(wanted[:SHOWN_STORES]), strict=False))
    accounts = [_account(each, history, asked.get(id(each._own.store)), seen, now) for each in shown]
    us = _process(process.name())
    seen[us] = now
    whose = {(each.account.appid, each.account._app() or None, each._own.source.kind) for each in live}
    pushes, pushed_at = history.pushes()
    return Facts(
        now=now,
        process=us,
        states=_counted(live),
        accounts=accounts,
        stores=[StoreFacts(each.health, each.said) for each in asked.values()],
        stores_left_out=max(0, len(wanted) - SHOWN_STORES),
        platforms=[_platform(each, asked) for each in platforms],
        pools=[each.status() for each in sources if isinstance(each, ProviderPool)],
        processes=_last(seen),
        pushes=pushes,
        pushed_at=pushed_at,
        events=[_event(each) for each in history.events(whose, _SHOWN_EVENTS)],
    )


def _rank(own: CachedToken) -> int:
    """Those without a token come first, then those about which WeChat has complained."""
    now, cooldown = own.runtime.clock(), own.cooldown
    if state(own.snapshot, now) not in GOOD:
        return 0
    return 1 if cooldown is not None and now < cooldown.until else 2


def _counted(live: Iterable[TokenProvider]) -> dict[str, int]:
    counted: dict[str, int] = {}
    for each in live:
        found = state(each._own.snapshot, each._own.runtime.clock()).value
        counted[found] = counted.get(found, 0) + 1
    return counted


def _wanted(shown: Iterable[CachedToken], platforms: Iterable[Platform | Suite]) -> list[Wanted]:
    wanted: dict[int, Wanted] = {}

    def of(store: TokenStore) -> Wanted:
        return wanted.setdefault(id(store), Wanted(store))

    for platform in platforms:
        of(platform.provider._own.store).platforms.append(platform)
    for own in shown:
        of(own.store).links.append(own.link)
    return list(wanted.values())


def _account(
    provider: TokenProvider, history: History, looked: Seen | None, seen: dict[Process, float], now: float
) -> AccountFacts:
    own, app = provider._own, provider.account._app() or None
    status, snapshot, cooldown = own.status(), own.snapshot, own.cooldown
    failure = cooldown.failure if cooldown is not None and status.backing_off is not None else None
    record = None if looked is None else looked.records.get(own.key)
    return AccountFacts(
        appid=status.appid,
        app=app,
        kind=status.kind,
        host=status.host,
        state=status.state,
        expires_in=status.expires_in,
        renews_in=status.renews_in,
        since=now - (own.runtime.clock() - snapshot.received_at) if snapshot.value else None,
        generation=status.generation,
        backing_off=status.backing_off,
        failure=status.failure,
        errcode=None if failure is None else failure.errcode,
        advice=_advice(status, failure),
        mirrors=_mirrors(own),
        marks=history.marks((status.appid, app, status.kind)),
        **_of_record(record, now, seen, own.runtime.clock()),
    )


def _advice(status: Status, failure: Failure | None) -> Text | None:
    if failure is not None:
        return advice_on(status.kind, failure.cause, failure.errcode, failure.errmsg)
    return None if status.failure is None else OWNER_LATE


def _mirrors(own: CachedToken) -> list[MirrorStatus]:
    """Those of all providers of this token: the one that is shown need not be the one that has them."""
    providers = [found for each in own.listeners if isinstance(found := each(), TokenProvider)]
    return list({mirror.name: mirror for each in providers for mirror in each.mirrors()}.values())


def _of_record(record: Record | None, now: float, seen: dict[Process, float], clock: float) -> dict[str, Any]:
    """What the fleet knows, beyond this process."""
    if record is None:
        return {}
    today, lease = china_day(now), record.lease
    by = None if lease is None or lease.until <= clock else _process(lease.owner)
    if by is not None:
        seen[by] = now
    return {
        "fetches_today": record.fetched if record.fetched_day == today else 0,
        "forced_today": record.forced if record.forced_day == today else 0,
        "rejections": record.rejections,
        "refreshed_by": by,
    }


def _platform(platform: Platform | Suite, asked: dict[int, Seen]) -> PlatformFacts:
    looked, appid = asked.get(id(platform.provider._own.store)), platform.account.appid
    return PlatformFacts(appid, None if looked is None else looked.platforms.get(appid))


def _process(owner: str) -> Process:
    host, number, *_ = [*owner.split("/"), "", ""]
    return host, number


def _last(seen: dict[Process, float]) -> dict[Process, float]:
    """The processes that were seen last; the others are forgotten."""
    return dict(sorted(seen.items(), key=lambda pair: -pair[1])[:_SHOWN_PROCESSES])


def _event(event: TokenEvent) -> EventFacts:
    advice = advice_on(event.kind, event.cause, event.errcode) if event.cause is not None else None
    return EventFacts(
        event.at, event.name.value, event.appid, event.kind, event.message, event.errcode, event.rid, advice
    )
