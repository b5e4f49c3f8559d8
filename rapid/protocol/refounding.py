"""An operator's last resort: what is left of a cluster without a quorum goes on as a new one."""

from __future__ import annotations

from math import inf

from rapid.consensus.quorum import classic_quorum
from rapid.overlay.configuration import Configuration
from rapid.overlay.member import ClusterId, Endpoint, Member, NodeId
from rapid.settings import Settings


class Refounding:
    """Asks every member of the configuration whether it is there, once; ``due`` ends the question.

    With a quorum of answers, this one's included, there is no reason to found anything.
    """

    def __init__(self, me: Member, configuration: Configuration, settings: Settings, now: float) -> None:
        self.configuration = configuration
        self._there: dict[Endpoint, None] = {me.endpoint: None}
        self.due = now + 2 * settings.probe_timeout

    def answered(self, endpoint: Endpoint, node_id: NodeId) -> None:
        member = self.configuration.member(endpoint)
        if member is not None and member.node_id == node_id:
            self._there[endpoint] = None

    def refusal(self) -> str | None:
        """Why nothing may be founded, or None."""
        size, there = self.configuration.size, len(self._there)
        if there < classic_quorum(size):
            return None
        return (
            f"{there} of the {size} members of version {self.configuration.version} answer: they are "
            "a quorum and need no new cluster"
        )

    def outcome(self, cluster_id: ClusterId) -> Configuration:
        """The new cluster: those that answered. Its version is above all that the old quorum can know of."""
        old = self.configuration
        members = [member for member in old.members if member.endpoint in self._there]
        return Configuration.of(cluster_id, old.version + 1, members, old.k)

    def end(self) -> None:
        self.due = inf
