"""A minority was forced though the majority lived: the majority goes over as in a merge, or stays whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from rapid.overlay.configuration import Configuration
from rapid.overlay.member import Endpoint
from rapid.protocol.merging import Merging
from rapid.protocol.messages import JoinReply, JoinRequest, Message, Probe, Refounded, Standing
from rapid.protocol.node import Node
from rapid.protocol.outputs import Evicted, Installed, Left, MergeFailed, QuorumLost, QuorumRestored
from rapid.settings import Settings
from rapid.simulation import ANY, Life, Link, World

from .harness import agree, view
from .stage import Stage


class Forced:
    """A majority in its own view, and a minority that was forced; apart until :meth:`meet`."""

    def __init__(self, minority: int, majority: int, seed: int = 1) -> None:
        self.world = world = World(seed, Settings.lan())
        members = world.add_members(minority + majority, seeds=["m0:7400", f"m{minority}:7400"])
        world.start()
        world.expect_agreement(60.0)
        self.minority, self.majority = members[:minority], members[minority:]
        self.first = self.view(self.majority[0]).cluster_id
        world.partition([self.minority, self.majority])
        shrunk = world.run_until(lambda: self.sizes(self.majority) == {majority}, 60.0)
        assert shrunk or minority == majority, world.standing()
        world.force_new_cluster(self.minority[0])
        assert world.run_until(lambda: self.sizes(self.minority) == {minority}, 10.0), world.standing()
        self.forced = self.view(self.minority[0]).cluster_id
        assert self.forced != self.first

    def life(self, member: Endpoint) -> Life:
        return self.world.lives_of(member)[-1]

    def view(self, member: Endpoint) -> Configuration:
        found = self.world.view_of(member)
        assert found is not None
        return found

    def sizes(self, members: Sequence[Endpoint]) -> set[int]:
        return {self.view(member).size for member in members}

    def meet(self) -> None:
        self.world.heal()
        learned = lambda: any(self.knows(member) for member in self.majority)  # noqa: E731 - a condition
        assert self.world.run_until(learned, 60.0)

    def knows(self, member: Endpoint) -> bool:
        """Whether it has done anything about the forced cluster."""
        life = self.life(member)
        return life.node.joining_id is not None or self.told(member, Evicted) or (
            self.view(member).cluster_id == self.forced
        )  # fmt: skip

    def told(self, member: Endpoint, kind: type) -> bool:
        return any(isinstance(event, kind) for _, event in self.life(member).events)

    def in_a_cluster(self) -> bool:
        return all(self.life(member).node._epoch is not None for member in self.majority)

    def works(self) -> bool:
        """Whether all of the majority are in one view of which a majority lives."""
        views = {self.view(member).digest: self.view(member) for member in self.majority}
        if len(views) > 1 or not self.in_a_cluster():
            return False
        (view,) = views.values()
        return 2 * len(self.majority) > view.size

    def expect_change(self) -> None:
        """It is a working cluster when it can let somebody in."""
        late = self.world.add("late:7400", seeds=self.majority)
        self.world.start(late)
        let_in = self.world.run_until(lambda: self.works() and late in self.view(self.majority[0]), 120.0)
        assert let_in, self.world.standing()


SIZES = [(1, 2), (2, 3), (2, 5), (4, 5), (5, 7)]
MOMENTS = [0.0, 0.05, 0.2, 0.5, 1.0, 3.0]


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize(("minority", "majority"), SIZES)
def test_the_majority_works_when_the_forced_cluster_dies_just_after_they_met(
    minority: int, majority: int, moment: float
) -> None:
    forced = Forced(minority, majority)
    forced.meet()
    forced.world.run(moment)
    forced.world.crash(forced.minority, silent=True)
    assert forced.world.run_until(forced.works, 120.0), forced.world.standing()
    forced.expect_change()
    assert not any(forced.told(member, Evicted) for member in forced.majority)


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize(("minority", "majority"), SIZES)
def test_the_majority_works_when_it_is_cut_off_again_just_after_they_met(
    minority: int, majority: int, moment: float
) -> None:
    forced = Forced(minority, majority)
    forced.meet()
    forced.world.run(moment)
    forced.world.partition([forced.minority, forced.majority])
    assert forced.world.run_until(forced.works, 120.0), forced.world.standing()
    forced.expect_change()
    forced.world.heal()
    forced.world.expect_agreement(200.0)


@pytest.mark.parametrize(("minority", "majority"), SIZES)
def test_a_member_is_in_one_cluster_or_the_other_all_the_time(minority: int, majority: int) -> None:
    forced = Forced(minority, majority)
    forced.world.heal()
    assert not forced.world.run_until(lambda: not forced.in_a_cluster(), 60.0)
    assert forced.world.agreed()
    assert forced.view(forced.majority[0]).cluster_id == forced.forced
    assert not any(forced.told(member, Evicted) for member in forced.minority + forced.majority)


def cut_apart(minority: int, majority: int) -> tuple[Stage, list[Node], list[Node]]:
    """The same with messages that can be rewritten; the links are whole again, and nobody has met."""
    stage = Stage()
    nodes = stage.form(minority + majority)
    near, far = nodes[:minority], nodes[minority:]
    apart = {(one.member.endpoint, other.member.endpoint) for one in near for other in far}
    stage.blocked |= apart | {(there, here) for here, there in apart}
    assert stage.until(lambda: agree(far, majority), 40.0)
    near[0].force_new_cluster(stage.now)
    stage.settle(near[0])
    assert stage.until(lambda: agree(near, minority), 10.0)
    stage.blocked.clear()
    return stage, near, far


def lets_nobody_in(stage: Stage, near: list[Node], how: str) -> None:
    """The forced cluster is there, and takes nobody."""
    members = {node.member.endpoint for node in near}

    def script(source: Endpoint, to: Endpoint, message: Message) -> Message | None:
        if how == "refuses" and source in members and isinstance(message, JoinReply):
            return replace(message, standing=Standing.INCOMPATIBLE, detail="its k is 10, this cluster's is 9")
        if how == "answers nothing" and to in members and isinstance(message, JoinRequest):
            return None
        probed = isinstance(message, Probe) and message.cluster_id is not None
        if how == "cannot reach them" and source in members and probed:
            return None
        return message

    stage.script = script


@pytest.mark.parametrize("how", ["refuses", "answers nothing", "cannot reach them"])
@pytest.mark.parametrize(("minority", "majority"), [(1, 2), (2, 3), (4, 5)])
def test_a_forced_cluster_that_takes_nobody_costs_the_majority_nothing(
    minority: int, majority: int, how: str
) -> None:
    stage, near, far = cut_apart(minority, majority)
    before = view(far[0])
    lets_nobody_in(stage, near, how)
    assert not stage.until(lambda: not agree(far, majority), 100.0)
    assert all(stage.told(node, MergeFailed) for node in far)
    assert not any(stage.told(node, Evicted) for node in far)
    assert view(far[0]) is before
    begun = sum(node.stats["merges begun"] for node in far)
    assert begun <= 8 * majority, "tries that fail become rare"
    stage.script = lambda source, to, message: message
    assert stage.until(lambda: agree(near + far, minority + majority), 300.0)


def test_all_of_the_majority_try_as_soon_as_one_of_it_is_told() -> None:
    stage, _, far = cut_apart(2, 5)
    assert stage.until(lambda: any(node.joining_id for node in far), 60.0)
    assert stage.until(lambda: all(node.joining_id for node in far), 0.01)


def test_one_that_is_told_by_another_of_its_cluster_tells_nobody_again() -> None:
    stage, near, far = cut_apart(2, 5)
    told: Counter[Endpoint] = Counter()

    def watch(source: Endpoint, to: Endpoint, message: Message) -> bool:
        if isinstance(message, Refounded) and source in {node.member.endpoint for node in far}:
            told[source] += 1
        return True

    stage.keep = watch
    assert stage.until(lambda: agree(near + far, 7), 60.0)
    assert sum(told.values()) < 2 * len(far), "though each of the five could tell four"


def test_the_old_cluster_agrees_on_each_departure_and_keeps_its_quorum() -> None:
    """One of them cannot reach the forced cluster, and is left: it is a cluster of one, with a quorum."""
    stage, near, far = cut_apart(2, 4)
    alone = far[-1].member.endpoint
    stage.keep = lambda source, to, message: not (
        {source, to} & {node.member.endpoint for node in near} and alone in (source, to)
    )
    assert stage.until(lambda: agree(near + far[:-1], 5), 60.0)
    assert stage.until(lambda: view(far[-1]).size == 1, 1.0)
    assert not stage.told(far[-1], QuorumLost)
    assert all(removal.left for event in stage.events[alone] if isinstance(event, Installed) and event.cut
               for removal in event.cut.removed if event.configuration.size < 4)  # fmt: skip


def test_members_that_a_forced_cluster_has_lost_its_quorum_with_go_back() -> None:
    """Half of it are those that came over, and the others of it are gone then."""
    stage, near, far = cut_apart(2, 5)
    over = far[:2]
    others = {node.member.endpoint for node in far[2:]}
    forced = {node.member.endpoint for node in near}
    stage.keep = lambda source, to, message: not ({source, to} & forced and {source, to} & others)
    assert stage.until(lambda: agree(near + over, 4), 60.0)
    stage.crash(*near)
    stage.keep = lambda source, to, message: True
    assert stage.until(lambda: all(stage.told(node, QuorumLost) for node in over), 60.0)
    assert stage.until(lambda: agree(far, 5), 90.0), [node.configuration for node in far]
    assert not any(stage.told(node, Evicted) for node in far)
    assert all(stage.told(node, QuorumRestored) for node in over)


def test_a_forced_cluster_that_has_lost_its_quorum_goes_to_the_replaced_one_that_has_one() -> None:
    stage, near, far = cut_apart(3, 4)
    stage.blocked = {(a.member.endpoint, b.member.endpoint) for a in near for b in far}
    stage.blocked |= {(b, a) for a, b in stage.blocked}
    stage.run(20.0)
    stage.crash(*near[1:])
    assert stage.until(lambda: stage.told(near[0], QuorumLost), 60.0)
    stage.blocked.clear()
    assert stage.until(lambda: agree([near[0], *far], 5), 90.0)
    assert view(near[0]).cluster_id == view(far[0]).cluster_id
    assert not near[0].replaced(view(far[0]).cluster_id)
    stage.run(120.0)
    assert agree([near[0], *far], 5)


def test_one_that_leaves_while_it_is_told_just_leaves() -> None:
    stage, near, far = cut_apart(2, 3)
    assert stage.until(lambda: far[2].joining_id is not None, 60.0)
    far[2].leave(stage.now)
    stage.settle(far[2])
    assert stage.until(lambda: Left(agreed=True) in stage.events[far[2].member.endpoint], 10.0)
    assert stage.until(lambda: agree(near + far[:2], 4), 30.0)


def test_one_that_leaves_while_its_old_cluster_lets_it_go_leaves_the_new_one() -> None:
    stage, near, far = cut_apart(2, 3)
    crossing = lambda: far[2]._merging is not None and far[2]._merging.arrival is not None  # noqa: E731 - a condition
    assert stage.until(crossing, 60.0)
    far[2].leave(stage.now)
    stage.settle(far[2])
    assert stage.until(lambda: stage.told(far[2], Left), 10.0)
    assert stage.until(lambda: agree(near + far[:2], 4), 10.0), "and no ghost of it is there"


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("size", [4, 6, 10])
def test_half_and_half_become_one_whoever_is_forced(size: int, seed: int) -> None:
    """The other half has no quorum either, so it is not long in two minds."""
    world = World(seed)
    members = world.add_members(size)
    world.start()
    world.expect_agreement(60.0)
    halves = members[: size // 2], members[size // 2 :]
    world.partition(halves)
    world.run(3.0 * seed)
    for half in halves[: 1 + seed % 2]:
        world.force_new_cluster(half[0])
    world.run(5.0)
    world.heal()
    world.expect_agreement(90.0)
    assert not any(isinstance(event, Evicted) for life in world.live for _, event in life.events)


@pytest.mark.parametrize("loss", [0.1, 0.3])
@pytest.mark.parametrize("seed", range(3))
def test_the_majority_moves_under_loss(seed: int, loss: float) -> None:
    forced = Forced(3, 6, seed)
    forced.world.heal()
    forced.world.link(ANY, ANY, Link(loss=loss))
    forced.world.run(30.0)
    forced.world.heal()
    forced.world.expect_agreement(120.0)


# -- what a planted bug would do


def evicted_at_once(plant: pytest.MonkeyPatch) -> None:
    """As if there were nothing to try: whoever is told leaves its cluster."""

    def follow(node: Node, word: Refounded, mine: Configuration) -> None:
        node._succession.followed(mine, word, node._now)
        node._install(word.configuration, None)

    plant.setattr(Node, "_follow_word", follow)


def kept_to_itself(plant: pytest.MonkeyPatch) -> None:
    plant.setattr("rapid.protocol.node.passed_on_to", lambda word, mine: [])


def goes_without_leave(plant: pytest.MonkeyPatch) -> None:
    plant.setattr(Merging, "take_leave", lambda merging, mine, quorum_lost, now: True)


def never_back(plant: pytest.MonkeyPatch) -> None:
    plant.setattr(Node, "_set_out_back", lambda node, peer, theirs: False)


@pytest.mark.parametrize(
    ("bug", "check"),
    [
        (
            evicted_at_once,
            lambda: test_a_forced_cluster_that_takes_nobody_costs_the_majority_nothing(2, 3, "refuses"),
        ),
        (kept_to_itself, test_all_of_the_majority_try_as_soon_as_one_of_it_is_told),
        (goes_without_leave, test_the_old_cluster_agrees_on_each_departure_and_keeps_its_quorum),
        (never_back, test_members_that_a_forced_cluster_has_lost_its_quorum_with_go_back),
    ],
)
def test_a_planted_bug_is_found(
    bug: Callable[[pytest.MonkeyPatch], None], check: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each check is one of the tests above, which pass without it."""
    bug(monkeypatch)
    with pytest.raises(AssertionError):
        check()
