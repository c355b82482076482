"""Which language people read, and texts that are there in both."""

from __future__ import annotations

import pytest

from wxmiddleware._runtime.language import Language, Text, language, of_code


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, Language.ENGLISH),
        ({"WXM_LANG": "zh"}, Language.CHINESE),
        ({"WXM_LANG": "zh-CN"}, Language.CHINESE),
        ({"WXM_LANG": "en", "LC_ALL": "zh_CN.UTF-8"}, Language.ENGLISH),
        ({"WXM_LANG": "", "LANG": "zh_CN.UTF-8"}, Language.CHINESE),
        ({"LC_ALL": "C.UTF-8", "LANG": "zh_CN.UTF-8"}, Language.ENGLISH),
        ({"LC_MESSAGES": "zh_TW.Big5", "LANG": "en_GB.UTF-8"}, Language.CHINESE),
        ({"LANG": "zh_HK@hongkong"}, Language.CHINESE),
        ({"LANG": "zhuang"}, Language.ENGLISH),
        ({"LANG": "de_DE.UTF-8"}, Language.ENGLISH),
        ({"LC_CTYPE": "zh_CN.UTF-8"}, Language.ENGLISH),
    ],
)
def test_environment(environ: dict[str, str], expected: Language) -> None:
    """Our own variable counts before the locale's, and these in the order of POSIX."""
    assert language(environ) is expected


def test_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an argument it is the process's own environment."""
    monkeypatch.setenv("WXM_LANG", "zh")

    assert language() is Language.CHINESE


def test_unknown_code() -> None:
    """A code that is neither language is none, so that a caller may look further."""
    assert of_code("fr-CH") is None
    assert of_code(" ZH-Hans ") is Language.CHINESE


def test_text() -> None:
    """A text is given in the language that was chosen, with its fields."""
    text = Text("{count} left", "还剩 {count} 次")

    assert text.say(Language.ENGLISH, count=3) == "3 left"
    assert text.say(Language.CHINESE, count=3) == "还剩 3 次"
