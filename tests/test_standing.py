"""What a member is, by what it has been told."""

from __future__ import annotations

import pytest

from rapid import (
    Change,
    Endpoint,
    Evicted,
    OtherCluster,
    QuorumLost,
    QuorumRestored,
    RejoinDelayed,
    RejoinFailed,
    View,
    ViewChange,
    ViewsSkipped,
)
from rapid.standing import State

VIEW = View("c" * 32, 3, "0" * 32, ())
FIRST = ViewChange(VIEW, (), ())
LATER = ViewsSkipped(VIEW, 2)
LOST, RESTORED = QuorumLost(3), QuorumRestored(3)
GONE = Evicted("c" * 32, 4, rejoining=True)
LONG, OVER = RejoinDelayed(30.0, "nobody answers"), RejoinFailed("nobody answers")
LARGER = OtherCluster(Endpoint("b", 1), "d" * 32, 7, merging=True)
SMALLER = OtherCluster(Endpoint("b", 1), "d" * 32, 1, merging=False)


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ([], State.JOINING),
        ([SMALLER], State.JOINING),
        ([FIRST], State.MEMBER),
        ([FIRST, SMALLER], State.MEMBER),
        ([FIRST, LOST], State.QUORUM_LOST),
        ([FIRST, LOST, SMALLER], State.QUORUM_LOST),
        ([FIRST, LOST, RESTORED], State.MEMBER),
        ([FIRST, LOST, FIRST], State.MEMBER),
        ([FIRST, LOST, GONE], State.EVICTED),
        ([FIRST, GONE, LOST], State.EVICTED),
        ([FIRST, GONE, LATER], State.MEMBER),
        ([FIRST, GONE, LONG], State.EVICTED),
        ([FIRST, GONE, LONG, LATER], State.MEMBER),
        ([FIRST, GONE, LONG, OVER], State.CLOSED),
        ([FIRST, LOST, GONE, LATER, RESTORED], State.MEMBER),
        ([FIRST, LARGER], State.MERGING),
        ([FIRST, LARGER, LOST], State.MERGING),
        ([FIRST, LARGER, LATER], State.MEMBER),
    ],
)
def test_what_is_told_makes_the_state(changes: list[Change], state: State) -> None:
    found = State.JOINING
    for change in changes:
        found = found.after(change)
    assert found is state


@pytest.mark.parametrize("state", [State.LEAVING, State.CLOSED])
@pytest.mark.parametrize("change", [FIRST, LATER, LOST, RESTORED, GONE, LONG, OVER, LARGER])
def test_who_leaves_or_has_ended_does_not_come_back(state: State, change: Change) -> None:
    assert state.after(change) is state


def test_who_is_ready_and_who_is_live() -> None:
    assert {state for state in State if state.is_ready} == {State.MEMBER}
    assert {state for state in State if not state.is_live} == {State.CLOSED}
