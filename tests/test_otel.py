"""What OpenTelemetry is told: metrics by its names, a trace for each refresh, and events on the spans of callers."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio
import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from support.background import landed
from support.sources import EndlessSource

from wxmiddleware import Account, Measure, Measurement, Runtime, TokenProvider, with_token
from wxmiddleware._engine.events import measure, meters_of
from wxmiddleware._instrumentation.table import METRICS
from wxmiddleware.exceptions import ConfigurationError
from wxmiddleware.otel import WxmiddlewareInstrumentor
from wxmiddleware.platform import Platform
from wxmiddleware.simulator import SimulatorServer, WeChat
from wxmiddleware.sources import Cause, Failure
from wxmiddleware.stores.memory import MemoryStore

PATIENCE = 20.0


class Exported:
    """What has gone to the exporters, and a tracer of the app's."""

    def __init__(self) -> None:
        self._spans = InMemorySpanExporter()
        self.tracing = TracerProvider()
        self.tracing.add_span_processor(SimpleSpanProcessor(self._spans))
        self._reader = InMemoryMetricReader()
        self.metering = MeterProvider([self._reader])
        self.tracer = self.tracing.get_tracer("app")

    def spans(self, begin: str) -> list[ReadableSpan]:
        landed()
        return [span for span in self._spans.get_finished_spans() if span.name.startswith(begin)]

    def points(self, name: str, **attributes: Any) -> list[Any]:
        landed()
        data = self._reader.get_metrics_data()
        return [
            point
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == f"wxmiddleware.{name}"
            for point in metric.data.data_points
            if attributes.items()
            <= {key.replace(".", "_"): value for key, value in (point.attributes or {}).items()}.items()
        ]


@pytest.fixture
def exported() -> Iterator[Exported]:
    one = Exported()
    instrumentor = WxmiddlewareInstrumentor()
    instrumentor.instrument(tracer_provider=one.tracing, meter_provider=one.metering)
    yield one
    instrumentor.uninstrument()
    one.tracing.shutdown()
    one.metering.shutdown()


class Gated(EndlessSource):
    """Answers when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()

    def fetch(self, account: Account, *, force: bool = False) -> Any:
        assert self.gate.wait(PATIENCE)
        return super().fetch(account, force=force)


class Waiters:
    """Counts who has begun to wait."""

    def __init__(self) -> None:
        self.began = threading.Semaphore(0)

    def __call__(self, event: object) -> None: ...

    def measure(self, measurement: Measurement) -> None:
        if measurement.name is Measure.WAITING:
            self.began.release()


def test_refresh(exported: Exported) -> None:
    """A refresh is a trace of its own, with a child for the request and links to the spans of all who waited."""
    source, waiters = Gated(), Waiters()
    provider = TokenProvider(Account("wxlinks", "secret"), source=source, observers=[waiters])
    callers: list[trace.SpanContext] = []

    def call() -> None:
        with exported.tracer.start_as_current_span("request") as span:
            callers.append(span.get_span_context())
            provider.get_token()

    async def acall() -> None:
        with exported.tracer.start_as_current_span("request") as span:
            callers.append(span.get_span_context())
            await provider.aget_token()

    with ThreadPoolExecutor(3) as pool:
        calls = [pool.submit(call), pool.submit(call), pool.submit(anyio.run, acall)]
        for _ in calls:
            assert waiters.began.acquire(timeout=PATIENCE)
        source.gate.set()
        for each in calls:
            each.result(PATIENCE)
    (refresh,), (fetch,) = exported.spans("refresh"), exported.spans("fetch")
    context = refresh.get_span_context()

    assert ("refresh fake", "fetch fake") == (refresh.name, fetch.name)
    assert refresh.parent is None
    assert context is not None
    assert fetch.parent is not None
    assert context.span_id == fetch.parent.span_id
    assert (trace.SpanKind.INTERNAL, trace.SpanKind.CLIENT) == (refresh.kind, fetch.kind)
    assert {each.span_id for each in callers} == {link.context.span_id for link in refresh.links}
    assert context.trace_id not in {each.trace_id for each in callers}
    assert refresh.start_time is not None
    assert fetch.start_time is not None
    assert fetch.end_time is not None
    assert refresh.end_time is not None
    assert refresh.start_time <= refresh.end_time
    assert fetch.start_time <= fetch.end_time <= refresh.end_time
    assert {
        "wechat.appid": "wxlinks",
        "wechat.token.kind": "fake",
        "wxmiddleware.reason": "first",
        "wxmiddleware.outcome": "ok",
        "wxmiddleware.refresh.waiting": 3,
        "wxmiddleware.token.generation": provider.status().generation,
    } == dict(refresh.attributes or {})
    (observer,) = _ours()
    assert 0 == len(observer._spans._flights)
    assert 3 == sum(event.name == "wxmiddleware.waited" for span in exported.spans("request") for event in span.events)


def test_failure(exported: Exported) -> None:
    """A refresh that fails says with which errcode, and WeChat's id of the request."""
    source = EndlessSource()
    source.answer(
        Failure(Cause.PERMANENT, "The secret s3cret is wrong.", errcode=40125, rid="6475b1c2-0a1b2c3d-4e5f6a7b")
    )
    provider = TokenProvider(Account("wxwrong", "s3cret"), source=source)
    with pytest.raises(Exception, match="wrong"):
        provider.get_token()
    (refresh,), (fetch,) = exported.spans("refresh"), exported.spans("fetch")

    for span in (refresh, fetch):
        attributes = span.attributes or {}
        assert trace.StatusCode.ERROR is span.status.status_code
        assert ("40125", 40125, "permanent") == (
            attributes["error.type"],
            attributes["wechat.errcode"],
            attributes["wxmiddleware.outcome"],
        )
        assert "6475b1c2-0a1b2c3d-4e5f6a7b" == attributes["wechat.rid"]
        assert "s3cret" not in span.to_json()


@pytest.mark.parametrize(("answers", "name"), [([40001, 0], "healed"), ([40001, 40001], "not_healed")])
def test_events_of_a_call(exported: Exported, answers: list[int], name: str) -> None:
    """The caller's own span tells that its call was rejected, and whether it was healed."""
    provider = TokenProvider(Account(f"wxcall{name}", "secret"), source=EndlessSource())

    @with_token(provider)
    def send(access_token: str) -> dict[str, int]:
        return {"errcode": answers.pop(0)}

    with exported.tracer.start_as_current_span("request"):
        send()
    (span,) = exported.spans("request")

    told = [event.name.removeprefix("wxmiddleware.") for event in span.events if event.name != "wxmiddleware.waited"]
    assert ["rejected", name] == told
    codes = [(event.attributes or {}).get("wechat.errcode") for event in span.events if event.name.endswith(name)]
    assert codes == ([40001] if name == "not_healed" else [None])
    assert f"wxcall{name}-T" not in span.to_json()


def test_a_look_at_the_store(exported: Exported) -> None:
    """A look at the store that nobody has waited for makes no span."""
    now = [1000.0]
    store = MemoryStore(clock=lambda: now[0])
    store.shared = True
    runtime = Runtime(clock=lambda: now[0], time=lambda: now[0])
    provider = TokenProvider(Account("wxlook", "secret"), source=EndlessSource(), store=store, runtime=runtime)
    provider.get_token()
    now[0] += 55
    provider.get_token()
    landed()

    assert 2 <= len(exported.points("store.operation.duration"))
    assert 1 == len(exported.spans("refresh"))


def _ours() -> list[Any]:
    """The instrumentor's observer; a page or a metric of another test may still be there, too."""
    return [each for each in meters_of() if hasattr(each, "_spans")]


def test_most_links(exported: Exported) -> None:
    """A herd leaves no more links than the SDK keeps, and says how many there were."""
    meters = meters_of()
    for _ in range(300):
        with exported.tracer.start_as_current_span("request"):
            measure(Measurement(Measure.WAITING, flight=-1), meters)
    measure(Measurement(Measure.REFRESH, flight=-1, kind="fake", reason="first"), meters)
    (refresh,) = exported.spans("refresh")

    assert (128, 300) == (len(refresh.links), (refresh.attributes or {})["wxmiddleware.refresh.waiting"])


def test_forgotten_waiters(exported: Exported) -> None:
    """Who began to wait just when the refresh had ended is not kept for ever."""
    (observer,) = _ours()
    for number in range(5000):
        with exported.tracer.start_as_current_span("request"):
            observer.measure(Measurement(Measure.WAITING, flight=-number))

    assert 1024 == len(observer._spans._flights)


def test_metrics(exported: Exported) -> None:
    """Each metric of the table has a value under its name, its unit and its attributes."""
    now = [1_700_000_000.0]
    runtime = Runtime(clock=lambda: now[0], time=lambda: now[0], random=lambda: 0.0)
    provider = TokenProvider(Account("wxmetrics", "secret"), source=EndlessSource(), runtime=runtime)
    token = provider.get_token()
    now[0] += 60
    provider.get_token(rejected=token)
    landed()

    fetches = exported.points("token.fetches", wechat_appid="wxmetrics")
    assert {"first": 1, "ahead": 0, "expired": 0, "rejected": 1} == {
        str((point.attributes or {})["wxmiddleware.reason"]): point.value for point in fetches
    }
    assert [2] == [point.count for point in exported.points("token.fetch.duration", wechat_appid="wxmetrics")]
    assert [1] == [point.value for point in exported.points("token.rejections", wechat_appid="wxmetrics")]
    assert [now[0] + 7200] == [point.value for point in exported.points("token.expiry", wechat_appid="wxmetrics")]
    assert [2] == [point.value for point in exported.points("token.fetches_today", wechat_appid="wxmetrics")]
    (point,) = exported.points("token.fetch.duration", wechat_appid="wxmetrics")
    assert tuple(next(m for m in METRICS if m.otel.endswith("fetch.duration")).buckets) == point.explicit_bounds


def test_a_clock_that_fails(exported: Exported) -> None:
    """A token whose clock raises hides no other one, and a platform's no other platform's ticket."""
    stopped = False

    def clock() -> float:
        if stopped:
            raise ValueError("mmap closed or invalid")
        return 1000.0

    held: list[TokenProvider] = []  # so that nothing is collected before it is looked at
    for name, runtime in (("broken", Runtime(clock=clock)), ("whole", Runtime())):
        provider = TokenProvider(Account(f"wx{name}", "secret"), source=EndlessSource(), runtime=runtime)
        platform = Platform(Account(f"wx{name}platform", "secret"), store=MemoryStore(), durable=True, runtime=runtime)
        platform.remember_ticket("ticket@@@made-up")
        provider.get_token()
        held += [provider, platform.provider]
    landed()
    stopped = True

    for metric, appid in (("token.expiry", "wxwhole"), ("ticket.received", "wxwholeplatform")):
        assert exported.points(metric, wechat_appid=appid)
        assert not exported.points(metric, wechat_appid=appid.replace("whole", "broken"))
    held.clear()


def test_uninstrument(exported: Exported) -> None:
    """Afterwards nothing is told any more, also of gauges that are read later."""
    provider = TokenProvider(Account("wxafter", "secret"), source=EndlessSource())
    provider.get_token()
    landed()
    assert exported.points("token.expiry", wechat_appid="wxafter")
    WxmiddlewareInstrumentor().uninstrument()
    before = len(exported.spans(""))
    provider.get_token(rejected=provider.get_token())

    assert before == len(exported.spans(""))
    assert [] == exported.points("token.expiry", wechat_appid="wxafter")


def test_hub(exported: Exported) -> None:
    """A hub's requests are counted where its listener is given."""

    class Entry:
        face, result = "native", "ok"

    WxmiddlewareInstrumentor().hub_request(Entry(), 0.01)

    assert [1] == [point.count for point in exported.points("hub.request.duration", wxmiddleware_hub_face="native")]


def test_mistake() -> None:
    """What cannot be right is told at once."""
    with pytest.raises(ConfigurationError, match="max_accounts"):
        WxmiddlewareInstrumentor().instrument(max_accounts="many")
    WxmiddlewareInstrumentor().uninstrument()


APP = """
from opentelemetry import trace
from wxmiddleware import Account, TokenProvider
provider = TokenProvider(Account.from_env())
with trace.get_tracer("app").start_as_current_span("request"):
    token = provider.get_token()
    provider.confirm(provider.get_token(rejected=token))
provider.close()
"""


def test_command(wechat: WeChat, wechat_server: SimulatorServer, tmp_path: Path) -> None:
    """The command ``opentelemetry-instrument`` finds it by its entry point, without a line in the app."""
    app = tmp_path / "app.py"
    app.write_text(textwrap.dedent(APP))
    command = Path(sys.executable).with_name("opentelemetry-instrument")
    exporters = ["--traces_exporter", "console", "--metrics_exporter", "console", "--logs_exporter", "none"]
    done = subprocess.run(
        [str(command), *exporters, sys.executable, str(app)],
        env={
            "PATH": str(command.parent),
            "WECHAT_APPID": wechat.appid,
            "WECHAT_SECRET": wechat.secret,
            "WECHAT_BASE_URL": wechat_server.url,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    spans = [json.loads(text) for text in re.findall(r"^\{\n    \"name\".*?^\}$", done.stdout, re.M | re.S)]
    named = {span["name"]: span for span in spans}

    assert 0 == done.returncode, done.stderr
    assert {"request", "refresh stable", "fetch stable"} <= set(named), done.stdout
    assert named["request"]["context"]["span_id"] in {
        link["context"]["span_id"] for span in spans if span["name"] == "refresh stable" for link in span["links"]
    }
    assert ["wxmiddleware.rejected", "wxmiddleware.healed"] == [
        event["name"] for event in named["request"]["events"] if event["name"] != "wxmiddleware.waited"
    ]
    assert '"name": "wxmiddleware.token.fetches"' in done.stdout
    assert wechat.secret not in done.stdout + done.stderr
    assert str(wechat.current(slot="stable")) not in done.stdout + done.stderr
