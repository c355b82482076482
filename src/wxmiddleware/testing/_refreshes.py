"""What providers make of a store: one fetch between them, and of several tokens the one that was minted last."""

from __future__ import annotations

from .._rules.models import Cause, Failure, Record
from .._rules.policies import LEASE
from ..exceptions import TokenRefused
from ..stores import TokenStore
from ._data import KEY
from ._fleet import Fleet, outcome, outcomes

_OVER = LEASE + 0.5  # who waits for another one's lease is patient for a second more
_SWAP = (
    "save() over a version that is not the latest must change nothing and give None, "
    "and load() must give everybody what was saved last, with its lease."
)
_WRONG = Failure(Cause.PERMANENT, "The secret is wrong.", errcode=40125)


class RefreshRules:
    """
    Several `TokenProvider` over the store, each in the part of a process of its own.

    The clock stands still unless the test advances it, and the token endpoint answers what the test says.
    """

    @staticmethod
    def _fetched(fleet: Fleet, count: int) -> None:
        assert not fleet.errors, f"The store raised an error: {', '.join(sorted(set(fleet.errors)))}."
        assert fleet.source.fetches == count, (
            f"The providers fetched {fleet.source.fetches} tokens where {count} must be enough. {_SWAP}"
        )

    @staticmethod
    def _kept(store: TokenStore, token: str) -> None:
        left = store.load(KEY).record
        assert left is not None, f"The providers have a token, and the store holds none. {_SWAP}"
        assert left.value == token, f"The store holds another token than the one that was minted last. {_SWAP}"

    def test_cold_herd(self, store: TokenStore, second: TokenStore) -> None:
        """Many callers in several processes, and no token yet: one fetch, and everybody gets what it brings."""
        with Fleet(store, second) as fleet:
            held = fleet.hold("T1")
            asked = fleet.herd(fleet.processes(4))
            assert held.reached(), f"Nobody fetched. {_SWAP}"
            assert fleet.wait_standing(3), f"Who did not get the lease neither waits nor fails. {_SWAP}"
            self._fetched(fleet, 1)
            held.end()

            assert outcomes(asked) == ["T1"] * 16, f"Not everybody got the token that one of them fetched. {_SWAP}"
            self._fetched(fleet, 1)
            self._kept(store, "T1")

    def test_refused_herd(self, store: TokenStore, second: TokenStore) -> None:
        """The API rejects the token that everybody has: one fetch replaces it for all."""
        with Fleet(store, second) as fleet:
            fleet.source.answer("T1")
            processes = fleet.processes(4)
            tokens = [process.token() for process in processes]
            assert tokens == ["T1"] * 4, f"A token that one process fetched is not there for the others. {_SWAP}"
            self._fetched(fleet, 1)
            held = fleet.hold("T2")
            asked = fleet.herd(processes, "T1")
            assert held.reached(), f"Nobody fetched. {_SWAP}"

            held.end()
            got = outcomes(asked)
            self._fetched(fleet, 2)
            assert got == ["T2"] * 16, f"Not everybody got the token that one of them fetched. {_SWAP}"
            self._kept(store, "T2")

    def test_refreshed_between_look_and_claim(self, store: TokenStore, second: TokenStore) -> None:
        """A process that was frozen after it read an empty store takes the token that another fetched since."""
        with Fleet(store, second) as fleet:
            fleet.source.answer("T1")
            slow, quick = fleet.processes(2)
            frozen = slow.freeze_after_look()
            asked = slow.ask()
            assert frozen.reached(), "A provider did not look at the store."
            assert quick.token() == "T1", f"The only one who asked got no token. {_SWAP}"
            frozen.end()

            assert outcome(asked) == "T1", f"Who came too late to claim the lease did not find the token. {_SWAP}"
            self._fetched(fleet, 1)
            self._kept(store, "T1")

    def test_older_answer_after_a_newer(self, store: TokenStore, second: TokenStore) -> None:
        """An answer that arrives when another process has long fetched a newer token changes nothing."""
        with Fleet(store, second) as fleet:
            slow, quick, third = fleet.processes(3)
            held = fleet.hold("T1")
            asked = slow.ask()
            assert held.reached(), f"Nobody fetched. {_SWAP}"
            fleet.clock.advance(_OVER)
            fleet.source.answer("T2")
            assert quick.token() == "T2", f"A lease that was over kept another process from fetching. {_SWAP}"
            held.end()

            assert outcome(asked) == "T2", f"An older token replaced a newer one. {_SWAP}"
            assert third.token() == "T2", f"An older token replaced a newer one. {_SWAP}"
            self._fetched(fleet, 2)
            self._kept(store, "T2")

    def test_late_answer_before_the_next_request(self, store: TokenStore, second: TokenStore) -> None:
        """Whose lease has become too short meets the answer that came late when it extends it, and fetches nothing."""
        with Fleet(store, second) as fleet:
            first, later, third = fleet.processes(3)
            held = fleet.hold("T1")
            asked_first = first.ask()
            assert held.reached(), f"Nobody fetched. {_SWAP}"
            fleet.clock.advance(_OVER)
            claimed = later.freeze_after_claim()
            asked_later = later.ask()
            assert claimed.reached(), f"A lease that was over could not be taken. {_SWAP}"
            held.end()
            assert outcome(asked_first) == "T1", f"Nobody had published, and yet the only answer was dropped. {_SWAP}"
            fleet.clock.advance(2.0)
            claimed.end()

            assert outcome(asked_later) == "T1", f"A token was there, and was not found. {_SWAP}"
            assert third.token() == "T1", f"A token was there, and was not found. {_SWAP}"
            self._fetched(fleet, 1)
            self._kept(store, "T1")

    def test_leader_that_slept(self, store: TokenStore, second: TokenStore) -> None:
        """A process that wakes up after its lease has ended fetches nothing, and leaves another one's lease alone."""
        with Fleet(store, second) as fleet:
            sleeper, awake, third = fleet.processes(3)
            claimed = sleeper.freeze_after_claim()
            asked = [sleeper.ask()]
            assert claimed.reached(), f"Nobody got the lease of an empty store. {_SWAP}"
            fleet.clock.advance(_OVER)
            held = fleet.hold("T1")
            asked.append(awake.ask())
            assert held.reached(), f"A lease that was over kept another process from fetching. {_SWAP}"
            claimed.end()
            assert fleet.wait_standing(1), f"Who lost its lease neither waits nor fails. {_SWAP}"
            asked.append(third.ask())
            assert fleet.wait_standing(2), f"A third process neither waits nor fails. {_SWAP}"
            self._fetched(fleet, 1)
            held.end()

            assert outcomes(asked) == ["T1"] * 3, f"Not everybody got the token that one of them fetched. {_SWAP}"
            self._fetched(fleet, 1)
            self._kept(store, "T1")

    def test_store_is_emptied(self, store: TokenStore, second: TokenStore) -> None:
        """A process that holds a good token writes it back (read repair), and none is fetched."""
        with Fleet(store, second) as fleet:
            fleet.source.answer("T1")
            holder, newcomer = fleet.processes(2)
            assert holder.token() == "T1", f"The only one who asked got no token. {_SWAP}"
            self._kept(store, "T1")
            _empty(store)
            fleet.clock.advance(60.0)
            assert holder.token() == "T1", "A process lost its token with the store's."
            holder.drain()

            self._kept(store, "T1")
            assert newcomer.token() == "T1", f"A token that was written back is not there for the others. {_SWAP}"
            self._fetched(fleet, 1)

    def test_failure_is_shared(self, store: TokenStore, second: TokenStore) -> None:
        """One attempt fails for all; who comes later is told so without asking, until it is time to try again."""
        with Fleet(store, second) as fleet:
            fleet.source.answer(_WRONG)
            told = outcomes(fleet.herd(fleet.processes(3)))
            latecomer = fleet.process()
            told.append(latecomer.token())
            refused = [one for one in told if isinstance(one, TokenRefused) and one.errcode == _WRONG.errcode]
            self._fetched(fleet, 1)
            assert len(refused) == 13, (
                f"Of 13 callers {len(refused)} were told the failure of the one attempt. "
                "The cooldown of a record must be kept, with its failure."
            )

            fleet.clock.advance(61.0)
            fleet.source.answer("T1")
            assert latecomer.token() == "T1", f"A failure was remembered for longer than it should be. {_SWAP}"
            self._fetched(fleet, 2)


def _empty(store: TokenStore) -> None:
    loaded = store.load(KEY)
    assert store.save(KEY, Record(), loaded.version) is not None, (
        "save() gave None, which means that somebody saved meanwhile; nobody had."
    )
