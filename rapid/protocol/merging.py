"""A member's attempt to get into another cluster, while it stays a full member of its own."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from random import Random

from rapid.overlay.configuration import Configuration
from rapid.overlay.member import ClusterId, Endpoint, Member, NodeId
from rapid.protocol.departure import Departure, announce
from rapid.protocol.joining import Joining
from rapid.protocol.lineage import Lineage
from rapid.protocol.messages import Probe, Refounded, Snapshot
from rapid.protocol.outbox import Outbox
from rapid.protocol.outreach import Outreach, Sighting
from rapid.settings import Settings

WAYS_IN = 3
"""Members of a forced cluster that one of the replaced cluster asks to be let in."""


def ways_into(word: Refounded, rng: Random) -> list[Endpoint]:
    """Whom to ask for admission to a forced cluster: who told of it, if that is a member, and some others."""
    theirs = word.configuration
    others = [endpoint for endpoint in theirs.endpoints if endpoint != word.sender]
    ways = [word.sender] if word.sender in theirs else []
    return ways + rng.sample(others, min(len(others), WAYS_IN - len(ways)))


def passed_on_to(word: Refounded, mine: Configuration) -> list[Endpoint]:
    """The members of the replaced cluster that one of them tells, if it was told by the forced one itself."""
    theirs = word.configuration
    first_hand = word.sender in theirs
    return [endpoint for endpoint in mine.endpoints if first_hand and endpoint not in theirs]


class Merging:
    """One attempt, under a node id of its own, until ``settings.join_timeout`` is over.

    Nothing of the membership at hand is touched before :meth:`lets_in` says that the other cluster has let
    this process in. ``failure`` is the reason once the attempt has failed. ``arrival`` is the view that lets
    it in while it waits for its old cluster to agree on its departure; ``due``: when to :meth:`wake`.

    ``path``: where an operator has replaced this process' cluster by the other one, the ids of the clusters
    that the other one continues, and its own, as :class:`Lineage` compares them.
    """

    def __init__(
        self,
        me: Member,
        ways_in: Sequence[Endpoint],
        target: Sighting,
        settings: Settings,
        rng: Random,
        outbox: Outbox,
        now: float,
        path: tuple[ClusterId, ...] = (),
    ) -> None:
        self._rng = rng
        self._me = me
        self._settings = settings
        self._outbox = outbox
        self.member = me
        """Who this process is to the other cluster."""
        self._renew()
        self.way_in = ways_in[0]
        self.target = target
        """What was last said of the other cluster."""
        self.path = path
        self.failure: str | None = None
        self.arrival: Snapshot | None = None
        self._departure: Departure | None = None
        self.joining = Joining(
            self.member, ways_in, settings, rng, outbox, now, found=self._never_founds, failed=self._fail,
            renew=self._renew, cluster_id=target.cluster_id, deadline=now + settings.join_timeout,
        )  # fmt: skip

    @property
    def cluster_id(self) -> ClusterId:
        return self.target.cluster_id

    @property
    def due(self) -> float:
        return self.joining.due if self._departure is None else self._departure.due

    def wake(self, now: float) -> bool:
        """Make the next try; whether it is time to go over, since the old cluster has not agreed so far."""
        if self._departure is None:
            self.joining.wake(now)
            return False
        return now >= self._departure.due

    def concerns(self, probe: Probe) -> bool:
        """Whether the probe is meant for the process that this one is about to become."""
        return probe.target == self.member.node_id

    def heard(self, peer: Endpoint, theirs: Sighting, now: float) -> None:
        """A process says where it is: a member of the other cluster is a way in."""
        if theirs.cluster_id == self.cluster_id:
            self.target = theirs
            self.joining.probed(peer, theirs.cluster_id, theirs.size, now)

    def lets_in(self, theirs: Configuration) -> bool:
        """Whether this is a view of the other cluster that holds this process."""
        member = theirs.member(self._me.endpoint)
        return (
            theirs.cluster_id == self.cluster_id
            and member is not None
            and member.node_id == self.member.node_id
        )

    def arrived(self, theirs: Configuration) -> Sighting:
        """The other cluster as it is now, by a view of it: it has just agreed on something."""
        return Sighting(theirs.cluster_id, theirs.size, self.target.failing, quorum_lost=False)

    def gives_way_to(self, path: tuple[ClusterId, ...]) -> bool:
        """Whether the other cluster was itself replaced by the one that this path leads to."""
        if not self.path:
            return False
        there = Lineage()
        there.enter(self.path[:-1])
        return there.yields_to(self.path[-1], path[-1], path[:-1]) is True

    def arrive(self, snapshot: Snapshot) -> None:
        """The other cluster has let this process in, which will go there."""
        self.arrival = snapshot
        self.joining.due = inf

    def take_leave(self, mine: Configuration, quorum_lost: bool, now: float) -> bool:
        """Tell the old cluster, in each view in which this member still is; whether it is time to go over.

        From a cluster that was replaced members go in large numbers, and it may not know of the other one. So
        that it keeps its quorum it is to agree on the departure first, if it can, within two probe intervals.
        """
        if not self.path or quorum_lost:
            announce(self._me.endpoint, self._me.node_id, mine, self._outbox)
            return True
        if self._departure is None:
            patience = 2 * self._settings.probe_interval
            self._departure = Departure(self._me.endpoint, self._settings, self._outbox, now, patience)
        self._departure.announce(mine, self._me.node_id)
        if mine.size == 1:  # nobody is left to agree
            self._departure.due = now
        return mine.size == 1

    def _renew(self) -> Member:
        node_id = NodeId(self._rng.randbytes(NodeId.SIZE))
        self.member = Member(self._me.endpoint, node_id, self._me.metadata)
        return self.member

    def _fail(self, reason: str) -> None:
        self.failure = reason

    def _never_founds(self) -> None:
        raise AssertionError("who joins a cluster that it was told of founds none")


def right_to_go(
    lineage: Lineage,
    outreach: Outreach,
    mine: Sighting,
    theirs: Sighting,
    formerly: tuple[ClusterId, ...],
) -> bool:
    """Whether a member is to leave its own cluster for the other, which has let it in.

    ``formerly`` are the clusters that the other one continues.
    Of two that an operator's force has made of one, that which was replaced goes to the other; and back,
    where the other has lost its quorum: it can take nobody in, and decide nothing.
    """
    replaces = lineage.yields_to(mine.cluster_id, theirs.cluster_id, formerly)
    if replaces is not None:
        return replaces or mine.quorum_lost
    return not lineage.replaced(theirs.cluster_id) and outreach.goes_to(theirs, mine)
