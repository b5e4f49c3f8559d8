"""Leaving on purpose: the observers are asked for it, and told that it is done."""

from __future__ import annotations

from math import inf

from rapid.overlay.configuration import Configuration
from rapid.overlay.member import Endpoint, NodeId
from rapid.protocol.messages import Leaving
from rapid.protocol.outbox import Outbox
from rapid.settings import Settings


def announce(me: Endpoint, node_id: NodeId, configuration: Configuration, outbox: Outbox) -> None:
    """Tell the observers there that this process leaves. One that is not reached will detect it."""
    leaving = Leaving(me, node_id, configuration.cluster_id, configuration.version)
    for observer in dict.fromkeys(configuration.observers(me)):
        if observer != me:
            outbox.send(observer, leaving)


class Departure:
    """One member's way out. ``due`` is the end of its patience, by default ``settings.leave_timeout``.

    Who decides its own departure stays until it sees another member know of it, for a while: the
    decision could be lost with the only process that knows it.
    """

    def __init__(
        self, me: Endpoint, settings: Settings, outbox: Outbox, now: float, patience: float | None = None
    ) -> None:
        self._me = me
        self._settings = settings
        self._outbox = outbox
        self._agreed_at: int | None = None
        self.due = now + (settings.leave_timeout if patience is None else patience)

    @property
    def agreed(self) -> bool:
        return self._agreed_at is not None

    def announce(self, mine: Configuration, node_id: NodeId) -> None:
        """Ask the observers of this configuration."""
        announce(self._me, node_id, mine, self._outbox)

    def decided(self, without_me: Configuration, now: float) -> None:
        """The configuration without this member is known here."""
        self._agreed_at = without_me.version
        self.due = min(self.due, now + 2 * self._settings.probe_interval)

    def heard(self, version: int) -> bool:
        """A member of the cluster is at this version; whether that ends the wait."""
        if self._agreed_at is None or version < self._agreed_at:
            return False
        self.due = inf
        return True
