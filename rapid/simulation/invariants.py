"""What must hold in every world, checked as it runs. All knowledge comes from what the members do.

The arithmetic of quorums is written out here anew: a bug in the protocol's own must not hide itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from rapid.consensus.facts import FAST, NO_RANK, Promise, Rank, Vote
from rapid.consensus.instance import Instance, LastVote
from rapid.overlay.configuration import Configuration, ConfigurationDigest
from rapid.overlay.cut import Cut, CutDigest
from rapid.overlay.member import ClusterId, Endpoint, NodeId
from rapid.protocol.messages import Facts
from rapid.protocol.outputs import Installed
from rapid.simulation.process import Life, Seen

REMEMBERED = 64
"""Epochs whose votes are kept, and so checked; of earlier ones the outcome is."""

Epoch = tuple[ClusterId, int]


class Agreement:
    """What was really said in one epoch, each voter's word taken from itself alone."""

    __slots__ = ("cast", "configuration", "given", "promises", "proposed", "votes")

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self.proposed: dict[CutDigest, None] = {}
        self.cast: dict[tuple[Rank, CutDigest], int] = {}
        self.given: dict[tuple[Rank, LastVote], int] = {}
        self.votes: dict[int, dict[Rank, CutDigest]] = {}
        self.promises: dict[int, dict[Rank, LastVote]] = {}


class Invariants:
    """Raises through ``fail(invariant, problem)`` when one does not hold.

    ``existed`` tells whether such a process ever ran. ``canary``: an invariant that is false on
    purpose is added, so that a test can see the checks run.
    """

    def __init__(
        self, fail: Callable[[str, str], NoReturn], existed: Callable[[Endpoint, NodeId], bool], canary: bool
    ) -> None:
        self._fail = fail
        self._existed = existed
        self._canary = canary
        self._digests: dict[Epoch, ConfigurationDigest] = {}
        self._agreements: dict[Epoch, Agreement] = {}
        self._decided: dict[Epoch, CutDigest] = {}
        self._coming: dict[Epoch, tuple[Configuration, Cut]] = {}
        """Parent and cut of what is decided and not installed yet: the first to decide may not be in it."""
        self._departed: set[tuple[ClusterId, NodeId]] = set()
        self._last_facts: Facts | None = None
        self.checks = 0
        self.forced = 0
        """How often an operator forced a new cluster, which nobody has agreed on."""

    # -- what members say

    def said(self, life: Life, facts: Facts) -> None:
        """A member sends facts: about itself they are its word, about others they must be theirs."""
        if facts is self._last_facts or not (facts.votes or facts.promises or facts.proposals):
            return
        self._last_facts = facts  # the same batch goes to many neighbours
        self.checks += 1
        agreement = self._agreements.get((facts.cluster_id, facts.version))
        if agreement is None:
            if (facts.cluster_id, facts.version) not in self._digests:
                self._fail("I1", f"{life} speaks of version {facts.version}, which nobody has installed")
            return
        me = self._index(life, agreement)
        bit = 1 << me
        for cut in facts.proposals:
            agreement.proposed[cut.digest] = None
        for promise in facts.promises:
            last = (promise.vrank, promise.digest)
            if promise.voters & bit:
                self._promised(life, agreement, me, promise)
            self._genuine(life, promise.voters & ~bit, agreement.given.get((promise.rank, last), 0), promise)
        for vote in facts.votes:
            if vote.voters & bit:
                self._voted(life, agreement, me, vote.rank, vote.digest)
            self._genuine(life, vote.voters & ~bit, agreement.cast.get((vote.rank, vote.digest), 0), vote)

    def deciding(
        self, life: Life, instance: Instance, proposal: Cut | None, parent: Configuration, cut: Cut
    ) -> None:
        """A member is about to follow a decision in its epoch, by its own count or told by another."""
        self.checks += 1
        epoch = (parent.cluster_id, parent.version)
        agreement = self._agreements.get(epoch)
        if agreement is None:
            return
        if proposal is not None:
            agreement.proposed[proposal.digest] = None
        me = self._index(life, agreement)
        for rank, counted in instance.votes.items():
            for digest, voters in counted.items():
                if voters >> me & 1:
                    # its own votes may have completed the quorum here, and then they never left the process
                    self._voted(life, agreement, me, rank, digest)
        if cut.digest not in agreement.proposed:
            self._fail(
                "I3", f"{life} decides {cut.digest} in version {parent.version}, which nobody proposed"
            )
        known = self._decided.get(epoch)
        if known is not None and known != cut.digest:
            self._fail(
                "I3", f"{life} decides {cut.digest} in version {parent.version}, another decided {known}"
            )
        if instance.decided_rank == NO_RANK:
            if known is None:
                self._fail(
                    "I3", f"{life} was told of a decision in version {parent.version} that nobody made"
                )
        else:
            voters = agreement.cast.get((instance.decided_rank, cut.digest), 0).bit_count()
            if voters < quorum(parent.size, instance.decided_rank):
                self._fail(
                    "I6", f"{life} decides version {parent.version} of {parent.size} by {voters} votes"
                    f" at {tuple(instance.decided_rank)}"
                )  # fmt: skip
        self._decided[epoch] = cut.digest
        if known is None:
            self._coming[parent.cluster_id, parent.version + 1] = (parent, cut)

    # -- what members install

    def installed(self, life: Life, event: Installed) -> None:
        self.checks += 1
        configuration, cut = event.configuration, event.cut
        if self._canary and configuration.size > 1:
            self._fail("canary", f"{life} is not alone")
        me = configuration.member(life.place.endpoint)
        if me is None or me.node_id != life.node_id:
            self._fail("I2", f"{life} installs a view that it is not in")
        before = life.views[-1] if life.views else None
        self._chain(life, before, event)
        name = (configuration.cluster_id, configuration.version)
        known = self._digests.get(name)
        if known is None:
            self._first(life, before, configuration, cut)
        elif known != configuration.digest:
            self._fail("I1", f"{life} installs version {name[1]} with other contents than others did")

    def _chain(self, life: Life, before: Seen | None, event: Installed) -> None:
        version, cluster_id = event.configuration.version, event.configuration.cluster_id
        if before is None:
            return
        expected = before.configuration.version + 1 + event.skipped
        if cluster_id != before.configuration.cluster_id:
            moved = life.between or life.node.stats["merges"] or self.forced
            problem = event.cut is not None or not moved
        elif life.between:
            problem = version <= before.configuration.version + 1
        else:
            problem = version != expected or event.skipped < 0
        if problem:
            self._fail(
                "I2", f"{life} goes from version {before.configuration.version} to {version},"
                f" skipped {event.skipped}"
            )  # fmt: skip
        if event.cut is not None and event.skipped:
            self._fail("I2", f"{life} skips {event.skipped} versions by a cut")

    def _first(self, life: Life, before: Seen | None, configuration: Configuration, cut: Cut | None) -> None:
        """The first member to install this configuration: it must follow from its parent."""
        name = (configuration.cluster_id, configuration.version)
        coming = self._coming.pop(name, None)
        if cut is not None and before is not None:
            parent = before.configuration
            if self._decided.get((parent.cluster_id, parent.version)) != cut.digest:
                self._fail("I3", f"{life} installs version {name[1]} by a cut that was not decided")
            self._whole(life, parent, cut, configuration)
        elif coming is not None:
            self._whole(life, *coming, configuration)
        else:
            known = any(cluster_id == configuration.cluster_id for cluster_id, _ in self._digests)
            if known or not (configuration.version == configuration.size == 1 or self.forced):
                self._fail("I6", f"{life} has version {name[1]}, which nobody decided")
        self._digests[name] = configuration.digest
        self._agreements[name] = Agreement(configuration)
        if len(self._agreements) > REMEMBERED:
            del self._agreements[next(iter(self._agreements))]

    def _whole(self, life: Life, parent: Configuration, cut: Cut, configuration: Configuration) -> None:
        """Contents by the slow and obvious way: all of the cut happened, and nothing else."""
        members = {member.endpoint: member for member in parent.members}
        for removal in cut.removed:
            gone = members.pop(removal.endpoint, None)
            if gone is None or gone.node_id != removal.node_id:
                self._fail("I7", f"{life} removes {removal.endpoint}, which is no such member")
            self._departed.add((parent.cluster_id, removal.node_id))
        for member in cut.joined:
            if member.endpoint in members:
                self._fail("I7", f"{life} lets {member.endpoint} in where another is")
            if (parent.cluster_id, member.node_id) in self._departed:
                self._fail("I5", f"{member.endpoint} comes back as {member.node_id}")
            if not self._existed(member.endpoint, member.node_id):
                self._fail("I5", f"{member.endpoint} as {member.node_id} never ran")
            members[member.endpoint] = member
        rebuilt = Configuration.of(parent.cluster_id, parent.version + 1, members.values(), parent.k)
        same_rings = all(
            list(one.endpoints) == list(other.endpoints)
            for one, other in zip(rebuilt.rings, configuration.rings, strict=True)
        )
        if rebuilt.digest != configuration.digest or not same_rings:
            self._fail("I7", f"version {configuration.version} is not version {parent.version} and the cut")

    # -- one voter's word

    def _index(self, life: Life, agreement: Agreement) -> int:
        configuration, endpoint = agreement.configuration, life.place.endpoint
        index, member = configuration.index(endpoint), configuration.member(endpoint)
        # between two drains a process may speak for the view that it left and decide in the one it came to
        if index is None or member is None or member.node_id not in (life.node_id, life.node.node_id):
            self._fail("I4", f"{life} speaks in version {configuration.version} without being a member of it")
        return index

    def _voted(self, life: Life, agreement: Agreement, me: int, rank: Rank, digest: CutDigest) -> None:
        votes = agreement.votes.setdefault(me, {})
        if rank in votes:
            if votes[rank] != digest:
                self._fail(
                    "I4", f"{life} votes twice at {tuple(rank)} in version {agreement.configuration.version}"
                )
            return
        votes[rank] = digest
        key = (rank, digest)
        agreement.cast[key] = agreement.cast.get(key, 0) | 1 << me
        for promised, last in agreement.promises.get(me, {}).items():
            self._kept(life, promised, last, rank, digest)

    def _promised(self, life: Life, agreement: Agreement, me: int, promise: Promise) -> None:
        promises = agreement.promises.setdefault(me, {})
        last = (promise.vrank, promise.digest)
        if promise.rank in promises:
            if promises[promise.rank] != last:
                self._fail("I4", f"{life} promises {tuple(promise.rank)} twice with different last votes")
            return
        promises[promise.rank] = last
        key = (promise.rank, last)
        agreement.given[key] = agreement.given.get(key, 0) | 1 << me
        for rank, digest in agreement.votes.get(me, {}).items():
            self._kept(life, promise.rank, last, rank, digest)

    def _kept(self, life: Life, promised: Rank, last: LastVote, rank: Rank, digest: CutDigest) -> None:
        """A promise and a vote of one member, in whatever order they became known."""
        if last[0] < rank < promised:
            self._fail("I4", f"{life} votes at {tuple(rank)} though it promised {tuple(promised)}")
        if rank == last[0] and digest != last[1]:
            self._fail("I4", f"{life} promises {tuple(promised)} with a last vote that it never cast")

    def _genuine(self, life: Life, voters: int, known: int, fact: Promise | Vote) -> None:
        if voters & ~known:
            self._fail("I4", f"{life} passes on {fact}, which {voters & ~known:b} never said")


def quorum(n: int, rank: Rank) -> int:
    """Three quarters in the fast round, a majority in a classic one."""
    return n - (n - 1) // 4 if rank == FAST else n // 2 + 1
