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


@pytest.mark.parametrize(
    ("pattern", "ranks"),
    [
        ("abb", in_turn(2, 3)),
        ("bab", in_turn(2, 3)),
        ("*bb", in_turn(2, 2)),
        ("***", (Rank(2, 0), Rank(3, 0))),
        ("***", (Rank(2, 0), Rank(3, 0), Rank(4, 0))),
        ("****", in_turn(2)),
        ("abbb", (Rank(2, 0), Rank(3, 0))),
        ("abbb", in_turn(2, 3)),
        ("abbbb", in_turn(2)),
        ("aabbb", in_turn(2)),
        ("*****", in_turn(2)),
        pytest.param("***", in_turn(2, 3), marks=verify),
        pytest.param("aabb", in_turn(2, 3), marks=verify),
        pytest.param("****", in_turn(2, 3), marks=verify),
        pytest.param("abbbb", in_turn(2, 3), marks=verify),
        pytest.param("aabbb", in_turn(2, 3), marks=verify),
        pytest.param("a****", in_turn(2, 3), marks=verify),
        pytest.param("*****", in_turn(2, 3), marks=verify),
        pytest.param("abb", in_turn(2, 3, 4), marks=verify),
        pytest.param("***", in_turn(2, 3, 4), marks=verify),
        pytest.param("abbb", in_turn(2, 3, 4), marks=verify),
    ],
    ids=name,
)
def test_no_interleaving_breaks_a_rule(pattern: str, ranks: tuple[Rank, ...]) -> None:
    outcome = search(pattern, ranks)
    assert outcome.fault is None, f"{outcome.fault}:\n" + "\n".join(outcome.path)
    assert outcome.chosen == {A, B}, "each value is chosen on some path: the search went somewhere"


@pytest.mark.parametrize(("pattern", "ranks"), [("abb", ()), ("abb", in_turn(2, 3)), ("abbbb", in_turn(2))], ids=name)
def test_canary(pattern: str, ranks: tuple[Rank, ...]) -> None:
    """That nothing is ever chosen is false, and the search must say so."""
    outcome = search(pattern, ranks, watch=frozenset({Fault.CHOSEN}))
    assert outcome.fault is Fault.CHOSEN
    assert outcome.path
