"""docs/wechat.md has the facts about WeChat, and what refers to them finds them."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
from test_docs import DOCS, anchors

ROOT = DOCS.parent
FACTS = DOCS / "wechat.md"
ROOMS = ["src", "tests", "docs", "examples", "benchmarks", "demo"]
KINDS = {".py", ".md", ".toml"}

# What a reader searches for who knows the mechanism by its usual name.
TERMS = [
    "back-off",
    "cache stampede",
    "circuit breaker",
    "compare-and-swap",
    "fencing",
    "jitter",
    "lease",
    "negative caching",
    "rate limit",
    "read repair",
    "refresh-ahead",
    "single flight",
    "stale-while-revalidate",
    "thundering herd",
]

# Names of pages, numbers of sections and keys of sources that lead nowhere in this repository.
STALE = re.compile(
    r"(?<![#/\w])(?:wecom-providers|wecom-aibot|platforms-2|refresh-rules)\b"
    r"|(?<![#/\w])(?<!co-)(?<!co-wechat-api, )(?<!co-wechat-api、)wechat-api\b(?!`)"  # the packages are no pages
    r"|\bsections? [0-9]"
    r"|\[(?:[WD][0-9]{5,6}|(?:SK|W|C|I|LIM|GAT|GST|ERR|WPY|WXJ|PROBE)-[A-Za-z0-9-]+"
    r"|PUSH|RSM|CBIP|CVT|CAT|AAT|LIM|GAT|GST|ATU|PROBE|JSSDK|RID|CLR2?|QGET|QCLR|WPY|WXJ)\]"
)


@cache
def lines() -> list[tuple[str, str]]:
    """Each line of the repository's texts with the place it stands at; not this file's, which quotes what is stale."""
    files = [path for room in ROOMS for path in (ROOT / room).rglob("*")] + list(ROOT.glob("*.md"))
    return [
        (f"{path.relative_to(ROOT)}:{number}", line)
        for path in sorted(files)
        if path.suffix in KINDS and path != Path(__file__)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
    ]


def test_references() -> None:
    """Each reference to a fact names a heading of the page, and there are some."""
    found = [(place, anchor) for place, line in lines() for anchor in re.findall(r"wechat\.md#([\w-]+)", line)]
    there = anchors(FACTS)

    assert len(found) > 30
    assert [] == [f"{place}: {anchor}" for place, anchor in found if anchor not in there]


def test_stale_references() -> None:
    """No text refers to a page, a section or a source that a reader cannot look up."""
    assert [] == [f"{place}: {match[0]}" for place, line in lines() for match in STALE.finditer(line)]


def test_sources() -> None:
    """Each source that the page names has its address at the end, and each address is used."""
    text = re.sub(r"`[^`\n]*`", "", FACTS.read_text(encoding="utf-8"))
    addresses = dict(re.findall(r"^\[([\w-]+)\]: (\S+)$", text, re.MULTILINE))
    named = set(re.findall(r"\[([\w-]+)\](?![(:])", text))

    assert named == set(addresses)
    assert [] == [address for address in addresses.values() if not address.startswith("https://")]


@pytest.mark.parametrize("term", TERMS)
def test_terms(term: str) -> None:
    """A mechanism is found by its usual name, in docs/why.md and in the source."""
    places = [place for place, line in lines() if term in line.lower()]

    assert any(place.startswith("docs/why.md:") for place in places)
    assert any(place.startswith("src/") for place in places)
