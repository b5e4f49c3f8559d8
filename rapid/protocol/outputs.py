"""What a node wants done: messages to send, and events for the application."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from rapid.overlay.configuration import Configuration
from rapid.overlay.cut import Cut
from rapid.overlay.member import ClusterId, Endpoint, Member
from rapid.protocol.messages import Message


@dataclass(slots=True)
class Send:
    """Send this message, by the transport."""

    to: Endpoint
    message: Message


@dataclass(slots=True)
class Reply:
    """Send back the way that a received message came: ``token`` is the transport's ``reply_to``."""

    token: Hashable
    message: Message


@dataclass(slots=True)
class Installed:
    """A new configuration. ``cut`` is None for the first one of a membership and after a snapshot.

    ``skipped`` counts the versions between the one before and this one that were never seen here.
    A cut without any change says that the members began afresh: see :class:`Epoch`.
    """

    configuration: Configuration
    cut: Cut | None
    skipped: int = 0


@dataclass(slots=True)
class Evicted:
    """The cluster goes on without this member from ``version`` on. ``rejoining``: as a new one."""

    cluster_id: ClusterId
    version: int
    rejoining: bool = False


@dataclass(slots=True)
class Left:
    """The departure is over; ``agreed`` is False when the timeout came first."""

    agreed: bool


@dataclass(slots=True)
class JoinFailed:
    """The deadline passed, or every seed refused for good, also after an eviction. The node is done.

    ``leaving``: not yet, since a cluster may let it in all the same. It leaves then; :class:`Left` follows.
    """

    reason: str
    leaving: bool = False


@dataclass(slots=True)
class JoinDelayed:
    """No cluster has let this process in for ``waited`` seconds; it goes on trying. ``rejoining``: again."""

    waited: float
    reason: str
    rejoining: bool


@dataclass(slots=True)
class MergeFailed:
    """The other cluster at this address has not let this member in, which stays where it is."""

    endpoint: Endpoint
    cluster_id: ClusterId
    reason: str


@dataclass(slots=True)
class QuorumLost:
    """A change cannot be agreed on, or most of the members are silent: this one cannot agree with a majority.

    :class:`QuorumRestored` follows, unless the process ends before: when a majority answers again, or with
    the next configuration, whichever way that comes.
    """

    version: int


@dataclass(slots=True)
class QuorumRestored:
    """This member agrees with a majority again; ``version`` is that of its configuration now."""

    version: int


@dataclass(slots=True)
class OtherCluster:
    """At this address is a member of another cluster.

    ``merging``: that cluster has let this process in, which goes there: the next event is its configuration.
    """

    endpoint: Endpoint
    cluster_id: ClusterId
    size: int
    merging: bool


@dataclass(slots=True)
class RefoundingRefused:
    """Nothing was done about :meth:`Node.force_new_cluster`, for this reason."""

    reason: str


@dataclass(slots=True)
class Rejected:
    """A message from a peer was refused and had no effect."""

    reason: str
    sender: Endpoint | None


Event = (
    Installed
    | Evicted
    | Left
    | JoinFailed
    | JoinDelayed
    | MergeFailed
    | QuorumLost
    | QuorumRestored
    | OtherCluster
    | RefoundingRefused
    | Rejected
)


@dataclass(slots=True)
class Notify:
    """Tell the application, or who stands for it."""

    event: Event


@dataclass(slots=True)
class Discover:
    """Look the seeds up anew and answer with :meth:`Node.discovered`; without an answer the old ones stay."""


@dataclass(slots=True)
class Check:
    """Have the application check this member, and tell the node by its ``checked`` with the same number."""

    member: Member
    sequence: int


Output = Send | Reply | Notify | Discover | Check
