"""What the exhaustive search leaves out makes no difference: it finds what the plain one finds."""

from __future__ import annotations

from itertools import product

import pytest

from rapid.consensus.facts import FAST, NO_RANK, Promise, Rank, Vote
from rapid.consensus.instance import Instance

from . import mutants
from .acts import A, B, clone, essence, full_state, in_turn, proposals
from .exhaustive import Search
from .plain import PlainSearch
from .rules import AGREEMENT, RULES, Fault, VoteCast, bound_by

Trace = tuple[Rank, tuple[VoteCast, ...], tuple[VoteCast, ...]]
"""What one member can no longer do, its votes and its picks."""

ONE = in_turn(2)
TWO = in_turn(2, 3)
TWICE = (Rank(2, 0), Rank(3, 0))
MUTANTS = [
    make
    for make in vars(mutants).values()
    if isinstance(make, type) and issubclass(make, Instance) and make not in (Instance, mutants.OtherPick)
]
verify = pytest.mark.verify


def name(value: object) -> str | None:
    if isinstance(value, tuple):
        return ",".join(f"{rank.round}.{rank.coordinator}" for rank in value)
    return value.__name__ if isinstance(value, type) else None


def traces_of(search: Search) -> set[tuple[Trace, ...]]:
    traces: list[Trace] = []
    for number in range(len(search.locals)):
        local = search.locals[number]
        traces.append((local.bound, tuple(sorted(local.votes)), tuple(sorted(local.picks))))
    return {sort_alike([traces[number] for number in state], search) for state in search.parents}


def plain_traces_of(plain: PlainSearch, search: Search) -> set[tuple[Trace, ...]]:
    traces: dict[object, Trace] = {
        member: (bound_by(member.said), tuple(sorted(member.votes)), tuple(sorted(member.picks)))
        for member in plain.members
    }
    return {sort_alike([traces[member] for member in state], search) for state in plain.states}


def sort_alike(traces: list[Trace], search: Search) -> tuple[Trace, ...]:
    for members in search.locals.roles:
        for member, trace in zip(members, sorted(traces[member] for member in members), strict=True):
            traces[member] = trace
    return tuple(traces)


@pytest.mark.parametrize(
    ("pattern", "ranks"),
    [
        ("*b", TWO),
        ("abb", ONE),
        ("***", ONE),
        ("baa", ()),
        pytest.param("abbb", ONE, marks=verify),
        pytest.param("b**b", ONE, marks=verify),
        pytest.param("abb", TWO, marks=verify),
        pytest.param("bab", TWO, marks=verify),
        pytest.param("abb", TWICE, marks=verify),
    ],
    ids=name,
)
def test_members_can_say_the_same(pattern: str, ranks: tuple[Rank, ...]) -> None:
    """Each state of votes, bounds and picks that the plain search reaches, and no other."""
    search = Search(len(pattern), ranks, proposals(pattern))
    plain = PlainSearch(len(pattern), ranks, proposals(pattern))
    found, expected = search.run(), plain.run()
    assert (found.fault, expected.fault) == (None, None)
    assert found.chosen == expected.chosen
    assert traces_of(search) == plain_traces_of(plain, search)


@pytest.mark.parametrize(
    ("pattern", "ranks"),
    [
        ("abbbb", ONE),
        pytest.param("*****", ONE, marks=verify),
        pytest.param("abbb", TWO, marks=verify),
    ],
    ids=name,
)
def test_members_are_alike(pattern: str, ranks: tuple[Rank, ...]) -> None:
    """Keeping the states of interchangeable members sorted loses none of these states."""
    kept = Search(len(pattern), ranks, proposals(pattern))
    unsorted = Search(len(pattern), ranks, proposals(pattern), alike=False)
    found, expected = kept.run(), unsorted.run()
    assert found.states < expected.states
    assert (found.fault, found.chosen) == (expected.fault, expected.chosen)
    assert traces_of(kept) == {sort_alike(list(traces), kept) for traces in traces_of(unsorted)}


@pytest.mark.parametrize(
    ("pattern", "ranks", "watch"),
    [
        pytest.param("*b", TWO, RULES, id="two members, all rules"),
        pytest.param("abb", ONE, RULES, id="three members, all rules"),
        pytest.param("abb", TWO, AGREEMENT, marks=verify, id="three members, two rounds, agreement"),
    ],
)
@pytest.mark.parametrize("mutant", MUTANTS, ids=name)
def test_same_verdict_on_planted_bugs(
    mutant: type[Instance], pattern: str, ranks: tuple[Rank, ...], watch: frozenset[Fault]
) -> None:
    found = Search(len(pattern), ranks, proposals(pattern), mutant, watch).run()
    expected = PlainSearch(len(pattern), ranks, proposals(pattern), mutant, watch).run()
    if mutant is mutants.PicksTwice and watch == AGREEMENT:
        # promises for a rank are dropped once it is picked for; that it picks again is the fault reported
        assert (found.fault, expected.fault) == (None, Fault.TWO_CHOSEN)
        return
    assert (found.fault is None) == (expected.fault is None)
    if found.fault is None:
        assert found.chosen == expected.chosen


@pytest.mark.parametrize(("pattern", "ranks"), [("*b", TWO), ("abb", ONE)], ids=name)
def test_what_is_not_delivered_has_no_effect(pattern: str, ranks: tuple[Rank, ...]) -> None:
    """Votes, and promises to whom does not coordinate their rank, in each local state that is reached."""
    plain = PlainSearch(len(pattern), ranks, proposals(pattern))
    plain.run()
    assert plain.members
    for member in plain.members:
        instance = clone(member.instance)
        everyone = (1 << instance.n) - 1
        for rank, digest in product((FAST, *ranks), (A, B)):
            instance.add_vote(Vote(rank, digest, everyone))
        assert full_state(instance) == full_state(member.instance)
        for rank in ranks:
            if rank.coordinator != instance.me:
                instance.add_promise(Promise(rank, NO_RANK, None, everyone))
        assert essence(instance) == essence(member.instance)
        assert instance.said == []


def test_every_attribute_of_an_instance_is_judged() -> None:
    """A new one belongs into ``full_state`` and ``essence``, or here with those that no act depends on."""
    compared = {"promised", "voted", "preferred", "promises", "prepares", "accepts", "_bodies", "_picked"}
    constant = {"n", "me", "_bit"}
    without_effect = {"said", "votes", "decided", "decided_rank", "conflicts"}
    assert {*Instance.__slots__} == compared | constant | without_effect
    assert not any(mutant.__slots__ for mutant in MUTANTS), "clone() copies what an instance has"
