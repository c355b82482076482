"""What a shell sees: lines for people, or one JSON object. Either may be shown to anybody."""

from __future__ import annotations

import ipaddress
import json
import os
import platform
import re
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus, unquote, urlsplit

from ..._rules.models import one_line
from ..._runtime.language import Language, columns
from ..._runtime.masking import MASK, mask, mask_data
from .checks import Check, Result, cause_of
from .findings import Level
from .network import proxy_of
from .words import COSTS, FRAME, LEVELS

if TYPE_CHECKING:
    from .examination import Examination

__all__ = ["Screen", "as_json", "head", "lines_of", "list_of", "summary"]

_ADDRESS = re.compile(
    r"(?<![\w.])(?:::ffff:)?\d{1,3}(?:\.\d{1,3}){3}(?!\w|\.\d)"
    r"|(?<![\w.:])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?![\w:])"
)
_UNASKED = frozenset({"fetch.passive", "fetch.no_secret"})
_SHORTEST = 4  # a shorter word would be masked wherever it happens to stand


class Screen:
    """
    Takes out of a text what nobody else should see.

    Tokens and secrets; users and passwords of URLs; the home directory; addresses, but those of this machine and those
    that WeChat has to be told.

    Args:
        secrets: What must not be shown, in whatever form.
        language: In which language to say it.
    """

    def __init__(self, secrets: Iterable[str], language: Language) -> None:
        forms = {form for each in secrets for form in (each, quote(each, safe=""), quote_plus(each))}
        # The longest first: one may be a part of another.
        self._secrets = sorted((each for each in forms if len(each) >= _SHORTEST), key=len, reverse=True)
        self._home = os.path.expanduser("~")
        self.language = language

    def text(self, text: str, shows: Collection[str] = ()) -> str:
        """Give a text as it may be shown, on one line."""
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        if len(self._home) > 1:
            text = text.replace(self._home, "~")
        return one_line(_ADDRESS.sub(lambda found: _shortened(found[0], shows), mask(text)))

    def data(self, value: Any, shows: Collection[str] = ()) -> Any:
        """Give figures as they may be shown."""
        if isinstance(value, str):
            return self.text(value, shows)
        if isinstance(value, dict):
            return {name: self.data(each, shows) for name, each in mask_data(value).items()}
        return [self.data(each, shows) for each in value] if isinstance(value, list | tuple) else value


def secrets_of(examination: Examination) -> set[str]:
    """All that this process knows and nobody else should: also users and passwords in the URLs of store and proxy."""
    found = set(examination.secrets)
    names = ("WECHAT_SECRET", "WECOM_SECRET", "WECHAT_TOKEN", "WECHAT_AES_KEY", "WECHAT_COMPONENT_SECRET")
    found |= {os.environ.get(name, "") for name in names}
    account = examination.account
    proxy = None if account is None else proxy_of(account.base_url)
    urls = [examination.url, examination.options.webhook, proxy or ""]
    for url in urls:
        with suppress(ValueError):
            parts = urlsplit(url)
            found |= {unquote(each) for each in (parts.username, parts.password) if each}
    return found - {""}


def _shortened(text: str, shows: Collection[str]) -> str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return text  # a time, a version
    if text in shows or address.is_loopback or address.is_unspecified:
        return text
    return ".".join((*text.split(".")[:2], "*", "*")) if address.version == 4 else f"{text.split(':', maxsplit=1)[0]}:*"


# For people


def head(examination: Examination, screen: Screen) -> str:
    """Say what is looked at, and with what."""
    return screen.text(FRAME["head"].say(screen.language, **_about(examination, screen)))


def _about(examination: Examination, screen: Screen) -> dict[str, str]:
    from importlib.metadata import version

    account = examination.account
    nobody = FRAME["nobody"].say(screen.language)
    return {
        "version": version("wxmiddleware"),
        "python": platform.python_version(),
        "system": platform.system(),
        "appid": nobody if account is None else account.appid,
        "host": "-" if account is None else account.host,
        "kind": examination.source.kind,
    }


def lines_of(result: Result, width: int, screen: Screen) -> list[str]:
    """
    Write a result as lines.

    Args:
        width: Of the longest name.
    """
    finding, language = result.finding, screen.language
    level = LEVELS[finding.level].say(language)
    before = f"{level}{' ' * (5 - columns(level))} {result.check.name:{width}}  "
    lines = [before + screen.text(finding.seen(language), finding.shows)]
    todo = finding.todo(language)
    if todo and finding.level is not Level.OK:
        lines.append(" " * (8 + width) + screen.text(todo, finding.shows))
    return lines


def summary(results: Sequence[Result], screen: Screen) -> str:
    """Say what the cause is, and how many there are of each level."""
    cause, language = cause_of(results), screen.language
    each_level = {level.value: sum(each.level is level for each in results) for level in Level}
    counts = FRAME["counts"].say(language, **each_level)
    if cause is None:
        return FRAME["unasked" if _unasked(results) else "sound"].say(language, counts=counts)
    finding = cause.finding
    said = ("" if language is Language.CHINESE else " ").join(
        each for each in (finding.seen(language), finding.todo(language)) if each
    )
    return FRAME["cause"].say(language, name=cause.check.name, said=screen.text(said, finding.shows), counts=counts)


def _unasked(results: Sequence[Result]) -> bool:
    """Tell whether it is not known what WeChat says to who asks for a token."""
    return any(
        each.check.name == "fetch" and (bool(each.blocked_by) or each.finding.key in _UNASKED) for each in results
    )


def list_of(table: Sequence[Check], language: Language) -> list[str]:
    """Write what checks there are, what they are about and what they cost."""
    width = max(len(check.name) for check in table)
    return [
        f"{check.name:{width}}  "
        + FRAME["list"].say(language, about=check.about.say(language), cost=COSTS[check.cost].say(language))
        for check in table
    ]


# For machines


def as_json(examination: Examination, results: Sequence[Result], screen: Screen) -> str:
    """Write one JSON object. The names in it are English; what is said is in the language that was chosen."""
    cause = cause_of(results)
    return json.dumps(
        {
            **{name: screen.text(text) for name, text in _about(examination, screen).items()},
            "ok": cause is None,
            "asked": not _unasked(results),
            "cause": None if cause is None else cause.check.name,
            "checks": [_as_dict(each, screen) for each in results],
        },
        ensure_ascii=False,
        indent=2,
    )


def _as_dict(result: Result, screen: Screen) -> dict[str, Any]:
    finding, language = result.finding, screen.language
    return {
        "name": result.check.name,
        "level": finding.level.value,
        "finding": finding.key,
        "seen": screen.text(finding.seen(language), finding.shows),
        "todo": screen.text(finding.todo(language), finding.shows) or None,
        "blocked_by": result.blocked_by or None,
        "cost": result.check.cost.value,
        "data": screen.data(dict(finding.data), finding.shows),
    }
