"""How late this process is called, lately: a busy one must not judge others by its own delays."""

from __future__ import annotations

from math import inf

HALF_LIFE = 1.0
"""Seconds after which a delay counts half."""
ACCURACY = 0.005
"""Seconds by which any timer is late."""


class Lag:
    """The longest delay of late, in seconds. What is longer than ``limit`` is a stall, and no measure."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._worst = 0.0
        self._at = -inf

    def called(self, due: float, now: float) -> None:
        """Something was due then, and is done now."""
        late = now - due
        if ACCURACY < late < self._limit and late >= self.at(now):
            self._worst = late
            self._at = now

    def at(self, now: float) -> float:
        """The lag as of now."""
        if not self._worst:
            return 0.0
        lag: float = self._worst * 0.5 ** ((now - self._at) / HALF_LIFE)
        if lag < ACCURACY:
            self._worst = lag = 0.0
        return lag
