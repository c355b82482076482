"""
The life of a token over the last hours, as one row of SVG: no script, no font, the page's own colours.

It is as wide as the page, so only what may be stretched is drawn; lines keep their width, and words stand below it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from ._history import Mark, lives

BACK: Final = 4 * 3600.0  # seconds that are shown, before now
AHEAD: Final = 2.4 * 3600.0  # and after: a token lives for two hours
_WIDTH: Final = 1000.0
_HEIGHT: Final = 40
_STRIPE: Final = 5.0


@dataclass(frozen=True, slots=True)
class Row:
    """
    What one picture shows.

    Attributes:
        now: In seconds since 1970, as all times here.
        marks: What happened.
        since: From when the token in use is; it may be older than what was seen.
        ends: When the token in use ends; ``None`` if there is none.
        renews: When it is renewed.
        label: What the picture says to those who cannot see it.
    """

    now: float
    marks: list[Mark]
    since: float | None
    ends: float | None
    renews: float | None
    label: str


def picture(row: Row) -> Markup:
    """Draw it."""
    parts = [_rect("space", row.now - BACK, row.now + AHEAD, row.now)]
    for number, (begin, end) in enumerate(_lives(row)):
        if end > row.now - BACK:
            parts.append(_rect(f"l{number % 2}", begin, end, row.now))
    if row.ends is not None and row.ends > row.now:
        parts.append(_rect("left", row.now, row.ends, row.now))
        if row.renews is not None and row.renews < row.ends:
            parts += _stripes(max(row.now, row.renews), row.ends, row.now)
    parts += [
        _line(mark.what, mark.at, row.now, *((0, 9) if mark.what == "rejected" else (31, 40)))
        for mark in row.marks
        if mark.what != "token" and mark.at >= row.now - BACK
    ]
    parts.append(_line("now", row.now, row.now, 4, 36))
    return Markup('<svg role="img" viewBox="0 0 {} {}" preserveAspectRatio="none"><title>{}</title>{}</svg>').format(
        int(_WIDTH), _HEIGHT, row.label, Markup("").join(parts)
    )


def _lives(row: Row) -> list[tuple[float, float]]:
    known = [mark for mark in row.marks if mark.what == "token"]
    if row.since is not None and not known:
        known = [Mark(row.since, "token")]
    return lives(known, row.now)


def _x(time: float, now: float) -> float:
    return round(min(1.0, max(0.0, (time - now + BACK) / (BACK + AHEAD))) * _WIDTH, 1)


def _rect(kind: str, begin: float, end: float, now: float) -> Markup:
    left, right = _x(begin, now), _x(end, now)
    return Markup('<rect class="{}" x="{}" y="10" width="{}" height="20"/>').format(kind, left, round(right - left, 1))


def _line(kind: str, at: float, now: float, top: int, bottom: int) -> Markup:
    return Markup('<line class="{0}" x1="{1}" x2="{1}" y1="{2}" y2="{3}"/>').format(kind, _x(at, now), top, bottom)


def _stripes(begin: float, end: float, now: float) -> list[Markup]:
    left, right = _x(begin, now), _x(end, now)
    return [
        Markup('<line class="ahead" x1="{}" x2="{}" y1="30" y2="10"/>').format(
            round(left + number * _STRIPE, 1), round(left + (number + 1) * _STRIPE, 1)
        )
        for number in range(int((right - left) / _STRIPE))
    ]
