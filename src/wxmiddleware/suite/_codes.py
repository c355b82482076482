"""
The auth_codes that are being redeemed, written down before WeCom is asked: a process may die in between.

A code is good once, for ten minutes. While it is written down, another process redeems it if the first one died before
WeCom had acted. Once it was redeemed, its digest and the corp stay for as long, so that the page which the admin loads
twice, and a notice that WeCom repeats, lead to the same corp.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import quote, unquote

from .._engine.link import StoreLink
from .._rules.models import LONGEST_TOKEN, Record
from .._rules.policies import next_generation
from .._runtime.clock import Clock

__all__ = ["AuthCodes"]

_LIFE = 600.0
# Whoever redeems a code is done by then, or dead: a fetch takes 5 s at most, and a save is tried for some seconds.
_LEFT_ALONE = 30.0
_KEPT = 86_400.0

_Entries = list[tuple[float, float, str, str]]  # written down at, claimed at, "code" or digest, corpid


class AuthCodes:
    """
    Those of one suite. A code is called ``token`` here, a name whose value error trackers hide.

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
            The corp, if it was redeemed before, else the empty string; and whether somebody else is at it.

        Raises:
            StoreError: The store failed; the code is not used up.
        """
        found: list[str] = []
        others: list[str] = []

        def change(entries: _Entries, now: float) -> _Entries:
            found[:] = [corpid for _, _, word, corpid in entries if word == _digest(token)]
            others[:] = [word for _, _, word, _ in entries if word == token]
            mine = [entry for entry in entries if entry[2] != token]
            return entries if found else [*mine, (now, now, token, "")]

        self._amend(change)
        return (found[0] if found else ""), bool(others)

    def corp_of(self, token: str) -> str:
        """
        Tell whose permanent code this one has brought; empty if it has not, or not yet.

        Raises:
            StoreError: The store failed.
        """
        entries = _read(self._link.read().value)
        return next((corpid for _, _, word, corpid in entries if word == _digest(token)), "")

    def end(self, token: str, corpid: str = "") -> None:
        """
        Cross a code out.

        Args:
            token: It is used up.
            corpid: Whose permanent code it brought; empty if it brought none.

        Raises:
            StoreError: The store failed.
        """

        def change(entries: _Entries, now: float) -> _Entries:
            left = [entry for entry in entries if entry[2] != token]
            return [*left, (now, now, _digest(token), corpid)] if corpid else left

        self._amend(change)

    def left_over(self) -> list[str]:
        """
        Take over the codes that others have begun with and not ended: nobody else is given them for a while.

        Raises:
            StoreError: The store failed.
        """
        mine: list[str] = []

        def change(entries: _Entries, now: float) -> _Entries:
            mine[:] = [word for _, claimed, word, corpid in entries if not corpid and now - claimed >= _LEFT_ALONE]
            return [(at, now if word in mine else claimed, word, corpid) for at, claimed, word, corpid in entries]

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
            at, claimed, word, corpid = parts
            whole = word if word.startswith("=") else unquote(word)
            entries.append((float(at), float(claimed), whole, unquote(corpid)))
    return entries


def _written(entries: _Entries) -> str | None:
    """The entries as a value of a record: what fits, the newest first."""
    kept: list[str] = []
    for at, claimed, word, corpid in reversed(entries):
        shown = word if corpid else quote(word, safe="")
        kept.insert(0, f"{at:.0f};{claimed:.0f};{shown};{quote(corpid, safe='')}")
        if len(",".join(kept)) > LONGEST_TOKEN:
            return ",".join(kept[1:])
    return ",".join(kept) or None
