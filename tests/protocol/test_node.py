"""Whole nodes in virtual time: joining, crashes, leaving, and what peers may not do."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from functools import partial
from itertools import pairwise
from random import Random

import pytest

from rapid.consensus.facts import Accept, Rank, Vote
from rapid.detection.alert import Alert, Status
from rapid.errors import StateError
from rapid.overlay.cut import Cut, CutDigest, Removal
from rapid.overlay.member import ClusterId, Endpoint, Member, NodeId
from rapid.protocol.messages import Cuts, Decided, Facts, Leaving, Message, Probe, ProbeAck
from rapid.protocol.node import Node
from rapid.protocol.outputs import Evicted, Installed, JoinFailed, Left, QuorumLost
from rapid.settings import Settings

from .harness import Net, agree, at, view


def test_one_member_alone() -> None:
    net = Net()
    node = net.add(0)
    assert (view(node).size, view(node).version) == (1, 1)


@pytest.mark.parametrize("size", [2, 3, 5, 30, 60])
def test_all_who_wait_come_in_few_changes(size: int) -> None:
    net = Net()
    nodes = net.form(size)
    assert view(nodes[0]).version <= 3


@pytest.mark.parametrize(("size", "crashed"), [(3, 1), (4, 1), (5, 2), (30, 5), (60, 6)])
def test_crashes_are_one_change_for_every_survivor(size: int, crashed: int) -> None:
    net = Net()
    nodes = net.form(size)
    net.run(1.0)
    before = view(nodes[0]).version
    net.crash(*nodes[1 : 1 + crashed])
    survivors = [nodes[0], *nodes[1 + crashed :]]
    assert net.until(lambda: agree(survivors, size - crashed))
    net.run(5.0)
    assert {net.versions(node)[-1] for node in survivors} == {before + 1}


def test_one_of_two_is_no_majority() -> None:
    net = Net()
    first, second = net.form(2)
    net.crash(second)
    lost = net.events[at(0)]
    assert net.until(lambda: any(isinstance(event, QuorumLost) for event in lost), 30.0)
    assert view(first).size == 2


@pytest.mark.parametrize("seed", range(8))
def test_two_concurrent_cuts_end_in_one_sequence(seed: int) -> None:
    """Some members propose one crash, the others another; all decide the same, in the same order."""
    net = Net(seed)
    nodes = net.form(6)
    net.run(1.0)
    one, other = nodes[4], nodes[5]
    configuration = view(nodes[0])
    for node, victim in ((nodes[0], one), (nodes[1], one), (nodes[2], other), (nodes[3], other)):
        endpoint = victim.member.endpoint
        watchers = configuration.observers(endpoint)
        alerts = tuple(
            Alert(watcher, Member(endpoint, victim.node_id), Status.DOWN, 1 << ring)
            for ring, watcher in enumerate(watchers)
        )
        facts = Facts(nodes[0].member.endpoint, configuration.cluster_id, configuration.version, alerts)
        node.receive(facts, net.now)
    net.crash(one, other)
    for node in nodes[:4]:
        net.settle(node)
    assert net.until(lambda: agree(nodes[:4], 4))
    stories = []
    for node in nodes[:4]:
        told = [event for event in net.events[node.member.endpoint] if isinstance(event, Installed)]
        stories.append([(event.configuration.version, event.configuration.digest) for event in told[-2:]])
    assert all(story == stories[0] for story in stories)


def test_a_leaver_is_told_and_removed_as_left() -> None:
    net = Net()
    nodes = net.form(5)
    began = net.now
    nodes[4].leave(net.now)
    net.settle(nodes[4])
    assert net.until(lambda: agree(nodes[:4], 4), 1.0)
    assert net.until(lambda: Left(agreed=True) in net.events[at(4)], 1.0)
    assert net.now - began < 1.0
    last = net.events[at(0)][-1]
    assert isinstance(last, Installed)
    assert last.cut == Cut.of([Removal(at(4), nodes[4].node_id, left=True)])


@pytest.mark.parametrize("size", [2, 3, 5, 12])
def test_all_leave_at_once_and_none_waits_for_its_timeout(size: int) -> None:
    net = Net()
    nodes = net.form(size)
    began = net.now
    for number, node in enumerate(nodes):
        node.leave(net.now)
        net.settle(node)
        net.run(0.01 * number)
    assert net.until(lambda: all(Left(agreed=True) in net.events[at(n)] for n in range(size)), 4.0)
    assert net.now - began < 4.0


def test_a_late_departure_does_not_touch_the_next_process() -> None:
    net = Net()
    nodes = net.form(3)
    configuration = view(nodes[0])
    late = Leaving(at(2), NodeId(b"o" * 16), configuration.cluster_id, configuration.version)
    nodes[0].receive(late, net.now)
    assert nodes[0].stats["rejected:departure of an earlier process"] == 1
    net.run(3.0)
    assert agree(nodes, 3)


def test_a_restart_on_the_same_address_is_a_new_member() -> None:
    net = Net()
    nodes = net.form(5)
    net.run(1.0)
    net.crash(nodes[2])
    again = net.add(2, 0)
    alive = [nodes[0], nodes[1], again, nodes[3], nodes[4]]
    assert net.until(lambda: agree(alive, 5), 5.0)
    member = view(nodes[0]).member(at(2))
    assert member is not None
    assert member.node_id == again.node_id != nodes[2].node_id


@pytest.mark.parametrize("size", [3, 5, 30])
def test_a_restart_is_one_view_change(size: int) -> None:
    net = Net()
    nodes = net.form(size)
    net.run(3.0)
    version, began = view(nodes[0]).version, net.now
    net.crash(nodes[2])
    again = net.add(2, 0)
    members = [*nodes[:2], again, *nodes[3:]]
    assert net.until(lambda: agree(members, size) and view(nodes[0]).version > version, 3.0)
    assert net.now - began < 1.0
    assert view(nodes[0]).version == version + 1
    last = net.events[at(0)][-1]
    assert isinstance(last, Installed)
    assert last.cut is not None
    assert [removal.node_id for removal in last.cut.removed] == [nodes[2].node_id]
    assert [member.node_id for member in last.cut.joined] == [again.node_id]


@pytest.mark.parametrize(("missed", "skipped"), [(1, 0), (3, 0), (12, 11)])
def test_who_missed_changes_catches_up(missed: int, skipped: int) -> None:
    # the judge never finds the absent member faulty, and H leaves room for the rings that it holds
    net = Net(settings=Settings.lan(h=5, history=8, window=1000, failures=1000))
    nodes = net.form(8)
    away = at(4)
    net.keep = lambda source, to, message: away not in (source, to)
    version = view(nodes[0]).version
    for number in range(missed):
        joiner = net.add(10 + number, 0)
        nodes.append(joiner)
        here = [node for node in nodes if node.member.endpoint != away]
        grown = view(nodes[0]).size + 1
        assert net.until(partial(agree, here, grown))
    # those who came meanwhile have no past to tell of
    old = [*map(at, range(8))]
    net.keep = lambda source, to, message: to != away or source in old
    assert net.until(lambda: agree(nodes, 8 + missed), 3.0)
    told = [event for event in net.events[away] if isinstance(event, Installed)]
    assert sum(event.skipped for event in told) == skipped
    assert told[-1].configuration.version == version + missed


@pytest.mark.parametrize(("history", "skipped"), [(256, 0), (64, 199)])
def test_who_missed_two_hundred_changes_is_level_within_three_seconds(history: int, skipped: int) -> None:
    net = Net(settings=Settings.lan(h=5, history=history, window=1000, failures=1000))
    nodes = net.form(5)
    away = at(4)
    net.keep = lambda source, to, message: away not in (source, to)
    here, version = nodes[:4], view(nodes[0]).version
    for number in range(100):
        guest = net.add(10 + number, 0)
        assert net.until(partial(agree, [*here, guest], 6))
        guest.leave(net.now)
        net.settle(guest)
        assert net.until(partial(agree, here, 5))
        net.crash(guest)
    net.keep = lambda source, to, message: True
    assert net.until(lambda: agree(nodes, 5), 3.0)
    told = [event for event in net.events[away] if isinstance(event, Installed)]
    assert sum(event.skipped for event in told) == skipped
    assert told[-1].configuration.version == version + 200


def test_a_member_that_was_removed_is_told() -> None:
    net = Net()
    nodes = net.form(6)
    gone = at(5)
    net.keep = lambda source, to, message: gone not in (source, to)
    assert net.until(lambda: agree(nodes[:5], 5))
    net.keep = lambda source, to, message: True
    assert net.until(lambda: any(isinstance(event, Evicted) for event in net.events[gone]), 5.0)


def test_silence_takes_the_slow_way_and_is_agreed_on_within_six_seconds() -> None:
    net = Net()
    nodes = net.form(12)
    net.run(1.0)
    gone, began = at(7), net.now
    net.keep = lambda source, to, message: gone not in (source, to)
    rest = [node for node in nodes if node.member.endpoint != gone]
    assert net.until(lambda: agree(rest, 11))
    assert 2.0 < net.now - began < 6.0


def test_the_healthy_are_probed_an_interval_later_while_the_members_agree() -> None:
    net = Net()
    gone, *rest = net.form(30)
    probed: dict[tuple[Endpoint, Endpoint], list[float]] = {}

    def keep(source: Endpoint, to: Endpoint, message: Message) -> bool:
        if isinstance(message, Probe) and at(0) not in (source, to):
            probed.setdefault((source, to), []).append(net.now)
        return not (isinstance(message, Facts) and message.votes)

    net.run(20.0)
    net.keep = keep
    net.run(10.0)
    assert {round(after - before) for times in probed.values() for before, after in pairwise(times)} == {2}
    net.crash(gone)
    net.run(6.0)
    assert agree(rest, 30), "no vote gets through"
    for times in probed.values():
        assert 3 in {round(after - before) for before, after in pairwise(times)}


def test_one_bad_link_changes_nothing() -> None:
    net = Net()
    nodes = net.form(30)
    net.blocked = {(at(3), at(4)), (at(4), at(3))}
    net.run(30.0)
    assert agree(nodes, 30)
    assert view(nodes[0]).version == net.versions(nodes[0])[-1] <= 3


def test_a_joiner_that_cannot_be_reached_does_not_get_in() -> None:
    net = Net(settings=Settings.lan(join_timeout=5.0))
    net.form(3)
    outside = at(9)
    net.keep = lambda source, to, message: not (to == outside and isinstance(message, Probe))
    net.add(9, 0)
    assert net.until(lambda: any(isinstance(event, JoinFailed) for event in net.events[outside]), 10.0)
    assert all(outside not in view(node) for number, node in enumerate(net.nodes.values()) if number < 3)


def test_other_watermarks_are_refused_with_the_reason() -> None:
    net = Net()
    net.add(0)
    net.settings = Settings.lan(h=8)
    net.add(1, 0)
    assert net.until(lambda: any(isinstance(event, JoinFailed) for event in net.events[at(1)]))
    failed = [event for event in net.events[at(1)] if isinstance(event, JoinFailed)]
    assert "h is 8, this cluster's is 9" in failed[0].reason


def test_an_ack_of_another_process_is_evidence() -> None:
    """It answers every probe, so silence and refusals have no part in this."""
    net = Net()
    nodes = net.form(4)
    net.run(2.0)
    net.crash(nodes[2])
    another = net.add(2)
    rest = [nodes[0], nodes[1], nodes[3]]
    assert net.until(lambda: agree(rest, 3), 2 * net.settings.probe_interval)
    assert view(another).size == 1


def test_an_ack_that_nobody_asked_for_is_none() -> None:
    net = Net()
    nodes = net.form(4)
    before = view(nodes[0]).version
    for observer in (nodes[0], nodes[1], nodes[3]):
        observer.receive(ProbeAck(at(2), NodeId(b"z" * 16), 1 << 20, None, 0, 0), net.now)
        net.settle(observer)
    net.run(3.0)
    assert {view(node).version for node in nodes} == {before}


class TestBadInput:
    """Rejected, counted, without effect."""

    def setup_method(self) -> None:
        self.net = Net()
        self.nodes = self.net.form(4)
        self.view = view(self.nodes[0])
        self.peer = at(1)

    def say(self, message: Message, reason: str) -> None:
        node = self.nodes[0]
        node.receive(message, self.net.now)
        self.net.settle(node)
        assert node.stats[f"rejected:{reason}"] == 1, dict(node.stats)
        self.net.run(5.0)
        assert {view(node).version for node in self.nodes} == {self.view.version}

    def facts(self, sender: Endpoint | None = None, **what: object) -> Facts:
        facts = Facts(sender or self.peer, self.view.cluster_id, self.view.version)
        for name, value in what.items():
            setattr(facts, name, value)
        return facts

    def test_another_cluster(self) -> None:
        self.say(self.facts(cluster_id=ClusterId(b"x" * 16)), "facts of another cluster")

    def test_a_non_member(self) -> None:
        self.say(self.facts(at(99)), "facts of a non-member")

    def test_a_forged_observer(self) -> None:
        subject = Member(at(2), self.nodes[2].node_id)
        alert = Alert(at(99), subject, Status.DOWN, 1023)
        self.say(self.facts(alerts=(alert,)), "alert: observer is no member")

    def test_rings_that_are_not_its_own(self) -> None:
        subject = Member(at(2), self.nodes[2].node_id)
        alert = Alert(at(1), subject, Status.DOWN, 1023)
        self.say(self.facts(alerts=(alert,)), "alert: observer does not hold these rings")

    def test_a_vote_of_a_non_member(self) -> None:
        vote = Vote(Rank(1, 0), CutDigest(b"d" * 16), 1 << 4)
        self.say(self.facts(votes=(vote,)), "voter is no member")

    def test_a_rank_far_ahead(self) -> None:
        accept = Accept(Rank(1 << 30, 0), CutDigest(b"d" * 16))
        self.say(self.facts(accepts=(accept,)), "implausible rank")

    def test_a_proposal_that_does_not_apply(self) -> None:
        cut = Cut.of([Removal(at(77), NodeId(b"q" * 16))])
        self.say(self.facts(proposals=(cut,)), "proposal does not apply")

    def test_a_decision_that_does_not_apply(self) -> None:
        cut = Cut.of([Removal(at(77), NodeId(b"q" * 16))])
        decided = Decided(self.peer, self.view.cluster_id, self.view.version, cut.digest, cut)
        self.say(decided, "decision contradicts its digest")

    def test_cuts_of_another_cluster(self) -> None:
        self.say(Cuts(self.peer, ClusterId(b"x" * 16), 1, ()), "cuts of another cluster")


def test_a_second_start_is_misuse() -> None:
    node = Node(at(0), Settings.lan(), Random(1))
    node.start(0.0)
    with pytest.raises(StateError):
        node.join([at(1)], 1.0)
    assert view(node).size == 1


def test_the_deadline_is_pure() -> None:
    net = Net()
    node = net.form(3)[0]
    assert node.deadline() == node.deadline()
    assert node.drain() == []


def story() -> str:
    """What a small cluster says to each other, as one digest."""
    net = Net(seed=7)
    nodes = net.form(24)
    net.crash(*nodes[5:8])
    net.run(3.0)
    return hashlib.sha256("\n".join(net.trace).encode()).hexdigest()


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_the_same_seed_tells_the_same_story(hash_seed: str) -> None:
    program = "from tests.protocol.test_node import story; print(story())"
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    told = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == story()
