"""What this member itself has reported in one epoch, and when it takes a report back."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf

from rapid.detection.alert import Alert, Ground, Status
from rapid.overlay.member import Endpoint, Member, NodeId

REVIEWS = 4
"""Reviews in the lifetime of a report: it is withdrawn at most a fourth of that too late."""


class Report:
    """That a member is down: the rings it was reported on, when, and which revision that was."""

    __slots__ = ("at", "revision", "rings")

    def __init__(self) -> None:
        self.at = -inf
        self.revision = 0
        self.rings = 0


class OwnReports:
    """Makes this member's alerts, each only once.

    A report that a member is down is for the present: after ``lifetime`` seconds in which the member
    answered again it is over, and faults that are over must not add up with later ones. ``due`` is when
    to look at the reports again.
    """

    def __init__(self, me: Endpoint, lifetime: float) -> None:
        self._me = me
        self._lifetime = lifetime
        self._irrevocable: dict[tuple[Endpoint, NodeId, Status], int] = {}
        self._down: dict[Member, Report] = {}
        self.due = inf

    def __len__(self) -> int:
        return len(self._irrevocable) + len(self._down)

    @property
    def rings_down(self) -> int:
        """The number of rings on which this member reports its subjects as gone, leavers included."""
        said = self._irrevocable.items()
        left = sum(rings.bit_count() for (_, _, status), rings in said if status is not Status.UP)
        return left + sum(report.rings.bit_count() for report in self._down.values())

    def knows(self, joiner: Member) -> bool:
        """Whether this joiner was reported before, on any ring."""
        return (joiner.endpoint, joiner.node_id, Status.UP) in self._irrevocable

    def make(self, subject: Member, status: Status, rings: int, ground: Ground, now: float) -> Alert | None:
        """The alert that says so on the rings on which it was not said yet; None when there are none."""
        if status is not Status.UP and subject.metadata:
            subject = Member(subject.endpoint, subject.node_id)
        if status is Status.DOWN:
            report = self._down.setdefault(subject, Report())
            new = rings & ~report.rings
            report.rings |= rings
            report.at = now
            revision = report.revision
            self.due = min(self.due, now + self._lifetime)
        else:
            name = (subject.endpoint, subject.node_id, status)
            said = self._irrevocable.get(name, 0)
            new, revision = rings & ~said, 0
            self._irrevocable[name] = said | rings
        return Alert(self._me, subject, status, new, ground, revision) if new else None

    def outlived(self, healthy_since: Mapping[Endpoint, float], now: float) -> list[Member]:
        """The members that were reported down, and have answered for so long that the report is over.

        ``healthy_since`` holds those that answer now, and since when.
        """
        standing = [subject for subject, report in self._down.items() if report.rings]
        self.due = now + self._lifetime / REVIEWS if standing else inf
        before = now - self._lifetime
        return [
            subject
            for subject in standing
            if self._down[subject].at <= before and healthy_since.get(subject.endpoint, inf) <= before
        ]

    def withdraw(self, subject: Member) -> Alert:
        """The alert that takes the report of this member back."""
        report = self._down[subject]
        rings, report.rings = report.rings, 0
        withdrawn = report.revision + 1
        report.revision += 2
        return Alert(self._me, subject, Status.WITHDRAWN, rings, Ground.UNSTATED, withdrawn)
