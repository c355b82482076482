"""
Metrics and traces for OpenTelemetry, of all providers, pools, platforms and webhooks of the process::

    opentelemetry-instrument python app.py       # finds this by itself

    from wxmiddleware.otel import WxmiddlewareInstrumentor
    WxmiddlewareInstrumentor().instrument()      # in code, after the SDK was set up

The metrics are those of `wxmiddleware.prometheus`, under OpenTelemetry's names: docs/metrics.md has the table.

A refresh is a trace of its own, as many callers may wait for it: a span with a child for each request to the token
endpoint, and with links to the spans of the callers that waited. The caller's own span has events: that it waited, that
its call was rejected, and healed or not. Neither URLs nor tokens are in any of them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from cachetools import LRUCache

from ._engine.events import EventType, TokenEvent, observe, unobserve
from ._engine.measures import Measure, Measurement
from ._instrumentation.labels import checked_most
from ._instrumentation.recorder import HubRequest, Labels, Recorder
from ._instrumentation.table import ATTRIBUTES, METRICS, OF_TOKENS, Kind, Metric
from ._rules.decisions import Reason
from ._runtime import fork
from ._runtime.needs import needs

with needs("opentelemetry", extra="otel"):
    from opentelemetry import metrics, trace
    from opentelemetry.context import Context
    from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]

__all__ = ["WxmiddlewareInstrumentor"]

_NAME: Final = "wxmiddleware"
_MOST_LINKS = 128  # as many as the SDK keeps by default
_MOST_FLIGHTS = 1024  # that callers wait for at once
_NS = 1_000_000_000
_EMPTY = Context()


class WxmiddlewareInstrumentor(BaseInstrumentor):  # type: ignore[misc]  # which is not annotated
    """
    Writes metrics and traces by OpenTelemetry's API. ``instrument()`` begins and ``uninstrument()`` ends it.

    ``instrument`` takes ``tracer_provider`` and ``meter_provider``, the global ones by default, and ``max_accounts``:
    how many accounts have attributes of their own in metrics, 100 by default; see `wxmiddleware.prometheus.instrument`.
    """

    _observer: _Observer | None = None

    def instrumentation_dependencies(self) -> Collection[str]:
        """What must be installed for it: nothing that is not."""
        return ()

    def hub_request(self, request: HubRequest, seconds: float) -> None:
        """Take a request of a hub's, as one of its listeners: ``Hub(..., listeners=[instrumentor.hub_request])``."""
        if self._observer is not None:
            self._observer.recorder.hub_request(request, seconds)

    def _instrument(self, **options: Any) -> None:
        most = checked_most(options.get("max_accounts", 100))
        meter = metrics.get_meter(_NAME, _version(), options.get("meter_provider"))
        tracer = trace.get_tracer(_NAME, _version(), options.get("tracer_provider"))
        self._observer = _Observer(_Instruments(meter), tracer, most)
        observe(self._observer)

    def _uninstrument(self, **_: Any) -> None:
        if self._observer is not None:
            unobserve(self._observer)
            self._observer.instruments.end()
            self._observer = None


class _Observer:
    """Writes into metrics and into traces."""

    def __init__(self, instruments: _Instruments, tracer: trace.Tracer, max_accounts: int | None) -> None:
        self.instruments = instruments
        self.recorder = Recorder(instruments, max_accounts)
        self._spans = _Spans(tracer)
        instruments.begin(self.recorder.gauges)

    def __call__(self, event: TokenEvent) -> None:
        self.recorder(event)
        self._spans.event(event)

    def measure(self, measurement: Measurement) -> None:
        self.recorder.measure(measurement)
        self._spans.measure(measurement)


class _Instruments:
    """The table as OpenTelemetry's instruments."""

    def __init__(self, meter: metrics.Meter) -> None:
        self._gauges: Callable[[], Iterable[tuple[Metric, Labels, float]]] = tuple
        self._all = {metric: self._made(meter, metric) for metric in METRICS}

    def begin(self, gauges: Callable[[], Iterable[tuple[Metric, Labels, float]]]) -> None:
        """Say what is the case with each token when one looks."""
        self._gauges = gauges

    def end(self) -> None:
        """Say nothing any more: a meter keeps its instruments for ever."""
        self._gauges = tuple

    def add(self, metric: Metric, labels: Labels, value: float = 1) -> None:
        self._all[metric].add(value, _attributes(labels))

    def record(self, metric: Metric, labels: Labels, value: float) -> None:
        self._all[metric].record(value, _attributes(labels))

    def set(self, metric: Metric, labels: Labels, value: float) -> None:
        if metric not in OF_TOKENS:
            self._all[metric].set(value, _attributes(labels))

    def _made(self, meter: metrics.Meter, metric: Metric) -> Any:
        said = {"name": metric.otel, "unit": metric.unit, "description": metric.help}
        match metric.kind:
            case Kind.COUNTER:
                return meter.create_counter(**said)
            case Kind.HISTOGRAM:
                return meter.create_histogram(**said, explicit_bucket_boundaries_advisory=metric.buckets)
            case Kind.UP_DOWN:
                return meter.create_up_down_counter(**said)
            case Kind.GAUGE if metric in OF_TOKENS:
                return meter.create_observable_gauge(**said, callbacks=[self._reader(metric)])
            case Kind.GAUGE:
                return meter.create_gauge(**said)

    def _reader(self, metric: Metric) -> Callable[[metrics.CallbackOptions], Iterator[metrics.Observation]]:
        def read(_: metrics.CallbackOptions) -> Iterator[metrics.Observation]:
            for which, labels, value in self._gauges():
                if which is metric:
                    yield metrics.Observation(value, _attributes(labels))

        return read


@dataclass(slots=True)
class _Flight:
    """What is known of a refresh under way: who waits, and what was requested."""

    waiting: list[trace.SpanContext] = field(default_factory=list)
    requests: list[Measurement] = field(default_factory=list)


class _Spans:
    """Spans of refreshes, and events on the spans of their callers."""

    def __init__(self, tracer: trace.Tracer) -> None:
        self._tracer = tracer
        fork.begin(self)

    def after_fork(self) -> None:
        """The parent's refreshes are not here."""
        self._lock = threading.RLock()
        # One may be waited for just when it has ended, and then nobody takes it out: so the oldest goes.
        self._flights: LRUCache[int, _Flight] = LRUCache(_MOST_FLIGHTS)

    def event(self, event: TokenEvent) -> None:
        """Put an event on the span of the caller, in whose thread it is told."""
        if event.name in (EventType.HEALED, EventType.NOT_HEALED):
            _on_span(event.name.value, _token(event) | _code(event))

    def measure(self, told: Measurement) -> None:
        """Take a measurement: on the caller's span, or for the refresh's."""
        match told.name:
            case Measure.REJECTION:
                _on_span("rejected", _token(told))
            case Measure.WAITING:
                context = trace.get_current_span().get_span_context()
                if context.is_valid:
                    with self._lock:
                        self._of(told).waiting.append(context)
            case Measure.WAIT:
                outcome = {ATTRIBUTES["outcome"]: told.outcome, "wxmiddleware.wait.duration": told.seconds or 0.0}
                _on_span("waited", _token(told) | outcome)
            case Measure.REQUEST:
                with self._lock:
                    self._of(told).requests.append(told)
            case Measure.REFRESH:
                with self._lock:
                    flight = self._flights.pop(told.flight or 0, _Flight())
                self._refreshed(told, flight)

    def _of(self, told: Measurement) -> _Flight:
        flight: _Flight = self._flights.setdefault(told.flight or 0, _Flight())
        return flight

    def _refreshed(self, told: Measurement, flight: _Flight) -> None:
        """Make the spans of a refresh that has ended. A look at the store that nobody has waited for has none."""
        if told.reason == Reason.REVALIDATE.value and not flight.waiting and not flight.requests:
            return
        end = time.time_ns()
        links = [trace.Link(context) for context in flight.waiting[:_MOST_LINKS]]
        attributes = _token(told) | {"wxmiddleware.refresh.waiting": len(flight.waiting)}
        if told.generation is not None:
            attributes["wxmiddleware.token.generation"] = told.generation
        span = self._tracer.start_span(
            f"refresh {told.kind}",
            context=_EMPTY,
            links=links,
            attributes=attributes | _result(told),
            start_time=end - int((told.seconds or 0.0) * _NS),
        )
        inside = trace.set_span_in_context(span, _EMPTY)
        for request in flight.requests:
            self._requested(request, inside, end)
        _finish(span, told, end)

    def _requested(self, told: Measurement, inside: Any, latest: int) -> None:
        end = min(int(told.at * _NS), latest)
        span = self._tracer.start_span(
            f"fetch {told.kind}",
            context=inside,
            kind=trace.SpanKind.CLIENT,
            attributes=_token(told) | {"server.address": told.host or ""} | _result(told),
            start_time=end - int((told.seconds or 0.0) * _NS),
        )
        _finish(span, told, end)


def _finish(span: trace.Span, told: Measurement, end: int) -> None:
    if told.outcome != "ok":
        span.set_status(trace.Status(trace.StatusCode.ERROR))
    span.end(end)


def _on_span(name: str, attributes: dict[str, Any]) -> None:
    trace.get_current_span().add_event(f"{_NAME}.{name}", attributes)


def _token(told: TokenEvent | Measurement) -> dict[str, Any]:
    labels = {"appid": told.appid, "app": told.app or "", "kind": told.kind, "reason": told.reason or ""}
    return _attributes(labels)


def _result(told: Measurement) -> dict[str, Any]:
    """What came of it, as attributes: ``error.type`` as the semantic conventions have it."""
    found: dict[str, Any] = {ATTRIBUTES["outcome"]: told.outcome}
    if told.outcome != "ok":
        found["error.type"] = told.outcome if told.errcode is None else str(told.errcode)
    return found | _code(told)


def _code(told: TokenEvent | Measurement) -> dict[str, Any]:
    found: dict[str, Any] = {ATTRIBUTES["errcode"]: told.errcode, "wechat.rid": told.rid}
    return {name: value for name, value in found.items() if value is not None}


def _attributes(labels: Labels) -> dict[str, Any]:
    return {ATTRIBUTES[name]: value for name, value in labels.items() if value}


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # not at import: it reads files

    try:
        return version(_NAME)
    except PackageNotFoundError:  # its files only, not installed
        return ""
