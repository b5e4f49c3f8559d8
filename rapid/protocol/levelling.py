"""Facts exchanged with members drawn at random, and what it tells when those are silent."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf, sqrt
from random import Random

from rapid.consensus.quorum import classic_quorum
from rapid.overlay.configuration import Configuration
from rapid.overlay.member import Endpoint
from rapid.settings import Settings


class Levelling:
    """Levels with a member drawn at random, once a ``probe_interval``, from ``begin`` on.

    Those who are left of a configuration may hang together by few of its rings, or by none.
    ``exchange`` sends all facts, to be answered with all.
    """

    def __init__(
        self,
        configuration: Configuration,
        me: Endpoint,
        settings: Settings,
        rng: Random,
        exchange: Callable[[Endpoint], None],
    ) -> None:
        self._configuration = configuration
        self._me = me
        self._interval = settings.probe_interval
        self._rng = rng
        self._exchange = exchange
        self._drawn: dict[Endpoint, bool] = {}
        """Of late, and whether they have said anything since."""
        self.due = inf

    def begin(self, now: float) -> None:
        """Changes nothing once it has begun."""
        self.due = min(self.due, now + self._interval)

    def heard(self, endpoint: Endpoint) -> None:
        """This member said something."""
        if endpoint in self._drawn:
            self._drawn[endpoint] = True

    def wake(self, failing: Iterable[Endpoint], now: float) -> None:
        """Level with anyone who may live, and sooner with those that were not drawn of late."""
        left_out = {self._me, *failing}
        others = [endpoint for endpoint in self._configuration.endpoints if endpoint not in left_out]
        if not others:
            self.due = inf
            return
        chosen = self._rng.choice([endpoint for endpoint in others if endpoint not in self._drawn] or others)
        self._drawn.setdefault(chosen, False)
        self._exchange(chosen)
        self.due = now + self._interval

    @property
    def silence(self) -> bool:
        """Whether fewer than a third of those drawn, or nobody, have said anything since."""
        heard = sum(self._drawn.values())
        return not heard or 3 * heard < len(self._drawn)

    @property
    def majority(self) -> bool | None:
        """Whether this member reaches a majority, by those drawn; None while they are too few to tell.

        When all others were drawn they are counted. Of fewer, so many more than half of them have to have
        answered, or so many fewer, as chance makes of a half but once in forty times.
        """
        drawn, heard, size = len(self._drawn), sum(self._drawn.values()), self._configuration.size
        if drawn >= size - 1:
            return heard + 1 >= classic_quorum(size)
        margin = sqrt(drawn)
        if abs(2 * heard - drawn) <= 2 * margin:
            return None
        return 2 * heard > drawn

    def forget(self) -> None:
        """Those drawn so far count no more."""
        self._drawn.clear()
