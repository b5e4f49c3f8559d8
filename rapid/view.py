"""What the application is told: views of the cluster, and how they change. All of it is frozen."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property

from rapid import placement
from rapid.overlay.cut import Removal
from rapid.overlay.member import Endpoint, Member
from rapid.token import FencingToken


@dataclass(frozen=True)
class View:
    """The members of the cluster, as all of them agree, between two changes.

    ``(cluster_id, version)`` is unique to a view, and ``version`` grows by one with each change:
    together they are a fencing token, ``token``. Members that hold the same ``(cluster_id, version)``
    hold the same ``members``, in the same order; ``digest`` is a hash of all three. So what is a
    function of a view, as :meth:`leader` and :meth:`ring` are, is the same for all of them.
    """

    cluster_id: str
    """Hex. Minted by the process that founded the cluster."""
    version: int
    digest: str
    """Hex."""
    members: tuple[Member, ...]

    def __getstate__(self) -> dict[str, object]:
        # without what is computed from the fields when it is first asked for
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def size(self) -> int:
        """The number of members."""
        return len(self.members)

    @cached_property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The members' endpoints, in the order of ``members``."""
        return tuple(member.endpoint for member in self.members)

    @cached_property
    def _by_endpoint(self) -> dict[Endpoint, Member]:
        return {member.endpoint: member for member in self.members}

    def __contains__(self, endpoint: object) -> bool:
        """Whether a member is known by this endpoint."""
        return endpoint in self._by_endpoint

    def member(self, endpoint: Endpoint) -> Member | None:
        """The member known by this endpoint, or None."""
        return self._by_endpoint.get(endpoint)

    @property
    def token(self) -> FencingToken:
        """The name of this view, for a resource that refuses those with an older one."""
        return FencingToken(self.cluster_id, self.version)

    def leader(
        self, *, role: str | None = None, where: placement.Where | None = None, name: str = ""
    ) -> Member | None:
        """The one member that is to do what only one may: the same for all who hold this view.

        ``role``: only those with it as ``role`` in their metadata; ``where``: only those for which it
        holds. It must be a function of the member alone. None when there is none of these.
        Each ``name`` has a leader of its own, so that several offices do not all fall to one member.

        The leader stays when others go, and gives way to one that joins n others with a chance of
        1 / (n + 1). Members that hold different views may take different ones for it.
        """
        return placement.leader(placement.eligible(self.members, role, where), name)

    def ring(
        self,
        *,
        replicas: int = 1,
        weight: str | None = "weight",
        zone: str | None = "zone",
        role: str | None = None,
        where: placement.Where | None = None,
    ) -> placement.HashRing:
        """Which members own which keys; see :class:`HashRing`. Keep it as long as the view.

        ``role`` and ``where`` choose the members as for :meth:`leader`.
        """
        members = placement.eligible(self.members, role, where)
        return placement.HashRing(members, replicas=replicas, weight=weight, zone=zone)


@dataclass(frozen=True)
class ViewChange:
    """One agreed change, and the view that it led to.

    A change without joins and removals is a fresh beginning: the members agreed, after a failure of
    the network that is over, that all of them are there. The first one that a reader is given has
    all members of its view in ``joined``: applying the changes in order to an empty set always gives
    the view.
    """

    view: View
    joined: tuple[Member, ...]
    removed: tuple[Removal, ...]
    """Who is gone, and for each whether it left on purpose (``left``) or failed."""


@dataclass(frozen=True)
class ViewsSkipped:
    """Views were passed over: the reader was too slow, or this member had missed them itself.

    Compare ``view`` with the last one known to see what has changed. This also tells the first view
    after an :class:`Evicted`, and the first one in another cluster.
    """

    view: View
    """The newest view."""
    skipped: int
    """How many views between the last one given and ``view`` are not given; 0 in another cluster."""


@dataclass(frozen=True)
class Evicted:
    """The cluster went on without this member, from ``version`` on.

    ``rejoining``: it joins again by itself, under a new node id, as soon as its links are fit for it;
    :class:`ViewsSkipped` tells its first view then. :class:`RejoinDelayed` says when that takes long, and
    :class:`RejoinFailed` when it is over without one. Without ``rejoining`` nothing comes after this.
    """

    cluster_id: str
    version: int
    rejoining: bool = False


@dataclass(frozen=True)
class RejoinDelayed:
    """No cluster has let this evicted member in again so far; it goes on trying.

    Told after ``settings.join_warning`` seconds, and again after twice as long each time.
    """

    waited: float
    """Seconds since the eviction."""
    reason: str
    """What it waits for, for people."""


@dataclass(frozen=True)
class RejoinFailed:
    """This evicted member has given up joining again. It is closed, and nothing comes after this.

    ``settings.rejoin_timeout`` is over, or all that it asked refused it for good.
    """

    reason: str
    """For people."""


@dataclass(frozen=True)
class QuorumLost:
    """This member cannot agree with a majority on the view of this version, or on a change to it.

    The view stays as it is, though members of it may be gone. Do not rely on it until it is restored.
    :class:`QuorumRestored` always follows, unless the member ends before.
    """

    version: int


@dataclass(frozen=True)
class QuorumRestored:
    """This member agrees with a majority again, after a :class:`QuorumLost`.

    Told when a majority of the view answers again, though the view has not changed; and right after the next
    view, however that came: by agreement, after an eviction, in another cluster, or in one that was forced.
    """

    version: int
    """Of the view that holds now."""


@dataclass(frozen=True)
class OtherCluster:
    """At this address, which is a seed's or a member's, runs a member of another cluster.

    Told once for each, and once more when this member goes there. ``merging``: that one is larger, or was
    forced in place of its own, and has let this member in, which goes there; :class:`ViewsSkipped` is
    next and tells its first view there.
    """

    endpoint: Endpoint
    cluster_id: str
    size: int
    merging: bool


Change = (
    ViewChange
    | ViewsSkipped
    | Evicted
    | RejoinDelayed
    | RejoinFailed
    | QuorumLost
    | QuorumRestored
    | OtherCluster
)
"""What :meth:`rapid.Cluster.changes` gives and :meth:`rapid.Cluster.subscribe` calls back with."""
