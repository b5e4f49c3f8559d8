"""What must hold in every state of an agreement, and of every single act of a member."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from rapid.consensus.facts import NO_RANK, Accept, Promise, Rank, Vote
from rapid.consensus.instance import Instance, LastVote, Statement
from rapid.overlay.cut import CutDigest

VoteCast = tuple[Rank, CutDigest]


class Fault(Enum):
    """A broken rule. The last one is no fault: it is what a working search must be able to report."""

    TWO_CHOSEN = "two values are chosen"
    NOT_PROPOSED = "a value is chosen that nobody has proposed"
    VOTED_TWICE = "a member votes twice at one rank"
    VOTED_BELOW_PROMISE = "a member votes below its promise"
    PROMISED_LOWER = "a member promises less than it has promised"
    PROMISE_HIDES_VOTE = "a promise does not name the last vote before it"
    PICKED_TWICE = "a coordinator picks twice at one rank"
    CHOSEN = "a value is chosen"


RULES = frozenset(Fault) - {Fault.CHOSEN}
AGREEMENT = frozenset({Fault.TWO_CHOSEN})


def bound_by(said: Iterable[Statement], before: Rank = NO_RANK) -> Rank:
    """The rank below which a member that said so may neither promise nor vote any more."""
    return max(before, *(fact.rank for fact in said if isinstance(fact, Promise | Vote)), NO_RANK)


def faults_of_act(
    bound: Rank, votes: Iterable[VoteCast], picked: Iterable[Rank], said: Iterable[Statement]
) -> frozenset[Fault]:
    """What is wrong with saying ``said``, in order, for one bound like that, with such votes and picks."""
    faults = set()
    votes = list(votes)
    picked = set(picked)
    for fact in said:
        if isinstance(fact, Vote):
            if fact.rank < bound:
                faults.add(Fault.VOTED_BELOW_PROMISE)
            if any(fact.rank == rank for rank, _ in votes):
                faults.add(Fault.VOTED_TWICE)
            votes.append((fact.rank, fact.digest))
        elif isinstance(fact, Promise):
            last: LastVote = max(votes, default=(NO_RANK, None), key=lambda vote: vote[0])
            if fact.rank <= bound:
                faults.add(Fault.PROMISED_LOWER)
            if (fact.vrank, fact.digest) != last:
                faults.add(Fault.PROMISE_HIDES_VOTE)
        elif isinstance(fact, Accept):
            if fact.rank in picked:
                faults.add(Fault.PICKED_TWICE)
            picked.add(fact.rank)
        bound = bound_by((fact,), bound)
    return frozenset(faults)


def faults_of_state(chosen: frozenset[CutDigest], proposed: frozenset[CutDigest]) -> frozenset[Fault]:
    """What is wrong when these values are chosen and those were proposed."""
    faults = set()
    if chosen:
        faults.add(Fault.CHOSEN)
    if len(chosen) > 1:
        faults.add(Fault.TWO_CHOSEN)
    if chosen - proposed:
        faults.add(Fault.NOT_PROPOSED)
    return frozenset(faults)


def chosen_by(n: int, votes: Iterable[tuple[int, VoteCast]], make: type[Instance]) -> frozenset[CutDigest]:
    """What some learner of class ``make`` decides that hears of the votes (member, vote) in some order.

    A learner decides on a quorum at one rank, whatever it hears beside it. So for each rank and value
    one learner hears of those votes first, then of all others.
    """
    tally: dict[VoteCast, int] = {}
    for member, cast in votes:
        tally[cast] = tally.get(cast, 0) | 1 << member
    chosen = set()
    for first in tally:
        learner = make(n, 0)
        for rank, digest in (first, *(cast for cast in tally if cast != first)):
            learner.add_vote(Vote(rank, digest, tally[rank, digest]))
        if learner.decided is not None:
            chosen.add(learner.decided)
    return frozenset(chosen)

