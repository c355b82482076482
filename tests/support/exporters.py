"""All that a program may export about itself: spans, metrics, envelopes of Sentry, log lines at DEBUG."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import sentry_sdk
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.instrumentation.urllib3 import URLLib3Instrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry, generate_latest
from sentry_sdk.integrations.httpx import HttpxIntegration
from sentry_sdk.integrations.logging import LoggingIntegration
from sentry_sdk.integrations.stdlib import StdlibIntegration
from sentry_sdk.transport import Transport
from support.background import landed
from support.leaks import everything_logged

from wxmiddleware import masking
from wxmiddleware.otel import WxmiddlewareInstrumentor
from wxmiddleware.prometheus import instrument, uninstrument


class Kept(Transport):
    """Keeps what would go to Sentry."""

    def __init__(self) -> None:
        super().__init__()
        self.envelopes: list[bytes] = []

    def capture_envelope(self, envelope: Any) -> None:
        self.envelopes.append(envelope.serialize())


class Exported:
    """What has been exported so far."""

    def __init__(
        self,
        spans: InMemorySpanExporter,
        sentry: Kept,
        logged: io.StringIO,
        metrics: InMemoryMetricReader,
        registry: CollectorRegistry,
    ) -> None:
        self._spans, self._sentry, self._logged = spans, sentry, logged
        self._metrics, self._registry = metrics, registry

    def spans(self) -> str:
        """The spans of HTTP requests and whatever else; ours are in `traces`."""
        return "\n".join(span.to_json() for span in self._finished() if not _is_ours(span))

    def traces(self) -> str:
        """The spans that this package makes itself, of refreshes."""
        return "\n".join(span.to_json() for span in self._finished() if _is_ours(span))

    def metrics(self) -> str:
        """What Prometheus scrapes, and OpenTelemetry's readers get."""
        landed()
        data = self._metrics.get_metrics_data()
        return generate_latest(self._registry).decode() + ("" if data is None else data.to_json())

    def _finished(self) -> tuple[ReadableSpan, ...]:
        landed()
        return self._spans.get_finished_spans()

    def sentry(self) -> str:
        return "\n".join(one.decode() for one in self._sentry.envelopes)

    def frames(self) -> list[dict[str, Any]]:
        """The frames of the errors that went to Sentry, with their local variables."""
        events = [json.loads(line) for line in self.sentry().splitlines() if '"exception"' in line]
        errors = [error for event in events for error in event["exception"]["values"]]
        return [frame for error in errors for frame in error.get("stacktrace", {}).get("frames", ())]

    def everything(self) -> str:
        return "\n".join([self.spans(), self.traces(), self.metrics(), self.sentry(), self._logged.getvalue()])


def _is_ours(span: ReadableSpan) -> bool:
    return span.instrumentation_scope is not None and span.instrumentation_scope.name == "wxmiddleware"


@contextmanager
def exporting(masked: bool) -> Iterator[Exported]:
    """
    Export everything, from within a transaction; at the end nothing is patched any more that could export.

    Args:
        masked: Whether what `wxmiddleware.masking` offers is put in place.
    """
    spans, sentry = InMemorySpanExporter(), Kept()
    tracing = TracerProvider()
    tracing.add_span_processor(SimpleSpanProcessor(masking.mask_exporter(spans) if masked else spans))
    metrics, registry = InMemoryMetricReader(), CollectorRegistry()
    metering = MeterProvider([metrics])
    instrumentors: list[Any] = [
        URLLib3Instrumentor(),
        RequestsInstrumentor(),
        HTTPXClientInstrumentor(),
        WxmiddlewareInstrumentor(),
    ]
    hooks: dict[str, Any] = {
        "before_send": masking.before_send,
        "before_breadcrumb": masking.before_breadcrumb,
        "before_send_transaction": masking.before_send_transaction,
    }
    with everything_logged(*([masking.LogFilter()] if masked else ())) as logged:
        for each in instrumentors:
            each.instrument(tracer_provider=tracing, meter_provider=metering)
        instrument(registry)
        sentry_sdk.init(
            dsn="https://key@sentry.invalid/1",
            transport=sentry,
            traces_sample_rate=1.0,
            include_local_variables=True,
            default_integrations=False,
            integrations=[StdlibIntegration(), HttpxIntegration(), LoggingIntegration(level=logging.DEBUG)],
            **(hooks if masked else {}),
        )
        try:
            with sentry_sdk.isolation_scope(), sentry_sdk.start_transaction(name="work"):
                yield Exported(spans, sentry, logged, metrics, registry)
        finally:
            sentry_sdk.get_client().close()
            sentry_sdk.get_global_scope().set_client(None)
            for each in instrumentors:
                each.uninstrument()
            uninstrument(registry)
            tracing.shutdown()
            metering.shutdown()


def reported(call: Callable[[], object]) -> None:
    """Call, and report what is raised as a program does: to the log and to Sentry."""
    try:
        call()
    except Exception as error:
        logging.getLogger("program").exception("It failed.")
        sentry_sdk.capture_exception(error)
    else:
        sentry_sdk.capture_message("It went well.")
