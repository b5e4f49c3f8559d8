"""Random worlds: a few seeds every day, and the command that runs many."""

from __future__ import annotations

import argparse
from collections import Counter

import pytest

from rapid.cli import simulate
from rapid.simulation.swarm import PATHS, Swarm
from rapid.simulation.worlds import OCCURRENCES, never_occurred, run_seed


def parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    simulate.configure(parser)
    return parser.parse_args(arguments)


@pytest.mark.parametrize("seed", range(40))
def test_a_seed_keeps_every_promise(seed: int) -> None:
    assert Swarm(seed).run().problem is None


@pytest.mark.parametrize("seed", [9, 41, 58, 116, 130, 157, 177, 187, 222, 280, 384, 840, 980, 6206, 53234])
def test_seeds_that_broke_a_promise(seed: int) -> None:
    assert Swarm(seed).run().problem is None


def test_a_seed_runs_the_same_again() -> None:
    assert run_seed(7).hash == run_seed(7).hash


def test_the_command_prints_what_occurred(capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate.run(parsed("--seeds", "10-13", "--jobs", "2")) == 0
    printed = capsys.readouterr().out
    assert "4 seeds, every promise held" in printed
    assert "fast decisions" in printed


def test_the_command_fails_when_something_never_occurred() -> None:
    assert simulate.run(parsed("--seeds", "10", "--coverage", "1")) == 1


def test_the_command_stops_at_a_violation_and_says_how_to_see_it_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert simulate.run(parsed("--seeds", "3-9", "--canary")) == 1
    printed = capsys.readouterr().out
    assert "rapid simulate --seeds 3 --canary" in printed
    assert "Installed v2" in printed


@pytest.mark.parametrize("text", ["", "x", "5-", "9-3", "-1", "1.5"])
def test_bad_seeds_are_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        parsed(f"--seeds={text}")
    assert refused.value.code == 2
    assert "--seeds" in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--seeds", "3"], ["--for", "9"], ["--coverage", "5"], ["--canary"]])
def test_a_study_refuses_the_options_of_random_worlds(
    option: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert simulate.run(parsed(*option, "conflicts")) == 2
    assert f"conflicts: {option[0]} is for random worlds" in capsys.readouterr().err


def test_what_never_occurred_is_named() -> None:
    assert never_occurred(Counter(), Counter()) == [*OCCURRENCES, *PATHS]
    assert never_occurred(Counter(PATHS), Counter(list(OCCURRENCES))) == []
