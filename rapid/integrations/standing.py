"""How a member stands with its cluster at this moment, for probes and metrics. Needs no extra."""

from __future__ import annotations

from rapid import blocking
from rapid.cluster import Cluster
from rapid.standing import Standing, State
from rapid.view import RejoinDelayed, RejoinFailed

AnyCluster = Cluster | blocking.Cluster
"""A member, for an event loop or for threads."""


def standing(cluster: AnyCluster) -> Standing:
    """How the member stands now. Any thread; it never blocks. :class:`rapid.StateError` after a fork."""
    member = cluster._cluster if isinstance(cluster, blocking.Cluster) else cluster
    member._same_process()
    feed = member._feed
    with feed.lock:
        view, changes = feed.view, feed.standing()
        closed, leaving = feed.closed, feed.leaving
    state, reason = State.JOINING, None
    for change in changes:
        state = state.after(change)
        if isinstance(change, RejoinDelayed | RejoinFailed):
            reason = change.reason
    if closed:
        state = State.CLOSED
    elif leaving and view is not None:
        state = State.LEAVING
    return Standing(state, view, reason)
