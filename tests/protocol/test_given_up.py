"""A joiner that gives up while it is let in leaves: no dead member stays behind until it is detected."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rapid.overlay.member import Endpoint, NodeId
from rapid.protocol.joining import Joining
from rapid.protocol.messages import Admitted, JoinReply, Leaving, Message, Probe, Snapshot, Standing
from rapid.protocol.outputs import Installed, JoinFailed, Left
from rapid.protocol.reception import Reception
from rapid.settings import Settings
from rapid.simulation import World

from .harness import agree, at, view
from .stage import Stage

BLIND = Settings.lan(probe_interval=3600.0, probe_timeout=0.6, probe_retry=3000.0)
"""Nobody finds out by itself that a member is gone."""


def joined_late(size: int, joiners: int, patience: float, seed: int = 1) -> tuple[World, list[Endpoint]]:
    """A cluster, and processes that want in and wait for so long only."""
    world = World(seed, BLIND)
    world.add_members(size)
    world.start()
    world.expect_agreement(60.0)
    hasty = Settings.lan(probe_interval=3600.0, probe_retry=3000.0, join_timeout=patience)
    late = [world.add(f"late{number}:7400", settings=hasty) for number in range(joiners)]
    world.start(late)
    return world, late


def gone(world: World, late: list[Endpoint]) -> bool:
    """Whether those that gave up have ended, and are in no view."""
    ended = all(not life.alive for one in late for life in world.lives_of(one) if life.ended_by is not None)
    return ended and world.agreed()


@pytest.mark.parametrize("joiners", [1, 5, 30])
@pytest.mark.parametrize("size", [1, 2, 5, 12, 40])
def test_whenever_it_gives_up_no_dead_member_is_left(size: int, joiners: int) -> None:
    late_for = 0
    for step in range(12):
        world, late = joined_late(size, joiners, 0.002 * 1.7**step)
        world.run(0.002 * 1.7**step)
        within = BLIND.leave_timeout + 1.0
        assert world.run_until(lambda: gone(world, late), within), world.standing()  # noqa: B023 - used at once
        late_for += sum(
            isinstance(event, JoinFailed) and event.leaving
            for one in late for life in world.lives_of(one) for _, event in life.events
        )  # fmt: skip
    assert late_for, "none of the deadlines fell into an admission"


class Unheard(Stage):
    """A cluster that lets a joiner in, which hears nothing of that before its deadline is over."""

    def __init__(self, size: int) -> None:
        super().__init__(settings=Settings.lan(probe_interval=3600.0, probe_retry=3000.0, join_timeout=1.0))
        self.members = self.form(size)
        self.deaf = True
        """The joiner hears no answers, but for the first."""
        self.keep = self._keep
        self.joiner = self.add(99, 0)
        assert self.until(lambda: agree(self.members, size + 1), 5.0)
        assert self.until(lambda: self.told(self.joiner, JoinFailed), 5.0)

    def _keep(self, source: Endpoint, to: Endpoint, message: Message) -> bool:
        welcome = isinstance(message, JoinReply) and message.standing is Standing.WELCOME
        answer = isinstance(message, Snapshot | Admitted | JoinReply)
        return not (self.deaf and to == at(99) and answer) or (welcome and not self.let_in)

    @property
    def let_in(self) -> bool:
        return any(at(99) in view(node) for node in self.members)


@pytest.mark.parametrize("size", [1, 2, 3, 8, 20, 40])
def test_one_that_was_let_in_without_learning_of_it_leaves_once_it_does(size: int) -> None:
    stage = Unheard(size)
    stage.deaf = False
    assert stage.until(lambda: agree(stage.members, size), 3.0)
    assert stage.told(stage.joiner, Installed), "it was a member for a moment"
    assert stage.until(lambda: Left(agreed=True) in stage.events[at(99)], 3.0)
    assert not stage.joiner.stats["rejected:snapshot nobody asked for"]


@pytest.mark.parametrize("size", [2, 3, 8])
def test_one_that_never_learns_of_it_is_removed_by_those_it_has_told(size: int) -> None:
    """At once, or where they are too few of its observers, after the others have looked."""
    stage = Unheard(size)
    assert stage.until(lambda: agree(stage.members, size), stage.settings.reinforcement_timeout + 1.0)
    assert stage.until(lambda: at(99) not in stage.nodes, stage.settings.leave_timeout + 0.1)


def test_one_that_is_observed_by_nobody_yet_ends_at_once() -> None:
    """All that it has asked say so."""
    stage = Stage(settings=Settings.lan(join_timeout=0.5))
    members = stage.form(8)
    stage.keep = lambda source, to, message: not (to == at(99) and isinstance(message, Probe))
    joiner = stage.add(99, 0)
    assert stage.until(lambda: stage.told(joiner, JoinFailed), 5.0)
    assert JoinFailed in map(type, stage.events[at(99)])
    assert stage.until(lambda: at(99) not in stage.nodes, 0.1)
    stage.run(10.0)
    assert agree(members, 8)
    assert not any(len(node._reception._admission) for node in members), "and nobody probes it any more"


def test_one_that_nobody_has_let_in_waits_no_longer_than_for_its_departure() -> None:
    stage = Stage(settings=Settings.lan(join_timeout=1.0))
    stage.form(4)
    stage.keep = lambda source, to, message: not (to == at(99) and isinstance(message, Snapshot | Probe))
    joiner = stage.add(99, 0)
    assert stage.until(lambda: stage.told(joiner, JoinFailed), 5.0)
    stage.blocked = {(at(number), at(99)) for number in range(4)}
    assert stage.until(lambda: at(99) not in stage.nodes, stage.settings.leave_timeout + 0.1)


def test_a_member_that_gives_up_another_cluster_says_so_there() -> None:
    """It has asked to be let in there, and goes on in its own."""
    stage = Stage(merge=True, settings=Settings.lan(join_timeout=1.0))
    near = stage.form(1)
    far = [stage.add(10), *(stage.add(10 + number, 10) for number in range(1, 4))]
    assert stage.until(lambda: agree(far, 4), 10.0)
    told: list[Leaving] = []

    def keep(source: Endpoint, to: Endpoint, message: Message) -> bool:
        told.extend([message] if isinstance(message, Leaving) and source == at(0) else [])
        return not isinstance(message, Snapshot | Admitted)

    stage.keep = keep
    near[0].receive(
        Probe(at(10), NodeId(bytes(16)), 1, view(far[0]).cluster_id, view(far[0]).version, 0, 4), stage.now
    )
    stage.settle(near[0])
    assert near[0].joining_id is not None
    gone = near[0].joining_id
    assert stage.until(lambda: near[0].joining_id is None, 5.0)
    assert gone in {leaving.node_id for leaving in told}
    assert stage.until(lambda: agree(far, 4), 5.0)
    assert view(near[0]).size == 1


# -- what a planted bug would do


def says_nothing(plant: pytest.MonkeyPatch) -> None:
    plant.setattr(Joining, "withdraw", lambda joining, now, waits=True: False)


def forgets_who_has_gone(plant: pytest.MonkeyPatch) -> None:
    plant.setattr(Reception, "withdrawn", lambda reception, leaving, token, now: None)


@pytest.mark.parametrize(
    ("bug", "check"),
    [
        (says_nothing, lambda: test_whenever_it_gives_up_no_dead_member_is_left(5, 1)),
        (says_nothing, lambda: test_one_that_was_let_in_without_learning_of_it_leaves_once_it_does(3)),
        (says_nothing, lambda: test_one_that_never_learns_of_it_is_removed_by_those_it_has_told(3)),
        (says_nothing, test_a_member_that_gives_up_another_cluster_says_so_there),
        (forgets_who_has_gone, test_one_that_is_observed_by_nobody_yet_ends_at_once),
    ],
)
def test_a_planted_bug_is_found(
    bug: Callable[[pytest.MonkeyPatch], None], check: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each check is one of the tests above, which pass without it."""
    bug(monkeypatch)
    with pytest.raises(AssertionError):
        check()
