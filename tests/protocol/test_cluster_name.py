"""Clusters of different names never mix, whatever address passes from one to another."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from rapid.errors import SettingsError
from rapid.overlay.member import CLUSTER_NAME_LIMIT, ClusterId, Endpoint, Member, NodeId
from rapid.protocol.messages import (
    PROTOCOL_VERSION,
    JoinReply,
    JoinRequest,
    Named,
    ObserveRequest,
    Probe,
    ProbeAck,
    Standing,
)
from rapid.protocol.node import ANYONE, Node
from rapid.protocol.outputs import JoinFailed, OtherCluster, Reply, Send
from rapid.simulation import ScenarioError, World
from rapid.simulation.size import state_size

from .harness import agree, at, view
from .stage import Stage

STRANGER = NodeId(b"s" * 16)
ELSEWHERE = ClusterId(b"x" * 16)


def start(stage: Stage, number: int, *seeds: int, **options: Any) -> Node:
    """A process with options of its own."""
    endpoint = at(number)
    node = Node(endpoint, stage.settings, Random(number), **options)
    stage.nodes[endpoint], stage.events[endpoint] = node, []
    node.join([at(seed) for seed in seeds], stage.now) if seeds else node.start(stage.now)
    stage.settle(node)
    return node


def failure(stage: Stage, number: int) -> str | None:
    failed = [event.reason for event in stage.events[at(number)] if isinstance(event, JoinFailed)]
    return failed[0] if failed else None


# -- an address that passes from one service to another


@pytest.mark.parametrize("name", ["jobs", ""])
def test_a_recycled_address_is_no_way_in_and_is_removed_at_once(name: str) -> None:
    stage = Stage(cluster_name="cache")
    nodes = stage.form(4)
    stage.run(5.0)
    stage.crash(nodes[3])
    jobs = start(stage, 3, 20, 21, cluster_name=name)
    began = stage.now
    assert stage.until(lambda: agree(nodes[:3], 3), 20.0)
    assert stage.now - began < 4.0, "an answer of another name is as certain as one of another process"
    stage.run(10.0)
    assert jobs.configuration is None
    assert jobs.stats["rejected:another cluster name"] > 0
    stage.run(30.0)
    assert failure(stage, 3) is not None


def test_a_member_at_a_recycled_address_is_removed_at_once() -> None:
    """The other service runs already: it is not only its joiners that say that they are others."""
    stage = Stage(cluster_name="cache")
    nodes = stage.form(4)
    stage.run(5.0)
    stage.crash(nodes[3])
    jobs = start(stage, 3, cluster_name="jobs")
    assert stage.until(lambda: agree(nodes[:3], 3), 4.0)
    assert view(jobs).size == 1
    stage.run(30.0)
    for node in (jobs, *nodes[:3]):
        assert not stage.told(node, OtherCluster)


def test_a_seed_of_another_name_is_not_told_of_and_nobody_merges() -> None:
    stage = Stage()
    cache = start(stage, 0, 0, 1, cluster_name="cache", merge=True)
    assert stage.until(lambda: cache.configuration is not None)
    jobs = start(stage, 1, 1, 0, cluster_name="jobs", merge=True)
    more = start(stage, 2, 1, cluster_name="jobs", merge=True)
    assert stage.until(lambda: agree([jobs, more], 2))
    stage.run(60.0)
    assert view(cache).size == 1
    for node in (cache, jobs, more):
        assert not stage.told(node, OtherCluster)


# -- whom a joiner asks


def test_a_joiner_of_another_name_is_told_so() -> None:
    stage = Stage(cluster_name="cache")
    stage.form(2)
    start(stage, 5, 0, 1, cluster_name="jobs")
    stage.run(1.0)
    assert failure(stage, 5) in {
        f"{at(seed)} refused: its cluster name is 'jobs', this cluster's is 'cache'" for seed in (0, 1)
    }


def test_a_joiner_goes_on_asking_the_seeds_that_may_be_its_own() -> None:
    stage = Stage()
    start(stage, 0, cluster_name="cache")
    jobs = start(stage, 5, 0, 6, cluster_name="jobs")
    stage.run(10.0)
    assert failure(stage, 5) is None
    first = start(stage, 6, cluster_name="jobs")
    assert stage.until(lambda: agree([first, jobs], 2))


def test_a_joiner_whose_own_seeds_never_come_says_what_the_others_said() -> None:
    stage = Stage()
    start(stage, 0, cluster_name="cache")
    start(stage, 5, 6, 0, cluster_name="jobs")
    stage.run(stage.settings.join_timeout + 1.0)
    assert failure(stage, 5) == f"{at(0)} refused: its cluster name is 'jobs', this cluster's is 'cache'"


def test_seeds_of_another_name_do_not_delay_founding() -> None:
    stage = Stage()
    start(stage, 0, cluster_name="cache")
    jobs = start(stage, 5, 5, 0, cluster_name="jobs")
    assert stage.until(lambda: jobs.configuration is not None, stage.settings.found_delay + 0.5)


def test_a_prober_of_another_name_does_not_delay_founding() -> None:
    stage = Stage()
    jobs = start(stage, 5, 5, 9, cluster_name="jobs")
    alone = start(stage, 6, 6, 9, cluster_name="jobs")
    while alone.configuration is None:
        probe = Probe(at(0), ANYONE, 1, ELSEWHERE, 7, 0, 9, cluster_name="cache")
        jobs.receive(probe, stage.now)
        stage.settle(jobs)
        stage.run(0.01)
    stage.run(0.5)
    assert jobs.configuration is not None


def test_processes_of_another_name_are_not_counted_as_expected() -> None:
    stage = Stage()
    ours = [start(stage, n, 0, 1, 2, cluster_name="cache", expected=3) for n in (0, 1)]
    start(stage, 2, 0, 1, 2, cluster_name="jobs", expected=3)
    stage.run(10.0)
    assert [node.configuration for node in ours] == [None, None]
    assert failure(stage, 0) is None, "one may still come"


def test_the_pinned_id_and_the_name_hold_both() -> None:
    stage = Stage(cluster_name="cache")
    nodes = stage.form(2)
    start(stage, 5, 0, cluster_name="jobs", cluster_id=view(nodes[0]).cluster_id)
    stage.run(1.0)
    assert "cluster name" in str(failure(stage, 5))


# -- what is said


MESSAGES: list[Named] = [
    Probe(at(9), ANYONE, 7, ELSEWHERE, 99, 5, 9),
    ProbeAck(at(9), STRANGER, 7, ELSEWHERE, 99, 5, 9),
    JoinRequest(at(9), STRANGER, PROTOCOL_VERSION, 10, 9, 3, None, 7),
    JoinReply(at(9), Standing.WELCOME, ELSEWHERE, 3, (at(9),) * 10, "", STRANGER, 99),
    ObserveRequest(at(9), Member(at(9), STRANGER), ELSEWHERE, 1),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
@pytest.mark.parametrize("member", [True, False], ids=["member", "joiner"])
@pytest.mark.parametrize("name", ["", "jobs"])
def test_another_name_is_rejected_before_anything_else(message: Named, member: bool, name: str) -> None:
    stage = Stage(cluster_name="cache")
    node = stage.form(2)[0] if member else stage.add(0, 8)
    message = replace(message, cluster_name=name)
    if member and isinstance(message, ObserveRequest | ProbeAck):
        message.cluster_id = view(node).cluster_id
    before, due = state_size(node) - 2 * len(node.stats), node.deadline()
    node.receive(message, stage.now, "token")
    answers = [output for output in node.drain() if isinstance(output, Send | Reply)]
    assert node.stats["rejected:another cluster name"] == 1
    assert state_size(node) - 2 * len(node.stats) == before
    assert node.deadline() == due
    match message:
        case Probe():
            ack = ProbeAck(at(0), node.node_id, 7, None, 0, 0, cluster_name="cache")
            assert answers == [Reply("token", ack)], "who it is, and not where it stands"
        case JoinRequest():
            [answer] = answers
            reply = answer.message
            assert isinstance(reply, JoinReply)
            assert (reply.standing, reply.cluster_id, reply.version) == (Standing.INCOMPATIBLE, None, 0)
            assert reply.detail == f"its cluster name is '{name}', this cluster's is 'cache'"
            assert (reply.attempt, reply.observers, reply.cluster_name) == (7, (), "cache")
        case _:
            assert answers == []


def test_all_that_leaves_a_process_bears_its_name() -> None:
    stage = Stage(cluster_name="cache")
    seen: set[type[object]] = set()

    def watch(source: Endpoint, to: Endpoint, message: object) -> bool:
        if isinstance(message, Named):
            assert message.cluster_name == "cache"
            seen.add(type(message))
        return True

    stage.keep = watch
    nodes = stage.form(5)
    stage.crash(nodes[4])
    assert stage.until(lambda: agree(nodes[:4], 4))
    assert seen == {Probe, ProbeAck, JoinRequest, JoinReply, ObserveRequest}


@pytest.mark.parametrize("name", ["a\nb", "\x1b[2J", "n" * 256, "\N{SNOWMAN}" * 86, "\ud800", 7, None])
def test_what_is_no_name(name: Any) -> None:
    with pytest.raises(SettingsError, match="^cluster_name: "):
        Node(at(0), Stage().settings, Random(1), cluster_name=name)


@pytest.mark.parametrize(
    "name", ["", "cache", "my cache, blue", "\N{SNOWMAN}" * 85, "n" * CLUSTER_NAME_LIMIT]
)
def test_what_is_a_name(name: str) -> None:
    Node(at(0), Stage().settings, Random(1), cluster_name=name)


def test_what_is_no_name_is_none_in_a_simulation_either() -> None:
    with pytest.raises(ScenarioError, match="^cluster_name: "):
        World(1).add("a:1", cluster_name="a\nb")


def test_worlds_of_several_clusters() -> None:
    world = World(1)
    cache = world.add_members(3, cluster_name="cache")
    jobs = [world.add(f"j{n}:7400", seeds=["j0:7400", cache[0]], cluster_name="jobs") for n in range(3)]
    world.start(over=1.0)
    world.run(60.0)
    views = [world.view_of(address) for address in (*cache, *jobs)]
    assert [found.size for found in views if found] == [3] * 6
    assert len({found.cluster_id for found in views if found}) == 2
