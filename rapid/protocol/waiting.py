"""A process without a cluster: when to say so, and when to end."""

from __future__ import annotations

from math import inf

from rapid.settings import Settings

LONGEST = 64
"""The longest time from one warning to the next, in ``join_warning``."""


class Waiting:
    """From the beginning of a wait to its end by a view. ``due`` is the next time at which something is due.

    The first warning is due after ``settings.join_warning``, the next after twice as long each time. ``ends``
    is when to give up.
    """

    def __init__(self, settings: Settings, now: float, *, rejoining: bool) -> None:
        self.rejoining = rejoining
        self.ends = now + settings.rejoin_timeout if rejoining else inf
        self._began = now
        self._pause = settings.join_warning
        self._longest = LONGEST * settings.join_warning
        self._warn_at = now + self._pause

    @property
    def due(self) -> float:
        return min(self._warn_at, self.ends)

    def waited(self, now: float) -> float:
        """Seconds since the beginning."""
        return now - self._began

    def warned(self, now: float) -> None:
        """A warning was given: the next one comes later."""
        self._pause = min(2 * self._pause, self._longest)
        self._warn_at = now + self._pause
