"""The file of results."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from benchmarks.runs import load
from benchmarks.store import OK, RUNNING, Plan, Store
from rapid.errors import RapidError

from .made import ORIGIN, bootstrap_of_three, only


def test_a_run_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "db"
    with Store(file) as store:
        bootstrap_of_three(store, store.session(ORIGIN))
    run = only(file)
    assert run.origin == ORIGIN
    assert (run.experiment, run.system, run.nodes, run.outcome) == ("bootstrap", "rapid", 3, OK)
    assert [process.views for process in run.processes.values()] == [
        [(9.0, 1), (11.0, 3)],
        [(11.5, 2), (12.0, 3)],
        [(12.5, 3)],
    ]
    assert [moment.name for moment in run.moments] == ["released", "formed", "settled"]
    assert sorted(run.moments[1].cpu.values()) == [1.5, 1.5, 2.0]
    assert not run.moments[0].memory
    assert set(run.moments[2].memory.values()) == {(10_000_000, 10_000_000)}


def test_a_run_that_was_cut_short_is_there_and_does_not_count(tmp_path: Path) -> None:
    file = tmp_path / "db"
    with Store(file) as store:
        store.begin(store.session(ORIGIN), Plan("idle", "rapid", "1", 3, 1))
    run = only(file)
    assert run.outcome == RUNNING
    assert not run.counts


def test_results_are_added(tmp_path: Path) -> None:
    for _ in range(2):
        with Store(tmp_path / "db") as store:
            bootstrap_of_three(store, store.session(ORIGIN))
    with Store(tmp_path / "db") as store:
        assert len(list(load(store))) == 2
        assert len(store.origins()) == 2


def test_another_format_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "db"
    with sqlite3.connect(file) as db:
        db.execute("create table other (x)")
    db.close()
    with pytest.raises(RapidError, match="has the format 0, not 1"):
        Store(file)


@pytest.mark.parametrize("content", ["plain text, and enough of it to be no header of SQLite", ""])
def test_a_file_that_is_refused_is_closed(
    content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "db"
    file.write_text(content)
    db = sqlite3.connect(file)
    if not content:
        db.execute("create table other (x)")
    monkeypatch.setattr(sqlite3, "connect", lambda _: db)
    with pytest.raises(RapidError):
        Store(file)
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        db.execute("select 1")


def test_another_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "db"
    file.write_text("plain text, and enough of it to be no header of SQLite")
    with pytest.raises(RapidError, match="is no database of results"):
        Store(file)
