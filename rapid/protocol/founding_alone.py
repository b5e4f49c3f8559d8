"""An operator's last resort for a process that was evicted and finds no cluster to join."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

from rapid.overlay.configuration import Configuration
from rapid.overlay.member import ClusterId, Endpoint, Member
from rapid.settings import Settings

ASKED = 3
"""How often everybody is asked: one message may be lost."""


class FoundingAlone:
    """Asks all that are known, several times, whether one of them is in a cluster; ``due`` is the next time.

    If none is, this process founds a new cluster by itself, which continues ``last``, the view that it was
    evicted from. Others that wait like it then join it.
    """

    def __init__(self, last: Configuration, ways: Sequence[Endpoint], settings: Settings, now: float) -> None:
        self.ways = ways
        self._last = last
        self._pause = 2 * settings.probe_timeout / ASKED
        self._asked = 0
        self._member: tuple[Endpoint, ClusterId, int] | None = None
        self.due = now

    def ask(self, now: float) -> bool:
        """Whether to ask everybody, once more; if not, the time for answers is over."""
        if self._asked == ASKED:
            self.due = inf
            return False
        self._asked += 1
        self.due = now + self._pause
        return True

    def answered(self, endpoint: Endpoint, cluster_id: ClusterId | None, size: int) -> None:
        """A process says where it is."""
        if cluster_id is not None and size:
            self._member = (endpoint, cluster_id, size)

    def refusal(self) -> str | None:
        """Why nothing may be founded, or None."""
        if self._member is None:
            return None
        endpoint, cluster_id, size = self._member
        return (
            f"{endpoint} is a member of cluster {cluster_id}, which has {size}: this process was evicted and "
            "joins that by itself; where it has no quorum either, force a new cluster there"
        )

    def outcome(self, me: Member, cluster_id: ClusterId) -> Configuration:
        """The new cluster. Its version is above those that this process knows of the old one."""
        return Configuration.of(cluster_id, self._last.version + 1, [me], self._last.k)
