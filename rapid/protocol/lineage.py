"""Which clusters this member's cluster continues, since an operator forced a new one."""

from __future__ import annotations

from collections.abc import Iterable

from rapid.overlay.member import ClusterId

FORMERLY_LIMIT = 16
"""Cluster ids that one continues: a cluster is forced seldom, and the oldest of its processes go first."""
REPLACED_LIMIT = 64
"""Cluster ids that are known to be replaced, these among them."""


class Lineage:
    """Cluster ids that an operator's force has replaced, bounded; the latest are kept.

    A process that was told to join one of these joins the cluster that continues it. Nobody leaves its own
    cluster for one of these, unless its own has lost its quorum.
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

    def follow(self, mine: ClusterId, ids: Iterable[ClusterId]) -> None:
        """Go over from the cluster ``mine`` to the one that replaces it and continues ``ids``."""
        self._remember((*self.ids, mine))
        self.enter(ids)

    def go_over(self, mine: ClusterId, theirs: ClusterId, ids: tuple[ClusterId, ...]) -> bool:
        """Go over from the cluster ``mine`` to another one that continues ``ids``; whether they are related.

        That may be one that ``mine`` has replaced.
        """
        yields = self.yields_to(mine, theirs, ids)
        if yields:
            self.follow(mine, ids)
        else:
            self.enter(ids)
            self._replaced.pop(theirs, None)
        return yields is not None

    def replaced(self, cluster_id: ClusterId) -> bool:
        """Whether this cluster is known to have been replaced."""
        return cluster_id in self._replaced

    def yields_to(self, mine: ClusterId, theirs: ClusterId, ids: tuple[ClusterId, ...]) -> bool | None:
        """Whether the cluster ``theirs``, which continues ``ids``, replaces the member's own, ``mine``.

        None when it is the same one, or when the two have nothing to do with each other. Where two
        operators have forced a new cluster each out of the same one, that with the lower id replaces
        the other, whatever either of them was continued by later. So all who compare any two of the
        clusters that have come from one agree.
        """
        if mine == theirs:
            return None
        ours, others = (*self.ids, mine), (*ids, theirs)
        common = next((cluster_id for cluster_id in reversed(ours) if cluster_id in others), None)
        if common is None:
            return None
        at, there = ours.index(common) + 1, others.index(common) + 1
        if at == len(ours):
            return True
        return there < len(others) and others[there] < ours[at]

    def prevailed(self, theirs: ClusterId) -> None:
        """The cluster ``theirs`` was compared with the member's own, which replaces it."""
        self._remember((theirs,))

    def _remember(self, ids: Iterable[ClusterId]) -> None:
        for cluster_id in ids:
            self._replaced.pop(cluster_id, None)
            self._replaced[cluster_id] = None
        while len(self._replaced) > REPLACED_LIMIT:
            del self._replaced[next(iter(self._replaced))]
