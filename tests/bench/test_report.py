"""What may stand in one table or figure, and what a report must say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.origin import Origin
from benchmarks.plots import plots
from benchmarks.runs import load
from benchmarks.sections import Section, sections, spread
from benchmarks.store import FAILED, Plan, Store
from rapid.errors import RapidError

from .made import ORIGIN, SETTLE, bootstrap_of_three, cold_bootstrap_of_three, missing, moment, process


def of_two(tmp_path: Path, other: Origin, *, compare_commits: bool) -> list[Section]:
    with Store(tmp_path / "db") as store:
        bootstrap_of_three(store, store.session(ORIGIN))
        bootstrap_of_three(store, store.session(other))
        return sections(load(store), compare_commits=compare_commits)


def test_runs_of_one_origin_belong_together(tmp_path: Path) -> None:
    (section,) = of_two(tmp_path, replace(ORIGIN, begun=2000.0), compare_commits=False)
    assert section.cells[0].outcome == "2"


def test_commits_are_not_mixed_unless_asked_for(tmp_path: Path) -> None:
    other = replace(ORIGIN, code="bbbb")
    apart = of_two(tmp_path, other, compare_commits=False)
    assert [section.conditions.code for section in apart] == ["aaaa", "bbbb"]
    with Store(tmp_path / "db") as store:
        (together,) = sections(load(store), compare_commits=True)
    assert together.labels() == ["rapid 1 (aaaa)", "rapid 1 (bbbb)"]


@pytest.mark.parametrize(
    "other",
    [
        replace(ORIGIN, cpu="Slide rule"),
        replace(ORIGIN, cores=4),
        replace(ORIGIN, network="shared"),
        replace(ORIGIN, python="CPython 3.13"),
    ],
    ids=["cpu", "cores", "network", "python"],
)
def test_machines_are_never_mixed(other: Origin, tmp_path: Path) -> None:
    assert len(of_two(tmp_path, other, compare_commits=True)) == 2


def test_other_options_are_another_section(tmp_path: Path) -> None:
    with Store(tmp_path / "db") as store:
        session = store.session(ORIGIN)
        bootstrap_of_three(store, session)
        plan = Plan("bootstrap", "rapid", "1", 3, 1, (("settle", 9.0),))
        store.end(store.begin(session, plan), FAILED, "late")
        assert len(sections(load(store), compare_commits=False)) == 2


def test_the_report_says_what_was_measured_where_and_what_is_missing(tmp_path: Path) -> None:
    with Store(tmp_path / "db") as store:
        session = store.session(ORIGIN)
        bootstrap_of_three(store, session)
        missing(store, session, "memberlist")
        page, summary = report.write(store, tmp_path / "out", compare_commits=False)
    html, markdown = page.read_text(), summary.read_text()
    for text in (html, markdown):
        assert "commit aaaa; Abacus, 2 cores, 16 GiB, Linux 6.1; CPython 3.11; network: own; settle 1" in text
        assert "memberlist 1, N = 3, missing: install Go" in text
    assert "| rapid 1 | 3 | 1 | 2.50 | 3 |" in markdown
    assert "| memberlist 1 | 3 | missing |" in markdown
    captions = html.count("<figcaption>")
    assert captions == html.count("<svg") == 3
    assert html.count("1 run of each") + html.count("one run of each") == captions
    # a page of its own: nothing is loaded from elsewhere
    assert "<script" not in html
    assert 'src="' not in html
    assert "<link" not in html


def test_a_cold_bootstrap_has_a_table_and_figures_of_its_own(tmp_path: Path) -> None:
    with Store(tmp_path / "db") as store:
        session = store.session(ORIGIN)
        bootstrap_of_three(store, session)
        cold_bootstrap_of_three(store, session)
        page, summary = report.write(store, tmp_path / "out", compare_commits=True)
    warm, cold = summary.read_text().split("\n## ")[1:3]
    assert warm.startswith("bootstrap: N processes join at once")
    assert cold.startswith("bootstrap-cold: N processes are started at once")
    assert "| 3 | 1 | 2.50 | 3 |" in warm
    assert "| 3 | 1 | 7.50 | 2 |" in cold
    html = page.read_text()
    assert html.count("seconds from the release of all joiners to a process") == 1
    assert html.count("seconds from the start of the first process to a process") == 1
    assert "since the moment &#x27;started&#x27;" in html
    assert html.count("<svg") == 6


def test_a_failed_run_keeps_its_curve_below_one(tmp_path: Path) -> None:
    with Store(tmp_path / "db") as store:
        session = store.session(ORIGIN)
        plan = Plan("bootstrap", "rapid", "1", 3, 1, SETTLE)
        processes = [process(0, (9.0, 1), (11.0, 3)), process(1, (11.0, 2))]
        moments = [moment("released", 10.0, {})]
        store.end(store.begin(session, plan), FAILED, "no view of 3", processes, moments)
        (section,) = sections(load(store), compare_commits=False)
    assert section.cells[0].times == [1.0, None, None]
    assert section.cells[0].outcome == "1 failed"
    assert report.problems(section) == ["rapid 1, N = 3, 1 failed: no view of 3"]
    captions = [plot.caption for plot in plots(section)]
    assert any("keeps its curve below 1" in caption for caption in captions)


def test_nothing_to_report(tmp_path: Path) -> None:
    with Store(tmp_path / "db") as store, pytest.raises(RapidError, match="no run is stored"):
        report.write(store, tmp_path / "out", compare_commits=False)


def test_spreads() -> None:
    assert spread([0.1234]) == "0.123"
    assert spread([3.0, 1.0, 2.0]) == "2 (1 to 3)"
    assert spread([1234.5, 12.345]) == "623 (12.3 to 1,234)"
    assert spread([]) not in ("", "0")
