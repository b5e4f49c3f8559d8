"""How the time and the traffic of a bootstrap grow with the number of processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import log
from statistics import linear_regression

from rapid.protocol.messages import Message
from rapid.simulation import scenarios
from rapid.simulation.costs import Meter
from rapid.simulation.errors import ScenarioError
from rapid.simulation.world import World


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """One cluster of ``nodes``, from the moment at which all but the founder set out to join it."""

    nodes: int
    seconds: float
    """Of virtual time, until all saw all."""
    sizes: int
    """Distinct numbers of members that anyone was told of."""
    messages: float
    """Sent a member until then, probes and acks with them."""
    bytes: float
    """Sent a member, as encoded messages: without what frames, gRPC and TCP add."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowthStudy:
    """Which sizes to try. ``size`` gives the bytes of a message on the wire.

    Raises :class:`ScenarioError`, which names the field, when a value is out of range.
    """

    size: Callable[[Message], int]
    nodes: tuple[int, ...] = (100, 300, 1000, 3000, 10_000)
    seed: int = 1

    def __post_init__(self) -> None:
        if len(set(self.nodes)) < 2:
            raise ScenarioError("nodes", "growth takes two sizes at least")
        for nodes in self.nodes:
            if nodes < 2:
                raise ScenarioError("nodes", f"{nodes} members; of fewer than 2 none joins another")

    def parts(self) -> list[int]:
        """The sizes, the dearest first: several processes then end together."""
        return sorted(self.nodes, reverse=True)

    def measure(self, nodes: int) -> Bootstrap:
        """Have the others join a founder at once, and wait until all see all.

        Raises :class:`InvariantViolation` when they do not.
        """
        meter = Meter(self.size)
        world = World(self.seed, make_node=meter.node)
        world.add_members(nodes)
        world.start(world.places[0].endpoint)
        world.expect_agreement(scenarios.BOOT)
        meter.running = True
        world.start()
        seconds = world.expect_agreement(scenarios.BOOT)
        sizes = {seen.configuration.size for life in world.live for seen in life.views}
        members = [life.place.endpoint for life in world.live]
        parts = [ledger.traffic(members) for ledger in (meter.change, meter.probing)]
        messages, volume = sum(part.mean_sent for part in parts), sum(part.mean_bytes for part in parts)
        return Bootstrap(nodes, seconds, len(sizes), messages, volume)

    def combined(self, measured: Iterable[Bootstrap]) -> list[Bootstrap]:
        """One row for each size, in the order in which they were asked for."""
        found = {row.nodes: row for row in measured}
        return [found[nodes] for nodes in self.nodes]


def exponents(rows: Sequence[Bootstrap]) -> dict[str, float]:
    """The x of N^x that the time, and the messages and bytes of all members, grow by: a fit on all rows."""
    sizes = [log(row.nodes) for row in rows]
    totals = {
        "seconds": [row.seconds for row in rows],
        "messages": [row.messages * row.nodes for row in rows],
        "bytes": [row.bytes * row.nodes for row in rows],
    }
    return {
        name: linear_regression(sizes, [log(value) for value in values]).slope
        for name, values in totals.items()
    }
