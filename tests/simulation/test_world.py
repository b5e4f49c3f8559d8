"""The world itself: what it can do to members, and that it does the same each time."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from rapid.overlay.member import ClusterId, Endpoint
from rapid.protocol.messages import Facts
from rapid.protocol.outputs import Event, Installed, Left
from rapid.simulation import ANY, Flap, Link, LongTail, ScenarioError, Uniform, World


def cluster(n: int, seed: int = 1) -> World:
    world = World(seed)
    world.add_members(n)
    world.start()
    world.expect_agreement(30.0)
    return world


def test_members_form_one_cluster_and_a_crashed_one_goes() -> None:
    world = cluster(5)
    world.crash("m3:7400")
    world.expect_agreement(30.0)
    view = world.view_of("m0:7400")
    assert view is not None
    assert view.size == 4
    assert "m3:7400" not in [str(endpoint) for endpoint in view.endpoints]


def test_a_restarted_process_is_a_new_member() -> None:
    world = cluster(5)
    world.restart("m2:7400", after=1.0)
    world.expect_agreement(30.0)
    first, second = world.lives_of("m2:7400")
    assert first.node.node_id != second.node.node_id
    assert world.view_of("m2:7400") == second.configuration


def test_the_founder_can_restart() -> None:
    world = cluster(5)
    cluster_id = world.live[0].views[-1].configuration.cluster_id
    world.restart("m0:7400")
    world.expect_agreement(30.0)
    assert {seen.configuration.cluster_id for life in world.live for seen in life.views} == {cluster_id}


def test_a_member_leaves() -> None:
    world = cluster(6)
    world.leave("m4:7400")
    assert world.run_until(lambda: world.agreed() and len(world.live) == 5, 30.0)
    assert [event for _, event in world.lives_of("m4:7400")[0].events] == [Left(agreed=True)]


def test_a_silent_crash_takes_longer_to_see_than_a_refusal() -> None:
    def seconds(silent: bool) -> float:
        world = cluster(6)
        world.crash("m5:7400", silent=silent)
        return world.expect_agreement(30.0)

    assert seconds(silent=False) < seconds(silent=True)


def test_a_short_pause_changes_nothing_and_its_input_arrives() -> None:
    world = cluster(8)
    world.pause("m3:7400", 1.5)
    world.run(20.0)
    assert world.agreed()
    assert len(world.lives_of("m3:7400")[0].views) == len(world.lives_of("m4:7400")[0].views)
    assert world.counts["inputs queued in a pause"] > 0


def test_slow_members_and_clocks_that_drift_are_borne() -> None:
    world = cluster(8)
    before = world.view_of("m0:7400")
    world.slow("m1:7400", 0.01)
    world.drift("m2:7400", 1.05)
    world.drift("m3:7400", 0.95)
    world.run(60.0)
    assert world.view_of("m0:7400") is before


@pytest.mark.parametrize(
    ("link", "count"),
    [
        (Link(loss=0.1), "messages lost"),
        (Link(duplication=0.2, late=Uniform(0.0, 3.0)), "messages duplicated"),
        (Link(reordering=0.2), "messages reordered"),
        (Link(latency=LongTail(0.01, 0.02)), None),
    ],
)
def test_conditions_of_all_links_are_borne(link: Link, count: str | None) -> None:
    world = cluster(8)
    world.link(ANY, ANY, link)
    world.crash("m7:7400")
    world.expect_agreement(60.0)
    assert count is None or world.counts[count] > 0


def test_the_most_particular_condition_holds() -> None:
    world = cluster(3)
    a, b, c = world.places
    world.link(ANY, ANY, Link(loss=0.1))
    world.link(ANY, "m1:7400", Link(loss=0.2))
    world.link("m0:7400", ANY, Link(loss=0.3))
    world.link("m0:7400", "m1:7400", Link(loss=0.4, flap=Flap(1.0, 1.0, world.now)))
    between = world.network.between
    found = [
        between(a, b, world.now),
        between(a, c, world.now),
        between(c, b, world.now),
        between(c, a, world.now),
    ]
    assert [link.loss for link in found if link is not None] == [0.4, 0.3, 0.2, 0.1]
    healthy = between(a, b, world.now + 1.5)
    assert healthy is not None
    assert healthy.loss == 0
    world.heal()
    assert world.network.plain


def test_a_partition_with_a_bridge_lets_the_bridge_through() -> None:
    world = cluster(3)
    a, b, c = world.places
    world.partition([["m0:7400"], ["m2:7400"]], bridges=["m1:7400"])
    between = world.network.between
    assert between(a, c, world.now) is None
    assert between(c, a, world.now) is None
    assert between(a, b, world.now) is not None
    assert between(b, c, world.now) is not None


def test_a_member_that_cannot_connect_fails_to_send_and_still_replies() -> None:
    world = cluster(4)
    world.link("m0:7400", "m1:7400", Link(connects=False))
    world.run(10.0)
    assert world.counts["connections not opened"] > 0
    ours, theirs = (life.node._monitor.edges for life in world.live[:2])
    assert ours[Endpoint("m1", 7400)].faulty
    assert not theirs[Endpoint("m0", 7400)].faulty


@pytest.mark.parametrize("result", [False, None])
def test_an_application_finds_a_member_unhealthy_by_its_own_check(result: bool | None) -> None:
    asked: list[Endpoint] = []

    def check(member: Endpoint) -> bool | None:
        asked.append(member)
        return result if formed and member == Endpoint("m1", 7400) else True

    formed = False
    world = World(1)
    world.add("m0:7400", health_check=check)
    world.add_members(3)
    world.start()
    world.expect_agreement(30.0)
    formed = True
    world.run(20.0)
    edges = world.live[0].node._monitor.edges
    assert set(asked) >= set(edges)
    assert {str(subject) for subject, edge in edges.items() if edge.faulty} == {"m1:7400"}


def test_an_address_has_its_own_judge() -> None:
    world = World(1)
    world.add("m0:7400", make_judge=NeverFaulty)
    world.add_members(4)
    world.start()
    world.expect_agreement(30.0)
    world.crash("m3:7400", silent=True)
    world.run(3.0)
    assert isinstance(world.live[0].node._monitor.edges[Endpoint("m3", 7400)].judge, NeverFaulty)
    assert not isinstance(world.live[1].node._monitor.edges[Endpoint("m3", 7400)].judge, NeverFaulty)


class NeverFaulty:
    faulty = False

    def record(self, answered: bool, now: float) -> None:
        pass


def test_seeds_that_moved_are_found_when_they_are_looked_up() -> None:
    world = World(1)
    world.add("m0:7400", seeds=["gone:1"])
    world.add("m1:7400", seeds=["m1:7400"])
    world.start()
    world.run(1.0)
    assert not world.agreed()
    world.set_seeds("m0:7400", ["m1:7400"])
    world.expect_agreement(20.0)


def test_an_address_goes_to_another_service_with_other_seeds() -> None:
    world = cluster(4)
    world.crash("m3:7400")
    world.expect_agreement(30.0)
    world.add("jobs:1", seeds=["jobs:1"], service=1)
    world.reassign("m3:7400", seeds=["jobs:1"], service=1)
    world.start(["jobs:1", "m3:7400"])
    world.run(30.0)
    view = world.view_of("m3:7400")
    assert view is not None
    assert [str(endpoint) for endpoint in sorted(view.endpoints)] == ["jobs:1", "m3:7400"]


def test_what_a_stranger_says_arrives() -> None:
    world = cluster(3)
    before = world.stats()["rejected:facts of a non-member"]
    view = world.view_of("m0:7400")
    assert view is not None
    world.inject("m0:7400", Facts(Endpoint("stranger", 9), view.cluster_id, view.version))
    assert world.stats()["rejected:facts of a non-member"] == before + 1
    assert world.counts["messages injected"] == 1


def test_listeners_hear_what_applications_are_told() -> None:
    world = World(1)
    heard: list[tuple[Endpoint, Event]] = []
    world.subscribe(lambda endpoint, event: heard.append((endpoint, event)))
    world.add_members(4)
    world.start(over=1.0)
    world.expect_agreement(30.0)
    told = [event for endpoint, event in heard if endpoint == Endpoint("m0", 7400)]
    seen = world.lives_of("m0:7400")[0].views
    assert [event.configuration for event in told if isinstance(event, Installed)] == [
        s.configuration for s in seen
    ]


CLUSTER = ClusterId(bytes(ClusterId.SIZE))
IMPOSSIBLE: list[tuple[str, Callable[[World], object]]] = [
    ("members", lambda world: world.crash("nobody:1")),
    ("members", lambda world: world.crash("no address")),
    ("members", lambda world: world.start("m0:7400")),
    ("member", lambda world: world.view_of("nobody:1")),
    ("senders", lambda world: world.link("nobody:1", ANY, Link())),
    ("receivers", lambda world: world.link(ANY, "nobody:1", Link())),
    ("groups", lambda world: world.partition([["nobody:1"]])),
    ("groups", lambda world: world.partition([["m0:7400"], ["m0:7400", "m1:7400"]])),
    ("groups", lambda world: world.partition([["m0:7400", "m1:7400"]], bridges=["m1:7400"])),
    ("bridges", lambda world: world.partition([["m0:7400"]], bridges=["nobody:1"])),
    ("receivers", lambda world: world.link("m0:7400", "m0:7400", Link())),
    ("expected", lambda world: world.add("x:1", expected=0)),
    ("address", lambda world: world.reassign("m0:7400", seeds=["m1:7400"], service=1)),
    ("members", lambda world: world.set_seeds("nobody:1", ["m1:7400"])),
    ("member", lambda world: world.inject("nobody:1", Facts(Endpoint("x", 1), CLUSTER, 1))),
    ("address", lambda world: world.add("m0:7400")),
    ("count", lambda world: world.add_members(0)),
    ("seconds", lambda world: world.run(-1.0)),
    ("seconds", lambda world: world.pause("m0:7400", float("nan"))),
    ("timeout", lambda world: world.run_until(lambda: True, -1.0)),
    ("delay", lambda world: world.slow("m0:7400", -1.0)),
    ("rate", lambda world: world.drift("m0:7400", 0.0)),
    ("loss", lambda world: Link(loss=1.1)),
    ("duplication", lambda world: Link(duplication=-0.1)),
    ("latency", lambda world: Link(latency=Uniform(-0.1, 1.0))),
    ("latency", lambda world: LongTail(0.1, 0.0)),
    ("flap.bad", lambda world: Flap(0.0, 1.0)),
]


@pytest.mark.parametrize(("field", "ask"), IMPOSSIBLE)
def test_a_bad_scenario_is_refused_with_the_fields_name(field: str, ask: Callable[[World], object]) -> None:
    world = cluster(2)
    before = world.trace.hash
    with pytest.raises(ScenarioError, match=f"^{field}: ") as refused:
        ask(world)
    assert refused.value.field == field
    assert world.trace.hash == before


def test_the_same_seed_gives_the_same_events() -> None:
    def run(seed: int) -> str:
        world = cluster(12, seed)
        world.link(ANY, ANY, Link(loss=0.05, duplication=0.05, reordering=0.05))
        world.crash(["m3:7400", "m7:7400"])
        world.run(20.0)
        return world.trace.hash

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_events_do_not_depend_on_the_hash_seed() -> None:
    program = (
        "from rapid.simulation.worlds import run_seed; print([run_seed(seed).hash for seed in (21, 22)])"
    )
    hashes = {
        subprocess.run(
            [sys.executable, "-c", program], env={**os.environ, "PYTHONHASHSEED": number},
            capture_output=True, text=True, check=True,
        ).stdout
        for number in ("0", "1", "2")
    }  # fmt: skip
    assert len(hashes) == 1
