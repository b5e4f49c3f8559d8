"""Looking beyond the view: is there another cluster behind one of the seeds?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from random import Random

from rapid.overlay.configuration import Configuration
from rapid.overlay.member import ClusterId, Endpoint
from rapid.protocol.outbox import Outbox
from rapid.protocol.outputs import Discover, OtherCluster
from rapid.settings import Settings

ENOUGH_EYES = 20
"""With more members than this each looks out less often: together they look often enough."""
REMEMBERED = 16
"""Other clusters that were told of, and as many that were tried or left."""
LONGEST = 64
"""The longest pause before a cluster is tried again, in outreach intervals."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """What a member says of its cluster, or knows of its own."""

    cluster_id: ClusterId
    size: int
    failing: int
    quorum_lost: bool

    @property
    def living(self) -> int:
        """The members that do not seem to have failed."""
        return max(0, self.size - self.failing)

    def yields_to(self, other: Sighting, *, to_equals: bool = True) -> bool:
        """Whether the members of this cluster are to go over to the other one.

        A cluster without a quorum can let nobody in, and decide nothing: it yields to any that has one. Else
        the one with fewer living members yields; of equals, if these are considered at all, that with the
        higher id. So of two clusters at most one yields to the other.
        """
        if other.quorum_lost or other.cluster_id == self.cluster_id:
            return False
        if self.quorum_lost or self.living != other.living:
            return self.quorum_lost or self.living < other.living
        return to_equals and self.cluster_id > other.cluster_id


@dataclass(slots=True)
class _Tried:
    """A cluster that did not let this process in, or that it has left for another."""

    until: float = -inf
    pause: float = 0.0
    left: bool = False


class Outreach:
    """Probes one seed outside the view now and then; ``probe`` sends it. ``due``: when to :meth:`wake`.

    Another cluster is told of once, and once more when this member goes over to it. With ``merging`` this
    member tries to get into one that its own yields to. After a try that failed, and for the cluster that it
    has left, it waits before the next one, longer each time.
    """

    def __init__(
        self,
        me: Endpoint,
        settings: Settings,
        rng: Random,
        outbox: Outbox,
        merging: bool,
        probe: Callable[[Endpoint], None],
    ) -> None:
        self._me = me
        self._settings = settings
        self._rng = rng
        self._outbox = outbox
        self._merging = merging
        self._probe = probe
        self.seeds: tuple[Endpoint, ...] = ()
        """The addresses of the seeds as they were last looked up."""
        self.alone_in: ClusterId | None = None
        """A cluster that an operator had this process found alone: it gives way like one that merges."""
        self._told: dict[ClusterId, None] = {}
        self._tried: dict[ClusterId, _Tried] = {}
        self.due = inf

    def enter(self, configuration: Configuration, now: float) -> None:
        """A new view: look out from time to time."""
        self._told.pop(configuration.cluster_id, None)
        if configuration.cluster_id != self.alone_in or configuration.size > 1:
            self.alone_in = None
        if self.seeds and self.due == inf:
            self.due = now + self._pause(configuration)

    def close(self) -> None:
        self.due = inf

    def wake(self, configuration: Configuration, all_of_them: bool, now: float) -> None:
        """Probe a seed; ``all_of_them``: also those in the view, since that does not answer any more."""
        if now < self.due:
            return
        self.due = now + self._pause(configuration)
        others = [seed for seed in self.seeds if seed != self._me]
        outside = [seed for seed in others if all_of_them or seed not in configuration]
        if outside:
            self._outbox.stats["seeds probed"] += 1
            self._probe(self._rng.choice(outside))
        self._outbox.put(Discover())

    def met(self, peer: Endpoint, theirs: Sighting, mine: Sighting, now: float, *, replaced: bool) -> bool:
        """A process says that it belongs to another cluster; whether to try to get in there.

        ``replaced``: an operator forced a new cluster in its place, so nobody goes there.
        """
        if not theirs.size:
            return False  # it was evicted from that, and is on its way somewhere itself
        if not replaced and self.goes_to(theirs, mine) and self.may_try(theirs.cluster_id, now):
            return True
        if theirs.cluster_id not in self._told:
            self.tell(peer, theirs, merging=False)
        return False

    def goes_to(self, theirs: Sighting, mine: Sighting) -> bool:
        """Whether this member is to leave its own cluster for that one, as far as is known now."""
        tried = self._tried.get(theirs.cluster_id)
        back = tried is not None and tried.left
        allowed = self._merging or self.alone_in == mine.cluster_id
        return allowed and mine.yields_to(theirs, to_equals=not back)

    def failed(self, peer: Endpoint, theirs: Sighting, now: float) -> None:
        """That cluster has not let this process in: not again for a while."""
        self._put_off(theirs.cluster_id, now)
        if theirs.cluster_id not in self._told:
            self.tell(peer, theirs, merging=False)

    def left(self, old: ClusterId, now: float) -> None:
        """This process has gone over from that cluster: not back for a while, nor while it is no larger."""
        self._put_off(old, now).left = True

    def tell(self, peer: Endpoint, theirs: Sighting, *, merging: bool) -> None:
        """Tell the application of a cluster."""
        self._told[theirs.cluster_id] = None
        if len(self._told) > REMEMBERED:
            del self._told[next(iter(self._told))]
        self._outbox.stats["other clusters met"] += 1
        self._outbox.notify(OtherCluster(peer, theirs.cluster_id, theirs.size, merging))

    def may_try(self, cluster_id: ClusterId, now: float) -> bool:
        """Whether the pause after the last try to get into that cluster, or after leaving it, is over."""
        tried = self._tried.get(cluster_id)
        return tried is None or now >= tried.until

    def _put_off(self, cluster_id: ClusterId, now: float) -> _Tried:
        tried = self._tried.pop(cluster_id, None) or _Tried()
        interval = self._settings.outreach_interval
        tried.pause = min(2 * tried.pause or interval, LONGEST * interval)
        tried.until = now + tried.pause * (0.5 + self._rng.random())
        self._tried[cluster_id] = tried
        if len(self._tried) > REMEMBERED:
            del self._tried[next(iter(self._tried))]
        return tried

    def _pause(self, configuration: Configuration) -> float:
        crowd = max(1.0, configuration.size / ENOUGH_EYES)
        return self._settings.outreach_interval * crowd * (0.5 + self._rng.random())
