"""Configurations drawn at random, for studies that need an overlay and no network."""

from __future__ import annotations

from random import Random

from rapid.overlay.configuration import Configuration
from rapid.overlay.member import ClusterId, Endpoint, Member, NodeId


class Sampled(Configuration):
    """A configuration that looks up a member's observers once, however many detectors ask for them."""

    def observers(self, endpoint: Endpoint) -> tuple[Endpoint, ...]:
        known: dict[Endpoint, tuple[Endpoint, ...]] = self.__dict__.setdefault("_observers", {})
        found = known.get(endpoint)
        if found is None:
            found = known[endpoint] = super().observers(endpoint)
        return found


def sampled(nodes: int, k: int, rng: Random) -> Configuration:
    """``nodes`` members on ``k`` rings; their ports, hence their places on the rings, are drawn."""
    members = [
        Member(Endpoint(f"m{number}", rng.randrange(1024, 65536)), NodeId(rng.randbytes(NodeId.SIZE)))
        for number in range(nodes)
    ]
    return Sampled.of(ClusterId(rng.randbytes(ClusterId.SIZE)), 1, members, k)
