"""Being level with the others: who is behind asks, who is ahead answers, and facts are compared."""

from __future__ import annotations

from collections.abc import Hashable
from math import inf

from rapid.consensus.facts import Promise, Vote
from rapid.overlay import footprint
from rapid.overlay.configuration import Configuration
from rapid.overlay.cut import Cut
from rapid.overlay.member import Endpoint, NodeId
from rapid.protocol.epoch import Epoch
from rapid.protocol.history import History
from rapid.protocol.lineage import Lineage
from rapid.protocol.messages import ConfigurationRequest, Cuts, Facts, Snapshot
from rapid.protocol.outbox import Outbox
from rapid.settings import Settings

FUTURE_LIMIT = 256
"""Batches of facts for epochs that are not here yet; beyond it those of the latest epoch go."""
FUTURE_ROOM = 32 * 1024 * 1024
"""Bytes for these."""
STRANGERS = 64
"""Peers outside the view that are asked before the first of them may be asked again; as many are answered."""
REQUESTS = 256
"""Peers of which an answer is waited for."""
CUTS_LIMIT = 1024
CUTS_ROOM = 32 * 1024 * 1024
"""Bytes of cuts that go in one answer, if more than one does: the rest is asked for again."""


class CatchUp:
    """What a member needs to follow views that it missed, and to let others follow.

    The past is kept for others also when this process is no member of it any longer.
    """

    def __init__(
        self, me: Endpoint, settings: Settings, outbox: Outbox, lineage: Lineage | None = None
    ) -> None:
        self._me = me
        self._settings = settings
        self._outbox = outbox
        self._lineage = Lineage() if lineage is None else lineage
        self._history = History(settings.history)
        self._future: list[tuple[Facts, int]] = []
        self._future_size = 0
        self._asked_at: dict[Endpoint, float] = {}
        self._strangers: dict[Endpoint, float] = {}
        """Who was asked lately, within the view and outside; in the order of time."""
        self._requested: dict[Endpoint, float] = {}
        """When a peer was last sent a request, in the order of time; kept for longer than a view."""
        self._answered: dict[Endpoint, float] = {}
        """When a peer outside the view was last answered, in the order of time."""
        self._unequal: dict[Endpoint, tuple[int, int]] = {}

    def installed(self, before: Configuration | None, cut: Cut | None) -> None:
        """A configuration follows ``before`` by this cut, or came whole."""
        if cut is not None and before is not None:
            self._history.append(before.version, cut)
        else:
            self._history.clear()
        self._asked_at.clear()
        self._strangers.clear()
        self._unequal.clear()

    # -- behind

    def ask(self, peer: Endpoint, mine: Configuration, node_id: NodeId, now: float) -> None:
        """Ask a peer that is ahead, at most once in a while."""
        pause = self._settings.probe_retry
        asked = self._asked_at if peer in mine else self._strangers
        while (first := next(iter(asked), None)) is not None and asked[first] + pause <= now:
            del asked[first]
        if peer in asked:
            return
        if asked is self._strangers and len(asked) >= STRANGERS:
            self._outbox.stats["dropped:catch-up requests"] += 1
            return
        asked[peer] = now
        self._requested.pop(peer, None)
        self._requested[peer] = now
        if len(self._requested) > REQUESTS:
            del self._requested[next(iter(self._requested))]
        self._outbox.stats["catch-up requests"] += 1
        self._outbox.send(peer, ConfigurationRequest(self._me, mine.cluster_id, mine.version, node_id))

    def asked_lately(self, peer: Endpoint, now: float) -> bool:
        """Whether an answer of this peer may be on its way: all of a configuration takes its time."""
        return self._requested.get(peer, -inf) + self._settings.join_timeout > now

    def keep(self, facts: Facts) -> None:
        """These are for a later epoch."""
        size = _size(facts)
        self._future.append((facts, size))
        self._future_size += size
        while len(self._future) > FUTURE_LIMIT or self._future_size > FUTURE_ROOM:
            latest = max(range(len(self._future)), key=lambda at: self._future[at][0].version)
            self._future_size -= self._future.pop(latest)[1]
            self._outbox.stats["dropped:future facts"] += 1

    def take_kept(self) -> list[Facts]:
        """What was kept, oldest first; what is still of the future is given back to :meth:`keep`."""
        kept, self._future, self._future_size = self._future, [], 0
        return [facts for facts, _ in kept]

    # -- ahead

    def answer(
        self, request: ConfigurationRequest, mine: Configuration, token: Hashable | None, now: float
    ) -> None:
        """Send the cuts that the peer missed, or all of the configuration.

        Who is no member may have been one, so it is answered, too, but not many at a time.
        """
        if request.cluster_id != mine.cluster_id:
            self._outbox.reject("request for another cluster", request.sender)
        elif request.have is not None and request.have > mine.version:
            self._outbox.reject("request of one who is ahead", request.sender)
        elif request.have is None or request.have < mine.version:
            if request.sender not in mine and not self._turn_of(request.sender, now):
                self._outbox.stats["dropped:configuration requests"] += 1
                return
            cuts = None if request.have is None else self._history.since(request.have)
            if cuts is None or request.have is None:
                self._outbox.answer(token, request.sender, Snapshot(self._me, mine, self._lineage.ids))
            else:
                missed = Cuts(self._me, mine.cluster_id, request.have, _first(cuts))
                self._outbox.answer(token, request.sender, missed)

    def _turn_of(self, peer: Endpoint, now: float) -> bool:
        """Whether a peer outside the view is answered now."""
        answered, pause = self._answered, self._settings.probe_retry
        while (first := next(iter(answered), None)) is not None and answered[first] + pause <= now:
            del answered[first]
        if peer in answered or len(answered) >= STRANGERS:
            return False
        answered[peer] = now
        return True

    # -- level

    def compare(self, peer: Endpoint, facts: int, epoch: Epoch) -> None:
        """A peer in this epoch tells its digest: exchange all facts when both rest and they differ."""
        if peer not in epoch.configuration:
            return
        mine = epoch.gossip.digest
        if facts == mine:
            self._unequal.pop(peer, None)
        elif self._unequal.get(peer) != (mine, facts):  # some may be on their way
            self._unequal[peer] = (mine, facts)
        else:
            del self._unequal[peer]
            self._outbox.stats["anti-entropy exchanges"] += 1
            self._outbox.send(peer, epoch.gossip.everything(complete=True))


def _size(facts: Facts) -> int:
    """Bytes, about, that these facts take."""
    heard: list[Promise | Vote] = [*facts.promises, *facts.votes]
    count = 1 + len(facts.alerts) + len(facts.prepares) + len(facts.accepts) + len(heard)
    return (
        footprint.CHANGE * count
        + sum(footprint.of_metadata(alert.subject) for alert in facts.alerts)
        + sum(map(footprint.of_cut, facts.proposals))
        + sum(statement.voters.bit_length() // 8 for statement in heard)
    )


def _first(cuts: tuple[Cut, ...]) -> tuple[Cut, ...]:
    """As many of the cuts as go in one answer."""
    room = CUTS_ROOM
    for count, cut in enumerate(cuts[:CUTS_LIMIT]):
        room -= footprint.of_cut(cut)
        if room < 0 and count:
            return cuts[:count]
    return cuts[:CUTS_LIMIT]
