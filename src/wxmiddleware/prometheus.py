"""
Metrics for Prometheus, of all providers, pools, platforms and webhooks of the process::

    from wxmiddleware.prometheus import instrument

    instrument()    # once in each process, before or after the providers are made; before a fork is fine

They are in prometheus_client's own registry, so what shows that shows them: `start_http_server`, `make_wsgi_app`,
an exporter of your framework's. Under several processes of one server set ``PROMETHEUS_MULTIPROC_DIR``, as
prometheus_client says; each metric knows how its values are merged. docs/metrics.md has the table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

from ._engine.events import TokenEvent, observe, unobserve
from ._engine.measures import Measurement
from ._instrumentation.labels import checked_most
from ._instrumentation.recorder import HubRequest, Labels, Recorder
from ._instrumentation.table import METRICS, OF_TOKENS, Kind, Metric
from ._runtime.needs import needs
from .exceptions import ConfigurationError

with needs("prometheus_client", extra="prometheus"):
    import prometheus_client
    from prometheus_client.core import GaugeMetricFamily
    from prometheus_client.metrics import MetricWrapperBase
    from prometheus_client.registry import REGISTRY, Collector, CollectorRegistry

__all__ = ["WxCollector", "instrument", "uninstrument"]

_collectors: WeakKeyDictionary[CollectorRegistry, WxCollector] = WeakKeyDictionary()


def instrument(registry: CollectorRegistry = REGISTRY, *, max_accounts: int | None = 100) -> WxCollector:
    """
    Put the metrics into a registry, and write into them from now on. Doing so twice changes nothing.

    Args:
        registry: Of prometheus_client; by default its own.
        max_accounts: How many accounts have labels of their own, as each costs some fifty time series. The counts of
            those that the process meets later are one, under ``appid="other"``; they have no gauges. ``None`` names
            all.

    Returns:
        What was registered; as ``Hub(..., listeners=[it.hub_request])`` it counts a hub's requests, too.

    Raises:
        ConfigurationError: An argument is wrong.
    """
    if not isinstance(registry, CollectorRegistry):
        raise ConfigurationError(
            f"registry must be a CollectorRegistry of prometheus_client, not a {type(registry).__name__}."
        )
    collector = _collectors.get(registry)
    if collector is None:
        collector = WxCollector(max_accounts=max_accounts)
        registry.register(collector)
        _collectors[registry] = collector
        observe(collector)
    return collector


def uninstrument(registry: CollectorRegistry = REGISTRY) -> None:
    """Take the metrics out of a registry again, and write into them no more; nothing happens if they are not there."""
    collector = _collectors.pop(registry, None)
    if collector is not None:
        unobserve(collector)
        registry.unregister(collector)


class WxCollector(Collector):
    """
    The metrics, and the observer that writes into them. `instrument` makes it, registers it and has it told.

    Args:
        max_accounts: As for `instrument`.
    """

    def __init__(self, *, max_accounts: int | None = 100) -> None:
        self._metrics = _Metrics()
        self._recorder = Recorder(self._metrics, checked_most(max_accounts))

    def __call__(self, event: TokenEvent) -> None:
        """Take an event."""
        self._recorder(event)

    def measure(self, measurement: Measurement) -> None:
        """Take a measurement."""
        self._recorder.measure(measurement)

    def hub_request(self, request: HubRequest, seconds: float) -> None:
        """Take a request of a hub's, as one of its listeners."""
        self._recorder.hub_request(request, seconds)

    def collect(self) -> Iterable[prometheus_client.Metric]:
        """Give what is the case now."""
        now = {metric: _family(metric) for metric in OF_TOKENS}
        for metric, labels, value in self._recorder.gauges():
            now[metric].add_metric([labels[name] for name in metric.labels], value)
        return [*self._metrics.collect(), *now.values()]

    def describe(self) -> Iterable[prometheus_client.Metric]:
        """Give the names, so that nobody else takes one."""
        return [*self._metrics.collect(), *map(_family, OF_TOKENS)]


def _family(metric: Metric) -> GaugeMetricFamily:
    return GaugeMetricFamily(metric.prometheus, metric.help, labels=metric.labels)


class _Metrics:
    """The table as prometheus_client's metrics."""

    def __init__(self) -> None:
        self._all: Mapping[Metric, Any] = {metric: _made(metric) for metric in METRICS}

    def add(self, metric: Metric, labels: Labels, value: float = 1) -> None:
        self._labelled(metric, labels).inc(value)

    def record(self, metric: Metric, labels: Labels, value: float) -> None:
        self._labelled(metric, labels).observe(value)

    def set(self, metric: Metric, labels: Labels, value: float) -> None:
        self._labelled(metric, labels).set(value)

    def collect(self) -> list[prometheus_client.Metric]:
        """All but those that are read when somebody looks; what is set of these is for other processes to read."""
        return [family for metric, made in self._all.items() if metric not in OF_TOKENS for family in made.collect()]

    def _labelled(self, metric: Metric, labels: Labels) -> Any:
        made = self._all[metric]
        return made.labels(**labels) if metric.labels else made


def _made(metric: Metric) -> MetricWrapperBase:
    options: dict[str, Any] = {"labelnames": metric.labels, "registry": None}
    match metric.kind:
        case Kind.COUNTER:
            return prometheus_client.Counter(metric.prometheus, metric.help, **options)
        case Kind.HISTOGRAM:
            return prometheus_client.Histogram(metric.prometheus, metric.help, buckets=metric.buckets, **options)
        case _:
            assert metric.merge
            return prometheus_client.Gauge(metric.prometheus, metric.help, multiprocess_mode=metric.merge, **options)
