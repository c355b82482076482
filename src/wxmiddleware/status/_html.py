"""The page itself. Everything that is put into it is escaped by markupsafe; no script, no font, no other host."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from markupsafe import Markup

from .._runtime.language import Language, Text
from ..pool import PoolStatus
from ..stores._advice import translated
from . import _words as words
from ._facts import AccountFacts, EventFacts, Facts, PlatformFacts, Process, StoreFacts, iso
from ._picture import BACK, Row, picture
from ._style import STYLE
from ._words import ago, both, duration

_EMPTY: Final = Markup("")
_PAGE: Final = Markup(
    '<!doctype html><html lang="{lang}"><head><meta charset="utf-8"><meta name="viewport" '
    'content="width=device-width, initial-scale=1"><meta http-equiv="refresh" content="{seconds}">'
    '<meta name="robots" content="noindex"><title>{title}</title><style>{style}</style></head><body><main>'
    '<h1 class="{tone}">{first}</h1>{parts}<p class="soft">{at} · <a href="?lang={other}" lang="{other}">{switch}</a>'
    '</p><p class="soft">{foot}</p></main></body></html>'
)
_ENTRY: Final = Markup("<div><dt>{}</dt><dd>{}</dd></div>")
_WIDE: Final = Markup('<div class="wide"><dt>{}</dt><dd>{}</dd></div>')
_CARD: Final = Markup('<section class="card"><div class="head"><span dir="ltr">{} {}</span>{}</div>{}</section>')
_NAME: Final = Markup('<bdi class="name">{}</bdi>')
_SOFT: Final = Markup('<bdi class="soft">{}</bdi>')
_STATE: Final = Markup('<span class="state {}">{}</span>')
_WRONG: Final = Markup('<p class="{}">{}</p>')
_ORIGINAL: Final = Markup('<p class="soft" lang="en">{}</p>')


def page(facts: Facts, language: Language, seconds: int) -> str:
    """
    Write the page.

    Args:
        facts: What it says.
        language: In which language.
        seconds: After how many the browser loads it anew.
    """
    other = Language.ENGLISH if language is Language.CHINESE else Language.CHINESE
    return _PAGE.format(
        lang="zh-CN" if language is Language.CHINESE else "en",
        seconds=seconds,
        title=words.TITLE.say(language),
        style=Markup(STYLE),  # noqa: S704 - our own
        tone=_tone(facts),
        first=first_line(facts, language),
        parts=_Page(facts, language).parts(),
        at=_exactly(facts.now),
        other=other.value,
        switch=words.OTHER_LANGUAGE.say(language),
        foot=words.ONE_OF_MANY.say(language, name=_process(facts.process, language), seconds=seconds),
    )


def first_line(facts: Facts, language: Language) -> str:
    """Say in one line whether all is well."""
    if not facts.count:
        return words.NO_ACCOUNT.say(language)
    if facts.count == 1:
        said = [(words.ONE_WELL if facts.with_token else words.ONE_ILL).say(language)]
    else:
        said = [words.ALL_WELL.say(language, n=facts.with_token, all=facts.count)]
    if facts.unwell and facts.count > 1:
        said.append(words.UNWELL.say(language, n=facts.unwell))
    said.append(_of_stores([each for each in facts.stores if each.health.shared], language))
    joint, end = ("；", "。") if language is Language.CHINESE else ("; ", ".")
    return joint.join(said) + end


def _of_stores(stores: list[StoreFacts], language: Language) -> str:
    if not stores:
        return words.OWN_MEMORY.say(language)
    times = [each.health.seconds * 1000 for each in stores if each.health.ok]
    if len(times) < len(stores):
        return words.STORE_ILL.say(language)
    slowest = f"{max(times):.1f}"
    if len(times) == 1:
        return words.STORE_WELL.say(language, ms=slowest)
    return words.STORES_WELL.say(language, n=len(times), ms=slowest)


def _tone(facts: Facts) -> str:
    if facts.with_token < facts.count:
        return "bad"
    stores_well = all(each.health.ok for each in facts.stores)
    tickets_well = all(each.status is None or each.status.ticket == "good" for each in facts.platforms)
    return "good" if not facts.unwell and stores_well and tickets_well else "warn"


class _Page:
    """The parts of one page, in one language."""

    def __init__(self, facts: Facts, language: Language) -> None:
        self._facts, self._language = facts, language

    def parts(self) -> Markup:
        facts = self._facts
        return _EMPTY.join(
            [
                self._section(words.POOLS, map(self._pool, facts.pools)),
                self._section(words.PLATFORMS, map(self._platform, facts.platforms)),
                self._section(words.ACCOUNTS, map(self._account, facts.accounts)),
                self._more(),
                self._soft(words.LEGEND) if facts.accounts else _EMPTY,
                self._section(words.STORES, map(self._store, facts.stores)),
                _SOFT.format(self._say(words.MORE_STORES, n=facts.stores_left_out))
                if facts.stores_left_out
                else _EMPTY,
                self._section(words.PUSHES, [self._pushes()]),
                self._section(words.EVENTS, [self._list(map(self._event, facts.events), words.NOTHING_YET)]),
                self._section(words.PROCESSES, [self._list(map(self._seen, facts.processes), words.NOTHING_YET)]),
            ]
        )

    def _say(self, text: Text, **fields: object) -> str:
        return text.say(self._language, **fields)

    def _soft(self, text: Text) -> Markup:
        return Markup('<p class="soft">{}</p>').format(self._say(text))

    def _section(self, title: Text, parts: Iterable[Markup]) -> Markup:
        joined = _EMPTY.join(parts)
        return Markup("<h2>{}</h2>{}").format(self._say(title), joined) if joined else _EMPTY

    def _list(self, rows: Iterable[Markup], nothing: Text) -> Markup:
        joined = _EMPTY.join(rows) or Markup('<li class="soft">{}</li>').format(self._say(nothing))
        return Markup('<ul class="card">{}</ul>').format(joined)

    def _entries(self, said: Iterable[tuple[object, object]], kind: str = "") -> Markup:
        joined = _EMPTY.join(_ENTRY.format(name, value) for name, value in said)
        return Markup("<dl{}>{}</dl>").format(Markup(' class="card"') if kind else "", joined) if joined else _EMPTY

    def _state(self, state: str) -> str:
        return self._say(words.STATES[state]) if state in words.STATES else state

    def _states(self, states: dict[str, int]) -> str:
        joint = "，" if self._language is Language.CHINESE else ", "
        return joint.join(f"{self._state(name)} {number}" for name, number in states.items()) or "0"

    def _until(self, seconds: float) -> Markup:
        return Markup("{} {}").format(
            duration(seconds, self._language), _time(self._facts.now + seconds, self._facts.now)
        )

    def _ago(self, at: float) -> Markup:
        return Markup("{} {}").format(ago(self._facts.now - at, self._language), _time(at, self._facts.now))

    def _account(self, one: AccountFacts) -> Markup:
        name = one.appid if one.app is None else f"{one.appid} / {one.app}"
        tone = "bad" if not one.has_token else "good" if one.is_well else "warn"
        entries = _EMPTY.join(_ENTRY.format(text, value) for text, value in self._said(one))
        known = Markup("<dl>{}{}</dl>").format(entries, self._places(one))
        body = [self._why(one, tone), *self._mirrors(one), known, self._drawn(one)]
        state = _STATE.format(tone, self._state(one.state))
        return _CARD.format(_NAME.format(name), _SOFT.format(one.kind), state, _EMPTY.join(body))

    def _said(self, one: AccountFacts) -> Iterable[tuple[object, object]]:
        say = self._say
        if one.has_token and one.expires_in is not None:
            yield say(words.ENDS), self._until(one.expires_in)
            due = one.renews_in is None or one.renews_in <= 0
            yield say(words.RENEWS), say(words.RENEWS_NOW) if due else self._until(one.renews_in or 0.0)
        if one.fetches_today is not None:
            yield say(words.TODAY), one.fetches_today
        if one.forced_today:
            yield say(words.FORCED), one.forced_today
        if one.rejections:
            yield say(words.REJECTIONS), one.rejections
        if one.refreshed_by is not None:
            yield say(words.REFRESHED_BY), _process(one.refreshed_by, self._language)

    def _places(self, one: AccountFacts) -> Markup:
        """Where it comes from, which one it is and where it goes: words that may be long."""
        said: list[tuple[Text, object]] = [(words.HOST, one.host)]
        if one.generation:
            said.append((words.GENERATION, one.generation))
        said += [(words.MIRROR, each.name) for each in one.mirrors if each.problem is None]
        return _EMPTY.join(_WIDE.format(self._say(text), name) for text, name in said)

    def _drawn(self, one: AccountFacts) -> Markup:
        now, marks = self._facts.now, [mark for mark in one.marks if mark.at >= self._facts.now - BACK]
        tokens = sum(mark.what == "token" for mark in marks)
        label = self._say(words.PICTURE, n=tokens, bad=len(marks) - tokens)
        ends, renews = (
            now + each if one.has_token and each is not None else None for each in (one.expires_in, one.renews_in)
        )
        axis = (*(self._say(words.HOURS, n=each) for each in ("\u22124", "\u22122")), self._say(words.NOW))
        axis += (self._say(words.HOURS, n="+2"),)
        return Markup('{}<div class="axis" aria-hidden="true">{}</div>').format(
            picture(Row(now, one.marks, one.since, ends, renews, label)),
            _EMPTY.join(Markup("<span>{}</span>").format(each) for each in axis),
        )

    def _why(self, one: AccountFacts, tone: str) -> Markup:
        if one.failure is None:
            return _EMPTY
        off = one.backing_off
        pause = self._say(words.PAUSE, time=duration(off, self._language)) if off else ""
        if self._language is Language.ENGLISH or one.advice is None:
            return _WRONG.format(tone, " ".join(filter(None, [one.failure, pause])))
        advice = f"{both(one.advice, self._language)}{pause}"
        return _WRONG.format(tone, advice) + _ORIGINAL.format(one.failure)

    def _mirrors(self, one: AccountFacts) -> list[Markup]:
        failing = [(each.name, translated(each.problem)) for each in one.mirrors if each.problem]
        title = self._say(words.MIRROR)
        return [_WRONG.format("warn", f"{title} {name}: {both(said, self._language)}") for name, said in failing]

    def _more(self) -> Markup:
        left_out = self._facts.count - len(self._facts.accounts)
        if left_out <= 0:
            return _EMPTY
        said = self._say(words.MORE, n=left_out, states=self._states(self._facts.states))
        return Markup('<p class="soft">{}</p>').format(said)

    def _pool(self, one: PoolStatus) -> Markup:
        said = self._say(
            words.POOL,
            count=one.count,
            maxsize=one.maxsize,
            states=self._states(one.states),
            off=one.backing_off,
            made=one.being_made,
        )
        return Markup('<p class="card">{}</p>').format(said)

    def _platform(self, one: PlatformFacts) -> Markup:
        found = one.status
        ticket = "unknown" if found is None else found.ticket.value
        tone = {"good": "good", "late": "warn", "unknown": "warn"}.get(ticket, "bad")
        said: list[tuple[object, object]] = []
        if found is not None and found.ticket_age is not None:
            said.append((self._say(words.TICKET_AGE), self._ago(self._facts.now - found.ticket_age)))
        if found is not None and found.ticket_ends_in:
            said.append((self._say(words.TICKET_ENDS), self._until(found.ticket_ends_in)))
        state = _STATE.format(tone, self._say(words.TICKETS[ticket]))
        return _CARD.format(_NAME.format(one.appid), _SOFT.format(self._say(words.TICKET)), state, self._entries(said))

    def _store(self, one: StoreFacts) -> Markup:
        health = one.health
        shared = _SOFT.format(self._say(words.SHARED if health.shared else words.ALONE))
        answer = f"{health.seconds * 1000:.1f} ms" if health.ok else self._say(words.NOT_ANSWERING)
        why = _EMPTY if one.said is None else _WRONG.format("bad", both(one.said, self._language))
        return _CARD.format(
            _NAME.format(health.name), shared, _STATE.format("good" if health.ok else "bad", answer), why
        )

    def _pushes(self) -> Markup:
        facts = self._facts
        if not facts.pushes:
            return Markup('<p class="card soft">{}</p>').format(self._say(words.NO_PUSH))
        said: list[tuple[object, object]] = [
            (self._say(words.OUTCOMES[each]) if each in words.OUTCOMES else each, number)
            for each, number in sorted(facts.pushes.items())
        ]
        if facts.pushed_at is not None:
            said.append((self._say(words.LAST_PUSH), self._ago(facts.pushed_at)))
        return self._entries(said, "card")

    def _seen(self, one: Process) -> Markup:
        return Markup("<li>{} {}</li>").format(_process(one, self._language), self._ago(self._facts.processes[one]))

    def _event(self, one: EventFacts) -> Markup:
        name = words.EVENT_NAMES.get(one.name)  # type: ignore[call-overload]
        advised = self._language is Language.CHINESE and one.advice is not None
        advice = Markup("<br>{}").format(both(one.advice, self._language)) if advised and one.advice else _EMPTY
        return Markup(
            '<li><strong{}>{}</strong> {} <bdi class="soft">{}</bdi>{}<br><span lang="en"{}>{}</span></li>'
        ).format(
            Markup(' class="warn"') if one.name in words.TROUBLE else "",
            one.name if name is None else self._say(name),
            self._ago(one.at),
            one.appid,
            advice,
            Markup(' class="soft"') if advised else "",
            one.message,
        )


def _process(process: Process, language: Language) -> str:
    return words.PROCESS.say(language, host=process[0], pid=process[1]) if process[1] else process[0]


def _time(at: float, now: float) -> Markup:
    """A time of this process's zone, as its logs have it; the day, too, if that is not today."""
    local = datetime.fromtimestamp(at).astimezone()
    today = local.date() == datetime.fromtimestamp(now).astimezone().date()
    shown = local.strftime("%H:%M:%S" if today else "%m-%d %H:%M:%S")
    return Markup('<time datetime="{}">{}</time>').format(iso(at), shown)


def _exactly(at: float) -> Markup:
    local = datetime.fromtimestamp(at).astimezone()
    return Markup('<time datetime="{}">{}</time>').format(iso(at), local.isoformat(" ", "seconds"))
