"""What a view change costs a member: messages and bytes, from a silent crash until all others agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any

from rapid.overlay.member import Endpoint
from rapid.protocol.messages import Message, Probe, ProbeAck
from rapid.protocol.node import Node
from rapid.protocol.outputs import Output, Reply, Send
from rapid.simulation import scenarios
from rapid.simulation.errors import ScenarioError
from rapid.simulation.world import World


@dataclass(frozen=True, slots=True)
class Traffic:
    """Messages and bytes a member, over all members that did not crash."""

    mean_sent: float
    most_sent: int
    mean_received: float
    most_received: int
    mean_bytes: float
    """Sent, as encoded messages: without what frames, gRPC and TCP add."""
    most_bytes: int


@dataclass(frozen=True, slots=True)
class Cost:
    """One silent crash among ``nodes`` members; ``seconds`` of virtual time until all others agreed."""

    nodes: int
    seconds: float
    change: Traffic
    """Everything but the probes: alerts, the proposal, votes, the decision, repairs."""
    probing: Traffic
    """Probes and their acks in that time; they flow at the same rate when nothing happens."""


@dataclass(slots=True)
class Ledger:
    """Who sent and received how much."""

    sent: Counter[Endpoint] = field(default_factory=Counter)
    received: Counter[Endpoint] = field(default_factory=Counter)
    bytes: Counter[Endpoint] = field(default_factory=Counter)

    def traffic(self, members: list[Endpoint]) -> Traffic:
        def over(counts: Counter[Endpoint]) -> tuple[float, int]:
            found = [counts[member] for member in members]
            return sum(found) / len(found), max(found)

        return Traffic(*over(self.sent), *over(self.received), *over(self.bytes))


class Meter:
    """Counts what the nodes that it makes send and receive, while ``running``."""

    def __init__(self, size: Callable[[Message], int]) -> None:
        self.running = False
        self.change = Ledger()
        self.probing = Ledger()
        self._size = size

    def node(self, *parts: Any, **options: Any) -> Node:
        """A metered node; what it is made of is between the world and :class:`Node`."""
        return _MeteredNode(self, *parts, **options)

    def sent(self, sender: Endpoint, message: Message) -> None:
        ledger = self._ledger(message)
        ledger.sent[sender] += 1
        ledger.bytes[sender] += self._size(message)

    def received(self, receiver: Endpoint, message: Message) -> None:
        self._ledger(message).received[receiver] += 1

    def _ledger(self, message: Message) -> Ledger:
        return self.probing if isinstance(message, Probe | ProbeAck) else self.change


class _MeteredNode(Node):
    """Both what is sent and what is replied passes here; a world's watchers see what is sent alone."""

    def __init__(self, meter: Meter, *parts: Any, **options: Any) -> None:
        super().__init__(*parts, **options)
        self._meter = meter

    def receive(self, message: Message, now: float, reply_to: Hashable | None = None) -> None:
        if self._meter.running:
            self._meter.received(self.member.endpoint, message)
        super().receive(message, now, reply_to)

    def drain(self) -> list[Output]:
        outputs = super().drain()
        if self._meter.running:
            for output in outputs:
                if isinstance(output, Send | Reply):
                    self._meter.sent(self.member.endpoint, output.message)
        return outputs


@dataclass(frozen=True, slots=True, kw_only=True)
class CostStudy:
    """Which sizes to try. ``size`` gives the bytes of a message on the wire.

    Raises :class:`ScenarioError`, which names the field, when a value is out of range.
    """

    size: Callable[[Message], int]
    nodes: tuple[int, ...] = (50, 200, 1000, 5000)
    seed: int = 1

    def __post_init__(self) -> None:
        if not self.nodes:
            raise ScenarioError("nodes", "no size to try")
        for nodes in self.nodes:
            if nodes < 3:
                raise ScenarioError("nodes", f"{nodes} members; of fewer than 3 no crash can be agreed on")

    def parts(self) -> list[int]:
        """The sizes, the dearest first: several processes then end together."""
        return sorted(self.nodes, reverse=True)

    def measure(self, nodes: int) -> Cost:
        """Form a cluster, have one member crash with its host, and wait until the others agree.

        Raises :class:`InvariantViolation` when they do not.
        """
        meter = Meter(self.size)
        world = World(self.seed, make_node=meter.node)
        world.add_members(nodes)
        world.start()
        world.expect_agreement(scenarios.BOOT)
        world.run(scenarios.QUIET)
        crashed = scenarios.some(world, 1)
        meter.running = True
        world.crash(crashed, silent=True)
        seconds = world.expect_agreement(60.0)
        members = [life.place.endpoint for life in world.live]
        return Cost(nodes, seconds, meter.change.traffic(members), meter.probing.traffic(members))

    def combined(self, measured: Iterable[Cost]) -> list[Cost]:
        """One row for each size, in the order in which they were asked for."""
        found = {cost.nodes: cost for cost in measured}
        return [found[nodes] for nodes in self.nodes]
