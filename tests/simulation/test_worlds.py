"""Each kind of random world: that it runs, that it is replayed by its seed, and that its checks find bugs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter

import pytest

from rapid.simulation.forcing import Forcing
from rapid.simulation.intruder import Intruder
from rapid.simulation.left_behind import LeftBehind
from rapid.simulation.merging import Merging
from rapid.simulation.mistaken import Mistaken
from rapid.simulation.one_faulty import OldFaults, OneFaulty
from rapid.simulation.random_world import RandomWorld
from rapid.simulation.recycled import Recycled
from rapid.simulation.swarm import Reduced, Swarm
from rapid.simulation.worlds import TURNS, kind_of, run_seed

from . import world_mutants as mutants
from .mutants import Mutant

KINDS = [OneFaulty, OldFaults, Merging, Forcing, Mistaken, LeftBehind, Recycled, Intruder, Reduced]
BUDGET = 20
"""Worlds of a kind in which a planted bug must show."""

HOLD: list[tuple[type[RandomWorld], int]] = [
    (OneFaulty, 2), (OneFaulty, 3), (OldFaults, 11), (Merging, 5), (Merging, 10), (Forcing, 4), (Forcing, 6),
    (Mistaken, 0), (Mistaken, 1), (Mistaken, 2),
    (LeftBehind, 4), (LeftBehind, 10), (Recycled, 0), (Recycled, 1), (Reduced, 0), (Reduced, 2),
]  # fmt: skip
PLANTED: list[tuple[Mutant, type[RandomWorld], str, int]] = [
    (mutants.one_report_is_enough, OneFaulty, "stability: .* no fault in it", 0),
    (mutants.inferred_is_a_witness, OneFaulty, "stability: .* no fault in it", 10),
    (mutants.reports_are_never_withdrawn, OldFaults, "stability: .* no fault in it", 3),
    (mutants.merge_gives_up_first, Merging, "in no view, nobody can let it in", 4),
    (mutants.sizes_of_views_are_compared, Merging, "1 clusters with a quorum, 1 without one", 4),
    (mutants.seeds_are_looked_up_once, LeftBehind, "in no view, though it knows members of one", 0),
    (mutants.an_evicted_process_cannot_be_forced, LeftBehind, "force: .* in vain", 5),
    (mutants.those_left_out_are_not_told, Forcing, "liveness: .* its member", 8),
    (mutants.a_replaced_cluster_is_left_at_once, Mistaken, "mistake: .* is evicted", 0),
    (mutants.nobody_goes_back, Mistaken, "liveness: .* the majority", 0),
    (mutants.strangers_are_a_way_in, Recycled, "one service", 20),
    (mutants.answers_nobody_asked_for_count, Intruder, "I[236]", 0),
    (mutants.waits_in_silence, LeftBehind, "its application is told nothing", 3),
    (mutants.quorum_never_restored, Swarm, "never told that the quorum is restored", 2),
]
"""With a world that shows it at present: others are looked at only if that fails to."""


def test_every_kind_has_seeds_and_most_seeds_are_of_the_kind_that_suffers_everything() -> None:
    kinds = Counter(kind_of(seed) for seed in range(400))
    assert set(kinds) == {*KINDS, Swarm}
    assert kinds[Swarm] >= 200
    assert all(0 <= turn < 40 for turn in TURNS)


@pytest.mark.parametrize(("kind", "seed"), HOLD, ids=[f"{kind.__name__}-{seed}" for kind, seed in HOLD])
def test_a_world_keeps_every_promise(kind: type[RandomWorld], seed: int) -> None:
    assert kind(seed).run().problem is None


@pytest.mark.parametrize("kind", KINDS, ids=[kind.__name__ for kind in KINDS])
def test_a_world_is_replayed_by_its_seed_and_its_checks_run(kind: type[RandomWorld]) -> None:
    first, again = kind(5, canary=True).run(), kind(5, canary=True).run()
    assert first.problem is not None
    assert "canary" in first.problem
    assert (first.problem, first.trace, first.hash) == (again.problem, again.trace, again.hash)


def test_no_kind_depends_on_the_hash_seed() -> None:
    seeds = [4, 7, 9, 25, 32, 37, 39]
    program = f"from rapid.simulation.worlds import run_seed\nprint([run_seed(s).hash for s in {seeds}])"
    printed = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "PYTHONHASHSEED": "1"},
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert printed.strip() == str([run_seed(seed).hash for seed in seeds])


@pytest.mark.parametrize(("mutant", "kind", "by", "first"), PLANTED, ids=[row[0].__name__ for row in PLANTED])
def test_a_planted_bug_is_found_by_a_world_of_a_kind(
    mutant: Mutant, kind: type[RandomWorld], by: str, first: int
) -> None:
    for seed in (first, *range(BUDGET)):
        with pytest.MonkeyPatch.context() as plant:
            mutant(plant)
            problem = kind(seed).run().problem
        if problem is not None and re.search(by, problem) and kind(seed).run().problem is None:
            return
    raise AssertionError(f"{mutant.__name__} survived {BUDGET} worlds")
