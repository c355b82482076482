"""Plots of what was measured, as SVG: one for light pages, one for dark ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from .peers import Ours
from .report import Table

COLOURS = {
    "light": {"text": "#1f2328", "ours": "#1a7f37", "theirs": "#9aa4af", "failed": "#cf222e", "grid": "#d1d9e0"},
    "dark": {"text": "#e6edf3", "ours": "#3fb950", "theirs": "#6e7681", "failed": "#f85149", "grid": "#3d444d"},
}
TEXTS = ("text.color", "axes.labelcolor", "xtick.color", "ytick.color", "axes.titlecolor")


def draw(tables: dict[str, Table], folder: Path) -> list[Path]:
    """Draw what there are figures for, and give the files."""
    folder.mkdir(exist_ok=True)
    written = []
    for name, plot in PLOTS.items():
        if name not in tables or not tables[name].rows:
            continue
        for theme, colours in COLOURS.items():
            settings = {
                "svg.hashsalt": "wxmiddleware",  # the same figures give the same file
                "svg.fonttype": "none",
                "font.family": "sans-serif",
                "font.size": 10,
                "axes.spines.top": False,
                "axes.spines.right": False,
                "axes.edgecolor": colours["grid"],
                "grid.color": colours["grid"],
                **dict.fromkeys(TEXTS, colours["text"]),
            }
            with mpl.rc_context(settings):
                figure = plot(tables[name].dicts(), colours)
                path = folder / f"{name}-{theme}.svg"
                figure.savefig(path, transparent=True, bbox_inches="tight", metadata={"Date": None})
                written.append(path)
    return written


def _storm(rows: list[dict[str, Any]], colours: dict[str, str]) -> Figure:
    rows = [row for row in rows if row["overlap, s"] == 0][::-1]
    figure = Figure(figsize=(9, 0.42 * len(rows) + 1.1))
    fetched, failed = figure.subplots(1, 2, sharey=True)
    names = [row["who"] for row in rows]
    _bars(fetched, names, [row["fetches"] for row in rows], colours, "tokens fetched")
    _bars(failed, names, [row["failed calls"] for row in rows], colours, "calls failed", colour=colours["failed"])
    figure.tight_layout()
    return figure


def _day(rows: list[dict[str, Any]], colours: dict[str, str]) -> Figure:
    rows = [row for row in rows if row["trouble"] == "yes"][::-1]
    figure = Figure(figsize=(9, 0.42 * len(rows) + 1.1))
    fetched, failed = figure.subplots(1, 2, sharey=True)
    names = [row["who"] for row in rows]
    _bars(fetched, names, [row["fetches"] for row in rows], colours, "requests for a token")
    columns = ("failed, a live token existed", "failed, none existed")
    _bars(
        failed,
        names,
        [sum(row[column] for column in columns) for row in rows],
        colours,
        "calls failed",
        colours["failed"],
    )
    figure.tight_layout()
    return figure


def _hot_path(rows: list[dict[str, Any]], colours: dict[str, str]) -> Figure:
    rows = [row for row in rows if row["way"] == "by hand"][::-1]
    figure = Figure(figsize=(9, 0.3 * len(rows) + 1.1))
    axes = figure.subplots()
    counted = "ours / this, instructions"
    column = counted if all(row[counted] is not None for row in rows) else "ours / this"
    values = [row[column] for row in rows]
    bars = axes.barh([row["what"] for row in rows], values, color=colours["ours"], height=0.6)
    axes.bar_label(bars, [f"{value:.2f}" for value in values], padding=3)
    for at in (1.0, 1.5):
        axes.axvline(at, color=colours["grid"], linewidth=1, zorder=0)
    axes.set_title(f"times the {'instructions' if column == counted else 'time'} of the hand-written one", loc="left")
    axes.tick_params(length=0)
    figure.tight_layout()
    return figure


def _scale(rows: list[dict[str, Any]], colours: dict[str, str]) -> Figure:
    figure = Figure(figsize=(9, 2.6))
    memory, lookup = figure.subplots(1, 2)
    rows = [row for row in rows if row["accounts"] >= 100]
    for axes, column, title in (
        (memory, "KiB each", "KiB for each account"),
        (lookup, "pool.get and get_token, ns", "a lookup, ns"),
    ):
        axes.plot([row["accounts"] for row in rows], [row[column] for row in rows], "o-", color=colours["ours"])
        axes.set_xscale("log")
        axes.set_ylim(bottom=0)
        axes.set_xlabel("accounts")
        axes.set_title(title, loc="left")
        axes.grid(axis="y", linewidth=0.5)
    figure.tight_layout()
    return figure


def _bars(
    axes: Any, names: list[str], values: list[int], colours: dict[str, str], title: str, colour: str | None = None
) -> None:
    shades = [colour or colours["ours" if name == Ours.name else "theirs"] for name in names]
    bars = axes.barh(names, values, color=shades, height=0.6)
    axes.bar_label(bars, [f"{value:,}" for value in values], padding=4)
    if max(values) > 1000:
        axes.set_xscale("symlog", linthresh=1)
        axes.set_xlim(0, max(values) * 8)
        title += " (logarithmic)"
    else:
        axes.set_xlim(0, max(*values, 1) * 1.15)
    axes.set_xticks([])
    axes.minorticks_off()
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(length=0)
    axes.set_title(title, loc="left")
    for label in axes.get_yticklabels():
        label.set_fontweight("bold" if label.get_text() == Ours.name else "normal")


PLOTS: dict[str, Callable[[list[dict[str, Any]], dict[str, str]], Figure]] = {
    "storm": _storm,
    "day": _day,
    "hot-path": _hot_path,
    "scale": _scale,
}
