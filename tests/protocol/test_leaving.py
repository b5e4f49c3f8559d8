"""Leaving on purpose, alone and together."""

from __future__ import annotations

from functools import partial

import pytest

from rapid.overlay.member import Endpoint
from rapid.protocol.outputs import Left
from rapid.settings import Settings
from rapid.simulation import World
from rapid.simulation.scenarios import formed, version

LAN = Settings.lan()


def leave(world: World, *numbers: int) -> None:
    world.leave([f"m{number}:7400" for number in numbers])


def until_gone(world: World, left: int, within: float) -> float:
    """Seconds until so many are left, and agree on that."""
    began = world.now
    assert world.run_until(lambda: len(world.live) == left and world.agreed(), within), world.standing()
    return world.now - began


def nobody(world: World) -> bool:
    return not world.live


def outcomes(world: World) -> list[Left]:
    """What the leavers were told."""
    lives = [life for place in world.places for life in place.lives]
    return [event for life in lives for _, event in life.events if isinstance(event, Left)]


def test_one_that_leaves_is_gone_within_a_second() -> None:
    world = formed(6, 1)
    leave(world, 3)
    assert until_gone(world, 5, 10.0) < 1.0
    assert outcomes(world) == [Left(agreed=True)]
    last = world.live[0].views[-1].cut
    assert last is not None
    (removal,) = last.removed
    assert removal.left


@pytest.mark.parametrize(("size", "going"), [(20, 8), (50, 24), (30, 25)])
def test_many_that_leave_at_once_go_in_few_views(size: int, going: int) -> None:
    world = formed(size, 1)
    before = version(world)
    leave(world, *range(size - going, size))
    assert until_gone(world, size - going, 30.0) < 3.0
    assert version(world) - before <= 2
    removed = [removal for seen in world.live[0].views if seen.cut for removal in seen.cut.removed]
    assert len(removed) == going
    assert all(removal.left for removal in removed)
    assert outcomes(world) == [Left(agreed=True)] * going


@pytest.mark.parametrize("size", [2, 3, 5, 12])
def test_all_but_one_leave(size: int) -> None:
    world = formed(size, 1)
    leave(world, *range(1, size))
    until_gone(world, 1, 10.0)
    (stays,) = world.live
    assert stays.configuration is not None
    assert stays.configuration.endpoints == (Endpoint("m0", 7400),)
    assert outcomes(world) == [Left(agreed=True)] * (size - 1)


def test_all_leave() -> None:
    for seed, size in ((1, 12), (3, 9), (14, 5), (31, 2)):
        world = formed(size, seed)
        leave(world, *range(size))
        assert world.run_until(partial(nobody, world), 3.0)
        assert outcomes(world) == [Left(agreed=True)] * size


def test_who_leaves_has_not_failed() -> None:
    for seed, size, going in ((8, 9, 6), (9, 16, 12), (2, 29, 28)):
        world = formed(size, seed)
        before = version(world)
        leave(world, *range(size - going, size))
        until_gone(world, size - going, 10.0)
        assert version(world) - before == 1
        cut = world.live[0].views[-1].cut
        assert cut is not None
        assert all(removal.left for removal in cut.removed)


def test_the_last_one_leaves_at_once() -> None:
    world = formed(1, 1)
    leave(world, 0)
    assert outcomes(world) == [Left(agreed=True)]


def test_who_cannot_be_heard_leaves_at_its_timeout() -> None:
    world = formed(5, 1)
    world.isolate("m3:7400")
    leave(world, 3)
    world.run(LAN.leave_timeout - 0.1)
    assert not outcomes(world)
    world.run(0.2)
    assert outcomes(world) == [Left(agreed=False)]
    world.expect_agreement(20.0)


def test_who_leaves_as_others_come_goes_though_its_epoch_ends() -> None:
    """Its word to the observers is said again in each new view."""
    world = formed(8, 1)
    world.start(world.add_members(12), over=1.0)
    for number in range(1, 5):
        world.after(0.2 * number, partial(leave, world, number))
    until_gone(world, 16, 20.0)
    assert outcomes(world) == [Left(agreed=True)] * 4


def test_who_leaves_before_it_is_in_is_not_let_in_for_good() -> None:
    world = formed(5, 1)
    joiner = world.add_members(1)
    world.start(joiner)
    world.leave(joiner)
    assert outcomes(world) == [Left(agreed=True)]
    world.run(10.0)
    world.expect_agreement(10.0)
    assert all(life.configuration is not None and life.configuration.size == 5 for life in world.live)


def test_a_second_word_changes_nothing() -> None:
    world = formed(5, 1)
    leave(world, 3)
    world.run(0.05)
    leave(world, 3)
    until_gone(world, 4, 10.0)
    world.run(5.0)
    assert outcomes(world) == [Left(agreed=True)]


def test_the_coordinator_of_the_next_round_may_leave_itself() -> None:
    world = formed(5, 1)
    first = world.live[0].configuration
    assert first is not None
    world.leave(list(first.endpoints[:2]))
    assert until_gone(world, 3, 10.0) < 2.0


@pytest.mark.parametrize("after", [0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.5, 0.8])
def test_who_leaves_at_any_moment_of_its_joining_is_not_taken_for_failed(after: float) -> None:
    """It may be let in by observers that it has asked: it waits for that, and leaves then."""
    world = formed(5, 1)
    joiner = world.add_members(1)
    world.start(joiner)
    world.run(after)
    world.leave(joiner)
    assert world.run_until(lambda: bool(outcomes(world)), LAN.leave_timeout)
    assert outcomes(world) == [Left(agreed=True)]
    # long enough to find out that it has failed, if it had
    world.run(15.0)
    world.expect_agreement(1.0)
    assert len(world.live) == 5
    cuts = [seen.cut for seen in world.live[0].views if seen.cut is not None]
    assert all(removal.left for cut in cuts for removal in cut.removed)


def test_who_leaves_while_it_joins_and_is_cut_off_goes_when_its_observers_had_their_time() -> None:
    world = formed(5, 1)
    (joiner,) = world.add_members(1)
    world.start([joiner])
    world.run(0.05)
    world.black_hole([f"m{number}:7400" for number in range(5)], [joiner])
    world.leave([joiner])
    assert not outcomes(world)
    assert world.run_until(lambda: bool(outcomes(world)), 3 * LAN.join_attempt)
