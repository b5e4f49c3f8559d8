"""What the application is told: views of the cluster, and how they change. All of it is frozen."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from rapid.overlay.cut import Removal
from rapid.overlay.member import Endpoint, Member


@dataclass(frozen=True)
class View:
    """The members of the cluster, as all of them agree, between two changes.

    ``(cluster_id, version)`` is unique to a view, and ``version`` grows by one with each change:
    together they are a fencing token. Members that hold the same ``(cluster_id, version)`` hold the
    same ``members``, in the same order; ``digest`` is a hash of all three.
    """

    cluster_id: str
    """Hex. Minted by the process that founded the cluster."""
    version: int
    digest: str
    """Hex."""
    members: tuple[Member, ...]

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
    :class:`ViewsSkipped` tells its first view then. Otherwise nothing comes after this.
    """

    cluster_id: str
    version: int
    rejoining: bool = False


@dataclass(frozen=True)
class QuorumLost:
    """A change to the view of this version is due, and too many members are silent to agree on it.

    The view stays as it is, though members of it are gone. Do not rely on it until it is restored.
    """

    version: int


@dataclass(frozen=True)
class QuorumRestored:
    """Members agree again, after a :class:`QuorumLost`."""

    version: int


@dataclass(frozen=True)
class OtherCluster:
    """At this address, which is a seed's or a member's, runs a member of another cluster.

    Told once for each. ``merging``: this member leaves its cluster to itself and joins that one,
    which is the larger; :class:`ViewsSkipped` tells its first view there.
    """

    endpoint: Endpoint
    cluster_id: str
    size: int
    merging: bool


Change = ViewChange | ViewsSkipped | Evicted | QuorumLost | QuorumRestored | OtherCluster
"""What :meth:`rapid.Cluster.changes` gives and :meth:`rapid.Cluster.subscribe` calls back with."""
