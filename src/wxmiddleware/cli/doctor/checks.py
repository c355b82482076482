"""A check, and how a table of them is run: in order, each unless something that it depends on has failed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from ..._runtime.language import Text
from .findings import Finding, Level, fail, skip

if TYPE_CHECKING:
    from .examination import Examination

__all__ = ["Check", "Cost", "Result", "cause_of", "needed_for", "run"]


class Cost(StrEnum):
    """What a check costs; the words for people are in `words.COSTS`."""

    NOTHING = "nothing"
    NETWORK = "network"  # connections, and requests without token and secret
    STORE = "store"  # reads from the store
    PROBE = "probe"  # writes a record of its own into the store
    CALL = "call"  # an API call with the token at hand
    FETCH = "fetch"  # a request to the token endpoint, with --active only
    PUSH = "push"  # two requests to the webhook


@dataclass(frozen=True, slots=True)
class Check:
    """
    One check.

    Attributes:
        name: Stable: scripts go by it.
        look: Looks and judges.
        about: What it is about, for ``--list``.
        cost: What it costs.
        needs: The checks without which it means nothing: it is skipped if one of them has failed.
    """

    name: str
    look: Callable[[Examination], Finding]
    about: Text
    cost: Cost = Cost.NOTHING
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """
    A check and what it has found.

    Attributes:
        check: Which.
        finding: What it has found.
        blocked_by: The check that failed and without which this one means nothing; empty if it was looked at.
    """

    check: Check
    finding: Finding
    blocked_by: str = ""

    @property
    def level(self) -> Level:
        """How good or bad it is."""
        return self.finding.level


def run(table: Sequence[Check], examination: Examination) -> Iterator[Result]:
    """
    Run the checks of a table in their order, and give each result when it is there.

    A check that breaks is a failed one: the others are looked at all the same.
    """
    causes: dict[str, str] = {}
    for check in table:
        blocked = next((causes[name] for name in check.needs if name in causes), "")
        finding = skip("any.blocked", name=blocked) if blocked else _looked(check, examination)
        if blocked or finding.level is Level.FAIL:
            causes[check.name] = blocked or check.name
        yield Result(check, finding, blocked)


def _looked(check: Check, examination: Examination) -> Finding:
    try:
        return check.look(examination)
    except Exception as error:  # its text may quote anything
        return fail("any.broken", error=type(error).__name__)


def cause_of(results: Iterable[Result]) -> Result | None:
    """The first that failed: what depends on it was skipped."""
    return next((each for each in results if each.level is Level.FAIL), None)


def needed_for(table: Sequence[Check], *names: str) -> list[Check]:
    """The checks of these names and all that they depend on, in the order of the table."""
    by_name = {check.name: check for check in table}
    todo, wanted = list(names), set[str]()
    while todo:
        name = todo.pop()
        if name not in wanted:
            wanted.add(name)
            todo += by_name[name].needs
    return [check for check in table if check.name in wanted]
