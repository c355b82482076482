"""
A soak: fleets live through hours of simulated time and random faults, and what must hold is looked at all along.

Run it with ``make soak``, for instance ``make soak ARGS="--minutes 5 --seed 42 --store redis"``. A life is one fleet on
one store; its seed decides all that happens in it (`fleet.schedule`). Lives follow each other, with one seed after the
other, until the time is over. A life that fails says with which seed, what happened last, and how to repeat it.
"""

from __future__ import annotations

import argparse
import math
import random
import select
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from support.prelude import SharedClock

from wxmiddleware.exceptions import StoreError
from wxmiddleware.simulator import SimulatorServer, WeChat
from wxmiddleware.stores import Record

from .backends import BACKENDS, Backend
from .fork_server import ForkServer, Member
from .history import Checker, Event, Reader, Recorder, What
from .schedule import AMBIGUOUS, ELDERS, SEATS, TROUBLES, Setting, Step, schedule, setting
from .worker import FETCH_TIME, be_patient
from .worker import LEASE as LONG_LEASE
from .world import World

# What docs/why.md promises; not taken from the library, so that it cannot change both.
LEASE = 8.0
REJECTION_PAUSE = 30.0
OUT_OF_TOUCH = 60.0
JUST_MINTED = 10.0
FORCED_PAUSE = 30.0
FORCED_PER_DAY = 10
LOOK = 60.0  # a store is looked at every 30 to 50 s; and it may rest for 5 s after it was down
AHEAD = 700.0  # a renewal may be due with so much of a life left
# When one is due with so much left: no more than a quarter of the life; and a jitter takes up to a fifth off.
RENEWED = {"classic": 600.0, "stable": 290.0}
QUARTER, JITTER = 1 / 4, 1 / 5
SLACK = FETCH_TIME + LEASE  # a token's life is counted from before it was asked for
QUOTA = 1000  # fetches a day; WeChat allows 2000
ROOM = {"threads": 0, "sockets": 2, "descriptors": 4, "blocks": 5000}  # what a worker may hold more than at first
WARM = 8  # times that a worker is measured before it has all its caches
LAST_STEPS = 25
PROBLEMS = 5  # so many of them are told


class Broken(AssertionError):
    """What must hold does not."""


@dataclass
class Seat:
    """
    A worker's place in the fleet.

    Attributes:
        member: Who sits there.
        asked_at: When it was last at rest with an answer.
        held: The tokens it was given, oldest first.
        accused: Which of them was rejected last.
        known: The token it goes by, how much of its life was left when it surely had looked at the store, and when.
        stopped: Whether it stands still (SIGSTOP).
        measured: How often it was measured.
        most: What it held on to at most until it was warm.
    """

    number: int
    member: Member
    asked_at: float
    held: list[str] = field(default_factory=list)
    accused: str | None = None
    known: tuple[str | None, float, float] = (None, 0.0, -math.inf)
    stopped: bool = False
    measured: int = 0
    most: Counter[str] = field(default_factory=Counter)


@dataclass
class Tally:
    """What lives have come to."""

    lives: int = 0
    hours: float = 0.0
    calls: int = 0
    fetches: int = 0
    rejected: int = 0
    errors: int = 0
    faults: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        faults = ", ".join(f"{count} {name}" for name, count in sorted(self.faults.items()))
        return (
            f"{self.lives} lives, {self.hours:.0f} simulated hours, {self.calls} calls, {self.fetches} fetches, "
            f"{self.rejected} calls rejected at first, {self.errors} explained errors; {faults}"
        )


class Soak:
    """
    One life.

    Args:
        world: Where; its clock stands still but for what is done here.
        tally: Where to count.
        history: Where the workers write down what they do.
    """

    def __init__(self, world: World, tally: Tally, history: Path) -> None:
        self.world = world
        self.tally = tally
        self.write = Recorder(history)
        self.history = Reader(history)
        self.checker = Checker()
        self.faces = random.Random(0)
        self.errors_before = len(world._fork_server.errors)  # of lives before
        self.began = world.clock()
        self.seats = [self._seat(number) for number in range(SEATS)]
        # What the fleet may do
        self.credit = 1
        self.paid: set[tuple[str | None, int | None]] = set()
        self.asked = 0
        self.forced_at = -math.inf
        # What is wrong
        self.trouble_kind: str | None = None
        self.excused_until = self.began
        self.wait = 0.0
        self.doubts: dict[str, float] = {}
        self.reported: set[str] = set()  # tokens that a worker was told are rejected
        self.kept: set[str] = set()  # those of them that could not be replaced then
        self.store_up_since = self.began
        # What is known
        self.ends: dict[str, float] = {}
        self.in_store: tuple[str | None, float] = (None, self.began)
        self.written_at = self.began  # the token in the store, or the same one again
        self.record = Record()
        self.remembered = False

    def do(self, step: Step) -> None:
        """Do a step, and see that all that must hold does."""
        if self.trouble_kind is not None:  # a try at a time, for all
            self.credit += 1 if self._store_is_well() else SEATS
        getattr(self, step.do)(**step.what)
        self._account()
        self.check_history()

    def check_history(self) -> None:
        """See that what the workers have written down is in order."""
        if self.history_problems():
            raise Broken("The workers' history is not in order; what is wrong stands above the steps.")

    def history_problems(self) -> list[str]:
        """What is wrong with it so far."""
        self.checker.read(self.history())
        return [f"history: {problem}" for problem in self.checker.problems[:PROBLEMS]]

    # Steps

    def pass_time(self, seconds: float, who: list[int], at_once: bool) -> None:
        self.world.clock.advance(seconds)
        seats = [self.seats[number] for number in who if not self.seats[number].stopped]
        # Without a store nobody could say which of two tokens that came in the same moment is newer.
        self._call(seats, at_once=at_once and not self.world.backend.is_down)

    def come_near(self, left: float, calling: bool = True) -> None:
        """Let time pass until so much of the token's life is left, if more is; then all are called, or none."""
        end = self._end_of(self.in_store[0])
        if end is not None and end + SLACK - left > self.world.clock():
            self.world.clock.advance(end + SLACK - left - self.world.clock())
            if calling:
                self._call([seat for seat in self.seats if not seat.stopped], at_once=False)

    def jump(self, seconds: float) -> None:
        """The machine is suspended."""
        self._count("jump")
        if not self._store_is_well():  # each may have renewed ahead, for itself, what it was not asked for since
            self.credit += SEATS
        self.world.clock.advance(seconds)

    def trouble(self, kind: str) -> None:
        """WeChat fails for whoever asks for a token."""
        self.world.wechat.faults.clear()
        self._count(kind)
        fault, options, wait = TROUBLES[kind]
        self.wait = max(self.wait, wait)
        self.trouble_kind = kind
        self.world.wechat.faults.add(self.world.path, fault, times=None, **options)

    def down(self) -> None:
        """The store goes down."""
        if not self.world.backend.is_down:
            self._count("store down")
            self._event("down")
            self.world.backend.down()

    def wipe(self) -> None:
        """The store loses all."""
        if not self.world.backend.is_down:
            self._count("store wiped")
            self._event("down")
            self.world.backend.wipe()
            self._forgotten()

    def remember(self) -> None:
        """A backup is made of the store."""
        if not self.world.backend.is_down and self._look().value is not None:
            self.world.backend.remember(self.world.key)
            self.remembered = True

    def old(self) -> None:
        """The store is restored from the backup."""
        if self.remembered and not self.world.backend.is_down:
            self._count("store restored")
            self._event("down")
            with suppress(FileNotFoundError):
                self.world.backend.put_back()
            self._forgotten()

    def kill(self, seat: int) -> None:
        """SIGKILL, and a new worker in its place."""
        self._count("killed")
        self._replace(self.seats[seat])

    def stop(self, seat: int) -> None:
        """SIGSTOP, until all is repaired."""
        if not self.seats[seat].stopped:
            self._count("stopped")
            self.seats[seat].member.stop()
            self.seats[seat].stopped = True

    def steal(self) -> None:
        """Another service fetches a token."""
        self._count("stolen")
        self.world.wechat.steal(slot=self.world.kind)

    def revoke(self) -> None:
        """All tokens die."""
        self._count("revoked")
        # Who holds the older of two is sent to the other one first.
        self.excused_until = max(self.excused_until, self.world.clock() + REJECTION_PAUSE)
        self.world.wechat.revoke(slot=self.world.kind)

    def liar(self, times: int, seconds: float) -> None:
        """An API refuses every token, whatever it is."""
        self._count("rejected for ever")
        self.excused_until = max(self.excused_until, self.world.clock() + times * seconds + 600.0)
        self.credit += 2 * (1 + int(times * seconds / REJECTION_PAUSE)) * (1 if self._store_is_well() else SEATS)
        for _ in range(times):
            if self.trouble_kind is not None:
                self.credit += 1 if self._store_is_well() else SEATS
            self.world.clock.advance(seconds)
            for seat in self.seats:
                if not seat.stopped:
                    token = self._ask(seat)
                    if token is not None:
                        again = self._hear(seat, seat.member.do("attempt", rejected=token, alone=True), rejected=token)
                        if again is not None:
                            seat.held.append(again)
                    self._tick()

    def fetcher(self, fate: str, executed: bool, left: float) -> None:
        """Whoever fetches next is killed, or stopped for longer than its lease, or waits for long."""
        world, wechat = self.world, self.world.wechat
        if world.backend.is_down or self.trouble_kind or any(seat.stopped for seat in self.seats):
            return
        self._call(self.seats, at_once=False)
        self.come_near(left + 300.0)
        end = self._end_of(self.in_store[0])
        if end is None or self.trouble_kind:
            return
        world.clock.advance(max(0.0, end + SLACK - left - world.clock()))
        hang = wechat.faults.add(world.path, "hang", executed=executed)
        self._see()
        waiting = {seat.member: (seat, seat.member.send("attempt")) for seat in reversed(self.seats)}
        while waiting and not hang.hits:
            self._collect(waiting)
        if hang.hits:
            self._meet_fate(fate, waiting)
        while waiting:
            self._collect(waiting)
        hang.remove()
        assert wechat.wait_for(lambda: not wechat.in_progress, 60)

    def _meet_fate(self, fate: str, waiting: dict[Member, tuple[Seat, int]]) -> None:
        world, wechat = self.world, self.world.wechat
        lease = self._look().lease
        holders = [seat for seat in self.seats if lease and f"/{seat.member.pid}/" in lease.owner]
        if not holders:
            raise Broken("A fetch is under way, and no process holds a lease.")
        (seat,) = holders
        if fate == "kill" and seat.number < ELDERS:
            fate = "stop"
        self._count(f"fetcher {fate}")
        if fate == "kill":
            del waiting[seat.member]
            self.credit += 2
            self._replace(seat)
        elif fate == "stop":
            self.credit += 2
            seat.member.stop()
            seat.stopped = True
            world.clock.advance(LONG_LEASE + 0.5)
            while len(waiting) > 1:
                self._collect(waiting)
            self._call([seat for seat in self.seats if not seat.stopped], at_once=False)
            wechat.faults.clear()
            assert wechat.wait_for(lambda: not wechat.in_progress, 60)
            seat.member.cont()
            seat.stopped = False
            ((seat, order),) = waiting.values()
            waiting.clear()
            seat.member.answer(order)  # the token was good when it was handed out, before the fetch
            seat.asked_at = world.clock()
        else:
            world.clock.advance(4.0)
            wechat.faults.clear()
        # Two were under way at the same time, and nobody can know which token WeChat minted last.
        self.excused_until = max(self.excused_until, world.clock() + REJECTION_PAUSE)

    def repair(self, back: str) -> None:
        """All faults end."""
        world, now = self.world, self.world.clock()
        if self.trouble_kind is not None:
            world.wechat.faults.clear()
            self.excused_until = max(self.excused_until, now + self.wait)
            self.credit += 1 if self._store_is_well() else SEATS
            self.trouble_kind, self.wait = None, 0.0
        for seat in self.seats:
            if seat.stopped:
                seat.member.cont()
                seat.stopped = False
        if world.backend.is_down:
            world.backend.up()
            if back == "empty":
                world.backend.wipe()
            elif back == "old" and self.remembered:
                with suppress(FileNotFoundError):
                    world.backend.put_back()
            self.credit += SEATS
            self._forgotten()

    def converge(self) -> None:
        """All workers, the store and WeChat come to agree, soon."""
        world = self.world
        latest = max(world.clock(), self.excused_until) + LOOK + REJECTION_PAUSE + 15.0
        while not self._agree():
            if world.clock() > latest:
                raise Broken(f"They do not agree {LOOK + REJECTION_PAUSE:.0f} s after the last fault.")
            world.clock.advance(5.0)
            self._account()
        self._account()
        # They may agree before the back-off of a token that could not be replaced is over; it is renewed after that.
        self.credit = 1 if self.in_store[0] in self.kept else 0
        self.paid.clear()
        errors = world._fork_server.errors[self.errors_before :]
        if errors:
            raise Broken(f"A worker wrote to stderr: {errors}")
        self._measure()

    def end(self) -> None:
        """The life is over."""
        self.tally.lives += 1
        self.tally.hours += (self.world.clock() - self.began) / 3600.0
        self.tally.fetches += self.world.fetches

    # Calls

    def _call(self, seats: Iterable[Seat], *, at_once: bool) -> list[str | None]:
        """Let workers call an API as `with_token` does."""
        if not at_once:
            return [self._mend(seat, self._ask(seat)) for seat in seats if self._tick()]
        self._see()
        orders = [(seat, seat.member.send("attempt", task=self._task())) for seat in seats]
        tokens = [(seat, self._hear(seat, seat.member.answer(order))) for seat, order in orders]
        self._account()
        self._judge_renewal(tokens)
        return [self._mend(seat, token) for seat, token in tokens]

    def _ask(self, seat: Seat) -> str | None:
        self._see()
        token = self._hear(seat, seat.member.do("attempt", task=self._task(), alone=True))
        self._judge_renewal([(seat, token)])
        return token

    def _mend(self, seat: Seat, token: str | None) -> str | None:
        """A rejected call is repeated; the token that was accepted."""
        world = self.world
        if token is None or world.wechat.is_valid(token):
            return token
        self.tally.rejected += 1
        self._see()
        sent_on = self.in_store[0] != token and self.in_store[0] not in self.reported
        answer = seat.member.do("attempt", rejected=token, task=self._task(), alone=True)
        again = self._hear(seat, answer, rejected=token)
        if again is not None and world.wechat.is_valid(again):
            seat.member.do("confirm", token=again)
            return again
        self.tally.errors += 1
        # Nobody could know yet that the other one, which the store has, is dead, too; nor the one before a new one.
        young = world.clock() - (self.ends.get(token, 0.0) - world.wechat.lifetime) < JUST_MINTED
        if not self._is_excused() and not young and not (sent_on and again == self.in_store[0]):
            raise Broken(f"Worker {seat.number} got no good token for a rejected one: {again and 'a dead one'}.")
        return None

    def _hear(self, seat: Seat, answer: dict[str, str | None], rejected: str | None = None) -> str | None:
        """Judge what a worker was given."""
        token, now = answer["token"], self.world.clock()
        if rejected is not None:
            seat.accused = rejected
            self.reported.add(rejected)
            if token is None:
                # It stays in use for the others, and is renewed as soon as WeChat may be asked again.
                self.kept.add(rejected)
                self.credit += 1 if self._store_is_well() else SEATS
        self.tally.calls += 1
        if token is None:
            self._judge_error(seat, str(answer["error"]), rejected)
        elif not self.world.wechat.is_valid(token):
            self._judge_dead(seat, token)
        if token is not None:
            if token == rejected:
                raise Broken(f"Worker {seat.number} was given the very token that was rejected.")
            if token not in seat.held:
                seat.held.append(token)
        seat.asked_at = now
        return token

    def _judge_error(self, seat: Seat, error: str, rejected: str | None) -> None:
        """Nobody who has, or can have, a good token gets an error."""
        last = seat.held[-1] if seat.held else None
        if rejected is None and last not in (None, seat.accused) and self._is_promised(last):
            raise Broken(f"Worker {seat.number} got an error though its token was good: {error}")
        stored, _ = self.in_store
        if stored != seat.accused and self._store_is_well() and self._is_promised(stored):
            raise Broken(f"Worker {seat.number} got an error though the store held a good token: {error}")
        if rejected is None:
            self.tally.errors += 1
            if not self._is_excused():
                raise Broken(f"Worker {seat.number} got an error that nothing explains: {error}")

    def _judge_dead(self, seat: Seat, token: str) -> None:
        """Nobody gets a dead token where a good one is known."""
        now, valid = self.world.clock(), self.world.wechat.is_valid
        mine = [held for held in seat.held if held != token and valid(held)]
        if mine and (not self._is_excused() or (mine[-1] != seat.accused and self._is_promised(mine[-1]))):
            raise Broken(f"Worker {seat.number} gave a dead token, and had a good one before.")
        stored, since = self.in_store
        if stored in (None, token) or not valid(stored) or not self._store_is_well():
            return
        if now >= since + LOOK and seat.asked_at >= since + LOOK:
            raise Broken(
                f"Worker {seat.number} gave a dead token; the store has held a good one for {now - since:.0f} s."
            )
        if self.world.kind == "classic" and now - seat.asked_at > OUT_OF_TOUCH and since < now:
            raise Broken(f"Worker {seat.number} was out of touch, and did not look before it gave a dead token.")

    def _judge_renewal(self, answers: list[tuple[Seat, str | None]]) -> None:
        """
        A token near its end has been renewed once it was asked for, unless something was in the way.

        How near, is reckoned from what was left when the worker surely had it as the store has it: what it takes for
        the token's life begins with its last look, and it looks when it is asked.
        """
        now, (stored, _) = self.world.clock(), self.in_store
        self._see()
        for seat, token in answers:
            if token is None or token not in self.ends:  # it was replaced before anybody saw it
                continue
            left = self.ends[token] - now
            if seat.known[0] != token or seat.known[2] < self.written_at + LOOK:
                seat.known = token, left, now
            due = min(RENEWED[self.world.kind], (seat.known[1] - SLACK) * QUARTER) * (1 - JITTER)
            well = self.trouble_kind is None and now >= self.excused_until and self._store_is_well()
            if well and left < due and token == stored == self.record.value:
                raise Broken(
                    f"Worker {seat.number} was asked when its token had {left:.0f} s to live, and nobody renewed it."
                )

    def _agree(self) -> bool:
        tokens = self._call(self.seats, at_once=False)
        return (
            len(set(tokens)) == 1
            and self.world.wechat.is_valid(tokens[0])
            and (record := self._look()).value == tokens[0]
            and (record.lease is None or record.lease.until <= self.world.clock())
        )

    # What is known

    def _look(self) -> Record:
        record = self.world.backend.record(self.world.key)
        return Record() if record is None else record

    def _see(self) -> None:
        """Before somebody is asked: what is there, and which fetches would have a cause."""
        world, now = self.world, self.world.clock()
        slot = world.wechat.accounts[world.wechat.appid].slots[world.kind]
        for token in list(slot.live):
            self.ends.setdefault(token.value, token.expires_at)
            if self.trouble_kind in AMBIGUOUS and world.kind == "classic":
                self.doubts.setdefault(token.value, now + 200.0)
        if not world.backend.is_down:
            generation = self.record.generation
            with suppress(StoreError):
                self.record = self._look()
            if self.record.generation != generation:
                self.written_at = now
            if self.record.value != self.in_store[0]:
                self.in_store = self.record.value, now
        together = self._store_is_well()
        for seat in self.seats:
            for known in {self.record.value, seat.held[-1] if seat.held else None}:
                cause = (known, None if together else seat.number)
                end = self._end_of(known)
                if cause not in self.paid and (end is None or now >= end - AHEAD or not world.wechat.is_valid(known)):
                    self.paid.add(cause)
                    self.credit += known is not None or not together

    def _account(self) -> None:
        """See that there were no more fetches than there were causes."""
        world = self.world
        asked = world.wechat.calls(world.path)
        self.credit -= asked - self.asked
        self.asked = asked
        if self.credit < 0:
            raise Broken(f"{-self.credit} fetches without a cause.")
        for slot in ("classic", "stable"):
            if world.wechat.quota_used(slot=slot) > QUOTA:
                raise Broken(f"More than {QUOTA} fetches in a day.")
        record = self.record
        if record.forced > FORCED_PER_DAY or self.forced_at < record.forced_at < self.forced_at + FORCED_PAUSE:
            raise Broken("The forced mode was used too often.")
        self.forced_at = max(self.forced_at, record.forced_at)

    def _measure(self) -> None:
        """See that nobody holds on to more and more."""
        for seat in self.seats:
            held = seat.member.do("measure")
            seat.measured += 1
            if seat.measured <= WARM:
                seat.most |= Counter(held)
            for what, room in ROOM.items():
                if held[what] > seat.most[what] + room:
                    raise Broken(f"Worker {seat.number} holds {held[what]} {what}; it held {seat.most[what]} at most.")

    def _end_of(self, token: str | None) -> float | None:
        """Until when a token is surely good to the workers."""
        if token is None or token not in self.ends:
            return None
        return min(self.ends[token] - SLACK, self.doubts.get(token, self.ends[token]))

    def _is_promised(self, token: str | None) -> bool:
        end = self._end_of(token)
        return end is not None and self.world.clock() < end and self.world.wechat.is_valid(token)

    def _store_is_well(self) -> bool:
        return not self.world.backend.is_down and self.world.clock() >= self.store_up_since

    def _is_excused(self) -> bool:
        """Whether a call may fail now that has no good token to go on with."""
        now = self.world.clock()
        return (
            self.trouble_kind is not None
            or now < self.excused_until
            or not self._store_is_well()
            or now < self.record.rejected_at + REJECTION_PAUSE
        )

    def _forgotten(self) -> None:
        self._event("up")
        self.store_up_since = self.world.clock() + LOOK
        self.in_store = (None, self.world.clock())
        self.credit += 2

    # Small things

    def _seat(self, number: int) -> Seat:
        member = self.world.worker()
        member.do("watch")
        return Seat(number, member, self.world.clock())

    def _replace(self, seat: Seat) -> None:
        self._event("killed", seat.member.pid)
        seat.member.kill()
        self.seats[seat.number] = self._seat(seat.number)
        if not self._store_is_well() or self.in_store[0] is None:
            self.credit += 1

    def _collect(self, waiting: dict[Member, tuple[Seat, int]]) -> None:
        spoken, _, _ = select.select(waiting, [], [], 0.01)
        for member in spoken:
            seat, order = waiting[member]
            if member.has_answered(order):
                del waiting[member]
                self._hear(seat, member.answer(order))

    def _tick(self) -> bool:
        self.world.clock.advance(0.02)  # no two tokens in the same moment
        return True

    def _task(self) -> bool:
        return self.faces.random() < 0.2

    def _event(self, what: What, who: int = 0) -> None:
        self.write(Event(what, who, self.world.clock()))

    def _count(self, fault: str) -> None:
        self.tally.faults[fault] += 1


def live(backend: Backend, fork_server: ForkServer, chosen: Setting, seed: int, episodes: int, tally: Tally) -> None:
    """
    Live one life.

    Raises:
        Broken: What must hold does not. Its notes say what happened last.
    """
    last: deque[str] = deque(maxlen=LAST_STEPS)
    # Redis and memcached let records end by the real time; ahead of it nothing ends too early.
    with tempfile.TemporaryDirectory() as folder, SharedClock.create(Path(folder) / "clock", time.time()) as clock:
        wechat = WeChat(clock=clock, overlap=chosen.overlap)
        with SimulatorServer(wechat) as server:
            history = Path(folder) / "history"
            world = World(backend, chosen.kind, wechat, server, clock, fork_server, history)
            soak = Soak(world, tally, history)
            try:
                for step in schedule(seed, episodes, keeps=backend.keeps):
                    last.append(f"{clock() - soak.began:10.1f} s  {step}")
                    soak.do(step)
            except Exception as error:
                # What was seen first may be what came of it.
                for line in [*soak.history_problems(), *last]:
                    error.add_note(line)
                raise
            finally:
                soak.write.close()
                wechat.faults.clear()
                fork_server.clear()
                if backend.is_down:
                    backend.up()


def main(argv: list[str] | None = None) -> int:
    """Live one life after the other."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0, help="real minutes; a life that has begun is lived out")
    parser.add_argument("--seed", type=int, help="the first life's; the next ones have the next numbers")
    parser.add_argument("--lives", type=int, help="how many, whatever time they take")
    parser.add_argument("--episodes", type=int, default=40, help="of a life: faults, then peace")
    parser.add_argument("--store", action="append", choices=list(BACKENDS), help="by default each life chooses")
    parser.add_argument("--source", action="append", choices=["classic", "stable"], help="by default each life chooses")
    options = parser.parse_args(argv)
    be_patient()
    seed = random.SystemRandom().randrange(1_000_000) if options.seed is None else options.seed
    stores, kinds = options.store or list(BACKENDS), options.source or ["classic", "stable"]
    tally, backends, failures = Tally(), dict[str, Backend](), 0
    deadline = time.monotonic() + options.minutes * 60
    with ForkServer() as fork_server:
        try:
            while tally.lives + failures < options.lives if options.lives else time.monotonic() < deadline:
                chosen = setting(seed, stores, kinds)
                _say(f"seed {seed}: {chosen}")
                if chosen.store not in backends:
                    backends[chosen.store] = BACKENDS[chosen.store]()
                try:
                    live(backends[chosen.store], fork_server, chosen, seed, options.episodes, tally)
                except Exception as error:
                    failures += 1
                    again = f"--seed {seed} --lives 1 --episodes {options.episodes} --store {chosen.store}"
                    _say(*getattr(error, "__notes__", ()), f"FAILED: {type(error).__name__}: {error}")
                    _say(f'Repeat it: make soak ARGS="{again} --source {chosen.kind}"')
                seed += 1
        finally:
            for backend in backends.values():
                backend.close()
    _say(str(tally), f"{failures} lives failed.")
    return 1 if failures else 0


def _say(*lines: str) -> None:
    for line in lines:
        sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
