"""
A storm under gunicorn with four workers: what Prometheus scrapes adds up to what WeChat has counted, and alerts fire.

A minute of the test's clock passes between two scrapes. What was scraped is then given to promtool, minute by minute,
with the rules that we ship.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families
from stores.redis_server import RedisServer
from support import debian
from support.prelude import WORKER, SharedClock

from wxmiddleware.simulator import SimulatorServer, WeChat

from .conftest import PATHS
from .server import PATIENCE, Kind, Server

MONITORING = Path(__file__).parents[2] / "examples" / "monitoring"
RULES, CONFIG = MONITORING / "alerts.yml", MONITORING / "gunicorn.conf.py"
WORKERS = 4
GUNICORN = Kind(
    "gunicorn",
    f"gunicorn --bind {{address}} --workers {WORKERS} --config {CONFIG} processes.metrics_app:app",
    WORKERS,
)
TOKEN, STABLE = PATHS["classic"], PATHS["stable"]
# No day of a quota ends in the storm, and what the store is to keep has not ended by its server's own clock.
TOMORROW = float((int(time.time()) // 86_400 + 1) * 86_400)
Series = tuple[str, tuple[tuple[str, str], ...]]


class Storm:
    """The server, the WeChat and the store; and all that was scraped, minute by minute."""

    def __init__(self, server: Server, wechat: WeChat, clock: SharedClock, store: RedisServer, other: str) -> None:
        self.server, self.wechat, self.clock, self.store, self.other = server, wechat, clock, store, other
        self.began = clock()
        self.minutes: list[dict[Series, float]] = []
        self.phases: dict[str, tuple[int, int]] = {}

    def scrape(self) -> dict[Series, float]:
        found = {}
        for family in text_string_to_metric_families(self.server.get("/metrics")):
            for sample in family.samples:
                found[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
        return found

    def total(self, name: str, **labels: str) -> float:
        """The sum of what is scraped now."""
        wanted = labels.items()
        return sum(
            value
            for (each, own), value in self.scrape().items()
            if each == f"wxmiddleware_{name}" and wanted <= set(own)
        )

    def settled(self, name: str, expected: float, **labels: str) -> float:
        """What is scraped, once it is what is expected: what is told of a refresh comes after the answers."""
        deadline = time.monotonic() + PATIENCE
        while (found := self.total(name, **labels)) != expected and time.monotonic() < deadline:
            time.sleep(0.05)
        return found

    def pass_minutes(self, phase: str, minutes: int, *paths: str, steal: tuple[int, ...] = ()) -> Counter[str]:
        """Let each worker serve each path once a minute, and scrape; give what was answered."""
        answers: Counter[str] = Counter()
        begin = len(self.minutes)
        for minute in range(minutes):
            if minute in steal:
                self.wechat.steal(self.wechat.appid, "classic")
            for path in paths:
                answers.update(self.server.visit(path))
            self.settle()
            self.minutes.append(self.scrape())
            self.clock.advance(60)
        self.phases[phase] = begin, len(self.minutes)
        return answers

    def settle(self) -> None:
        """Wait until what was told last is scraped."""
        self.settled("token_fetches_total", self.counted)

    @property
    def counted(self) -> int:
        """The requests that WeChat's endpoint has got."""
        return self.wechat.calls(TOKEN) + self.wechat.calls(STABLE)


@pytest.fixture
def storm(tmp_path: Path) -> Iterator[Storm]:
    with (
        SharedClock.create(tmp_path / "clock", start=TOMORROW) as clock,
        RedisServer(tmp_path, "--appendonly", "yes") as store,
    ):
        wechat = WeChat(clock=clock, overlap=0)
        other = "wx00000000000000b2"
        wechat.add_account(other, "b" * 32)
        (tmp_path / "metrics").mkdir()
        with SimulatorServer(wechat) as simulator:
            env = {
                "WECHAT_APPID": wechat.appid,
                "WECHAT_SECRET": wechat.secret,
                "WECHAT_BASE_URL": simulator.url,
                "WX_TEST_CLOCK": str(clock.path),
                "WX_TEST_STORE": f"{store.url}?socket_timeout=20",
                "WX_TEST_OTHER": other,
                "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "metrics"),
            }
            server = Server(GUNICORN, env)
            try:
                yield Storm(server, wechat, clock, store, other)
            finally:
                server.close()


def play(storm: Storm) -> None:
    """A quiet half hour, thefts, an outage as the token ends, a store that is down, and a secret that is wrong."""
    assert {"0"} == set(storm.pass_minutes("quiet", 30, "/call"))
    assert {"0"} == set(storm.pass_minutes("theft", 12, "/call", steal=(0, 4)))
    assert {"0"} == set(storm.pass_minutes("after", 75, "/call"))
    storm.store.kill()
    assert {"0"} == set(storm.pass_minutes("store down", 6, "/call"))
    storm.store.start()
    assert {"0"} == set(storm.pass_minutes("store back", 10, "/call"))
    fault = storm.wechat.faults.add(TOKEN, "errcode", errcode=-1, times=None)
    storm.pass_minutes("outage", 25, "/call")
    fault.remove()
    assert fault.hits > 3
    for kind in ("status", "lost", "reset"):
        fault = storm.wechat.faults.add(TOKEN, kind, times=None)
        storm.pass_minutes(kind, 3, "/call")
        fault.remove()
        assert fault.hits
    storm.pass_minutes("over", 15, "/call")
    assert {"no token: 40125"} == set(storm.pass_minutes("wrong secret", 12, "/wrong"))


def test_storm(storm: Storm, tmp_path: Path) -> None:
    """Fetches by errcode, healed calls and the day's count are those of WeChat; alerts fire when they should."""
    play(storm)
    wechat, own = storm.wechat, {"appid": storm.wechat.appid}
    entries = [entry for entry in wechat.log if entry.path in (TOKEN, STABLE)]
    faults = Counter(entry.fault for entry in entries)
    lost, kept_out = faults["lost"] + faults["reset"], faults["status"]
    by_code = Counter(entry.errcode for entry in entries if entry.errcode)

    assert len(wechat.log) < 10_000
    assert len(entries) == storm.counted
    assert {-1, 40125} == set(by_code)
    for code, count in by_code.items():
        assert count == storm.settled("token_fetches_total", count, errcode=str(code))
    assert lost == storm.total("token_fetches_total", outcome="ambiguous", errcode="")
    assert kept_out == storm.total("token_fetches_total", outcome="transient", errcode="")
    good = len(entries) - lost - kept_out - by_code.total()
    assert good == storm.total("token_fetches_total", outcome="ok")
    assert wechat.rejections() == storm.settled("rejected_calls_total", wechat.rejections(), outcome="healed")
    assert 0 == storm.total("rejected_calls_total", outcome="not_healed")
    assert storm.counted == storm.total("token_fetch_duration_seconds_count")
    counted = wechat.calls(TOKEN)
    assert counted == storm.total("token_fetches_total", **own)
    # A gateway's 502 has not reached WeChat's quota.
    assert counted - kept_out == storm.settled("token_fetches_today", counted - kept_out, **own)
    assert wechat.calls(STABLE) == storm.total("token_fetches_today", appid=storm.other)
    assert 0 < storm.total("store_operation_duration_seconds_count", outcome="error")

    before = storm.total("token_fetches_total")
    response = requests.get(f"{storm.server.url}/metrics", timeout=PATIENCE)
    killed = response.headers[WORKER]
    assert list((tmp_path / "metrics").glob(f"gauge_live*_{killed}.db"))
    os.kill(int(killed), signal.SIGKILL)
    while list((tmp_path / "metrics").glob(f"gauge_live*_{killed}.db")):
        storm.server.visit("/call")
    assert before == storm.total("token_fetches_total"), "a worker's counts have died with it"
    judge(storm, tmp_path)


FIRING = {
    "quiet": set(),
    "theft": {"WxTokenStolen"},
    "store down": {"WxStoreDown"},
    "outage": {"WxFetchesFail", "WxTokenEnds", "WxNoToken"},
    "wrong secret": {"WxTokenRefused", "WxNoToken"},
}


def judge(storm: Storm, tmp_path: Path) -> None:
    """See which alerts fire in each phase."""
    fired = firing(storm, tmp_path)
    phases = storm.phases.items()
    of_phases = {phase: set().union(*(fired[minute] for minute in range(*ends))) for phase, ends in phases}

    assert {phase: of_phases[phase] & expected for phase, expected in FIRING.items()} == FIRING
    assert set() == of_phases["quiet"] == fired[storm.phases["over"][1] - 1]
    assert FIRING["wrong secret"] == fired[len(storm.minutes) - 1]


def firing(storm: Storm, tmp_path: Path) -> dict[int, set[str]]:
    """Which alerts fire at each minute of what was scraped: promtool is told that none will, and says where it errs."""
    alerts = [line.split()[-1] for line in RULES.read_text().splitlines() if line.strip().startswith("- alert:")]
    minutes = range(len(storm.minutes))
    wrong = [{"alertname": alert, "eval_time": f"{at}m", "exp_alerts": []} for alert in alerts for at in minutes]
    given = {"rule_files": [str(RULES)], "evaluation_interval": "1m"}
    test = {"interval": "1m", "input_series": series(storm), "alert_rule_test": wrong}
    file = tmp_path / "storm.json"
    file.write_text(json.dumps(given | {"tests": [test]}))
    command = [debian.find("promtool", package="prometheus"), "test", "rules", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    found: dict[int, set[str]] = defaultdict(set)
    for alert, at in re.findall(r"alertname: (\w+), time: (\w+)", done.stdout + done.stderr):
        hours, minutes_of_it = (re.search(rf"(\d+){unit}", at) for unit in "hm")
        found[60 * int(hours[1] if hours else 0) + int(minutes_of_it[1] if minutes_of_it else 0)].add(alert)
    assert found, done.stdout + done.stderr
    return found


def series(storm: Storm) -> list[dict[str, str]]:
    """What was scraped, as promtool takes it: time begins at 0."""
    found: dict[str, list[str]] = defaultdict(lambda: ["_"] * len(storm.minutes))
    for number, scraped in enumerate(storm.minutes):
        for (name, labels), value in scraped.items():
            shown = value - storm.began if name.endswith("timestamp_seconds") and value else value
            written = ",".join(f'{key}="{text}"' for key, text in labels)
            found[f"{name}{{{written}}}"][number] = repr(shown)
    return [{"series": key, "values": " ".join(values)} for key, values in found.items()]
