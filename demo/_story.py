"""
What happens in the half minute of the demo, and what must have come of it.

The figures hang together. The first token lives for 10 s and is renewed in its last quarter, at about 7.5 s. At 11 s
another service forces a token that lives for 18 s; the processes learn of it by a rejection and, as WeChat says whole
seconds, count on 17. Each begins to think of the next in the last quarter, at a moment of its own (23.8 s to 24.7 s).
The first to do so asks and fails, and the store tells the others to wait. After a second or two one of them asks
again. The outage is over by then; had they waited for the end of their token, at 28 s, they would have had less than a
second to spare.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from wxmiddleware.simulator import Fault, WeChat

from . import _words as words
from ._servers import Server
from ._traffic import Crowd, Tally
from ._words import fetches, say, times

FIRST_LIFE = 10
LIFE = 18
OLD_AGE = 7.5
THEFT = 11.0
OUTAGE = (22.0, 25.0)
END = 30.0

_TICK = 0.125
_TOKEN_PATH = "/cgi-bin/stable_token"  # noqa: S105 - a path
_REFUSED = (40001, 40014, 42001)
# Start, old age, theft, end of the outage: each is a reason to ask once, for all processes together.
_OCCASIONS = 4
# After the first failure nobody asks for a second, and after the next one for at least another.
_TRIES = 2


class BriskWeChat(WeChat):
    """
    A WeChat whose tokens live for seconds.

    It mints a new token in the last 300 s of 7200, and clients ask in the last 290. In a life this short clients ask in
    the last quarter, so here it mints in the last third, to keep the one before the other.
    """

    @property
    def renewal_window(self) -> float:
        """Seconds before the end in which it mints a new token."""
        return self.lifetime / 3


@dataclass(frozen=True)
class Moment:
    """One line of the timeline. `mood` is ``act``, ``bad``, ``good`` or ``plain``."""

    at: float
    who: str
    text: str
    mood: str = "plain"


@dataclass(frozen=True)
class Check:
    """Something that must hold at the end."""

    holds: bool
    text: str


@dataclass(frozen=True)
class TokenNow:
    """The token that WeChat honours, by its number."""

    number: int
    left: float
    life: float
    whose: str


class Story:
    """
    Plays the acts on time, and keeps what everybody sees.

    Args:
        wechat: The simulated WeChat.
        rival: AppID of the account that the one with the dict uses.
        servers: Those of the apps.
        crowds: The users of the apps, in the same order.
        dict_crowd: The one with the dict.
    """

    def __init__(
        self, wechat: WeChat, rival: str, servers: Sequence[Server], crowds: Sequence[Crowd], dict_crowd: Crowd
    ) -> None:
        self.wechat = wechat
        self.servers = servers
        self.crowds = crowds
        self.rival_tally = dict_crowd.tally
        self.timeline: list[Moment] = []
        self.headline = ""
        self.down = False
        self.now = 0.0
        self._rival = rival
        self._dict_crowd = dict_crowd
        self._began = 0.0
        self._outage: Fault | None = None
        self._workers: dict[int, str] = {}
        self._rejected: set[int] = set()
        self._answered_before = self._fetches_for_theft = 0
        self._seen_token: tuple[str | None, TokenNow | None] = (None, None)
        self._token_began = 0.0
        self._acts: list[tuple[float, Callable[[], None]]] = [
            (0.0, self._cold),
            (2.0, self._longer_lives),
            (6.0, self._old_age),
            (THEFT, self._theft),
            (15.0, self._meanwhile),
            (OUTAGE[0], self._outage_begins),
            (OUTAGE[1], self._outage_ends),
            (28.5, self._calm),
        ]

    @property
    def tallies(self) -> list[Tally]:
        """How the users of the apps fare."""
        return [crowd.tally for crowd in self.crowds]

    @property
    def processes(self) -> int:
        """How many processes hold a token of their own."""
        return sum(server.processes for server in self.servers)

    def play(self, show: Callable[[], None]) -> None:
        """
        Play it all.

        Args:
            show: Called several times a second.

        Raises:
            DemoError: A server has ended.
        """
        self._began = time.monotonic()
        crowds = [*self.crowds, self._dict_crowd]
        try:
            for crowd in crowds:
                crowd.start(self._began)
            while self.now < END:
                self._advance()
                show()
                time.sleep(_TICK)
        finally:
            for crowd in crowds:
                crowd.stop()
        self._advance()
        time.sleep(2 * _TICK)  # the last lines of the logs
        self._listen()
        show()

    def _advance(self) -> None:
        self.now = time.monotonic() - self._began
        while self._acts and self._acts[0][0] <= self.now:
            self._acts.pop(0)[1]()
        for server in self.servers:
            server.check()
        self._listen()

    # The acts

    def _act(self, headline: str, mood: str = "act") -> None:
        self.headline = headline
        self.timeline.append(Moment(self.now, "", headline, mood))

    def _cold(self) -> None:
        self._act(say(words.COLD, processes=self.processes))

    def _longer_lives(self) -> None:
        self.wechat.lifetime = LIFE

    def _old_age(self) -> None:
        self._act(say(words.OLD_AGE))

    def _theft(self) -> None:
        self._answered_before = self.answered
        self.wechat.steal(slot="stable")
        self.wechat.steal(self._rival, "stable")
        self._act(say(words.THEFT), "bad")

    def _meanwhile(self) -> None:
        met, healed = len(self._rejected), sum(tally.healed for tally in self.tallies)
        self._fetches_for_theft = self.answered - self._answered_before
        self._act(say(words.MEANWHILE, met=met, times=times(self._fetches_for_theft), healed=healed))

    def _outage_begins(self) -> None:
        self._outage = self.wechat.faults.add(_TOKEN_PATH, "status", None, status=502)
        self.down = True
        self._act(say(words.OUTAGE), "bad")

    def _outage_ends(self) -> None:
        if self._outage is not None:
            self._outage.remove()
        self.down = False
        self._act(say(words.OUTAGE_ENDS, times=times(self.failed)))

    def _calm(self) -> None:
        errors = sum(tally.errors for tally in self.tallies)
        self._act(say(words.CALM, errors=errors))

    # What is seen

    def _listen(self) -> None:
        """Read what the apps' processes have told."""
        heard = [(event, n) for n, server in enumerate(self.servers) for event in server.tail.read()]
        for event, number in sorted(heard, key=lambda pair: float(pair[0].get("wx_at", 0.0))):
            if event["wx_name"] == "healed":
                self.tallies[number].healed += 1
                continue
            told = _told(event)
            if told is not None:
                at = max(0.0, self.now - (time.time() - float(event["wx_at"])))
                self.timeline.append(Moment(at, self._who(self.servers[number], event["wx_pid"]), *told))
            if event["wx_name"] == "rejected":
                self._rejected.add(event["wx_pid"])

    def _who(self, server: Server, pid: int) -> str:
        if pid not in self._workers:
            nth = 1 + sum(name.startswith(server.name) for name in self._workers.values())
            self._workers[pid] = f"{server.name} {nth}" if server.processes > 1 else server.name
        return self._workers[pid]

    def token(self) -> TokenNow | None:
        """Tell which token WeChat honours now."""
        value = self.wechat.current(slot="stable")
        if value is None:
            return None
        if value != self._seen_token[0]:
            number = self.wechat.minted(self.wechat.appid) + self.wechat.stolen(self.wechat.appid)
            whose = say(words.OTHERS if abs(self.now - THEFT) < 1 else words.OURS)
            life = FIRST_LIFE if number == 1 else LIFE
            self._seen_token = (value, TokenNow(number, 0.0, life, whose))
            self._token_began = self.now
        known = self._seen_token[1]
        assert known is not None
        left = max(0.0, known.life - (self.now - self._token_began))
        return TokenNow(known.number, left, known.life, known.whose)

    @property
    def answered(self) -> int:
        """How often WeChat answered an app that asked for a token."""
        return self.wechat.fetches(self.wechat.appid, "stable")

    @property
    def failed(self) -> int:
        """How often an app asked for a token in the outage."""
        return 0 if self._outage is None else self._outage.hits

    @property
    def rejections(self) -> int:
        """How many calls of the apps were rejected."""
        appid = self.wechat.appid
        return sum(entry.errcode in _REFUSED and entry.appid == appid for entry in self.wechat.log)

    # What must have come of it

    def checks(self) -> list[Check]:
        """Hold the story to its promises."""
        tallies = self.tallies
        done, errors = sum(t.done for t in tallies), sum(t.errors for t in tallies)
        slowest = max(t.slowest for t in tallies)
        healed, rejections = sum(t.healed for t in tallies), self.rejections
        minted, stolen = self.wechat.minted(self.wechat.appid), self.wechat.stolen(self.wechat.appid)
        return [
            Check(
                errors == 0 and done > 0,
                say(words.USERS, done=done, errors=errors, slowest=f"{slowest * 1000:.0f}"),
            ),
            Check(
                healed == rejections and self._fetches_for_theft == 1 and all(t.healed for t in tallies),
                say(
                    words.HEALED,
                    met=len(self._rejected),
                    processes=self.processes,
                    rejections=rejections,
                    healed=healed,
                    fetches=fetches(self._fetches_for_theft),
                ),
            ),
            Check(
                self.answered == _OCCASIONS,
                say(words.GIVEN, processes=self.processes, times=times(self.answered), right=_OCCASIONS),
            ),
            Check(
                0 < self.failed <= _TRIES,
                say(words.ASKED, times=times(self.failed)),
            ),
            Check(
                (minted, stolen) == (_OCCASIONS - 1, 1),
                say(words.MADE, minted=minted, stolen=stolen),
            ),
        ]

    def comparison(self) -> str:
        """Tell how the one with the dict fared, as measured."""
        tally = self.rival_tally
        return say(words.COMPARISON, errors=tally.errors, total=tally.done + tally.errors)


def _told(event: dict[str, Any]) -> tuple[str, str] | None:
    """Put an event of the library's into words, with a mood."""
    after = f"{float(event.get('wx_seconds', 0.0)) * 1000:.0f} ms"
    match event["wx_name"], event.get("wx_reason"):
        case "rejected", _:
            return say(words.REJECTED), "bad"
        case "fetch_done", "rejected":
            return say(words.HAS_NEW, after=after), "good"
        case "fetch_done", "first":
            return say(words.HAS_FIRST, after=after), "good"
        case "fetch_done", "ahead":
            return say(words.HAS_RENEWED, after=after), "good"
        case "fetch_done", _:
            return say(words.HAS_LATE, after=after), "plain"
        case "adopted", _:
            return say(words.ADOPTED), "good"
        case "fetch_failed", _:
            return say(words.CANNOT), "bad"
    return None
