"""A member's attempt to get into a larger cluster, while it stays a full member of its own."""

from __future__ import annotations

from random import Random

from rapid.overlay.configuration import Configuration
from rapid.overlay.member import ClusterId, Endpoint, Member, NodeId
from rapid.protocol.joining import Joining
from rapid.protocol.messages import Probe
from rapid.protocol.outbox import Outbox
from rapid.protocol.outreach import Sighting
from rapid.settings import Settings


class Merging:
    """One attempt, under a node id of its own, until ``settings.join_timeout`` is over.

    Nothing of the membership at hand is touched: that ends only when :meth:`lets_in` says that the other
    cluster has let this process in. ``failure`` is the reason once the attempt has failed.
    """

    def __init__(
        self,
        me: Member,
        way_in: Endpoint,
        target: Sighting,
        settings: Settings,
        rng: Random,
        outbox: Outbox,
        now: float,
    ) -> None:
        self._rng = rng
        self._me = me
        self.member = me
        """Who this process is to the other cluster."""
        self._renew()
        self.way_in = way_in
        self.target = target
        """What was last said of the other cluster."""
        self.failure: str | None = None
        self.joining = Joining(
            self.member, [way_in], settings, rng, outbox, now, found=self._never_founds, failed=self._fail,
            renew=self._renew, cluster_id=target.cluster_id, deadline=now + settings.join_timeout,
        )  # fmt: skip

    @property
    def cluster_id(self) -> ClusterId:
        return self.target.cluster_id

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

    def _renew(self) -> Member:
        node_id = NodeId(self._rng.randbytes(NodeId.SIZE))
        self.member = Member(self._me.endpoint, node_id, self._me.metadata)
        return self.member

    def _fail(self, reason: str) -> None:
        self.failure = reason

    def _never_founds(self) -> None:
        raise AssertionError("who joins a cluster that it was told of founds none")
