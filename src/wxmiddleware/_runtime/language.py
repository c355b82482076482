"""
Which language people read: Chinese if ``WXM_LANG`` or else the locale says so, English otherwise.

It is for what is shown to people at a terminal or on a page. Logs, errors and names of fields are English everywhere.
A text that is there in both is a `Text`, so that the two stand side by side and none can be missing.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

__all__ = ["Language", "Text", "columns", "language", "of_code"]

_OURS = "WXM_LANG"
# The order of POSIX: the first that is set and not empty counts.
_LOCALE = ("LC_ALL", "LC_MESSAGES", "LANG")


class Language(StrEnum):
    """The languages that there are, by their code in HTML and in a locale."""

    ENGLISH = "en"
    CHINESE = "zh"


class Text(NamedTuple):
    """One text in both languages. ``{name}`` in it is filled in by `say`."""

    en: str
    zh: str

    def say(self, chosen: Language, **fields: object) -> str:
        """Give the text in a language, with its fields filled in."""
        text = self.zh if chosen is Language.CHINESE else self.en
        return text.format(**fields)


def language(environ: Mapping[str, str] | None = None) -> Language:
    """
    Tell which language the user of this process reads.

    ``WXM_LANG`` counts before the locale (``LC_ALL``, ``LC_MESSAGES``, ``LANG``); with a value that is neither Chinese
    nor English it is English.

    Args:
        environ: The process's own environment by default.
    """
    environ = os.environ if environ is None else environ
    said = next((environ[name] for name in (_OURS, *_LOCALE) if environ.get(name)), "")
    return of_code(said) or Language.ENGLISH


def columns(text: str) -> int:
    """Tell how many columns of a terminal a text takes: a Chinese character takes two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def of_code(code: str) -> Language | None:
    """Tell the language of a code such as ``zh``, ``zh-CN`` or ``zh_CN.UTF-8``; ``None`` if it is none of ours."""
    word = code.strip().lower().replace("_", "-").partition(".")[0].partition("-")[0]
    return next((each for each in Language if each == word), None)
