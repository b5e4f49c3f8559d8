"""The local states of the members of one agreement, and what each can do next, by the real class.

Local states are interned, so that each is a small number, and each transition runs the class once.
What is left out, and why nothing is missed, is argued in ``exhaustive.py``.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import combinations, groupby

from rapid.consensus.facts import FAST, NO_RANK, Accept, Prepare, Promise, Rank, Vote
from rapid.consensus.instance import Instance, LastVote
from rapid.overlay.cut import CutDigest

from .acts import Act, Coordinate, Learn, Proposals, Propose, clone, essence, full_state, perform
from .rules import Fault, VoteCast, bound_by, faults_of_act

Offer = tuple[Rank, LastVote]
Pick = tuple[Rank, CutDigest]
Chance = tuple[int, frozenset[CutDigest], tuple[Offer, ...]]
"""A coordinator's local state, the bodies it may learn, and the promises it may hear of."""


@dataclass(slots=True)
class Local:
    """One local state. The instance stands for all members of its role; what it said names no voter."""

    role: int
    instance: Instance
    votes: frozenset[VoteCast]
    promises: frozenset[Offer]
    picks: frozenset[Pick]
    bound: Rank
    """The rank below which it must neither promise nor vote any more, by what it has said."""
    proposed: frozenset[CutDigest]
    """What it may have proposed so far."""
    told: frozenset[Prepare | Accept]
    """What it has told everyone as a coordinator."""
    lacks: frozenset[CutDigest]
    """The bodies that it does not hold."""
    waits: bool
    """It has opened a round and not picked yet."""


@dataclass(frozen=True, slots=True)
class Move:
    """One member's transition; ``label`` is its name in a path."""

    after: int
    voted: bool
    picked: bool
    faults: frozenset[Fault]
    label: str


@dataclass(slots=True, eq=False)
class Heard:
    """What coordinators have said, and what a member in a given local state can do where it is known."""

    facts: list[Prepare | Accept]
    done: frozenset[Rank]
    moves: dict[int, list[Move]] = field(default_factory=dict)
    coordinating: dict[Chance, list[Move]] = field(default_factory=dict)


class Locals:
    """All local states that were reached so far."""

    def __init__(
        self, n: int, ranks: tuple[Rank, ...], proposals: Proposals, make: type[Instance], alike: bool
    ) -> None:
        self.n = n
        self.ranks = ranks
        self.proposals = proposals
        self.make = make
        self.coordinators = sorted({rank.coordinator for rank in ranks})
        roles: dict[Hashable, list[int]] = {}
        for member, values in enumerate(proposals):
            own = None if alike and member not in self.coordinators else member
            roles.setdefault((values, own), []).append(member)
        self.roles = list(roles.values())
        self.values = frozenset(digest for values in proposals for digest in values)
        self._states: list[Local] = []
        self._numbers: dict[Hashable, int] = {}
        self._heard: dict[tuple[frozenset[Prepare | Accept], ...], Heard] = {}
        self._stripped: dict[tuple[int, frozenset[Rank]], int] = {}
        self._picks: dict[Chance, list[Move]] = {}

    def __getitem__(self, number: int) -> Local:
        return self._states[number]

    def __len__(self) -> int:
        return len(self._states)

    def start(self, role: int) -> int:
        member = self.roles[role][0]
        instance = self.make(self.n, member)
        if member not in self.coordinators:
            for digest in sorted(self.values):
                instance.learn(digest)
        return self._intern(role, instance, frozenset(), frozenset(), frozenset(), NO_RANK)

    def heard(self, coordinators: Iterable[int]) -> Heard:
        """What coordinators in these local states have said."""
        told = tuple([self._states[number].told for number in coordinators])
        heard = self._heard.get(told)
        if heard is None:
            facts = sorted({fact for each in told for fact in each})
            done = frozenset(fact.rank for fact in facts if isinstance(fact, Accept))
            heard = self._heard[told] = Heard(facts, done)
        return heard

    def moves(self, number: int, heard: Heard) -> list[Move]:
        """What a member that does not coordinate can do."""
        moves = heard.moves.get(number)
        if moves is None:
            moves = heard.moves[number] = list(self._useful(number, self._acts(number, heard), heard))
        return moves

    def coordinating(
        self, number: int, heard: Heard, bodies: frozenset[CutDigest], offers: tuple[Offer, ...]
    ) -> list[Move]:
        """What a coordinator can do that may learn these bodies and hear of these promises of others."""
        key = (number, bodies, offers)
        moves = heard.coordinating.get(key)
        if moves is None:
            acts = [*self._acts(number, heard), *map(Learn, sorted(bodies))]
            moves = heard.coordinating[key] = list(self._useful(number, acts, heard))
            if offers:
                moves += self._picks_of(number, bodies, offers)
        return moves

    def strip(self, number: int, done: frozenset[Rank]) -> int:
        """The same local state without the promises for these ranks."""
        local = self[number]
        if done.isdisjoint(rank for rank, _ in local.promises):
            return number
        stripped = self._stripped.get((number, done))
        if stripped is None:
            left = frozenset(promise for promise in local.promises if promise[0] not in done)
            stripped = self._intern(
                local.role, local.instance, local.votes, left, local.picks, local.bound
            )
            self._stripped[number, done] = stripped
        return stripped

    # -- inside

    def _acts(self, number: int, heard: Heard) -> Iterator[Act]:
        """All acts but to learn and to hear of promises."""
        local = self[number]
        member = self.roles[local.role][0]
        if local.instance.preferred is None:
            yield from map(Propose, self.proposals[member])
        for rank in self.ranks:
            if rank.coordinator == member and rank not in local.instance._picked:
                yield Coordinate(rank.round)
        for fact in heard.facts:
            if fact.rank.coordinator != member:
                yield fact

    def _useful(self, number: int, acts: Iterable[Act], heard: Heard) -> Iterator[Move]:
        local = self[number]
        for act in acts:
            after = clone(local.instance)
            perform(after, act)
            move = self._move(local, after, str(act), heard.done)
            if move.after != number or move.faults:
                yield move

    def _picks_of(
        self, number: int, bodies: frozenset[CutDigest], offers: tuple[Offer, ...]
    ) -> list[Move]:
        """How a coordinator may come to pick: by any of the promises, in any order, in any bundles.

        One that holds no value may hear of more than a quorum, and of a value only then.
        """
        local = self[number]
        if local.instance._bodies:
            bodies = frozenset()
        key = (number, bodies, offers)
        if key in self._picks:
            return self._picks[key]
        bundles = self._bundles(local.role, offers)
        acts: list[Act] = [*bundles, *map(Learn, sorted(bodies))]
        if not local.instance._bodies:
            acts += map(Propose, self.proposals[self.roles[local.role][0]])
        moves: dict[tuple[int, frozenset[Fault]], Move] = {}
        seen = {full_state(local.instance)}
        stack = [local.instance]
        while stack:
            before = stack.pop()
            for act in acts:
                after = clone(before)
                perform(after, act)
                if any(isinstance(statement, Accept) for statement in after.said):
                    again = frozenset(self._picks_again(after, bundles))
                    for rank, picked in after._picked.items():
                        if not picked:
                            after.promises[rank] = dict(local.instance.promises[rank])
                    move = self._move(local, after, f"{act}, having heard of some of {offers}", frozenset())
                    move = replace(move, faults=move.faults | again)
                    moves.setdefault((move.after, move.faults), move)
                elif isinstance(act, Promise):
                    state = full_state(after)
                    if state not in seen:
                        seen.add(state)
                        stack.append(after)
        self._picks[key] = list(moves.values())
        return self._picks[key]

    def _bundles(self, role: int, offers: tuple[Offer, ...]) -> list[Promise]:
        me = self.roles[role][0]
        bundles = []
        for rank, same_rank in groupby(offers, lambda offer: offer[0]):
            others = (1 << member for member in range(self.n) if member != me)
            for (_, (vrank, digest)), same in groupby(same_rank):
                bits = [bit for _, bit in zip(same, others, strict=False)]
                for size in range(1, len(bits) + 1):
                    for voters in combinations(bits, size):
                        bundles.append(Promise(rank, vrank, digest, sum(voters)))
        return bundles

    @staticmethod
    def _picks_again(instance: Instance, bundles: list[Promise]) -> Iterator[Fault]:
        for promise in bundles:
            if instance._picked.get(promise.rank):
                after = clone(instance)
                after.add_promise(promise)
                if any(isinstance(said, Accept) and said.rank == promise.rank for said in after.said):
                    yield Fault.PICKED_TWICE

    def _move(self, local: Local, instance: Instance, label: str, done: frozenset[Rank]) -> Move:
        said = instance.said
        instance.said = []
        me = self.roles[local.role][0]
        votes = local.votes.union((fact.rank, fact.digest) for fact in said if isinstance(fact, Vote))
        picks = local.picks.union((fact.rank, fact.digest) for fact in said if isinstance(fact, Accept))
        promises = local.promises.union(
            (fact.rank, (fact.vrank, fact.digest))
            for fact in said
            if isinstance(fact, Promise) and fact.rank.coordinator != me
        )
        if me not in self.coordinators:
            instance.preferred = None
        after = self._intern(local.role, instance, votes, promises, picks, bound_by(said, local.bound))
        picked = (rank for rank, _ in local.picks)
        return Move(
            self.strip(after, done),
            votes != local.votes,
            picks != local.picks,
            faults_of_act(local.bound, local.votes, picked, said),
            label,
        )

    def _intern(
        self,
        role: int,
        instance: Instance,
        votes: frozenset[VoteCast],
        promises: frozenset[Offer],
        picks: frozenset[Pick],
        bound: Rank,
    ) -> int:
        key = (role, essence(instance), votes, promises, picks, bound)
        number = self._numbers.setdefault(key, len(self))
        if number == len(self):
            member = self.roles[role][0]
            if member in self.coordinators:
                proposed = self.values.intersection((instance.preferred,))
            else:
                proposed = frozenset(digest for rank, digest in votes if rank == FAST)
                if not proposed and instance.promised > FAST:
                    proposed = frozenset(self.proposals[member])
            told = frozenset[Prepare | Accept](
                (*map(Prepare, instance._picked), *(Accept(*pick) for pick in picks))
            )
            lacks = self.values.difference(instance._bodies)
            waits = not all(instance._picked.values())
            self._states.append(
                Local(role, instance, votes, promises, picks, bound, proposed, told, lacks, waits)
            )
        return number
