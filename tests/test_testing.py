"""What ``wxmiddleware.testing`` tells the author of a store: tests that fail where they should, in words."""

from __future__ import annotations

import textwrap

import pytest

import wxmiddleware.testing
from wxmiddleware.simulator import SimulatedClock
from wxmiddleware.sources import Cause, Failure, Grant
from wxmiddleware.stores import dumps_record, keep_until, loads_record
from wxmiddleware.stores.memory import MemoryStore
from wxmiddleware.testing import ClockedStore, ScriptedSource
from wxmiddleware.testing._data import ACCOUNT, KEY, SECRET, TOKEN, record

# A good store, and how each of the others is worse; below, the tests that notice and something of what they say.
GOOD = """
import threading, time
from dataclasses import replace
import pytest
from wxmiddleware.stores import Loaded, Record
from wxmiddleware.testing import TokenStoreContract

class Store:
    shared = True

    def __init__(self):
        self.records, self.lock = {}, threading.Lock()

    def load(self, key):
        return Loaded(*self.records.get(key, (None, 0)), time.time())

    def save(self, key, record, version):
        with self.lock:
            if self.records.get(key, (None, 0))[1] != version:
                return None
            self.records[key] = (record, version + 1)
            return version + 1

class TestGood(TokenStoreContract):
    @pytest.fixture
    def store(self):
        return Store()
"""
BAD = {
    "NoSwap": (
        """
        def save(self, key, record, version):
            with self.lock:
                _, last = self.records.get(key, (None, 0))
                self.records[key] = (record, last + 1)
                return last + 1
        """,
        {
            "test_stale_version": "must change nothing and give None",
            "test_one_winner[empty]": "16 of them were told that they had saved; exactly one must be",
            "test_cold_herd": "tokens where 1 must be enough",
            "test_refused_herd": "tokens where 2 must be enough",
            "test_older_answer_after_a_newer": "An older token replaced a newer one",
            "test_leader_that_slept": "tokens where 1 must be enough",
        },
    ),
    "SwapsOnlyTheFirst": (
        """
        def save(self, key, record, version):
            with self.lock:
                _, last = self.records.get(key, (None, 0))
                if last and not version:
                    return None
                self.records[key] = (record, last + 1)
                return last + 1
        """,
        {
            "test_stale_version_of_a_filled_store": "must change nothing and give None",
            "test_refused_herd": "fetched",
            "test_leader_that_slept": "tokens where 1 must be enough",
        },
    ),
    "NoLease": (
        """
        def save(self, key, record, version):
            return super().save(key, replace(record, lease=None), version)
        """,
        {"test_every_field": "The lease was lost", "test_cold_herd": "tokens where 1 must be enough"},
    ),
    "NoCooldown": (
        """
        def save(self, key, record, version):
            return super().save(key, replace(record, cooldown=None), version)
        """,
        {"test_every_field": "The cooldown was lost", "test_failure_is_shared": "fetched"},
    ),
    "VersionOfContent": (
        """
        def load(self, key):
            record, _ = self.records.get(key, (None, 0))
            return Loaded(record, hash(record), time.time())

        def save(self, key, record, version):
            with self.lock:
                if self.load(key).version != version:
                    return None
                self.records[key] = (record, 0)
                return hash(record)
        """,
        {
            "test_same_record_again": "Two saves of the same record have the same version",
            "test_there_and_back": "changed and changed back",
        },
    ),
    "AnotherVersion": (
        """
        def save(self, key, record, version):
            saved = super().save(key, record, version)
            return None if saved is None else str(saved)
        """,
        {"test_versions": "save() gave another version than the next load()"},
    ),
    "Talkative": (
        """
        def __repr__(self):
            return f"Store({[record.value for record, _ in self.records.values()]})"
        """,
        {"test_repr": "shows the token"},
    ),
    "OneForAll": (
        """
        def load(self, key):
            return super().load("")

        def save(self, key, record, version):
            return super().save("", record, version)
        """,
        {"test_keys_are_separate": "saved under another key", "test_versions_of_another_key": "for each key alone"},
    ),
    "Rounds": (
        """
        def save(self, key, record, version):
            return super().save(key, replace(record, sent_at=round(record.sent_at - 0.5)), version)
        """,
        {"test_load_what_was_saved": "Keep times as floats"},
    ),
    "BackInTime": (
        """
        def load(self, key):
            self.now = getattr(self, "now", 1e9) - 1
            return replace(super().load(key), now=self.now)
        """,
        {"test_clock": "Loaded.now went back"},
    ),
    "Breaks": (
        """
        def save(self, key, record, version):
            if record.lease is not None:
                raise KeyError(record.value)
            return super().save(key, record, version)
        """,
        {"test_cold_herd": "The store raised an error: save() raised KeyError."},
    ),
}


def suite() -> str:
    classes = [GOOD]
    for name, (worse, _) in BAD.items():
        classes.append(f"class {name}(Store):\n{textwrap.indent(textwrap.dedent(worse).strip(), '    ')}\n")
        fixture = f"    @pytest.fixture\n    def store(self):\n        return {name}()\n"
        classes.append(f"class Test{name}(TokenStoreContract):\n{fixture}")
    return "\n\n".join(classes)


@pytest.fixture
def plain(pytester: pytest.Pytester) -> pytest.Pytester:
    """A user's project, with the settings that pytest has of itself."""
    pytester.makeini("[pytest]\n")
    return pytester


def test_bad_stores(plain: pytest.Pytester) -> None:
    """Whatever is wrong with a store, some test says so in words; a good one passes them all."""
    file = plain.makepyfile(suite()).name
    # The others would wait for what such a store never brings, for half a minute each.
    named = [f"{file}::Test{name}::{test}" for name, (_, tests) in BAD.items() for test in tests]
    result = plain.runpytest_subprocess("-q", "-rA", "--tb=short", f"{file}::TestGood", *named, timeout=100)
    failed = {line.split("::", 1)[1] for line in result.outlines if line.startswith("FAILED ")}
    failed = {line.split(" - ")[0] for line in failed}
    text = result.stdout.str()

    assert [one for one in failed if one.startswith("TestGood::")] == []
    assert "Error: The second" not in text
    missed = [(name, test) for name, (_, tests) in BAD.items() for test in tests if f"Test{name}::{test}" not in failed]
    assert missed == []
    for name, (_, tests) in BAD.items():
        for test, words in tests.items():
            section = text.split(f"_ Test{name}.{test} _", 1)[1].split("\n____", 1)[0]
            assert words in section, f"{name} {test}"


def test_values_are_shown(plain: pytest.Pytester) -> None:
    """Beside the words stands what pytest makes of an assertion, which it does only for modules that it was told of."""
    plain.makepyfile(suite())
    result = plain.runpytest_subprocess("-q", "-k", "TestNoSwap and one_winner and empty", timeout=100)

    result.stdout.fnmatch_lines(["E * assert 16 == 1"])


def test_no_store(plain: pytest.Pytester) -> None:
    """Who forgets the fixture is told its name."""
    plain.makepyfile(
        """
        from wxmiddleware.testing import TokenStoreContract

        class TestMine(TokenStoreContract):
            pass
        """
    )
    result = plain.runpytest_subprocess("-q", "-k", "test_empty", timeout=100)

    result.stdout.fnmatch_lines(["*Give TestMine a fixture named store that returns an empty store."])


def test_example(plain: pytest.Pytester) -> None:
    """The store in the module's docstring is a good one."""
    docstring = wxmiddleware.testing.__doc__ or ""
    example = textwrap.dedent(docstring.split("::\n", 1)[1].split("\nA test that fails", 1)[0])
    plain.makepyfile(example)
    result = plain.runpytest_subprocess("-q", "-W", "error", timeout=100)
    outcomes = result.parseoutcomes()

    assert set(outcomes) == {"passed"}
    assert outcomes["passed"] > 25


def test_public_codec() -> None:
    """A store of one's own writes a record as text and reads it again, and knows how long to keep it."""
    saved = record(1000.0)

    assert loads_record(dumps_record(saved)) == saved
    assert keep_until(saved) == 8200.0


class TestClockedStore:
    def test_time(self) -> None:
        """It tells the test's time, and holds what the store holds."""
        clock, inner = SimulatedClock(), MemoryStore()
        store = ClockedStore(inner, clock)
        saved = record(clock())
        version = store.save(KEY, saved, store.load(KEY).version)
        clock.advance(5)

        assert inner.load(KEY).record == saved
        assert store.load(KEY).record == saved
        assert store.load(KEY).version == version
        assert store.load(KEY).now == clock()
        assert store.save(KEY, saved, None) is None

    def test_what_it_is(self) -> None:
        """It is shared if the store is, and shows nothing secret."""
        store = ClockedStore(MemoryStore(10), SimulatedClock())

        assert store.shared is False
        assert repr(store) == "ClockedStore(MemoryStore(maxsize=10))"


class TestScriptedSource:
    def test_answers(self) -> None:
        """It answers in order, counts, and fails when there is nothing left."""
        busy = Failure(Cause.TRANSIENT, "busy")
        source = ScriptedSource("T1", busy)
        source.answer(Grant("T2", 60))
        answers = [source.fetch(ACCOUNT) for _ in range(4)]

        assert answers[:3] == [Grant("T1", 7200), busy, Grant("T2", 60)]
        assert isinstance(answers[3], Failure)
        assert source.fetches == 4
        assert not [one for one in answers if SECRET in repr(one) or TOKEN in repr(one)]
