"""The conflict study against a slow, obvious detector and against what chance alone would give."""

from __future__ import annotations

from itertools import pairwise
from math import comb, sqrt
from random import Random

import pytest

from rapid.detection.alert import Alert
from rapid.overlay.configuration import Configuration
from rapid.overlay.member import Endpoint
from rapid.simulation import ScenarioError
from rapid.simulation.conflicts import Conflicts, ConflictStudy, Part, Scene
from rapid.simulation.sample import sampled

MARKS = [(9, 3), (6, 4), (10, 1), (7, 7)]


def first_proposal(
    view: Configuration | None, alerts: list[Alert], h: int, low: int
) -> frozenset[Endpoint] | None:
    """All anew after every alert. Nothing is inferred where no ``view`` says who observes whom.

    Nor is it where one observer of several reports a member, who then waits for a second one.
    """
    for heard in range(1, len(alerts) + 1):
        rings: dict[Endpoint, set[int]] = {}
        for alert in alerts[:heard]:
            rings.setdefault(alert.subject.endpoint, set()).update(
                ring for ring in range(32) if alert.rings >> ring & 1
            )
        failing = {subject for subject, on in rings.items() if len(on) >= low}
        lone: dict[Endpoint, set[Endpoint]] = {}
        if view is not None:
            for subject in failing:
                observers = view.observers(subject)
                reporters = {observers[ring] for ring in rings[subject]}
                if len(reporters) == 1 < len(set(observers)):
                    lone[subject] = reporters
            surely_gone = failing - set(lone)
            for subject in surely_gone:
                observers = view.observers(subject)
                rings[subject] |= {ring for ring, by in enumerate(observers) if by in surely_gone}
        stable = {subject for subject, on in rings.items() if len(on) >= h and subject not in lone}
        heeded = {subject for subject in failing if not lone.get(subject, {None}) <= stable}
        if stable and stable == heeded | stable:
            return frozenset(stable)
    return None


@pytest.mark.parametrize("published", [False, True])
@pytest.mark.parametrize(("nodes", "failed"), [(2, 1), (3, 2), (8, 3), (12, 6), (16, 9), (40, 4)])
def test_every_member_proposes_what_the_obvious_detector_does(
    nodes: int, failed: int, published: bool
) -> None:
    for seed in range(3):
        rng = Random(seed)
        view = sampled(nodes, 10, rng)
        scene = Scene(view, failed, rng, published)
        alerts = list(scene.alerts)
        for _ in range(3):
            rng.shuffle(alerts)
            heard = scene.heard(alerts)
            for h, low in MARKS:
                cut = scene.proposal(heard, h, low)
                found = None if cut is None else frozenset(removal.endpoint for removal in cut.removed)
                assert found == first_proposal(None if published else view, alerts, h, low)


def test_measure_counts_proposals_that_leave_somebody_out_and_those_that_never_come() -> None:
    study = ConflictStudy(nodes=20, failed=(12,), h=(9,), l=(3, 4), repetitions=1, seed=15)
    rows = study.measure(Part(12, 0))
    rng = Random("15/12/0")
    view = sampled(20, 10, rng)
    scene = Scene(view, 12, rng)
    alerts = list(scene.alerts)
    whole = {removal.endpoint for removal in scene.whole.removed}
    expected = {3: [0, 0], 4: [0, 0]}
    for _ in range(8):
        rng.shuffle(alerts)
        for low, counts in expected.items():
            found = first_proposal(view, alerts, 9, low)
            counts[0] += found is not None and found != whole
            counts[1] += found is None
    assert rows == [Conflicts(9, low, 12, 8, *counts) for low, counts in expected.items()]
    assert any(row.conflicting for row in rows)


def test_some_members_propose_nothing_where_too_few_are_left_to_report() -> None:
    study = ConflictStudy(nodes=16, failed=(8,), h=(9,), l=(4,), repetitions=20)
    (row,) = study.combined(map(study.measure, study.parts()))
    assert row.members == 20 * 8
    assert row.silent > 0
    assert row.conflicting > 0
    assert row.silent + row.conflicting < row.members


def by_chance(h: int, low: int, k: int = 10) -> float:
    """Two failed members, ``k`` reports of each in random order: that one is at H while the other is below L.

    The j-th of the other's reports are in when the h-th of the one's comes.
    """
    ways = sum(comb(h - 1 + j, j) * comb(2 * k - h - j, k - j) for j in range(low))
    return 2 * ways / comb(2 * k, k)


def test_figure_11_two_failed_members_conflict_as_often_as_chance_says() -> None:
    study = ConflictStudy(nodes=1002, failed=(2,), repetitions=1, published=True)
    for row in study.measure(Part(2, 0)):
        expected = by_chance(row.h, row.l)
        assert row.members == 1000
        assert abs(row.rate - expected) < 4.5 * sqrt(expected * (1 - expected) / row.members)


def test_figure_11_by_chance_is_what_the_paper_reads() -> None:
    paper = {(6, 4): 36, (7, 4): 18, (8, 4): 7, (9, 4): 1.9, (6, 3): 16, (6, 2): 5, (6, 1): 1, (9, 3): 0.5}
    for (h, low), percent in paper.items():
        assert 100 * by_chance(h, low) == pytest.approx(percent, rel=0.15)


def test_the_wider_apart_the_watermarks_the_fewer_conflicts() -> None:
    study = ConflictStudy(nodes=150, failed=(2, 4), repetitions=2, seed=5)
    rows = study.combined(map(study.measure, study.parts()))
    rate = {(row.h, row.l, row.failed): row.rate for row in rows}
    for failed in study.failed:
        assert rate[6, 4, failed] > 0.2
        for h in study.h:
            assert all(rate[h, less, failed] <= rate[h, more, failed] for less, more in pairwise(study.l))
        for low in study.l:
            assert all(rate[less, low, failed] >= rate[more, low, failed] for less, more in pairwise(study.h))


def test_the_seed_decides_and_nothing_else() -> None:
    study = ConflictStudy(nodes=40, failed=(2, 3), repetitions=2, seed=1)
    parts = study.parts()
    rows = study.combined(map(study.measure, parts))
    assert rows == study.combined(map(study.measure, reversed(parts)))
    assert [(row.h, row.l, row.failed) for row in rows[:3]] == [(6, 1, 2), (6, 1, 3), (6, 2, 2)]
    assert {row.members for row in rows} == {76, 74}
    other = ConflictStudy(nodes=40, failed=(2, 3), repetitions=2, seed=2)
    assert rows != other.combined(map(other.measure, parts))


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("nodes", {"nodes": 1}),
        ("k", {"k": 0}),
        ("k", {"k": 33}),
        ("h", {"h": ()}),
        ("h", {"h": (9, 11)}),
        ("h", {"h": (0,), "l": (0,)}),
        ("l", {"l": (0,)}),
        ("l", {"l": (7,)}),
        ("failed", {"failed": ()}),
        ("failed", {"failed": (0,)}),
        ("failed", {"failed": (4,), "nodes": 4}),
        ("repetitions", {"repetitions": 0}),
    ],
)
def test_what_is_out_of_range_is_named(field: str, values: dict[str, int]) -> None:
    with pytest.raises(ScenarioError) as refused:
        ConflictStudy(**values)  # type: ignore[arg-type]  # some are tuples
    assert refused.value.field == field
    assert str(refused.value).startswith(f"{field}: ")
