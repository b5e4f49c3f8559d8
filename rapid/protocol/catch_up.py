"""Being level with the others: who is behind asks, who is ahead answers, and facts are compared."""

from __future__ import annotations

from collections.abc import Hashable
from math import inf

from rapid.overlay.configuration import Configuration
from rapid.overlay.cut import Cut
from rapid.overlay.member import Endpoint, NodeId
from rapid.protocol.epoch import Epoch
from rapid.protocol.history import History
from rapid.protocol.messages import ConfigurationRequest, Cuts, Facts, Snapshot
from rapid.protocol.outbox import Outbox
from rapid.settings import Settings

FUTURE_LIMIT = 256
"""Batches of facts for epochs that are not here yet; beyond it the oldest goes, and is counted."""


class CatchUp:
    """What a member needs to follow views that it missed, and to let others follow.

    The past is kept for others also when this process is no member of it any longer.
    """

    def __init__(self, me: Endpoint, settings: Settings, outbox: Outbox) -> None:
        self._me = me
        self._settings = settings
        self._outbox = outbox
        self._history = History(settings.history)
        self._future: list[Facts] = []
        self._asked_at: dict[Endpoint, float] = {}
        self._unequal: dict[Endpoint, tuple[int, int]] = {}

    def installed(self, before: Configuration | None, cut: Cut | None) -> None:
        """A configuration follows ``before`` by this cut, or came whole."""
        if cut is not None and before is not None:
            self._history.append(before.version, cut)
        else:
            self._history.clear()
        self._asked_at.clear()
        self._unequal.clear()

    # -- behind

    def ask(self, peer: Endpoint, mine: Configuration, node_id: NodeId, now: float) -> None:
        """Ask a peer that is ahead, at most once in a while."""
        if now < self._asked_at.get(peer, -inf) + self._settings.probe_retry:
            return
        self._asked_at[peer] = now
        self._outbox.stats["catch-up requests"] += 1
        self._outbox.send(peer, ConfigurationRequest(self._me, mine.cluster_id, mine.version, node_id))

    def keep(self, facts: Facts) -> None:
        """These are for a later epoch."""
        if len(self._future) >= FUTURE_LIMIT:
            self._outbox.stats["dropped:future facts"] += 1
            del self._future[0]
        self._future.append(facts)

    def take_kept(self) -> list[Facts]:
        """What was kept, oldest first; what is still of the future is given back to :meth:`keep`."""
        kept, self._future = self._future, []
        return kept

    # -- ahead

    def answer(self, request: ConfigurationRequest, mine: Configuration, token: Hashable | None) -> None:
        """Send the cuts that the peer missed, or all of the configuration."""
        if request.cluster_id != mine.cluster_id:
            self._outbox.reject("request for another cluster", request.sender)
        elif request.have is None or request.have < mine.version:
            cuts = None if request.have is None else self._history.since(request.have)
            if cuts is None or request.have is None:
                self._outbox.answer(token, request.sender, Snapshot(self._me, mine))
            else:
                missed = Cuts(self._me, mine.cluster_id, request.have, cuts)
                self._outbox.answer(token, request.sender, missed)

    # -- level

    def compare(self, peer: Endpoint, facts: int, epoch: Epoch) -> None:
        """A peer in this epoch tells its digest: exchange all facts when both rest and they differ."""
        mine = epoch.gossip.digest
        if facts == mine:
            self._unequal.pop(peer, None)
        elif self._unequal.get(peer) != (mine, facts):  # some may be on their way
            self._unequal[peer] = (mine, facts)
        else:
            del self._unequal[peer]
            self._outbox.stats["anti-entropy exchanges"] += 1
            self._outbox.send(peer, epoch.gossip.everything(complete=True))
