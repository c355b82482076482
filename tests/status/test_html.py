"""The page's words, colours and escapes."""

from __future__ import annotations

import re

import pytest
from support import status_facts as given

from wxmiddleware._engine.events import EventType
from wxmiddleware._rules.models import Cause
from wxmiddleware._rules.policies import State
from wxmiddleware._runtime.language import Language, Text
from wxmiddleware.platform import TicketState
from wxmiddleware.sources import component, suite, tickets, wecom
from wxmiddleware.status import _words as words
from wxmiddleware.status._advice import _CAUSES, _PLACES, advice_on
from wxmiddleware.status._facts import AccountFacts
from wxmiddleware.status._html import first_line, page
from wxmiddleware.status._picture import AHEAD, BACK
from wxmiddleware.status._style import COLOURS, STYLE
from wxmiddleware.status._words import ago, duration
from wxmiddleware.webhook._measured import Outcome

ENGLISH, CHINESE = Language.ENGLISH, Language.CHINESE


def luminance(colour: str) -> float:
    """As WCAG 2 has it."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("mode", [0, 1], ids=["light", "dark"])
class TestContrast:
    """AA of WCAG 2.2: 4.5 for text, 3 for what a picture is understood by."""

    @pytest.mark.parametrize("text", ["text", "soft", "good", "bad", "warn"])
    @pytest.mark.parametrize("ground", ["bg", "card"])
    def test_text(self, mode: int, text: str, ground: str) -> None:
        assert contrast(COLOURS[text][mode], COLOURS[ground][mode]) >= 4.5

    @pytest.mark.parametrize(
        ("drawn", "ground"),
        [
            ("bar", "space"),
            ("bar2", "space"),
            ("bar", "left"),
            ("bar2", "left"),
            ("bad", "card"),
            ("warn", "card"),
            ("text", "space"),
        ],
    )
    def test_picture(self, mode: int, drawn: str, ground: str) -> None:
        assert contrast(COLOURS[drawn][mode], COLOURS[ground][mode]) >= 3.0


def test_every_colour_is_used() -> None:
    assert set(re.findall(r"var\(--(\w+)\)", STYLE)) == set(COLOURS)
    assert [] == re.findall(r"#[0-9a-f]{3,6}\b", STYLE.partition("*{")[2])


def test_nothing_is_without_words() -> None:
    """Each has its words, in both languages."""
    assert set(words.EVENT_NAMES) == set(EventType)
    assert set(words.STATES) == {each.value for each in State}
    assert set(words.TICKETS) == {each.value for each in TicketState}
    assert set(words.OUTCOMES) == {each.value for each in Outcome}
    assert set(_CAUSES) == set(Cause)
    texts = [value for value in vars(words).values() if isinstance(value, Text)]
    for table in (words.EVENT_NAMES, words.STATES, words.TICKETS, words.OUTCOMES, _CAUSES):
        texts += table.values()
    neither = {words.OTHER_LANGUAGE, words.TICKET}
    assert [] == [text for text in texts if text not in neither and not re.search("[一-鿿]", text.zh)]
    assert [] == [text for text in texts if set(re.findall(r"{\w+}", text.en)) != set(re.findall(r"{\w+}", text.zh))]


def test_each_kind_of_token_has_its_advice() -> None:
    """The same errcode means something else elsewhere."""
    kinds = {"stable", "classic", component.ComponentToken.kind, component.AuthorizerToken.kind, wecom.WeComToken.kind}
    kinds |= {each.kind for each in (tickets.JsapiTicket, tickets.CardTicket, tickets.AgentTicket)}
    kinds |= {each.kind for each in (suite.SuiteToken, suite.CorpToken, suite.ProviderToken)}

    assert kinds == set(_PLACES)
    assert "企业" in advice_on("wecom", Cause.PERMANENT, 40001).zh
    assert "开发者密码" in advice_on("stable", Cause.PERMANENT, 40001).zh
    assert "203.0.113.7" in advice_on("stable", Cause.PERMANENT, 40164, "invalid ip 203.0.113.7, not in whitelist").zh
    assert "网络" in advice_on("stable", Cause.TRANSIENT, None).zh
    assert "人工" in advice_on("file", Cause.PERMANENT, 40001).zh


@pytest.mark.parametrize("language", Language)
def test_all_is_escaped(language: Language) -> None:
    """Whatever WeChat, a user's store or an AppID says."""
    text = page(given.everything(), language, 10)

    assert given.HTML not in text
    assert "<script" not in text
    assert "<img" not in text
    assert " style=" not in text  # the policy forbids it
    assert "onerror" in text  # it is shown, and does nothing
    assert text.count("<section") == text.count("</section>")


@pytest.mark.parametrize(
    ("accounts", "en", "zh"),
    [
        ([], "No account is shown here", "这里没有账号"),
        ([given.account(1)], "The account has a token; the store answers in 0.4 ms.", "账号有可用的 token；"),
        ([given.trouble(1)], "The account has no token; the store", "账号没有可用的 token；"),
        ([given.trouble(1), given.account(2)], "1 of 2 accounts have a token; the", "2 个账号中 1 个有可用的 token；"),
        (
            [given.trouble(1, "fresh"), given.account(2)],
            "2 of 2 accounts have a token; 1 of them with trouble; the store",
            "2 个账号中 2 个有可用的 token；其中 1 个有异常；",
        ),
    ],
)  # fmt: skip
def test_first_line(accounts: list[AccountFacts], en: str, zh: str) -> None:
    facts = given.facts(accounts)

    assert first_line(facts, ENGLISH).startswith(en)
    assert first_line(facts, CHINESE).startswith(zh)


@pytest.mark.parametrize(
    ("accounts", "tone"),
    [
        ([given.account(1)], "good"),
        ([given.trouble(1, "fresh"), given.account(2)], "warn"),
        ([given.trouble(1), given.account(2)], "bad"),
    ],
)
def test_tone(accounts: list[AccountFacts], tone: str) -> None:
    assert f'<h1 class="{tone}">' in page(given.facts(accounts), ENGLISH, 10)


def test_a_page_says_whose_it_is() -> None:
    """Under four workers the next one may make it."""
    text = page(given.facts([given.account(1)]), ENGLISH, 10)

    assert (
        "This page was made by process 4242 on web-1, and comes anew every 10 s, perhaps from another worker." in text
    )


@pytest.mark.parametrize(
    ("seconds", "en", "zh"),
    [
        (0, "0 s", "0 秒"),
        (59.9, "59 s", "59 秒"),
        (3600, "1 h", "1 小时"),
        (3723, "1 h 2 min", "1 小时 2 分钟"),
        (3605, "1 h", "1 小时"),
        (90_000, "1 d 1 h", "1 天 1 小时"),
        (-5, "0 s", "0 秒"),
    ],
)
def test_durations(seconds: float, en: str, zh: str) -> None:
    assert en == duration(seconds, ENGLISH)
    assert zh == duration(seconds, CHINESE)


def test_ago() -> None:
    assert ["just now", "3 s ago", "2 min ago", "5 h ago"] == [ago(each, ENGLISH) for each in (0.2, 3, 150, 18_500)]
    assert ["刚刚", "2 分钟前"] == [ago(each, CHINESE) for each in (-3, 150)]


def test_times_are_relative_and_exact() -> None:
    text = page(given.facts([given.account(1)], events=[given.event("rejected")]), ENGLISH, 10)

    assert re.search(r'3 min ago <time datetime="2023-11-14T22:10:00\+00:00">\d\d:\d\d:\d\d</time>', text)
    assert re.search(r'1 h 12 min <time datetime="2023-11-14T23:25:21\+00:00">', text)


def test_the_axis_stands_where_the_picture_has_its_times() -> None:
    """The style's columns are a third of the way to each label."""
    assert pytest.approx(31.25) == 100 * 2 * 3600 / (BACK + AHEAD)
    assert "grid-template-columns:repeat(3,31.25%) 6.25%" in STYLE


def test_a_token_that_was_there_before_is_drawn() -> None:
    """Nothing was seen of it, but the process knows from when it has it."""
    text = page(given.facts([given.account(1, marks=[])]), ENGLISH, 10)

    assert 'class="l0"' in text


def test_no_life_is_longer_than_wechat_gives() -> None:
    """Of a token that nobody renewed the bar ends, where it ended."""
    from wxmiddleware.status._history import Mark, lives

    assert [(0.0, 7500.0)] == lives([Mark(0.0, "token", 1)], 14_000.0)
    assert [(0.0, 100.0), (100.0, 200.0)] == lives([Mark(0.0, "token", 1), Mark(100.0, "token", 2)], 200.0)
