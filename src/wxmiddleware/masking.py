"""
Keep tokens and secrets out of what your program logs and exports.

WeChat wants its token in the URL, so whatever writes down URLs writes down tokens: HTTP clients' errors, spans of
OpenTelemetry, breadcrumbs of Sentry. These functions put ``***`` in their place. Each is for one kind of exporter::

    handler.addFilter(masking.LogFilter())                                          # logging
    structlog.configure(processors=[..., masking.structlog_processor, JSONRenderer()])
    exporter = masking.mask_exporter(OTLPSpanExporter())                            # OpenTelemetry
    sentry_sdk.init(before_send=masking.before_send, before_breadcrumb=masking.before_breadcrumb,
                    before_send_transaction=masking.before_send_transaction)

What is masked is what stands behind ``access_token``, ``secret``, ``corpsecret``, ``ticket``, ``refresh_token``,
``permanent_code`` and longer names that end so: in a query, in JSON, in the ``repr`` of a dict, in XML, and under such
a key of a dict. A token that stands alone, without a name, cannot be told from other words.

This package's own requests (for tokens, tickets, late replies, WeChat's addresses) are in no span and no breadcrumb,
with or without these functions.
"""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from typing import TYPE_CHECKING, Any, TypeVar

from ._runtime.masking import LogFilter, mask, mask_data, mask_error

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

__all__ = [
    "LogFilter",
    "before_breadcrumb",
    "before_send",
    "before_send_log",
    "before_send_transaction",
    "mask",
    "mask_data",
    "mask_error",
    "mask_exporter",
    "masked_span",
    "structlog_processor",
]

ExporterT = TypeVar("ExporterT")


def before_send(event: Any, hint: Any = None) -> Any:
    """
    Mask an event of Sentry's: messages, errors, local variables, breadcrumbs and spans in it.

    Args:
        event: The event; it comes back, or a masked copy.
        hint: Sentry's own; not looked at.
    """
    return mask_data(event)


def before_send_transaction(event: Any, hint: Any = None) -> Any:
    """Mask a transaction of Sentry's, with its spans."""
    return mask_data(event)


def before_breadcrumb(crumb: Any, hint: Any = None) -> Any:
    """Mask a breadcrumb of Sentry's."""
    return mask_data(crumb)


def before_send_log(log: Any, hint: Any = None) -> Any:
    """Mask a log entry of Sentry's (``enable_logs=True``)."""
    return mask_data(log)


def structlog_processor(logger: Any, method_name: str, event_dict: MutableMapping[str, Any]) -> Any:
    """Mask an event of structlog's. Put it right before the renderer, behind what formats errors and stacks."""
    error = event_dict.get("exc_info")
    for each in error if isinstance(error, tuple) else (error,):
        if isinstance(each, BaseException):
            mask_error(each)
    return mask_data(dict(event_dict))


def masked_span(span: ReadableSpan) -> ReadableSpan:
    """
    Make a copy of a finished OpenTelemetry span, masked: name, attributes, events, links, and what its status says.

    Args:
        span: As a span processor's ``on_end`` or an exporter's ``export`` gets it.
    """
    from opentelemetry.sdk.trace import Event, ReadableSpan
    from opentelemetry.trace import Link, Status

    status = span.status
    return ReadableSpan(
        name=mask(span.name),
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=mask_data(dict(span.attributes or {})),
        events=[Event(mask(one.name), mask_data(dict(one.attributes or {})), one.timestamp) for one in span.events],
        links=[Link(one.context, mask_data(dict(one.attributes or {}))) for one in span.links],
        kind=span.kind,
        instrumentation_scope=span.instrumentation_scope,
        status=Status(status.status_code, mask(status.description) if status.description else status.description),
        start_time=span.start_time,
        end_time=span.end_time,
    )


def mask_exporter(exporter: ExporterT) -> ExporterT:
    """
    Mask what an OpenTelemetry span exporter exports, and give the exporter back.

    ::

        provider.add_span_processor(BatchSpanProcessor(mask_exporter(OTLPSpanExporter())))

    Args:
        exporter: Any with ``export(spans)``. It is changed for good; masking it twice does no harm.
    """
    export = exporter.export  # type: ignore[attr-defined]  # opentelemetry is not there for all of our users

    def masked_export(spans: Iterable[ReadableSpan]) -> Any:
        return export([masked_span(each) for each in spans])

    exporter.export = masked_export  # type: ignore[attr-defined]
    return exporter
