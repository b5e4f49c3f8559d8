"""When a member's own alerts leave, and which of them together."""

from __future__ import annotations

from math import inf

from rapid.detection.alert import Alert, Status
from rapid.overlay.member import Member, NodeId
from rapid.protocol.batch import CROWD, AlertBatch
from rapid.settings import Settings

from .harness import at

SETTINGS = Settings(batch_quiet=0.1, batch_limit=0.5, join_quiet=0.02)
GONE, JOINER = Member(at(1), NodeId(b"g" * 16)), Member(at(2), NodeId(b"j" * 16))
DOWN, UP = Alert(at(0), GONE, Status.DOWN, 1), Alert(at(0), JOINER, Status.UP, 1)


def leaves(alert: Alert, every: float, until: float = 10.0) -> float:
    """When a batch leaves to which such an alert is added again and again."""
    batch, turn = AlertBatch(SETTINGS), 0
    while batch.due > turn * every and turn * every < until:
        batch.add(alert, turn * every)
        turn += 1
    return round(batch.due, 3)


def test_alerts_leave_after_a_while_of_quiet() -> None:
    batch = AlertBatch(SETTINGS)
    assert batch.due == inf
    batch.add(DOWN, 1.0)
    batch.add(DOWN, 1.05)
    assert round(batch.due, 3) == 1.15
    assert batch.take() == [DOWN, DOWN]
    assert (len(batch), batch.due) == (0, inf)


def test_a_lone_join_waits_less_unless_another_is_on_its_way() -> None:
    batch = AlertBatch(SETTINGS)
    batch.expect_more(0.5)
    assert batch.due == inf, "nothing waits"
    batch.add(UP, 1.0)
    assert round(batch.due, 3) == 1.02
    batch.expect_more(1.01)
    assert round(batch.due, 3) == 1.11


def test_a_trickle_does_not_hold_alerts_up_and_joins_wait_longer_for_each_other() -> None:
    assert leaves(DOWN, every=0.05) == SETTINGS.batch_limit
    assert leaves(UP, every=0.01) == CROWD * SETTINGS.batch_limit


def test_a_removal_does_not_wait_for_a_crowd() -> None:
    batch = AlertBatch(SETTINGS)
    for turn in range(80):
        batch.add(UP, turn * 0.01)
    assert batch.due > 0.8
    batch.add(DOWN, 0.8)
    assert batch.due == 0.8, "the first has waited for longer than the limit already"
    assert batch.take()[-1] == DOWN
    batch.add(UP, 1.0)
    for turn in range(1, 80):
        batch.add(UP, 1.0 + turn * 0.01)
    assert batch.due > 1.8, "the next batch has joins only"
