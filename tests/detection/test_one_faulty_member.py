"""One faulty member never has another one removed, in a cluster of any size and with any addresses.

What a faulty member does is drawn from what it can do, not from what the detector does with it: its failure
detector, its health check, its descriptors or its links may be broken, so it may report any of its subjects,
and any of its observers may report it. Nobody else is reported by anybody.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, combinations
from random import Random

import pytest

from rapid.detection.alert import Alert, Ground, Status
from rapid.detection.cut_detector import CutDetector, Tally, ring_bits
from rapid.overlay.configuration import Configuration
from rapid.overlay.member import ClusterId, Endpoint, Member, NodeId
from rapid.overlay.rings import backward_ring

K, H, L = 10, 9, 3
SIZES = range(3, 13)
CLUSTER = ClusterId(bytes(16))


def address_sets(size: int, count: int) -> Iterator[Configuration]:
    """Configurations of members at drawn addresses."""
    rng = Random(f"{size}/addresses")
    for _ in range(count):
        members = [
            Member(
                Endpoint(f"10.{rng.randrange(256)}.{rng.randrange(256)}.{number}", rng.randrange(1, 65536)),
                NodeId(rng.randbytes(16)),
            )
            for number in range(size)
        ]
        yield Configuration.of(CLUSTER, 1, members, K)


def report(
    view: Configuration, observer: Endpoint, subject: Endpoint, ground: Ground = Ground.SILENT
) -> Alert:
    member = view.member(subject)
    assert member is not None
    return Alert(observer, member, Status.DOWN, ring_bits(view.observers(subject), observer), ground)


def subsets(of: Iterable[Endpoint]) -> Iterator[tuple[Endpoint, ...]]:
    everyone = list(of)
    return chain.from_iterable(combinations(everyone, count) for count in range(len(everyone) + 1))


def who_goes(view: Configuration, alerts: Iterable[Alert], h: int = H, low: int = L) -> set[Endpoint]:
    """Whoever is proposed at any point, while the others react as members do (paper section 4.2)."""
    detector = CutDetector(view, h, low, bearable=(view.size - 1) // 2)
    gone: set[Endpoint] = set()

    def look() -> None:
        cut = detector.propose()
        if cut is not None:
            gone.update(removal.endpoint for removal in cut.removed)

    for alert in alerts:
        assert detector.problem(alert) is None
        detector.add(alert)
        look()
    for _ in range(2):  # reinforcement: echo it, then take the silent observers for gone
        for tally in detector.unstable:
            subject = tally.subject.endpoint
            if not detector.credible(tally):
                detector.doubt(tally)
                look()
                continue
            for observer in dict.fromkeys(tally.watchers):
                detector.add(report(view, observer, subject, Ground.REINFORCED))
                look()
            if detector.is_unstable(tally):
                detector.expire(tally)
                look()
    return gone


def orders(one: list[Alert], other: list[Alert]) -> Iterator[list[Alert]]:
    yield one + other
    yield other + one
    yield [alert for pair in zip(one, other, strict=False) for alert in pair] + one + other


def few(of: list[Endpoint], rng: Random) -> Iterator[list[Endpoint]]:
    yield of
    for count in (1, 2, 3):
        yield rng.sample(of, min(count, len(of)))
    yield []


def hold(view: Configuration, rng: Random) -> None:
    """For each member as the faulty one, with what it and its observers may report in many combinations."""
    for faulty in view.endpoints:
        subjects = list(dict.fromkeys(view.subjects(faulty)))
        observers = list(dict.fromkeys(view.observers(faulty)))
        for about in few(subjects, rng):
            said = [report(view, faulty, subject) for subject in about]
            for by in ([], observers, rng.sample(observers, rng.randint(1, len(observers)))):
                accused = [report(view, observer, faulty) for observer in by]
                for order in orders(said, accused):
                    assert who_goes(view, order) <= {faulty}


def hold_for_all(views: Iterable[Configuration]) -> None:
    rng = Random(1)
    for view in views:
        hold(view, rng)


@pytest.mark.parametrize("size", SIZES)
def test_one_faulty_member_has_no_other_removed(size: int) -> None:
    hold_for_all(address_sets(size, 12))


@pytest.mark.verify
@pytest.mark.parametrize("size", SIZES)
def test_one_faulty_member_has_no_other_removed_in_a_thousand_address_sets(size: int) -> None:
    hold_for_all(address_sets(size, 1000))


@pytest.mark.parametrize("size", SIZES)
def test_whatever_it_reports_and_whoever_reports_it(size: int) -> None:
    """All subsets of its subjects, and all of its observers."""
    for view in address_sets(size, 1):
        faulty = view.endpoints[0]
        observers = list(dict.fromkeys(view.observers(faulty)))
        accusations = [[], observers, observers[:1], observers[1:]]
        for about in subsets(dict.fromkeys(view.subjects(faulty))):
            said = [report(view, faulty, subject) for subject in about]
            for by in accusations:
                assert who_goes(view, said + [report(view, o, faulty) for o in by]) <= {faulty}


@pytest.mark.parametrize("size", [3, 4, 5, 8])
@pytest.mark.parametrize("marks", [(9, 3), (10, 1), (6, 6), (3, 3)])
def test_the_watermarks_do_not_matter_for_that(size: int, marks: tuple[int, int]) -> None:
    for view in address_sets(size, 30):
        for faulty in view.endpoints:
            said = [report(view, faulty, subject) for subject in dict.fromkeys(view.subjects(faulty))]
            assert who_goes(view, said, *marks) <= {faulty}


def one_observer_of_all() -> Configuration:
    """A cluster of three in which each member is followed by the same other one on every ring."""
    for view in address_sets(3, 5000):
        first = view.endpoints[0]
        orders = [list(ring.endpoints) for ring in view.rings]
        if len({order[(order.index(first) + 1) % 3] for order in orders}) == 1:
            return view
    raise AssertionError("none of these address sets is such; draw more")


def test_a_member_that_one_process_follows_on_every_ring_has_two_observers() -> None:
    view = one_observer_of_all()
    assert backward_ring(view.rings) is not None
    for endpoint in view.endpoints:
        assert len(set(view.observers(endpoint))) == 2
        for ring, observer in enumerate(view.observers(endpoint)):
            assert view.subjects(observer)[ring] == endpoint, "who observes is observed"
    hold(view, Random(1))


@pytest.mark.parametrize("size", SIZES)
def test_a_member_that_all_its_observers_report_is_removed(size: int) -> None:
    """The counterpart: who crashed goes, with any addresses."""
    views = [*address_sets(size, 200), *([one_observer_of_all()] if size == 3 else [])]
    for view in views:
        for dead in view.endpoints:
            observers = dict.fromkeys(view.observers(dead))
            assert len(observers) > 1
            assert who_goes(view, [report(view, observer, dead) for observer in observers]) == {dead}


@pytest.mark.parametrize("size", range(5, 13))
def test_a_dead_member_goes_although_another_one_is_faulty(size: int) -> None:
    """Where two others are left that observe it: one could be wrong."""
    checked = 0
    for view in address_sets(size, 40):
        dead, faulty = view.endpoints[:2]
        alive = [o for o in dict.fromkeys(view.observers(dead)) if o != faulty]
        if len(alive) < 2:
            continue
        checked += 1
        said = [report(view, faulty, s) for s in dict.fromkeys(view.subjects(faulty)) if s != dead]
        gone = who_goes(view, said + [report(view, observer, dead) for observer in alive])
        assert gone <= {dead, faulty}
        assert dead in gone
    assert checked > 30


# -- planted bugs


def test_inferred_witnesses_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bug: what was inferred from one member's report counts as the report of a second observer."""

    def reporters(tally: Tally) -> set[Endpoint]:
        return {watcher for ring, watcher in enumerate(tally.watchers) if tally.covered >> ring & 1}

    monkeypatch.setattr(Tally, "reporters", property(reporters))
    monkeypatch.setattr(CutDetector, "credible", CutDetector._stands)
    with pytest.raises(AssertionError):
        hold_for_all(address_sets(5, 100))


def test_one_report_that_is_enough_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CutDetector, "corroborated", lambda detector, tally: True)
    with pytest.raises(AssertionError):
        hold_for_all(address_sets(3, 10))


def test_a_single_observer_of_a_member_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bug: no ring is turned round, and the one observer that a member has is believed."""
    members = one_observer_of_all().members
    monkeypatch.setattr("rapid.overlay.configuration.backward_ring", lambda rings: None)
    with pytest.raises(AssertionError):
        hold(Configuration.of(CLUSTER, 1, members, K), Random(1))
