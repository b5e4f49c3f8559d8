"""All interleavings of small agreements, and proof that the search sees planted bugs."""

from __future__ import annotations

import pytest

from rapid.consensus.facts import Rank
from rapid.consensus.instance import Instance

from . import mutants
from .acts import A, B, in_turn, proposals
from .exhaustive import Outcome, Search
from .rules import AGREEMENT, RULES, Fault


def search(
    pattern: str,
    ranks: tuple[Rank, ...],
    make: type[Instance] = Instance,
    watch: frozenset[Fault] = RULES,
) -> Outcome:
    return Search(len(pattern), ranks, proposals(pattern), make, watch).run()


def name(value: object) -> str | None:
    if isinstance(value, tuple):
        return ",".join(f"{rank.round}.{rank.coordinator}" for rank in value)
    return value.__name__ if isinstance(value, type) else None


verify = pytest.mark.verify
TWICE = (Rank(2, 0), Rank(3, 0))


@pytest.mark.parametrize(
    ("pattern", "ranks"),
    [
        ("abb", in_turn(2, 3)),
        ("bab", in_turn(2, 3)),
        ("*bb", in_turn(2, 2)),
        ("***", TWICE),
        ("****", in_turn(2)),
        ("abbb", in_turn(2, 3)),
        ("*****", in_turn(2)),
        pytest.param("***", in_turn(2, 3), marks=verify),
        pytest.param("abbb", TWICE, marks=verify),
        pytest.param("aabb", in_turn(2, 3), marks=verify),
        pytest.param("****", in_turn(2, 3), marks=verify),
        pytest.param("abbbb", in_turn(2, 3), marks=verify),
        pytest.param("aabbb", in_turn(2, 3), marks=verify),
        pytest.param("a****", in_turn(2, 3), marks=verify),
        pytest.param("*****", in_turn(2, 3), marks=verify),
        pytest.param("abb", in_turn(2, 3, 4), marks=verify),
        pytest.param("***", in_turn(2, 3, 4), marks=verify),
        pytest.param("***", (*TWICE, Rank(4, 0)), marks=verify),
        pytest.param("abbb", in_turn(2, 3, 4), marks=verify),
    ],
    ids=name,
)
def test_no_interleaving_breaks_a_rule(pattern: str, ranks: tuple[Rank, ...]) -> None:
    outcome = search(pattern, ranks)
    assert outcome.fault is None, f"{outcome.fault}:\n" + "\n".join(outcome.path)
    assert outcome.chosen == {A, B}, "each value is chosen on some path: the search went somewhere"


@pytest.mark.parametrize("pattern", ["abb", "aabb", "abbbb"])
def test_canary(pattern: str) -> None:
    """That nothing is ever chosen is false, and the search must say so."""
    outcome = search(pattern, in_turn(2), watch=frozenset({Fault.CHOSEN}))
    assert outcome.fault is Fault.CHOSEN
    assert outcome.path


# Each in the smallest case that shows it: two values are chosen in the end.
SPLITS: list[tuple[type[Instance], str, tuple[Rank, ...]]] = [
    (mutants.LateFastVote, "abbbb", in_turn(2)),
    (mutants.PromiseCountedTwice, "*abbb", in_turn(2)),
    (mutants.FastQuorumOneShort, "abb", in_turn(2)),
    (mutants.FastQuorumOneShort, "aabbb", in_turn(2)),
    (mutants.ClassicQuorumOneShort, "abb", in_turn(2, 3)),
    (mutants.VotesOfAllRanksCount, "abb", in_turn(2)),
    (mutants.VoteIgnoresPromise, "abb", in_turn(2, 3)),
    (mutants.PromisesLower, "abb", in_turn(2, 3)),
    (mutants.PromiseHidesVote, "abbbb", in_turn(2)),
    (mutants.PicksOneShort, "abb", in_turn(2, 3)),
    (mutants.PickIgnoresVotes, "abbbb", in_turn(2)),
    (mutants.PickIgnoresCount, "abbbb", in_turn(2)),
    (mutants.PickIgnoresVrank, "bab", in_turn(2, 3)),
]


@pytest.mark.parametrize(("mutant", "pattern", "ranks"), SPLITS, ids=name)
def test_planted_bug_splits(mutant: type[Instance], pattern: str, ranks: tuple[Rank, ...]) -> None:
    outcome = search(pattern, ranks, mutant, AGREEMENT)
    assert outcome.fault is Fault.TWO_CHOSEN, f"{mutant.__name__} survived {outcome.states} states"


@verify
@pytest.mark.parametrize("mutant", dict.fromkeys(mutant for mutant, _, _ in SPLITS), ids=name)
def test_five_members_and_two_rounds_show_every_planted_bug(mutant: type[Instance]) -> None:
    outcome = search("abbbb", in_turn(2, 3), mutant, AGREEMENT)
    assert outcome.fault is Fault.TWO_CHOSEN, f"{mutant.__name__} survived {outcome.states} states"


@pytest.mark.parametrize(
    ("mutant", "fault"),
    [
        (mutants.LateFastVote, Fault.VOTED_BELOW_PROMISE),
        (mutants.VoteIgnoresPromise, Fault.VOTED_BELOW_PROMISE),
        (mutants.VotesAgain, Fault.VOTED_TWICE),
        (mutants.VoteIsNoPromise, Fault.PROMISED_LOWER),
        (mutants.PromisesLower, Fault.PROMISED_LOWER),
        (mutants.PromiseHidesVote, Fault.PROMISE_HIDES_VOTE),
        (mutants.PicksTwice, Fault.PICKED_TWICE),
        (mutants.PicksUnproposed, Fault.NOT_PROPOSED),
    ],
    ids=name,
)
def test_planted_bug_breaks_a_rule(mutant: type[Instance], fault: Fault) -> None:
    outcome = search("abb", in_turn(2, 3), mutant, frozenset({fault}))
    assert outcome.fault is fault, f"{mutant.__name__} survived {outcome.states} states"


@pytest.mark.parametrize(
    ("mutant", "pattern", "ranks"),
    [
        (mutants.FastQuorumOneShort, "aabb", in_turn(2)),
        (mutants.FastQuorumOneShort, "****", in_turn(2)),
        pytest.param(mutants.FastQuorumOneShort, "****", in_turn(2, 3), marks=verify),
        pytest.param(mutants.PromiseCountedTwice, "****", in_turn(2, 3), marks=verify),
        pytest.param(mutants.ClassicQuorumOneShort, "****", in_turn(2, 3), marks=verify),
    ],
    ids=name,
)
def test_four_members_do_not_show_every_bug(
    mutant: type[Instance], pattern: str, ranks: tuple[Rank, ...]
) -> None:
    """Why five are searched as well. With four (or 8, or 12) a fast quorum one short is still enough:

    two such quorums, of 3, and a classic one, of 3, meet in a member, since 3 + 3 + 3 > 2 * 4; so
    among any 3 promises the value chosen has more votes than any other, and is picked.
    """
    outcome = search(pattern, ranks, mutant)
    assert outcome.fault is None
