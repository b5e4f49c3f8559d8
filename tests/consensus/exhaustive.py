"""Every interleaving of one agreement, driven through the real :class:`Instance`.

What members have said only grows, and any subset of it may have reached any member at any time, in any
order. So a global state is the local state of each member, and what is under way follows from what each
has said. The search walks over tuples of small numbers, breadth first, so that a path to a fault is a
shortest one.

What is left out, and why nothing is missed:

- Votes are not delivered. A member's acts do not depend on them, and a value is chosen as soon as some
  learner would decide on the votes that exist (:func:`chosen_by`).
- Who does not coordinate holds every body from the start. The instance uses them only to vote for an
  accepted value, so the body late is the accept late.
- Who does not coordinate may propose more than once, and what it prefers is not part of its state: the
  instance uses that only to pick. A proposal after a promise then leaves no trace; so whoever has
  promised without a fast vote counts as having proposed, perhaps.
- A coordinator's hearing of a promise is forgotten again unless it then picks. Promises do not vanish:
  whatever it can do with the promise heard it can do by hearing it later. So to pick is one act, over
  every set of promises by which the real class comes to pick.
- When a rank is picked for, the promises for it are dropped: nobody else uses them, and a coordinator
  that would pick again is a fault (checked on the promises that exist when it picks).
- Members that do not coordinate and may propose the same are interchangeable: the class treats members
  alike but for coordinators, whose index is part of the rank. So their states are kept sorted.

``test_reduction.py`` compares all this with a search that leaves nothing out but the votes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from rapid.consensus.facts import Rank
from rapid.consensus.instance import Instance
from rapid.overlay.cut import CutDigest

from .acts import Proposals
from .local import Heard, Locals, Move, Offer
from .rules import RULES, Fault, VoteCast, chosen_by, faults_of_state

State = tuple[int, ...]


@dataclass(slots=True)
class Outcome:
    """What a search found: all that is chosen on some path, and a shortest path to a fault, if any."""

    states: int
    chosen: set[CutDigest]
    fault: Fault | None = None
    path: list[str] = field(default_factory=list)


class Search:
    """All reachable states of ``n`` members, until one breaks a rule of ``watch``.

    ``ranks`` are the classic rounds that their coordinators may open, each at any time. ``proposals``
    gives the values that each member may propose, one of them and at any time, or never. ``alike``
    keeps the states of interchangeable members sorted.
    """

    def __init__(
        self,
        n: int,
        ranks: tuple[Rank, ...],
        proposals: Proposals,
        make: type[Instance] = Instance,
        watch: frozenset[Fault] = RULES,
        alike: bool = True,
        limit: int = 20_000_000,
    ) -> None:
        self.n = n
        self.make = make
        self.watch = watch
        self.limit = limit
        self.locals = Locals(n, ranks, proposals, make, alike)
        self.parents: dict[State, State | None] = {}
        self._alike = [members for members in self.locals.roles if len(members) > 1]
        self._coordinators = self.locals.coordinators
        self._chosen: dict[tuple[frozenset[VoteCast], ...], frozenset[CutDigest]] = {}

    def run(self) -> Outcome:
        start = self._start()
        self.parents = {start: None}
        chosen: set[CutDigest] = set()
        frontier = [start]
        while frontier:
            reached: list[State] = []
            for state in frontier:
                for member, move in self._moves(state):
                    faults = move.faults
                    after = self._sorted(self._after(state, member, move))
                    if after not in self.parents:
                        self.parents[after] = state
                        reached.append(after)
                        if move.voted:
                            now = self.chosen(after)
                            chosen |= now
                            faults |= faults_of_state(now, self._proposed(after))
                    if faults and not faults.isdisjoint(self.watch):
                        fault = min(faults & self.watch, key=lambda fault: fault.value)
                        return Outcome(len(self.parents), chosen, fault, self._path(state, move))
            assert len(self.parents) < self.limit, "the search is larger than its limit"
            frontier = reached
        return Outcome(len(self.parents), chosen)

    def chosen(self, state: State) -> frozenset[CutDigest]:
        votes = tuple([self.locals[number].votes for number in state])
        chosen = self._chosen.get(votes)
        if chosen is None:
            cast = [(member, vote) for member, own in enumerate(votes) for vote in own]
            chosen = self._chosen[votes] = chosen_by(self.n, cast, self.make)
        return chosen

    def _start(self) -> State:
        numbers = [0] * self.n
        for role, members in enumerate(self.locals.roles):
            for member in members:
                numbers[member] = self.locals.start(role)
        return tuple(numbers)

    def _moves(self, state: State) -> Iterator[tuple[int, Move]]:
        """What each member can do next; of members in the same local state, one does it for all."""
        heard = self.locals.heard([state[member] for member in self._coordinators])
        tried: set[int] = set()
        for member, number in enumerate(state):
            if number not in tried:
                tried.add(number)
                if member in self._coordinators:
                    moves = self._coordinating(member, state, heard)
                else:
                    moves = self.locals.moves(number, heard)
                for move in moves:
                    yield member, move

    def _coordinating(self, member: int, state: State, heard: Heard) -> list[Move]:
        number = state[member]
        bodies = self.locals[number].lacks
        if bodies:
            bodies &= self._proposed(state)
        offers: list[Offer] = []
        if self.locals[number].waits:
            promises = [offer for other in state for offer in self.locals[other].promises]
            offers = sorted([offer for offer in promises if offer[0].coordinator == member])
        return self.locals.coordinating(number, heard, bodies, tuple(offers))

    def _proposed(self, state: State) -> frozenset[CutDigest]:
        return frozenset().union(*[self.locals[number].proposed for number in state])

    def _after(self, state: State, member: int, move: Move) -> list[int]:
        numbers = list(state)
        numbers[member] = move.after
        if move.picked:
            done = self.locals.heard([numbers[member] for member in self._coordinators]).done
            return [self.locals.strip(number, done) for number in numbers]
        return numbers

    def _sorted(self, numbers: list[int]) -> State:
        for members in self._alike:
            ordered = sorted([numbers[member] for member in members])
            for member, number in zip(members, ordered, strict=True):
                numbers[member] = number
        return tuple(numbers)

    def _path(self, state: State, last: Move) -> list[str]:
        """The moves that lead to ``state``, and the last one from there.

        Sorting has exchanged members on the way. So the way is gone again without sorting, by moves
        that lead to the same states when sorted.
        """
        way = [state]
        while (before := self.parents[way[-1]]) is not None:
            way.append(before)
        here = way.pop()
        path = []
        while way:
            target = way.pop()
            for member, move in self._moves(here):
                after = self._after(here, member, move)
                if self._sorted(list(after)) == target:
                    path.append(f"member {member}: {move.label}")
                    here = tuple(after)
                    break
        member = next(member for member, move in self._moves(here) if move is last)
        return [*path, f"member {member}: {last.label}"]
