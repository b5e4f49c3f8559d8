"""What a member remembers of its views: which there were, and why whoever is gone was removed."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

from rapid.agent.reports import Report, as_alert, as_report
from rapid.detection.alert import Alert, Status
from rapid.overlay.cut import Removal
from rapid.overlay.member import Endpoint
from rapid.overlay.rings import backward_ring, rings_of
from rapid.standing import State
from rapid.view import Change, View, ViewChange, ViewsSkipped

VIEWS = 512
"""Changes that are remembered."""
REMOVALS = 4096
"""Removals that are remembered, with the alerts that led to them."""
ALERTS = 50_000
"""Alerts that are kept of one epoch."""
EPOCHS = 4
"""Epochs whose alerts are kept: the alerts of the next view may come before this member is told of it."""

Origin = tuple[str, int]
"""The cluster id and version of the view that an alert is about."""


class Record:
    """Fed with every change and every alert, in order, by one thread; bounded.

    ``k`` is the number of rings, ``judge`` describes the one by which this member judges. All that it
    tells is made of JSON.
    """

    def __init__(self, k: int, judge: str) -> None:
        self.k = k
        self.judge = judge
        self.view: View | None = None
        self.state = State.JOINING
        """What the member is, by what was told of it so far."""
        self.changes: deque[Report] = deque(maxlen=VIEWS)
        """The latest, in order."""
        self._removals: deque[dict[str, Any]] = deque(maxlen=REMOVALS)
        self._alerts: dict[Origin, list[tuple[float, Alert]]] = {}
        self._since: dict[Endpoint, int] = {}
        self._drawn: tuple[View, list[list[int]]] | None = None

    def alerted(self, origin: Origin, alert: Alert) -> Report:
        """An alert that counts and is new to this member; what is told of it.

        One that withdraws a report takes that out of those that are kept.
        """
        t = time.time()
        if origin not in self._alerts:
            self._alerts[origin] = []
            while len(self._alerts) > EPOCHS:
                del self._alerts[next(iter(self._alerts))]
        kept = self._alerts[origin]
        if alert.status is Status.WITHDRAWN:
            kept[:] = _without(kept, alert)
        elif len(kept) < ALERTS:
            kept.append((t, alert))
        return as_alert(t, alert)

    def changed(self, change: Change) -> Report:
        """The next change; what is told of it."""
        report = as_report(change, self.view)
        self.changes.append(report)
        self.state = self.state.after(change)
        match change:
            case ViewChange(view, joined, removed):
                for member in joined:
                    self._since[member.endpoint] = view.version
                self._gone(report["t"], view, removed, skipped=0)
            case ViewsSkipped(view, skipped):
                self._gone(report["t"], view, self._missing(view), skipped=skipped)
        return report

    def leaving(self) -> None:
        """The member has begun to leave."""
        self.state = State.LEAVING

    @property
    def alerts(self) -> list[Report]:
        """Those about the present view: what they say is not agreed on yet."""
        view = self.view
        kept = self._alerts.get((view.cluster_id, view.version), []) if view is not None else []
        return [as_alert(t, alert) for t, alert in kept]

    @property
    def rings(self) -> list[list[int]]:
        """Each ring as its members in order, by their place in the view: each is observed by the next."""
        view = self.view
        if view is None:
            return []
        if self._drawn is None or self._drawn[0] is not view:
            place = {endpoint: at for at, endpoint in enumerate(view.endpoints)}
            rings = rings_of(view.endpoints, self.k)
            orders = [[place[endpoint] for endpoint in ring.endpoints] for ring in rings]
            if (turned := backward_ring(rings)) is not None:
                orders[turned].reverse()
            self._drawn = view, orders
        return self._drawn[1]

    def why(self, endpoint: Endpoint) -> dict[str, Any]:
        """What is known of an address: who is a member there, and each removal, the latest first.

        ``judge`` is this member's own; that of an observer is its own affair.
        """
        member = self.view.member(endpoint) if self.view is not None else None
        return {
            "endpoint": str(endpoint),
            "member": None
            if member is None
            else {"node_id": str(member.node_id), "since": self._since.get(endpoint)},
            "alerts": [alert for alert in self.alerts if alert["subject"] == str(endpoint)],
            "removals": [
                removal for removal in reversed(self._removals) if removal["endpoint"] == str(endpoint)
            ],
            "judge": self.judge,
        }

    def _gone(self, t: float, view: View, removed: Iterable[Removal], *, skipped: int) -> None:
        """Keep the alerts of who was removed, and forget those that have had their end."""
        before, self.view = self.view, view
        said: dict[tuple[Endpoint, bytes], list[tuple[float, Alert]]] = {}
        if before is not None:
            for word in self._alerts.pop((before.cluster_id, before.version), []):
                subject = word[1].subject
                if word[1].status is not Status.UP:
                    said.setdefault((subject.endpoint, subject.node_id), []).append(word)
        for removal in removed:
            words = said.get((removal.endpoint, removal.node_id), [])
            reports = [as_alert(at, alert) for at, alert in words]
            self._removals.append(
                {
                    "t": t,
                    "endpoint": str(removal.endpoint),
                    "node_id": str(removal.node_id),
                    "left": removal.left,
                    "cluster_id": view.cluster_id,
                    "version": view.version,
                    "skipped": skipped,
                    "k": self.k,
                    "rings": sorted({ring for report in reports for ring in report["rings"]}),
                    "reports": reports,
                }
            )
            if removal.endpoint not in view:
                self._since.pop(removal.endpoint, None)

    def _missing(self, view: View) -> Sequence[Removal]:
        """Who was in the last view known and is not in this one."""
        before = self.view.members if self.view is not None else ()
        stayed = set(view.members)
        gone = [Removal(m.endpoint, m.node_id) for m in before if m not in stayed]
        known = set(before)
        for member in view.members:
            if member not in known:
                # it came with one of the views that were skipped, or with this one
                self._since.pop(member.endpoint, None)
        return gone


def _without(kept: Iterable[tuple[float, Alert]], withdrawal: Alert) -> list[tuple[float, Alert]]:
    """What is left of these alerts when their observer has taken back what this one says."""
    left = []
    for t, alert in kept:
        same = alert.status is Status.DOWN and alert.observer == withdrawal.observer
        if same and alert.subject == withdrawal.subject:
            alert = alert._replace(rings=alert.rings & ~withdrawal.rings)
        if alert.rings:
            left.append((t, alert))
    return left
