"""What the doctor says is there in both languages, nothing is missing, and nothing is left over."""

from __future__ import annotations

import ast
import re
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

from wxmiddleware._runtime.language import Text
from wxmiddleware.cli.doctor import words
from wxmiddleware.cli.doctor.checks import Cost
from wxmiddleware.cli.doctor.findings import Level
from wxmiddleware.cli.doctor.table import TABLE
from wxmiddleware.stores import _advice

DOCTOR = Path(words.__file__).parent
HERE = Path(__file__).parent
CHINESE = re.compile("[\u4e00-\u9fff]")


def texts() -> Iterator[tuple[str, Text]]:
    """All texts, each with a name."""
    for key, said in words.WORDS.items():
        yield f"{key} seen", said.seen
        if said.todo is not None:
            yield f"{key} todo", said.todo
    for table in (words.LEVELS, words.COSTS, words.FRAME):
        yield from table.items()
    yield from ((check.name, check.about) for check in TABLE)
    yield from ((pattern, advice) for pattern, advice in _advice._TABLE)


def keys_used() -> set[str]:
    """The keys of findings that stand in the source; see that each call which makes a finding names one of them."""
    sources = [path.read_text(encoding="utf-8") for path in DOCTOR.glob("*.py") if path.name != "words.py"]
    nodes = [node for source in sources for node in ast.walk(ast.parse(source))]
    made = [node.args[0] for node in nodes if isinstance(node, ast.Call) and ast.unparse(node.func) in set(Level)]
    wrong = [each.value for each in made if isinstance(each, ast.Constant) and each.value not in words.WORDS]

    assert made
    assert [] == wrong
    return {node.value for node in nodes if isinstance(node, ast.Constant) and node.value in words.WORDS}


@pytest.mark.parametrize(("name", "text"), list(texts()), ids=lambda each: each if isinstance(each, str) else "")
def test_both_languages(name: str, text: Text) -> None:
    """Each text is there in both languages, with the same things filled in."""
    fields = [{field for _, field, _, _ in string.Formatter().parse(each) if field} for each in text]

    assert all(text)
    assert fields[0] == fields[1]
    assert not CHINESE.search(re.sub(r"（.*?）|\(.*?\)", "", text.en))
    assert CHINESE.search(text.zh) or not re.search("[a-z]{3}", re.sub(r"\{.*?\}|errcode", "", text.en))


def test_nothing_left_over() -> None:
    """Each of the words is said somewhere, and what is said is there."""
    assert set(words.WORDS) == keys_used()
    assert set(Level) == set(words.LEVELS)
    assert set(Cost) == set(words.COSTS)


def test_table() -> None:
    """A check depends on checks before it, and no two have the same name."""
    names = [check.name for check in TABLE]

    assert len(names) == len(set(names))
    assert [] == [
        (check.name, need) for at, check in enumerate(TABLE) for need in check.needs if need not in names[:at]
    ]


def test_each_check_is_made_to_fail() -> None:
    """Each check has a scenario here in which it is the only one that finds something."""
    played = {
        name
        for path in HERE.glob("test_*.py")
        for name in re.findall(r"\.only\(\s*\"(\w+)\"", path.read_text(encoding="utf-8"))
    }

    assert {check.name for check in TABLE} - played == set()
