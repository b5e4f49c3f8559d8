"""When a member's own alerts leave, and which of them together."""

from __future__ import annotations

from math import inf

from rapid.detection.alert import Alert, Status
from rapid.overlay.member import Member, NodeId
from rapid.protocol.batch import ALONE, AlertBatch
from rapid.settings import Settings

from .harness import at

SETTINGS = Settings(batch_quiet=0.1, batch_limit=0.5, join_quiet=0.02)
GONE, JOINER = Member(at(1), NodeId(b"g" * 16)), Member(at(2), NodeId(b"j" * 16))
DOWN, UP = Alert(at(0), GONE, Status.DOWN, 1), Alert(at(0), JOINER, Status.UP, 1)


def leaves(alert: Alert, every: float, *, alone: bool = False) -> float:
    """When a batch leaves to which such an alert is added again and again."""
    batch, turn = AlertBatch(SETTINGS, alone=alone), 0
    while batch.due > turn * every and turn < 1000:
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


def test_a_trickle_does_not_hold_alerts_up() -> None:
    assert leaves(DOWN, every=0.05) == SETTINGS.batch_limit
    assert leaves(UP, every=0.01) == SETTINGS.batch_limit


def test_a_member_that_is_alone_waits_longer_for_a_crowd() -> None:
    assert leaves(UP, every=0.01, alone=True) == ALONE * SETTINGS.batch_limit
