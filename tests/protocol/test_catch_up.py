"""Views that are ahead: who is asked for them, what is kept until then, what fits into an answer."""

from __future__ import annotations

from collections import Counter

import pytest

from rapid.detection.alert import Alert, Status
from rapid.overlay import footprint
from rapid.overlay.configuration import Configuration
from rapid.overlay.cut import Cut
from rapid.overlay.member import Endpoint
from rapid.protocol import catch_up
from rapid.protocol.catch_up import CatchUp
from rapid.protocol.lineage import Lineage
from rapid.protocol.messages import ConfigurationRequest, Cuts, Facts, Probe, ProbeAck, Snapshot
from rapid.protocol.outbox import Outbox
from rapid.protocol.outputs import Send
from rapid.settings import Settings

from .harness import Net, at, view
from .invented import CLUSTER, epoch_of, named, say, up


def joins(number: int) -> Cut:
    return Cut.of((), [named(number)])


class Follower:
    """The room for catching up, and what it sends."""

    def __init__(self, size: int = 4, **settings: int) -> None:
        self.outbox = Outbox()
        self.mine = Configuration.of(CLUSTER, 7, [named(n) for n in range(size)], 10)
        self.catch_up = CatchUp(named(0).endpoint, Settings.lan(**settings), self.outbox, Lineage())

    def asked(self, peer: Endpoint, now: float) -> bool:
        self.catch_up.ask(peer, self.mine, named(0).node_id, now)
        return bool(self.outbox.drain())


def test_strangers_are_asked_a_few_at_a_time() -> None:
    follower = Follower()
    asked = [follower.asked(named(n).endpoint, 0.0) for n in range(100, 100 + 2 * catch_up.STRANGERS)]
    assert sum(asked) == catch_up.STRANGERS
    assert follower.outbox.stats["dropped:catch-up requests"] == catch_up.STRANGERS
    assert follower.asked(named(1).endpoint, 0.0), "a member is asked all the same"
    assert not follower.asked(named(1).endpoint, 0.05), "but not twice at once"
    assert not follower.asked(named(999).endpoint, 0.05)
    assert follower.asked(named(999).endpoint, 0.1)
    assert follower.asked(named(1).endpoint, 0.1)
    assert len(follower.catch_up._strangers) == 1


def future(version: int, joiners: int = 0) -> Facts:
    alerts = tuple(Alert(named(0).endpoint, named(100 + n), Status.UP, 1) for n in range(joiners))
    return Facts(named(1).endpoint, CLUSTER, version, alerts)


def test_of_the_future_what_is_farthest_goes_first() -> None:
    follower = Follower()
    soon = [future(8, n) for n in range(10)]
    for facts in soon:
        follower.catch_up.keep(facts)
    for number in range(2 * catch_up.FUTURE_LIMIT):
        follower.catch_up.keep(future(1000 + number))
    dropped = follower.outbox.stats["dropped:future facts"]
    assert dropped == catch_up.FUTURE_LIMIT + len(soon)
    kept = follower.catch_up.take_kept()
    assert len(kept) == catch_up.FUTURE_LIMIT
    assert kept[:10] == soon


def test_large_facts_of_the_future_take_the_place_of_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catch_up, "FUTURE_ROOM", 100 * footprint.CHANGE)
    follower = Follower()
    for _ in range(10):
        follower.catch_up.keep(future(8, joiners=24))
    assert len(follower.catch_up.take_kept()) == 4
    follower.catch_up.keep(future(8, joiners=200))
    assert follower.catch_up.take_kept() == []


def test_a_member_keeps_no_more_of_the_future_than_that() -> None:
    net = Net()
    node = net.form(4)[0]
    for number in range(1000):
        say(net, node, at(1 + number % 3), version=view(node).version + 1 + number)
    assert len(node._catch_up._future) == catch_up.FUTURE_LIMIT
    assert node.stats["dropped:future facts"] == 1000 - catch_up.FUTURE_LIMIT


def test_cuts_that_do_not_fit_into_one_answer_are_fetched_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catch_up, "CUTS_ROOM", 3 * footprint.of_cut(joins(0)))
    follower = Follower(history=64)
    for number in range(10):
        cut = joins(100 + number)
        after = follower.mine.apply(cut)
        follower.catch_up.installed(follower.mine, cut)
        follower.mine = after
    version, answers = 7, []
    while version < follower.mine.version:
        request = ConfigurationRequest(named(1).endpoint, CLUSTER, version, named(1).node_id)
        follower.catch_up.answer(request, follower.mine, None, 0.0)
        [sent] = follower.outbox.drain()
        assert isinstance(sent, Send)
        assert isinstance(sent.message, Cuts)
        answers.append(len(sent.message.cuts))
        version += answers[-1]
    assert answers == [3, 3, 3, 1]


def test_one_cut_is_sent_however_large() -> None:
    follower = Follower()
    cut = Cut.of((), [named(n, role="x" * 16_000) for n in range(100, 2300)])
    assert footprint.of_cut(cut) > catch_up.CUTS_ROOM
    follower.catch_up.installed(follower.mine, cut)
    after = follower.mine.apply(cut)
    follower.catch_up.answer(ConfigurationRequest(at(1), CLUSTER, 7, named(0).node_id), after, None, 0.0)
    [sent] = follower.outbox.drain()
    assert isinstance(sent, Send)
    assert isinstance(sent.message, Cuts)


def test_facts_are_not_exchanged_with_strangers() -> None:
    net = Net()
    node = net.form(4)[0]
    mine = epoch_of(node)
    say(net, node, at(1), alerts=(up(view(node), named(100)),))
    assert mine.gossip.digest
    position = (view(node).cluster_id, view(node).version, 12345, 4)
    for _ in range(5):
        node.receive(ProbeAck(named(7).endpoint, named(7).node_id, 1, *position), net.now)
    assert node.stats["anti-entropy exchanges"] == 0
    assert not node._catch_up._unequal
    for _ in range(2):
        node.receive(ProbeAck(at(1), net.nodes[at(1)].node_id, 1, *position), net.now)
    assert node.stats["anti-entropy exchanges"] == 1


def test_strangers_that_claim_to_be_ahead_have_members_asked() -> None:
    """They may have joined meanwhile; but what they say themselves is not believed."""
    net = Net()
    node = net.form(4)[0]
    position = (view(node).cluster_id, view(node).version + 1, 12345, 4)
    asked: Counter[Endpoint] = Counter()
    for number in range(5000):
        node.receive(Probe(named(number).endpoint, node.node_id, number, *position), net.now)
        requests = [output for output in node.drain() if isinstance(output, Send)]
        asked.update(sent.to for sent in requests if isinstance(sent.message, ConfigurationRequest))
    assert asked == {at(1): 1, at(2): 1, at(3): 1}
    assert not node._catch_up._strangers


def test_those_outside_the_view_are_answered_a_few_at_a_time() -> None:
    follower = Follower()
    for number in range(1000, 1000 + 3 * catch_up.STRANGERS):
        request = ConfigurationRequest(named(number).endpoint, CLUSTER, None, named(number).node_id)
        follower.catch_up.answer(request, follower.mine, None, 0.0)
    assert len(follower.outbox.drain()) == catch_up.STRANGERS
    assert follower.outbox.stats["dropped:configuration requests"] == 2 * catch_up.STRANGERS
    member = ConfigurationRequest(named(1).endpoint, CLUSTER, None, named(1).node_id)
    follower.catch_up.answer(member, follower.mine, None, 0.0)
    later = ConfigurationRequest(named(1000).endpoint, CLUSTER, None, named(1000).node_id)
    follower.catch_up.answer(later, follower.mine, None, 0.1)
    assert len(follower.outbox.drain()) == 2


def test_an_answer_is_waited_for_for_a_while() -> None:
    follower = Follower()
    assert not follower.catch_up.asked_lately(named(1).endpoint, 0.0)
    assert follower.asked(named(1).endpoint, 0.0)
    follower.catch_up.installed(None, None)
    assert follower.catch_up.asked_lately(named(1).endpoint, 29.0), "it may be large"
    assert not follower.catch_up.asked_lately(named(1).endpoint, 30.0)
    for number in range(1000):
        follower.asked(named(number).endpoint, float(number))
    assert len(follower.catch_up._requested) == catch_up.REQUESTS


def test_a_snapshot_answers_who_missed_too_much() -> None:
    follower = Follower(history=1)
    follower.catch_up.installed(None, None)
    request = ConfigurationRequest(at(1), CLUSTER, 3, named(0).node_id)
    follower.catch_up.answer(request, follower.mine, None, 0.0)
    [sent] = follower.outbox.drain()
    assert isinstance(sent, Send)
    assert sent.message == Snapshot(named(0).endpoint, follower.mine)
