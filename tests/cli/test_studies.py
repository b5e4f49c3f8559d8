"""``rapid simulate conflicts``, ``spectrum``, ``costs`` and ``growth``: what they print, draw and refuse."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rapid.cli import main, progress

Run = Callable[..., tuple[int, str, str]]
SMALL = {
    "conflicts": ("--nodes", "30", "--h", "6,9", "--l", "4,1", "--failed", "2,4", "--repetitions", "2"),
    "spectrum": ("--nodes", "30,20", "--clusters", "3"),
    "costs": ("--nodes", "12,6"),
    "growth": ("--nodes", "12,6"),
}
ALL = pytest.mark.parametrize("study", SMALL)


@pytest.fixture
def rapid_simulate(capsys: pytest.CaptureFixture[str]) -> Run:
    """Call it with arguments; get its exit status and what it printed."""

    def run(*arguments: str) -> tuple[int, str, str]:
        try:
            status = main(["simulate", *arguments])
        except SystemExit as refused:  # so argparse ends
            status = int(refused.code or 0)
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


def test_the_conflict_table_has_a_row_for_each_setting_and_a_column_for_each_number_of_failed(
    rapid_simulate: Run,
) -> None:
    status, out, _ = rapid_simulate("conflicts", *SMALL["conflicts"])
    lines = out.splitlines()
    assert status == 0
    assert lines[0].startswith("30 members, K = 10, 2 repetitions: per cent")
    assert lines[1].split() == ["H", "L", "F=2", "F=4"]
    assert [line.split()[:2] for line in lines[2:]] == [["6", "4"], ["6", "1"], ["9", "4"], ["9", "1"]]
    rows = json.loads(rapid_simulate("conflicts", *SMALL["conflicts"], "--json")[1])["rows"]
    shown = [cell for line in lines[2:] for cell in line.split()[2:]]
    assert shown == [f"{100 * row['conflicting'] / row['members']:.2f}" for row in rows]
    assert [row["rate"] for row in rows] == [row["conflicting"] / row["members"] for row in rows]


def test_members_that_proposed_nothing_are_named_below_the_table(rapid_simulate: Run) -> None:
    options = ("--nodes", "16", "--failed", "9", "--h", "9", "--l", "4")
    _, out, _ = rapid_simulate("conflicts", *options)
    silent = json.loads(rapid_simulate("conflicts", *options, "--json")[1])["rows"][0]["silent"]
    assert out.splitlines()[-1] == f"H=9 L=4 F=9: {silent} of 140 members proposed nothing"


def test_the_spectrum_table(rapid_simulate: Run) -> None:
    status, out, _ = rapid_simulate("spectrum", *SMALL["spectrum"])
    lines = out.splitlines()
    assert status == 0
    assert lines[1].split() == ["N", "mean", "least", "most", ">=", "0.45"]
    rows = json.loads(rapid_simulate("spectrum", *SMALL["spectrum"], "--json")[1])["rows"]
    assert [line.split() for line in lines[2:]] == [
        [str(row["nodes"]), *(f"{row[name]:.4f}" for name in ("mean", "least", "most")), str(row["above"])]
        for row in rows
    ]
    assert [row["nodes"] for row in rows] == [30, 20]


def test_the_cost_table(rapid_simulate: Run) -> None:
    status, out, _ = rapid_simulate("costs", *SMALL["costs"])
    assert status == 0
    rows = json.loads(rapid_simulate("costs", *SMALL["costs"], "--json")[1])["rows"]
    for title, kind in (("the view change", "change"), ("probes and acks", "probing")):
        block = next(block for block in out.split("\n\n") if block.startswith(title))
        header, *shown = (line.split() for line in block.splitlines()[1:])
        assert header == ["N", "seconds", "sent", "most", "received", "most", "bytes", "most"]
        assert [(line[0], line[2], line[3]) for line in shown] == [
            (str(row["nodes"]), f"{row[kind]['mean_sent']:.1f}", str(row[kind]["most_sent"])) for row in rows
        ]
    # a probe is 44 bytes on the wire, or a little less
    assert all(40 < row["probing"]["mean_bytes"] / row["probing"]["mean_sent"] < 50 for row in rows)


def test_the_growth_table(rapid_simulate: Run) -> None:
    status, out, _ = rapid_simulate("growth", *SMALL["growth"])
    assert status == 0
    found = json.loads(rapid_simulate("growth", *SMALL["growth"], "--json")[1])
    _, header, *shown, empty, grown = out.splitlines()
    assert header.split() == ["N", "seconds", "sizes", "messages", "a", "member", "bytes", "a", "member"]
    assert [line.split() for line in shown] == [
        [
            str(row["nodes"]), f"{row['seconds']:.2f}", str(row["sizes"]), f"{row['messages']:.1f}",
            f"{row['bytes']:.0f}",
        ]
        for row in found["rows"]
    ]  # fmt: skip
    assert empty == ""
    for name, exponent in found["exponents"].items():
        assert f"{name} as N^{exponent:.2f}" in grown


@ALL
def test_json_is_the_same_in_several_processes(study: str, rapid_simulate: Run) -> None:
    alone = rapid_simulate(study, *SMALL[study], "--json", "--seed", "4")
    assert alone == rapid_simulate("--json", "--jobs", "2", study, *SMALL[study], "--seed", "4")
    shown = json.loads(alone[1])
    assert shown["parameters"]["seed"] == 4
    assert "size" not in shown["parameters"]
    assert shown["rows"] != json.loads(rapid_simulate(study, *SMALL[study], "--json")[1])["rows"]


@ALL
def test_plot(study: str, rapid_simulate: Run, tmp_path: Path) -> None:
    first, again = tmp_path / "first.svg", tmp_path / "again.svg"
    for file in (first, again):
        assert rapid_simulate(study, *SMALL[study], "--plot", str(file))[0] == 0
    assert "<svg" in first.read_text(encoding="utf-8")
    assert first.read_bytes() == again.read_bytes()


@ALL
def test_a_plot_that_cannot_be_is_refused_before_the_work(
    study: str, rapid_simulate: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file, reason in ((tmp_path / "x.doc", "ends in one of"), (tmp_path / "no" / "x.svg", "no directory")):
        status, out, err = rapid_simulate(study, "--plot", str(file))
        assert (status, out) == (2, "")
        assert f"rapid simulate {study}: plot: {file}" in err
        assert reason in err
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    status, out, err = rapid_simulate(study, "--plot", str(tmp_path / "x.svg"))
    assert (status, out) == (1, "")
    assert "pip install 'rapid-membership[analysis]'" in err


def test_without_a_plot_matplotlib_is_not_needed(
    rapid_simulate: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert rapid_simulate("costs", *SMALL["costs"])[0] == 0


def test_an_analysis_without_its_extra_says_what_to_install(
    rapid_simulate: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "networkx", None)
    status, out, err = rapid_simulate("spectrum", *SMALL["spectrum"])
    assert (status, out) == (1, "")
    assert "pip install 'rapid-membership[analysis]'" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("conflicts", "--k", "5"), "h: high watermark 6 is not within 1 to k=5"),
        (("conflicts", "--l", "7"), "l: low watermark 7"),
        (("conflicts", "--nodes", "1"), "nodes: 1 members"),
        (("conflicts", "--nodes", "16"), "failed: 16 of 16 members"),
        (("conflicts", "--repetitions", "0"), "repetitions: 0"),
        (("conflicts", "--h", "6-9"), "argument --h: '6-9' is no list of numbers"),
        (("spectrum", "--nodes", "1"), "nodes: 1 members"),
        (("spectrum", "--clusters", "0"), "clusters: 0"),
        (("costs", "--nodes", "50,,2"), "argument --nodes: '50,,2'"),
        (("costs", "--nodes", "2"), "nodes: 2 members"),
        (("costs", "--jobs", "0"), "argument --jobs: '0'"),
        (("growth", "--nodes", "7,7"), "nodes: growth takes two sizes at least"),
        (("growth", "--nodes", "7,1"), "nodes: 1 members"),
        (("nothing",), "invalid choice: 'nothing'"),
    ],
)
def test_bad_parameters_are_refused_by_name(
    rapid_simulate: Run, arguments: tuple[str, ...], message: str
) -> None:
    status, out, err = rapid_simulate(*arguments)
    assert (status, out) == (2, "")
    assert message in err


def test_progress_is_told_only_of_what_takes_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    times = iter([0.0, 0.5, 1.9, 2.5, 2.5, 4.0, 5.0, 5.0])
    monkeypatch.setattr("rapid.cli.progress.time.monotonic", lambda: next(times))
    assert list(progress.followed("abcde", 5, "work")) == list("abcde")
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "work: 3 of 5\nwork: 5 of 5\n")
