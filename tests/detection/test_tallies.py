"""Whose reports count for what, one rule at a time; against an oracle see test_cut_detector.py."""

from __future__ import annotations

import pytest

from rapid.detection.alert import Alert, Status
from rapid.detection.cut_detector import CutDetector, Tally
from rapid.overlay.configuration import Configuration
from rapid.overlay.member import ClusterId, Endpoint, Member, NodeId

H, L, K = 9, 3, 10


def member(number: int, life: bytes = b"\0") -> Member:
    return Member(Endpoint("10.0.0.1", 7000 + number), NodeId(life * 12 + number.to_bytes(4, "big")))


class Case:
    """A subject that three of its observers report on one ring each."""

    def __init__(self) -> None:
        self.view = Configuration.of(ClusterId(bytes(16)), 1, map(member, range(60)), K)
        self.detector = CutDetector(self.view, H, L)
        self.subject = next(m for m in self.view.members if len(set(self.view.observers(m.endpoint))) == K)
        self.observers = self.view.observers(self.subject.endpoint)
        self.report(self.subject.endpoint, Status.DOWN, range(L))

    def report(self, endpoint: Endpoint, status: Status, rings: range) -> None:
        subject = self.view.member(endpoint)
        assert subject is not None
        for ring in rings:
            alert = Alert(self.view.observers(endpoint)[ring], subject, status, 1 << ring)
            assert self.detector.problem(alert) is None
            self.detector.add(alert)

    @property
    def tally(self) -> Tally:
        return next(tally for tally in self.detector.unstable if tally.subject == self.subject)

    @property
    def counted(self) -> int:
        """The rings that count, as of the last proposal."""
        self.detector.propose()
        return self.detector.rings_reported((self.subject.endpoint, self.subject.node_id))


@pytest.mark.parametrize(("rings", "credible"), [(L - 1, True), (L, False), (L + 1, False)])
def test_the_reports_of_those_reported_on_as_many_rings_are_not_acted_on(rings: int, credible: bool) -> None:
    case = Case()
    for observer in case.observers[:L]:
        case.report(observer, Status.DOWN, range(rings))
    assert case.detector.credible(case.tally) is credible


def test_the_reports_of_those_that_leave_are_acted_on() -> None:
    case = Case()
    for observer in case.observers[:L]:
        case.report(observer, Status.LEAVING, range(L + 1))
    assert case.detector.credible(case.tally)


def test_what_was_inferred_is_taken_back_when_the_reports_turn_out_not_to_be_acted_on() -> None:
    case = Case()
    reported = (1 << L) - 1
    assert case.counted == reported
    case.report(case.observers[L], Status.DOWN, range(L))
    assert case.counted == reported | 1 << L
    for observer in case.observers[:L]:
        case.report(observer, Status.DOWN, range(L))
    assert case.counted == reported


@pytest.mark.parametrize("lower_first", [True, False])
def test_of_two_processes_that_join_at_one_address_that_with_the_lower_id_is_proposed(
    lower_first: bool,
) -> None:
    view = Configuration.of(ClusterId(bytes(16)), 1, map(member, range(20)), K)
    detector = CutDetector(view, H, L)
    lives = [member(99, b"a"), member(99, b"b")]
    for joiner in lives if lower_first else reversed(lives):
        for ring, watcher in enumerate(view.subjects(joiner.endpoint)):
            detector.add(Alert(watcher, joiner, Status.UP, 1 << ring))
    cut = detector.propose()
    assert cut is not None
    assert cut.joined == (lives[0],)


@pytest.mark.parametrize(("leaving", "left"), [(K // 2, False), (K // 2 + 1, True)])
def test_who_goes_has_left_when_more_than_half_of_its_rings_say_so(leaving: int, left: bool) -> None:
    view = Configuration.of(ClusterId(bytes(16)), 1, map(member, range(20)), K)
    detector = CutDetector(view, H, L)
    subject = view.members[0]
    for ring, watcher in enumerate(view.observers(subject.endpoint)):
        status = Status.LEAVING if ring < leaving else Status.DOWN
        detector.add(Alert(watcher, subject, status, 1 << ring))
    cut = detector.propose()
    assert cut is not None
    assert [removal.left for removal in cut.removed] == [left]
