"""Planted bugs: each a subclass of the real instance with one rule broken."""

from __future__ import annotations

from collections.abc import Mapping

from rapid.consensus import instance as module
from rapid.consensus.facts import FAST, NO_RANK, Accept, Promise, Rank
from rapid.consensus.instance import Instance, LastVote
from rapid.consensus.quorum import classic_quorum, fast_quorum
from rapid.overlay.cut import CutDigest


class LateFastVote(Instance):
    """Votes in the fast round after it has promised a classic one."""

    __slots__ = ()

    def propose(self, digest: CutDigest) -> None:
        promised, self.promised = self.promised, NO_RANK
        super().propose(digest)
        self.promised = max(promised, self.promised)


class PromiseCountedTwice(Instance):
    """Counts every delivery of a promise, not every sender."""

    __slots__ = ("extra",)

    def add_promise(self, promise: Promise) -> int:
        extra: tuple[Promise, ...] = getattr(self, "extra", ())
        new = super().add_promise(promise)
        if not new and len(extra) < 2 and promise.voters != self._bit:
            self.extra = (*extra, promise)
            self._pick(promise.rank)
        return new

    def _pick(self, rank: Rank) -> None:
        extra = sum(promise.rank == rank for promise in getattr(self, "extra", ()))
        counted = self.promises.get(rank, {})
        heard = sum(voters.bit_count() for voters in counted.values())
        if self._picked.get(rank) is False and heard + extra >= classic_quorum(self.n):
            digest = module.pick_value(self.n, counted) or self.preferred
            if digest is not None:
                self._picked[rank] = True
                accept = Accept(rank, digest)
                self.said.append(accept)
                self.add_accept(accept)


class FastQuorumOneShort(Instance):
    __slots__ = ()

    def _quorum(self, rank: Rank) -> int:
        return fast_quorum(self.n) - 1 if rank == FAST else classic_quorum(self.n)


class ClassicQuorumOneShort(Instance):
    __slots__ = ()

    def _quorum(self, rank: Rank) -> int:
        return fast_quorum(self.n) if rank == FAST else classic_quorum(self.n) - 1


class VoteIgnoresPromise(Instance):
    """Accepts a pick below what it has promised."""

    __slots__ = ()

    def _consider(self, rank: Rank, digest: CutDigest) -> None:
        if rank > self.voted[0] and digest in self._bodies:
            self._vote(rank, digest)


class _OtherPick(Instance):
    __slots__ = ()

    def _choose(self, promises: Mapping[LastVote, int]) -> CutDigest | None:
        raise NotImplementedError

    def _pick(self, rank: Rank) -> None:
        promises = self.promises.get(rank, {})
        heard = sum(voters.bit_count() for voters in promises.values())
        if self._picked.get(rank, True) or heard < classic_quorum(self.n):
            return
        digest = self._choose(promises) or self.preferred or min(self._bodies, default=None)
        if digest is not None:
            self._picked[rank] = True
            accept = Accept(rank, digest)
            self.said.append(accept)
            self.add_accept(accept)


class PickIgnoresVotes(_OtherPick):
    """Always picks the coordinator's own value."""

    __slots__ = ()

    def _choose(self, promises: Mapping[LastVote, int]) -> CutDigest | None:
        return None


class PickIgnoresVrank(_OtherPick):
    """Picks the value with the most votes, of whatever rank."""

    __slots__ = ()

    def _choose(self, promises: Mapping[LastVote, int]) -> CutDigest | None:
        tally: dict[CutDigest, int] = {}
        for (_, digest), voters in promises.items():
            if digest is not None:
                tally[digest] = tally.get(digest, 0) + voters.bit_count()
        return max(sorted(tally), key=tally.__getitem__) if tally else None


class PickIgnoresCount(_OtherPick):
    """Of several values at the highest rank picks its own instead of the one that may be chosen."""

    __slots__ = ()

    def _choose(self, promises: Mapping[LastVote, int]) -> CutDigest | None:
        highest = max(vrank for vrank, _ in promises)
        values = {digest for vrank, digest in promises if vrank == highest and digest is not None}
        return values.pop() if len(values) == 1 else None
