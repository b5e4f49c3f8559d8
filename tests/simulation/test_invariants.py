"""The checks find what they are there for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rapid.consensus.facts import FAST, NO_RANK, Promise, Rank, Vote
from rapid.consensus.instance import Instance
from rapid.overlay.configuration import Configuration
from rapid.overlay.cut import Cut, CutDigest, Removal
from rapid.overlay.member import Member, NodeId
from rapid.protocol.messages import Facts
from rapid.protocol.outputs import Installed
from rapid.simulation import InvariantViolation, Life, World, state_size
from rapid.simulation.worlds import run_seed

ONE, OTHER = CutDigest(b"1" * 16), CutDigest(b"2" * 16)


def cluster(n: int = 5) -> World:
    world = World(1)
    world.add_members(n)
    world.start()
    world.expect_agreement(30.0)
    return world


def speaker(world: World) -> tuple[Life, Configuration, int]:
    life = world.live[0]
    view = life.configuration
    assert view is not None
    index = view.index(life.place.endpoint)
    assert index is not None
    return life, view, 1 << index


def say(
    world: World,
    life: Life,
    view: Configuration,
    votes: tuple[Vote, ...] = (),
    promises: tuple[Promise, ...] = (),
) -> None:
    facts = Facts(life.place.endpoint, view.cluster_id, view.version, votes=votes, promises=promises)
    world.invariants.said(life, facts)


def test_the_canary_trips_and_its_report_replays() -> None:
    outcome = run_seed(5, canary=True)
    assert outcome.problem is not None
    assert "canary" in outcome.problem
    assert outcome.trace
    again = run_seed(5, canary=True)
    assert (again.problem, again.trace) == (outcome.problem, outcome.trace)


def test_two_votes_at_one_rank() -> None:
    world = cluster()
    life, view, bit = speaker(world)
    say(world, life, view, (Vote(FAST, ONE, bit),))
    with pytest.raises(InvariantViolation, match=r"I4.*votes twice"):
        say(world, life, view, (Vote(FAST, OTHER, bit),))


@pytest.mark.parametrize("vote_first", [False, True])
def test_a_vote_below_a_promise(vote_first: bool) -> None:
    world = cluster()
    life, view, bit = speaker(world)
    vote, promise = (Vote(FAST, ONE, bit),), (Promise(Rank(2, 1), NO_RANK, None, bit),)
    first, second = ((vote, ()), ((), promise)) if vote_first else (((), promise), (vote, ()))
    say(world, life, view, *first)
    with pytest.raises(InvariantViolation, match=r"I4.*though it promised"):
        say(world, life, view, *second)


def test_a_promise_that_hides_a_vote() -> None:
    world = cluster()
    life, view, bit = speaker(world)
    say(world, life, view, (Vote(FAST, ONE, bit),))
    with pytest.raises(InvariantViolation, match=r"I4.*never cast"):
        say(world, life, view, (), (Promise(Rank(2, 1), FAST, OTHER, bit),))


def test_a_vote_passed_on_that_its_voter_never_cast() -> None:
    world = cluster()
    life, view, bit = speaker(world)
    with pytest.raises(InvariantViolation, match=r"I4.*never said"):
        say(world, life, view, (Vote(FAST, ONE, 0b11111 & ~bit),))


def test_a_view_that_nobody_decided() -> None:
    world = cluster()
    life, view, _ = speaker(world)
    successor = view.apply(Cut.of(joined=[Member(world.add("x:1"), NodeId(b"x" * 16))]))
    with pytest.raises(InvariantViolation, match=r"I[36]"):
        world.invariants.installed(life, Installed(successor, Cut.of(), 0))


def test_a_view_with_other_contents() -> None:
    world = cluster()
    life, view, _ = speaker(world)
    members = [member for member in view.members if str(member.endpoint) != "m4:7400"]
    forged = Configuration.of(view.cluster_id, view.version, members, view.k)
    life.views.pop()
    with pytest.raises(InvariantViolation, match=r"I1"):
        world.invariants.installed(life, Installed(forged, None, 0))


def decided_by_the_removed(world: World) -> tuple[Life, Configuration, Cut]:
    """The member that the cut removes is the first to decide, so nobody has installed what follows."""
    life, view, _ = speaker(world)
    gone = view.member(world.places[4].endpoint)
    assert gone is not None
    cut = Cut.of([Removal(gone.endpoint, gone.node_id)])
    instance = Instance(view.size, 0)
    instance.decided_rank = FAST
    world.invariants._agreements[view.cluster_id, view.version].cast[FAST, cut.digest] = 0b11111
    world.invariants.deciding(world.live[4], instance, cut, view, cut)
    return life, view, cut


def test_a_whole_view_that_only_a_removed_member_decided() -> None:
    world = cluster()
    life, view, cut = decided_by_the_removed(world)
    world.invariants.installed(life, Installed(view.apply(cut), None, 0))


@pytest.mark.parametrize("left", [3, 5])
def test_a_whole_view_that_is_not_what_the_removed_member_decided(left: int) -> None:
    world = cluster()
    life, view, cut = decided_by_the_removed(world)
    forged = Configuration.of(view.cluster_id, view.version + 1, view.members[:left], view.k)
    assert forged.digest != view.apply(cut).digest
    with pytest.raises(InvariantViolation, match=r"I7.*is not version"):
        world.invariants.installed(life, Installed(forged, None, 0))


def test_a_whole_view_that_nobody_decided() -> None:
    world = cluster()
    life, view, _ = speaker(world)
    forged = Configuration.of(view.cluster_id, view.version + 1, view.members[:4], view.k)
    with pytest.raises(InvariantViolation, match=r"I6.*nobody decided"):
        world.invariants.installed(life, Installed(forged, None, 0))


def test_a_gap_in_the_chain() -> None:
    world = cluster()
    life, view, _ = speaker(world)
    later = Configuration.of(view.cluster_id, view.version + 2, view.members, view.k)
    with pytest.raises(InvariantViolation, match=r"I2"):
        world.invariants.installed(life, Installed(later, None, 0))


def decided(world: World, view: Configuration, cut: Cut) -> None:
    """As if members had proposed and decided this."""
    epoch = (view.cluster_id, view.version)
    world.invariants._agreements[epoch].proposed[cut.digest] = None
    world.invariants._decided[epoch] = cut.digest


def test_a_decision_that_nobody_proposed() -> None:
    world = cluster()
    life, view, _ = speaker(world)
    with pytest.raises(InvariantViolation, match=r"I3.*nobody proposed"):
        world.invariants.deciding(life, Instance(view.size, 0), None, view, Cut.of())


def test_a_decision_that_a_member_was_told_of_and_nobody_made() -> None:
    world = cluster()
    life, view, _ = speaker(world)
    with pytest.raises(InvariantViolation, match=r"I3.*nobody made"):
        world.invariants.deciding(life, Instance(view.size, 0), Cut.of(), view, Cut.of())


def test_two_decisions() -> None:
    world = cluster()
    life, view, _ = speaker(world)
    one, other = (Cut.of([Removal(member.endpoint, member.node_id)]) for member in view.members[:2])
    decided(world, view, one)
    with pytest.raises(InvariantViolation, match=r"I3.*another decided"):
        world.invariants.deciding(life, Instance(view.size, 0), other, view, other)


@pytest.mark.parametrize(("rank", "voters", "enough"), [(FAST, 3, 4), (Rank(2, 1), 2, 3)])
def test_a_decision_by_too_few_votes(rank: Rank, voters: int, enough: int) -> None:
    world = cluster(5)
    life, view, _ = speaker(world)
    instance, cut = Instance(view.size, 0), Cut.of()
    instance.decided_rank = rank
    cast = world.invariants._agreements[view.cluster_id, view.version].cast
    cast[rank, cut.digest] = (1 << voters) - 1
    with pytest.raises(InvariantViolation, match=f"I6.*of 5 by {voters} votes"):
        world.invariants.deciding(life, instance, cut, view, cut)
    cast[rank, cut.digest] = (1 << enough) - 1
    world.invariants.deciding(life, instance, cut, view, cut)


def test_a_process_that_comes_back() -> None:
    world = cluster()
    life, view, _ = speaker(world)
    gone = view.member(world.places[4].endpoint)
    assert gone is not None
    cut = Cut.of([Removal(gone.endpoint, gone.node_id)], [gone])
    decided(world, view, cut)
    with pytest.raises(InvariantViolation, match=r"I5.*comes back"):
        world.invariants.installed(life, Installed(view.apply(cut), cut, 0))


def test_a_process_that_never_was() -> None:
    world = cluster()
    life, view, _ = speaker(world)
    cut = Cut.of(joined=[Member(world.add("x:1"), NodeId(b"x" * 16))])
    decided(world, view, cut)
    with pytest.raises(InvariantViolation, match=r"I5.*never ran"):
        world.invariants.installed(life, Installed(view.apply(cut), cut, 0))


def test_a_cut_that_is_applied_by_half() -> None:
    world = cluster()
    life, view, _ = speaker(world)
    others = [member for member in view.members if member.endpoint != life.place.endpoint]
    cut = Cut.of([Removal(member.endpoint, member.node_id) for member in others[:2]])
    half = Cut.of(cut.removed[:1])
    decided(world, view, cut)
    with pytest.raises(InvariantViolation, match=r"I7"):
        world.invariants.installed(life, Installed(view.apply(half), cut, 0))


def test_no_agreement_is_reported_with_who_holds_what() -> None:
    world = cluster(4)
    world.crash(["m2:7400", "m3:7400"])
    with pytest.raises(InvariantViolation, match=r"no agreement within 20\.0 s: 2 live; 2 hold v[0-9]+ of 4"):
        world.expect_agreement(20.0)


def test_state_does_not_grow_with_churn() -> None:
    world = cluster(6)
    sizes = []
    for round_number in range(120):
        world.restart(f"m{1 + round_number % 5}:7400")
        world.expect_agreement(30.0)
        if round_number >= 40 and round_number % 40 == 39:  # the history of past cuts is full
            world.run(5.0)
            sizes.append(state_size(world.live[0].node))
    assert sizes[-1] <= sizes[0] * 1.1


def test_two_cuts_by_one_name_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The outcome of a cut is shared by its digest: that must not hide a digest that says too little."""
    world = cluster(3)
    life, parent, _ = speaker(world)
    one, other = (Cut.of([Removal(member.endpoint, member.node_id)]) for member in parent.members[:2])
    monkeypatch.setattr(world.invariants, "deciding", lambda *_: None)
    assert world._apply(life, parent, one) is world._apply(life, parent, replace(one))
    with pytest.raises(InvariantViolation, match=r"I3.*by the name of"):
        world._apply(life, parent, replace(other, digest=one.digest))
