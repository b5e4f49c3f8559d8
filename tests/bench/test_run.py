"""``rapid bench run`` with real processes, to its end and not to its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.experiments import EXPERIMENTS
from benchmarks.results import VALUES
from benchmarks.runs import load
from benchmarks.simulated import EXPERIMENTS as SIMULATED
from benchmarks.store import FAILED, INTERRUPTED, OK, RUNNING, Plan, Process, Store
from rapid.cli import main

from .made import ORIGIN, only

ROOT = Path(__file__).parents[2]
RUN = [sys.executable, "-m", "rapid", "bench", "run"]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.mark.parametrize("command", ["run", "report"])
def test_help_names_all_there_is(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["bench", command, "--help"])
    assert end.value.code == 0
    told = capsys.readouterr().out
    assert all(f"{name}:" in " ".join(told.split()) for name in EXPERIMENTS) or command == "report"


@pytest.mark.timeout(180)
def test_all_experiments_in_small(tmp_path: Path) -> None:
    file = tmp_path / "db"
    options = ["--nodes", "4", "--runs", "1", "--settle", "0.1", "--window", "0.3", "--restarts", "1"]
    # those that break networks are in test_faults.py
    names = [name for name, experiment in EXPERIMENTS.items() if not experiment.networks]
    command = [*RUN, *names, *options, "--db", str(file)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    with Store(file) as store:
        runs = {run.experiment: run for run in load(store)}
    assert set(runs) == set(names)
    for run in runs.values():
        assert run.outcome == OK
        assert len(run.members()) == 4 + (run.experiment == "churn")
        assert VALUES[run.experiment](run)
        # before the start there is nothing that could have used any
        assert all(moment.cpu for moment in run.moments if moment.name != "started")
    for name in ("crash", "freeze"):
        assert [process.killed is None for process in runs[name].members()].count(False) == 1
        assert runs[name].sizes(0.0) <= {1, 2, 3, 4}
    assert [process.role for process in runs["churn"].members()] == ["founder", *["joiner"] * 3, "restarted"]


@pytest.mark.timeout(120)
def test_a_cold_run_begins_before_its_processes_and_waits_for_none(tmp_path: Path) -> None:
    file = tmp_path / "db"
    options = ["--nodes", "4", "--runs", "1", "--settle", "0", "--peers", "rapid,rapid-embedded"]
    command = [*RUN, "bootstrap", "--cold", *options, "--db", str(file)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    with Store(file) as store:
        runs = list(load(store))
        started = store.rows("select run, started from processes order by id")
    assert [(run.experiment, run.system) for run in runs] == [
        ("bootstrap-cold", "rapid"),
        ("bootstrap-cold", "rapid-embedded"),
    ]
    for number, run in enumerate(runs, 1):
        assert [moment.name for moment in run.moments] == ["started", "formed", "settled"]
        begun = run.moments[0].at
        assert not run.moments[0].cpu
        of_run = [at for which, at in started if which == number]
        assert len(of_run) == 4
        # all are started before any has joined, and the clock has begun before
        assert begun <= min(of_run)
        assert max(of_run) < min(at for process in run.members() for at, size in process.views if size == 4)
        assert VALUES[run.experiment](run)["seconds until all see all"] >= max(of_run) - begun


@contextmanager
def idling(file: Path) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A benchmark that would be idle for an hour, and the processes that it has started."""
    command = [*RUN, "idle", "--nodes", "3", "--runs", "1", "--settle", "0", "--window", "3600"]
    with subprocess.Popen(
        [*command, "--db", str(file)],
        env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    ) as bench:  # fmt: skip
        try:
            assert bench.stderr is not None
            line = ""
            while ": idle " not in line.partition("run 1")[2]:
                line = bench.stderr.readline()
                assert line, "it has ended"
            yield bench, children(bench.pid)
        finally:
            bench.kill()


def children(parent: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := stat(int(entry.name))) and int(fields[1]) == parent:
            found.append(int(entry.name))
    return found


def stat(process: int) -> list[str] | None:
    """State, parent and so on; None of what is not there."""
    try:
        return Path("/proc", str(process), "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def runs_on(process: int) -> bool:
    fields = stat(process)
    return fields is not None and fields[0] not in "ZX"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_run_is_stored_and_leaves_no_process(number: signal.Signals, tmp_path: Path) -> None:
    with idling(tmp_path / "db") as (bench, started):
        assert len(started) == 3
        bench.send_signal(number)
        bench.wait()
        assert bench.returncode == 130
        assert not [process for process in started if runs_on(process)]
    run = only(tmp_path / "db")
    assert run.outcome == INTERRUPTED
    assert [moment.name for moment in run.moments] == ["released", "formed", "idle"]
    assert [process.views[-1][1] for process in run.members()] == [3, 3, 3]


def test_a_killed_benchmark_leaves_no_process_and_a_file_that_can_be_read(tmp_path: Path) -> None:
    with idling(tmp_path / "db") as (bench, started):
        bench.kill()
        bench.wait()
        # they notice by the end of their input; the test's own limit ends this if they do not
        while any(runs_on(process) for process in started):
            time.sleep(0.01)
    assert only(tmp_path / "db").outcome == RUNNING


@pytest.mark.parametrize("name", SIMULATED)
def test_the_simulated_ones_are_like_the_real_ones(name: str, tmp_path: Path) -> None:
    options = {"settle": 1.0, "part": 0.1}

    def once() -> tuple[list[Process], list[str]]:
        processes, moments = SIMULATED[name](30, 1, options)
        with Store(tmp_path / "db") as store:
            run = store.begin(store.session(ORIGIN), Plan(name, "rapid-simulated", "1", 30, 1))
            store.end(run, OK, None, processes, moments)
        return processes, [moment.name for moment in moments]

    processes, names = once()
    assert once() == (processes, names)
    with Store(tmp_path / "db") as store:
        run = next(load(store))
    values = VALUES[name](run)
    if name == "bootstrap":
        assert names == ["released", "formed", "settled"]
        assert values["distinct sizes"] == len(run.sizes(0.0))
        assert 0 < values["seconds until all see all"] < 30
    else:
        assert names == ["released", "formed", "killed", "agreed", "settled"]
        assert values["view changes of a survivor, most"] == 1
        assert sum(process.killed is not None for process in processes) == 3


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["fall"], "invalid choice: 'fall'"),
        (["idle", "--nodes", "5,2"], "it takes 3"),
        (["idle", "--nodes", "5,x"], "'x' is no positive number"),
        (["idle", "--peers", "rapid,nobody"], "'nobody' is no peer; there are rapid, rapid-embedded"),
    ],
)
def test_arguments_that_make_no_sense(
    arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(["bench", "run", *arguments])
    assert end.value.code == 2
    assert problem in capsys.readouterr().err


def test_too_many_to_kill(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "run", "crash", "--part", "0.5", "--db", str(tmp_path / "db")]) == 2
    assert "to leave a majority" in capsys.readouterr().err
    assert not (tmp_path / "db").exists()


def test_only_a_bootstrap_can_be_cold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["bench", "run", "bootstrap", "crash", "idle", "--cold", "--db", str(tmp_path / "db")]
    assert main(asked) == 2
    assert "--cold is for bootstrap: crash, idle given too" in capsys.readouterr().err
    assert not (tmp_path / "db").exists()


def test_no_file_to_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "report", str(tmp_path / "db")]) == 2
    assert "is no file" in capsys.readouterr().err


@pytest.mark.timeout(180)
def test_a_cluster_that_does_not_form_is_a_failed_run(tmp_path: Path) -> None:
    command = [*RUN, "bootstrap", "--nodes", "3", "--runs", "1", "--limit", "0.001"]
    command += ["--db", str(tmp_path / "db")]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    run = only(tmp_path / "db")
    assert run.outcome == FAILED
    assert run.problem is not None
    assert "after 0.001 s: not ready" in run.problem
    assert [moment.name for moment in run.moments] == ["failed"]
