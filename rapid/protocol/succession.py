"""Which cluster follows which since an operator forced a new one, and who is told of it."""

from __future__ import annotations

from random import Random

from rapid.overlay.configuration import Configuration
from rapid.overlay.member import ClusterId, Endpoint
from rapid.protocol.lineage import Lineage
from rapid.protocol.messages import Refounded, Snapshot
from rapid.protocol.refounding import LeftBehind, Notices
from rapid.settings import Settings


class Succession:
    """What the cluster of this member has replaced. ``left_behind``: members that may not know of it."""

    def __init__(self, me: Endpoint, settings: Settings, rng: Random, lineage: Lineage) -> None:
        self._me = me
        self._lineage = lineage
        self.left_behind = LeftBehind(settings, rng)
        self._notices = Notices(settings)
        self._replaced_version = 0
        """Of the cluster that the present one replaced, when that was; 0 where it is not known."""

    def outdated(
        self, peer: Endpoint, cluster_id: ClusterId | None, size: int, mine: Configuration | None
    ) -> bool:
        """Whether a peer is a member of a cluster that this one, ``mine``, has replaced, or may have."""
        if mine is None or cluster_id in (None, mine.cluster_id) or not size or not self._lineage.ids:
            return False
        assert cluster_id is not None, "it was compared"
        if self._lineage.replaced(cluster_id) or self._notices.may_be_related(cluster_id):
            return True
        self.left_behind.give_up(peer)
        return False

    def word_for(
        self, peer: Endpoint, cluster_id: ClusterId, mine: Configuration | None, now: float
    ) -> Refounded | None:
        """What to tell a member of another cluster; None where that is nothing, or was told just now."""
        if mine is None or not self._lineage.ids or not self._notices.due(peer, now):
            return None
        if not self._lineage.replaced(cluster_id):
            self._notices.introduced(cluster_id)
        *formerly, replaced = self._lineage.ids
        return Refounded(self._me, replaced, self._replaced_version, mine, tuple(formerly))

    def forced(self, old: Configuration, successor: Configuration, now: float) -> Refounded:
        """An operator has had this member found a new cluster: what to tell its members."""
        formerly = self._lineage.ids
        self._lineage.extend(old.cluster_id)
        self._replaced_version = old.version
        self.left_behind.begin(self._me, old, successor, now, urgent=True)
        return Refounded(self._me, old.cluster_id, old.version, successor, formerly)

    def followed(self, old: Configuration, word: Refounded, now: float) -> None:
        """This member was one of the new cluster as soon as it was told of it."""
        self._lineage.follow(old.cluster_id, (*word.formerly, word.cluster_id))
        self._replaced_version = word.version
        self.left_behind.begin(self._me, old, word.configuration, now, urgent=False)

    def went_over(self, old: Configuration, arrival: Snapshot, now: float) -> None:
        """This member has left its cluster for another one, which may have nothing to do with it."""
        theirs = arrival.configuration
        if self._lineage.go_over(old.cluster_id, theirs.cluster_id, arrival.formerly):
            self._replaced_version = 0
            self.left_behind.begin(self._me, old, theirs, now, urgent=False)
