"""From a node's events to what its application is told."""

from __future__ import annotations

from rapid import view as told
from rapid.overlay.configuration import Configuration
from rapid.overlay.cut import Removal
from rapid.protocol.outputs import (
    Event,
    Evicted,
    Installed,
    JoinDelayed,
    JoinFailed,
    OtherCluster,
    QuorumLost,
    QuorumRestored,
)


class Telling:
    """Of one node, in the order of its events. ``view`` is the last one that was told."""

    def __init__(self) -> None:
        self.view: told.View | None = None
        self._resuming = False
        """The next view does not follow from the last one told."""

    def change(self, event: Event) -> told.Change | None:
        """What the application is told of an event; None when that is nothing."""
        match event:
            case Installed():
                before, self.view = self.view, view_of(event.configuration)
                return self._installed(event, before, self.view)
            case Evicted(cluster_id, version, rejoining):
                self._resuming = True
                return told.Evicted(str(cluster_id), version, rejoining)
            case JoinDelayed(waited, reason, rejoining=True):
                return told.RejoinDelayed(waited, reason)
            case JoinFailed(reason) if self.view is not None:
                return told.RejoinFailed(reason)
            case OtherCluster(endpoint, cluster_id, size, merging):
                return told.OtherCluster(endpoint, str(cluster_id), size, merging)
            case QuorumLost(version):
                return told.QuorumLost(version)
            case QuorumRestored(version):
                return told.QuorumRestored(version)
            case _:
                return None

    def _installed(self, event: Installed, before: told.View | None, view: told.View) -> told.Change:
        if before is None:
            return told.ViewChange(view, view.members, ())
        resuming, self._resuming = self._resuming, False
        same = before.cluster_id == view.cluster_id
        if resuming or not same:
            return told.ViewsSkipped(view, view.version - before.version - 1 if same else 0)
        if event.skipped:
            return told.ViewsSkipped(view, event.skipped)
        if event.cut is not None:
            return told.ViewChange(view, event.cut.joined, event.cut.removed)
        # the whole of the very next view came, and not the cut that led to it
        old, new = set(before.members), set(view.members)
        return told.ViewChange(
            view,
            tuple(member for member in view.members if member not in old),
            tuple(Removal(m.endpoint, m.node_id) for m in sorted(old - new, key=lambda m: m.endpoint)),
        )


def view_of(configuration: Configuration) -> told.View:
    """What applications are told of a configuration."""
    return told.View(
        str(configuration.cluster_id), configuration.version, str(configuration.digest), configuration.members
    )
