"""All interleavings of small agreements, and proof that the search sees planted bugs."""

from __future__ import annotations

import pytest

from rapid.consensus.instance import Instance
from rapid.overlay.cut import CutDigest

from . import mutants
from .exhaustive import A, B, Search

VALUES = {"a": (A,), "b": (B,), "*": (A, B)}


def proposals(pattern: str) -> tuple[tuple[CutDigest, ...], ...]:
    return tuple(VALUES[letter] for letter in pattern)


@pytest.mark.parametrize(
    ("pattern", "rounds"),
    [
        ("abb", (2, 3)),
        ("bab", (2, 3)),
        ("*bab", (2,)),
        ("aabb", (2, 3)),
        ("abbb", (2, 3)),
        ("aabbb", (2,)),
        ("abbbb", (2,)),
    ],
)
def test_no_interleaving_chooses_two_values(pattern: str, rounds: tuple[int, ...]) -> None:
    outcome = Search(len(pattern), rounds, proposals(pattern)).run()
    assert outcome.split is None, "\n".join(outcome.split or ())
    assert outcome.chosen == {A, B}, "each value is chosen on some path: the search went somewhere"


@pytest.mark.parametrize(
    ("mutant", "pattern", "rounds"),
    [
        (mutants.LateFastVote, "abbbb", (2,)),
        (mutants.PromiseCountedTwice, "abbbb", (2,)),
        (mutants.FastQuorumOneShort, "aabbb", (2,)),
        (mutants.ClassicQuorumOneShort, "abb", (2, 3)),
        (mutants.VoteIgnoresPromise, "aabb", (2, 3)),
        (mutants.PickIgnoresVotes, "abbbb", (2,)),
        (mutants.PickIgnoresCount, "abbbb", (2,)),
        (mutants.PickIgnoresVrank, "bab", (2, 3)),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else None,
)
def test_planted_bug_is_found(mutant: type[Instance], pattern: str, rounds: tuple[int, ...]) -> None:
    outcome = Search(len(pattern), rounds, proposals(pattern), mutant).run()
    assert outcome.split is not None, f"{mutant.__name__} survived {outcome.states} states"
