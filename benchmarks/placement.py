"""How long it takes to find the owner of a key, and to make the ring of a view.

python benchmarks/placement.py

Prints one JSON object for each number of members; all times are microseconds, the best of five.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from functools import partial
from timeit import repeat

from rapid import Endpoint, HashRing, Member, NodeId

SIZES = (3, 10, 100, 1000)
BEST_OF = 5


def members(count: int, weights: int) -> list[Member]:
    """In three zones, with so many different weights."""
    rng = random.Random(count)
    return [
        Member(
            Endpoint(f"10.0.{at // 250}.{at % 250}", 7400),
            NodeId(rng.randbytes(16)),
            {"zone": f"zone-{at % 3}", "weight": str(1 + at % weights)},
        )
        for at in range(count)
    ]


def microseconds(call: Callable[[], object], number: int) -> float:
    return round(min(repeat(call, number=number, repeat=BEST_OF)) / number * 1e6, 1)


def main() -> int:
    for count in SIZES:
        equal, weighed = members(count, 1), members(count, 4)
        plain, ring = HashRing(equal), HashRing(weighed)
        number = 20_000 // count
        print(json.dumps({
            "members": count,
            "owner": microseconds(partial(plain.owner, "user:1234567"), number),
            "owner, 4 weights": microseconds(partial(ring.owner, "user:1234567"), number),
            "3 owners in 3 zones": microseconds(partial(plain.owners, "user:1234567", 3), number),
            "make a ring": microseconds(partial(HashRing, weighed), 1 + number // 20),
        }), flush=True)  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
