"""The rules of agreement, each with a test that fails without it (Fast Paxos; paper section 4.3)."""

from __future__ import annotations

from typing import TypeVar

import pytest

from rapid.consensus.facts import FAST, NO_RANK, Accept, Prepare, Promise, Rank, Vote
from rapid.consensus.instance import Instance, LastVote, pick_value
from rapid.overlay.cut import CutDigest

A = CutDigest(b"a" * 16)
B = CutDigest(b"b" * 16)
C = CutDigest(b"c" * 16)
Kind = TypeVar("Kind")


def bits(*members: int) -> int:
    return sum(1 << member for member in members)


def said(instance: Instance, kind: type[Kind]) -> list[Kind]:
    return [fact for fact in instance.said if isinstance(fact, kind)]


def test_fast_round_decides_on_three_quarters() -> None:
    instance = Instance(8, 0)
    instance.propose(A)
    for member in range(1, 6):
        instance.add_vote(Vote(FAST, A, bits(member)))
        assert instance.decided is None, "six of eight are one short"
    instance.add_vote(Vote(FAST, A, bits(6)))
    assert (instance.decided, instance.decided_rank) == (A, FAST)


def test_one_member_decides_alone() -> None:
    instance = Instance(1, 0)
    instance.propose(A)
    assert instance.decided == A


def test_nothing_is_decided_at_first() -> None:
    instance = Instance(5, 0)
    assert (instance.decided, instance.decided_rank, instance.conflicts) == (None, NO_RANK, 0)


def test_a_promise_silences_the_fast_vote() -> None:
    instance = Instance(5, 1)
    instance.add_prepare(Prepare(Rank(2, 0)))
    instance.propose(A)
    assert said(instance, Vote) == []
    assert said(instance, Promise) == [Promise(Rank(2, 0), NO_RANK, None, bits(1))]


def test_one_fast_vote_only() -> None:
    instance = Instance(5, 0)
    instance.propose(A)
    instance.propose(B)
    assert said(instance, Vote) == [Vote(FAST, A, bits(0))]


def test_a_promise_of_the_fast_round_itself_bears_the_fast_vote() -> None:
    instance = Instance(5, 1)
    instance.add_prepare(Prepare(FAST))
    instance.propose(A)
    assert said(instance, Vote) == [Vote(FAST, A, bits(1))]


def test_a_prepare_is_new_once() -> None:
    instance = Instance(5, 3)
    assert instance.add_prepare(Prepare(Rank(2, 0)))
    assert not instance.add_prepare(Prepare(Rank(2, 0)))
    assert said(instance, Promise) == [Promise(Rank(2, 0), NO_RANK, None, bits(3))]


def test_a_promise_reports_the_vote_before_it() -> None:
    instance = Instance(5, 3)
    instance.propose(A)
    instance.add_prepare(Prepare(Rank(2, 0)))
    assert said(instance, Promise) == [Promise(Rank(2, 0), FAST, A, bits(3))]


def test_no_promise_below_a_promise() -> None:
    instance = Instance(5, 3)
    instance.add_prepare(Prepare(Rank(3, 1)))
    instance.add_prepare(Prepare(Rank(2, 0)))
    assert [promise.rank for promise in said(instance, Promise)] == [Rank(3, 1)]


def test_no_vote_below_a_promise() -> None:
    instance = Instance(5, 3)
    instance.learn(A)
    instance.add_prepare(Prepare(Rank(3, 1)))
    instance.add_accept(Accept(Rank(2, 0), A))
    assert said(instance, Vote) == []


def test_a_vote_is_a_promise_too() -> None:
    instance = Instance(5, 3)
    instance.learn(A)
    instance.add_accept(Accept(Rank(4, 1), A))
    instance.add_prepare(Prepare(Rank(3, 2)))
    assert said(instance, Promise) == []
    assert said(instance, Vote) == [Vote(Rank(4, 1), A, bits(3))]


def test_no_promise_of_a_round_after_a_vote_in_it() -> None:
    """The prepare of a round may arrive after its accept; such a promise would contradict itself."""
    instance = Instance(5, 3)
    instance.learn(A)
    instance.add_accept(Accept(Rank(2, 0), A))
    assert instance.add_prepare(Prepare(Rank(2, 0)))
    assert said(instance, Promise) == []


def test_a_promise_bears_the_vote_of_its_own_round() -> None:
    instance = Instance(5, 3)
    instance.add_prepare(Prepare(Rank(2, 0)))
    instance.learn(A)
    instance.add_accept(Accept(Rank(2, 0), A))
    assert said(instance, Vote) == [Vote(Rank(2, 0), A, bits(3))]


def test_who_proposes_a_value_holds_its_body() -> None:
    instance = Instance(5, 3)
    instance.propose(A)
    instance.add_accept(Accept(Rank(2, 0), A))
    assert said(instance, Vote) == [Vote(FAST, A, bits(3)), Vote(Rank(2, 0), A, bits(3))]


def test_one_pick_of_a_round_counts() -> None:
    instance = Instance(5, 3)
    instance.learn(A)
    instance.learn(B)
    assert instance.add_accept(Accept(Rank(2, 0), A))
    assert not instance.add_accept(Accept(Rank(2, 0), A))
    assert instance.conflicts == 0
    for conflicts in (1, 2):
        assert not instance.add_accept(Accept(Rank(2, 0), B))
        assert instance.conflicts == conflicts
    assert instance.accepts == {Rank(2, 0): A}
    assert said(instance, Vote) == [Vote(Rank(2, 0), A, bits(3))]


def test_no_vote_without_the_body() -> None:
    instance = Instance(5, 3)
    instance.add_accept(Accept(Rank(2, 0), A))
    assert said(instance, Vote) == []
    instance.learn(A)
    assert said(instance, Vote) == [Vote(Rank(2, 0), A, bits(3))]


def test_a_promise_counts_once_per_sender() -> None:
    instance = Instance(5, 0)
    instance.learn(A)
    instance.preferred = A
    instance.coordinate(2)
    promise = Promise(Rank(2, 0), NO_RANK, None, bits(1))
    assert instance.add_promise(promise) == bits(1)
    assert instance.add_promise(promise) == 0
    assert instance.conflicts == 0
    assert said(instance, Accept) == [], "two of five, however often they say it"
    instance.add_promise(Promise(Rank(2, 0), NO_RANK, None, bits(2)))
    assert said(instance, Accept) == [Accept(Rank(2, 0), A)]


def test_a_promise_that_changes_its_story_does_not_count() -> None:
    instance = Instance(5, 0)
    instance.coordinate(2)
    instance.add_promise(Promise(Rank(2, 0), NO_RANK, None, bits(1)))
    assert instance.add_promise(Promise(Rank(2, 0), FAST, B, bits(1))) == 0
    assert instance.conflicts == 1


def test_a_vote_counts_once_per_voter() -> None:
    instance = Instance(5, 0)
    instance.add_vote(Vote(FAST, A, bits(1, 2, 3)))
    assert instance.add_vote(Vote(FAST, A, bits(1, 2, 3))) == 0
    assert instance.add_vote(Vote(FAST, B, bits(3, 4))) == bits(4)
    assert instance.conflicts == 1
    assert instance.decided is None


def test_what_contradicts_any_earlier_word_is_counted() -> None:
    instance = Instance(8, 0)
    instance.add_vote(Vote(FAST, A, bits(1)))
    instance.add_vote(Vote(FAST, B, bits(2)))
    assert instance.add_vote(Vote(FAST, C, bits(1))) == 0
    assert instance.conflicts == 1
    assert instance.add_vote(Vote(FAST, C, bits(1, 2))) == 0
    assert instance.conflicts == 3


def test_classic_round_decides_on_a_majority_of_one_rank() -> None:
    instance = Instance(5, 0)
    instance.add_vote(Vote(Rank(2, 1), A, bits(1, 2)))
    instance.add_vote(Vote(Rank(3, 1), A, bits(3, 4)))
    assert instance.decided is None, "votes of two rounds do not add up"
    instance.add_vote(Vote(Rank(3, 1), B, bits(1)))
    learner = Instance(5, 0)
    learner.add_vote(Vote(Rank(3, 1), A, bits(2, 3, 4)))
    assert (learner.decided, learner.decided_rank) == (A, Rank(3, 1))


def test_a_coordinator_picks_once_a_rank() -> None:
    instance = Instance(5, 0)
    instance.propose(A)
    instance.coordinate(2)
    instance.add_promise(Promise(Rank(2, 0), NO_RANK, None, bits(1, 2)))
    instance.add_promise(Promise(Rank(2, 0), FAST, B, bits(3, 4)))
    assert said(instance, Accept) == [Accept(Rank(2, 0), A)]


def test_nobody_picks_for_the_round_of_another() -> None:
    instance = Instance(5, 0)
    instance.learn(A)
    instance.add_promise(Promise(Rank(2, 1), NO_RANK, None, bits(1, 2, 3)))
    assert said(instance, Accept) == []


def test_a_coordinator_counts_those_who_promised_and_nobody_else() -> None:
    instance = Instance(5, 1)
    instance.learn(A)
    instance.coordinate(2)
    instance.add_promise(Promise(Rank(2, 1), FAST, A, bits(2)))
    assert said(instance, Accept) == [], "two of five"


def test_a_free_coordinator_picks_its_own_proposal() -> None:
    instance = Instance(3, 0)
    instance.learn(A)
    instance.add_prepare(Prepare(Rank(2, 1)))
    instance.propose(B)
    assert said(instance, Vote) == []
    instance.coordinate(3)
    instance.add_promise(Promise(Rank(3, 0), NO_RANK, None, bits(1)))
    assert said(instance, Accept) == [Accept(Rank(3, 0), B)]


def test_a_coordinator_without_a_value_waits_for_one() -> None:
    instance = Instance(3, 0)
    instance.coordinate(2)
    instance.add_promise(Promise(Rank(2, 0), NO_RANK, None, bits(1)))
    assert said(instance, Accept) == []
    instance.learn(B)
    assert said(instance, Accept) == [Accept(Rank(2, 0), B)]


def test_no_round_below_what_is_promised() -> None:
    instance = Instance(5, 0)
    instance.add_prepare(Prepare(Rank(5, 3)))
    instance.coordinate(4)
    assert said(instance, Prepare) == []
    instance.coordinate(6)
    assert said(instance, Prepare) == [Prepare(Rank(6, 0))]


def test_nobody_coordinates_the_fast_round() -> None:
    instance = Instance(5, 2)
    instance.coordinate(FAST.round)
    assert instance.said == []
    assert instance.promised == NO_RANK


def test_what_was_said_of_a_forgotten_round_has_no_effect() -> None:
    instance = Instance(5, 1)
    instance.learn(A)
    instance.add_prepare(Prepare(Rank(2, 3)))
    instance.add_promise(Promise(Rank(2, 3), NO_RANK, None, bits(2)))
    instance.add_accept(Accept(Rank(2, 3), A))
    instance.add_vote(Vote(Rank(2, 3), A, bits(2)))
    instance.add_prepare(Prepare(Rank(3, 3)))
    instance.forget(Rank(2, 3))
    instance.forget(Rank(7, 3))
    instance.forget(Rank(3, 3))
    assert (instance.prepares, instance.promises, instance.accepts, instance.votes) == ({}, {}, {}, {})
    assert instance.highest_round == FAST.round
    assert instance.add_vote(Vote(Rank(2, 3), A, bits(2))) == bits(2)
    assert instance.decided is None


def test_who_has_voted_in_a_forgotten_round_votes_in_it_no_more() -> None:
    instance = Instance(5, 1)
    instance.learn(A)
    instance.learn(B)
    instance.add_accept(Accept(Rank(2, 3), A))
    instance.forget(Rank(2, 3))
    instance.add_accept(Accept(Rank(2, 3), B))
    assert said(instance, Vote) == [Vote(Rank(2, 3), A, bits(1))]


def test_a_forgotten_round_is_not_opened_again() -> None:
    instance = Instance(5, 1)
    instance.coordinate(2)
    instance.forget(Rank(2, 1))
    instance.coordinate(2)
    assert said(instance, Prepare) == [Prepare(Rank(2, 1))]
    assert said(instance, Promise) == [Promise(Rank(2, 1), NO_RANK, None, bits(1))]


def test_rounds_end_only_with_a_decision() -> None:
    instance = Instance(3, 0)
    instance.learn(A)
    for round_number in range(2, 50):
        instance.coordinate(round_number)
    assert len(said(instance, Prepare)) == 48


def test_fast_round_lost_when_no_value_can_win() -> None:
    instance = Instance(5, 0)
    instance.add_vote(Vote(FAST, A, bits(0, 1)))
    assert not instance.fast_round_lost()
    instance.add_vote(Vote(FAST, B, bits(2)))
    assert not instance.fast_round_lost(), "A may still reach four of five"
    instance.add_vote(Vote(FAST, B, bits(3)))
    assert instance.fast_round_lost()


def test_the_fast_round_is_not_lost_while_all_may_yet_vote() -> None:
    instance = Instance(5, 1)
    assert not instance.fast_round_lost()
    instance.add_vote(Vote(FAST, A, bits(1, 2)))
    instance.add_vote(Vote(FAST, B, bits(3)))
    assert not instance.fast_round_lost(), "members 0 and 4 may make it four of five"
    assert instance.fast_round_lost(silent=bits(0))


def test_the_fast_round_is_lost_when_too_many_are_silent() -> None:
    instance = Instance(5, 1)
    assert not instance.fast_round_lost(silent=bits(4))
    assert instance.fast_round_lost(silent=bits(3, 4))


class TestPick:
    """Rule 3: what a coordinator must pick of the promises it has."""

    def test_free_when_nobody_voted(self) -> None:
        assert pick_value(5, {(NO_RANK, None): bits(0, 1, 2)}) is None

    def test_the_only_value(self) -> None:
        assert pick_value(5, {(NO_RANK, None): bits(0, 1), (FAST, B): bits(2)}) == B

    def test_the_value_that_may_have_been_chosen(self) -> None:
        # N=5, F=1: of three promises at least two must show a chosen value
        assert pick_value(5, {(FAST, B): bits(0, 1), (FAST, A): bits(2)}) == B
        assert pick_value(5, {(FAST, A): bits(0, 1), (FAST, B): bits(2)}) == A

    def test_the_chosen_value_wins_against_the_coordinators_own(self) -> None:
        instance = Instance(5, 0)
        instance.propose(A)
        instance.coordinate(2)
        instance.add_promise(Promise(Rank(2, 0), FAST, B, bits(1, 2)))
        assert said(instance, Accept) == [Accept(Rank(2, 0), B)]

    def test_with_nine_members_and_six_promises(self) -> None:
        # F=2: a value with 4 of 6 may have been chosen, though 2 of the 6 voted for others
        promises: dict[LastVote, int] = {
            (FAST, C): bits(0, 1, 2, 3), (FAST, A): bits(4), (FAST, B): bits(5)
        }  # fmt: skip
        assert pick_value(9, promises) == C

    def test_the_most_voted_where_none_can_have_been_chosen(self) -> None:
        # F=2: with 3 of 6 no value has the 4 that a chosen one would show
        promises: dict[LastVote, int] = {
            (FAST, A): bits(0, 1, 2), (FAST, B): bits(3, 4), (FAST, C): bits(5)
        }  # fmt: skip
        assert pick_value(9, promises) == A

    @pytest.mark.parametrize(("low", "high"), [(A, B), (B, A)])
    def test_the_highest_vrank_counts_not_the_most_votes(self, low: CutDigest, high: CutDigest) -> None:
        promises: dict[LastVote, int] = {(FAST, low): bits(0, 1, 2), (Rank(2, 1), high): bits(3)}
        assert pick_value(5, promises) == high

    def test_a_later_classic_vote_beats_an_earlier(self) -> None:
        promises: dict[LastVote, int] = {(Rank(2, 4), A): bits(0, 1), (Rank(3, 0), B): bits(2)}
        assert pick_value(5, promises) == B


def test_late_fast_vote_of_five_does_not_split() -> None:
    """n0 alone votes; n1 and n2 promise; n0 picks its value. The late proposals must not be voted for."""
    nodes = [Instance(5, member) for member in range(5)]
    nodes[0].propose(A)
    nodes[0].coordinate(2)
    for member in (1, 2):
        nodes[member].add_prepare(Prepare(Rank(2, 0)))
        for promise in said(nodes[member], Promise):
            nodes[0].add_promise(promise)
    assert said(nodes[0], Accept) == [Accept(Rank(2, 0), A)]
    for member in range(1, 5):
        nodes[member].propose(B)
    late = [vote for node in nodes[1:] for vote in said(node, Vote)]
    assert late == [Vote(FAST, B, bits(3)), Vote(FAST, B, bits(4))]
