"""Run the suites, print their tables, and keep them."""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from .report import Table, as_json, machine

ROOT = Path(__file__).parents[1]
# Whatever takes long comes last.
SUITES = ("hot_path", "herds", "round_trips", "scale", "fleets", "end_to_end", "hub", "day")


def main(argv: list[str] | None = None) -> int:
    """Run what the arguments ask for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = [name.replace("_", "-") for name in SUITES]
    parser.add_argument("--only", nargs="+", choices=names, metavar="SUITE", help="one or more of: " + ", ".join(names))
    parser.add_argument("--quick", action="store_true", help="small sizes: a look, not a measurement")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--page", action="store_true", help="write them into docs/benchmarks.md, with JSON and plots")
    options = parser.parse_args(argv)
    console = Console(width=None if sys.stdout.isatty() else 160)
    if options.page and options.quick:
        parser.error("--page publishes a measurement, and --quick makes none")
    tables: list[Table] = []
    about: dict[str, Any] = machine()
    logging.getLogger("wxmiddleware").addHandler(logging.NullHandler())  # the failures are what is measured
    console.print(f"{about['date']}, {about['python']}, {about['cores']} x {about['processor']}, load {about['load']}")
    for name in options.only or names:
        begin, about = time.monotonic(), machine()
        suite = importlib.import_module(f"benchmarks.suites.{name.replace('-', '_')}")
        measured = []
        for table in suite.run(quick=options.quick):
            measured.append(table)
            table.show(console)
        tables += measured
        if options.page:
            from .page import publish

            publish(about, measured, ROOT / "docs", whole=options.only is None)
        console.print(f"[dim]{name}: {time.monotonic() - begin:.0f} s[/dim]\n")
    figures = {"machine": about, "quick": options.quick, "tables": as_json(tables)}
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
