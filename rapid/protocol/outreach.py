"""Looking beyond the view: is there another cluster behind one of the seeds?"""

from __future__ import annotations

from collections.abc import Callable
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
"""Other clusters that were told of."""


class Outreach:
    """Probes one seed outside the view now and then; ``probe`` sends it. ``due``: when to :meth:`wake`.

    Another cluster is told of once. ``merge`` is called with an address to join it by when
    ``merging`` is allowed and this is the smaller one: of equals, the one with the higher id.
    """

    def __init__(
        self,
        me: Endpoint,
        settings: Settings,
        rng: Random,
        outbox: Outbox,
        merging: bool,
        probe: Callable[[Endpoint], None],
        merge: Callable[[Endpoint], None],
    ) -> None:
        self._me = me
        self._settings = settings
        self._rng = rng
        self._outbox = outbox
        self._merging = merging
        self._probe = probe
        self._merge = merge
        self.seeds: tuple[Endpoint, ...] = ()
        """The addresses of the seeds as they were last looked up."""
        self._told: dict[ClusterId, None] = {}
        self.due = inf

    def enter(self, configuration: Configuration, now: float) -> None:
        """A new view: look out from time to time."""
        self._told.pop(configuration.cluster_id, None)
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

    def met(self, peer: Endpoint, theirs: ClusterId, size: int, mine: Configuration) -> None:
        """A process says that it belongs to another cluster."""
        if not size:
            return  # it was evicted from that, and is on its way somewhere itself
        smaller = (mine.size, theirs) < (size, mine.cluster_id)
        merging = self._merging and smaller
        if theirs not in self._told or merging:
            self._told[theirs] = None
            if len(self._told) > REMEMBERED:
                del self._told[next(iter(self._told))]
            self._outbox.stats["other clusters met"] += 1
            self._outbox.notify(OtherCluster(peer, theirs, size, merging))
        if merging:
            self._merge(peer)

    def _pause(self, configuration: Configuration) -> float:
        crowd = max(1.0, configuration.size / ENOUGH_EYES)
        return self._settings.outreach_interval * crowd * (0.5 + self._rng.random())
