"""wrk, which asks for one thing over and over, on each connection as soon as the last answer is there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field

PERCENTILES = ("p50", "p99", "p99.9")

_REPORT = """
done = function(summary, latency, requests)
  local errors = summary.errors
  print(string.format("FIGURES %d %d %d %d %d %d", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"""


@dataclass(frozen=True)
class Request:
    """What is asked for."""

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""


@dataclass(frozen=True)
class Figures:
    """How it went: the rate is a second's, the percentiles are milliseconds."""

    requests: int
    rate: float
    percentiles: list[float]
    errors: int


def is_installed() -> bool:
    """Whether it is there."""
    return shutil.which("wrk") is not None


def ask(request: Request, *, connections: int, seconds: int) -> Figures:
    """Ask for so long."""
    # Text of JSON is text of Lua, as long as it is ASCII without control characters.
    lines = [
        f"wrk.method, wrk.body = {json.dumps(request.method)}, {json.dumps(request.body) if request.body else 'nil'}"
    ]
    lines += [f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}" for name, value in request.headers.items()]
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write("\n".join([*lines, _REPORT]))
        script.flush()
        ran = subprocess.run(
            ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", script.name, request.url],
            capture_output=True,
            text=True,
            check=True,
        )
    found = re.search(r"FIGURES (.*)", ran.stdout)
    assert found is not None, ran.stdout
    number, duration, *percentiles, errors = map(int, found[1].split())
    return Figures(number, number / duration * 1e6, [each / 1000 for each in percentiles], errors)
