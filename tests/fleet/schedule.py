"""What happens in a soak, and when: a pure function of the seed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

SEATS = 6  # workers at a time; whoever is killed is replaced
ELDERS = 2  # the first of them are never killed, so that a leak has time to show

# kind -> how WeChat fails, and for how long it may be left alone afterwards
TROUBLES: dict[str, tuple[str, dict[str, Any], float]] = {
    "busy": ("errcode", {"errcode": -1}, 60.0),
    "too frequent": ("errcode", {"errcode": 45011}, 60.0),
    "bad gateway": ("status", {"status": 502}, 60.0),
    "reset": ("reset", {}, 120.0),
    "lost": ("lost", {}, 120.0),
    "half": ("half", {}, 120.0),
    "hotel": ("html", {}, 120.0),
    "empty": ("empty", {"executed": True}, 120.0),
    "wrong address": ("errcode", {"errcode": 40164}, 600.0),
    "quota": ("errcode", {"errcode": 45009}, 600.0),
}
AMBIGUOUS = ("reset", "lost", "half", "hotel", "empty")
# The more often one stands here, the more often it strikes.
FAULTS = (
    *["trouble"] * 3,
    *["fetcher"] * 3,
    *["down"] * 2,
    *["alone"] * 2,
    *["steal"] * 2,
    *("wipe", "old", "kill", "stop", "revoke", "jump", "liar"),
)


@dataclass(frozen=True)
class Step:
    """One thing that happens; `do` is the name of a method of `fleet.soak.Soak`."""

    do: str
    what: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.do}({', '.join(f'{name}={value!r}' for name, value in self.what.items())})"


@dataclass(frozen=True)
class Setting:
    """What a life is lived in."""

    store: str
    kind: str
    overlap: float


def setting(seed: int, stores: list[str], kinds: list[str]) -> Setting:
    """Choose among what is allowed."""
    draw = random.Random(f"setting {seed}")
    return Setting(draw.choice(stores), draw.choice(kinds), draw.choice([0.0, 300.0, 300.0]))


def schedule(seed: int, episodes: int, *, keeps: bool) -> Iterator[Step]:
    """
    Give the steps of one life.

    Args:
        episodes: How often it goes from peace through trouble back to peace.
        keeps: Whether the store may come back with what it had.
    """
    draw = random.Random(f"schedule {seed}")
    yield Step("converge")
    yield Step("remember")
    for _ in range(episodes):
        for _ in range(draw.randint(1, 6)):
            yield _passing(draw, 20, 400)
        if draw.random() < 0.3:
            yield Step("remember")
        for _ in range(draw.choice([1, 1, 1, 2, 2, 3])):
            yield from _fault(draw)
            for _ in range(draw.randint(0, 5)):
                yield _passing(draw, 1, 60)
        yield Step("repair", {"back": draw.choice(["kept", "empty", "old"]) if keeps else "empty"})
        yield Step("converge")
    yield Step("end")


def _passing(draw: random.Random, least: float, most: float) -> Step:
    """Time passes, and some or all workers are called: one after the other, or all at once."""
    everybody = draw.random() < 0.7
    who = list(range(SEATS)) if everybody else sorted(draw.sample(range(SEATS), draw.randint(1, SEATS - 1)))
    seconds = round(draw.uniform(least, most), 1)
    return Step("pass_time", {"seconds": seconds, "who": who, "at_once": draw.random() < 0.5})


def _fault(draw: random.Random) -> Iterator[Step]:
    kind = draw.choice(FAULTS)
    victim = draw.randrange(ELDERS, SEATS)
    near = draw.choice([None, 500.0, 200.0, 200.0, 60.0, -30.0])
    if kind == "alone":
        near = draw.choice([500.0, 200.0, 100.0])
    if kind in ("trouble", "down", "alone") and near is not None:  # a renewal is due when the fault strikes
        yield Step("come_near", {"left": near + 300.0})
        yield Step("come_near", {"left": near, "calling": False})
    if kind == "trouble":
        yield Step("trouble", {"kind": draw.choice(list(TROUBLES))})
    elif kind == "alone":  # WeChat fails, then the store, too: each worker has only what it has in memory
        yield Step("trouble", {"kind": draw.choice(list(TROUBLES))})
        yield _passing(draw, 1, 10)
        yield Step("down")
        for _ in range(3):
            yield _passing(draw, 1, 20)
    elif kind in ("kill", "stop"):
        yield Step(kind, {"seat": victim})
    elif kind == "fetcher":
        fate, executed = draw.choice(["kill", "stop", "slow"]), draw.random() < 0.5
        yield Step("fetcher", {"fate": fate, "executed": executed, "left": draw.choice([400.0, 150.0, -30.0])})
    elif kind == "jump":
        yield Step("jump", {"seconds": round(draw.uniform(600, 6 * 3600))})
    elif kind == "liar":
        yield Step("liar", {"times": draw.randint(1, 20), "seconds": draw.choice([2.0, 11.0, 31.0])})
    else:
        yield Step(kind)
