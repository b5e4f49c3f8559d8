"""What a member does when it learns of a view, or of who else is in it, from one other member."""

from __future__ import annotations

from rapid.detection.alert import Status
from rapid.overlay.configuration import Configuration
from rapid.overlay.cut import Cut, Removal
from rapid.overlay.member import ClusterId, Endpoint
from rapid.protocol.messages import (
    ConfigurationRequest,
    Cuts,
    Decided,
    Facts,
    Message,
    ProbeAck,
    Refounded,
)
from rapid.protocol.node import Node
from rapid.protocol.outputs import Left, Notify, Send

from .harness import Net, at, view
from .invented import named
from .stage import Stage


def decided(net: Net, node: Node, cut: Cut) -> None:
    """A member tells it that this cut was decided."""
    mine = view(node)
    node.receive(Decided(at(1), mine.cluster_id, mine.version, cut.digest, cut), net.now)


def test_who_is_faulty_is_reported_again_at_once_in_a_new_view() -> None:
    """Its next probe, which fails as well, is an interval away."""
    net = Net()
    nodes = net.form(4)
    node, version = nodes[0], view(nodes[0]).version
    net.run(10.0)
    reports: list[tuple[float, int]] = []

    def keep(source: Endpoint, to: Endpoint, message: Message) -> bool:
        if isinstance(message, Facts) and source == at(0):
            down = [alert for alert in message.alerts if alert.status is Status.DOWN]
            reports.extend((net.now, message.version) for alert in down if alert.subject.endpoint == at(3))
        return not isinstance(message, Facts)

    net.keep = keep
    net.crash(nodes[3])
    assert net.until(lambda: bool(reports))
    reports.clear()
    began = net.now
    decided(net, node, Cut.of((), [named(1)]))
    net.settle(node)
    assert net.until(lambda: bool(reports))
    (when, about), *_ = reports
    assert about == version + 1
    assert when - began < net.settings.probe_interval / 2


def test_a_leaver_that_is_told_of_its_departure_goes_at_once() -> None:
    """Whoever told it knows of the decision, so it is not lost with the leaver."""
    net = Net()
    node = net.form(4)[0]
    node.leave(net.now)
    node.drain()
    decided(net, node, Cut.of([Removal(at(0), node.node_id, left=True)]))
    events = [output.event for output in node.drain() if isinstance(output, Notify)]
    assert Left(agreed=True) in events


# -- requests


def test_one_who_is_level_is_not_answered() -> None:
    net = Net()
    node = net.form(4)[0]
    mine = view(node)
    peer = net.nodes[at(1)]
    node.receive(ConfigurationRequest(at(1), mine.cluster_id, mine.version, peer.node_id), net.now)
    assert node.drain() == []
    node.receive(ConfigurationRequest(at(1), mine.cluster_id, mine.version - 1, peer.node_id), net.now)
    [answer] = node.drain()
    assert isinstance(answer, Send)
    assert isinstance(answer.message, Cuts)
    assert len(answer.message.cuts) == 1


# -- digests


class Compared:
    """A member of four to which a neighbour tells digests that differ from its own."""

    def __init__(self) -> None:
        self.net = Net()
        self.node = self.net.form(4)[0]

    def ack(self, digest: int) -> int:
        """Tell it this digest; give how often all facts were exchanged since the beginning."""
        mine = view(self.node)
        sender = self.net.nodes[at(1)]
        ack = ProbeAck(at(1), sender.node_id, 0, mine.cluster_id, mine.version, digest, mine.size)
        self.node.receive(ack, self.net.now)
        return self.node.stats["anti-entropy exchanges"]


def test_facts_are_exchanged_when_the_digests_differ_twice_running() -> None:
    compared = Compared()
    assert [compared.ack(7) for _ in range(4)] == [0, 1, 1, 2]


def test_digests_that_move_or_were_equal_in_between_are_not_unequal_twice_running() -> None:
    compared = Compared()
    assert compared.ack(7) == 0
    assert compared.ack(8) == 0
    assert compared.ack(0) == 0, "the digest of one that knows no facts"
    assert compared.ack(8) == 0


def test_digests_of_different_views_are_not_compared() -> None:
    compared = Compared()
    assert compared.ack(7) == 0
    decided(compared.net, compared.node, Cut.of((), [named(1)]))
    assert compared.ack(7) == 0
    assert compared.ack(7) == 1


# -- two operators


def test_of_the_new_clusters_of_two_operators_that_with_the_lower_id_holds() -> None:
    stage = Stage()
    node = stage.form(4)[0]
    old = view(node)

    def refound(name: bytes) -> ClusterId:
        new = Configuration.of(ClusterId(name * 16), old.version + 1, old.members, old.k)
        node.receive(Refounded(at(1), old.cluster_id, old.version, new), stage.now)
        return view(node).cluster_id

    assert refound(b"m") == ClusterId(b"m" * 16)
    assert refound(b"z") == ClusterId(b"m" * 16)
    assert refound(b"c") == ClusterId(b"c" * 16)
    assert refound(b"m") == ClusterId(b"c" * 16)
