"""What a member does for those that want in, as a seed and as an observer."""

from __future__ import annotations

from itertools import count

from rapid.detection.alert import Alert, Status
from rapid.overlay.cut import Cut
from rapid.overlay.member import Endpoint, NodeId
from rapid.protocol.messages import (
    PROTOCOL_VERSION,
    Decided,
    Facts,
    JoinReply,
    JoinRequest,
    Message,
    ObserveRequest,
    Probe,
    ProbeAck,
    Standing,
)
from rapid.protocol.outputs import Send

from .harness import Net, at, view
from .invented import named


def test_the_process_at_an_address_that_another_wants_is_probed_soon() -> None:
    net = Net()
    nodes = net.form(4)
    node, settings = nodes[0], net.settings
    subject = view(node).subjects(at(0))[0]
    probes: list[float] = []

    def keep(source: Endpoint, to: Endpoint, message: Message) -> bool:
        if isinstance(message, Probe) and (source, to) == (at(0), subject):
            probes.append(net.now)
        return True

    net.run(20.0)
    net.keep = keep
    assert net.until(lambda: bool(probes))
    net.run(2 * settings.probe_retry)
    asked = net.now
    request = JoinRequest(
        subject, NodeId(b"r" * 16), PROTOCOL_VERSION, settings.k, settings.h, settings.l
    )  # fmt: skip
    node.receive(request, net.now)
    [reply] = node.drain()
    assert isinstance(reply, Send)
    assert isinstance(reply.message, JoinReply)
    assert reply.message.standing is Standing.ADDRESS_HELD
    net.settle(node)
    net.run(settings.probe_retry)
    assert probes[-1] >= asked, "else it is probed two intervals after the last time"


def test_a_joiner_that_asks_for_a_view_to_come_is_reported_in_that_view_and_not_before() -> None:
    net = Net()
    node = net.form(4)[0]
    before = view(node)
    other = named(1)
    after = before.apply(Cut.of((), [other]))
    views = (before, after)
    joiner = next(
        joiner
        for joiner in map(named, count(2))
        if all(at(0) in known.subjects(joiner.endpoint) for known in views)
    )
    node.receive(ObserveRequest(joiner.endpoint, joiner, after.cluster_id, after.version), net.now)
    node.receive(ProbeAck(joiner.endpoint, joiner.node_id, 0, None, 0, 0, 0), net.now)
    node.drain()

    def reports() -> list[tuple[int, Alert]]:
        """The version and the alert, of all that it says for a while."""
        told = []
        until = net.now + 2.0
        while (due := node.deadline()) is not None and due <= until:
            net.now = max(net.now, due)
            node.wake(net.now)
            facts = [output.message for output in node.drain() if isinstance(output, Send)]
            told += [(f.version, alert) for f in facts if isinstance(f, Facts) for alert in f.alerts]
        net.now = until
        return told

    assert reports() == []
    cut = Cut.of((), [other])
    node.receive(Decided(at(1), before.cluster_id, before.version, cut.digest, cut), net.now)
    assert {(version, alert.subject, alert.status) for version, alert in reports()} == {
        (after.version, joiner, Status.UP)
    }
