"""One agreement: acceptor, coordinator and learner of one member in one epoch."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TypeVar

from rapid.consensus.facts import FAST, NO_RANK, Accept, Prepare, Promise, Rank, Vote
from rapid.consensus.quorum import classic_quorum, fast_quorum, tolerance
from rapid.overlay.cut import CutDigest

Statement = Prepare | Promise | Accept | Vote
LastVote = tuple[Rank, CutDigest | None]
Key = TypeVar("Key", bound=Hashable)


class Instance:
    """Agrees on one value among n members; this one is the member at index ``me`` of ring 0.

    Facts go in by ``add_*``, which return what of them was new (votes and promises: a bitmap).
    What this member says itself is counted here at once and collects in ``said``, in order.
    ``decided`` is set once and never changes. Values are named by digests; a member votes only
    for a value whose body it holds (:meth:`learn`), so that a decided body is never lost.
    """

    __slots__ = (
        "_bit", "_bodies", "_picked", "accepts", "conflicts", "decided", "decided_rank", "me", "n",
        "preferred", "prepares", "promised", "promises", "said", "voted", "votes",
    )  # fmt: skip

    def __init__(self, n: int, me: int) -> None:
        self.n = n
        self.me = me
        self.promised: Rank = NO_RANK
        self.voted: LastVote = (NO_RANK, None)
        self.preferred: CutDigest | None = None
        self.votes: dict[Rank, dict[CutDigest, int]] = {}
        self.promises: dict[Rank, dict[LastVote, int]] = {}
        self.prepares: dict[Rank, None] = {}
        self.accepts: dict[Rank, CutDigest] = {}
        self.said: list[Statement] = []
        self.decided: CutDigest | None = None
        self.decided_rank: Rank = NO_RANK
        self.conflicts = 0
        """Facts that contradict an earlier one by the same member: counted, without effect."""
        self._bit = 1 << me
        self._bodies: dict[CutDigest, None] = {}
        self._picked: dict[Rank, bool] = {}

    # -- this member's own acts

    def learn(self, digest: CutDigest) -> None:
        """The body of this value is at hand now."""
        if digest in self._bodies:
            return
        self._bodies[digest] = None
        for rank, accepted in sorted(self.accepts.items()):
            if accepted == digest:
                self._consider(rank, digest)
        for rank in sorted(self._picked):
            self._pick(rank)

    def propose(self, digest: CutDigest) -> None:
        """Vote for a value in the fast round, unless this member has voted or promised already."""
        self.preferred = digest
        self.learn(digest)
        if self.voted[0] == NO_RANK and self.promised <= FAST:
            self._vote(FAST, digest)

    def coordinate(self, round_number: int) -> None:
        """Open a classic round; nothing happens when a higher rank is promised already."""
        rank = Rank(round_number, self.me)
        if round_number <= FAST.round or rank <= self.promised or rank in self._picked:
            return
        self._picked[rank] = False
        self.said.append(Prepare(rank))
        self.prepares[rank] = None
        self._promise(rank)

    # -- facts from anyone

    def add_prepare(self, prepare: Prepare) -> bool:
        if prepare.rank in self.prepares:
            return False
        self.prepares[prepare.rank] = None
        if prepare.rank > self.promised:
            self._promise(prepare.rank)
        return True

    def add_promise(self, promise: Promise) -> int:
        counted = self.promises.setdefault(promise.rank, {})
        last = (promise.vrank, promise.digest)
        new = self._count_once(counted, last, promise.voters)
        if new:
            counted[last] = counted.get(last, 0) | new
            self._pick(promise.rank)
        return new

    def add_accept(self, accept: Accept) -> bool:
        known = self.accepts.get(accept.rank)
        if known is not None:
            self.conflicts += known != accept.digest
            return False
        self.accepts[accept.rank] = accept.digest
        self._consider(accept.rank, accept.digest)
        return True

    def add_vote(self, vote: Vote) -> int:
        counted = self.votes.setdefault(vote.rank, {})
        new = self._count_once(counted, vote.digest, vote.voters)
        if new:
            counted[vote.digest] = total = counted.get(vote.digest, 0) | new
            if self.decided is None and total.bit_count() >= self._quorum(vote.rank):
                self.decided = vote.digest
                self.decided_rank = vote.rank
        return new

    def forget(self, rank: Rank) -> None:
        """Take nothing of this classic rank into account any more: higher ones have replaced it.

        What this member itself has promised and voted stays; so nothing it says later contradicts it.
        """
        for group in (self.votes, self.promises, self.prepares, self.accepts, self._picked):
            group.pop(rank, None)

    # -- what the round looks like from here

    @property
    def highest_round(self) -> int:
        """The highest round anyone is known to have opened."""
        return max((rank.round for rank in self.prepares), default=FAST.round)

    def fast_round_lost(self, silent: int = 0) -> bool:
        """No value can reach a fast quorum any more, whoever still votes.

        ``silent``: a bitmap of members that are not going to, as far as anyone can tell.
        """
        counted = self.votes.get(FAST, {})
        voted = 0
        for voters in counted.values():
            voted |= voters
        best = max((voters.bit_count() for voters in counted.values()), default=0)
        return best + self.n - (voted | silent).bit_count() < fast_quorum(self.n)

    # -- inside

    def _quorum(self, rank: Rank) -> int:
        return fast_quorum(self.n) if rank == FAST else classic_quorum(self.n)

    def _count_once(self, counted: Mapping[Key, int], key: Key, voters: int) -> int:
        """The voters not counted yet at this rank; one that now says something else is a conflict."""
        elsewhere = 0
        for other, bits in counted.items():
            if other != key:
                elsewhere |= bits
        self.conflicts += (voters & elsewhere).bit_count()
        return voters & ~elsewhere & ~counted.get(key, 0)

    def _promise(self, rank: Rank) -> None:
        self.promised = rank
        promise = Promise(rank, self.voted[0], self.voted[1], self._bit)
        self.said.append(promise)
        self.add_promise(promise)

    def _consider(self, rank: Rank, digest: CutDigest) -> None:
        if rank >= self.promised and rank > self.voted[0] and digest in self._bodies:
            self._vote(rank, digest)

    def _vote(self, rank: Rank, digest: CutDigest) -> None:
        self.promised = max(self.promised, rank)
        self.voted = (rank, digest)
        vote = Vote(rank, digest, self._bit)
        self.said.append(vote)
        self.add_vote(vote)

    def _pick(self, rank: Rank) -> None:
        """Once a rank: say what the voters of a round that this member coordinates shall accept."""
        if self._picked.get(rank, True):
            return
        promises = self.promises.get(rank, {})
        if sum(voters.bit_count() for voters in promises.values()) < classic_quorum(self.n):
            return
        digest = pick_value(self.n, promises)
        if digest is None:
            digest = self.preferred if self.preferred is not None else min(self._bodies, default=None)
        if digest is None:
            return  # no value is known yet; learn() comes back here
        self._picked[rank] = True
        accept = Accept(rank, digest)
        self.said.append(accept)
        self.add_accept(accept)


def pick_value(n: int, promises: Mapping[LastVote, int]) -> CutDigest | None:
    """The value that a coordinator must pick, or None when it is free (Fast Paxos, rule of phase 2).

    Of the votes at the highest rank: the only value; else the one with at least |Q| - F votes,
    which alone may have been chosen; else it is free, and the most voted is the best guess.
    """
    highest = max(vrank for vrank, _ in promises)
    if highest == NO_RANK:
        return None
    values = {
        digest: voters.bit_count()
        for (vrank, digest), voters in promises.items()
        if vrank == highest and digest is not None
    }
    if len(values) == 1:
        return next(iter(values))
    senders = sum(voters.bit_count() for voters in promises.values())
    for digest in sorted(values):
        if values[digest] >= senders - tolerance(n):
            return digest
    return max(sorted(values), key=values.__getitem__)
