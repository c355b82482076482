"""Put the figures of a run into ``docs/benchmarks.md``, beside their JSON and their plots."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .plots import draw
from .report import Table


def publish(about: dict[str, Any], tables: Iterable[Table], docs: Path, *, whole: bool) -> None:
    """
    Replace what stands between the marks of each table that was measured; the rest of the page stays.

    Args:
        about: The machine.
        tables: What was measured.
        docs: Where the page lies.
        whole: Whether all parts are measured, so that the page as a whole is of this machine.
    """
    by_name = {table.name: table for table in tables}
    folder = docs / "benchmarks"
    for path in draw(by_name, folder):
        # matplotlib leaves blanks at the ends of lines
        path.write_text("".join(f"{line.rstrip()}\n" for line in path.read_text().splitlines()))
    results = folder / "results.json"
    kept = json.loads(results.read_text()) if results.exists() else {}
    for name, table in by_name.items():
        kept[name] = {"machine": about, "title": table.title, "columns": table.columns, "rows": table.rows}
    results.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
    page = docs / "benchmarks.md"
    text = page.read_text()
    for name, table in by_name.items():
        text = _between(text, name, f"{table.markdown()}\n{_when(about)}\n")
    page.write_text(_between(text, "machine", _machine(about)) if whole else text)


def _when(about: dict[str, Any]) -> str:
    return (
        f"Measured {about['date']}, load {about['load']}, {about['cores']} x {about['processor']}, {about['python']}."
    )


def _machine(about: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items() if version)
    return f"{about['cores']} cores of {about['processor']}, {about['system']}, {about['python']}.\n{versions}.\n"


def _between(text: str, name: str, new: str) -> str:
    mark = re.compile(rf"(<!-- {re.escape(name)} -->\n).*?(<!-- end -->)", re.DOTALL)
    if not mark.search(text):
        raise SystemExit(f"docs/benchmarks.md has no place for {name}: <!-- {name} --> and <!-- end -->.")
    return mark.sub(lambda found: f"{found[1]}\n{new}\n{found[2]}", text)
