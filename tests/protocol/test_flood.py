"""Bad messages without end to one member: it remembers little of them, and the cluster goes on."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from rapid.consensus.facts import FAST, NO_RANK, Accept, Prepare, Promise, Rank, Vote
from rapid.detection.alert import Alert, Status
from rapid.detection.cut_detector import ROOM
from rapid.overlay import footprint
from rapid.overlay.configuration import Configuration
from rapid.overlay.cut import Cut, CutDigest, Removal
from rapid.overlay.member import ClusterId, Endpoint, Member, NodeId
from rapid.protocol import epoch
from rapid.protocol.messages import (
    Admitted,
    ConfigurationRequest,
    Cuts,
    Decided,
    Facts,
    JoinReply,
    JoinRequest,
    Leaving,
    Message,
    ObserveRequest,
    Probe,
    ProbeAck,
    Refounded,
    Restarted,
    Snapshot,
    Standing,
)
from rapid.protocol.node import Node
from rapid.simulation.size import state_size

from .harness import Net, agree, at, view
from .invented import named, up

SIZE = 6
LIAR = at(1)
WRONG = NodeId(b"w" * 16)
ELSEWHERE = ClusterId(b"x" * 16)
ALERTS = 64
"""Invented joiners in one message."""
PROPOSALS = 4


def digest(number: int) -> CutDigest:
    return CutDigest(number.to_bytes(16, "big"))


class Flood:
    """One message after another, each of another kind than the last, about ever new things."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.began = view(node).version
        self.kinds: list[Callable[[int], Message]] = [
            self.joiners, self.observer, self.proposal, self.rank, self.promise, self.votes, self.far_rank,
            self.future, self.elsewhere, self.stranger, self.everything, self.decided, self.ahead,
            self.probe, self.ack, self.join, self.differs, self.observe, self.in_anothers_name, self.leaving,
            self.restarted, self.asks, self.asks_ahead, self.cuts, self.snapshot, self.refounded,
            self.admitted, self.reply,
        ]  # fmt: skip

    def message(self, number: int) -> Message:
        return self.kinds[number % len(self.kinds)](number)

    @property
    def mine(self) -> Configuration:
        return view(self.node)

    def facts(self, **what: object) -> Facts:
        facts = Facts(LIAR, self.mine.cluster_id, self.mine.version)
        for name, value in what.items():
            setattr(facts, name, value)
        return facts

    def joiners(self, number: int) -> Message:
        alerts = tuple(up(self.mine, named(ALERTS * number + one)) for one in range(ALERTS))
        return self.facts(alerts=alerts)

    def observer(self, number: int) -> Message:
        alerts = (
            Alert(named(number).endpoint, named(number + 1), Status.UP, 1),
            Alert(LIAR, named(number), Status.DOWN, 1),
            Alert(LIAR, Member(at(2), WRONG), Status.LEAVING, 1),
            Alert(LIAR, Member(at(2), self.mine.members[0].node_id), Status.DOWN, 1 << 20),
        )
        return self.facts(alerts=alerts)

    def proposal(self, number: int) -> Message:
        applying = [Cut.of((), [named(PROPOSALS * number + one)]) for one in range(PROPOSALS)]
        return self.facts(proposals=(*applying, Cut.of([Removal(named(number).endpoint, WRONG)])))

    def rank(self, number: int) -> Message:
        rank = Rank(2 + number, 1)
        return self.facts(prepares=(Prepare(rank),), accepts=(Accept(rank, digest(number)),))

    def promise(self, number: int) -> Message:
        rank, me = Rank(2 + number, 1), 1 << (self.mine.index(LIAR) or 0)
        good, bad = Promise(rank, FAST, digest(number), me), Promise(rank, rank, None, me)
        return self.facts(promises=(good, bad, good._replace(voters=1 << 40)))

    def votes(self, number: int) -> Message:
        me = 1 << (self.mine.index(LIAR) or 0)
        return self.facts(votes=(Vote(Rank(2 + number, 1), digest(number), me), Vote(NO_RANK, digest(1), me)))

    def far_rank(self, number: int) -> Message:
        return self.facts(
            prepares=(Prepare(Rank((1 << 31) - 1 - number, 0)), Prepare(Rank(2, SIZE + number)))
        )

    def future(self, number: int) -> Message:
        return self.facts(version=self.mine.version + 1 + number, proposals=(Cut.of((), [named(number)]),))

    def elsewhere(self, number: int) -> Message:
        return self.facts(cluster_id=ELSEWHERE)

    def stranger(self, number: int) -> Message:
        return self.facts(sender=named(number).endpoint)

    def everything(self, number: int) -> Message:
        # each has all of it sent to who asks
        return self.facts(complete=number % 500 < len(self.kinds))

    def decided(self, number: int) -> Message:
        cut = Cut.of((), [named(number)])
        return Decided(LIAR, self.mine.cluster_id, self.mine.version, digest(number), cut)

    def ahead(self, number: int) -> Message:
        return Decided(
            named(number).endpoint, self.mine.cluster_id, self.mine.version + number, digest(number), None
        )

    def probe(self, number: int) -> Message:
        version = self.mine.version + number
        return Probe(named(number).endpoint, WRONG, number, self.mine.cluster_id, version, number, 99)

    def ack(self, number: int) -> Message:
        cluster_id = ClusterId(number.to_bytes(16, "big"))
        return ProbeAck(named(number).endpoint, WRONG, number, cluster_id, number, number, 99)

    def join(self, number: int) -> Message:
        settings = self.node.settings
        return JoinRequest(named(number).endpoint, WRONG, 1, settings.k, settings.h, settings.l)

    def differs(self, number: int) -> Message:
        return JoinRequest(named(number).endpoint, WRONG, number, number, number, number, ELSEWHERE, number)

    def observe(self, number: int) -> Message:
        joiner = named(number)
        return ObserveRequest(joiner.endpoint, joiner, self.mine.cluster_id, self.mine.version + number % 2)

    def in_anothers_name(self, number: int) -> Message:
        return ObserveRequest(LIAR, named(number), self.mine.cluster_id, self.mine.version)

    def leaving(self, number: int) -> Message:
        return Leaving(at(number % SIZE), WRONG, self.mine.cluster_id, number)

    def restarted(self, number: int) -> Message:
        return Restarted(at(number % (2 * SIZE)), WRONG)

    def asks(self, number: int) -> Message:
        return ConfigurationRequest(named(number).endpoint, self.mine.cluster_id, None, WRONG)

    def asks_ahead(self, number: int) -> Message:
        return ConfigurationRequest(LIAR, self.mine.cluster_id, self.mine.version + 1 + number, WRONG)

    def cuts(self, number: int) -> Message:
        return Cuts(LIAR, ELSEWHERE if number % 2 else self.mine.cluster_id, number, (Cut.of(),) * 3)

    def snapshot(self, number: int) -> Message:
        return Snapshot(LIAR, Configuration.of(ELSEWHERE, number, self.mine.members, self.mine.k))

    def refounded(self, number: int) -> Message:
        return Refounded(LIAR, self.mine.cluster_id, self.mine.version + 1 + number, self.mine)

    def admitted(self, number: int) -> Message:
        return Admitted(named(number).endpoint, self.mine.cluster_id, number)

    def reply(self, number: int) -> Message:
        observers = tuple(named(number + one).endpoint for one in range(10))
        return JoinReply(named(number).endpoint, Standing.WELCOME, ELSEWHERE, number, observers, attempt=1)


class _Quiet(Net):
    """What is said here is too much to be written down."""

    def deliver(self, source: Endpoint, to: Endpoint, message: Message) -> None:
        node = self.nodes.get(to)
        if node is None:
            super().deliver(source, to, message)
        else:
            node.receive(message, self.now, source)
            self.settle(node)


@pytest.mark.parametrize(
    "messages", [10_000, pytest.param(100_000, marks=[pytest.mark.verify, pytest.mark.timeout(900)])]
)
def test_a_member_stands_a_flood(messages: int) -> None:
    net = _Quiet()
    nodes = net.form(SIZE)
    net.run(1.0)
    node, version = nodes[0], view(nodes[0]).version
    flood = Flood(node)
    sizes = []
    for number in range(messages):
        message = flood.message(number)
        node.receive(message, net.now, message.sender)
        net.settle(node)
        if number % 100 == 99:
            net.run(0.01)
        if (number + 1) % (messages // 5) == 0:
            sizes.append(state_size(node))
    assert sum(node.stats.values()) > messages / 2, "most of it is counted"
    assert len(node.stats) < 100, sorted(node.stats)
    # all that it may remember of joiners and proposals is taken, and nothing else counts
    for key in ("rejected:alert: too many joiners", "dropped:proposal", "ranks forgotten"):
        assert node.stats[key]
    believed = ROOM // footprint.JOINER
    assert sizes[-1] < 40 * believed + 20 * epoch.PROPOSALS
    assert sizes[-1] < 1.1 * sizes[-2], sizes
    assert view(node).version == version, "nobody came or went"
    assert agree(nodes, SIZE)
    net.crash(nodes[5])
    assert net.until(partial(agree, nodes[:5], SIZE - 1), 60.0)
    net.run(5.0)
    joiner = net.add(20, 2)
    assert net.until(partial(agree, [*nodes[:5], joiner], SIZE), 60.0)
    assert state_size(node) < 20_000, "the next epoch knows nothing of it, but for some facts of the future"
