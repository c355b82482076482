"""A hub's requests are counted where its listener is given."""

from __future__ import annotations

from prometheus_client import CollectorRegistry
from starlette.testclient import TestClient

from wxmiddleware.hub import Hub
from wxmiddleware.prometheus import instrument, uninstrument

from .conftest import SECRET, World


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
        counts = {
            (sample.labels["face"], sample.labels["outcome"]): sample.value
            for family in registry.collect()
            for sample in family.samples
            if sample.name == "wxmiddleware_hub_request_duration_seconds_count"
        }

        assert {("wechat", "ok"): 1, ("wechat", "refused"): 1} == counts
    finally:
        uninstrument(registry)
