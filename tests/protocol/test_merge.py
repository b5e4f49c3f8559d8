"""Going over to a larger cluster: nothing is given up before that one has let the member in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from random import Random

import pytest

from rapid.errors import SettingsError, StateError
from rapid.overlay.configuration import Configuration
from rapid.overlay.cut import Cut
from rapid.overlay.member import ClusterId, Endpoint
from rapid.protocol.lineage import Lineage
from rapid.protocol.merging import Merging
from rapid.protocol.messages import Leaving, Message, Refounded
from rapid.protocol.node import Node
from rapid.protocol.outputs import (
    Evicted,
    MergeFailed,
    OtherCluster,
    QuorumLost,
    QuorumRestored,
    RefoundingRefused,
)
from rapid.protocol.outreach import Sighting
from rapid.settings import Settings
from rapid.simulation import Life, ScenarioError, World

from .harness import at, view
from .stage import Stage

LAN = Settings.lan()
K = Settings.lan(k=8, h=7)


class Two:
    """Two clusters, ``near`` and ``far``, whose members can merge; apart until :meth:`meet`."""

    def __init__(
        self,
        near: int,
        far: int,
        seed: int = 1,
        *,
        far_settings: Settings | None = None,
        far_merges: bool = True,
    ) -> None:
        self.world = world = World(seed)
        self.near = [f"a{number}:7400" for number in range(near)]
        self.far = [f"b{number}:7400" for number in range(far)]
        for side, other, settings, merge in (
            (self.near, self.far, None, True), (self.far, self.near, far_settings, far_merges),
        ):  # fmt: skip
            for address in side:
                world.add(address, seeds=[*side[:2], *other[:2]], settings=settings, merge=merge)
        world.partition([self.near, self.far])
        world.start()
        settled = world.run_until(lambda: self.sizes(self.near + self.far) == {near, far}, 60.0)
        assert settled, world.standing()
        self.ids = self.cluster_of(self.near[0]), self.cluster_of(self.far[0])

    def meet(self) -> None:
        self.world.heal()

    def view(self, address: str) -> Configuration:
        found = self.world.view_of(address)
        assert found is not None
        return found

    def cluster_of(self, address: str) -> ClusterId:
        return self.view(address).cluster_id

    def sizes(self, addresses: Sequence[str]) -> set[int]:
        views = map(self.world.view_of, addresses)
        return {0 if found is None else found.size for found in views}

    def life(self, address: str) -> Life:
        return self.world.lives_of(address)[-1]

    def told(self, address: str, kind: type) -> list[object]:
        return [event for _, event in self.life(address).events if isinstance(event, kind)]

    def moves(self, addresses: Sequence[str]) -> int:
        return sum(self.life(address).node.stats["merges"] for address in addresses)

    def tries(self, addresses: Sequence[str]) -> int:
        return sum(self.life(address).node.stats["merges begun"] for address in addresses)


def always(world: World, promise: Callable[[], bool], seconds: float) -> None:
    """It holds at every moment of this time."""
    assert not world.run_until(lambda: not promise(), seconds)


# -- a membership ends only once there is another


def in_a_cluster_all_the_time(two: Two, addresses: Sequence[str]) -> bool:
    return all(two.life(address).node._epoch is not None for address in addresses)


@pytest.mark.parametrize(("near", "far"), [(1, 2), (3, 5), (4, 7), (6, 6)])
def test_a_member_that_goes_over_is_in_one_cluster_or_the_other_all_the_time(near: int, far: int) -> None:
    two = Two(near, far)
    everybody = two.near + two.far
    two.meet()
    always(two.world, lambda: in_a_cluster_all_the_time(two, everybody), 30.0)
    assert two.world.agreed()
    assert not any(two.told(address, Evicted) for address in everybody)


def stays_whole(left: int, far: int, *, warned: float) -> None:
    """Three healthy members meet what is left of ``far``, whose quorum is gone for so many seconds."""
    two = Two(3, far)
    lost = two.far[left:]
    two.world.crash(lost, silent=True)
    two.world.run(warned)
    two.meet()
    two.world.run(180.0)
    assert {two.cluster_of(address) for address in two.near} == {two.ids[0]}
    assert two.moves(two.near) == 0
    assert two.world.agreed(), "and those that have no quorum have joined them"


@pytest.mark.parametrize(("left", "far"), [(1, 4), (2, 5), (3, 7), (4, 9)])
@pytest.mark.parametrize("warned", [0.0, 5.0, 40.0])
def test_a_healthy_cluster_does_not_go_to_one_that_has_lost_its_quorum(
    left: int, far: int, warned: float
) -> None:
    stays_whole(left, far, warned=warned)


@pytest.mark.parametrize("settings", [K, Settings.lan(h=8), Settings.lan(l=2)], ids=["k", "h", "l"])
@pytest.mark.parametrize(("near", "far"), [(3, 5), (5, 3)])
def test_nobody_goes_to_a_cluster_with_other_watermarks(settings: Settings, near: int, far: int) -> None:
    two = Two(near, far, far_settings=settings)
    smaller = two.near if near < far else two.far
    two.meet()
    always(two.world, lambda: in_a_cluster_all_the_time(two, two.near + two.far), 300.0)
    assert (two.sizes(two.near), two.sizes(two.far)) == ({near}, {far})
    assert two.moves(two.near + two.far) == 0
    [failed, *_] = two.told(smaller[0], MergeFailed)
    assert isinstance(failed, MergeFailed)
    assert "refused: its " in failed.reason
    assert two.told(smaller[0], OtherCluster) == [
        OtherCluster(failed.endpoint, failed.cluster_id, max(near, far), merging=False)
    ]


def test_tries_that_fail_become_rare() -> None:
    two = Two(1, 4, far_settings=K)
    two.meet()
    two.world.run(600.0)
    first = two.tries(two.near)
    two.world.run(600.0)
    assert 2 <= first <= 12
    assert two.tries(two.near) - first <= first / 2


def test_a_try_ends_and_the_member_stays_where_it_is() -> None:
    """The other cluster has lost its quorum without knowing, so nobody can be let in."""
    two = Two(3, 8, far_merges=False)
    two.world.crash(two.far[4:], silent=True)
    two.meet()
    assert two.world.run_until(lambda: two.tries(two.near) > 0, 30.0)
    always(two.world, lambda: in_a_cluster_all_the_time(two, two.near), 2 * LAN.join_timeout)
    assert any(two.told(address, MergeFailed) for address in two.near)
    assert [two.life(address).node.joining_id for address in two.near] == [None] * 3
    assert {two.cluster_of(address) for address in two.near} == {two.ids[0]}


def test_meanwhile_it_votes_and_detects_in_its_own_cluster() -> None:
    """Three have to agree on removing the fourth, while all try to get in where nobody can be let in."""
    two = Two(4, 10)
    two.world.crash(two.far[5:], silent=True)
    two.meet()
    assert two.world.run_until(lambda: two.tries(two.near) == 4, 10.0)
    assert None not in {two.life(address).node.joining_id for address in two.near}
    two.world.crash(two.near[3], silent=True)
    assert two.world.run_until(lambda: two.sizes(two.near[:3]) == {3}, 15.0)
    assert two.moves(two.near[:3]) == 0


@pytest.mark.parametrize("seed", range(3))
def test_the_living_are_compared_and_not_the_views(seed: int) -> None:
    """Ten of whom five have crashed are five, fewer than six, though their view will not change any more."""
    two = Two(6, 10, seed)
    two.world.crash(two.far[5:], silent=True)
    known = lambda: {failing(two, address) for address in two.far[:5]} == {5}  # noqa: E731 - a condition
    assert two.world.run_until(known, 30.0)
    two.meet()
    two.world.expect_agreement(90.0)
    assert two.cluster_of(two.near[0]) == two.ids[0]
    assert two.tries(two.near) == 0


def failing(two: Two, address: str) -> int:
    epoch = two.life(address).node._epoch
    assert epoch is not None
    return len(epoch.detector.failing)


# -- the way out of the old cluster


def test_it_takes_leave_of_the_old_cluster() -> None:
    two = Two(4, 7)
    took_leave: set[Endpoint] = set()

    def hear(sender: Endpoint, message: Message) -> None:
        if isinstance(message, Leaving):
            took_leave.add(sender)
            assert message.cluster_id == two.ids[0]

    two.world.watch(hear)
    two.meet()
    two.world.expect_agreement(60.0)
    assert took_leave == set(map(Endpoint.parse, two.near))


def test_a_cluster_that_loses_its_quorum_midway_ends_in_the_other_one() -> None:
    two = Two(7, 9)
    two.meet()
    assert two.world.run_until(lambda: two.moves(two.near) > 0, 30.0)
    staying = [address for address in two.near if not two.moves([address])]
    two.world.crash(staying[1:][: len(staying) // 2], silent=True)
    two.world.expect_agreement(90.0)
    assert two.cluster_of(two.far[0]) == two.ids[1]


def test_one_that_none_of_the_others_told_follows_them() -> None:
    """The last of the old cluster has no seed but its own: those who went are how it learns of the larger."""
    world = World(5)
    near = [world.add(f"a{number}:7400", seeds=["a0:7400"], merge=True) for number in range(3)]
    far = [world.add(f"b{number}:7400", seeds=["b0:7400", "a0:7400"], merge=True) for number in range(5)]
    world.partition([near, far])
    world.start()
    apart = lambda: {len(life.configuration.members) for life in world.live if life.configuration} == {3, 5}  # noqa: E731 - a condition
    assert world.run_until(apart, 30.0)
    world.partition([far, near[2:]], bridges=near[:2])
    world.run(20.0)
    world.heal()
    world.expect_agreement(90.0)


def quiet_after(two: Two, seconds: float) -> None:
    moves = two.moves(two.near + two.far)
    two.world.run(seconds)
    assert two.moves(two.near + two.far) == moves


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("near", "far"), [(1, 1), (2, 2), (5, 5), (2, 3)])
def test_nobody_swaps_back_and_forth(near: int, far: int, seed: int) -> None:
    two = Two(near, far, seed)
    two.meet()
    two.world.expect_agreement(60.0)
    assert two.moves(two.near + two.far) == min(near, far)
    quiet_after(two, 300.0)
    assert two.world.agreed()


def test_after_a_partition_midway_they_end_in_one() -> None:
    for seed in range(4):
        two = Two(4, 5, seed)
        two.meet()
        assert two.world.run_until(lambda: two.tries(two.near) > 0, 30.0)  # noqa: B023 - it ends with its turn
        two.world.run(0.3 * seed)
        two.world.partition([two.near, two.far])
        two.world.run(40.0)
        two.meet()
        two.world.expect_agreement(120.0)
        quiet_after(two, 120.0)


# -- what has changed when it could go


def cuts(life: Life) -> list[Cut]:
    return [seen.cut for seen in life.views if seen.cut is not None]


def test_it_stays_when_its_own_cluster_has_grown_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    two = Two(2, 3)
    two.meet()
    assert two.world.run_until(lambda: two.tries(two.near) > 0, 30.0)
    for address in two.near:
        # as if many had joined just before the other cluster has let it in
        grown = Sighting(two.ids[0], 9, 0, quorum_lost=False)
        monkeypatch.setattr(two.life(address).node, "_sighting", lambda epoch: grown)  # noqa: B023 - all the same
    two.world.run(20.0)
    assert two.moves(two.near) == 0
    assert two.sizes(two.near) == {2}
    assert two.sizes(two.far) == {3}, "where it had been let in it has taken leave"
    assert any(removal.left for cut in cuts(two.life(two.far[0])) for removal in cut.removed)


def test_who_leaves_goes_nowhere_else() -> None:
    two = Two(3, 5)
    two.meet()
    assert two.world.run_until(lambda: two.tries(two.near[2:]) > 0, 30.0)
    two.world.leave(two.near[2])
    two.world.expect_agreement(60.0)
    assert two.life(two.near[2]).ended_by is not None
    assert two.sizes(two.far) == {7}


def test_an_operator_who_waits_for_a_new_cluster_is_told_that_it_went_over() -> None:
    two = Two(2, 5)
    two.world.crash(two.near[1], silent=True)
    two.world.run(20.0)
    two.meet()
    assert two.world.run_until(lambda: two.tries(two.near[:1]) > 0, 30.0)
    for _ in range(20):
        two.world.force_new_cluster(two.near[0])
        two.world.run(0.1)
        if two.moves(two.near[:1]):
            break
    two.world.expect_agreement(60.0)
    assert two.cluster_of(two.near[0]) == two.ids[1] or two.told(two.near[0], RefoundingRefused)


def test_a_lost_quorum_is_restored_in_the_other_cluster() -> None:
    two = Two(3, 5)
    two.world.crash(two.near[1:], silent=True)
    assert two.world.run_until(lambda: bool(two.told(two.near[0], QuorumLost)), 60.0)
    two.meet()
    two.world.expect_agreement(60.0)
    life = two.life(two.near[0])
    [restored] = two.told(two.near[0], QuorumRestored)
    assert isinstance(restored, QuorumRestored)
    assert restored.version in {seen.configuration.version for seen in life.views}
    assert [type(event) for _, event in life.events][-2:] == [OtherCluster, QuorumRestored]


# -- clusters that were forced


@pytest.mark.parametrize("left", [2, 3])
def test_a_stale_survivor_of_a_forced_cluster_draws_nobody_back(left: int) -> None:
    """It still holds the larger view of the cluster that was forced into another."""
    world = World(3)
    seeds = ["m0:7400", "m1:7400", "m4:7400"]
    members = world.add_members(7, seeds=seeds, merge=True)
    world.start()
    world.expect_agreement(30.0)
    stale = members[4]
    world.crash(members[5:], silent=True)
    world.partition([members[:4], [stale]])
    world.crash(members[left:4], silent=True)
    world.run(20.0)
    old = world.view_of(members[0])
    world.force_new_cluster(members[0])
    world.run(3.0)
    forced = world.view_of(members[0])
    assert old is not None
    assert forced is not None
    assert forced.cluster_id != old.cluster_id
    world.heal()
    world.expect_agreement(90.0)
    assert {world.view_of(life.place.endpoint).cluster_id for life in world.live} == {forced.cluster_id}  # type: ignore[union-attr]  # it is there
    assert sum(life.node.stats["merges"] for life in world.live if life.place.endpoint != stale) == 0
    world.run(120.0)
    assert world.agreed()


def test_a_newcomer_learns_which_clusters_its_own_has_replaced() -> None:
    stage = Stage(merge=True)
    nodes = stage.form(3)
    old = view(nodes[0])
    new = Configuration.of(ClusterId(b"n" * 16), old.version + 1, old.members, old.k)
    for node in nodes:
        node.receive(Refounded(at(0), old.cluster_id, old.version, new), stage.now)
        stage.settle(node)
    late = stage.add(9, 0)
    assert stage.until(lambda: late.configuration is not None and late.configuration.size == 4)
    assert late._lineage.ids == (old.cluster_id,)
    late._meet(at(50), Sighting(old.cluster_id, 99, 0, quorum_lost=False), late._epoch)  # type: ignore[arg-type]  # there is an epoch
    assert late.stats["merges begun"] == 0


# -- options


@pytest.mark.parametrize(
    ("options", "field"), [({"merge": True}, "merge"), ({"expected": 3}, "bootstrap_expect")]
)
def test_one_cluster_or_none_goes_neither_with_another_nor_with_a_new_one(
    options: dict[str, object], field: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        Node(at(0), LAN, Random(1), cluster_id=ClusterId(b"c" * 16), **options)  # type: ignore[arg-type]  # of several types
    assert refused.value.field == field
    with pytest.raises(ScenarioError, match=field):
        World(1).add("m0:7400", cluster_id="c0" * 16, **options)  # type: ignore[arg-type]  # of several types


@pytest.mark.parametrize("options", [{"cluster_id": ClusterId(b"c" * 16)}, {"expected": 2}])
def test_who_waits_for_others_founds_nothing_alone(options: dict[str, object]) -> None:
    node = Node(at(0), LAN, Random(1), **options)  # type: ignore[arg-type]  # of several types
    with pytest.raises(StateError):
        node.start(0.0)
    assert node.configuration is None


# -- what a planted bug would do


def gives_up_first(plant: pytest.MonkeyPatch) -> None:
    """It stops its epoch as soon as it begins to try."""
    real = Node._meet

    def meet(node: Node, peer: Endpoint, theirs: Sighting, epoch: object) -> None:
        before = node._merging
        real(node, peer, theirs, epoch)  # type: ignore[arg-type]  # as it was called
        if before is None and node._merging is not None:
            merging, node._merging = node._merging, None
            node._stop()
            node.member, node._joining = merging.member, merging.joining

    plant.setattr(Node, "_meet", meet)


def by_the_size_of_the_view(plant: pytest.MonkeyPatch) -> None:
    plant.setattr(Sighting, "living", property(lambda sighting: sighting.size))


def quorum_ignored(plant: pytest.MonkeyPatch) -> None:
    def yields_to(mine: Sighting, other: Sighting, *, to_equals: bool = True) -> bool:
        return (mine.living, other.cluster_id) < (other.living, mine.cluster_id)

    plant.setattr(Sighting, "yields_to", yields_to)


def replaced_forgotten(plant: pytest.MonkeyPatch) -> None:
    plant.setattr(Lineage, "replaced", lambda lineage, cluster_id: False)


def no_deadline(plant: pytest.MonkeyPatch) -> None:
    real = Merging.__init__

    def init(merging: Merging, *args: object) -> None:
        real(merging, *args)  # type: ignore[arg-type]  # as it was called
        merging.joining._deadline = inf

    plant.setattr(Merging, "__init__", init)


@pytest.mark.parametrize(
    ("bug", "check"),
    [
        (gives_up_first, test_a_try_ends_and_the_member_stays_where_it_is),
        (gives_up_first, lambda: stays_whole(2, 5, warned=0.0)),
        (quorum_ignored, lambda: stays_whole(4, 9, warned=40.0)),
        (by_the_size_of_the_view, lambda: test_the_living_are_compared_and_not_the_views(0)),
        (replaced_forgotten, test_a_newcomer_learns_which_clusters_its_own_has_replaced),
        (no_deadline, test_a_try_ends_and_the_member_stays_where_it_is),
    ],
)
def test_a_planted_bug_is_found(
    bug: Callable[[pytest.MonkeyPatch], None], check: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each check is one of the tests above, which pass without it."""
    bug(monkeypatch)
    with pytest.raises(AssertionError):
        check()
