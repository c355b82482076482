"""The code of the pages in docs/ runs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from wxmiddleware.cli import _parser
from wxmiddleware.simulator import SimulatorServer, WeChat

DOCS = Path(__file__).parent.parent / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
CHINESE = sorted((DOCS / "zh").glob("*.md"))
TOP = sorted(DOCS.parent.glob("README*.md"))


def named(page: Path) -> str:
    """A page's path below docs/, for the names of tests."""
    return str(page.relative_to(DOCS)) if page.is_relative_to(DOCS) else page.name


def blocks(name: str) -> list[tuple[str, str]]:
    """A page's fenced blocks, each with its language."""
    text = (DOCS / name).read_text(encoding="utf-8")
    return re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def python(name: str) -> list[str]:
    """A page's blocks of Python, each with the line it stands on."""
    text = (DOCS / name).read_text(encoding="utf-8")
    found = re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return ["\n" * text.count("\n", 0, match.start(1)) + match[1] for match in found]


def bare(block: str) -> list[str]:
    """A block's lines without their comments, which are translated."""
    return [re.sub(r"(^|\s+)(#|//)( .*)?$", "", line) for line in block.splitlines()]


def shape(page: Path) -> list[str]:
    """A page's headings, lists and tables, without their words."""
    text = re.sub(r"^```.*?^```$", "```", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"^(?:#+ |- |\d\. |```|\|(?=.*\|$))", text, re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """What GitHub makes of a page's headings: lower case, hyphens for spaces, no punctuation."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", ["stores.md", "zh/stores.md"])
def test_page(
    page: str, wechat: WeChat, wechat_server: SimulatorServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page's blocks run one after the other, and what they make gives a token."""
    monkeypatch.setenv("WECHAT_APPID", wechat.appid)
    monkeypatch.setenv("WECHAT_SECRET", wechat.secret)
    monkeypatch.setenv("WECHAT_BASE_URL", wechat_server.url)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "page"}
    for block in python(page):
        exec(compile(block, page, "exec"), names)

        assert names["provider"].get_token() == wechat.current(slot="stable")


@pytest.mark.parametrize("page", ["beside.md", "stores.md", "zh/beside.md", "zh/stores.md"])
def test_units(page: str) -> None:
    """A service's command is one, keeps its files where the service may write, and is in no group that all are in."""
    for unit in [block for language, block in blocks(page) if language == "ini"]:
        settings = dict(re.findall(r"^(\w+)=(.*)$", unit, re.MULTILINE))
        options = _parser().parse_args(shlex.split(settings["ExecStart"])[1:])
        url, sink = options.store, options.sink

        assert "keep" == shlex.split(settings["ExecStart"])[1]
        assert not url.startswith("file:") or url.startswith(f"file:/var/lib/{settings['StateDirectory']}/")
        assert sink is None or (sink == f"/run/{settings['RuntimeDirectory']}" and "Group" in settings)
        assert sink is None or options.sink_mode == 0o640


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links(page: Path) -> None:
    """What a page links to is there."""
    links = re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8"))

    assert [] == [link for link in links if "://" not in link and not (page.parent / link).exists()]


@pytest.mark.parametrize("page", [*PAGES, *TOP], ids=named)
def test_anchors(page: Path) -> None:
    """A link into a page leads to one of its headings."""
    links = re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text(encoding="utf-8"))

    assert [] == [
        f"{target}#{anchor}"
        for target, anchor in links
        if anchor not in anchors((page.parent / target) if target else page)
    ]


@pytest.mark.parametrize("page", CHINESE, ids=named)
def test_twins(page: Path) -> None:
    """
    A Chinese page has its English twin's code, headings, lists and tables, and each leads to the other.

    What a command prints (``text``) may be in the page's language.
    """
    twin = DOCS / page.name
    english, chinese = (
        [(language, language == "text" or bare(code)) for language, code in blocks(named(each))]
        for each in (twin, page)
    )

    assert english == chinese
    assert shape(twin) == shape(page)
    assert f"\n[中文](zh/{page.name})\n" in twin.read_text(encoding="utf-8")
    assert f"\n[English](../{page.name})\n" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("page", [*CHINESE, DOCS.parent / "README.zh-CN.md"], ids=named)
def test_chinese_links(page: Path) -> None:
    """A Chinese page leads to the Chinese page where there is one, and is Chinese itself."""
    text = page.read_text(encoding="utf-8")
    targets = {page.parent / link for link in re.findall(r"\[(?!English\])[^]]*\]\(([^)#]+\.md)", text)}
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL).splitlines()

    assert [] == [str(each) for each in targets if each.resolve().parent == DOCS and DOCS / "zh" / each.name in CHINESE]
    assert [] == [
        line for line in prose if re.search(r"[a-z]{3} [a-z]{2}.*\.$", line) and not re.search("[一-鿿]", line)
    ]


def test_bare() -> None:
    """A comment is no code, and a URL no comment."""
    lines = ['open("redis://host/0")  # why', "// why", "<?php  // why", "export A=b   # 为什么", "#", "x"]

    assert ['open("redis://host/0")', "", "<?php", "export A=b", "", "x"] == bare("\n".join(lines))
