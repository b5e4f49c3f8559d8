"""Clusters of two, three and four, where the fast round bears no failure at all."""

from __future__ import annotations

import pytest

from rapid.protocol.outputs import JoinFailed, QuorumLost
from rapid.simulation.scenarios import formed, version

MANY = 12
SEEDS = range(1, 5)


def seconds_to_agree(size: int, seed: int, silent: bool) -> float:
    world = formed(size, seed)
    before = version(world)
    world.crash(f"m{size - 1}:7400", silent=silent)
    took = world.expect_agreement(30.0)
    assert version(world) == before + 1
    return took


@pytest.mark.parametrize("silent", [False, True])
def test_a_crash_is_agreed_on_as_fast_as_by_many(silent: bool) -> None:
    """The fast round cannot win, so nobody waits for it: detection takes all the time there is."""
    slowest = {size: max(seconds_to_agree(size, seed, silent) for seed in SEEDS) for size in (3, 4, MANY)}
    assert slowest[3] <= slowest[MANY] + 0.2
    assert slowest[4] <= slowest[MANY] + 0.2


@pytest.mark.parametrize(("size", "crashed"), [(2, 1), (4, 2)])
def test_without_a_majority_the_rest_say_so_and_stay(size: int, crashed: int) -> None:
    world = formed(size, 1)
    before = world.live[0].configuration
    world.crash([f"m{number}:7400" for number in range(size - crashed, size)])
    world.run(30.0)
    for life in world.live:
        assert any(isinstance(event, QuorumLost) for _, event in life.events)
        assert life.configuration == before


def test_one_of_two_cannot_be_replaced() -> None:
    """A new process at the address has no vote: somebody has to force a new cluster."""
    world = formed(2, 1)
    world.restart("m1:7400", after=0.1)
    world.run(40.0)
    assert any(isinstance(event, JoinFailed) for _, event in world.lives_of("m1:7400")[1].events)
    world.force_new_cluster("m0:7400")
    world.run(3.0)
    world.restart("m1:7400")
    assert world.expect_agreement(10.0) < 2.0


@pytest.mark.parametrize("size", [3, 4])
def test_one_after_the_other_until_two_are_left(size: int) -> None:
    world = formed(size, 1)
    for number in range(size - 1, 1, -1):
        world.crash(f"m{number}:7400")
        world.expect_agreement(10.0)


@pytest.mark.parametrize("size", [2, 3, 4])
def test_a_restart_is_seen_through(size: int) -> None:
    world = formed(size + 1, 1)
    world.restart("m1:7400")
    assert world.expect_agreement(10.0) < 2.0
