"""When a member's own alerts leave, and which of them together."""

from __future__ import annotations

from math import inf

import pytest

from rapid.detection.alert import Alert, Status
from rapid.overlay.member import Member, NodeId
from rapid.protocol.batch import ALONE, ALONE_FEW, ALONE_LIMIT, ALONE_PACE, ALONE_QUIET, AlertBatch
from rapid.settings import Settings

from .harness import at

SETTINGS = Settings(batch_quiet=0.1, batch_limit=0.5, join_quiet=0.02)
GONE, JOINER = Member(at(1), NodeId(b"g" * 16)), Member(at(2), NodeId(b"j" * 16))
DOWN, UP = Alert(at(0), GONE, Status.DOWN, 1), Alert(at(0), JOINER, Status.UP, 1)


def leaves(alert: Alert, every: float, *, alone: bool = False, turns: int = 1000) -> float:
    """When a batch leaves to which such an alert is added again and again."""
    batch, turn = AlertBatch(SETTINGS, alone=alone), 0
    while batch.due > turn * every and turn < turns:
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


def test_a_member_that_is_alone_waits_longer_for_others() -> None:
    every = (ALONE + 1) * SETTINGS.batch_limit / ALONE_PACE  # so many come that it is one time more
    assert leaves(DOWN, every=every, alone=True) == pytest.approx((ALONE + 1) * SETTINGS.batch_limit)


def test_a_member_that_is_alone_waits_for_a_crowd_while_that_comes_in() -> None:
    """So fast that in parts it would be three views or more."""
    batch = AlertBatch(SETTINGS, alone=True)
    pace = SETTINGS.batch_limit / ALONE_PACE
    for turn in range(10 * ALONE_PACE):
        assert batch.due > turn * pace
        batch.add(UP, turn * pace)
    assert batch.due == pytest.approx((10 * ALONE_PACE - 1) * pace + SETTINGS.batch_quiet)


def test_no_crowd_holds_joins_up_for_ever() -> None:
    assert leaves(UP, every=0.001, alone=True, turns=20_000) == ALONE_LIMIT * SETTINGS.batch_limit


def test_a_member_that_is_alone_waits_longer_for_one_that_is_on_its_way() -> None:
    batch = AlertBatch(SETTINGS, alone=True)
    batch.add(UP, 0.0)
    batch.expect_more(0.0)
    assert batch.due == pytest.approx(ALONE_QUIET * SETTINGS.batch_quiet)
    batch.add(UP, 0.2)
    assert batch.due == pytest.approx(0.2 + SETTINGS.batch_quiet / 2), "it has come"


def test_a_member_that_is_alone_waits_half_as_long_for_the_next_of_a_few() -> None:
    batch = AlertBatch(SETTINGS, alone=True)
    for count in range(1, ALONE_FEW + 2):
        batch.add(UP, 0.0)
        quiet = SETTINGS.batch_quiet / (1 if count > ALONE_FEW else 2)
        assert batch.due == pytest.approx(SETTINGS.join_quiet if count == 1 else quiet)
