"""How a member stands with its cluster, as it follows from what it has been told."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from rapid.view import (
    Change,
    Evicted,
    OtherCluster,
    QuorumLost,
    QuorumRestored,
    RejoinFailed,
    View,
    ViewChange,
    ViewsSkipped,
)


class State(StrEnum):
    """What a member is; the values are the words that people and programs are shown."""

    JOINING = "joining"
    """It has no view yet."""
    MEMBER = "member"
    """It is in the view, and the members agree."""
    QUORUM_LOST = "quorum lost"
    """A change is due that too few members answer for: the view may hold members that are gone."""
    EVICTED = "evicted"
    """The cluster went on without it; it is joining again."""
    MERGING = "merging"
    """It leaves its cluster for a larger one, which has let it in; its first view there is next."""
    LEAVING = "leaving"
    """It has begun to leave."""
    CLOSED = "closed"
    """It has left, was closed, was evicted for good or could not join again, or failed. It stays so."""

    @property
    def is_ready(self) -> bool:
        """Whether the member is in a view and the quorum is not lost."""
        return self is State.MEMBER

    @property
    def is_live(self) -> bool:
        """Whether it may be a member, now or later: only a new process brings back what is closed."""
        return self is not State.CLOSED

    def after(self, change: Change) -> State:
        """What the member is once it has been told of this, too. One that leaves or has ended does so."""
        if self in (State.LEAVING, State.CLOSED):
            return self
        match change:
            case ViewChange() | ViewsSkipped() | QuorumRestored():
                return State.MEMBER
            case QuorumLost() if self is State.MEMBER:
                return State.QUORUM_LOST
            case Evicted():
                return State.EVICTED
            case RejoinFailed():
                return State.CLOSED
            case OtherCluster(merging=True):
                return State.MERGING
            case _:
                return self


@dataclass(frozen=True, slots=True)
class Standing:
    """A member's state and newest view; both of one moment."""

    state: State
    view: View | None
    """None until there is one."""
    reason: str | None = None
    """Why an evicted member is still out, or was closed, where that was told."""
