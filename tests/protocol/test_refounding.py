"""An operator's last resort: what is left of a cluster without a quorum goes on as a new one."""

from __future__ import annotations

import pytest

from rapid.overlay.configuration import Configuration
from rapid.overlay.member import ClusterId, Endpoint
from rapid.protocol.messages import Message, Refounded, Snapshot
from rapid.protocol.node import Node
from rapid.protocol.outputs import Evicted, Installed, OtherCluster, QuorumLost, RefoundingRefused
from rapid.simulation import Life, World
from rapid.simulation.scenarios import formed

from .harness import agree, at, view
from .stage import Stage

SETTLED = 3.0
"""Seconds in which the members had time to answer and to follow."""


def without_quorum(size: int = 5, left: int = 2) -> World:
    """Only the first few are left, and know it."""
    world = formed(size, 1)
    world.crash([place.endpoint for place in world.places[left:]], silent=True)
    assert world.run_until(lambda: all(told(life, QuorumLost) for life in world.live), 60.0)
    return world


def told(life: Life, kind: type) -> list[object]:
    return [event for _, event in life.events if isinstance(event, kind)]


def view_of(life: Life) -> Configuration:
    assert life.configuration is not None
    return life.configuration


def force(stage: Stage, node: Node) -> None:
    node.force_new_cluster(stage.now)
    stage.settle(node)


def test_the_survivors_go_on_as_a_new_cluster() -> None:
    world = without_quorum()
    before = view_of(world.live[0])
    world.force_new_cluster("m0:7400")
    world.run(SETTLED)
    assert world.agreed()
    after = view_of(world.live[1])
    assert after.cluster_id != before.cluster_id
    assert after.version == before.version + 1, "a fencing token that is above all the old ones"
    assert set(after.members) < set(before.members)
    world.start(world.add_members(1, seeds=["m1:7400"]))
    world.expect_agreement(10.0)


def test_it_is_refused_while_a_quorum_answers() -> None:
    world = formed(5, 1)
    world.crash(["m3:7400", "m4:7400"], silent=True)
    before = view_of(world.live[0])
    world.force_new_cluster("m0:7400")
    world.run(1.3)
    (refused,) = told(world.live[0], RefoundingRefused)
    assert isinstance(refused, RefoundingRefused)
    assert refused.reason.startswith(f"3 of the 5 members of version {before.version} answer")
    assert view_of(world.live[0]) is before
    world.expect_agreement(20.0)
    assert view_of(world.live[0]).cluster_id == before.cluster_id


def test_it_is_refused_when_a_change_was_agreed_in_the_meantime() -> None:
    world = formed(5, 1)
    world.partition([["m0:7400", "m1:7400"], ["m2:7400", "m3:7400", "m4:7400"]])
    assert world.run_until(lambda: view_of(world.lives_of("m4:7400")[0]).size == 3, 30.0)
    world.force_new_cluster("m0:7400")
    world.run(0.2)
    world.heal()
    world.run(1.0)
    life = world.lives_of("m0:7400")[0]
    assert told(life, RefoundingRefused) or told(life, Evicted)
    world.expect_agreement(60.0)
    assert len({view_of(life).cluster_id for life in world.live}) == 1


def test_who_is_no_member_cannot_force_anything() -> None:
    stage = Stage()
    node = stage.add(0, 9)
    force(stage, node)
    assert RefoundingRefused in map(type, stage.events[at(0)])
    stage.run(SETTLED)
    assert node.configuration is None


def refounded(stage: Stage) -> list[Node]:
    """Three of seven members, of whom the first was told to force a new cluster."""
    nodes = stage.form(7)
    stage.run(2.0)
    for node in nodes[3:]:
        stage.blocked |= {(node.member.endpoint, other.member.endpoint) for other in nodes}
    stage.crash(*nodes[3:])
    stage.run(12.0)
    force(stage, nodes[0])
    return nodes[:3]


def test_who_missed_the_word_gets_it_by_its_probe() -> None:
    stage = Stage()
    lost: list[Endpoint] = []

    def script(source: Endpoint, to: Endpoint, message: Message) -> Message | None:
        if isinstance(message, Refounded) and to == at(2) and not lost:
            lost.append(source)
            return None
        return message

    stage.script = script
    nodes = refounded(stage)
    assert stage.until(lambda: bool(lost) and agree(nodes[:2], 3), SETTLED)
    assert view(nodes[2]).size == 7
    assert stage.until(lambda: agree(nodes, 3), 2 * stage.settings.probe_interval)


def test_who_saw_a_newer_view_does_not_follow() -> None:
    """The word names the view that it is about; who is past it would lose what was agreed."""
    stage = Stage()
    nodes = stage.form(4)
    old = view(nodes[0])
    nodes.append(stage.add(9, 0))
    assert stage.until(lambda: agree(nodes, 5))
    new = Configuration.of(ClusterId(b"n" * 16), old.version + 1, old.members, old.k)
    for node in nodes:
        node.receive(Refounded(at(0), old.cluster_id, old.version, new), stage.now)
        stage.settle(node)
        assert node.stats["rejected:refounding of another view"] == 1
    stage.run(3.0)
    assert agree(nodes, 5)


def test_who_is_left_out_does_not_follow() -> None:
    stage = Stage()
    nodes = stage.form(4)
    old = view(nodes[0])
    others = [member for member in old.members if member.endpoint != at(3)]
    new = Configuration.of(ClusterId(b"n" * 16), old.version + 1, others, old.k)
    nodes[3].receive(Refounded(at(0), old.cluster_id, old.version, new), stage.now)
    assert nodes[3].stats["rejected:refounding without this member"] == 1
    assert view(nodes[3]) == old


def halves() -> tuple[World, list[Life], list[Life]]:
    """Two of five were told to go on without the other three, which only slept."""
    world = formed(5, 1)
    lives = world.live
    world.pause(["m2:7400", "m3:7400", "m4:7400"], 30.0)
    world.run(20.0)
    world.force_new_cluster("m0:7400")
    world.run(SETTLED)
    assert lives[0].configuration is lives[1].configuration
    assert view_of(lives[0]).size == 2
    return world, lives[:2], lives[2:]


def test_the_other_half_comes_back_and_does_no_harm() -> None:
    """It is a quorum of the old cluster: two clusters, each with its own id."""
    world, near, far = halves()
    founded, old = view_of(near[0]), view_of(far[0]).cluster_id
    world.run(40.0)
    assert [life.configuration for life in near] == [founded, founded]
    assert {view_of(life).cluster_id for life in far} == {old}
    assert old != founded.cluster_id
    assert any(told(life, OtherCluster) for life in near)
    assert any(told(life, OtherCluster) for life in far)


def test_the_other_half_goes_on_without_those_who_left_it() -> None:
    world, _, far = halves()
    world.run(40.0)
    assert {view_of(life).size for life in far} == {3}
    world.crash(far[0].place.endpoint)
    world.run(20.0)
    assert {view_of(life).size for life in far[1:]} == {2}


def test_a_snapshot_of_the_new_cluster_means_nothing_to_the_old() -> None:
    stage = Stage()
    nodes = refounded(stage)
    assert stage.until(lambda: agree(nodes, 3), SETTLED)
    old = next(event for event in stage.events[at(4)][::-1] if isinstance(event, Installed)).configuration
    nodes[0].receive(Snapshot(at(4), old), stage.now)
    stage.settle(nodes[0])
    assert nodes[0].stats["rejected:snapshot of another cluster"] == 1
    stage.run(5.0)
    assert agree(nodes, 3)


@pytest.mark.parametrize("apart", [0.05, 1.0])
def test_two_operators_one_after_the_other_make_one_cluster(apart: float) -> None:
    world = without_quorum()
    world.force_new_cluster("m0:7400")
    world.run(apart)
    world.force_new_cluster("m1:7400")
    world.run(2 * SETTLED)
    assert world.agreed()


def test_two_operators_at_the_same_moment_make_one_cluster() -> None:
    world = without_quorum()
    world.force_new_cluster("m0:7400")
    world.force_new_cluster("m1:7400")
    world.run(20.0)
    assert world.agreed()
