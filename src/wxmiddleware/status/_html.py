"""The page itself. Everything that is put into it is escaped by markupsafe; no script, no font, no other host."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime
from typing import Final

from markupsafe import Markup

from .._runtime.language import Language, Text
from ..health import StoreHealth
from . import _words as words
from ._facts import AccountFacts, Facts
from ._picture import BACK, Row, picture
from ._words import duration

_STYLE: Final = """
:root{color-scheme:light dark;--bg:#f6f7f8;--card:#fff;--text:#1c2126;--soft:#5b6670;--line:#dfe3e6;--good:#12753f;
--bad:#b3261e;--warn:#8a5a00;--bar:#2e9e62;--bar2:#57b884;--left:#cdebd9;--ahead:#f3dfae;--space:#e9ecee}
@media(prefers-color-scheme:dark){:root{--bg:#14181b;--card:#1d2327;--text:#e7ebee;--soft:#9aa6af;--line:#313a40;
--good:#6fd49b;--bad:#ff8a80;--warn:#f0c264;--bar:#37a86b;--bar2:#2a7f52;--left:#214433;--ahead:#5a4a1c;--space:#262d32}}
*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--text);font:16px/1.5 system-ui,"PingFang SC",
"Microsoft YaHei",sans-serif}main{max-width:60rem;margin:0 auto;padding:1rem}h1{font-size:1.35rem;line-height:1.3;
margin:.5rem 0 1rem}h2{font-size:1rem;margin:1.6rem 0 .5rem;color:var(--soft);font-weight:600}
.card{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.8rem 1rem;margin:0 0 .6rem}
.name{font-weight:600;overflow-wrap:anywhere}.state{float:right;font-weight:600}.good{color:var(--good)}
.bad{color:var(--bad)}.warn{color:var(--warn)}dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(9.5rem,1fr));
gap:.3rem 1rem;margin:.5rem 0 0}dt{color:var(--soft);font-size:.8rem}dd{margin:0;font-variant-numeric:tabular-nums;
overflow-wrap:anywhere}dl div{min-width:0}p{margin:.4rem 0;overflow-wrap:anywhere}.soft{color:var(--soft);
font-size:.85rem}svg{display:block;width:100%;height:2.25rem;margin-top:.6rem}.space{fill:var(--space)}
.l0{fill:var(--bar)}.l1{fill:var(--bar2)}.left{fill:var(--left)}.ahead{fill:var(--ahead)}.rejected{fill:var(--bad)}
.failed{fill:var(--warn)}.now{stroke:var(--text);stroke-width:2}ul{list-style:none;padding:0;margin:0}
li+li{border-top:1px solid var(--line);padding-top:.4rem;margin-top:.4rem}time{color:var(--soft);font-size:.85rem}
a{color:inherit}
"""
POLICY: Final = (
    "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    + "'"
)

_PAGE: Final = Markup(
    '<!doctype html><html lang="{lang}"><head><meta charset="utf-8"><meta name="viewport" '
    'content="width=device-width, initial-scale=1"><meta http-equiv="refresh" content="{seconds}">'
    '<meta name="robots" content="noindex"><title>{title}</title><style>{style}</style></head><body><main>'
    '<h1 class="{tone}">{first}</h1>{parts}<p class="soft">{foot} · <a href="?lang={other}" lang="{other}">{switch}</a>'
    "</p></main></body></html>"
)


def page(facts: Facts, language: Language, seconds: int) -> str:
    """
    Write the page.

    Args:
        facts: What it says.
        language: In which language.
        seconds: After how many the browser loads it anew.
    """
    other = Language.ENGLISH if language is Language.CHINESE else Language.CHINESE
    parts = Markup("").join(
        [
            _section(words.ACCOUNTS, [_account(each, facts.now, language) for each in facts.accounts], language),
            _more(facts, language),
            Markup('<p class="soft">{}</p>').format(words.LEGEND.say(language)),
            _section(words.STORES, [_store(each, language) for each in facts.stores], language),
            _pushes(facts, language),
            _processes(facts, language),
            _events(facts, language),
        ]
    )
    return _PAGE.format(
        lang="zh-CN" if language is Language.CHINESE else "en",
        seconds=seconds,
        title=words.TITLE.say(language),
        style=Markup(_STYLE),  # noqa: S704 - our own
        tone="good" if _is_well(facts) else "bad",
        first=first_line(facts, language),
        parts=parts,
        foot=words.THIS_PROCESS.say(language, name=facts.process, at=_clock(facts.now)),
        other=other.value,
        switch=words.OTHER_LANGUAGE.say(language),
    )


def first_line(facts: Facts, language: Language) -> str:
    """Say in one line whether all is well."""
    if not facts.count:
        return words.NO_ACCOUNT.say(language)
    if facts.count == 1:
        said = (words.ONE_WELL if facts.with_token else words.ONE_ILL).say(language)
    else:
        said = words.ALL_WELL.say(language, n=facts.with_token, all=facts.count)
    joint, end = ("；", "。") if language is Language.CHINESE else ("; ", ".")
    return f"{said}{joint}{_of_stores([each for each in facts.stores if each.shared], language)}{end}"


def _of_stores(stores: list[StoreHealth], language: Language) -> str:
    if not stores:
        return words.OWN_MEMORY.say(language)
    times = [each.seconds * 1000 for each in stores if each.ok]
    if len(times) < len(stores):
        return words.STORE_ILL.say(language)
    slowest = f"{max(times):.1f}"
    return (
        words.STORE_WELL.say(language, ms=slowest)
        if len(times) == 1
        else words.STORES_WELL.say(language, n=len(times), ms=slowest)
    )


def _is_well(facts: Facts) -> bool:
    return facts.count == facts.with_token and all(each.problem is None for each in facts.stores)


def _section(title: Text, parts: list[Markup], language: Language) -> Markup:
    if not parts:
        return Markup("")
    return Markup("<h2>{}</h2>{}").format(title.say(language), Markup("").join(parts))


def _account(one: AccountFacts, now: float, language: Language) -> Markup:
    said: list[tuple[Text, str]] = []
    if one.has_token and one.expires_in is not None:
        said.append((words.ENDS, duration(one.expires_in, language)))
        said.append((words.RENEWS, duration(one.renews_in or 0.0, language)))
    said.append((words.GENERATION, str(one.generation)))
    if one.fetches_today is not None:
        said.append((words.TODAY, str(one.fetches_today)))
    said += [(text, str(number)) for text, number in _unusual(one) if number]
    said.append((words.HOST, one.host))
    rows = Markup("").join(
        Markup("<div><dt>{}</dt><dd>{}</dd></div>").format(text.say(language), value) for text, value in said
    )
    marks = [mark for mark in one.marks if mark.at >= now - BACK]
    label = words.PICTURE.say(
        language,
        n=sum(mark.what == "token" for mark in marks),
        bad=sum(mark.what != "token" for mark in marks),
    )
    drawn = picture(Row(now, one.marks, _then(now, one.expires_in, one), _then(now, one.renews_in, one), label))
    name = one.appid if one.app is None else f"{one.appid} / {one.app}"
    state = words.STATES.get(one.state)
    return Markup(
        '<section class="card"><span class="state {}">{}</span><span class="name">{}</span> '
        '<span class="soft">{}</span>{}<dl>{}</dl>{}</section>'
    ).format(
        "good" if one.has_token else "bad",
        one.state if state is None else state.say(language),
        name,
        one.kind,
        _why(one, language),
        rows,
        drawn,
    )


def _then(now: float, seconds: float | None, one: AccountFacts) -> float | None:
    return now + seconds if one.has_token and seconds is not None else None


def _unusual(one: AccountFacts) -> list[tuple[Text, int | str | None]]:
    return [
        (words.FORCED, one.forced_today),
        (words.REJECTIONS, one.rejections),
        (words.REFRESHED_BY, one.refreshed_by),
    ]


def _why(one: AccountFacts, language: Language) -> Markup:
    if one.failure is None:
        return Markup("")
    pause = "" if one.backing_off is None else f"{words.PAUSE.say(language)} {duration(one.backing_off, language)}. "
    return Markup('<p class="bad">{}{}</p>').format(pause, one.failure)


def _more(facts: Facts, language: Language) -> Markup:
    if not facts.others:
        return Markup("")
    return Markup('<p class="soft">{}</p>').format(words.MORE.say(language, n=len(facts.others)))


def _store(one: StoreHealth, language: Language) -> Markup:
    shared = (words.SHARED if one.shared else words.ALONE).say(language)
    state = f"{one.seconds * 1000:.1f} ms" if one.ok else "✗"
    why = Markup("") if one.problem is None else Markup('<p class="bad">{}</p>').format(one.problem)
    return Markup(
        '<section class="card"><span class="state {}">{}</span><span class="name">{}</span> '
        '<span class="soft">{}</span>{}</section>'
    ).format("good" if one.problem is None else "bad", state, one.name, shared, why)


def _pushes(facts: Facts, language: Language) -> Markup:
    rows = [
        Markup("<div><dt>{}</dt><dd>{}</dd></div>").format(outcome, number)
        for outcome, number in sorted(facts.pushes.items())
    ]
    return (
        _section(words.PUSHES, [Markup('<dl class="card">{}</dl>').format(Markup("").join(rows))], language)
        if (rows)
        else Markup("")
    )


def _processes(facts: Facts, language: Language) -> Markup:
    rows = [Markup("<li>{} <time>{}</time></li>").format(name, _clock(at)) for name, at in facts.processes.items()]
    return _section(words.PROCESSES, [Markup('<ul class="card">{}</ul>').format(Markup("").join(rows))], language)


def _events(facts: Facts, language: Language) -> Markup:
    rows = [
        Markup("<li><time>{}</time> <strong>{}</strong> {} <span class=soft>{}</span></li>").format(
            each.at, each.name, each.message, each.appid
        )
        for each in facts.events
    ] or [Markup('<li class="soft">{}</li>').format(words.NOTHING_YET.say(language))]
    return _section(words.EVENTS, [Markup('<ul class="card">{}</ul>').format(Markup("").join(rows))], language)


def _clock(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
