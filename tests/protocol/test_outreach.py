"""Other clusters behind the seeds: they are told of, and with ``merge`` they become one."""

from __future__ import annotations

from random import Random

import pytest

from rapid.overlay.configuration import Configuration
from rapid.overlay.member import ClusterId, Endpoint, Member, NodeId
from rapid.protocol.outbox import Outbox
from rapid.protocol.outputs import Discover, Evicted, Notify, OtherCluster
from rapid.protocol.outreach import ENOUGH_EYES, Outreach
from rapid.settings import Settings
from rapid.simulation import World

from .harness import at

LAN = Settings.lan()
FIRST = ["m0:7400", "m1:7400", "m2:7400"]


def two_clusters(seed: int, *, merge: bool, more: int = 0, join: str = "m0:7400") -> World:
    """Two members found a cluster each; ``more`` others join one of them."""
    world = World(seed)
    world.add(FIRST[0], seeds=FIRST, merge=merge)
    world.add(FIRST[1], seeds=[FIRST[1], FIRST[0]], merge=merge)
    for number in range(more):
        world.add(f"n{number}:7400", seeds=[join, *FIRST], merge=merge)
    world.partition([[FIRST[0]], [FIRST[1]]])
    for place in world.places:
        world.start(place.endpoint)
        world.run(1.0)
    founded = {life.views[0].configuration.cluster_id for life in world.live}
    assert len(founded) == 2
    return world


def met(world: World, address: str) -> list[OtherCluster]:
    return [event for _, event in world.lives_of(address)[0].events if isinstance(event, OtherCluster)]


@pytest.mark.parametrize("seed", range(4))
def test_two_founders_become_one_cluster(seed: int) -> None:
    world = two_clusters(seed, merge=True)
    ids = {life.views[0].configuration.cluster_id for life in world.live}
    world.heal()
    assert world.expect_agreement(30.0) < 3 * LAN.outreach_interval
    assert {life.views[-1].configuration.cluster_id for life in world.live} == {min(ids)}, (
        "of equals the lower id"
    )
    (mover,) = [life for life in world.live if life.node.stats["merges"]]
    (event,) = met(world, str(mover.place.endpoint))
    assert event.merging
    assert mover.views[-1].cut is None
    assert not any(isinstance(event, Evicted) for life in world.live for _, event in life.events)


@pytest.mark.parametrize("join", FIRST[:2])
def test_the_smaller_joins_the_larger(join: str) -> None:
    world = two_clusters(1, merge=True, more=4, join=join)
    larger = world.lives_of(join)[0].views[0].configuration.cluster_id
    world.heal()
    world.expect_agreement(60.0)
    assert {life.views[-1].configuration.cluster_id for life in world.live} == {larger}
    moved = [life for life in world.live if life.node.stats["merges"]]
    assert [life.place.endpoint for life in moved] == [Endpoint.parse(FIRST[join == FIRST[0]])]


def test_all_members_of_the_smaller_move() -> None:
    world = World(3)
    near, far = [f"a{number}:7400" for number in range(4)], [f"b{number}:7400" for number in range(7)]
    for side, seeds in ((near, [near[0], far[0]]), (far, [far[0], near[0]])):
        for address in side:
            world.add(address, seeds=seeds, merge=True)
    world.partition([near, far])
    world.start()
    world.run(10.0)
    assert {life.views[-1].configuration.size for life in world.live} == {4, 7}
    world.heal()
    world.expect_agreement(120.0)


def test_without_merging_each_is_told_once_of_the_other() -> None:
    world = two_clusters(1, merge=False, more=2)
    world.heal()
    world.run(20 * LAN.outreach_interval)
    for address in FIRST[:2]:
        (event,) = met(world, address)
        assert not event.merging
        other = world.lives_of(FIRST[address == FIRST[0]])[0].views[-1].configuration
        assert event.cluster_id == other.cluster_id
    assert {life.views[-1].configuration.size for life in world.live} == {1, 3}


# -- how it looks out


def configuration(size: int, cluster_id: bytes = b"m") -> Configuration:
    members = [Member(at(number), NodeId(number.to_bytes(16, "big"))) for number in range(size)]
    return Configuration.of(ClusterId(cluster_id * 16), 1, members, 10)


class Lookout:
    """The outreach of member 0."""

    def __init__(self, *seeds: int, merging: bool = False) -> None:
        self.probed: list[Endpoint] = []
        self.merged: list[Endpoint] = []
        self.outbox = Outbox()
        self.outreach = Outreach(
            at(0), LAN, Random(1), self.outbox, merging, self.probed.append, self.merged.append
        )
        self.outreach.seeds = tuple(map(at, seeds))

    def look(self, view: Configuration, times: int, *, all_of_them: bool = False) -> float:
        """Do what is due so many times; give the mean time between."""
        self.outreach.enter(view, 0.0)
        now = 0.0
        for _ in range(times):
            now = self.outreach.due
            self.outreach.wake(view, all_of_them, now)
        return now / times

    def told(self) -> list[OtherCluster]:
        events = [output.event for output in self.outbox.drain() if isinstance(output, Notify)]
        return [event for event in events if isinstance(event, OtherCluster)]


def test_seeds_outside_the_view_are_probed_one_at_a_time() -> None:
    lookout = Lookout(0, 1, 2, 8, 9)
    assert lookout.look(configuration(5), 100) == pytest.approx(LAN.outreach_interval, rel=0.1)
    assert len(lookout.probed) == 100
    assert set(lookout.probed) == {at(8), at(9)}


def test_without_a_quorum_all_other_seeds_are() -> None:
    lookout = Lookout(0, 1, 2, 8, 9)
    lookout.look(configuration(5), 100, all_of_them=True)
    assert set(lookout.probed) == {at(1), at(2), at(8), at(9)}


def test_with_all_seeds_in_the_view_none_is_but_they_are_looked_up() -> None:
    lookout = Lookout(0, 1, 2)
    lookout.look(configuration(5), 10)
    assert not lookout.probed
    assert sum(isinstance(output, Discover) for output in lookout.outbox.drain()) == 10


def test_in_a_crowd_each_looks_out_less_often() -> None:
    few, many = Lookout(99).look(configuration(10), 50), Lookout(99).look(configuration(5 * ENOUGH_EYES), 50)
    assert many == pytest.approx(5 * few, rel=0.2)


def test_without_seeds_nobody_looks_out() -> None:
    lookout = Lookout()
    lookout.outreach.enter(configuration(5), 0.0)
    assert lookout.outreach.due == float("inf")


@pytest.mark.parametrize(
    ("size", "theirs", "merges"),
    [(4, b"a", False), (6, b"z", True), (5, b"a", True), (5, b"z", False), (0, b"a", False)],
)
def test_the_larger_stays_and_of_equals_the_lower_id(size: int, theirs: bytes, merges: bool) -> None:
    lookout = Lookout(9, merging=True)
    lookout.outreach.met(at(9), ClusterId(theirs * 16), size, configuration(5))
    assert lookout.merged == ([at(9)] if merges else [])
    assert len(lookout.told()) == (size > 0)


def test_each_other_cluster_is_told_of_once() -> None:
    lookout = Lookout(9)
    for theirs in (b"a", b"b", b"a", b"b", b"a"):
        lookout.outreach.met(at(9), ClusterId(theirs * 16), 3, configuration(5))
    assert [event.cluster_id[:1] for event in lookout.told()] == [b"a", b"b"]


def test_a_cluster_that_was_joined_and_left_is_told_of_again() -> None:
    lookout = Lookout(9)
    for _ in range(2):
        lookout.outreach.met(at(9), ClusterId(b"a" * 16), 3, configuration(5))
        assert len(lookout.told()) == 1
        lookout.outreach.enter(configuration(5, b"a"), 0.0)


def test_what_is_remembered_of_others_is_bounded() -> None:
    lookout = Lookout(9)
    for number in range(1000):
        lookout.outreach.met(at(9), ClusterId(number.to_bytes(16, "big")), 3, configuration(5))
    assert len(lookout.outreach._told) < 100
