"""The glossary's names are those of the package, and none of its events, failures, states and reasons is left out."""

from __future__ import annotations

import functools
import re
from enum import Enum
from pathlib import Path
from types import ModuleType

import pytest

import wxmiddleware
from wxmiddleware import health, layouts, requests, simulator, sources, status, stores, suite
from wxmiddleware._rules.decisions import Reason
from wxmiddleware._rules.policies import State

PAGE = (Path(__file__).parent.parent / "docs" / "glossary.md").read_text(encoding="utf-8")
HOMES: list[ModuleType] = [wxmiddleware, sources, stores]
SUBMODULES = {
    "health": health,
    "layouts": layouts,
    "requests": requests,
    "simulator": simulator,
    "status": status,
    "suite": suite,
}
MEMBERS: dict[str, type[Enum]] = {
    "Events": wxmiddleware.EventType,
    "Measurements": wxmiddleware.Measure,
    "Kinds of failure": sources.Cause,
    "States of a token": State,
    "Reasons of a refresh": Reason,
}


def rows(section: str) -> list[list[str]]:
    """The cells of each row of a section's table, without its head."""
    text = re.split(r"^## ", PAGE, flags=re.MULTILINE)
    table = next(part for part in text if part.startswith(f"{section}\n"))
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in re.findall(r"^\|.*\|$", table, re.M)][2:]


SECTIONS = re.findall(r"^## (.+)$", PAGE, re.MULTILINE)
NAMES = [
    name
    for section in SECTIONS
    if section not in MEMBERS
    for row in rows(section)
    for name in re.findall("`(.+?)`", row[0])
]


def exists(name: str) -> bool:
    """Whether a user can import the name, or reach it from something that can be imported."""
    first, *rest = name.split(".")
    starts = [SUBMODULES[first]] if first in SUBMODULES else [getattr(home, first, None) for home in HOMES]
    missing = object()
    return any(
        start is not None and functools.reduce(lambda at, part: getattr(at, part, missing), rest, start) is not missing
        for start in starts
    )


@pytest.mark.parametrize("name", NAMES)
def test_names(name: str) -> None:
    """A name in the glossary is a public one of the package."""
    assert not any(part.startswith("_") for part in name.split("."))
    assert exists(name)


@pytest.mark.parametrize("section", MEMBERS)
def test_members(section: str) -> None:
    """Each member has a row, in the order of the code, and each row is a member."""
    assert [f"`{member.value}`" for member in MEMBERS[section]] == [row[0] for row in rows(section)]


@pytest.mark.parametrize("section", SECTIONS)
def test_rows(section: str) -> None:
    """Each row has our word, the field's, the Chinese one and a sentence, and no word has two rows in a table."""
    table = rows(section)

    assert [] == [row for row in table if len(row) != 4 or not all(row) or not row[3].endswith(".")]
    assert len(table) == len({row[0] for row in table})
    assert [] == [row[2] for row in table if not re.search("[\u4e00-\u9fff]", row[2])]


def test_a_name_that_is_gone() -> None:
    """A name that the package does not have is found out."""
    assert [False] * 3 == [exists(name) for name in ("TokenProvider.nothing", "Nothing", "requests.nothing")]
