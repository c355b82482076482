"""
The metrics, each with its name in Prometheus and in OpenTelemetry: one table.

Prometheus: base units, the unit at the end of the name, ``_total`` for counters and ``_timestamp_seconds`` for points
in time (https://prometheus.io/docs/practices/naming/). OpenTelemetry: dotted names without a unit, units of UCUM, and
the attributes of its semantic conventions where they have one (https://opentelemetry.io/docs/specs/semconv/).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class Kind(StrEnum):
    """What a metric is."""

    COUNTER = "counter"
    HISTOGRAM = "histogram"
    GAUGE = "gauge"  # what is the case now
    UP_DOWN = "updown"  # a number of things under way


# Seconds. A fetch and a webhook end within 5 s, a caller waits for 10 s by default.
FETCH = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
WAIT = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
STORE = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 6.0)
HANDLER = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 4.5, 10.0, 30.0)
HUB = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


@dataclass(frozen=True, slots=True)
class Metric:
    """
    One metric.

    Attributes:
        otel: Its name in OpenTelemetry.
        prometheus: Its name in Prometheus; without ``_total``, which the client appends.
        kind: What it is.
        unit: In UCUM.
        help: What it says.
        labels: The names of its labels in Prometheus.
        buckets: The bounds of a histogram.
        merge: How the values of several processes of one server become one (prometheus_client's multiprocess mode).
    """

    otel: str
    prometheus: str
    kind: Kind
    unit: str
    help: str
    labels: tuple[str, ...]
    buckets: tuple[float, ...] = ()
    merge: Literal["", "mostrecent", "livemin", "livesum"] = ""


# The labels of Prometheus, as attributes of OpenTelemetry.
ATTRIBUTES = {
    "appid": "wechat.appid",
    "app": "wechat.app",
    "kind": "wechat.token.kind",
    "reason": "wxmiddleware.reason",
    "outcome": "wxmiddleware.outcome",
    "errcode": "wechat.errcode",
    "store": "wxmiddleware.store",
    "operation": "db.operation.name",
    "face": "wxmiddleware.hub.face",
}

_TOKEN = ("appid", "app", "kind")

FETCHES = Metric(
    "wxmiddleware.token.fetches",
    "wxmiddleware_token_fetches",
    Kind.COUNTER,
    "{request}",
    "Requests to the token endpoint.",
    (*_TOKEN, "reason", "outcome", "errcode"),
)
FETCH_DURATION = Metric(
    "wxmiddleware.token.fetch.duration",
    "wxmiddleware_token_fetch_duration_seconds",
    Kind.HISTOGRAM,
    "s",
    "How long a request to the token endpoint took.",
    (*_TOKEN, "outcome"),
    FETCH,
)
WAIT_DURATION = Metric(
    "wxmiddleware.token.wait.duration",
    "wxmiddleware_token_wait_duration_seconds",
    Kind.HISTOGRAM,
    "s",
    "How long callers waited for a token that was not at hand.",
    (*_TOKEN, "outcome"),
    WAIT,
)
REJECTIONS = Metric(
    "wxmiddleware.token.rejections",
    "wxmiddleware_token_rejections",
    Kind.COUNTER,
    "{token}",
    "Tokens in use that an API rejected.",
    _TOKEN,
)
REJECTED_CALLS = Metric(
    "wxmiddleware.rejected_calls",
    "wxmiddleware_rejected_calls",
    Kind.COUNTER,
    "{call}",
    "Calls that were rejected: healed with a newer token, or not.",
    (*_TOKEN, "outcome"),
)
OTHER_SYSTEM = Metric(
    "wxmiddleware.other_system_suspected",
    "wxmiddleware_other_system_suspected",
    Kind.COUNTER,
    "{event}",
    "How often tokens were rejected so young that another system must be fetching.",
    _TOKEN,
)
EXPIRY = Metric(
    "wxmiddleware.token.expiry",
    "wxmiddleware_token_expiry_timestamp_seconds",
    Kind.GAUGE,
    "s",
    "When the token ends, in seconds since 1970.",
    _TOKEN,
    merge="mostrecent",
)
GENERATION = Metric(
    "wxmiddleware.token.generation",
    "wxmiddleware_token_generation",
    Kind.GAUGE,
    "1",
    "The number of the token, which rises with each.",
    _TOKEN,
    merge="mostrecent",
)
BACKOFF_END = Metric(
    "wxmiddleware.backoff.end",
    "wxmiddleware_backoff_end_timestamp_seconds",
    Kind.GAUGE,
    "s",
    "Until when no request is sent after a failure, in seconds since 1970; 0 if requests are sent.",
    _TOKEN,
    merge="mostrecent",
)
FETCHES_TODAY = Metric(
    "wxmiddleware.token.fetches_today",
    "wxmiddleware_token_fetches_today",
    Kind.GAUGE,
    "{request}",
    "Requests to the token endpoint on this day in China, of all processes that share the store.",
    _TOKEN,
    merge="mostrecent",
)
FORCED_TODAY = Metric(
    "wxmiddleware.token.forced_today",
    "wxmiddleware_token_forced_refreshes_today",
    Kind.GAUGE,
    "{request}",
    "How many of them used force_refresh; WeChat allows 20.",
    _TOKEN,
    merge="mostrecent",
)
TICKET_RECEIVED = Metric(
    "wxmiddleware.ticket.received",
    "wxmiddleware_ticket_received_timestamp_seconds",
    Kind.GAUGE,
    "s",
    "When the newest ticket that the process knows was pushed to a platform or a suite, in seconds since 1970.",
    _TOKEN,
    merge="mostrecent",
)
STORE_DURATION = Metric(
    "wxmiddleware.store.operation.duration",
    "wxmiddleware_store_operation_duration_seconds",
    Kind.HISTOGRAM,
    "s",
    "How long calls to the store took.",
    ("store", "operation", "outcome"),
    STORE,
)
STORE_UP = Metric(
    "wxmiddleware.store.up",
    "wxmiddleware_store_up",
    Kind.GAUGE,
    "1",
    "1 if the store can be used, 0 if it fails or hangs.",
    ("store",),
    merge="livemin",
)
PUSHES = Metric(
    "wxmiddleware.webhook.pushes",
    "wxmiddleware_webhook_pushes",
    Kind.COUNTER,
    "{request}",
    "Requests to the webhook.",
    ("outcome",),
)
HANDLER_DURATION = Metric(
    "wxmiddleware.webhook.handler.duration",
    "wxmiddleware_webhook_handler_duration_seconds",
    Kind.HISTOGRAM,
    "s",
    "How long the webhook's handlers took.",
    ("outcome",),
    HANDLER,
)
IN_PROGRESS = Metric(
    "wxmiddleware.webhook.handlers.active",
    "wxmiddleware_webhook_handlers_in_progress",
    Kind.UP_DOWN,
    "{handler}",
    "The webhook's handlers that are at work.",
    (),
    merge="livesum",
)
HUB_DURATION = Metric(
    "wxmiddleware.hub.request.duration",
    "wxmiddleware_hub_request_duration_seconds",
    Kind.HISTOGRAM,
    "s",
    "How long the hub took for a request.",
    ("face", "outcome"),
    HUB,
)

# What is read when somebody looks, of each token and pushed ticket of the process.
OF_TOKENS = (EXPIRY, GENERATION, BACKOFF_END, FETCHES_TODAY, FORCED_TODAY, TICKET_RECEIVED)
METRICS = (
    FETCHES,
    FETCH_DURATION,
    WAIT_DURATION,
    REJECTIONS,
    REJECTED_CALLS,
    OTHER_SYSTEM,
    *OF_TOKENS,
    STORE_DURATION,
    STORE_UP,
    PUSHES,
    HANDLER_DURATION,
    IN_PROGRESS,
    HUB_DURATION,
)
