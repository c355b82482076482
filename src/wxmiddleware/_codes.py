"""
The auth_codes that are being redeemed, written down before WeChat or WeCom is asked: a process may die in between.

A code is good once, for ten minutes or so. While it is written down, others see that somebody is at it; of a suite,
another process redeems it if the first one died before WeCom had acted. Once it was redeemed, its digest and whose it
was stay for ten minutes, so that the page which is loaded twice, and a notice that is repeated or brings the code of
the page, lead to the same account or corp.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from urllib.parse import quote, unquote

from ._engine.link import StoreLink
from ._rules.models import LONGEST_TOKEN, Record
from ._rules.policies import next_generation
from ._runtime.clock import Clock
from .exceptions import StoreError

__all__ = ["BETWEEN", "TRIES", "AuthCodes"]

# How often, and after how many seconds, one looks for what another process or a failing store is about to have.
TRIES, BETWEEN = 6, 0.5

_LIFE = 600.0
# Whoever redeems a code is done by then, or dead: a fetch takes 5 s at most, and a save is tried for some seconds.
_LEFT_ALONE = 30.0
_KEPT = 86_400.0

_Entries = list[tuple[float, float, str, str]]  # written down at, claimed at, "code" or digest, whose


class AuthCodes:
    """
    Those of one platform or suite. A code is called ``token`` here, a name whose value error trackers hide.

    Args:
        link: Where they lie.
        clock: The process's.
    """

    def __init__(self, link: StoreLink, clock: Clock) -> None:
        self._link, self._clock = link, clock

    def begin(self, token: str) -> tuple[str, bool]:
        """
        Write down a code that is about to be redeemed.

        Returns:
            Whose it was, if it was redeemed before, else the empty string; and whether somebody else is at it.

        Raises:
            StoreError: The store failed; the code is not used up.
        """
        found: list[str] = []
        others: list[str] = []

        def change(entries: _Entries, now: float) -> _Entries:
            found[:] = [whose for _, _, word, whose in entries if word == _digest(token)]
            others[:] = [word for _, _, word, _ in entries if word == token]
            mine = [entry for entry in entries if entry[2] != token]
            return entries if found else [*mine, (now, now, token, "")]

        self._amend(change)
        return (found[0] if found else ""), bool(others)

    def await_other(self, token: str, sleep: Callable[[float], object]) -> str:
        """
        Wait for the process that is at the same code: a page was loaded twice, or a notice came beside it.

        Returns:
            Whose it was; empty if the other has not redeemed it in time.
        """
        for _ in range(TRIES):
            with suppress(StoreError):
                entries = _read(self._link.read().value)
                whose = next((whose for _, _, word, whose in entries if word == _digest(token)), "")
                if whose:
                    return whose
            sleep(BETWEEN)
        return ""

    def end(self, token: str, whose: str = "") -> None:
        """
        Cross a code out.

        Args:
            token: It is used up.
            whose: The account or corp that it led to; empty if it led to none.

        Raises:
            StoreError: The store failed.
        """

        def change(entries: _Entries, now: float) -> _Entries:
            left = [entry for entry in entries if entry[2] != token]
            return [*left, (now, now, _digest(token), whose)] if whose else left

        self._amend(change)

    def left_over(self) -> list[str]:
        """
        Take over the codes that others have begun with and not ended: nobody else is given them for a while.

        Raises:
            StoreError: The store failed.
        """
        mine: list[str] = []

        def change(entries: _Entries, now: float) -> _Entries:
            mine[:] = [word for _, claimed, word, whose in entries if not whose and now - claimed >= _LEFT_ALONE]
            return [(at, now if word in mine else claimed, word, whose) for at, claimed, word, whose in entries]

        self._amend(change)
        return mine

    def _amend(self, change: Callable[[_Entries, float], _Entries]) -> None:
        def rewrite(record: Record, now: float) -> Record:
            before = _read(record.value)
            after = change([entry for entry in before if now - entry[0] < _LIFE], now)
            if after == before:
                return record
            return replace(
                record,
                generation=next_generation(record.generation, now, 0.0),
                value=_written(after),
                received_at=self._clock(),
                expires_at=self._clock() + _KEPT,
            )

        self._link.amend(rewrite)


def _digest(token: str) -> str:
    return f"={hashlib.sha256(token.encode()).hexdigest()[:24]}"  # no code looks like this: its "=" would be quoted


def _read(token: str | None) -> _Entries:
    entries: _Entries = []
    for entry in (token or "").split(","):
        parts = entry.split(";")
        if len(parts) == 4 and parts[0].isdecimal() and parts[1].isdecimal():
            at, claimed, word, whose = parts
            whole = word if word.startswith("=") else unquote(word)
            entries.append((float(at), float(claimed), whole, unquote(whose)))
    return entries


def _written(entries: _Entries) -> str | None:
    """The entries as a value of a record: what fits, the newest first."""
    kept: list[str] = []
    for at, claimed, word, whose in reversed(entries):
        shown = word if whose else quote(word, safe="")
        kept.insert(0, f"{at:.0f};{claimed:.0f};{shown};{quote(whose, safe='')}")
        if len(",".join(kept)) > LONGEST_TOKEN:
            return ",".join(kept[1:])
    return ",".join(kept) or None
