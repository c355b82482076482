"""The life of a token over the last hours, as one row of SVG: no script, no font, the page's own colours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from ._history import Mark, lives

BACK: Final = 4 * 3600.0  # seconds that are shown, before now
AHEAD: Final = 2.25 * 3600.0  # and after: a token lives for two hours
_WIDTH: Final = 1000.0
_HEIGHT: Final = 36


@dataclass(frozen=True, slots=True)
class Row:
    """
    What one picture shows.

    Attributes:
        now: In seconds since 1970, as all times here.
        marks: What happened.
        ends: When the token in use ends; ``None`` if there is none.
        renews: When it is renewed.
        label: What the picture says to those who cannot see it.
    """

    now: float
    marks: list[Mark]
    ends: float | None
    renews: float | None
    label: str


def picture(row: Row) -> Markup:
    """Draw it."""
    parts = [_rect("space", row.now - BACK, row.now + AHEAD, row.now)]
    for number, (begin, end) in enumerate(lives(row.marks, row.now)):
        parts.append(_rect(f"life l{number % 2}", begin, end, row.now))
    if row.ends is not None and row.ends > row.now:
        parts.append(_rect("left", row.now, row.ends, row.now))
        if row.renews is not None and row.renews < row.ends:
            parts.append(_rect("ahead", max(row.now, row.renews), row.ends, row.now))
    for mark in row.marks:
        if mark.what != "token" and mark.at >= row.now - BACK:
            parts.append(_mark(mark, row.now))
    parts.append(Markup('<line class="now" x1="{0}" x2="{0}" y1="0" y2="{1}"/>').format(_x(row.now, row.now), _HEIGHT))
    return Markup('<svg role="img" viewBox="0 0 {} {}" preserveAspectRatio="none"><title>{}</title>{}</svg>').format(
        int(_WIDTH), _HEIGHT, row.label, Markup("").join(parts)
    )


def _x(time: float, now: float) -> float:
    return round(min(1.0, max(0.0, (time - now + BACK) / (BACK + AHEAD))) * _WIDTH, 1)


def _rect(kind: str, begin: float, end: float, now: float) -> Markup:
    left, right = _x(begin, now), _x(end, now)
    return Markup('<rect class="{}" x="{}" y="8" width="{}" height="20"/>').format(kind, left, round(right - left, 1))


def _mark(mark: Mark, now: float) -> Markup:
    x = _x(mark.at, now)
    return Markup('<path class="{}" d="M{} 0h10l-5 8z"/>').format(mark.what, round(x - 5, 1))
