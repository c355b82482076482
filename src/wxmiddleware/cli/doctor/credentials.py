"""What WeChat says of the account: does it know it, is the secret right, is it frozen, may this address ask."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..._rules.advice import Place
from ..._rules.errcodes import address_in, words_on
from ..._rules.models import Failure, Grant, Record, WeComAccount
from ..._runtime.language import Text
from .findings import Finding, fail, ok, skip, warn

if TYPE_CHECKING:
    from .examination import Examination

# What an errcode of a token endpoint is about. WeChat looks at the AppID first; the order after that is not known.
_ACCOUNT = frozenset({40013, 41002, 61024})
_SECRET = frozenset({40001, 40125, 41004})
_FROZEN = frozenset({40243, 48001, 48002, 50002, 50003, 50004, 50007})
_ADDRESS = frozenset({-1000, 40164, 60020, 89501, 89503, 89506, 89507})
QUOTA = frozenset({45009, 45011})
_ABOUT = _ACCOUNT | _SECRET | _FROZEN | _ADDRESS | QUOTA


@dataclass(frozen=True, slots=True)
class Word:
    """
    The last thing that a token endpoint said of the account.

    Attributes:
        failure: Why it gave no token; ``None`` if it gave one.
        ago: Seconds since then, if a process of the fleet was told; ``None`` if we were.
    """

    failure: Failure | None
    ago: float | None = None

    @property
    def errcode(self) -> int | None:
        """WeChat's code, if it gave no token."""
        return None if self.failure is None else self.failure.errcode

    @property
    def when(self) -> Text:
        """Who was told, and when."""
        if self.ago is None:
            return Text("WeChat says now", "微信刚刚答复")
        return Text(f"WeChat told the fleet {self.ago:.0f} s ago", f"微信在 {self.ago:.0f} 秒前答复过各服务")


def word_of(fetched: Grant | Failure | None, record: Record | None, now: float, mark: str) -> Word | None:
    """
    What WeChat said last: to us, or else to the fleet, as its record has it; ``None`` if nobody knows.

    Args:
        fetched: What we were told.
        record: The fleet's.
        now: The time of the record.
        mark: Which secret ours is (`Account.mark`): a failure about another one tells nothing of ours.
    """
    if isinstance(fetched, Grant):
        return Word(None)
    if fetched is not None:
        return Word(fetched)
    if record is None:
        return None
    cooldown = record.cooldown
    if cooldown is not None and now < cooldown.until and cooldown.mark in ("", mark):
        began = cooldown.until - (cooldown.failure.retry_after or 0.0)
        return Word(cooldown.failure, max(0.0, now - began))
    if record.value is not None and math.isfinite(record.received_at):
        return Word(None, max(0.0, now - record.received_at))
    return None


def look_at_fetch(examination: Examination) -> Finding:
    """See whether the token endpoint gives a token, if it may be asked; and what it said last, if not."""
    options, settings = examination.options, examination.settings
    return judge_fetch(examination.word, _place(examination), active=options.active, secret=bool(settings.secret))


def judge_fetch(word: Word | None, place: Place = Place.TOKEN, *, active: bool, secret: bool) -> Finding:
    """Judge the last word. An errcode that one of the other checks is about is left to that."""
    if active and not secret:
        return skip("fetch.no_secret")
    if word is None:
        return skip("fetch.passive")
    if word.failure is None:
        return ok("fetch.ok", when=word.when)
    failure = word.failure
    if failure.errcode in _ABOUT:
        return ok("fetch.answered", when=word.when, errcode=failure.errcode)
    if word.ago is not None:
        return skip("fetch.pause", when=word.when)
    if failure.errcode is None:
        return fail("fetch.silent", when=word.when, problem=failure.message)
    return _refused("fetch.refused", word, failure.errcode, place)


def look_at_account(examination: Examination) -> Finding:
    """See whether WeChat knows the AppID."""
    return _judge(examination, "account", _ACCOUNT)


def look_at_credentials(examination: Examination) -> Finding:
    """See whether the secret is right."""
    return _judge(examination, "credentials", _SECRET)


def look_at_frozen(examination: Examination) -> Finding:
    """See whether secret or account are frozen or limited."""
    return _judge(examination, "frozen", _FROZEN)


def look_at_allowlist(examination: Examination) -> Finding:
    """See whether the address that requests leave by is allowed."""
    return _judge(examination, "allowlist", _ADDRESS)


def _judge(examination: Examination, name: str, about: frozenset[int]) -> Finding:
    return judge_word(examination.word, name, about, _place(examination))


def _place(examination: Examination) -> Place:
    return Place.WECOM_TOKEN if isinstance(examination.account, WeComAccount) else Place.TOKEN


def judge_word(word: Word | None, name: str, about: frozenset[int], place: Place = Place.TOKEN) -> Finding:
    """
    Judge what WeChat said with regard to one of its reasons.

    Args:
        word: What it said.
        name: The check's.
        about: The errcodes that are about this.
        place: Who was asked.
    """
    if word is None:
        return skip("word.unknown")
    if word.failure is None:
        return ok("word.ok", when=word.when) if word.ago is None else ok("word.fleet", ago=word.ago)
    if word.errcode is None:
        return skip("word.silent")
    if word.errcode in about:
        return _refused("word.refused", word, word.errcode, place)
    if name == "account" and word.errcode in _ABOUT:
        return ok("word.known", when=word.when, errcode=word.errcode)  # it is looked at first
    return skip("word.before", errcode=word.errcode)


def _refused(key: str, word: Word, errcode: int, place: Place) -> Finding:
    failure = word.failure
    assert failure is not None
    advice, address = words_on(place, errcode, failure.errmsg), address_in(failure.errmsg)
    data = {"errcode": errcode, "rid": failure.rid, **({"address": address} if address else {})}
    return fail(
        key,
        when=word.when,
        errcode=errcode,
        advice=Text(*advice),
        data=data,
        shows=() if address is None else (address,),
    )


def look_at_pause(examination: Examination) -> Finding:
    """See whether a back-off keeps the fleet from asking."""
    record = examination.record
    if record is None:
        return skip("record.unknown")
    return judge_pause(record, examination.now, "" if examination.account is None else examination.account.mark)


def judge_pause(record: Record, now: float, mark: str) -> Finding:
    """Judge a record's back-off."""
    cooldown = record.cooldown
    if cooldown is None or now >= cooldown.until:
        return ok("pause.none")
    seconds, failure = cooldown.until - now, cooldown.failure
    data = {"seconds": round(seconds), "streak": cooldown.streak, "cause": failure.cause.value}
    if cooldown.mark not in ("", mark):
        return warn("pause.other_secret", seconds=seconds, data=data)
    words = (failure.message, failure.message)
    if failure.errcode is not None:
        words = words_on(Place.TOKEN, failure.errcode, failure.errmsg)
    return fail("pause.on", seconds=seconds, streak=cooldown.streak, message=Text(*words), data=data)
