"""Faults that are over do not add up with later ones; what one of several observers says is not enough."""

from __future__ import annotations

import pytest

from rapid.overlay.member import Endpoint
from rapid.protocol.epoch import Epoch
from rapid.settings import Settings
from rapid.simulation import World

SIZE = 20
LATER = 200.0
"""Virtual seconds after which the report of a fault that is over has been withdrawn at ``lan``."""


def stable_cluster(size: int, seed: int, settings: Settings | None = None) -> tuple[World, list[Endpoint]]:
    world = World(seed, settings or Settings.lan())
    members = world.add_members(size, seeds=["m0:7400", "m1:7400", "m2:7400"])
    world.start()
    world.expect_agreement(within=30.0)
    world.run(5.0)
    return world, members


def version(world: World, member: Endpoint) -> int:
    view = world.view_of(member)
    assert view is not None
    return view.version


def removals(world: World, witness: Endpoint) -> list[Endpoint]:
    """Whom the witness sees removed from now on."""
    gone: list[Endpoint] = []
    world.follow(
        witness, lambda change: gone.extend(r.endpoint for r in getattr(change, "removed", ()) if not r.left)
    )
    return gone


def lone_observers(world: World, member: Endpoint, subject: Endpoint, count: int) -> list[Endpoint]:
    """Observers of the subject that hold one ring each."""
    view = world.view_of(member)
    assert view is not None
    observers = view.observers(subject)
    found = [observer for observer in dict.fromkeys(observers) if observers.count(observer) == 1][:count]
    assert len(found) == count
    return found


@pytest.mark.parametrize(("seed", "both"), [(1, True), (2, False)])
def test_three_faults_that_do_not_overlap_remove_nobody(seed: int, both: bool) -> None:
    world, members = stable_cluster(SIZE, seed)
    subject, before = members[9], version(world, members[0])
    for observer in lone_observers(world, members[0], subject, 3):
        world.black_hole([observer], [subject], both=both)
        world.run(8.0)
        world.heal()
        world.run(LATER)
    assert version(world, members[0]) == before
    assert world.stats()["reports withdrawn"] >= 3, "else none of the faults was reported"


def test_three_faults_within_a_minute_do_add_up() -> None:
    """The counterpart: a member that loses one link after the other is removed."""
    world, members = stable_cluster(30, 1)
    subject, gone = members[9], removals(world, members[0])
    for observer in lone_observers(world, members[0], subject, 3):
        world.black_hole([observer], [subject])
        world.run(8.0)
    world.run(20.0)
    assert set(gone) == {subject}


def test_faults_without_withdrawal_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted bug: reports stand as long as their configuration."""
    monkeypatch.setattr(Epoch, "review", lambda epoch, healthy_since, now: None)
    monkeypatch.setattr(Epoch, "review_due", float("inf"))
    world, members = stable_cluster(SIZE, 1)
    subject, before = members[9], version(world, members[0])
    for observer in lone_observers(world, members[0], subject, 3):
        world.black_hole([observer], [subject])
        world.run(8.0)
        world.heal()
        world.run(LATER)
    assert version(world, members[0]) > before


def test_the_members_know_the_same_after_a_withdrawal() -> None:
    world, members = stable_cluster(8, 3)
    world.black_hole([members[1]], [members[2]])
    world.run(10.0)
    world.heal()
    world.run(120.0)
    assert world.stats()["reports withdrawn"] > 0
    digests = {life.node._epoch.gossip.digest for life in world.live if life.node._epoch is not None}
    assert len(digests) == 1


def test_a_fault_that_comes_back_is_reported_again() -> None:
    world, members = stable_cluster(16, 2)
    subject = members[9]
    first, *_ = lone_observers(world, members[0], subject, 1)
    for _ in range(2):
        world.black_hole([first], [subject])
        world.run(10.0)
        world.heal()
        world.run(LATER)
    assert world.stats()["reports withdrawn"] >= 2


@pytest.mark.parametrize("size", [3, 4, 5, 6, 7, 9, 12, 14])
@pytest.mark.parametrize("both", [True, False])
def test_a_member_with_two_bad_links_has_no_other_removed(size: int, both: bool) -> None:
    for seed in range(3):
        world = World(seed)
        members = world.add_members(size)
        world.start()
        world.expect_agreement(within=60.0)
        world.run(5.0)
        gone = [removals(world, witness) for witness in members]
        world.black_hole([members[0]], [members[1], members[-1]], both=both)
        world.run(60.0)
        assert {endpoint for seen in gone for endpoint in seen} <= {members[0]}
