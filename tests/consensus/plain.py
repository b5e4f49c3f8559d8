"""The slow and obvious search that ``exhaustive.py`` must agree with.

Every fact goes to every member whom it can concern, one at a time, in every order; each member learns
of each body when it will; nothing is forgotten, and no two members are taken for each other. Only what
has no effect on any act is left out: votes, and promises to whom does not coordinate their rank.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations

from rapid.consensus.facts import Accept, Prepare, Promise, Rank, Vote
from rapid.consensus.instance import Instance, Statement
from rapid.overlay.cut import CutDigest

from .acts import Act, Coordinate, Learn, Proposals, Propose, clone, full_state, perform
from .exhaustive import Outcome
from .rules import RULES, Fault, VoteCast, bound_by, chosen_by, faults_of_act, faults_of_state


@dataclass(eq=False, slots=True)
class Member:
    """A local state: the instance, and all that it has said."""

    instance: Instance
    said: frozenset[Statement] = frozenset()
    after: dict[Act, tuple[Member, frozenset[Fault]]] = field(default_factory=dict)

    @property
    def votes(self) -> frozenset[VoteCast]:
        return frozenset((fact.rank, fact.digest) for fact in self.said if isinstance(fact, Vote))

    @property
    def picks(self) -> frozenset[tuple[Rank, CutDigest]]:
        return frozenset((fact.rank, fact.digest) for fact in self.said if isinstance(fact, Accept))


State = tuple[Member, ...]


class PlainSearch:
    """As :class:`Search`; ``states`` are all that were reached, of ``members``."""

    def __init__(
        self,
        n: int,
        ranks: tuple[Rank, ...],
        proposals: Proposals,
        make: type[Instance] = Instance,
        watch: frozenset[Fault] = RULES,
    ) -> None:
        self.n = n
        self.ranks = ranks
        self.proposals = proposals
        self.make = make
        self.watch = watch
        self.states: dict[State, None] = {}
        self._members: dict[object, Member] = {}
        self._chosen: dict[tuple[frozenset[VoteCast], ...], frozenset[CutDigest]] = {}

    def run(self) -> Outcome:
        start = tuple(self._intern(Member(self.make(self.n, index))) for index in range(self.n))
        self.states[start] = None
        stack = [start]
        chosen: set[CutDigest] = set()
        while stack:
            state = stack.pop()
            for index, act in self._acts(state):
                member, faults = self._act(state[index], act)
                if member is not state[index]:
                    after = (*state[:index], member, *state[index + 1 :])
                    if after not in self.states:
                        self.states[after] = None
                        stack.append(after)
                        if member.votes != state[index].votes:
                            now = self._chosen_in(after)
                            chosen |= now
                            faults |= faults_of_state(now, self._proposed(after))
                if faults & self.watch:
                    fault = min(faults & self.watch, key=lambda fault: fault.value)
                    return Outcome(len(self.states), chosen, fault)
        return Outcome(len(self.states), chosen)

    @property
    def members(self) -> list[Member]:
        return list(self._members.values())

    def _intern(self, member: Member) -> Member:
        return self._members.setdefault(
            (member.instance.me, full_state(member.instance), member.said), member
        )

    def _act(self, member: Member, act: Act) -> tuple[Member, frozenset[Fault]]:
        if act not in member.after:
            instance = clone(member.instance)
            perform(instance, act)
            said, instance.said = instance.said, []
            picked = (rank for rank, _ in member.picks)
            faults = faults_of_act(bound_by(member.said), member.votes, picked, said)
            member.after[act] = self._intern(Member(instance, member.said.union(said))), faults
        return member.after[act]

    def _acts(self, state: State) -> Iterator[tuple[int, Act]]:
        facts = [fact for member in state for fact in member.said]
        proposed = self._proposed(state)
        for index, member in enumerate(state):
            instance = member.instance
            if instance.preferred is None:
                for digest in self.proposals[index]:
                    yield index, Propose(digest)
            for digest in proposed.difference(instance._bodies):
                yield index, Learn(digest)
            for rank in self.ranks:
                if rank.coordinator == index:
                    if rank not in instance._picked:
                        yield index, Coordinate(rank.round)
                    for promise in bundles(rank, facts):
                        yield index, promise
            for fact in facts:
                if isinstance(fact, Prepare | Accept) and fact.rank.coordinator != index:
                    yield index, fact

    def _chosen_in(self, state: State) -> frozenset[CutDigest]:
        votes = tuple(member.votes for member in state)
        if votes not in self._chosen:
            cast = [(index, vote) for index, own in enumerate(votes) for vote in own]
            self._chosen[votes] = chosen_by(self.n, cast, self.make)
        return self._chosen[votes]

    @staticmethod
    def _proposed(state: State) -> frozenset[CutDigest]:
        preferred = (member.instance.preferred for member in state)
        return frozenset(digest for digest in preferred if digest is not None)


def bundles(rank: Rank, facts: list[Statement]) -> Iterator[Promise]:
    """Promises that say the same travel as one, with any of their voters."""
    same: dict[Promise, list[int]] = {}
    for fact in facts:
        if isinstance(fact, Promise) and fact.rank == rank and fact.voters != 1 << rank.coordinator:
            same.setdefault(fact._replace(voters=0), []).append(fact.voters)
    for promise, bits in same.items():
        for size in range(1, len(bits) + 1):
            for voters in combinations(bits, size):
                yield promise._replace(voters=sum(voters))
