"""Planted bugs: each a subclass of the real instance with one rule broken."""

from __future__ import annotations

from collections.abc import Mapping

from rapid.consensus.facts import FAST, NO_RANK, Accept, Prepare, Promise, Rank, Vote
from rapid.consensus.instance import Instance, LastVote, pick_value
from rapid.consensus.quorum import classic_quorum, fast_quorum
from rapid.overlay.cut import CutDigest

UNPROPOSED = CutDigest(b"?" * 16)


class LateFastVote(Instance):
    """Votes in the fast round after it has promised a classic one."""

    __slots__ = ()

    def propose(self, digest: CutDigest) -> None:
        promised, self.promised = self.promised, NO_RANK
        super().propose(digest)
        self.promised = max(promised, self.promised)


class PromiseCountedTwice(Instance):
    """Counts a promise that comes again, as if one more member had said it."""

    __slots__ = ()

    def add_promise(self, promise: Promise) -> int:
        new = super().add_promise(promise)
        if not new and promise.voters != self._bit:
            super().add_promise(promise._replace(voters=promise.voters << self.n))
        return new


class FastQuorumOneShort(Instance):
    __slots__ = ()

    def _quorum(self, rank: Rank) -> int:
        return fast_quorum(self.n) - 1 if rank == FAST else classic_quorum(self.n)


class ClassicQuorumOneShort(Instance):
    """Decides a classic round one vote short; the coordinator still waits for a majority."""

    __slots__ = ()

    def _quorum(self, rank: Rank) -> int:
        return fast_quorum(self.n) if rank == FAST else classic_quorum(self.n) - 1


class VotesOfAllRanksCount(Instance):
    """Decides on a majority of votes for a value, of whatever ranks."""

    __slots__ = ()

    def add_vote(self, vote: Vote) -> int:
        new = super().add_vote(vote)
        voters = 0
        for counted in self.votes.values():
            voters |= counted.get(vote.digest, 0)
        if self.decided is None and voters.bit_count() >= classic_quorum(self.n):
            self.decided = vote.digest
        return new


class VoteIgnoresPromise(Instance):
    """Accepts a pick below what it has promised."""

    __slots__ = ()

    def _consider(self, rank: Rank, digest: CutDigest) -> None:
        if rank > self.voted[0] and digest in self._bodies:
            self._vote(rank, digest)


class VoteIsNoPromise(Instance):
    """Votes without holding itself to the rank: may promise and vote below it afterwards."""

    __slots__ = ()

    def _vote(self, rank: Rank, digest: CutDigest) -> None:
        promised = self.promised
        super()._vote(rank, digest)
        self.promised = promised

    def _consider(self, rank: Rank, digest: CutDigest) -> None:
        if rank >= self.promised and digest in self._bodies:
            self._vote(rank, digest)


class VotesAgain(Instance):
    """Goes over to the value picked, in the fast round too."""

    __slots__ = ()

    def _consider(self, rank: Rank, digest: CutDigest) -> None:
        if self.voted[0] == FAST and self.voted[1] != digest and self.promised <= FAST:
            self._vote(FAST, digest)
        super()._consider(rank, digest)


class PromisesLower(Instance):
    """Promises whatever it is asked for, and is then bound by that only."""

    __slots__ = ()

    def add_prepare(self, prepare: Prepare) -> bool:
        if prepare.rank in self.prepares:
            return False
        self.prepares[prepare.rank] = None
        self._promise(prepare.rank)
        return True


class PromiseHidesVote(Instance):
    """Does not tell in a promise what it has voted for."""

    __slots__ = ()

    def _promise(self, rank: Rank) -> None:
        voted, self.voted = self.voted, (NO_RANK, None)
        super()._promise(rank)
        self.voted = voted


class OtherPick(Instance):
    __slots__ = ()
    short = 0

    def choose(self, promises: Mapping[LastVote, int]) -> CutDigest | None:
        raise NotImplementedError

    def _pick(self, rank: Rank) -> None:
        promises = self.promises.get(rank, {})
        heard = sum(voters.bit_count() for voters in promises.values())
        if self._picked.get(rank, True) or heard < classic_quorum(self.n) - self.short:
            return
        digest = self.choose(promises) or self.preferred or min(self._bodies, default=None)
        if digest is not None:
            self._picked[rank] = True
            accept = Accept(rank, digest)
            self.said.append(accept)
            self.add_accept(accept)


class PickIgnoresVotes(OtherPick):
    """Always picks the coordinator's own value."""

    __slots__ = ()

    def choose(self, promises: Mapping[LastVote, int]) -> CutDigest | None:
        return None


class PickIgnoresVrank(OtherPick):
    """Picks the value with the most votes, of whatever rank."""

    __slots__ = ()

    def choose(self, promises: Mapping[LastVote, int]) -> CutDigest | None:
        tally: dict[CutDigest, int] = {}
        for (_, digest), voters in promises.items():
            if digest is not None:
                tally[digest] = tally.get(digest, 0) + voters.bit_count()
        return max(sorted(tally), key=tally.__getitem__) if tally else None


class PickIgnoresCount(OtherPick):
    """Of several values at the highest rank picks its own instead of the one that may be chosen."""

    __slots__ = ()

    def choose(self, promises: Mapping[LastVote, int]) -> CutDigest | None:
        highest = max(vrank for vrank, _ in promises)
        values = {digest for vrank, digest in promises if vrank == highest and digest is not None}
        return values.pop() if len(values) == 1 else None


class PicksTwice(Instance):
    """Picks anew with each promise that comes later."""

    __slots__ = ()

    def add_promise(self, promise: Promise) -> int:
        picked = self._picked.get(promise.rank)
        new = super().add_promise(promise)
        if new and picked:
            self._picked[promise.rank] = False
            self._pick(promise.rank)
        return new


class PicksUnproposed(Instance):
    """Holds a body that nobody has proposed, and may pick it."""

    __slots__ = ()

    def __init__(self, n: int, me: int) -> None:
        super().__init__(n, me)
        self.learn(UNPROPOSED)


class PicksOneShort(OtherPick):
    """Picks on one promise less than a majority; learners still want a majority of votes."""

    __slots__ = ()
    short = 1

    def choose(self, promises: Mapping[LastVote, int]) -> CutDigest | None:
        return pick_value(self.n, promises)
