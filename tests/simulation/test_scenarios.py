"""The paper's scenarios at sizes for every day; the paper's own sizes are marked ``verify``."""

from __future__ import annotations

import pytest

from rapid.simulation import ScenarioError, scenarios

verify = pytest.mark.verify
SEEDS = range(1, 4)
STEPS = ("vote", "prepare", "promise", "accept")


@pytest.mark.parametrize("n", [1, 2, 5, 200, 2000])
def test_bootstrap(n: int) -> None:
    world = scenarios.bootstrap(n)
    assert world.now < 30
    assert world.counts["distinct sizes"] <= 8


def test_bootstrap_of_processes_that_come_one_after_another() -> None:
    world = scenarios.bootstrap(60, over=3.0)
    assert world.agreed()


@verify
@pytest.mark.timeout(900)
def test_bootstrap_of_10000() -> None:
    scenarios.bootstrap(10_000)


@pytest.mark.parametrize("seed", SEEDS)
def test_10_of_100_crash_in_one_view_change(seed: int) -> None:
    scenarios.crash(100, seed, failed=10)


@verify
@pytest.mark.timeout(900)
def test_10_of_1000_crash_in_one_view_change() -> None:
    scenarios.crash(1000, failed=10)


@pytest.mark.parametrize("n", [5, 9, 20, 40])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_quarter_of_the_members_crash(n: int, seed: int) -> None:
    scenarios.quarter_crash(n, seed)


@verify
@pytest.mark.timeout(900)
def test_a_quarter_of_400_members_crash() -> None:
    scenarios.quarter_crash(400)


@pytest.mark.parametrize("n", [2, 4, 5, 10])
@pytest.mark.parametrize("seed", SEEDS)
def test_half_of_the_members_crash_and_the_rest_say_so(n: int, seed: int) -> None:
    scenarios.half_crash(n, seed)


def test_half_of_20_members_crash_and_the_rest_say_so() -> None:
    scenarios.half_crash(20, 1)


@pytest.mark.parametrize(
    "n", [10, 50, pytest.param(200, marks=[pytest.mark.verify, pytest.mark.timeout(300)])]
)
@pytest.mark.parametrize("part", [0.1, 0.4])
def test_a_minority_that_is_cut_off_says_so_in_time(n: int, part: float) -> None:
    scenarios.minority(n, part=part)


@pytest.mark.parametrize("n", [5, 10, 50])
@pytest.mark.parametrize("seed", SEEDS)
def test_who_hears_most_members_but_not_those_it_observes_has_not_lost_the_quorum(n: int, seed: int) -> None:
    scenarios.deaf_to_most(n, seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_80_percent_ingress_loss(seed: int) -> None:
    scenarios.ingress_loss(50, seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_80_percent_egress_loss(seed: int) -> None:
    scenarios.egress_loss(50, seed)


@pytest.mark.parametrize("seed", SEEDS)
def test_one_way_flip_flop(seed: int) -> None:
    scenarios.flip_flop(50, seed)


@verify
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("scenario", [scenarios.ingress_loss, scenarios.egress_loss, scenarios.flip_flop])
def test_1_percent_of_1000_are_bad(scenario: scenarios.Sized) -> None:
    scenario(1000)


@pytest.mark.parametrize("part", [0.1, 0.2, 0.3])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_rack_with_loss(seed: int, part: float) -> None:
    scenarios.rack_loss(30, seed, part=part)


def test_a_little_loss_everywhere() -> None:
    scenarios.light_loss(12, hours=0.25)


@verify
@pytest.mark.timeout(3600)
def test_a_little_loss_everywhere_for_a_day() -> None:
    scenarios.light_loss(12, hours=24.0)


@pytest.mark.parametrize("seed", SEEDS)
def test_one_bad_link_changes_nothing(seed: int) -> None:
    scenarios.one_bad_link(30, seed)


@pytest.mark.parametrize("observers", [4, 5, 6])
@pytest.mark.parametrize("seed", SEEDS)
def test_cut_off_from_some_observers(observers: int, seed: int) -> None:
    scenarios.partly_cut_off(50, seed, observers=observers)


@pytest.mark.parametrize("seconds", [1.5, 5.0, 10.0, 20.0])
@pytest.mark.parametrize("seed", SEEDS)
def test_pauses(seconds: float, seed: int) -> None:
    scenarios.pause(30, seed, seconds=seconds)


def test_a_storm_of_joiners() -> None:
    scenarios.join_storm(20, joiners=40)


@verify
@pytest.mark.timeout(1800)
def test_a_storm_of_200_joiners() -> None:
    scenarios.join_storm(50, joiners=200)


@pytest.mark.parametrize("gap", [0.0, 1.0, 5.0, 20.0, 60.0])
def test_a_rolling_restart(gap: float) -> None:
    scenarios.rolling_restart(8, gap=gap)


def test_hasty_restarts_of_30() -> None:
    scenarios.hasty_restarts(30, takes=0.4)


@pytest.mark.parametrize("sides", [(3, 2), (2, 2)])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("seed", range(1, 9))
def test_a_partition_at_each_step(sides: tuple[int, ...], step: str, seed: int) -> None:
    scenarios.partition(sides, seed, step=step)


@pytest.mark.parametrize("n", [7, 8, 9, 12])
@pytest.mark.parametrize("after", STEPS[1:])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_coordinator_crashes(n: int, after: str, seed: int) -> None:
    scenarios.coordinator_crash(n, seed, after=after)


def test_a_bad_parameter_is_refused() -> None:
    with pytest.raises(ScenarioError, match=r"^observers: "):
        scenarios.partly_cut_off(12, observers=99)
    with pytest.raises(ScenarioError, match=r"^step: "):
        scenarios.partition(step="never")
    with pytest.raises(ScenarioError, match=r"^n: "):
        scenarios.coordinator_crash(5)
