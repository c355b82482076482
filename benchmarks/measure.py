"""Times that can be compared on a busy machine, and counts that repeat."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

Loop = Callable[[int], object]

_TOTALS = re.compile(r"^(?:totals|summary): (\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Times:
    """Nanoseconds per call: the median of the rounds, and how far the middle half of them lies apart."""

    median: float
    spread: float


def take_turns(loops: Mapping[str, Loop], *, number: int, rounds: int) -> dict[str, list[float]]:
    """Nanoseconds per call in each round. Each loop runs once in every round, so a busy machine slows all of them."""
    taken: dict[str, list[float]] = {name: [] for name in loops}
    for loop in loops.values():
        loop(number // 10 + 1)
    for _ in range(rounds):
        for name, loop in loops.items():
            begin = time.perf_counter_ns()
            loop(number)
            taken[name].append((time.perf_counter_ns() - begin) / number)
    return taken


def times(taken: list[float]) -> Times:
    """Sum up the rounds of one loop."""
    if len(taken) < 2:
        return Times(taken[0], 0.0)
    first, median, third = statistics.quantiles(taken, n=4, method="inclusive")
    return Times(median, third - first)


def ratio(ours: list[float], theirs: list[float]) -> float:
    """How many times as long ours takes: the median over the rounds, each compared with its neighbour in time."""
    return statistics.median(mine / other for mine, other in zip(ours, theirs))


def instructions(module: str, *, number: int) -> dict[str, float] | None:
    """
    Instructions per call of each loop that ``module.loops()`` gives, counted by callgrind; ``None`` without valgrind.

    Unlike times they are the same on a busy machine, to some parts in a thousand.
    """
    if shutil.which("valgrind") is None or shutil.which("callgrind_control") is None:
        return None
    with tempfile.TemporaryDirectory(prefix="wx-callgrind-") as folder:
        ran = subprocess.run(
            [
                *("valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={folder}/out"),
                *(sys.executable, "-m", "benchmarks.measure", module, str(number), folder),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        counted = Path(folder, "counts.json")
        if not counted.exists():
            print(f"callgrind did not work: {ran.stderr[-300:]}", file=sys.stderr)
            return None
        counts: dict[str, float] = json.loads(counted.read_text())
        return counts


def _under_callgrind(module: str, number: int, folder: str) -> None:
    import gc
    import importlib
    import os

    def control(*what: str) -> None:
        subprocess.run(["callgrind_control", *what, str(os.getpid())], capture_output=True, check=True)

    loops: dict[str, Loop] = importlib.import_module(module).loops()
    gc.disable()
    for loop in loops.values():
        loop(20)  # the interpreter has specialised it
    counts = {}
    dumps = 0
    control("-i", "on")

    def counted(loop: Loop, calls: int) -> int:
        nonlocal dumps
        control("-z")
        loop(calls)
        control("-d", "done")
        dumps += 1
        return _total(Path(f"{folder}/out.{dumps}"))

    for name, loop in loops.items():
        # Twice as many calls minus once as many: what the counting itself costs falls out. The less of two: now and
        # then the interpreter goes over its caches meanwhile.
        counts[name] = min(counted(loop, 2 * number) - counted(loop, number) for _ in range(2)) / number
    control("-i", "off")
    Path(folder, "counts.json").write_text(json.dumps(counts))


def _total(file: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        return max(int(found) for found in _TOTALS.findall(file.read_text(errors="replace")))
    raise SystemExit(f"callgrind wrote no {file.name}: {sorted(path.name for path in file.parent.iterdir())}")


if __name__ == "__main__":
    _under_callgrind(sys.argv[1], int(sys.argv[2]), sys.argv[3])
