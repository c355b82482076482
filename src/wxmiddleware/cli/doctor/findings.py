"""What a check comes to: a level, what was seen, what to do, and the figures in it for machines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ..._runtime.language import Language, Text
from .words import WORDS

__all__ = ["Finding", "Level", "fail", "ok", "skip", "warn"]


class Level(StrEnum):
    """How good or bad it is."""

    OK = "ok"
    WARN = "warn"  # works today; look at it
    FAIL = "fail"
    SKIP = "skip"  # not looked at


@dataclass(frozen=True, slots=True)
class Finding:
    """
    What one check has found.

    Attributes:
        level: How good or bad it is.
        key: Which of `WORDS` it says.
        fields: What is filled into them; a `Text` in the language that is shown.
        data: Figures for machines, with English names.
        shows: Addresses that may be shown in full, as WeChat needs them.
    """

    level: Level
    key: str
    fields: Mapping[str, object] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    shows: frozenset[str] = frozenset()

    def seen(self, language: Language) -> str:
        """Say what was seen."""
        return self._said(WORDS[self.key].seen, language)

    def todo(self, language: Language) -> str:
        """Say what to do; empty if there is nothing."""
        words = WORDS[self.key].todo
        return "" if words is None else self._said(words, language).strip()

    def _said(self, text: Text, language: Language) -> str:
        fields = {
            name: value.say(language) if isinstance(value, Text) else value for name, value in self.fields.items()
        }
        return text.say(language, **fields)


def ok(key: str, /, **fields: Any) -> Finding:
    """All is as it should be."""
    return _finding(Level.OK, key, fields)


def warn(key: str, /, **fields: Any) -> Finding:
    """It works today."""
    return _finding(Level.WARN, key, fields)


def fail(key: str, /, **fields: Any) -> Finding:
    """It does not work."""
    return _finding(Level.FAIL, key, fields)


def skip(key: str, /, **fields: Any) -> Finding:
    """It was not looked at."""
    return _finding(Level.SKIP, key, fields)


def no_token(*, active: bool) -> Finding:
    """It was not looked at for want of a token; advise to ask for one only where that was not done."""
    return skip("any.no_token_given" if active else "any.no_token")


def _finding(level: Level, key: str, fields: dict[str, Any]) -> Finding:
    data, shows = fields.pop("data", {}), fields.pop("shows", ())
    return Finding(level, key, fields, data, frozenset(shows))
