"""Other clusters behind the seeds: they are told of, and with ``merge`` they become one."""

from __future__ import annotations

from random import Random

import pytest

from rapid.overlay.configuration import Configuration
from rapid.overlay.member import ClusterId, Endpoint, Member, NodeId
from rapid.protocol.outbox import Outbox
from rapid.protocol.outputs import Discover, Evicted, Notify, OtherCluster
from rapid.protocol.outreach import ENOUGH_EYES, LONGEST, Outreach, Sighting
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
        self.outbox = Outbox()
        self.outreach = Outreach(at(0), LAN, Random(1), self.outbox, merging, self.probed.append)
        self.outreach.seeds = tuple(map(at, seeds))

    def look(self, view: Configuration, times: int, *, all_of_them: bool = False) -> float:
        """Do what is due so many times; give the mean time between."""
        self.outreach.enter(view, 0.0)
        now = 0.0
        for _ in range(times):
            now = self.outreach.due
            self.outreach.wake(view, all_of_them, now)
        return now / times

    def meet(self, theirs: Sighting, mine: Sighting, *, now: float = 0.0, replaced: bool = False) -> bool:
        return self.outreach.met(at(9), theirs, mine, now, replaced=replaced)

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


# -- which of two clusters goes to the other


def seen(size: int, cluster_id: bytes = b"m", *, failing: int = 0, quorum_lost: bool = False) -> Sighting:
    return Sighting(ClusterId(cluster_id * 16), size, failing, quorum_lost)


@pytest.mark.parametrize(
    ("theirs", "goes"),
    [
        (seen(4, b"a"), False),
        (seen(6, b"z"), True),
        (seen(5, b"a"), True),
        (seen(5, b"z"), False),
        (seen(0, b"a"), False),
        (seen(9, b"a", failing=5), False),
        (seen(9, b"a", failing=3), True),
        (seen(9, b"a", failing=12), False),
        (seen(9, b"a", quorum_lost=True), False),
    ],
)
def test_the_one_with_fewer_living_members_goes_and_of_equals_the_higher_id(
    theirs: Sighting, goes: bool
) -> None:
    lookout = Lookout(9, merging=True)
    assert lookout.meet(theirs, seen(5)) is goes
    assert len(lookout.told()) == (theirs.size > 0 and not goes), "who goes is told of it when it is there"


@pytest.mark.parametrize("theirs", [seen(1, b"z"), seen(1, b"a"), seen(9, b"z")])
def test_without_a_quorum_it_goes_to_any_that_has_one(theirs: Sighting) -> None:
    assert Lookout(9, merging=True).meet(theirs, seen(5, quorum_lost=True))


def test_of_two_clusters_at_most_one_goes_to_the_other() -> None:
    kinds = [
        seen(size, cluster_id, failing=failing, quorum_lost=quorum_lost)
        for size in (1, 4, 5)
        for failing in (0, 1, 3)
        for cluster_id in (b"a", b"z")
        for quorum_lost in (False, True)
    ]
    for one in kinds:
        for other in kinds:
            assert not (one.yields_to(other) and other.yields_to(one))
            if one.cluster_id != other.cluster_id and not (one.quorum_lost and other.quorum_lost):
                assert one.yields_to(other) or other.yields_to(one)


def test_nobody_goes_to_a_cluster_that_was_replaced() -> None:
    lookout = Lookout(9, merging=True)
    assert not lookout.meet(seen(9, b"a"), seen(5), replaced=True)
    assert len(lookout.told()) == 1


def test_a_cluster_that_did_not_let_it_in_is_tried_again_later_and_later() -> None:
    lookout, theirs, mine = Lookout(9, merging=True), seen(9, b"a"), seen(5)
    now, pauses = 0.0, list[float]()
    for _ in range(12):
        lookout.outreach.failed(at(9), theirs, now)
        began = now
        while not lookout.meet(theirs, mine, now=now):
            now += 0.5
        pauses.append(now - began)
    assert pauses[0] >= LAN.outreach_interval / 2
    assert pauses[5] > 4 * pauses[0]
    assert max(pauses) <= 1.5 * LONGEST * LAN.outreach_interval + 0.5
    assert len(lookout.told()) == 1


def test_it_goes_back_only_to_one_that_is_larger_for_certain() -> None:
    lookout, mine = Lookout(9, merging=True), seen(5)
    lookout.outreach.left(ClusterId(b"a" * 16), 0.0)
    assert not lookout.meet(seen(9, b"a"), mine, now=0.0), "not at once"
    later = 2 * LAN.outreach_interval
    assert not lookout.meet(seen(5, b"a"), mine, now=later), "its id alone does not do"
    assert lookout.meet(seen(6, b"a"), mine, now=later)


def test_each_other_cluster_is_told_of_once() -> None:
    lookout = Lookout(9)
    for theirs in (b"a", b"b", b"a", b"b", b"a"):
        lookout.meet(seen(3, theirs), seen(5))
    assert [event.cluster_id[:1] for event in lookout.told()] == [b"a", b"b"]


def test_a_cluster_that_was_joined_and_left_is_told_of_again() -> None:
    lookout = Lookout(9)
    for _ in range(2):
        lookout.meet(seen(3, b"a"), seen(5))
        assert len(lookout.told()) == 1
        lookout.outreach.enter(configuration(5, b"a"), 0.0)


def test_what_is_remembered_of_others_is_bounded() -> None:
    lookout = Lookout(9, merging=True)
    for number in range(1000):
        theirs = Sighting(ClusterId(number.to_bytes(16, "big")), 3, 0, quorum_lost=False)
        lookout.meet(theirs, seen(5))
        lookout.outreach.failed(at(9), theirs, 0.0)
        lookout.outreach.left(theirs.cluster_id, 0.0)
    assert len(lookout.outreach._told) < 100
    assert len(lookout.outreach._tried) < 100
