"""The cut detector against a slow, obvious oracle (paper section 4.2)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rapid.detection.alert import Alert, Ground, Status
from rapid.detection.cut_detector import CutDetector, Tally, ring_bits
from rapid.overlay.configuration import Configuration
from rapid.overlay.cut import Cut, Removal
from rapid.overlay.member import ClusterId, Endpoint, Member, NodeId

CLUSTER = ClusterId(bytes(16))
K = 10


def member(number: int) -> Member:
    return Member(Endpoint("10.0.0.1", 7000 + number), NodeId(number.to_bytes(16, "big")))


def configuration(size: int) -> Configuration:
    return Configuration.of(CLUSTER, 1, map(member, range(size)), K)


class Oracle:
    """The rules of the cut detector, one after the other, from all alerts at once.

    Written from the paper's section 4.2 and from docs/design.md, "Detection", and not from the code.
    """

    def __init__(self, view: Configuration, alerts: list[Alert], h: int, low: int) -> None:
        self.view = view
        self.h = h
        self.low = low
        self.subjects = {alert.subject for alert in alerts}
        self.down = {subject: self.rings_down(subject, alerts) for subject in self.subjects}
        self.passed_on = {
            subject: {
                ring
                for alert in alerts
                for ring in range(K)
                if alert.subject == subject and alert.rings >> ring & 1
                if alert.status in (Status.UP, Status.LEAVING)
            }
            for subject in self.subjects
        }

    @staticmethod
    def rings_down(subject: Member, alerts: list[Alert]) -> set[int]:
        """Of the reports about one edge the one with the highest revision holds."""
        about = [alert for alert in alerts if alert.subject == subject]
        about = [alert for alert in about if alert.status in (Status.DOWN, Status.WITHDRAWN)]
        held: set[int] = set()
        for ring in range(K):
            reports = sorted(
                (alert.revision, alert.status) for alert in about if alert.rings >> ring & 1
            )
            if reports and reports[-1][1] is Status.DOWN:
                held.add(ring)
        return held

    def joins(self, subject: Member) -> bool:
        return subject.endpoint not in self.view

    def watchers(self, subject: Member) -> tuple[Endpoint, ...]:
        if self.joins(subject):
            return self.view.subjects(subject.endpoint)
        return self.view.observers(subject.endpoint)

    def reported(self, subject: Member) -> set[int]:
        return self.down[subject] | self.passed_on[subject]

    def reporters(self, subject: Member) -> set[Endpoint]:
        return {self.watchers(subject)[ring] for ring in self.reported(subject)}

    def several_say_so(self, subject: Member) -> bool:
        """Nobody is removed for what one of several observers says; a joiner needs no second one."""
        only_one_observer = len(set(self.watchers(subject))) == 1
        return self.joins(subject) or only_one_observer or len(self.reporters(subject)) > 1

    def accusations(self, endpoint: Endpoint) -> int:
        """On how many rings a member is said to have failed: not those that say that it leaves."""
        return sum(
            len(self.down[subject] - self.passed_on[subject])
            for subject in self.subjects
            if subject.endpoint == endpoint and not self.joins(subject)
        )

    def credible(self, subject: Member) -> bool:
        """Several say so, and on L rings or more it is such as are accused on fewer rings themselves.

        Who reports that a member leaves only passes its own message on.
        """
        count = len(self.reported(subject))
        trusted = {
            ring
            for ring in self.reported(subject)
            if ring in self.passed_on[subject] or self.accusations(self.watchers(subject)[ring]) < count
        }
        return self.several_say_so(subject) and len(trusted) >= self.low

    def counted(self, subject: Member) -> set[int]:
        """Reported, or implied: the edge's observer is on its way out, and its subject past the low mark."""
        rings = self.reported(subject)
        if len(rings) < self.low or not (self.joins(subject) or self.credible(subject)):
            return rings
        gone = {other.endpoint for other in self.subjects if not self.joins(other) and self.credible(other)}
        return rings | {ring for ring, watcher in enumerate(self.watchers(subject)) if watcher in gone}

    def stable(self) -> list[Member]:
        return [s for s in self.subjects if len(self.counted(s)) >= self.h and self.several_say_so(s)]

    def unstable(self) -> list[Member]:
        stable = self.stable()
        return [s for s in self.subjects if len(self.counted(s)) >= self.low and s not in stable]

    def proposal(self) -> Cut | None:
        stable = self.stable()
        going = {subject.endpoint for subject in stable if not self.joins(subject)}
        for subject in self.unstable():
            if self.several_say_so(subject) or not self.reporters(subject) <= going:
                return None
        if not stable:
            return None
        removed = [
            Removal(s.endpoint, s.node_id, 2 * len(self.passed_on[s]) > len(self.reported(s)))
            for s in stable
            if not self.joins(s)
        ]
        return Cut.of(removed, [subject for subject in stable if self.joins(subject)])


@st.composite
def histories(draw: st.DrawFn) -> tuple[Configuration, list[Alert]]:
    """A configuration and valid alerts in some order, most edges of a few subjects among them."""
    size = draw(st.integers(2, 24))
    view = configuration(size)
    numbers = draw(st.lists(st.integers(0, size + 4), min_size=1, max_size=5, unique=True))
    alerts = []
    for number in numbers:
        subject = member(number)
        inside = subject.endpoint in view
        watchers = view.observers(subject.endpoint) if inside else view.subjects(subject.endpoint)
        leaves = draw(st.booleans())
        for watcher in dict.fromkeys(watchers):
            said = draw(st.integers(0, 9))
            if said == 0:
                continue
            rings = ring_bits(watchers, watcher)
            if not inside:
                alerts.append(Alert(watcher, subject, Status.UP, rings))
                continue
            if leaves:
                alerts.append(Alert(watcher, subject, Status.LEAVING, rings))
            if not leaves or said == 1:
                last = draw(st.sampled_from([0, 0, 0, 1, 2, 3]))
                alerts += [
                    Alert(watcher, subject, Status.WITHDRAWN if revision % 2 else Status.DOWN, rings,
                          Ground.UNSTATED, revision)
                    for revision in range(last + 1)
                ]  # fmt: skip
    return view, draw(st.permutations(alerts))


@settings(max_examples=120, deadline=None)
@given(histories(), st.sampled_from([(9, 3), (9, 4), (10, 1), (6, 3), (8, 8)]))
def test_like_the_oracle_after_every_alert(
    history: tuple[Configuration, list[Alert]], marks: tuple[int, int]
) -> None:
    view, alerts = history
    detector = CutDetector(view, *marks)
    for at, alert in enumerate(alerts, start=1):
        assert detector.problem(alert) is None
        detector.add(alert)
        assert detector.knows(alert)
        proposed = detector.propose()
        rules = Oracle(view, alerts[:at], *marks)
        assert proposed == rules.proposal()
        unstable = {subject.endpoint for subject in rules.unstable()}
        assert {tally.subject.endpoint for tally in detector.unstable} == unstable
        assert detector.changing is bool(rules.stable() or unstable)


@settings(max_examples=100, deadline=None)
@given(histories(), st.randoms())
def test_order_and_repetition_do_not_matter(
    history: tuple[Configuration, list[Alert]], random: object
) -> None:
    view, alerts = history
    first, second = CutDetector(view, 9, 3), CutDetector(view, 9, 3)
    for alert in alerts:
        first.add(alert)
    for alert in [*reversed(alerts), *alerts]:
        second.add(alert)
    assert first.propose() == second.propose()


def report(detector: CutDetector, view: Configuration, subject: Member, rings: int) -> None:
    """Report the subject down on its first ``rings`` rings."""
    for ring, watcher in enumerate(view.observers(subject.endpoint)[:rings]):
        detector.add(Alert(watcher, subject, Status.DOWN, 1 << ring))


def test_section_4_2_below_the_low_mark_is_noise() -> None:
    view = configuration(50)
    detector = CutDetector(view, 9, 3)
    report(detector, view, member(0), 2)
    report(detector, view, member(1), 9)
    cut = detector.propose()
    assert cut is not None
    assert [removal.endpoint for removal in cut.removed] == [member(1).endpoint]


def test_section_4_2_between_the_marks_blocks() -> None:
    view = configuration(200)
    detector = CutDetector(view, 9, 3)
    report(detector, view, member(0), 3)
    report(detector, view, member(1), 9)
    assert detector.propose() is None
    report(detector, view, member(0), 9)
    cut = detector.propose()
    assert cut is not None
    assert len(cut.removed) == 2


def test_what_is_inferred_does_not_hide_what_is_reported() -> None:
    view = configuration(12)
    first, second = next(
        (subject, observer)
        for subject in view.members
        for observer in view.members
        if view.observers(subject.endpoint).count(observer.endpoint) == 1
    )
    detector = CutDetector(view, 9, 3)
    for subject in (first, second):
        for watcher in dict.fromkeys(view.observers(subject.endpoint)):
            if watcher != second.endpoint:
                detector.add(down(view, watcher, subject))
    assert detector.propose() is not None
    rings = ring_bits(view.observers(first.endpoint), second.endpoint)
    detector = CutDetector(view, 10, 3)
    for subject in (first, second):
        for watcher in dict.fromkeys(view.observers(subject.endpoint)):
            if watcher not in (first.endpoint, second.endpoint):
                detector.add(down(view, watcher, subject))
    detector.propose()
    assert detector.implicit > 0
    assert detector.add(Alert(second.endpoint, first, Status.DOWN, rings)), "the others must still get it"


@pytest.mark.parametrize(
    ("alert", "problem"),
    [
        (Alert(member(9).endpoint, member(0), Status.DOWN, 1), "observer is no member"),
        (Alert(member(1).endpoint, member(9), Status.DOWN, 1), "subject is no member"),
        (Alert(member(1).endpoint, member(0), Status.UP, 1), "joiner is a member already"),
        (Alert(member(1).endpoint, member(0), Status.DOWN, 0), "observer does not hold these rings"),
        (
            Alert(member(1).endpoint, member(0), Status.DOWN, (1 << K) - 1),
            "observer does not hold these rings",
        ),
        (Alert(member(1).endpoint, member(0), Status.DOWN, 1 << 20), "observer does not hold these rings"),
        (Alert(None, member(0), Status.DOWN, 1, revision=1), "revision contradicts its status"),
        (Alert(None, member(0), Status.WITHDRAWN, 1, revision=2), "revision contradicts its status"),
        (Alert(None, member(0), Status.LEAVING, 1, revision=2), "only what is down can be withdrawn"),
    ],
)
def test_what_does_not_count(alert: Alert, problem: str) -> None:
    assert CutDetector(configuration(4), 9, 3).problem(alert) == problem


def test_an_earlier_process_at_the_address_is_no_member() -> None:
    stale = Member(member(0).endpoint, NodeId(b"x" * 16))
    alert = Alert(member(1).endpoint, stale, Status.DOWN, 1)
    assert CutDetector(configuration(4), 9, 3).problem(alert) == "subject is no member"


# -- the word of one


def lone(view: Configuration, least: int) -> tuple[Member, Endpoint]:
    """A member and the one observer of it that holds at least so many of its rings."""
    for subject in view.members:
        observers = view.observers(subject.endpoint)
        for observer in dict.fromkeys(observers):
            if observers.count(observer) >= least and len(set(observers)) > 1:
                return subject, observer
    raise AssertionError("no observer holds so many rings: take a smaller configuration")


def down(view: Configuration, observer: Endpoint, subject: Member) -> Alert:
    return Alert(observer, subject, Status.DOWN, ring_bits(view.observers(subject.endpoint), observer))


@pytest.mark.parametrize("size", [3, 4, 5, 10])
def test_one_observer_alone_moves_nobody_on_however_many_rings(size: int) -> None:
    view = configuration(size)
    for subject in view.members:
        for observer in dict.fromkeys(view.observers(subject.endpoint)):
            detector = CutDetector(view, 3, 3)
            detector.add(down(view, observer, subject))
            assert detector.propose() is None


def test_a_lone_word_holds_others_up_until_it_is_doubted() -> None:
    view = configuration(10)
    subject, observer = lone(view, 3)
    victim = next(m for m in view.members if m.endpoint not in (subject.endpoint, observer))
    detector = CutDetector(view, 9, 3)
    detector.add(down(view, observer, subject))
    for watcher in dict.fromkeys(view.observers(victim.endpoint)):
        detector.add(down(view, watcher, victim))
    assert detector.propose() is None
    [tally] = detector.unstable
    detector.doubt(tally)
    cut = detector.propose()
    assert cut is not None
    assert [removal.endpoint for removal in cut.removed] == [victim.endpoint]


def test_a_doubted_word_counts_again_when_another_says_so_too() -> None:
    view = configuration(10)
    subject, observer = lone(view, 3)
    detector = CutDetector(view, 9, 3)
    detector.add(down(view, observer, subject))
    [tally] = detector.unstable
    detector.doubt(tally)
    assert detector.unstable == []
    for watcher in dict.fromkeys(view.observers(subject.endpoint)):
        detector.add(down(view, watcher, subject))
    cut = detector.propose()
    assert cut is not None
    assert [removal.endpoint for removal in cut.removed] == [subject.endpoint]


def test_who_is_to_go_takes_nobody_along_by_its_word() -> None:
    """Paper section 2: one whose way in is broken finds everyone faulty, and everyone finds it so."""
    view = configuration(10)
    _, confused = lone(view, 3)
    detector = CutDetector(view, 9, 3)
    for other in dict.fromkeys(view.subjects(confused)):
        member = view.member(other)
        assert member is not None
        if other != confused:
            detector.add(down(view, confused, member))
    culprit = view.member(confused)
    assert culprit is not None
    for watcher in dict.fromkeys(view.observers(confused)):
        detector.add(down(view, watcher, culprit))
    cut = detector.propose()
    assert cut is not None
    assert [removal.endpoint for removal in cut.removed] == [confused]


# -- the words of many


def blame(detector: CutDetector, view: Configuration, accusers: list[Member]) -> None:
    """These report all their subjects but one another."""
    among = {accuser.endpoint for accuser in accusers}
    for accuser in accusers:
        for subject in view.members:
            alert = down(view, accuser.endpoint, subject)
            if alert.rings and subject.endpoint not in among:
                detector.add(alert)


def report_all(detector: CutDetector, view: Configuration, subjects: list[Member]) -> None:
    """All their observers report these, but for one another."""
    among = {subject.endpoint for subject in subjects}
    for subject in subjects:
        for watcher in dict.fromkeys(view.observers(subject.endpoint)):
            if watcher not in among:
                detector.add(down(view, watcher, subject))


@pytest.mark.parametrize("accused_first", [True, False])
def test_those_who_are_to_go_take_nobody_along_by_their_words(accused_first: bool) -> None:
    """A rack whose way in is broken: each of many healthy members is watched by three of it or more."""
    view = configuration(30)
    rack = list(view.members[:6])
    among = {member.endpoint for member in rack}
    watched = [sum(o in among for o in view.observers(m.endpoint)) for m in view.members[6:]]
    assert sum(rings >= 3 for rings in watched) >= 3, "else this shows nothing"
    detector = CutDetector(view, 9, 3)
    steps = [report_all, blame]
    for step in steps if accused_first else reversed(steps):
        step(detector, view, rack)
        detector.propose()
    held_up = detector.unstable
    assert len(held_up) >= 3
    assert not any(detector.credible(tally) for tally in held_up), "else they would be echoed"
    for tally in held_up:
        detector.doubt(tally)
    cut = detector.propose()
    assert cut is not None
    assert {removal.endpoint for removal in cut.removed} == among


def test_what_only_the_accused_say_is_not_to_be_echoed_until_another_says_so_too() -> None:
    view = configuration(30)
    rack = list(view.members[:6])
    detector = CutDetector(view, 9, 3)
    blame(detector, view, rack)
    said = [tally for tally in detector.unstable if len(tally.reporters) > 1]
    assert all(detector.credible(tally) for tally in said), "who says so seems well"
    report_all(detector, view, rack)
    assert not any(detector.credible(tally) for tally in said)

    def well(tally: Tally) -> list[Endpoint]:
        seem_well = set(view.endpoints) - set(detector.failing) - {member.endpoint for member in rack}
        return [watcher for watcher in dict.fromkeys(tally.watchers) if watcher in seem_well]

    tally = next(tally for tally in said if len(well(tally)) >= 3)
    detector.doubt(tally)
    assert not detector.is_unstable(tally)
    for watcher in well(tally)[:3]:
        detector.add(down(view, watcher, tally.subject))
    assert detector.is_unstable(tally)
    assert detector.propose() is None
