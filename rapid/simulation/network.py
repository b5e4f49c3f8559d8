"""Which messages arrive, and when."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random

from rapid.simulation.links import HEALTHY, Distribution, Link
from rapid.simulation.process import Life, Place


class Network:
    """The conditions of all directed links. The most particular one holds for a message.

    That is the link from its sender to its receiver, else what holds for all that the sender sends,
    else for all that the receiver is sent, else the world's. A partition comes before them all.
    """

    def __init__(self, rng: Random, latency: Distribution, counts: Counter[str]) -> None:
        self._rng = rng
        self._latency = latency
        self._counts = counts
        self._everywhere: Link | None = None
        self.plain = True
        """No condition is set anywhere."""

    def set(self, sources: Sequence[Place] | None, targets: Sequence[Place] | None, link: Link) -> None:
        """None: any."""
        self.plain = False
        if sources is None and targets is None:
            self._everywhere = link
        elif targets is None:
            for source in sources or ():
                source.egress = link
        elif sources is None:
            for target in targets:
                target.ingress = link
        else:
            for source in sources:
                for target in targets:
                    if source is not target:
                        source.links[target] = link

    def divide(self, places: Sequence[Place], groups: Sequence[Sequence[Place]]) -> None:
        self.plain = False
        for place in places:
            place.groups = 0
        for number, group in enumerate(groups):
            for place in group:
                place.groups |= 1 << number

    def heal(self, places: Sequence[Place]) -> None:
        for place in places:
            place.groups = 0
            place.links.clear()
            place.ingress = place.egress = None
        self._everywhere = None
        self.plain = True

    def between(self, source: Place, target: Place, now: float) -> Link | None:
        """The link's condition now; None when the two are in different parts of the network."""
        if source.groups and target.groups and not source.groups & target.groups:
            return None
        if not source.links and source.egress is target.ingress is self._everywhere is None:
            return HEALTHY
        link = source.links.get(target) or source.egress or target.ingress or self._everywhere
        return link if link is not None and link.holds(now) else HEALTHY

    def passes(self, source: Place, target: Place, now: float) -> float | None:
        """When a message of the transport itself arrives, such as a reset; None when it cannot."""
        link = self.between(source, target, now)
        if link is None or link.loss >= 1:
            return None
        return now + (link.latency or self._latency).sample(self._rng)

    def connects(self, source: Place, target: Place, now: float) -> bool:
        """Whether the source can send by a connection of its own; see :attr:`Link.connects`."""
        link = self.between(source, target, now)
        return link is None or link.connects

    def arrivals(self, sender: Life, target: Place, now: float) -> list[float]:
        """When a message sent now arrives: never, once or twice."""
        link = self.between(sender.place, target, now)
        if link is None:
            self._counts["messages cut off"] += 1
            return []
        rng = self._rng
        if link.loss and rng.random() < link.loss:
            self._counts["messages lost"] += 1
            return []
        at = now + (link.latency or self._latency).sample(rng)
        if link is HEALTHY:
            if at < (last := sender.arrivals.get(target, 0.0)):
                at = last
            sender.arrivals[target] = at
            return [at]
        if link.reordering and rng.random() < link.reordering:
            self._counts["messages reordered"] += 1
            found = [at + link.late.sample(rng)]
        else:
            at = max(at, sender.arrivals.get(target, 0.0))
            sender.arrivals[target] = at
            found = [at]
        if link.duplication and rng.random() < link.duplication:
            self._counts["messages duplicated"] += 1
            found.append(at + link.late.sample(rng))
        return found
