"""
What a token's life costs at each store, in round trips to its server: part of ``make bench``.

The servers are started for it, as the tests start them; one that is not installed is said to be so.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from _pytest.outcomes import Skipped
from fleet.depots import DEPOTS
from stores.test_round_trips import SERVERS, count


def main() -> None:
    print(f"\n{'round trips to the store':24} {'first':>7} {'fresh':>7} {'look':>7} {'ahead':>7} {'refused':>8}")
    for name in SERVERS:
        try:
            depot = DEPOTS[name]()
        except Skipped as reason:
            print(f"{name:24} {reason.msg}")
            continue
        row = asdict(count(depot.url))
        print(f"{name:24} " + " ".join(f"{row[field]:7}" for field in row), flush=True)
        depot.close()


if __name__ == "__main__":
    main()
