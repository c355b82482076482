"""The benchmarks run; what they measure is for people to read, and no test."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from support.program import environment

ROOT = Path(__file__).parents[1]


def test_hot_path(tmp_path: Path) -> None:
    """A quick run measures all there is on the hot path, and peers that are not installed are no obstacle."""
    figures = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks", "--quick", "--only", "hot-path", "--json", str(figures)]
    ran = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr

    tables = {table["name"]: table for table in json.loads(figures.read_text())["tables"]}
    assert list(tables) == ["hot-path", "hot-path-peers", "hot-path-async-peers", "hot-path-auth"]
    assert {row[1] for row in tables["hot-path"]["rows"]} >= {"ours", "by hand", "no-op", "bare function"}
    assert {row[0] for row in tables["hot-path-peers"]["rows"]} >= {"wxmiddleware", "wechatpy", "WeRoBot", "dict cache"}
    assert {row[0] for row in tables["hot-path-async-peers"]["rows"]} >= {"wxmiddleware", "dict cache"}
    assert all(row[2] > 0 for row in tables["hot-path"]["rows"])
