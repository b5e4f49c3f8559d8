"""A network whose messages are rewritten on their way, and processes that end when they are done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

from rapid.consensus.facts import Vote
from rapid.detection.alert import Alert, Status
from rapid.detection.cut_detector import ring_bits
from rapid.overlay.configuration import Configuration
from rapid.overlay.member import Endpoint, Member
from rapid.protocol.messages import Facts, Message
from rapid.protocol.node import Node
from rapid.protocol.outputs import Event, Installed, JoinFailed, Left
from rapid.settings import Settings

from .harness import Net, at, view

Script = Callable[[Endpoint, Endpoint, Message], Message | None]


class Stage(Net):
    """A :class:`Net` that hands each message to ``script`` on its arrival; None loses it.

    ``options`` are those of every :class:`Node`. Who left or could not join is no process any more.
    """

    def __init__(self, seed: int = 1, settings: Settings | None = None, **options: Any) -> None:
        super().__init__(seed, settings)
        self.script: Script = lambda source, to, message: message
        self.options = options

    def add(self, number: int, *seeds: int) -> Node:
        endpoint = at(number)
        node = Node(endpoint, self.settings, Random(self.rng.random()), **self.options)
        self.nodes[endpoint] = node
        self.events[endpoint] = []
        if seeds:
            node.join([at(seed) for seed in seeds], self.now)
        else:
            node.start(self.now)
        self.settle(node)
        return node

    def deliver(self, source: Endpoint, to: Endpoint, message: Message) -> None:
        if to not in self.nodes:
            super().deliver(source, to, message)
        elif (altered := self.script(source, to, message)) is not None:
            super().deliver(source, to, altered)

    def settle(self, node: Node) -> None:
        super().settle(node)
        endpoint = node.member.endpoint
        done = any(
            isinstance(event, Left) or (isinstance(event, JoinFailed) and not event.leaving)
            for event in self.events[endpoint]
        )
        if done and self.nodes.get(endpoint) is node:
            self.crash(node)

    def told(self, node: Node, kind: type[Event]) -> bool:
        """Whether its application was ever told such a thing."""
        return any(isinstance(event, kind) for event in self.events[node.member.endpoint])

    def successor(self, node: Node, configuration: Configuration) -> Configuration | None:
        """What this process installed right after that configuration."""
        for event in self.events[node.member.endpoint]:
            if isinstance(event, Installed) and event.configuration.version == configuration.version + 1:
                return event.configuration
        return None

    def report(self, node: Node, joiner: Member) -> None:
        """Let a member hear all at once that a process wants in, from everyone who would observe it."""
        node.receive(reports(view(node), joiner, node.member.endpoint), self.now)


def reports(configuration: Configuration, joiner: Member, to: Endpoint) -> Facts:
    """The alerts of all who would let this joiner in, passed on by some other member."""
    watchers = configuration.subjects(joiner.endpoint)
    alerts = tuple(
        Alert(watcher, joiner, Status.UP, ring_bits(watchers, watcher)) for watcher in dict.fromkeys(watchers)
    )
    sender = next(endpoint for endpoint in configuration.endpoints if endpoint != to)
    return Facts(sender, configuration.cluster_id, configuration.version, alerts)


def without_votes(message: Message, unless: Callable[[Vote], bool] = lambda vote: False) -> Message:
    """The same facts, less the votes."""
    if not isinstance(message, Facts) or not message.votes:
        return message
    return replace(message, votes=tuple(vote for vote in message.votes if unless(vote)))
