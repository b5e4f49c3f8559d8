"""Every interleaving of one agreement, driven through the real :class:`Instance`.

What members have said only grows, and any subset of it may have reached any member. So a global
state is just the local state of each member, and the facts under way follow from what the members
hold of their own. Local transitions run the real class once and are remembered; the global search
then walks over small integers. Votes need no delivery: a value is chosen as soon as the votes that
exist would make a learner decide.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field

from rapid.consensus.facts import FAST, Accept, Prepare, Promise, Rank, Vote
from rapid.consensus.instance import Instance
from rapid.overlay.cut import CutDigest

A = CutDigest(b"a" * 16)
B = CutDigest(b"b" * 16)

Action = tuple[str, CutDigest | int | Prepare | Promise | Accept]
State = tuple[int, ...]


@dataclass
class Local:
    """One local state: the real instance, and what it has said so far."""

    instance: Instance
    own: tuple[Prepare | Promise | Accept | Vote, ...] = ()
    next: dict[Action, int] = field(default_factory=dict)


@dataclass
class Outcome:
    """What a search found: ``split`` is a path to two chosen values, or None."""

    states: int
    chosen: set[CutDigest]
    split: list[str] | None


def local_key(local: Local) -> Hashable:
    """What can still matter of a local state; two with one key behave alike from here on.

    A round that the coordinator has picked for needs no more promises, and what lies below a
    promise has no effect any more.
    """
    instance = local.instance
    promises = {
        rank: sorted(said.items(), key=repr)
        for rank, said in instance.promises.items()
        if instance._picked.get(rank) is False
    }
    return (
        instance.me,
        instance.promised,
        instance.voted,
        instance.preferred,
        repr(promises),
        repr(sorted(instance._picked.items())),
        getattr(instance, "extra", None),
        local.own,
    )


class Search:
    """Depth-first over all reachable states of ``n`` members and the given classic rounds.

    Member r of ``rounds`` coordinates the round ``rounds[r]``. ``proposals`` gives, for each
    member, the values that it may propose.
    """

    def __init__(
        self,
        n: int,
        rounds: tuple[int, ...],
        proposals: tuple[tuple[CutDigest, ...], ...],
        make: type[Instance] = Instance,
        limit: int = 50_000_000,
    ) -> None:
        self.n = n
        self.rounds = rounds
        self.proposals = proposals
        self.make = make
        self.limit = limit
        self.locals: list[Local] = []
        self._ids: dict[Hashable, int] = {}
        self._chosen: dict[frozenset[tuple[Rank, CutDigest, int]], frozenset[CutDigest]] = {}

    def run(self) -> Outcome:
        start = tuple(self._intern(self._fresh(member)) for member in range(self.n))
        parents: dict[State, tuple[State, str] | None] = {start: None}
        stack = [start]
        chosen_ever: set[CutDigest] = set()
        while stack:
            state = stack.pop()
            chosen = self._chosen_in(state)
            chosen_ever |= chosen
            if len(chosen) > 1:
                return Outcome(len(parents), chosen_ever, self._path(parents, state))
            for member, action in self._actions(state):
                after = self._step(state[member], action)
                if after == state[member]:
                    continue
                successor = (*state[:member], after, *state[member + 1 :])
                if successor not in parents:
                    parents[successor] = (state, f"member {member}: {action}")
                    stack.append(successor)
            assert len(parents) < self.limit, "the search is larger than its limit"
        return Outcome(len(parents), chosen_ever, None)

    def _fresh(self, member: int) -> Local:
        instance = self.make(self.n, member)
        for values in self.proposals:
            for value in values:
                instance.learn(value)
        return Local(instance)

    def _intern(self, local: Local) -> int:
        key = local_key(local)
        number = self._ids.get(key)
        if number is None:
            number = self._ids[key] = len(self.locals)
            self.locals.append(local)
        return number

    def _actions(self, state: State) -> Iterator[tuple[int, Action]]:
        for member, number in enumerate(state):
            own = self.locals[number].own
            if member < len(self.rounds) and not any(isinstance(fact, Prepare) for fact in own):
                yield member, ("coordinate", self.rounds[member])
            if self.locals[number].instance.preferred is None:
                for value in self.proposals[member]:
                    yield member, ("propose", value)
            for fact in own:
                if isinstance(fact, Promise):
                    coordinator = fact.rank.coordinator
                    if coordinator != member:
                        yield coordinator, ("promise", fact)
                elif isinstance(fact, Prepare | Accept):
                    kind = "prepare" if isinstance(fact, Prepare) else "accept"
                    for other in range(self.n):
                        if other != member:
                            yield other, (kind, fact)

    def _step(self, number: int, action: Action) -> int:
        local = self.locals[number]
        after = local.next.get(action)
        if after is None:
            instance = deepcopy(local.instance)
            kind, what = action
            if kind == "propose":
                assert isinstance(what, CutDigest)
                instance.propose(what)
            elif kind == "coordinate":
                assert isinstance(what, int)
                instance.coordinate(what)
            elif isinstance(what, Prepare):
                instance.add_prepare(what)
            elif isinstance(what, Promise):
                instance.add_promise(what)
            elif isinstance(what, Accept):
                instance.add_accept(what)
            own = tuple(sorted(set(local.own) | set(instance.said), key=repr))
            instance.said = []
            after = local.next[action] = self._intern(Local(instance, own))
        return after

    def _chosen_in(self, state: State) -> frozenset[CutDigest]:
        tally: dict[tuple[Rank, CutDigest], int] = {}
        for number in state:
            for fact in self.locals[number].own:
                if isinstance(fact, Vote):
                    tally[fact.rank, fact.digest] = tally.get((fact.rank, fact.digest), 0) | fact.voters
        votes = frozenset((rank, digest, voters) for (rank, digest), voters in tally.items())
        chosen = self._chosen.get(votes)
        if chosen is None:
            found = set()
            for rank, digest, voters in votes:
                learner = self.make(self.n, 0)
                learner.add_vote(Vote(rank, digest, voters))
                if learner.decided is not None:
                    found.add(learner.decided)
            chosen = self._chosen[votes] = frozenset(found)
        return chosen

    @staticmethod
    def _path(parents: dict[State, tuple[State, str] | None], state: State) -> list[str]:
        path: list[str] = []
        step = parents[state]
        while step is not None:
            path.append(step[1])
            step = parents[step[0]]
        return path[::-1]


def concurrent(n: int) -> tuple[tuple[CutDigest, ...], ...]:
    """Member 0 proposes A, the rest may propose either."""
    return ((A,), *((A, B),) * (n - 1))


__all__ = ["FAST", "A", "B", "Outcome", "Search", "concurrent"]
