"""
The ledger of rejections: what one process knows of tokens that an API rejected.

Why a rejection causes no fetch, but for a store or threads that fail. Before a refresh is started
(`CachedToken.decide`):

- it names another token than the one in use, or that one is marked as rejected already (`concerns`): the caller gets
  the token in use, which is newer (or, for the seconds of the next case, older), or waits for the next one;
- the token was minted a moment ago, and the one before may still be good (`CachedToken`): the caller gets that one;
- it comes too soon after a fetch that another rejection caused (rate limit), as this process knows
  (`Rejections.report`). After ten such fetches in a row that cured nothing the limit backs off exponentially
  (`Rejections.streak`);
- another refresh is under way: the caller waits for that;
- no request may be sent after a failure (back-off), and this rejection does not overrule it (`overruled`).

In the refresh, once the store was read (`Refresh.run`):

- the store has a newer token;
- the record tells of the rate limit (`Rejections.wait`) or of the back-off of another process;
- another process holds the lease, or may alone fetch (``follow=True``): the caller waits for its token;
- the day's budget of requests does not allow one (`policies.budget_wait`).

A rate limit, a back-off or a spent budget leaves the token in use for callers whose calls were not rejected.

Pure: the times come in as arguments. The token's lock guards it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from .models import NEVER, Cause, Cooldown, Failure, Record, Snapshot
from .policies import (
    CHEAP_LAG,
    CHEAP_PAUSE,
    JUST_MINTED,
    REJECTION_CURED_AFTER,
    SUSPICION_COUNT,
    SUSPICION_WINDOW,
    follows,
    rejection_wait,
)

_REMEMBERED = 8  # values in the denylist

TOO_SOON = Failure(
    Cause.TRANSIENT,
    "WeChat rejected the token too soon after a fetch that another rejection had caused. Rejections cause one fetch in "
    "30 s at most, and after ten that cured nothing one in 1 to 10 min (rate limit), so this token stays in use.",
)
ASKED_A_MOMENT_AGO = Failure(
    Cause.TRANSIENT,
    "WeChat rejected the token a moment after it was asked for where it comes from. That is asked once in a second at "
    "most, so this token stays in use.",
)
SPENT = Failure(
    Cause.TRANSIENT,
    "So many requests were sent to WeChat's token endpoint that the day's budget allows the next one only later. It "
    "keeps them below WeChat's own quota of 2000 a day, whatever goes wrong.",
)
ASK_WHO = (
    "Callers see WeChat's own answer meanwhile. Does another service fetch tokens for this appid, or do processes of "
    "yours that share no store?"
)


def still_given(asks: str) -> Failure:
    """Say that the token was rejected, and that where it comes from there is no other."""
    return Failure(
        Cause.TRANSIENT,
        f"WeChat rejected the token, and {asks} still gives it. Whoever owns the token has to renew it; until then it "
        "is asked for again every second, as long as calls are rejected.",
        retry_after=CHEAP_PAUSE,
    )


def concerns(rejected: str | None, snapshot: Snapshot) -> bool:
    """Whether a rejection of the value `rejected` is one of the token in use, which is not marked as rejected yet."""
    return bool(rejected) and rejected == snapshot.value and not snapshot.rejected


def overruled(cooldown: Cooldown, generation: int) -> bool:
    """
    Whether a rejection of the token `generation` overrules the back-off: once for each token, if it was transient.

    A rejection is news: a transient failure may be over, and what was in doubt has been decided.
    """
    transient = cooldown.failure.cause in (Cause.TRANSIENT, Cause.AMBIGUOUS)
    return transient and follows(generation, cooldown.rejected)


@dataclass(frozen=True, slots=True)
class Report:
    """
    What comes of a rejection of the token in use.

    Attributes:
        wait: Seconds until a rejection may cause a fetch; 0 if this one may.
        why: The reason of the wait.
        first: Whether it is the first of this token.
        kept: Whether the token stays in use all the same: it was rejected before, and no fetch could replace it. (The
            event `KEPT` is another thing: it tells of a rejection that causes no fetch, `wait`.)
        foreign: Whether another system seems to fetch tokens, too.
    """

    wait: float = 0.0
    why: Failure = TOO_SOON
    first: bool = False
    kept: bool = False
    foreign: bool = False


_NONE_YET = (0, NEVER)


class Rejections:
    """
    The rejections of one token's generations. Times are seconds on the process's clock.

    Args:
        revokes_previous: Whether each fetch ends the token before.
        cheap: Whether a fetch costs nothing, as somebody else owns the token.
    """

    __slots__ = (
        "_alone",
        "_cheap",
        "_cured",
        "_first",
        "_insisted",
        "_kept",
        "_recent",
        "_revoked",
        "_revokes_previous",
        "_throttled_until",
        "_told",
        "_why",
    )

    def __init__(self, *, revokes_previous: bool, cheap: bool = False) -> None:
        self._revokes_previous = revokes_previous
        self._cheap = cheap
        self._throttled_until = NEVER  # until then a rejection has no effect: no fetch, and the token stays in use
        self._why = self.too_soon
        self._first = _NONE_YET  # the generation that was rejected last, and when that happened first
        self._kept = -1  # the generation that was rejected, and that no fetch could replace
        self._told = -1  # the rejected generation of which somebody was told that it stays in use
        self._cured = -1  # the generation with which a rejected call was last repeated and accepted
        # Denylist: the last rejected values, and when that was; none is handed out again.
        self._revoked: tuple[tuple[str, float], ...] = ()
        self._insisted = ("", NEVER)  # what was given last where the token comes from, and since when
        self._recent: tuple[float, ...] = ()  # when young tokens of this process's own were rejected
        self._alone = 0  # fetches in a row that rejections caused while the store could not be reached

    @property
    def too_soon(self) -> Failure:
        """What a rejection is told that comes too soon after a fetch."""
        return ASKED_A_MOMENT_AGO if self._cheap else TOO_SOON

    def report(self, snapshot: Snapshot, now: float) -> Report:
        """Take in a rejection of the token in use, and put it on the denylist unless it stays in use."""
        first = self._first[0] != snapshot.generation
        if first:
            self._first = (snapshot.generation, now)
        if now < self._throttled_until:
            return Report(self._throttled_until - now, self._why, self.untold())
        if self.is_kept(snapshot):
            return Report(first=first, kept=True)
        self._deny(snapshot.value, now)
        return Report(first=first, foreign=first and self._foreign(snapshot, now))

    def _foreign(self, snapshot: Snapshot, now: float) -> bool:
        """Whether this process's own tokens are rejected young, again and again: another system fetches, too."""
        # A token that somebody else owns may be replaced at any time: that is no news.
        if self._cheap or not snapshot.own or not JUST_MINTED <= now - snapshot.received_at < SUSPICION_WINDOW:
            return False
        self._recent = (*self._recent, now)[-SUSPICION_COUNT:]
        if len(self._recent) < SUSPICION_COUNT or now - self._recent[0] >= SUSPICION_WINDOW:
            return False
        self._recent = ()
        return True

    def throttle(self, until: float, why: Failure | None = None) -> None:
        """Let no rejection cause a fetch before `until`, and say `why`; by default, that it comes too soon."""
        self._throttled_until, self._why = until, why or self.too_soon

    def untold(self) -> bool:
        """Whether nobody was told yet that the last rejected token stays in use. From now on somebody was."""
        news, self._told = self._told != self._first[0], self._first[0]
        return news

    def wait(self, record: Record, now: float, *, alone: bool) -> float:
        """
        Seconds until a rejection may cause a fetch, as far as the fleet knows; 0 if it may now.

        Args:
            record: The fleet's, in times of the process's clock.
            now: The time.
            alone: Whether the store cannot be reached.
        """
        return rejection_wait(record, now, self.streak(record, alone=alone), cheap=self._cheap)

    def pause(self, record: Record, now: float) -> float:
        """Seconds until the next rejection may cause a fetch, after one that has brought the token of `record`."""
        return rejection_wait(record, now, record.rejections, cheap=self._cheap)

    def streak(self, record: Record, *, alone: bool = False) -> int:
        """
        Count the fetches in a row that rejections caused and that cured nothing so far.

        Args:
            record: The fleet's, in times of the process's clock.
            alone: The store cannot be reached. Where each fetch ends the token before, the processes of this fleet then
                end each other's tokens, and a call that is accepted now proves nothing: the next fetch ends it.
        """
        generation, rejected_at = self._first
        if generation == record.generation and rejected_at - record.received_at >= REJECTION_CURED_AFTER:
            return 0
        uncured = 0 if self._cured == record.generation else record.rejections
        return max(uncured, self._alone) if alone and self._revokes_previous else uncured

    def fetched(self, before: Record, *, alone: bool) -> None:
        """Note that a rejection has caused a fetch; its token replaces `before`, in this process alone if `alone`."""
        self._alone = self.streak(before, alone=True) + 1 if alone else 0

    def cured(self, generation: int) -> None:
        """Note that a rejected call was repeated with this token, and accepted."""
        self._cured = generation

    def has_cured(self, generation: int) -> bool:
        """Whether a rejected call was repeated with this token, and accepted."""
        return self._cured == generation

    def keep(self, generation: int) -> None:
        """Note that no fetch could replace this token: another rejection does not take it out of use."""
        self._kept = generation

    def is_kept(self, snapshot: Snapshot) -> bool:
        """Whether the token in use was rejected, and no fetch could replace it."""
        return snapshot.generation == self._kept

    def is_revoked(self, value: str | None, sent_at: float = NEVER) -> bool:
        """
        Whether a token is on the denylist.

        Args:
            value: The token.
            sent_at: When it was asked for. Where it comes from it may count again, as another process has found out.
        """
        late = CHEAP_LAG if self._cheap else math.inf
        return any(token == value and sent_at < rejected_at + late for token, rejected_at in self._revoked)

    def insists(self, token: str, now: float) -> bool:
        """
        Note what is given where the token comes from; tell whether a rejected token is to count again.

        It may be a copy that lags behind. But what is given for longer than copies lag, and nothing else, its owner has
        gone back to.
        """
        if self._insisted[0] != token:
            self._insisted = (token, now)
        return now - self._insisted[1] >= CHEAP_PAUSE and not self.is_revoked(token, now)

    def replaced(self, before: Snapshot, record: Record, now: float) -> None:
        """Note that a record's token is handed out in place of another: that is over if it was rejected anywhere."""
        if record.value is not None:
            self.reinstate(record.value)
        here = before.generation == self._first[0]  # and kept since, as there was no other
        elsewhere = record.rejected_at >= record.received_at > NEVER
        other = self._cheap and before.value not in ("", record.value)
        if other and (here or elsewhere) and not self.is_revoked(before.value):
            self._deny(before.value, now)

    def _deny(self, token: str, now: float) -> None:
        self._revoked = (*self._revoked, (token, now))[-_REMEMBERED:]

    def reinstate(self, value: str) -> None:
        """Take a token off the denylist."""
        self._revoked = tuple(each for each in self._revoked if each[0] != value)
