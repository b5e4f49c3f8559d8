"""Which clusters this member's cluster continues, since an operator forced a new one."""

from __future__ import annotations

from collections.abc import Iterable

from rapid.overlay.member import ClusterId

FORMERLY_LIMIT = 16
"""Cluster ids that are remembered: a cluster is forced seldom, and the oldest of its processes go first."""


class Lineage:
    """Cluster ids that an operator's force has replaced, bounded; the latest are kept.

    A process that was told to join one of these joins the cluster that continues it, and nobody leaves its
    own cluster for one of these.
    """

    def __init__(self) -> None:
        self.ids: tuple[ClusterId, ...] = ()
        """Those that this member's own cluster continues, the latest last."""
        self._replaced: dict[ClusterId, None] = {}

    def enter(self, ids: Iterable[ClusterId]) -> None:
        """Join a cluster that continues these."""
        self.ids = tuple(dict.fromkeys(ids))[-FORMERLY_LIMIT:]
        self._remember(self.ids)

    def extend(self, replaced: ClusterId) -> None:
        """This member's cluster was forced: it continues the one of this id."""
        self.enter((*self.ids, replaced))

    def replaced(self, cluster_id: ClusterId) -> bool:
        """Whether this cluster is known to have been replaced."""
        return cluster_id in self._replaced

    def _remember(self, ids: Iterable[ClusterId]) -> None:
        for cluster_id in ids:
            self._replaced.pop(cluster_id, None)
            self._replaced[cluster_id] = None
        while len(self._replaced) > FORMERLY_LIMIT:
            del self._replaced[next(iter(self._replaced))]
