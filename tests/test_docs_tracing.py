"""The code of docs/tracing.md runs, and what it sets up shows no token."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import sentry_sdk
import structlog
from opentelemetry import trace
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.instrumentation.urllib3 import URLLib3Instrumentor
from opentelemetry.sdk.trace.export import ConsoleSpanExporter
from support.api_server import serving
from support.exporters import Kept
from test_docs import python

TOKEN = "66_first-first-first"
BLOCKS = python("tracing.md")


def block_of(word: str) -> str:
    return next(block for block in BLOCKS if word in block)


def run(block: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "page"}
    exec(compile(block, "tracing.md", "exec"), names)
    return names


@pytest.fixture
def url() -> Iterator[str]:
    with serving() as api:
        yield api.url


def call(url: str) -> Any:
    return requests.get(f"{url}/cgi-bin/user/info", {"access_token": TOKEN}, timeout=5)


def fail(url: str) -> None:
    access_token = TOKEN
    raise ValueError(f"{url}?access_token={access_token}")


def test_every_block_is_tried_here() -> None:
    """There is a test for each."""
    words = ("mask_data", "LogFilter", "structlog.configure", "TracerProvider", "sentry_sdk.init")

    assert list(map(block_of, words)) == BLOCKS


def test_first_block() -> None:
    """It asserts by itself."""
    run(block_of("mask_data"))


def test_logging() -> None:
    """The handler writes no token."""
    handler = run(block_of("LogFilter"))["handler"]
    text = io.StringIO()
    handler.setStream(text)
    try:
        fail("http://h/x")
    except ValueError:
        logging.getLogger("any.program").exception("GET %s", f"/x?access_token={TOKEN}")
    finally:
        logging.getLogger().removeHandler(handler)

    assert "GET /x?access_token=***" in text.getvalue()
    assert TOKEN not in text.getvalue()


def test_structlog(capsys: pytest.CaptureFixture[str]) -> None:
    """The line has none, with an error or with an object in it."""
    run(block_of("structlog.configure"))
    try:
        fail("http://h/x")
    except ValueError:
        structlog.get_logger().exception("failed", access_token=TOKEN, params={"access_token": TOKEN})
    finally:
        structlog.reset_defaults()
    out = capsys.readouterr().out

    assert '"access_token": "***"' in out
    assert "ValueError" in out
    assert TOKEN not in out


def test_structlog_before_errors_are_formatted() -> None:
    """An error that another processor is going to format is masked, too."""
    from wxmiddleware import masking

    error = ValueError(f"access_token={TOKEN}")
    for given in (error, (ValueError, error, None)):
        masking.structlog_processor(None, "error", {"exc_info": given})

    assert "access_token=***" == str(error)


def test_opentelemetry(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exporter gets no token, of a call or of an error with its stack."""
    text = io.StringIO()
    monkeypatch.setattr(ConsoleSpanExporter.__init__, "__defaults__", (None, text, lambda span: span.to_json()))
    monkeypatch.setattr(trace, "set_tracer_provider", lambda provider: None)  # it can be set once in a process
    tracing = run(block_of("TracerProvider"))["tracing"]
    instrumentors: list[Any] = [URLLib3Instrumentor(), RequestsInstrumentor()]
    for each in instrumentors:
        each.instrument(tracer_provider=tracing)
    try:
        call(url)
        with pytest.raises(ValueError), tracing.get_tracer("x").start_as_current_span(f"GET /x?access_token={TOKEN}"):
            fail(url)
        with pytest.raises(requests.ConnectionError):
            call("http://127.0.0.1:9")
    finally:
        for each in instrumentors:
            each.uninstrument()
        tracing.shutdown()

    assert "/cgi-bin/user/info?access_token=***" in text.getvalue()
    assert "exception.stacktrace" in text.getvalue()
    assert "GET /x?access_token=***" in text.getvalue()
    assert TOKEN not in text.getvalue()


def test_sentry(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Events, breadcrumbs, local variables, transactions and logs have none."""
    kept, init = Kept(), sentry_sdk.init
    options: dict[str, Any] = {"traces_sample_rate": 1.0, "enable_logs": True, "default_integrations": False}
    stdlib = __import__("sentry_sdk.integrations.stdlib", fromlist=["x"]).StdlibIntegration()

    def with_transport(**given: Any) -> None:
        init(transport=kept, integrations=[stdlib], **options, **given)

    monkeypatch.setattr(sentry_sdk, "init", with_transport)
    run(block_of("sentry_sdk.init"))
    try:
        with sentry_sdk.isolation_scope():
            with sentry_sdk.start_transaction(name="work"):
                call(url)
                try:
                    fail(url)
                except ValueError as error:
                    sentry_sdk.capture_exception(error)
            sentry_sdk.logger.error(f"GET /x?access_token={TOKEN}")
            sentry_sdk.flush()
    finally:
        sentry_sdk.get_client().close()
        sentry_sdk.get_global_scope().set_client(None)
    sent = b"\n".join(kept.envelopes).decode()

    assert all(word in sent for word in ('"type":"transaction"', '"breadcrumbs"', "ValueError", "/x?access_token=***"))
    assert TOKEN not in sent
