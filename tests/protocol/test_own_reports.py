"""What a member reports itself, and takes back when its subject has answered for long."""

from __future__ import annotations

from rapid.detection.alert import Ground, Status
from rapid.overlay.member import Endpoint, Member, NodeId
from rapid.protocol.own_reports import OwnReports

ME = Endpoint("10.0.0.1", 7000)
OTHER = Member(Endpoint("10.0.0.2", 7000), NodeId(bytes(16)))
JOINER = Member(Endpoint("10.0.0.3", 7000), NodeId(b"j" * 16), {"role": "cache"})
LIFETIME = 60.0


def down(own: OwnReports, rings: int, now: float) -> tuple[int, int] | None:
    alert = own.make(OTHER, Status.DOWN, rings, Ground.SILENT, now)
    return None if alert is None else (alert.rings, alert.revision)


def test_what_was_reported_is_not_reported_again() -> None:
    own = OwnReports(ME, LIFETIME)
    assert down(own, 0b11, 0.0) == (0b11, 0)
    assert down(own, 0b11, 1.0) is None
    assert down(own, 0b111, 2.0) == (0b100, 0)
    up = own.make(JOINER, Status.UP, 0b1, Ground.UNSTATED, 0.0)
    assert up is not None
    assert up.subject.metadata == {"role": "cache"}
    assert own.make(JOINER, Status.UP, 0b1, Ground.UNSTATED, 1.0) is None


def test_a_report_is_over_once_its_subject_has_answered_for_its_lifetime() -> None:
    own = OwnReports(ME, LIFETIME)
    down(own, 0b11, 10.0)
    assert own.due == 70.0
    assert own.outlived({OTHER.endpoint: 20.0}, 70.0) == [], "it has answered for 50 s only"
    assert own.due == 85.0
    assert own.outlived({}, 85.0) == [], "it does not answer"
    assert own.outlived({OTHER.endpoint: 25.0}, 85.0) == [OTHER]


def test_a_report_that_was_made_again_is_young_again() -> None:
    own = OwnReports(ME, LIFETIME)
    down(own, 0b1, 10.0)
    down(own, 0b1, 50.0)
    assert own.outlived({OTHER.endpoint: -1.0}, 100.0) == []
    assert own.outlived({OTHER.endpoint: -1.0}, 110.0) == [OTHER]


def test_a_withdrawn_report_can_be_made_again_with_a_higher_revision() -> None:
    own = OwnReports(ME, LIFETIME)
    down(own, 0b11, 0.0)
    back = own.withdraw(OTHER)
    assert (back.status, back.rings, back.revision) == (Status.WITHDRAWN, 0b11, 1)
    assert own.rings_down == 0
    assert own.outlived({OTHER.endpoint: 0.0}, 100.0) == []
    assert own.due == float("inf"), "nothing stands: nothing is to be looked at"
    assert down(own, 0b11, 200.0) == (0b11, 2)
    assert own.due == 260.0
    assert own.withdraw(OTHER).revision == 3


def test_joiners_do_not_count_as_gone_and_leavers_do() -> None:
    own = OwnReports(ME, LIFETIME)
    own.make(JOINER, Status.UP, 0b111, Ground.UNSTATED, 0.0)
    assert own.rings_down == 0
    own.make(OTHER, Status.LEAVING, 0b1, Ground.UNSTATED, 0.0)
    assert own.rings_down == 1
    assert own.due == float("inf"), "who leaves has said so itself"
