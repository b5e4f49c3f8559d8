"""The coordinator's choice against Fast Paxos's rule as it is written, which looks at every quorum."""

from __future__ import annotations

from itertools import combinations, combinations_with_replacement
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapid.consensus.facts import FAST, NO_RANK, Rank
from rapid.consensus.instance import LastVote, pick_value
from rapid.consensus.quorum import classic_quorum, fast_quorum
from rapid.overlay.cut import CutDigest

from . import mutants

A = CutDigest(b"a" * 16)
B = CutDigest(b"b" * 16)
C = CutDigest(b"c" * 16)
NONE: LastVote = (NO_RANK, None)
EARLY, LATE = Rank(2, 3), Rank(3, 1)


def may_be_chosen(n: int, rank: Rank, digest: CutDigest, heard: tuple[LastVote, ...]) -> bool:
    """Some quorum of the rank may have voted so: all of its members that were heard of did.

    ``heard`` has the last votes of members 0 and up; those beyond it were not heard of.
    """
    size = fast_quorum(n) if rank == FAST else classic_quorum(n)
    return any(
        all(heard[member] == (rank, digest) for member in quorum if member < len(heard))
        for quorum in combinations(range(n), size)
    )


def allowed(n: int, heard: tuple[LastVote, ...]) -> set[CutDigest | None]:
    """What the rule allows a coordinator to pick; None stands for any value."""
    highest = max(vrank for vrank, _ in heard)
    values = {digest for vrank, digest in heard if vrank == highest and digest is not None}
    if not values:
        return {None}
    if len(values) == 1:
        return {*values}
    bound = {digest for digest in values if may_be_chosen(n, highest, digest, heard)}
    assert len(bound) < 2, "two values may be chosen: the quorums are too small"
    return {*(bound or values)}


def tally(heard: tuple[LastVote, ...]) -> dict[LastVote, int]:
    promises: dict[LastVote, int] = {}
    for member, last in enumerate(heard):
        promises[last] = promises.get(last, 0) | 1 << member
    return promises


def all_heard(n: int) -> list[tuple[LastVote, ...]]:
    """All that a majority or more of n members may have voted last, but for who voted what."""
    votes: list[LastVote] = [NONE, (FAST, A), (FAST, B), (FAST, C), (LATE, B)]
    return [
        heard
        for senders in range(classic_quorum(n), n + 1)
        for heard in combinations_with_replacement(votes, senders)
    ]


@st.composite
def rounds(draw: st.DrawFn) -> tuple[int, tuple[LastVote, ...]]:
    """As above, at random and in random order: one value a classic rank, any in the fast round."""
    n = draw(st.integers(1, 9))
    votes: list[LastVote] = [NONE, (FAST, A), (FAST, B), (FAST, C)]
    for rank in draw(st.sets(st.sampled_from([EARLY, LATE]))):
        votes.append((rank, draw(st.sampled_from([A, B, C]))))
    last = st.sampled_from(votes)
    return n, tuple(draw(st.lists(last, min_size=classic_quorum(n), max_size=n)))


@pytest.mark.parametrize("n", range(1, 10))
def test_picks_what_fast_paxos_allows(n: int) -> None:
    for heard in all_heard(n):
        assert pick_value(n, tally(heard)) in allowed(n, heard), heard


@given(rounds(), st.integers())
def test_picks_what_fast_paxos_allows_in_any_order(case: tuple[int, tuple[LastVote, ...]], seed: int) -> None:
    n, heard = case
    promises = list(tally(heard).items())
    picked = pick_value(n, dict(promises))
    assert picked in allowed(n, heard)
    Random(seed).shuffle(promises)
    assert pick_value(n, dict(promises)) == picked, "a coordinator's pick hangs on the order of promises"


@pytest.mark.parametrize(
    "mutant", [mutants.PickIgnoresVotes, mutants.PickIgnoresVrank, mutants.PickIgnoresCount]
)
def test_the_rule_forbids_what_planted_bugs_pick(mutant: type[mutants.OtherPick]) -> None:
    assert any(mutant(5, 0).choose(tally(heard)) not in allowed(5, heard) for heard in all_heard(5))
