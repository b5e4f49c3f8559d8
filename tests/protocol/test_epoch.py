"""The rules of one epoch, each with a test that fails without it."""

from __future__ import annotations

from functools import partial

import pytest

from rapid.consensus.facts import FAST, Prepare, Rank, Vote
from rapid.detection.alert import Status
from rapid.overlay.cut import Cut
from rapid.protocol.epoch import Epoch
from rapid.protocol.messages import Decided
from rapid.protocol.node import Node
from rapid.settings import Settings

from .harness import Net, agree, at, view
from .invented import epoch_of, named, say

LAN = Settings.lan()


def run_alone(mine: Epoch, until: float) -> None:
    """Let the epoch do what is due up to this time; nothing that it sends arrives."""
    while mine.due <= until:
        mine.wake(mine.due)
    mine.wake(until)


def first_of(net: Net) -> Node:
    """The member that coordinates first."""
    node = next(iter(net.nodes.values()))
    return net.nodes[view(node).endpoints[0]]


# -- decisions of others


def test_a_decision_against_the_one_that_the_votes_have_made_is_rejected() -> None:
    net = Net()
    node = net.form(5)[0]
    before = view(node)
    agreed, other = Cut.of((), [named(1)]), Cut.of((), [named(2)])
    say(net, node, at(1), votes=(Vote(FAST, agreed.digest, 0b01111),))
    assert view(node) is before, "the body is not here yet"
    node.receive(Decided(at(1), before.cluster_id, before.version, other.digest, other), net.now)
    assert view(node) is before
    assert node.stats["rejected:decision contradicts its digest"] == 1
    node.receive(Decided(at(1), before.cluster_id, before.version, agreed.digest, agreed), net.now)
    assert named(1).endpoint in view(node)


# -- with a minority


@pytest.mark.parametrize(("rings", "lost"), [(5, False), (6, True)])
def test_with_more_than_half_of_its_rings_silent_a_member_finds_that_the_quorum_is_lost(
    rings: int, lost: bool
) -> None:
    net = Net()
    node = net.form(30)[0]
    mine = epoch_of(node)
    subjects = mine.configuration.subjects(node.member.endpoint)
    assert max(map(subjects.count, subjects)) < LAN.l, "else they are unstable and blocked"
    for ring in range(rings):
        member = mine.configuration.member(subjects[ring])
        assert member is not None
        mine.alert(member, Status.DOWN, 1 << ring, net.now)
    run_alone(mine, net.now + LAN.quorum_timeout + 1.0)
    assert mine.quorum_lost is lost
    assert bool(node.stats["exchanges at random"]) is lost


# -- the fast round and the classic rounds


@pytest.mark.parametrize(("size", "crashed"), [(5, 1), (9, 2)])
def test_as_many_removals_as_the_fast_round_bears_are_left_to_it(size: int, crashed: int) -> None:
    net = Net()
    nodes = net.form(size)
    rounds = [node.stats["classic rounds"] for node in nodes]
    rest = nodes[: size - crashed]
    net.crash(*nodes[size - crashed :])
    assert net.until(partial(agree, rest, size - crashed))
    assert [node.stats["classic rounds"] for node in nodes] == rounds


def test_one_removal_more_than_the_fast_round_bears_goes_to_a_classic_round_at_once() -> None:
    net = Net()
    nodes = net.form(9)
    net.run(1.0)
    net.crash(*nodes[6:])
    assert net.until(lambda: any(epoch_of(node).proposal is not None for node in nodes[:6]))
    began = net.now
    assert net.until(partial(agree, nodes[:6], 6))
    assert net.now - began < LAN.fallback_delay
    assert sum(node.stats["classic rounds"] for node in nodes) == 1


def test_who_hears_of_a_classic_round_levels_with_members_drawn_at_random() -> None:
    net = Net()
    node = net.form(5)[0]
    mine = epoch_of(node)
    run_alone(mine, net.now + 2.5 * LAN.probe_interval)
    assert node.stats["exchanges at random"] == 0
    net.now += 2.5 * LAN.probe_interval
    say(net, node, at(1), prepares=(Prepare(Rank(2, 1)),))
    run_alone(mine, net.now + 2.5 * LAN.probe_interval)
    assert node.stats["exchanges at random"] == 2


def test_the_round_of_another_coordinator_is_given_the_time_of_one() -> None:
    net = Net()
    net.form(5)
    node = first_of(net)
    mine, began = epoch_of(node), net.now
    say(net, node, mine.configuration.endpoints[1], proposals=(Cut.of((), [named(1)]),))
    net.now = later = began + 0.9 * LAN.fallback_delay
    run_alone(mine, later)
    say(net, node, mine.configuration.endpoints[1], prepares=(Prepare(Rank(2, 1)),))
    run_alone(mine, later + 0.99 * LAN.fallback_delay)
    assert node.stats["classic rounds"] == 0
    run_alone(mine, later + LAN.fallback_delay + 1.01 * LAN.fallback_stagger)
    assert node.stats["classic rounds"] == 1


def test_who_knows_of_no_proposal_opens_no_round() -> None:
    net = Net()
    net.form(5)
    node = first_of(net)
    mine = epoch_of(node)
    say(net, node, mine.configuration.endpoints[1], prepares=(Prepare(Rank(2, 1)),))
    run_alone(mine, net.now + 20.0)
    assert node.stats["classic rounds"] == 0
