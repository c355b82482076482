"""The benchmarks run; what they measure is for people to read, and no test."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.debian import find
from support.program import environment

ROOT = Path(__file__).parents[1]


def measured(part: str, figures: Path) -> dict[str, dict[str, Any]]:
    command = [sys.executable, "-m", "benchmarks", "--quick", "--only", part, "--json", str(figures)]
    ran = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return {table["name"]: table for table in json.loads(figures.read_text())["tables"]}


def test_hot_path(tmp_path: Path) -> None:
    """A quick run measures all there is on the hot path, and peers that are not installed are no obstacle."""
    tables = measured("hot-path", tmp_path / "figures.json")

    assert list(tables) == ["hot-path", "hot-path-peers", "hot-path-async-peers", "hot-path-auth"]
    assert {row[1] for row in tables["hot-path"]["rows"]} >= {"ours", "by hand", "no-op", "bare function"}
    assert {row[0] for row in tables["hot-path-peers"]["rows"]} >= {"wxmiddleware", "wechatpy", "WeRoBot", "dict cache"}
    assert {row[0] for row in tables["hot-path-async-peers"]["rows"]} >= {"wxmiddleware", "dict cache"}
    assert all(row[2] > 0 for row in tables["hot-path"]["rows"])


@pytest.mark.servers
@pytest.mark.processes
def test_hub(tmp_path: Path) -> None:
    """A quick run asks the hub, nginx and the upstream in turn. No token request is one to the store."""
    find("nginx", package="nginx-light")
    find("wrk")
    find("redis-server")
    tables = measured("hub", tmp_path / "figures.json")

    assert list(tables) == ["hub", "hub-store"]
    rows = [dict(zip(tables["hub"]["columns"], row)) for row in tables["hub"]["rows"]]
    assert {row["what"] for row in rows} == {"a token", "GET", "POST"}
    assert {row["who"] for row in rows} >= {"plain", "through nginx", "/v1/tokens", "the hub, with a key"}
    assert all(row["requests/s"] > 0 and row["CPU each, µs"] > 0 for row in rows)
    # The engine itself may look at the store meanwhile.
    assert all(commands < asked / 4 for *_, asked, commands in tables["hub-store"]["rows"])


def test_hub_without_its_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nginx and wrk are not installed, it says so and measures nothing."""
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    (table,) = importlib.import_module("benchmarks.suites.hub").run(quick=True)

    assert table.rows == []
    assert table.notes[-1] == "Not measured: nginx and wrk are not installed."
