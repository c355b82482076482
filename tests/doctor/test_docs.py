"""The pages on the doctor name each check in its order, and their commands have options that there are."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from wxmiddleware.cli import _parser
from wxmiddleware.cli.doctor.table import TABLE
from wxmiddleware.cli.doctor.words import WORDS

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ("doctor.md", "zh/doctor.md")


@pytest.mark.parametrize("page", PAGES)
def test_checks(page: str) -> None:
    """The table has the checks of the command, and no other."""
    text = (DOCS / page).read_text(encoding="utf-8")

    assert [check.name for check in TABLE] == re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)


def test_commands() -> None:
    """The commands of the page are understood."""
    text = (DOCS / PAGES[0]).read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("wxmiddleware ")]
    parsed = [_parser().parse_args(shlex.split(line, comments=True)[1:]) for line in lines]

    assert len(parsed) == 7


@pytest.mark.parametrize(("page", "language"), [(PAGES[0], "en"), (PAGES[1], "zh")])
def test_sample(page: str, language: str) -> None:
    """The sample is made of the words that the command says."""
    text = (DOCS / page).read_text(encoding="utf-8").partition("```text\n")[2].partition("```")[0]
    said = [each for words in WORDS.values() for each in (words.seen, words.todo) if each is not None]
    forms = [re.sub(r"\\\{.*?\\\}", ".+?", re.escape(getattr(each, language))) for each in said]
    lines = [re.sub(r"^(ok|warn|fail|正常|注意|失败) +\w+ +", "", line).strip() for line in text.splitlines()]

    assert lines
    assert [] == [line for line in lines if not any(re.fullmatch(form, line) for form in forms)]
