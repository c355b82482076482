"""The README's first example does what it says, and its Chinese twin shows the same code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from wxmiddleware.simulator import SimulatorServer, WeChat

ROOT = Path(__file__).parent.parent
LANGUAGES = ["README.md", "README.zh-CN.md"]


def blocks(name: str) -> list[str]:
    """The fenced blocks of a page."""
    return re.findall(r"^```\w+\n(.*?)^```$", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def bare(block: str) -> list[str]:
    """A block without comments, and without the prose in a drawing of the tree of errors."""
    return [re.sub(r"\s*(#.*|  .*)$", "", line) if "─" in line or "#" in line else line for line in block.splitlines()]


@pytest.mark.parametrize("language", LANGUAGES)
def test_first_example(
    language: str, wechat: WeChat, wechat_server: SimulatorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first example sends a message, also when another service has taken the token."""
    monkeypatch.setenv("WECHAT_APPID", wechat.appid)
    monkeypatch.setenv("WECHAT_SECRET", wechat.secret)
    monkeypatch.setenv("WECHAT_BASE_URL", wechat_server.url)
    first = next(block for block in blocks(language) if "import" in block)
    names: dict[str, Any] = {"__name__": "app"}
    exec(compile(first, language, "exec"), names)
    client = names["app"].test_client()
    answers = [client.post("/notify/oFollower").get_json()]
    wechat.steal()
    answers.append(client.post("/notify/oFollower").get_json())

    assert [{"errcode": 0, "errmsg": "ok"}] * 2 == answers
    assert 1 == wechat.rejections()
    assert "你好" in str(wechat.sent[-1].body)


@pytest.mark.parametrize("language", LANGUAGES)
def test_fixtures(language: str, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests of the page pass."""
    pytester.makepyfile(next(block for block in blocks(language) if "def test_" in block))

    pytester.runpytest_subprocess("-q").assert_outcomes(passed=2)


def test_same_code() -> None:
    """Both languages show the same blocks, but for comments."""
    english, chinese = ([bare(block) for block in blocks(name)] for name in LANGUAGES)

    assert english == chinese


@pytest.mark.parametrize("language", LANGUAGES)
def test_links(language: str) -> None:
    """What the page links to is there."""
    links = re.findall(r"\]\(([^)#]+)", (ROOT / language).read_text(encoding="utf-8"))

    assert links
    assert [] == [link for link in links if not (ROOT / link).exists()]
