"""How often what has happened to a member's views, counted for metrics."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from rapid.view import Change, Evicted, QuorumLost, View, ViewChange, ViewsSkipped


class Reason(StrEnum):
    """Why a member was removed."""

    LEFT = "left"
    FAILED = "failed"
    UNKNOWN = "unknown"
    """It went in views that this member did not see."""


@dataclass
class Tally:
    """Counts of what came after the first view; to be told every change in order, by one thread."""

    changes: int = 0
    """Views after the first, those that were skipped included."""
    skipped: int = 0
    joined: int = 0
    removed: dict[Reason, int] = field(default_factory=lambda: dict.fromkeys(Reason, 0))
    quorums_lost: int = 0
    evictions: int = 0
    _view: View | None = None

    def count(self, change: Change) -> None:
        """Take one more change into account."""
        match change:
            case ViewChange(view, joined, removed):
                if self._view is not None:
                    self.changes += 1
                    self.joined += len(joined)
                    for removal in removed:
                        self.removed[Reason.LEFT if removal.left else Reason.FAILED] += 1
                self._view = view
            case ViewsSkipped(view, skipped):
                if self._view is not None:
                    before, now = set(self._view.members), set(view.members)
                    self.changes += skipped + 1
                    self.skipped += skipped
                    self.joined += len(now - before)
                    self.removed[Reason.UNKNOWN] += len(before - now)
                self._view = view
            case QuorumLost():
                self.quorums_lost += 1
            case Evicted():
                self.evictions += 1
