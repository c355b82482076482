"""What Prometheus scrapes of a process: names by the conventions, numbers that are right, and not too many of them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from support import debian
from support.background import landed
from support.sources import EndlessSource

from wxmiddleware import (
    Account,
    ConfigurationError,
    EventType,
    Measure,
    Measurement,
    ProviderPool,
    Runtime,
    TokenEvent,
    TokenProvider,
    TokenUnavailable,
    WeComAccount,
)
from wxmiddleware._instrumentation.table import METRICS, OF_TOKENS, Kind
from wxmiddleware.platform import Platform
from wxmiddleware.prometheus import WxCollector, instrument, uninstrument
from wxmiddleware.sources import Cause, Failure
from wxmiddleware.stores.jsonfile import JSONFileStore
from wxmiddleware.stores.memory import MemoryStore
from wxmiddleware.suite import Suite, SuiteAccount

NOW = 1_700_000_000.0
Labels = dict[str, str]


class Scraped:
    """A registry of the test's own."""

    def __init__(self, **options: Any) -> None:
        self.registry = CollectorRegistry()
        self.collector = instrument(self.registry, **options)
        self.now = [NOW]

    def value(self, name: str, **labels: str) -> float | None:
        landed()
        return self.registry.get_sample_value(f"wxmiddleware_{name}", labels)

    def sum(self, name: str, **labels: str) -> float:
        """Of all series that have these labels."""
        landed()
        return sum(
            sample.value
            for family in self.registry.collect()
            for sample in family.samples
            if sample.name == f"wxmiddleware_{name}" and labels.items() <= sample.labels.items()
        )

    def text(self) -> str:
        landed()
        return generate_latest(self.registry).decode()

    def provider(self, account: Account, *answers: Any, **options: Any) -> TokenProvider:
        def now() -> float:
            return self.now[0]

        source = options.pop("source", None) or EndlessSource()
        source.answer(*answers)
        runtime = Runtime(clock=now, time=now, random=lambda: 0.0, sleep=lambda _: None)
        return TokenProvider(account, source=source, runtime=runtime, **options)


@pytest.fixture
def scraped() -> Iterator[Scraped]:
    one = Scraped()
    yield one
    uninstrument(one.registry)


def whose(appid: str, app: str = "", kind: str = "fake") -> Labels:
    return {"appid": appid, "app": app, "kind": kind}


class TestTable:
    @pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.prometheus)
    def test_names(self, metric: Any) -> None:
        """Names follow both communities' conventions."""
        assert re.fullmatch(r"wxmiddleware(\.[a-z_]+)+", metric.otel)
        assert re.fullmatch(r"wxmiddleware(_[a-z]+)+", metric.prometheus)
        assert not metric.prometheus.endswith("_total")
        assert (metric.unit == "s") == metric.prometheus.endswith("_seconds")
        assert metric.help.endswith(".")
        assert (metric.kind is Kind.HISTOGRAM) == bool(metric.buckets)
        assert (metric.kind in (Kind.GAUGE, Kind.UP_DOWN)) == bool(metric.merge)
        assert list(metric.buckets) == sorted(set(metric.buckets))

    def test_once(self) -> None:
        """No name stands there twice."""
        assert len({metric.otel for metric in METRICS}) == len(METRICS) == len({m.prometheus for m in METRICS})
        assert set(OF_TOKENS) <= set(METRICS)

    @pytest.mark.servers
    def test_lint(self, scraped: Scraped) -> None:
        """Prometheus's own tool finds nothing to say."""
        provider = scraped.provider(Account("wxlint", "secret"))
        provider.get_token()
        promtool = debian.find("promtool", package="prometheus")
        done = subprocess.run(
            [promtool, "check", "metrics"],
            input=scraped.text(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

        assert (0, "") == (done.returncode, done.stdout + done.stderr)


class TestTickets:
    def test_of_a_suite(self, scraped: Scraped, tmp_path: Path) -> None:
        """When a suite's ticket came is told, also where two objects are one suite; before the first, nothing is."""
        runtime = Runtime(clock=lambda: scraped.now[0], time=lambda: scraped.now[0])
        store = JSONFileStore(tmp_path / "tokens.json", clock=runtime.clock)
        suites = [Suite(SuiteAccount("ww5d0f", "secret"), store=store, runtime=runtime) for _ in range(2)]
        of = whose("ww5d0f", kind="suite_ticket")
        assert scraped.value("ticket_received_timestamp_seconds", **of) is None
        suites[0].remember_ticket("tk-1")
        came = scraped.now[0]
        scraped.now[0] += 1300
        assert "late" == suites[1].status().ticket

        assert came == scraped.value("ticket_received_timestamp_seconds", **of)
        mine = [line for line in scraped.text().splitlines() if "ticket_received" in line and '"ww5d0f"' in line]
        assert 1 == len(mine)


class TestTokens:
    def test_a_life(self, scraped: Scraped) -> None:
        """A fetch, a theft and what follows are counted, and the gauges say what is the case when one looks."""
        provider = scraped.provider(Account("wxlife", "secret"))
        token = provider.get_token()
        of = whose("wxlife")
        assert NOW + 7200 == scraped.value("token_expiry_timestamp_seconds", **of)
        scraped.now[0] += 60
        provider.confirm(provider.get_token(rejected=token))
        provider.give_up()

        counts = {"outcome": "ok", "errcode": ""}
        assert 1 == scraped.value("token_fetches_total", **of, reason="first", **counts)
        assert 1 == scraped.value("token_fetches_total", **of, reason="rejected", **counts)
        assert 2 == scraped.value("token_fetch_duration_seconds_count", **of, outcome="ok")
        assert 1 == scraped.value("token_rejections_total", **of)
        assert 1 == scraped.value("rejected_calls_total", **of, outcome="healed")
        assert 1 == scraped.value("rejected_calls_total", **of, outcome="not_healed")
        assert NOW + 7260 == scraped.value("token_expiry_timestamp_seconds", **of)
        assert provider.status().generation == scraped.value("token_generation", **of)
        assert 0 == scraped.value("backoff_end_timestamp_seconds", **of)
        assert 2 == scraped.value("token_fetches_today", **of)
        assert 0 == scraped.value("token_forced_refreshes_today", **of)
        scraped.now[0] += 86_400
        assert 0 == scraped.value("token_fetches_today", **of)
        assert NOW + 7260 == scraped.value("token_expiry_timestamp_seconds", **of)

    @pytest.mark.parametrize(("errcode", "label"), [(40125, "40125"), (-1, "-1"), (4711, "other"), (None, "")])
    def test_failures(self, scraped: Scraped, errcode: int | None, label: str) -> None:
        """A failure is counted by its kind and by its errcode, if that is a known one; the pause has an end."""
        provider = scraped.provider(
            Account(f"wxfails{label}", "secret"), Failure(Cause.PERMANENT, "No.", errcode=errcode)
        )
        with pytest.raises(Exception, match=r"No\."):
            provider.get_token()
        of = whose(f"wxfails{label}")

        assert 1 == scraped.value("token_fetches_total", **of, reason="first", outcome="permanent", errcode=label)
        assert NOW + 60 == scraped.value("backoff_end_timestamp_seconds", **of)
        assert None is scraped.value("token_expiry_timestamp_seconds", **of)
        provider.retry_now()
        assert 0 == scraped.value("backoff_end_timestamp_seconds", **of)

    def test_apps_of_a_corp(self, scraped: Scraped) -> None:
        """Two apps of a corp are told apart."""
        for agent in (1, 2):
            account = WeComAccount("wwcorp", f"secret{agent}", agentid=agent)
            scraped.provider(account, source=EndlessSource(kind="wecom")).get_token()

        assert 1 == scraped.value("token_fetches_today", **whose("wwcorp", "1", "wecom"))
        assert 1 == scraped.sum("token_fetches_total", appid="wwcorp", app="2")

    def test_two_caches_of_one_token(self, scraped: Scraped) -> None:
        """Of a token that the process has twice, the newer one is shown: a series stands there once."""
        account = Account("wxtwice", "secret")
        providers = [scraped.provider(account, store=MemoryStore(clock=lambda: scraped.now[0])) for _ in range(2)]
        for provider in providers:
            provider.get_token()
            scraped.now[0] += 60

        assert NOW + 7260 == scraped.value("token_expiry_timestamp_seconds", **whose("wxtwice"))
        assert 1 == scraped.text().count('wxmiddleware_token_generation{app="",appid="wxtwice"')

    def test_pool_and_platform(self, scraped: Scraped, tmp_path: Path) -> None:
        """Whatever makes the providers, they are counted without another word."""
        pool = ProviderPool(lambda appid: scraped.provider(Account(appid, "secret")))
        pool.get("wxpool").get_token()
        platform = Platform(Account("wxplatform", "secret"), store=JSONFileStore(tmp_path / "tokens.json"))
        with pytest.raises(TokenUnavailable, match="ticket"):
            platform.provider.get_token()

        assert 1 == scraped.value("token_fetches_today", **whose("wxpool"))
        assert 1 == scraped.value(
            "token_wait_duration_seconds_count", outcome="error", **whose("wxplatform", kind="component")
        )


class TestStores:
    def test_down_and_back(self, scraped: Scraped) -> None:
        """A store is up when it has answered, down when it has failed, and up when it is back."""
        store = MemoryStore(clock=lambda: scraped.now[0])
        store.shared = True
        provider = scraped.provider(Account("wxstore", "secret"), store=store)
        provider.get_token()
        name = repr(store)
        up = [scraped.value("store_up", store=name)]
        load = store.load

        def fail(key: str) -> Any:
            raise OSError

        store.load = fail  # type: ignore[method-assign]
        for _ in range(4):
            scraped.now[0] += 60
            provider.get_token()
            landed()
        up.append(scraped.value("store_up", store=name))
        store.load = load  # type: ignore[method-assign]
        for _ in range(2):
            scraped.now[0] += 60
            provider.get_token()
            landed()
        up.append(scraped.value("store_up", store=name))

        assert [1, 0, 1] == up
        assert 2 <= scraped.sum("store_operation_duration_seconds_count", operation="save", outcome="ok")
        assert 3 <= scraped.sum("store_operation_duration_seconds_count", operation="load", outcome="error")


class TestBounds:
    def test_accounts(self) -> None:
        """Beyond so many accounts, counts are those of others, and gauges are none: they cannot be added."""
        scraped = Scraped(max_accounts=2)
        try:
            providers = [scraped.provider(Account(f"wxmany{number}", "secret")) for number in range(5)]
            for provider in providers:
                provider.get_token()
            landed()

            assert 3 == scraped.sum("token_fetches_total", appid="other")
            assert 5 == scraped.sum("token_fetches_total")
            assert 2 == scraped.sum("token_fetches_today")
        finally:
            uninstrument(scraped.registry)

    def test_all(self) -> None:
        """Who asks for it has all of them."""
        scraped = Scraped(max_accounts=None)
        try:
            providers = [scraped.provider(Account(f"wxall{number}", "secret")) for number in range(120)]
            for provider in providers:
                provider.get_token()

            assert 120 == sum(scraped.sum("token_fetches_today", appid=f"wxall{number}") for number in range(120))
            assert 0 == scraped.sum("token_fetches_total", appid="other")
        finally:
            uninstrument(scraped.registry)

    def test_words_of_a_hub(self, scraped: Scraped) -> None:
        """Requests of a hub are counted by their face and their result, of which there can be so many."""

        class Entry:
            face = "gateway"

            def __init__(self, result: str) -> None:
                self.result = result

        for number in range(50):
            scraped.collector.hub_request(Entry(f"result {number}"), 0.2)

        assert 1 == scraped.value("hub_request_duration_seconds_count", face="gateway", outcome="result 0")
        assert 20 == scraped.value("hub_request_duration_seconds_count", face="gateway", outcome="other")


def test_webhooks(scraped: Scraped) -> None:
    """Pushes by their outcome; handlers under way and how long they took."""
    told = scraped.collector
    for measurement in (
        Measurement(Measure.PUSH, outcome="refused"),
        Measurement(Measure.HANDLING),
        Measurement(Measure.HANDLING),
        Measurement(Measure.HANDLED, outcome="error", seconds=0.2),
    ):
        told.measure(measurement)

    assert 1 == scraped.value("webhook_pushes_total", outcome="refused")
    assert 1 == scraped.value("webhook_handlers_in_progress")
    assert 1 == scraped.value("webhook_handler_duration_seconds_count", outcome="error")


def test_other_system(scraped: Scraped) -> None:
    """A suspicion is counted."""
    scraped.collector(TokenEvent(EventType.OTHER_SYSTEM, "wx1", "classic", "Another system."))

    assert 1 == scraped.value("other_system_suspected_total", **whose("wx1", kind="classic"))


class TestInstrument:
    def test_twice(self, scraped: Scraped) -> None:
        """Doing it twice counts once; taken away, nothing is written any more."""
        assert scraped.collector is instrument(scraped.registry)
        scraped.provider(Account("wxonce", "secret")).get_token()

        assert 1 == scraped.sum("token_fetches_total", appid="wxonce")
        uninstrument(scraped.registry)
        uninstrument(scraped.registry)
        assert 0 == scraped.sum("token_fetches_total")

    @pytest.mark.parametrize("arguments", [{"registry": "x"}, {"max_accounts": -1}, {"max_accounts": "x"}])
    def test_mistakes(self, arguments: Any) -> None:
        """What cannot be right is told at once, and leaves nothing behind."""
        registry = CollectorRegistry()
        with pytest.raises(ConfigurationError):
            instrument(**{"registry": registry, **arguments})

        assert b"" == generate_latest(registry)

    def test_a_name_is_taken(self) -> None:
        """Two in one registry are a mistake that prometheus_client finds."""
        registry = CollectorRegistry()
        registry.register(WxCollector())

        with pytest.raises(ValueError, match="Duplicated"):
            instrument(registry)
        uninstrument(registry)
