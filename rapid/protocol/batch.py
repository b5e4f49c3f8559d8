"""Alerts that start close together leave together."""

from __future__ import annotations

from math import inf

from rapid.detection.alert import Alert, Status
from rapid.settings import Settings

ALONE = 3
"""Times ``batch_limit`` that joins wait for each other at a member that is alone: a crowd that comes in at
once is far cheaper than in parts, of which the first has the members at work while the next one knocks.
Where there are several members, what one of them reports late holds up the others."""
ALONE_PACE = 50
"""Joins for which it is one time more: the crowd is let in once it comes more slowly than that ..."""
ALONE_LIMIT = 20
"""... and so many times at most."""
ALONE_FEW = 50
"""Joins up to which half of ``batch_quiet`` is enough there: the sooner a small crowd is in."""
ALONE_QUIET = 3
"""Times ``batch_quiet`` that it waits there for one that is known to be on its way: on a busy machine that
takes long, and then everyone else is to be let in by a second view."""


class AlertBatch:
    """Holds a member's own alerts until a window of quiet, bounded so that a trickle cannot starve it.

    A single join waits only for ``join_quiet``: there is nothing else to go with it.
    """

    def __init__(self, settings: Settings, *, alone: bool = False) -> None:
        self._settings = settings
        self._alone = alone
        self._alerts: list[Alert] = []
        self._first = inf
        self.due = inf

    def __len__(self) -> int:
        return len(self._alerts)

    def add(self, alert: Alert, now: float) -> None:
        self._alerts.append(alert)
        if len(self._alerts) == 1:
            self._first = now
        quiet = self._settings.batch_quiet
        if len(self._alerts) == 1 and alert.status is Status.UP:
            quiet = self._settings.join_quiet
        elif self._alone and len(self._alerts) <= ALONE_FEW:
            quiet /= 2
        self._extend(quiet, now)

    def expect_more(self, now: float) -> None:
        """Another join is on its way here: what waits, waits for it too."""
        if self._alerts:
            self._extend(self._settings.batch_quiet * (ALONE_QUIET if self._alone else 1), now)

    def take(self) -> list[Alert]:
        """The alerts to send now; the batch is empty after."""
        alerts, self._alerts = self._alerts, []
        self._first = self.due = inf
        return alerts

    def _extend(self, quiet: float, now: float) -> None:
        times = min(ALONE + len(self._alerts) / ALONE_PACE, ALONE_LIMIT) if self._alone else 1
        self.due = min(self._first + times * self._settings.batch_limit, now + quiet)
