"""The expansion of the observer graph at several sizes (paper sections 4.1 and 8)."""

from __future__ import annotations

from math import sqrt

import pytest

from rapid.simulation import ScenarioError
from rapid.simulation.spectrum import PAPER_BOUND, SpectrumStudy


def test_section_4_1_the_observer_graph_is_an_expander_at_every_size() -> None:
    study = SpectrumStudy(nodes=(60, 200, 1000), clusters=3)
    rows = study.combined(map(study.measure, study.parts()))
    assert [row.nodes for row in rows] == [60, 200, 1000]
    for row in rows:
        assert row.clusters == 3
        assert row.least <= row.mean <= row.most
        assert row.mean < PAPER_BOUND
    assert rows[-1].most < PAPER_BOUND
    # what random regular graphs come close to as they grow
    assert rows[-1].mean == pytest.approx(2 * sqrt(2 * 10 - 1) / (2 * 10), rel=0.02)


def test_few_rings_are_no_good_expander() -> None:
    study = SpectrumStudy(nodes=(200,), k=2, clusters=3)
    (row,) = study.combined(map(study.measure, study.parts()))
    assert row.least > PAPER_BOUND
    assert row.above == 3


def test_two_members_watch_each_other() -> None:
    study = SpectrumStudy(nodes=(2,), clusters=1)
    (row,) = study.combined(map(study.measure, study.parts()))
    assert row.mean == pytest.approx(1.0)
    assert row.above == 1


def test_the_seed_decides_and_nothing_else() -> None:
    study = SpectrumStudy(nodes=(30, 50), clusters=3)
    rows = study.combined(map(study.measure, study.parts()))
    assert rows == study.combined(map(study.measure, study.parts()[::-1]))
    other = SpectrumStudy(nodes=(30, 50), clusters=3, seed=2)
    assert rows != other.combined(map(other.measure, other.parts()))


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("nodes", {"nodes": ()}),
        ("nodes", {"nodes": (50, 1)}),
        ("k", {"k": 0}),
        ("k", {"k": 33}),
        ("clusters", {"clusters": 0}),
    ],
)
def test_what_is_out_of_range_is_named(field: str, values: dict[str, int]) -> None:
    with pytest.raises(ScenarioError) as refused:
        SpectrumStudy(**values)  # type: ignore[arg-type]  # some are tuples
    assert refused.value.field == field
