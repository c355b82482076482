"""The files in examples/monitoring: what rules and dashboard name is there, and Prometheus's own tool takes them."""

from __future__ import annotations

import json
import re
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY, generate_latest
from support import debian
from support.background import landed
from support.sources import EndlessSource
from test_docs import python

from wxmiddleware import Account, Measure, Measurement, TokenEvent, TokenProvider, unobserve
from wxmiddleware._engine.events import meters_of
from wxmiddleware._instrumentation.table import METRICS, Kind
from wxmiddleware.prometheus import uninstrument

FOLDER = Path(__file__).parents[1] / "examples" / "monitoring"
RULES, TESTS, DASHBOARD = FOLDER / "alerts.yml", FOLDER / "alerts_test.yml", FOLDER / "dashboard.json"
PAGES = [FOLDER.parents[1] / "docs" / "metrics.md", FOLDER.parents[1] / "docs" / "zh" / "metrics.md"]
SUFFIXES = {Kind.COUNTER: ("_total",), Kind.HISTOGRAM: ("_bucket", "_count", "_sum"), Kind.GAUGE: ("",)}
NAMES = {metric.prometheus + suffix: metric for metric in METRICS for suffix in SUFFIXES.get(metric.kind, ("",))}
ALERTS = re.findall(r"^ +- alert: (\w+)$", RULES.read_text(), re.MULTILINE)


class Gated(EndlessSource):
    """Answers when somebody waits."""

    gate = threading.Event()

    def fetch(self, account: Account, *, force: bool = False) -> Any:
        assert self.gate.wait(20)
        return super().fetch(account, force=force)


class Opening:
    """Opens the gate when somebody waits."""

    def __call__(self, event: TokenEvent) -> None: ...

    def measure(self, measurement: Measurement) -> None:
        if measurement.name is Measure.WAITING:
            Gated.gate.set()


def expressions() -> list[str]:
    """Those of the dashboard, as Prometheus gets them."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    found = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    return [each.replace("$__rate_interval", "5m").replace("$appid", ".*").replace("$kind", ".*") for each in found]


def promtool(*arguments: str) -> None:
    command = [debian.find("promtool", package="prometheus"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def used(text: str) -> set[str]:
    return set(re.findall(r"\bwxmiddleware_\w+", text))


@pytest.mark.parametrize("text", [RULES.read_text(), TESTS.read_text(), *expressions()], ids=lambda text: text[:40])
def test_names(text: str) -> None:
    """Each metric that is named is one of the table's, and each label one of its own."""
    assert used(text) <= set(NAMES)
    for name, labels in re.findall(r"(wxmiddleware_\w+)\{([^}]*)\}", text):
        own = {*NAMES[name].labels, "le", "instance"}
        assert set(re.findall(r"(\w+)(?:=~|!=|!~|=)", labels)) <= own


def test_everything_is_shown() -> None:
    """The dashboard shows each metric but the token's number, which nobody reads."""
    shown = {NAMES[name].otel for text in expressions() for name in used(text)}

    assert {metric.otel for metric in METRICS} - {"wxmiddleware.token.generation"} == shown


def test_alerts_are_tried_and_explained() -> None:
    """Each alert has a test in which it fires, and a row on both pages."""
    text = TESTS.read_text()
    firing = {
        name for name, then in re.findall(r"alertname: (\w+)\n +eval_time: \w+\n +exp_alerts:(.*)", text) if not then
    }

    assert len(ALERTS) == len(set(ALERTS)) > 10
    assert set(ALERTS) == firing
    for page in PAGES:
        assert set(ALERTS) == set(re.findall(r"^\| `(Wx\w+)` \|", page.read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_table(page: Path) -> None:
    """Both pages have a row for each metric, with both names, the unit and the labels."""
    rows = re.findall(
        r"^\| `(wxmiddleware_\w+)` \| `(wxmiddleware\.[\w.]+)` \| (.*?) \| (.*?) \|", page.read_text(), re.M
    )
    labels = {metric.prometheus: ", ".join(f"`{label}`" for label in metric.labels) for metric in METRICS}
    found: dict[str, Any] = {
        name.removesuffix("_total"): (otel, unit.strip("`"), own.strip()) for name, otel, unit, own in rows
    }

    assert {m.prometheus: (m.otel, m.unit, labels[m.prometheus] or "\N{EN DASH}") for m in METRICS} == found


@pytest.mark.servers
def test_rules() -> None:
    """Prometheus takes the rules, and they fire in theft, outage and the like, and not in a quiet day."""
    promtool("check", "rules", str(RULES))
    promtool("check", "config", "--syntax-only", str(FOLDER / "prometheus.yml"))
    promtool("test", "rules", str(TESTS))


@pytest.mark.servers
def test_dashboard(tmp_path: Path) -> None:
    """Prometheus takes each expression of the dashboard; no two panels have a number or a place in common."""
    rules = [{"record": f"panel:number:{number}", "expr": each} for number, each in enumerate(expressions())]
    file = tmp_path / "dashboard.json"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", str(file))


def test_places() -> None:
    """No two panels have a number or a place in common."""
    board = json.loads(DASHBOARD.read_text())
    places = [panel["gridPos"] for panel in board["panels"]]
    cells = [
        (x, y) for at in places for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])
    ]

    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) == 23
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    assert {"${datasource}"} == {panel["datasource"]["uid"] for panel in board["panels"] if panel["type"] != "row"}
    assert board["schemaVersion"] >= 39


def test_code(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's code runs, and does what it says."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    names: dict[str, Any] = {"__name__": "page"}
    try:
        for block in python("metrics.md"):
            exec(compile(block, "metrics.md", "exec"), names)
        with TokenProvider(Account("wxpage", "secret"), source=Gated(), observers=[Opening()]) as provider:
            provider.get_token()
        landed()

        assert b"wxmiddleware_token_fetches_total" in generate_latest(REGISTRY)
        assert re.search(r"A caller waited \d\.\d{3} s\.", capsys.readouterr().out)
    finally:
        uninstrument()
        names["WxmiddlewareInstrumentor"]().uninstrument()
        for observer in [each for each in meters_of() if type(each).__name__ == "Waits"]:
            unobserve(observer)  # type: ignore[arg-type]
