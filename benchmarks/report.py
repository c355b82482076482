"""Tables of figures: on the terminal, as JSON, as Markdown."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, TypeAlias

from rich.console import Console
from rich.table import Table as Grid

Cell: TypeAlias = "str | int | float | None"

PACKAGES = (
    *("wxmiddleware", "requests", "httpx", "starlette", "flask", "gunicorn", "uvicorn", "uvloop", "httptools", "redis"),
    *("aiohttp", "wechatpy", "WeRoBot", "google-auth", "Authlib", "botocore"),
)


@dataclass
class Table:
    """
    One table.

    Attributes:
        name: For JSON, plots and the page.
        title: What was measured.
        columns: Their heads.
        rows: A cell each; ``None`` was not measured, or makes no sense.
        notes: What one must know to read it.
    """

    name: str
    title: str
    columns: Sequence[str]
    rows: list[list[Cell]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, *cells: Cell) -> None:
        """Add a row."""
        assert len(cells) == len(self.columns), cells
        self.rows.append(list(cells))

    def dicts(self) -> list[dict[str, Any]]:
        """The rows by the heads of their columns."""
        return [dict(zip(self.columns, row)) for row in self.rows]

    def show(self, console: Console) -> None:
        """Print it."""
        grid = Grid(title=self.title, title_justify="left", title_style="bold", caption_justify="left")
        grid.caption = "\n".join(self.notes) or None
        for column, cells in zip(self.columns, zip(*self.rows)):
            numeric = not any(isinstance(cell, str) for cell in cells)
            grid.add_column(column, justify="right" if numeric else "left")
        for row in self.rows:
            grid.add_row(*map(shown, row))
        console.print(grid)

    def markdown(self) -> str:
        """The same for the page."""
        numeric = [not any(isinstance(cell, str) for cell in cells) for cells in zip(*self.rows)]
        lines = [
            _line(self.columns),
            _line(["---:" if each else "---" for each in numeric]),
            *(_line(map(shown, row)) for row in self.rows),
        ]
        return "\n".join([f"**{self.title}**", "", *lines, "", *self.notes]).rstrip() + "\n"


def shown(cell: Cell) -> str:
    """Show a number with as many digits as it deserves."""
    if cell is None:
        return "-"
    if isinstance(cell, float):
        if 0 < cell < 0.001:
            return "<0.001"
        return f"{cell:,.0f}" if abs(cell) >= 100 else f"{cell:.3g}" if abs(cell) < 0.995 else f"{cell:.2f}"
    return f"{cell:,}" if isinstance(cell, int) else cell


def machine() -> dict[str, Any]:
    """Where and when, and with which versions."""
    versions: dict[str, str | None] = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "versions": versions,
    }


def as_json(tables: Iterable[Table]) -> list[dict[str, Any]]:
    """The tables as plain values."""
    return [asdict(table) for table in tables]


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or sys.platform


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
