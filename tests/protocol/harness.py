"""A few nodes in virtual time, with links that can be cut. For tests of the protocol alone."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from random import Random

from rapid.overlay.configuration import Configuration
from rapid.overlay.member import Endpoint
from rapid.protocol.messages import Message
from rapid.protocol.node import Node
from rapid.protocol.outputs import Check, Discover, Event, Installed, Notify, Send
from rapid.settings import Settings


class Net:
    """Delivers messages after about a millisecond; ``blocked`` holds one-way links that lose all.

    With ``checks`` each node has an application that finds the members in ``sick`` unwell.
    """

    def __init__(self, seed: int = 1, settings: Settings | None = None, *, checks: bool = False) -> None:
        self.rng = Random(seed)
        self.settings = settings or Settings.lan()
        self.now = 0.0
        self.nodes: dict[Endpoint, Node] = {}
        self.events: dict[Endpoint, list[Event]] = {}
        self.blocked: set[tuple[Endpoint, Endpoint]] = set()
        self.keep: Callable[[Endpoint, Endpoint, Message], bool] = lambda source, to, message: True
        self.sick: set[Endpoint] = set()
        self.trace: list[str] = []
        self._checks = checks
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0

    def add(self, number: int, *seeds: int) -> Node:
        """A new process at this address; it joins through the seeds, or founds without any."""
        endpoint = at(number)
        node = Node(endpoint, self.settings, Random(self.rng.random()), checks=self._checks)
        self.nodes[endpoint] = node
        self.events[endpoint] = []
        if seeds:
            node.join([at(seed) for seed in seeds], self.now)
        else:
            node.start(self.now)
        self.settle(node)
        return node

    def form(self, size: int) -> list[Node]:
        """A cluster of this size that all of it sees."""
        nodes = [self.add(0), *(self.add(number, 0) for number in range(1, size))]
        assert self.until(lambda: agree(nodes, size)), "the cluster does not form"
        return nodes

    def crash(self, *nodes: Node) -> None:
        for node in nodes:
            del self.nodes[node.member.endpoint]

    def deliver(self, source: Endpoint, to: Endpoint, message: Message) -> None:
        node = self.nodes.get(to)
        if node is None:
            if (sender := self.nodes.get(source)) is not None:
                sender.send_failed(to, self.now, refused=True)
                self.settle(sender)
            return
        self.trace.append(f"{self.now:.6f} {source} {to} {message}")
        node.receive(message, self.now, source)
        self.settle(node)

    def settle(self, node: Node) -> None:
        me = node.member.endpoint
        for output in node.drain():
            if isinstance(output, Notify):
                self.events[me].append(output.event)
                continue
            if isinstance(output, Discover):
                continue  # the seeds never move
            if isinstance(output, Check):
                self._after(0.001, self._check(node, output))
                continue
            to = output.to if isinstance(output, Send) else output.token
            assert isinstance(to, Endpoint)
            if (me, to) not in self.blocked and self.keep(me, to, output.message):
                self._after(0.0005 + 0.001 * self.rng.random(), self._delivery(me, to, output.message))
        if (deadline := node.deadline()) is not None:
            self._after(max(0.0, deadline - self.now), lambda: self._wake(node))

    def until(self, condition: Callable[[], bool], within: float = 20.0) -> bool:
        """Run until the condition holds; False when it does not within these virtual seconds."""
        end = self.now + within
        while not condition():
            if not self._heap or self._heap[0][0] > end:
                return False
            self.now, _, act = heappop(self._heap)
            act()
        return True

    def run(self, seconds: float) -> None:
        self.until(lambda: False, seconds)

    def versions(self, node: Node) -> list[int]:
        told = self.events[node.member.endpoint]
        return [event.configuration.version for event in told if isinstance(event, Installed)]

    def _delivery(self, source: Endpoint, to: Endpoint, message: Message) -> Callable[[], None]:
        return lambda: self.deliver(source, to, message)

    def _check(self, node: Node, check: Check) -> Callable[[], None]:
        def tell() -> None:
            endpoint, node_id = check.member.endpoint, check.member.node_id
            if self.nodes.get(node.member.endpoint) is node:
                node.checked(endpoint, node_id, check.sequence, endpoint not in self.sick, self.now)
                self.settle(node)

        return tell

    def _after(self, delay: float, act: Callable[[], None]) -> None:
        self._order += 1
        heappush(self._heap, (self.now + delay, self._order, act))

    def _wake(self, node: Node) -> None:
        deadline = node.deadline()
        alive = self.nodes.get(node.member.endpoint) is node
        if alive and deadline is not None and deadline <= self.now:
            node.wake(self.now)
            self.settle(node)


def at(number: int) -> Endpoint:
    return Endpoint("10.0.0.1", 7000 + number)


def view(node: Node) -> Configuration:
    assert node.configuration is not None
    return node.configuration


def agree(nodes: list[Node], size: int) -> bool:
    """All of them hold one and the same configuration of this size."""
    views = [node.configuration for node in nodes]
    return all(found is not None and found.size == size for found in views) and (
        len({(found.cluster_id, found.version, found.digest) for found in views if found}) == 1
    )
