"""Processes that do not exist, and what is told of them."""

from __future__ import annotations

from rapid.detection.alert import Alert, Status
from rapid.overlay.configuration import Configuration
from rapid.overlay.member import ClusterId, Endpoint, Member, NodeId
from rapid.protocol.epoch import Epoch
from rapid.protocol.messages import Facts
from rapid.protocol.node import Node

from .harness import Net, view

CLUSTER = ClusterId(b"c" * 16)


def named(number: int, **metadata: str) -> Member:
    """One of any number of them."""
    endpoint = Endpoint(f"10.1.{number >> 8 & 255}.{number & 255}", 7000 + (number >> 16))
    return Member(endpoint, NodeId(number.to_bytes(16, "big")), metadata)


def up(configuration: Configuration, joiner: Member) -> Alert:
    observer = configuration.subjects(joiner.endpoint)[0]
    return Alert(observer, joiner, Status.UP, 1)


def epoch_of(node: Node) -> Epoch:
    assert node._epoch is not None
    return node._epoch


def say(net: Net, node: Node, sender: Endpoint, **what: object) -> None:
    """Facts of the node's own epoch."""
    mine = view(node)
    facts = Facts(sender, mine.cluster_id, mine.version)
    for name, value in what.items():
        setattr(facts, name, value)
    node.receive(facts, net.now)
