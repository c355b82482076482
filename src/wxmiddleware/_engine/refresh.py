"""
What a flight does: read the store, take the lease, fetch from WeChat, publish.

The store is read first, since another process may have refreshed. The lease keeps other processes from fetching
meanwhile. The new token is published with a compare-and-swap on the record's version, which does the work of fencing: a
process that was paused past the end of its lease cannot overwrite a newer token. The lease only saves fetches, the swap
keeps the record right. No step holds a lock. All times are on the process's clock: `link.py` knows that of the store
(the one exception is in `Refresh._minted`).

If a renewal ahead of a token's end fails, the token in use stays in use until its end, and the renewal is tried again
after the back-off. Only an answer that was lost, from a source that `revokes_previous`, cuts its life to
`DOUBTFUL_LIFE`: the answer may have been a new token.
"""

from __future__ import annotations

import math
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from .._rules.copies import replace
from .._rules.decisions import Reason
from .._rules.identity import realm_of
from .._rules.models import (
    LONGEST_LIFE,
    Cause,
    Cooldown,
    Failure,
    Grant,
    Lease,
    Record,
    RefreshResult,
    is_token,
    one_line,
)
from .._rules.policies import (
    CALL_TIMEOUT,
    CHEAP_PAUSE,
    DOUBTFUL_LIFE,
    LEASE,
    LONGEST_LEASE,
    MAX_BACKOFF,
    REPLACED_KEPT,
    backoff,
    budget_wait,
    charged,
    china_day,
    counted,
    follows,
    forced_wait,
    minted_later,
    next_generation,
    request_cost,
    streak_after,
)
from .._rules.rejections import SPENT, overruled, still_given
from .._runtime import process
from .._runtime.clock import clock as process_clock
from ..sources._sending import under_lease
from ..sources.endpoint import secret_of
from .events import EventType, TokenEvent
from .flight import Flight
from .link import Seen, Session
from .measures import Measure
from .token import CachedToken

_POLL = 0.1  # seconds between two reads of the store while another process refreshes
_FOLLOWS = 1.0  # seconds that a process with follow=True waits for a token while no process holds the lease
_CLAIMS = 20  # compare-and-swaps lost in a row, after which the refresh goes on without the store
_SWAPS = 5  # tries to publish; one is the rule, more only if others write in the same moment
_EXTENSIONS = 2  # of a lease that is too short for the fetch, before it is given back
_BLIP = 1.0  # seconds for which a store may be away without a process going on without it
_PROBE = 0.25  # seconds between two looks whether it is back
_LARGEST_ERRCODE = 2**31  # WeChat's have seven digits at most
_INSISTENCE = 0.5  # seconds between two tries to save a refresh token, which WeChat gives only once
# With less left than this, a token is renewed even without the store.
_CARRY_ON = 120.0


@dataclass(frozen=True, slots=True)
class _Asked:
    """An answer of WeChat's, and when, on the process's clock, its request was sent and it was received."""

    answer: Grant | Failure
    sent: float
    received: float


class Refresh:
    """
    One refresh of a token. It changes nothing of the token's but by the token's own methods.

    Args:
        token: What to refresh.
        reason: Why it is refreshed.
        rejected: The token that an API rejected, if that is the reason.
        events: What has happened before, to be told first.
    """

    __slots__ = (
        "_beaten",
        "_claimed",
        "_clock",
        "_events",
        "_flight",
        "_given_up",
        "_holder",
        "_link",
        "_losses",
        "_lost_at",
        "_owner",
        "_paid",
        "_read_twice",
        "_reason",
        "_rejected",
        "_requests",
        "_sent",
        "_store",
        "_token",
        "_unusable",
        "_waited",
        "_waited_for_store",
    )

    def __init__(self, token: CachedToken, reason: Reason, rejected: str | None, events: list[TokenEvent]) -> None:
        self._token = token
        self._reason = reason
        self._rejected = rejected
        self._clock = token.runtime.clock
        self._owner = ""
        self._events = events
        self._flight: Flight[RefreshResult] | None = None
        self._link = token.link
        self._store = Session(token.link, due=self._due, note=self._note)
        self._claimed: Seen | None = None  # the record with the lease and the charge, while a request may be under way
        self._losses = 0  # attempts to take the lease that came to nothing: another process has saved
        self._lost_at = math.inf  # since when what others have saved is waited for
        self._read_twice = False  # whether a store without the record was read once more
        self._unusable = ""  # why the token in the store cannot be used
        self._waited = 0.0  # seconds, for what other processes have saved to be seen
        self._holder = ("", -math.inf)  # the process that is waited for, and until when
        self._waited_for_store = False  # whether it has waited for a store that is away; once in a refresh
        self._paid = 0.0  # what the request costs of the day's budget
        self._given_up = False  # whether nothing was sent, as it had become too late
        self._sent = 0  # requests that WeChat has, or may have, seen, and that no record counts yet
        self._requests: list[dict[str, Any]] = []  # to the token endpoint, for those who add up
        self._beaten: Any = None  # the version over which another process has saved

    def run(self, flight: Flight[RefreshResult]) -> RefreshResult:
        """
        Refresh the token, in the calling thread.

        Returns:
            The token that is handed out from now on, or why there is none.
        """
        self._flight = flight
        self._owner = f"{process.name()}{secrets.token_hex(4)}"  # a process and a flight
        token, soon = self._token, self._clock() + _FOLLOWS
        while True:
            seen = self._read()
            if self._satisfied(seen):
                token.revalidated(flight if self._reason is Reason.REVALIDATE else None)
                return token.snapshot
            held_back = self._backoff_in_force(seen)
            if held_back is not None:
                return held_back
            leased = self._leased(seen)  # looked at once: the lease may end in this moment
            waits = token.plan.follow or leased
            if seen.version is None and (token.rotates or not waits):
                if self._wait_for_store():
                    continue
                if token.rotates:
                    return self._back_off(_NOWHERE_TO_KEEP, 1)
                if self._link.later and token.source.revokes_previous:
                    return token.snapshot if self._usable() else self._back_off(_OF_A_LATER_VERSION, 1)
            if waits:
                outcome = self._wait(seen, self._patience(seen) if leased else soon)
            else:
                outcome = self._budget_spent(seen) or self._attempt(seen)
            if outcome is not None:
                return outcome

    def _read(self) -> Seen:
        """
        Look at the store.

        The version is ``None`` if it cannot be read, if it can be read and not written, or if its reads do not show for
        too long what was saved.
        """
        seen = self._look()
        self._link.checked()
        self._stop_waiting_once_shown(seen)
        given_up = self._store.failed or self._losses >= _CLAIMS or self._waited_enough()
        return replace(seen, version=None) if given_up else seen

    def _wait(self, seen: Seen, until: float) -> RefreshResult | None:
        """
        Wait a moment for the process that has the lease, or that may fetch. ``None``: look again.

        Args:
            until: When to give up.
        """
        token = self._token
        if self._usable() and not self._may_be_revoked(seen):
            token.owner_is_late(self._events)
            return token.snapshot  # another process is refreshing
        if self._clock() >= until:
            return self._back_off(Failure(Cause.TRANSIENT, self._why_none()), 1)
        token.runtime.sleep(_POLL)
        return None

    def on_error(self, exc: BaseException) -> RefreshResult:
        """Make a failure of what `run` raised: a mistake in a user's source or store, or the interpreter's end."""
        failure = Failure(Cause.AMBIGUOUS, f"The refresh broke off with {type(exc).__name__}.")
        with suppress(BaseException):  # whatever is broken: the waiters are waiting
            if self._claimed is None:
                return self._back_off(failure, 1)
            now = self._clock()
            return self._failed(self._claimed, failure, _Asked(failure, now, now))
        return failure

    def on_done(self, flight: Flight[RefreshResult]) -> None:
        """Tell the observers, once the waiters have their result."""
        token = self._token
        token.on_done(flight)
        token.notify(self._events)
        for fields in self._requests:
            token.measure(Measure.REQUEST, flight=flight.number, **fields)
        token.measure(Measure.REFRESH, flight=flight.number, **self._outcome(flight))

    def _outcome(self, flight: Flight[RefreshResult]) -> dict[str, Any]:
        result = flight.result
        failure = result if isinstance(result, Failure) else None
        return {
            "outcome": "ok" if failure is None else failure.cause.value,
            "reason": self._reason.value,
            "seconds": time.monotonic() - flight.since,
            "generation": None if isinstance(result, Failure) else result.generation,
            "errcode": failure and failure.errcode,
            "rid": failure and failure.rid,
            "status": self._token.status(),
        }

    # Look

    def _look(self) -> Seen:
        token = self._token
        seen = self._load()
        if seen is None:
            return Seen(self._link.known)
        seen = self._record_cure(self._read_repair(self._merge_spent(seen)))
        self._link.learn(seen.record)
        if token.plan.reuse:
            self._adopt(seen.record, "Took a newer token from the store.")
        return seen

    def _adopt(self, record: Record, message: str) -> None:
        if self._token.adopt(record):
            self._note(EventType.ADOPTED, message, generation=record.generation)

    def _load(self) -> Seen | None:
        seen = self._store.load()
        if seen is not None:
            rejected = self._token.is_revoked(seen.record.value, seen.record.sent_at)
            self._unusable = seen.problem or ("WeChat has rejected its token" if rejected else "")
        return seen

    def _merge_spent(self, seen: Seen) -> Seen:
        """Merge this process's counts of fetches into the record: the store may have lost them, or takes no writes."""
        known, record = self._link.known, seen.record
        if known.rejected_at > record.rejected_at:
            record = replace(record, rejected_at=known.rejected_at, rejections=known.rejections)
        if known.forced_at > record.forced_at:
            record = replace(record, forced_at=known.forced_at, forced_day=known.forced_day, forced=known.forced)
        if known.owed_until > record.owed_until:
            record = replace(record, owed_until=known.owed_until)
        if (known.fetched_day, known.fetched) > (record.fetched_day, record.fetched):
            record = replace(record, fetched_day=known.fetched_day, fetched=known.fetched)
        return seen if record is seen.record else replace(seen, record=record)

    def _read_repair(self, seen: Seen) -> Seen:
        """
        Write this process's token to a store whose record was evicted, or restored from a backup (read repair).

        Returns:
            The record as it is in the store afterwards.
        """
        token, ours, known = self._token, self._token.snapshot, self._link.known
        if token.plan.follow:
            return seen
        if known.refresh is not None and follows(known.generation, seen.record.generation):
            # Also if its token is over: what the next one is asked for with is in it.
            record = replace(known, lease=None)
        elif not follows(ours.generation, seen.record.generation) or not self._usable():
            return seen
        elif seen.record.value is not None and minted_later(seen.record.sent_at, ours.received_at):
            return seen  # a wall clock was ahead when ours got its number
        else:
            record = replace(
                seen.record,
                generation=ours.generation,
                value=ours.value,
                expires_at=ours.expires_at,
                sent_at=ours.sent_at,
                received_at=ours.received_at,
                put_back=True,
            )
        if self._reason is Reason.REVALIDATE and token.store.shared and not self._read_twice:
            # No caller waits, so read once more: a store that is being removed, as a test's folder is, is gone by then.
            self._read_twice = True
            token.runtime.sleep(_POLL)
            again = self._load()
            return seen if again is None else self._read_repair(self._merge_spent(again))
        return self._store.save(record, seen) or seen

    def _record_cure(self, seen: Seen) -> Seen:
        """Write into the record that the last fetch has cured a call: what one process knows is not yet the fleet's."""
        if not self._token.is_news(seen.record) or self._token.plan.follow:
            return seen
        return self._store.save(replace(seen.record, rejections=0), seen) or seen

    def _satisfied(self, seen: Seen) -> bool:
        """Whether this process has a token that serves the reason of this refresh, so that nothing is fetched."""
        token = self._token
        if self._reason is Reason.REVALIDATE:
            return True
        if not token.plan.reuse or not self._usable():
            return False
        snapshot = token.snapshot
        if self._reason is Reason.AHEAD:
            if seen.version is None and snapshot.expires_at - self._clock() > _CARRY_ON:
                return True  # the store is down: carry on with what there is
            return self._clock() < snapshot.ahead_at
        return not self._may_be_revoked(seen)

    def _usable(self) -> bool:
        """Whether there is a token for the waiters: a good one other than the rejected."""
        return self._token.usable() and self._token.snapshot.value != self._rejected

    def _may_be_revoked(self, seen: Seen) -> bool:
        """
        Whether the store's token may be revoked like the rejected one.

        While the store was down, each process fetched on its own, and each fetch ended another process's token. What
        one of them has written back since (read repair) need not be the last. It serves only callers for whom no newer
        one can be fetched.
        """
        if self._reason is not Reason.REJECTED or self._token.plan.follow:
            return False
        return self._token.source.revokes_previous and seen.record.put_back

    def _backoff_in_force(self, seen: Seen) -> Failure | None:
        """The failure that forbids a fetch now: a rate limit or a back-off that holds for the fleet. Else ``None``."""
        token, now = self._token, self._clock()
        if self._reason is Reason.REJECTED:
            failure = token.held_back(seen.record, self._events, alone=seen.version is None)
            if failure is not None:
                return failure
        cooldown = seen.record.cooldown
        if cooldown is None or now >= cooldown.until or self._of_another_secret(cooldown):
            return None
        if self._reason is Reason.REJECTED and overruled(cooldown, token.snapshot.generation):
            return None
        token.remember_failure(cooldown)
        return replace(cooldown.failure, retry_after=cooldown.until - now)

    def _budget_spent(self, seen: Seen) -> Failure | None:
        """The failure that forbids a fetch now since the day's budget is spent, else ``None``."""
        token, now, wait = self._token, self._clock(), self._budget_wait(seen)
        if wait <= 0:
            return None
        if self._reason is Reason.REJECTED:
            return token.throttle(wait, SPENT, self._events)
        failure = replace(SPENT, retry_after=wait)
        token.remember_failure(Cooldown(now + wait, failure))
        self._note(
            EventType.BACKING_OFF, f"{SPENT.message} That is in {wait:.0f} s.", seconds=wait, cause=failure.cause
        )
        return failure

    def _budget_wait(self, seen: Seen) -> float:
        """Seconds until the day's budget allows a request; 0 if it does now."""
        cost = self._cost(seen)
        return budget_wait(seen.record, self._clock(), cost) if cost else 0.0

    def _cost(self, seen: Seen) -> float:
        """For how many requests of the day's budget one counts now; 0 if it is cheap, or each call is to cause one."""
        token = self._token
        if not token.plan.reuse or token.cheap:
            return 0.0
        alone = token.source.revokes_previous and (seen.version is None or not token.store.shared)
        return request_cost(alone=alone, rejection=self._reason is Reason.REJECTED)

    def _of_another_secret(self, cooldown: Cooldown) -> bool:
        """Whether a failure is about another secret than this process's: then it says nothing about a fetch here."""
        account = self._token.account
        if not cooldown.mark or not account.secret or cooldown.mark == account.mark:
            return False
        if isinstance(account.secret, str):
            return True
        # Asked once for each back-off, as this process then remembers it.
        secret = secret_of(account, process_clock() + self._token.source.timeout)
        return isinstance(secret, str) and account.mark_of(secret) != cooldown.mark

    def _leased(self, seen: Seen) -> bool:
        lease = seen.record.lease
        if lease is None or lease.owner == self._owner or self._clock() >= lease.until:
            return False
        if not self._token.store.shared:
            # In a store of this process alone the lease of another process is one that a fork has copied.
            return lease.owner.startswith(process.name())
        return not process.gone(lease.owner)

    def _why_none(self) -> str:
        """Why there is no token although this process has waited for another one's."""
        token = self._token
        if not token.plan.follow:
            return "Another process is refreshing and has not put a token into the store yet."
        trouble = token.store_trouble() if self._store.failed else ""
        if trouble:
            return trouble
        if self._unusable:
            return f"The record {token.key!r} in the store cannot be used: {self._unusable}."
        return (
            "The process that may fetch has not put a token into the store yet: there is none under the key "
            f"{token.key!r}. If it is under another one, mend the AppID, the kind of token or realm= here, which is "
            f"{realm_of(token.account)!r}; `wxmiddleware inspect --store` lists what there is."
        )

    # Claim

    def _attempt(self, seen: Seen) -> RefreshResult | None:
        """Take the lease, fetch, publish. ``None`` if another process was faster, or the lease ended: start again."""
        # A lost swap is another process's save, also while reads do not show it yet; so the wait is limited in time,
        # and not in tries.
        hidden = seen.version is not None and seen.version == self._beaten
        if hidden or self._losses > 1:
            self._wait_for_others()
        if hidden:
            self._reads_lag()
            return None
        claim = self._claim(seen)
        self._beaten = seen.version if claim is None and not self._store.failed else None
        outcome = None if claim is None else self._fetch(claim)
        if outcome is None:
            self._losses += 1
            self._lost_at = min(self._lost_at, self._clock())
        return outcome

    def _wait_for_store(self) -> bool:
        """
        Wait for up to 3 s before going on without the store, once in a refresh. ``True`` as soon as it is back.

        A restart or a failover takes it away for a moment, in which processes that fetched on their own would end each
        other's tokens. The jitter spreads those that have to (thundering herd).
        """
        if self._waited_for_store:
            return False
        self._waited_for_store = True
        runtime, waited, began = self._token.runtime, 0.0, self._clock()
        longest = 2.0 * runtime.random() + (_BLIP if self._store.failed else 0.0)
        while max(waited, self._clock() - began) < longest:
            pause = min(_PROBE, longest - waited)
            self._due(CALL_TIMEOUT)
            runtime.sleep(pause)
            waited += pause
            if self._store.failed and self._store.is_back():
                return True
        return False

    def _patience(self, seen: Seen) -> float:
        """Until when to wait for who has the lease. With another holder it begins anew: each may take its time."""
        assert seen.record.lease is not None
        if seen.record.lease.owner != self._holder[0]:
            self._holder = (seen.record.lease.owner, self._clock() + self._lease() + 1.0)
        return self._holder[1]

    def _stop_waiting_once_shown(self, seen: Seen) -> None:
        """Stop counting the wait for another process's save once a read shows it."""
        if seen.version is not None and seen.version != self._beaten:
            self._beaten, self._waited, self._lost_at = None, 0.0, math.inf

    def _wait_for_others(self) -> None:
        self._waited += _POLL
        self._token.runtime.sleep(_POLL)

    def _waited_enough(self) -> bool:
        """Whether the saves of other processes should have been seen by now. A test's clock may stand still."""
        return max(self._waited, self._clock() - self._lost_at) >= self._lease()

    def _claim(self, seen: Seen) -> Seen | None:
        """Take the lease by compare-and-swap. ``None`` if the record has changed since it was read."""
        if seen.version is None:
            # Without a store each process fetches on its own.
            self._due()
            self._claimed = replace(seen, record=self._charged(seen))
            self._link.learn(self._claimed.record)
            return self._claimed
        lease = Lease(self._owner, self._clock() + self._lease())
        return self._spend(self._charged(seen), lease, seen)

    def _charged(self, seen: Seen) -> Record:
        """
        The record with the request in its budget, and without a lease.

        It is saved before the request is sent, so that it counts if this process ends.
        """
        record, self._paid = seen.record, self._cost(seen)
        if record.lease is not None:
            record = replace(record, lease=None)
        return charged(record, self._clock(), self._paid) if self._paid else record

    def _spend(self, charge: Record, lease: Lease, over: Seen) -> Seen | None:
        """
        Save the charge together with the lease, if the store can be written.

        The charge is remembered, also if this process's save is lost later; its own lease is no other flight's.
        """
        leased = replace(charge, lease=lease)
        claim = replace(over, record=leased) if over.version is None else self._store.save(leased, over)
        if claim is not None:
            self._link.learn(charge)
            self._claimed = claim
            self._due()
        return claim

    def _refunded(self, record: Record, cost: float) -> Record:
        """The record with no more than `cost` in its budget for the request."""
        back, self._paid = self._paid - cost, min(cost, self._paid)
        return charged(record, self._clock(), -back) if back > 0 else record

    def _lease(self) -> float:
        """For how long to take a lease. It counts from when it is saved, and must last until the token is saved."""
        usual = max(LEASE, self._token.source.timeout + 3.0)
        return min(usual + 2.0 * self._link.save_takes, LONGEST_LEASE)

    def _due(self, seconds: float | None = None) -> None:
        """Set the time after which a waiting caller may supersede this flight: the lease's length, or `seconds`."""
        if self._flight is not None:
            self._flight.expect(self._clock() + (self._lease() if seconds is None else seconds))

    def _covers(self, claim: Seen) -> bool:
        """
        Whether the lease lasts for as long as a fetch and the save after it may take.

        It does not after a pause of this process, or if it took long to save it.
        """
        lease, takes = claim.record.lease, self._token.source.timeout + self._link.save_takes
        return lease is None or self._clock() + takes <= lease.until

    def _extended(self, claim: Seen) -> Seen | None:
        """The claim with a lease that lasts long enough. ``None`` if another process has the lease, or none does."""
        for _ in range(_EXTENSIONS):
            if self._covers(claim):
                return claim
            lease = Lease(self._owner, self._clock() + self._lease())
            longer = self._store.save(replace(claim.record, lease=lease), claim)
            if longer is None:
                return None
            claim = self._claimed = longer
            self._due()
        return claim if self._covers(claim) else None

    def _may_send(self, claim: Seen, seconds: float) -> bool:
        """Whether the request may still be sent, if its answer takes so many seconds: asked right before."""
        lease, flight = claim.record.lease, self._flight
        # Without a store there is no lease; but callers may have started another flight meanwhile.
        late = lease is not None and self._clock() + seconds > lease.until
        self._given_up = late or (flight is not None and flight.superseded)
        return not self._given_up

    def _release(self, claim: Seen) -> None:
        """Give the lease back: nothing was sent."""
        self._claimed = None
        record = self._refunded(replace(claim.record, lease=None), 0.0)
        if claim.version is None or self._store.save(record, claim) is not None:
            self._link.learn(record)

    # Fetch

    def _fetch(self, claim: Seen) -> RefreshResult | None:
        """Fetch and publish. ``None`` if the lease has ended meanwhile: start again."""
        extended = self._extended(claim)
        if extended is None:
            self._release(self._claimed or claim)
            return None
        claim = extended
        asked = self._ask(claim)
        if self._not_sent(asked):
            return self._start_again(claim)
        if self._rejected is not None and isinstance(asked.answer, Grant) and asked.answer.value == self._rejected:
            return self._same_token_returned(claim, asked)
        return self._conclude(claim, asked)

    def _not_sent(self, asked: _Asked) -> bool:
        """Whether nothing was sent, since it had become too late for that."""
        return self._given_up and isinstance(asked.answer, Failure) and asked.answer.cause is Cause.TRANSIENT

    def _start_again(self, claim: Seen) -> RefreshResult | None:
        """After nothing was sent, since it had become too late for that."""
        self._release(claim)
        if self._flight is None or not self._flight.superseded:
            return None
        return self._token.snapshot if self._usable() else _SUPERSEDED

    def _ask(self, claim: Seen, *, force: bool = False) -> _Asked:
        token = self._token
        how = "in forced mode " if force else ""
        self._note(
            EventType.FETCH_BEGUN, f"Asking {token.asks} for a token {how}({self._reason}).", reason=self._reason.value
        )
        with_what = {"refresh": claim.record.refresh} if token.rotates else {}
        sent, self._given_up = self._clock(), False
        try:
            with under_lease(partial(self._may_send, claim)):
                answer = token.source.fetch(token.account, force=force, **with_what)
        except Exception as exc:  # a user's source; its error may quote anything, and it may have asked
            answer = Failure(Cause.AMBIGUOUS, f"The source broke off with {type(exc).__name__}.")
        answer = _plausible(answer)
        if token.cheap and isinstance(answer, Grant):
            # Whoever owns it may have given a newer one before: then a copy lags behind.
            taken = token.takes(answer.value, usable=self._usable() or answer.value == self._rejected)
            answer = answer if taken or answer.value == self._rejected else still_given(token.asks)
        asked = _Asked(answer, sent, self._clock())
        if not self._not_sent(asked):
            self._measure_request(asked)
        return asked

    def _measure_request(self, asked: _Asked) -> None:
        failure = asked.answer if isinstance(asked.answer, Failure) else None
        unseen = failure is not None and failure.cause is Cause.TRANSIENT and failure.errcode is None
        if not unseen and not self._token.cheap:
            self._sent += 1
        self._requests.append(
            {
                "outcome": "ok" if failure is None else failure.cause.value,
                "reason": self._reason.value,
                "seconds": asked.received - asked.sent,
                "errcode": failure and failure.errcode,
                "rid": failure and failure.rid,
                "host": self._token.account.host,
                "at": self._token.runtime.time(),
            }
        )

    def _same_token_returned(self, claim: Seen, asked: _Asked) -> RefreshResult | None:
        """The endpoint returned the rejected token: use the forced mode, if its budget and the day's allow that."""
        token, now, wall = self._token, self._clock(), self._token.runtime.time()
        # Who owns a token that is cheap here has budgets of its own.
        wait = 0.0 if token.cheap else max(forced_wait(claim.record, now, wall), self._budget_wait(claim))
        if not token.source.can_force or wait > 0:
            return self._confirmed(claim, asked, wait)
        day = china_day(wall)
        record = (
            claim.record
            if token.cheap
            else replace(
                claim.record,
                forced=claim.record.forced + 1 if claim.record.forced_day == day else 1,
                forced_day=day,
                forced_at=now,
            )
        )
        # Both budgets are spent before the request is sent: it is counted also if this process ends meanwhile.
        charge, lease = self._charged(replace(claim, record=record)), Lease(self._owner, now + self._lease())
        spent = self._spend(charge, lease, claim)
        if spent is None:
            return None
        asked = self._ask(spent, force=True)
        if self._not_sent(asked):
            old = claim.record
            unspent = replace(spent.record, forced=old.forced, forced_day=old.forced_day, forced_at=old.forced_at)
            return self._start_again(replace(spent, record=unspent))
        if isinstance(asked.answer, Grant) and asked.answer.value == self._rejected:
            return self._confirmed(spent, asked, forced_wait(spent.record, now, wall))
        return self._conclude(spent, asked)

    def _confirmed(self, claim: Seen, asked: _Asked, wait: float) -> RefreshResult:
        """Keep the token: WeChat's endpoint names it as the current one, so an API's rejection is not its fault."""
        self._publish(claim, asked, confirmed=True)
        if self._usable():
            return self._token.snapshot  # meanwhile another process has published a newer one
        self._token.reinstate()
        if self._token.cheap:
            return self._token.throttle(CHEAP_PAUSE, still_given(self._token.asks), self._events)
        return replace(_STANDS_BY, retry_after=max(wait, 1.0))

    def _conclude(self, claim: Seen, asked: _Asked) -> RefreshResult:
        if isinstance(asked.answer, Failure):
            return self._failed(claim, asked.answer, asked)
        return self._publish(claim, asked)

    # Publish

    def _publish(self, claim: Seen, asked: _Asked, *, confirmed: bool = False) -> RefreshResult:
        """Save the new token by compare-and-swap, unless another process has published a newer one meanwhile."""
        token, grant = self._token, asked.answer
        assert isinstance(grant, Grant)
        self._claimed = None
        if self._flight is not None and self._flight.superseded and token.snapshot.sent_at > asked.sent:
            return token.snapshot  # this flight was frozen, and a later one has brought a newer token
        record, ours, stored = self._swap(claim, grant, asked)
        self._link.learn(record)
        if not ours:
            self._adopt(record, "Another process's token is newer.")
            return token.snapshot
        if self._reason is Reason.REJECTED:
            token.fetched(claim.record, record, alone=not stored)
        news = token.adopt(record, own=True, confirmed=confirmed)
        if token.cheap and not news:
            # It is asked for every minute, so that it is still the same is nothing to tell.
            token.still(record, confirmed=confirmed)
            self._events[:] = [each for each in self._events if each.name is not EventType.FETCH_BEGUN]
        else:
            self._note(
                EventType.FETCH_DONE,
                f"{token.asks[0].upper()}{token.asks[1:]} gave a token for {grant.expires_in:.0f} s ({self._reason}).",
                generation=record.generation,
                seconds=asked.received - asked.sent,
                reason=self._reason.value,
            )
        # The token may also have been rejected during the forced fetch; then the callers start anew.
        usable = token.usable() if confirmed else self._usable()
        if not usable and not token.is_revoked(record.value):
            return self._back_off(_OVER_ON_ARRIVAL, 1)
        return token.snapshot

    def _swap(self, claim: Seen, grant: Grant, asked: _Asked) -> tuple[Record, bool, bool]:
        """
        Save the new token over what was seen (compare-and-swap), unless another process's is newer.

        Returns:
            The record that counts now, whether it has this process's token, and whether the store has it.
        """
        mine = self._minted(claim, grant, asked)
        saved = self._store.save(mine, claim) if claim.version is not None else None
        swaps, self._waited, self._lost_at = 0, 0.0, self._clock()
        # A lease holder goes on for a lease's length, if reads do not show what was saved meanwhile.
        while saved is None and (swaps < _SWAPS or (claim.version is not None and not self._waited_enough())):
            if self._store.failed and not self._retry_the_save() and (swaps or not self._store.is_back()):
                break
            swaps += 1
            if swaps > _SWAPS:
                self._wait_for_others()
            theirs = self._load()
            if theirs is None:
                continue
            theirs = self._merge_spent(theirs)
            # Ours was surely minted later if their answer had arrived before our request was sent.
            later = theirs.record.received_at < asked.sent
            if follows(theirs.record.generation, claim.record.generation) and not later:
                return theirs.record, False, True  # all processes know it
            mine = self._minted(theirs, grant, asked)
            saved = self._store.save(mine, theirs)
        return mine, True, saved is not None

    def _retry_the_save(self) -> bool:
        """Whether to try a failing store again: a refresh token that is only in this process's memory dies with it."""
        if not self._token.rotates:
            return False
        self._token.runtime.sleep(_INSISTENCE)
        self._store.insist()
        return True

    def _minted(self, seen: Seen, grant: Grant, asked: _Asked) -> Record:
        token, over = self._token, seen.record
        rejected = self._reason is Reason.REJECTED
        now = self._clock()
        if token.cheap and grant.value == over.value:
            # Still the one that is known: it was not minted now, and may have another end than was thought.
            ends, since = asked.sent + grant.expires_in, now if rejected else over.rejected_at
            return replace(over, expires_at=ends, lease=None, cooldown=None, rejected_at=since)
        # By the store's clock, which only `link` should know: generations of all processes must be comparable.
        told = token.runtime.time() if seen.version is None else seen.store_time(now)
        return replace(
            self._counted(over),
            generation=next_generation(token.newest(over), told, token.runtime.random()),
            value=grant.value,
            # The life of a token is counted from before it was asked for: so long it surely is.
            expires_at=asked.sent + grant.expires_in,
            sent_at=asked.sent,
            received_at=asked.received,
            put_back=False,
            lease=None,
            cooldown=None,
            rejected_at=now if rejected else over.rejected_at,
            rejections=token.streak(over) + 1 if rejected else 0,
            replaced=(*over.replaced, now)[-REPLACED_KEPT:]
            if rejected and grant.value != over.value
            else over.replaced,
            refresh=grant.refresh or over.refresh,
        )

    def _counted(self, record: Record) -> Record:
        """The record with this refresh's requests in the day's count: those that WeChat has, or may have, seen."""
        return counted(record, self._sent, china_day(self._token.runtime.time())) if self._sent else record

    def _failed(self, claim: Seen, failure: Failure, asked: _Asked) -> RefreshResult:
        """Remember the failure, here and in the store, and give the lease back."""
        token, before = self._token, claim.record.cooldown
        self._claimed = None
        failure = token.with_addresses(failure, None if before is None else before.failure)
        self._note(
            EventType.FETCH_FAILED,
            failure.message,
            seconds=asked.received - asked.sent,
            reason=self._reason.value,
            cause=failure.cause,
            errcode=failure.errcode,
            rid=failure.rid,
        )
        # Processes with the right secret need not wait since another one's is wrong.
        mark = (failure.mark or token.account.mark) if failure.cause is Cause.PERMANENT else ""
        failure = replace(failure, mark="")
        # Failures of two secrets are two rows: of each, the back-off doubles all the same.
        last = token.cooldown if before is not None and mark and before.mark not in ("", mark) else before
        streak = 1 if last is None else streak_after(last, failure.cause)
        # A rejection overrules a back-off once for each token, and not once for each process that holds it.
        rejected = token.snapshot.generation if self._reason is Reason.REJECTED else before.rejected if before else 0
        # If the lost answer was a new token, the one in use dies 300 s after the request was sent.
        doubtful = failure.cause is Cause.AMBIGUOUS and token.source.revokes_previous
        end = asked.sent + DOUBTFUL_LIFE if doubtful else float("inf")
        told = self._back_off(failure, streak, expires_at=end)
        assert told.retry_after is not None
        # What surely was not executed counts for one request, and for none if there was no answer.
        surely = failure.cause is Cause.TRANSIENT
        record = self._refunded(claim.record, 0.0 if failure.errcode is None else 1.0) if surely else claim.record
        record = replace(
            self._counted(record),
            lease=None,
            cooldown=Cooldown(self._clock() + told.retry_after, failure, streak, rejected, mark),
            expires_at=min(claim.record.expires_at, end),
        )
        if claim.version is None or self._store.save(record, claim) is not None:
            self._link.learn(record)
        elif not self._store.failed:
            self._look()  # another process has written meanwhile; what it knows is newer than this failure
            if self._usable():
                return token.snapshot
        return told

    def _back_off(self, failure: Failure, streak: int, *, expires_at: float = float("inf")) -> Failure:
        token = self._token
        usable, draw = self._usable(), token.runtime.random()
        # A source may know better.
        seconds = failure.retry_after or backoff(failure.cause, streak, has_token=usable, draw=draw, cheap=token.cheap)
        seconds = min(seconds, MAX_BACKOFF)
        told = replace(failure, retry_after=seconds)
        if self._flight is None or not self._flight.superseded:
            before = 0 if token.cooldown is None else token.cooldown.rejected
            rejected = token.snapshot.generation if self._reason is Reason.REJECTED else before
            token.remember_failure(Cooldown(self._clock() + seconds, failure, streak, rejected), expires_at=expires_at)
            self._note(
                EventType.BACKING_OFF,
                f"{self._nobody_asks(seconds)} (back-off, {failure.cause} failure).",
                seconds=seconds,
                cause=failure.cause,
                errcode=failure.errcode,
                rid=failure.rid,
            )
        return told

    def _nobody_asks(self, seconds: float) -> str:
        """Say what does not happen for so long. Who follows, or takes a token from elsewhere, never asks WeChat."""
        if self._token.plan.follow:
            return f"This process only follows; it looks at the store again in {seconds:.0f} s"
        if self._token.cheap:
            return f"The next look at {self._token.asks} is in {seconds:.0f} s"
        return f"No request is sent to {self._token.asks} for {seconds:.0f} s"

    def _reads_lag(self) -> None:
        """Say once that the store does not show what it has just taken."""
        if self._link.lags():
            self._note(EventType.STORE_LAGS, _LAGS)

    def _note(self, name: EventType, message: str, **fields: object) -> None:
        self._events.append(self._token.event(name, message, **fields))


def _plausible(answer: Grant | Failure) -> Grant | Failure:
    """
    Check what a source gave: only what is a token is saved, and for no longer than a day.

    A failure is saved, too, and every process must be able to read it; and it is logged, whatever WeChat, a proxy or a
    hub has written into it.
    """
    if isinstance(answer, Failure):
        code = answer.errcode
        return replace(
            answer,
            message=one_line(str(answer.message)),
            errmsg=one_line(str(answer.errmsg)),
            errcode=code if isinstance(code, int) and abs(code) <= _LARGEST_ERRCODE else None,
            rid=None if answer.rid is None else one_line(str(answer.rid)),
        )
    if not is_token(answer.value) or not (answer.refresh is None or is_token(answer.refresh)):
        return _NO_TOKEN
    if not isinstance(answer.expires_in, int | float) or math.isnan(answer.expires_in):
        return _NO_LIFE
    return answer if answer.expires_in <= LONGEST_LIFE else replace(answer, expires_in=LONGEST_LIFE)


_SUPERSEDED = Failure(
    Cause.TRANSIENT, "This refresh was held up for so long that another one has been started. WeChat was not asked."
)
_NOWHERE_TO_KEEP = Failure(
    Cause.TRANSIENT,
    "The store cannot be reached, so WeChat was not asked: the refresh token of its answer could not be kept.",
)
_OF_A_LATER_VERSION = Failure(
    Cause.TRANSIENT,
    "The store holds the token of a later version of wxmiddleware, which this one cannot read. WeChat was not asked: a "
    "fetch would end that token. Update this process, too.",
)
_LAGS = (
    "Another process has saved to the store, and the store does not show it yet: its reads lag behind its writes. "
    "Give the store the address of the primary, without a read/write splitter."
)
_NO_TOKEN = Failure(
    Cause.AMBIGUOUS,
    "The source gave something that is not a token: up to 4096 characters of visible ASCII, without blanks.",
)
_NO_LIFE = Failure(Cause.AMBIGUOUS, "The source gave a token whose life is not a number of seconds.")
_OVER_ON_ARRIVAL = Failure(Cause.AMBIGUOUS, "WeChat gave a token whose life was over when it arrived.")
_STANDS_BY = Failure(
    Cause.TRANSIENT,
    "An API call rejected the token, yet WeChat's token endpoint names it as the current one. "
    "Check whether that API takes this kind of token.",
)
