"""What docs/hub-sdks.md has SDKs write is what the programs write that are run as clients of a hub."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hub.test_sdks import SDKS
from test_docs import DOCS, blocks

PROGRAMS = Path(__file__).parent / "hub" / "sdks"
PAGES = ["hub-sdks.md", "zh/hub-sdks.md"]


def lines(text: str) -> set[str]:
    """Its lines, without how deep they stand, and what is said to checkers of types."""
    return {line.split("  # type:")[0].strip() for line in text.splitlines() if line.strip()}


@pytest.mark.parametrize("page", PAGES)
def test_lines(page: str) -> None:
    """Each block of Python or JavaScript stands in one of the programs."""
    programs = [lines(each.read_text(encoding="utf-8")) for each in PROGRAMS.iterdir() if each.is_file()]
    pasted = [code for language, code in blocks(page) if language in ("python", "js")]

    assert 8 == len(pasted)
    assert [] == [code for code in pasted if not any(lines(code) <= each for each in programs)]


@pytest.mark.parametrize(("page", "run"), [(PAGES[0], "run"), (PAGES[1], "实测")])
def test_table(page: str, run: str) -> None:
    """Those that the table calls run are those that are run."""
    text = (DOCS / page).read_text(encoding="utf-8")
    called = [row.lower() for row in re.findall(rf"^\| (.+?) \| {run} \|", text, re.MULTILINE)]
    names = {re.sub("_", "-", each.name).split("-wecom")[0] for each in SDKS}
    families = {
        "node-easywechat" if each.startswith("node") else "2017" if "article" in each else each for each in names
    }

    assert len(families) == len(called)
    assert [] == [each for each in families if not any(each in row for row in called)]
