"""A hub's requests are counted where its listener is given, and by `wxmiddleware serve` where its file says so."""

from __future__ import annotations

import re
import signal
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as plain_text
from starlette.testclient import TestClient
from support.program import PATIENCE

from wxmiddleware.hub import Hub
from wxmiddleware.prometheus import instrument, uninstrument
from wxmiddleware.simulator import SimulatorServer

from .conftest import SECRET, World
from .served import Served, command, until


def requests(families: Iterable[Metric]) -> dict[tuple[str, str], float]:
    """How many requests the hub has counted, by face and outcome."""
    return {
        (sample.labels["face"], sample.labels["outcome"]): sample.value
        for family in families
        for sample in family.samples
        if sample.name == "wxmiddleware_hub_request_duration_seconds_count"
    }


def test_requests(world: World) -> None:
    """Each by its face and its result; health probes are not."""
    registry = CollectorRegistry()
    collector = instrument(registry)
    try:
        callers = list(world.hub.settings.callers)
        hub = Hub([world.provider], callers=callers, secrets=[SECRET], listeners=[collector.hub_request])
        with TestClient(hub) as world.http:
            assert "access_token" in world.token("sdk")
            world.keys["sdk"] = "nobody"
            assert 40125 == world.token("sdk")["errcode"]
            world.http.get("/livez")

        assert {("wechat", "ok"): 1, ("wechat", "refused"): 1} == requests(registry.collect())
    finally:
        uninstrument(registry)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with SimulatorServer() as server:
        made = Served(tmp_path, server)
        made.write(f'metrics = ["127.0.0.1:0", "unix:{tmp_path}/metrics.sock"]\n', *made.parts)
        yield made
        made.close()


def scraped(served: Served) -> httpx.Client:
    found = re.search(r"metrics are at (127\.0\.0\.1:\d+)", served.said)
    assert found is not None
    return httpx.Client(base_url=f"http://{found[1]}", timeout=PATIENCE)


@pytest.mark.processes
def test_scrape(served: Served) -> None:
    """What Prometheus reads adds up to the audit, in both of its formats; a healed call is there."""
    served.start()
    bearer = {"Authorization": f"Bearer {served.key}"}
    served.token()
    served.token("nobody")
    served.http.get(f"/{served.wechat.appid}/cgi-bin/getcallbackip", headers=bearer)
    served.wechat.revoke(served.wechat.appid)
    served.http.get(f"/{served.wechat.appid}/cgi-bin/getcallbackip", headers=bearer)
    served.http.get("/livez")
    until(lambda: len(served.audit) == 4)
    audit = Counter((line["face"], line["result"]) for line in served.audit)
    unix = httpx.Client(transport=httpx.HTTPTransport(uds=str(served.room / "metrics.sock")), base_url="http://hub")
    with scraped(served) as tcp, unix:
        until(lambda: requests(plain_text(tcp.get("/metrics").text)) == audit)
        newer = unix.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})

    assert {("wechat", "ok"): 1, ("wechat", "refused"): 1, ("gateway", "ok"): 2} == audit
    assert newer.headers["content-type"].startswith("application/openmetrics-text")
    assert audit == requests(open_metrics(newer.text))
    assert 'outcome="healed"} 1.0' in newer.text
    for secret in (served.key, served.wechat.secret, str(served.wechat.current(slot="stable"))):
        assert secret not in newer.text


@pytest.mark.processes
def test_apart(served: Served) -> None:
    """Metrics are not where callers come, and the hub is not where the metrics are."""
    served.start()
    bearer = {"Authorization": f"Bearer {served.key}"}
    with scraped(served) as http:
        said = [http.get("/livez"), http.get(f"/{served.wechat.appid}/cgi-bin/getcallbackip", headers=bearer)]
        posted = http.post("/metrics")

    assert "wxmiddleware_" not in served.http.get("/metrics", headers=bearer).text
    assert [404, 404, 404] == [each.status_code for each in (*said, posted)]
    assert 0 == served.wechat.calls("/cgi-bin/getcallbackip")


@pytest.mark.processes
def test_until_the_end(served: Served) -> None:
    """As long as a request goes on after SIGTERM the metrics are there; then all is closed."""
    served.start()
    body = b"{}"
    with served.connect() as slow, scraped(served) as http:
        head = f"POST /cgi-bin/stable_token HTTP/1.1\r\nHost: hub\r\nContent-Length: {len(body)}\r\n\r\n"
        slow.sendall(head.encode())
        until(lambda: served.http.get("/livez").status_code == 200)
        served.signal(signal.SIGTERM)
        until(lambda: refused(served))
        assert 200 == http.get("/metrics").status_code
        slow.sendall(body)
        assert b"errcode" in slow.makefile("rb").read()

    assert 0 == served.process.wait(PATIENCE)
    assert not (served.room / "metrics.sock").exists()


def refused(served: Served) -> bool:
    try:
        served.connect().close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.processes
def test_another_address(served: Served) -> None:
    """SIGHUP says that it needs a restart, and the one that there is stays."""
    served.start()
    served.reload('metrics = "127.0.0.1:0"\n', *served.parts)

    assert served.says("Restart it for metrics: they stay as they were.")
    with scraped(served) as http:
        assert 200 == http.get("/metrics").status_code


@pytest.mark.processes
def test_check(served: Served) -> None:
    assert (
        f"metrics  127.0.0.1:0, unix:{served.room}/metrics.sock"
        in command(served, "serve", str(served.path), "--check").stdout
    )
