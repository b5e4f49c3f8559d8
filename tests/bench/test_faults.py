"""Faults of the network that strike one member: whom the report blames, and that they are real."""

from __future__ import annotations

import sqlite3
import subprocess
from pathlib import Path

import pytest

from benchmarks import matrix
from benchmarks.experiments import EXPERIMENTS, GROUPS
from benchmarks.matrix import Matrix
from benchmarks.peers.contract import View
from benchmarks.peers.fleet import Agent
from benchmarks.peers.registry import named
from benchmarks.progress import Progress
from benchmarks.report import write
from benchmarks.results import FAULTS, fault, fault_times
from benchmarks.runs import load
from benchmarks.store import MISSING, OK, SCHEMA, Plan, Process, Store
from benchmarks.topology import obstacle
from rapid.cli import main

from .made import ORIGIN, moment, only
from .test_run import RUN, environment

A, B, C, D = (f"10.77.0.{number}:7400" for number in (1, 2, 3, 4))
Removals = tuple[tuple[float, str], ...]


def a_fault(store: Store, *removals: Removals) -> None:
    """D is struck at 10 and healed at 20; what each of the four has removed."""
    run = store.begin(store.session(ORIGIN), Plan("loss-in", "rapid", "1", 4, 1, (("fault", 10.0),)))
    roles = ("founder", "joiner", "joiner", "faulty")
    processes = [
        Process(name, role, 1.0, None, number, ((2.0, 4), *((at, 3) for at, _ in gone)), gone)
        for number, (name, role, gone) in enumerate(zip((A, B, C, D), roles, removals, strict=True))
    ]
    moments = [
        moment("struck", 10.0, {0: 1.0}),
        moment("healed", 20.0, {0: 2.0}),
        moment("settled", 21.0, {0: 2.0}),
    ]
    store.end(run, OK, None, processes, moments)


def values(file: Path, *removals: Removals) -> dict[str, float]:
    with Store(file) as store:
        a_fault(store, *removals)
    return fault(only(file))


def test_they_are_those_that_need_networks() -> None:
    assert [name for name, experiment in EXPERIMENTS.items() if experiment.networks] == list(FAULTS)
    assert (*GROUPS["loss"], *GROUPS["flipflop"]) == FAULTS


class TestBlame:
    def test_the_struck_one_alone_is_removed_by_all(self, tmp_path: Path) -> None:
        found = values(tmp_path / "db", ((12.0, D),), ((13.0, D),), ((12.5, D),), ())
        assert fault_times(only(tmp_path / "db")) == [2.0, 3.0, 2.5]
        assert found["only the faulty one removed, by all (1) or not (0)"] == 1
        assert found["others that removed it, %"] == 100
        assert found["seconds until all others removed it"] == 3.0
        assert found["view changes of another, most"] == 1
        assert found["healthy ones removed by others"] == 0
        # three others share ten rings of each member
        assert found["rings it holds of another, most"] >= 4

    def test_a_healthy_one_is_removed_too(self, tmp_path: Path) -> None:
        found = values(tmp_path / "db", ((12.0, D), (14.0, B)), ((13.0, D),), ((12.5, B), (13.0, D)), ())
        assert found["only the faulty one removed, by all (1) or not (0)"] == 0
        assert found["healthy ones removed by others"] == 1
        assert found["these removals, all together"] == 2
        assert found["view changes of another, most"] == 2

    def test_not_all_have_removed_it(self, tmp_path: Path) -> None:
        found = values(tmp_path / "db", ((12.0, D),), (), ((12.5, D),), ((11.0, A), (12.0, A), (12.0, B)))
        assert fault_times(only(tmp_path / "db")) == [2.0, None, 2.5]
        assert found["only the faulty one removed, by all (1) or not (0)"] == 0
        assert found["others that removed it, %"] == pytest.approx(200 / 3)
        assert "seconds until all others removed it" not in found
        assert found["healthy ones removed by others"] == 0, "what the struck one thinks stands apart"
        assert found["healthy ones removed by the faulty one"] == 2

    def test_what_was_before_does_not_count(self, tmp_path: Path) -> None:
        found = values(tmp_path / "db", ((9.0, B), (12.0, D)), ((13.0, D),), ((12.5, D),), ((9.0, C),))
        assert found["only the faulty one removed, by all (1) or not (0)"] == 1
        assert found["view changes of another, most"] == 1
        assert found["healthy ones removed by the faulty one"] == 0

    def test_it_is_reported(self, tmp_path: Path) -> None:
        with Store(tmp_path / "db") as store:
            a_fault(store, ((12.0, D),), ((13.0, D),), ((12.5, D),), ())
            page, summary = write(store, tmp_path / "out", compare_commits=False)
        assert "| 1 | 100 | 3 |" in summary.read_text()
        assert "Red: those of the member that the fault has struck." in page.read_text()


class TestRemovals:
    @pytest.mark.parametrize(
        "lines",
        [
            ('{"at": 1, "event": "view", "size": 3, "members": ["a:1", "b:1", "c:1"]}',
             '{"at": 2, "event": "view", "size": 2, "members": ["a:1", "d:1"]}'),
            ('{"t": 1, "event": "view", "version": 1, "size": 3, "joined": ["a:1"], "removed": []}',
             '{"t": 2, "event": "view", "version": 2, "size": 2, "joined": [], "removed": ["b:1", "c:1"]}'),
        ],
        ids=["members are listed", "removals are listed"],
    )  # fmt: skip
    def test_who_is_gone(self, lines: tuple[str, str]) -> None:
        agent = Agent("a", None)  # type: ignore[arg-type]  # nothing of the process itself is asked for
        for line in lines:
            agent.take(line.encode())
        assert [view.removed for view in agent.views] == [(), ("b:1", "c:1")]

    def test_skipped_views_are_a_view_of_which_nobody_knows_who_is_gone(self) -> None:
        agent = Agent("a", None)  # type: ignore[arg-type] # as above
        agent.take(b'{"t": 1, "event": "views skipped", "version": 9, "size": 3, "skipped": 4}')
        assert agent.views == [View(1.0, 3, None)]

    def test_an_older_file_is_given_the_table(self, tmp_path: Path) -> None:
        with sqlite3.connect(tmp_path / "db") as db:
            db.executescript(SCHEMA)
        db.close()
        assert values(tmp_path / "db", ((12.0, D),), ((13.0, D),), ((12.5, D),), ())


class TestWithoutRights:
    def test_the_run_is_missing_and_says_why(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(matrix, "obstacle", lambda: "only root may make network namespaces")
        asked = Matrix(["loss-out"], [named("rapid")], [5], [], 1, {"settle": 0.0, "fault": 1.0}, 10.0)
        with Store(tmp_path / "db") as store, Progress(1) as progress:
            outcomes = matrix.run_all(asked, store, store.session(ORIGIN), {}, progress)
        assert outcomes == {MISSING: 1}
        assert only(tmp_path / "db").problem == "no network to break: only root may make network namespaces"
        assert "loss-out of 5 rapid, run 1: missing: no network to break" in capsys.readouterr().out

    def test_a_period_that_is_none(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["bench", "run", "flipflop", "--period", "0", "--db", str(tmp_path / "db")]) == 2
        assert "--period 0: take more than 0" in capsys.readouterr().err


@pytest.mark.network
@pytest.mark.timeout(300)
def test_one_that_nothing_comes_from_is_removed(tmp_path: Path) -> None:
    if (reason := obstacle()) is not None:
        pytest.skip(f"no network to break: {reason}")
    options = ["--nodes", "5", "--runs", "1", "--settle", "2", "--fault", "30", "--period", "25"]
    command = [*RUN, "flipflop-out", *options, "--db", str(tmp_path / "db")]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    with Store(tmp_path / "db") as store:
        (run,) = load(store)
    assert [moment.name for moment in run.moments] == ["released", "formed", "struck", "healed", "settled"]
    assert all(moment.bytes is None for moment in run.moments), "what loopback carried is nothing of theirs"
    assert fault(run)["others that removed it, %"] == 100
