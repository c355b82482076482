"""Writes what observers are told into metrics, whichever library these are of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Protocol

from .._engine.events import EventType, TokenEvent
from .._engine.measures import Measure, Measurement
from .._engine.registry import registry
from .._engine.token import CachedToken, Status
from .._pushed import received
from .._rules.decisions import Reason
from .._rules.policies import follows
from .._runtime import fork
from . import table
from .labels import OTHER, Bounded, errcode_label
from .table import Metric
from .turns import Turns

Labels = dict[str, str]
_MOST_STORES = 100
_MOST_RESULTS = 30  # of the hub: it has a dozen


class Instruments(Protocol):
    """The metrics of a library."""

    def add(self, metric: Metric, labels: Labels, value: float = 1) -> None:
        """Count."""

    def record(self, metric: Metric, labels: Labels, value: float) -> None:
        """Put a value into a histogram."""

    def set(self, metric: Metric, labels: Labels, value: float) -> None:
        """Set a gauge."""


class HubRequest(Protocol):
    """What the hub says of a request."""

    @property
    def face(self) -> str: ...
    @property
    def result(self) -> str: ...


class Recorder:
    """
    An observer that writes into metrics.

    Args:
        instruments: Where it writes.
        max_accounts: How many accounts have labels of their own; the counts of later ones are those of ``other``.
    """

    def __init__(self, instruments: Instruments, max_accounts: int | None) -> None:
        self._instruments = instruments
        self._accounts = Bounded(max_accounts)
        self._stores = Bounded(_MOST_STORES)
        self._results = Bounded(_MOST_RESULTS)
        self._turns = Turns()
        fork.begin(self)

    def after_fork(self) -> None:
        """A child has met no store and no token itself."""
        self._tried: set[str] = set()
        self._begun: set[tuple[str, ...]] = set()

    def __call__(self, event: TokenEvent) -> None:
        """Take an event."""
        tell = _EVENTS.get(event.name)
        if tell is not None:
            self._turns.take(partial(tell, self, event))

    def measure(self, measurement: Measurement) -> None:
        """Take a measurement."""
        tell = _MEASURES.get(measurement.name)
        if tell is not None:
            self._turns.take(partial(tell, self, measurement))

    def hub_request(self, request: HubRequest, seconds: float) -> None:
        """Take a request of the hub's, as one of its listeners: ``Hub(..., listeners=[...])``."""
        labels = {"face": request.face, "outcome": self._results.label(request.result)}
        self._turns.take(partial(self._instruments.record, table.HUB_DURATION, labels, seconds))

    def gauges(self) -> Iterator[tuple[Metric, Labels, float]]:
        """What is the case with each token of this process now."""
        found: dict[tuple[str, str, str], tuple[CachedToken, Status]] = {}
        for token in registry.tokens():
            status, account = _status(token), token.account
            if status is None:
                continue
            which = account.appid, account._app(), token.source.kind
            # Two caches of one token: by another store, or with other options.
            if which not in found or follows(status.generation, found[which][1].generation):
                found[which] = token, status
        for (appid, app, kind), (token, status) in found.items():
            labels = self._whose(appid, app, kind)
            if labels["appid"] != OTHER:
                yield from _gauges(labels, status, token.runtime.time())
        yield from self._tickets()

    def _tickets(self) -> Iterator[tuple[Metric, Labels, float]]:
        for appid, kind, received_at in received():
            if self._accounts.knows(f"{appid}/"):  # by the token that is fetched with it
                yield table.TICKET_RECEIVED, {"appid": appid, "app": "", "kind": kind}, received_at

    def _whose(self, appid: str, app: str | None, kind: str) -> Labels:
        shown = self._accounts.label(f"{appid}/{app or ''}")
        if shown == OTHER:
            return {"appid": OTHER, "app": "", "kind": kind}
        return {"appid": appid, "app": app or "", "kind": kind}

    def _of(self, told: TokenEvent | Measurement, **more: str) -> Labels:
        return self._whose(told.appid, told.app, told.kind) | more

    def _rejected(self, event: TokenEvent) -> None:
        self._instruments.add(table.REJECTIONS, self._of(event))

    def _other_system(self, event: TokenEvent) -> None:
        self._instruments.add(table.OTHER_SYSTEM, self._of(event))

    def _call(self, event: TokenEvent) -> None:
        self._instruments.add(table.REJECTED_CALLS, self._of(event, outcome=event.name.value))

    def _store_up(self, event: TokenEvent) -> None:
        store = event.store or ""
        self._tried.add(store)
        up = event.name is EventType.STORE_BACK
        self._instruments.set(table.STORE_UP, {"store": self._stores.label(store)}, float(up))

    def _request(self, told: Measurement) -> None:
        code, reason = errcode_label(told.errcode), told.reason or ""
        labels = self._of(told, reason=reason, outcome=told.outcome, errcode=code)
        self._instruments.add(table.FETCHES, labels)
        self._record(table.FETCH_DURATION, self._of(told, outcome=told.outcome), told)

    def _refresh(self, told: Measurement) -> None:
        labels = self._of(told)
        self._begin(labels)
        if told.status is not None and labels["appid"] != OTHER:
            for metric, whose, value in _gauges(labels, told.status, told.at):
                self._instruments.set(metric, whose, value)
        for metric, whose, value in self._tickets():
            self._instruments.set(metric, whose, value)

    def _begin(self, labels: Labels) -> None:
        """Begin at 0 what alerts look at: of a counter that appears with its first event no increase is seen."""
        which = tuple(labels.values())
        if which in self._begun:
            return
        self._begun.add(which)
        self._instruments.add(table.REJECTIONS, labels, 0)
        self._instruments.add(table.OTHER_SYSTEM, labels, 0)
        for event in (EventType.HEALED, EventType.NOT_HEALED):
            self._instruments.add(table.REJECTED_CALLS, {**labels, "outcome": event.value}, 0)
        for reason in (Reason.FIRST, Reason.AHEAD, Reason.EXPIRED, Reason.REJECTED):
            of_fetches = {"reason": reason.value, "outcome": "ok", "errcode": ""}
            self._instruments.add(table.FETCHES, labels | of_fetches, 0)

    def _wait(self, told: Measurement) -> None:
        self._record(table.WAIT_DURATION, self._of(told, outcome=told.outcome), told)

    def _store_call(self, told: Measurement) -> None:
        store = told.store or ""
        shown = self._stores.label(store)
        labels = {"store": shown, "operation": told.operation or "", "outcome": told.outcome}
        self._record(table.STORE_DURATION, labels, told)
        if told.outcome == "ok" and store not in self._tried:
            self._tried.add(store)
            self._instruments.set(table.STORE_UP, {"store": shown}, 1.0)

    def _push(self, told: Measurement) -> None:
        self._instruments.add(table.PUSHES, {"outcome": told.outcome})

    def _handling(self, told: Measurement) -> None:
        self._instruments.add(table.IN_PROGRESS, {})

    def _handled(self, told: Measurement) -> None:
        self._instruments.add(table.IN_PROGRESS, {}, -1)
        self._record(table.HANDLER_DURATION, {"outcome": told.outcome}, told)

    def _record(self, metric: Metric, labels: Labels, told: Measurement) -> None:
        if told.seconds is not None:
            self._instruments.record(metric, labels, told.seconds)


def _status(token: CachedToken) -> Status | None:
    with suppress(Exception):  # a clock that its user passed in; the others are shown all the same
        return token.status()
    return None


def _gauges(labels: Labels, status: Status, now: float) -> Iterator[tuple[Metric, Labels, float]]:
    if status.expires_at is not None:
        yield table.EXPIRY, labels, status.expires_at
        yield table.GENERATION, labels, float(status.generation)
    yield table.BACKOFF_END, labels, 0.0 if status.backing_off is None else now + status.backing_off
    yield table.FETCHES_TODAY, labels, float(status.fetches_today)
    yield table.FORCED_TODAY, labels, float(status.forced_today)


_EVENTS: Mapping[EventType, Callable[[Recorder, TokenEvent], None]] = {
    EventType.REJECTED: Recorder._rejected,
    EventType.OTHER_SYSTEM: Recorder._other_system,
    EventType.HEALED: Recorder._call,
    EventType.NOT_HEALED: Recorder._call,
    EventType.STORE_FAILED: Recorder._store_up,
    EventType.STORE_BACK: Recorder._store_up,
}
_MEASURES: Mapping[Measure, Callable[[Recorder, Measurement], None]] = {
    Measure.REQUEST: Recorder._request,
    Measure.REFRESH: Recorder._refresh,
    Measure.WAIT: Recorder._wait,
    Measure.STORE_CALL: Recorder._store_call,
    Measure.PUSH: Recorder._push,
    Measure.HANDLING: Recorder._handling,
    Measure.HANDLED: Recorder._handled,
}
