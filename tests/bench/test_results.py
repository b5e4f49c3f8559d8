"""What follows from the runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.experiments import EXPERIMENTS
from benchmarks.plots import OVER_SIZES, TIMES_OF
from benchmarks.results import (
    TIMES,
    VALUES,
    bootstrap,
    bootstrap_cold,
    bootstrap_times,
    churn,
    cold_times,
    crash,
    crash_times,
    idle,
)
from benchmarks.runs import Process, load
from benchmarks.store import FAILED, OK, Plan, Store
from benchmarks.store import Process as Stored

from .made import ORIGIN, bootstrap_of_three, cold_bootstrap_of_three, moment, only, process


def test_every_experiment_has_its_numbers_and_figures() -> None:
    assert set(VALUES) == set(OVER_SIZES) == set(EXPERIMENTS)
    assert set(TIMES) == set(TIMES_OF)


@pytest.mark.parametrize(
    ("after", "expected"),
    [(0.0, 2.0), (2.0, 0.0), (3.0, 0.0), (4.5, 1.5), (7.0, 0.0)],
    ids=["from the start", "just then", "it has it", "it lost it", "it is the last"],
)
def test_when_a_process_had_a_size(after: float, expected: float) -> None:
    views = [(1.0, 1), (2.0, 5), (4.0, 4), (6.0, 5)]
    assert Process("a", "joiner", None, views).reached(5, after) == expected


def test_a_size_that_never_came() -> None:
    assert Process("a", "joiner", None, [(1.0, 5), (2.0, 4)]).reached(5, 3.0) is None
    assert Process("a", "joiner", None, []).reached(5, 3.0) is None


def test_bootstrap(tmp_path: Path) -> None:
    with Store(tmp_path / "db") as store:
        bootstrap_of_three(store, store.session(ORIGIN))
    run = only(tmp_path / "db")
    assert bootstrap_times(run) == [1.0, 2.0, 2.5]
    assert bootstrap(run) == {
        "seconds until all see all": 2.5,
        "distinct sizes": 3,
        "CPU s, all together": 2.0,
        "kB, all together": 5.0,
        "packets, all together": 10,
        # 5 s of the machine, less 1 s to read it and 2 s of the members, of 2 cores for 3 s
        "others' CPU, % of the machine": pytest.approx(100 * 2 / 6),
        "RSS, MB a member": 10.0,
        "PSS, MB a member": 10.0,
    }


def test_a_cold_bootstrap_counts_from_the_start_of_the_processes(tmp_path: Path) -> None:
    with Store(tmp_path / "db") as store:
        cold_bootstrap_of_three(store, store.session(ORIGIN))
    run = only(tmp_path / "db")
    assert cold_times(run) == [6.0, 7.0, 7.5]
    assert bootstrap_cold(run) == {
        "seconds until all see all": 7.5,
        "distinct sizes": 2,
        # all that they have ever used
        "CPU s, all together": 5.0,
        "kB, all together": 5.0,
        "packets, all together": 10,
        "others' CPU, % of the machine": pytest.approx(100 * 1 / 16),
        "RSS, MB a member": 10.0,
        "PSS, MB a member": 10.0,
    }


def test_who_was_not_started_before_the_limit_never_saw_all(tmp_path: Path) -> None:
    with Store(tmp_path / "db") as store:
        run = store.begin(store.session(ORIGIN), Plan("bootstrap-cold", "rapid", "1", 3, 1))
        moments = [moment("started", 10.0, {}), moment("failed", 12.0, {0: 1.0})]
        store.end(run, FAILED, "late", [process(0, (11.0, 3))], moments)
        other = store.begin(store.session(ORIGIN), Plan("bootstrap-cold", "rapid", "1", 3, 2))
        store.end(other, FAILED, "its server did not start")
        late, without = load(store)
    assert cold_times(late) == [1.0, None, None]
    assert cold_times(without) == [None, None, None]
    assert "seconds until all see all" not in bootstrap_cold(late)


def test_who_did_not_even_start_never_saw_all(tmp_path: Path) -> None:
    with Store(tmp_path / "db") as store:
        run = store.begin(store.session(ORIGIN), Plan("bootstrap", "rapid", "1", 4, 1))
        moments = [moment("released", 10.0, {})]
        store.end(run, FAILED, "late", [process(0, (9.0, 1), (11.0, 4)), process(1)], moments)
    found = only(tmp_path / "db")
    assert bootstrap_times(found) == [1.0, None, None, None]
    assert "seconds until all see all" not in bootstrap(found)


def test_crash(tmp_path: Path) -> None:
    with Store(tmp_path / "db") as store:
        run = store.begin(store.session(ORIGIN), Plan("crash", "rapid", "1", 4, 1))
        processes = [
            process(0, (1.0, 4), (12.0, 3)),
            process(1, (1.0, 4), (11.0, 3), (12.0, 2), (13.0, 3)),
            process(2, (1.0, 4), (14.0, 3)),
            process(3, (1.0, 4), killed=10.0),
        ]
        moments = [moment("killed", 10.0, {0: 1.0, 3: 9.0}), moment("agreed", 15.0, {0: 3.0})]
        store.end(run, OK, None, processes, moments)
    found = only(tmp_path / "db")
    assert crash_times(found) == [2.0, 1.0, 4.0]
    values = crash(found)
    assert values["seconds until all survivors agree"] == 4.0
    assert values["view changes of a survivor, most"] == 3
    assert values["distinct sizes after"] == 2
    assert values["CPU s, all together"] == 2.0


def test_idle_is_by_member_and_second_and_a_server_is_shared(tmp_path: Path) -> None:
    with Store(tmp_path / "db") as store:
        run = store.begin(store.session(ORIGIN), Plan("idle", "rapid", "1", 2, 1))
        server = Stored("server", "server", 0.0, None, 7, ())
        processes = [server, process(0, (1.0, 2)), process(1, (12.0, 2))]
        moments = [
            moment("idle", 10.0, {7: 1.0, 0: 1.0, 1: 1.0}, bytes=1000, packets=100),
            moment("settled", 20.0, {7: 3.0, 0: 2.0, 1: 2.0}, bytes=5000, packets=200),
        ]
        store.end(run, OK, None, processes, moments)
    values = idle(only(tmp_path / "db"))
    assert values["CPU, % of a core"] == pytest.approx(20.0)
    assert values["B/s"] == 200
    assert values["packets/s"] == 5
    assert values["PSS, MB a member"] == 15
    assert values["changes of view"] == 1


def test_churn_counts_what_starts_meanwhile_from_its_start(tmp_path: Path) -> None:
    with Store(tmp_path / "db") as store:
        run = store.begin(store.session(ORIGIN), Plan("churn", "rapid", "1", 2, 1))
        processes = [
            process(0, (1.0, 2), (11.0, 1), (13.0, 2), (16.0, 1), (18.0, 2)),
            process(1, killed=10.0),
            process(2, killed=15.0),
            process(3),
        ]
        moments = [
            moment("restart", 10.0, {0: 1.0, 1: 5.0}),
            moment("restart", 15.0, {0: 1.5, 2: 0.5}),
            moment("restarted", 20.0, {0: 2.0, 3: 0.25}),
            moment("settled", 21.0, {}),
        ]
        store.end(run, OK, None, processes, moments)
    values = churn(only(tmp_path / "db"))
    assert values["seconds a restart"] == 5.0
    assert values["views told to the founder, a restart"] == 2
    assert values["least size"] == 1
    assert values["CPU s, all together"] == 1.75
