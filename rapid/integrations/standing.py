"""How a member stands with its cluster at this moment, for probes and metrics."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from rapid import blocking
from rapid.cluster import Cluster
from rapid.view import Evicted, OtherCluster, QuorumLost, View

AnyCluster = Cluster | blocking.Cluster


class State(StrEnum):
    """What a member is."""

    STARTING = "starting"
    """It has no view yet."""
    MEMBER = "member"
    """It is in the view, and the members agree."""
    QUORUM_LOST = "quorum lost"
    """A change is due that too few members answer for: the view may hold members that are gone."""
    EVICTED = "evicted"
    """The cluster went on without it; it is joining again."""
    MERGING = "merging"
    """It has left its cluster for a larger one, and is joining that."""
    LEAVING = "leaving"
    CLOSED = "closed"
    """It has left, was closed, was evicted for good, or failed. It stays so."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A member's state and newest view; both of one moment."""

    state: State
    view: View | None
    """None until there is one."""


def standing(cluster: AnyCluster) -> Standing:
    """How the member stands now. Any thread; it never blocks. StateError after a fork."""
    member = cluster._cluster if isinstance(cluster, blocking.Cluster) else cluster
    member._same_process()
    feed = member._feed
    with feed.lock:
        view, changes = feed.view, feed.standing()
        closed, leaving = feed.closed, feed.leaving
    if closed:
        return Standing(State.CLOSED, view)
    if view is None:
        return Standing(State.STARTING, view)
    if leaving:
        return Standing(State.LEAVING, view)
    last = State.MEMBER
    for change in changes:
        match change:
            case QuorumLost() if last is State.MEMBER:
                last = State.QUORUM_LOST
            case Evicted():
                last = State.EVICTED
            case OtherCluster(merging=True):
                last = State.MERGING
    return Standing(last, view)
