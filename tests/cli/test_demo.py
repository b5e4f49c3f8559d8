"""``rapid demo``: what counts as agreement, and what is shown."""

from __future__ import annotations

import io
from asyncio.subprocess import Process
from typing import Any
from unittest.mock import Mock

import pytest

from rapid.cli import main
from rapid.cli.agreement import disagreements, summary
from rapid.cli.demo import as_text
from rapid.cli.display import Lines, Table
from rapid.cli.fleet import Agent

Views = dict[str, list[dict[str, Any]]]


def view(version: int, size: int, t: float, **other: object) -> dict[str, Any]:
    fields = {"cluster_id": "c", "digest": f"d{version}", "joined": [], "removed": []}
    return {"t": t, "event": "view", "version": version, "size": size, **fields, **other}


@pytest.fixture
def good() -> Views:
    """Four processes; d is killed at 20."""
    return {
        "a": [view(1, 1, 5.0), view(2, 4, 10.5), view(3, 3, 21.0, removed=["d"])],
        "b": [view(2, 4, 10.6), view(3, 3, 21.5, removed=["d"])],
        "c": [view(2, 4, 10.7), view(3, 3, 21.2, removed=["d"])],
        "d": [view(2, 4, 10.9)],
    }


def test_a_run_as_it_should_be(good: Views) -> None:
    assert summary(good, ["d"], 10.0, 20.0) == {
        "nodes": 4,
        "killed": ["d"],
        "bootstrap_seconds": 0.9,
        "distinct_sizes": [1, 3, 4],
        "kill_to_view_seconds": 1.5,
        "view_changes_after_kill": 1,
        "identical_views": True,
        "agreed": True,
        "problems": [],
    }


def test_nobody_is_killed(good: Views) -> None:
    before = {name: [view for view in views if view["version"] < 3] for name, views in good.items()}
    outcome = summary(before, [], 10.0, 20.0)
    assert outcome["agreed"]
    assert outcome["kill_to_view_seconds"] is None


def test_two_view_changes_after_the_kill_are_one_too_many(good: Views) -> None:
    for name in "abc":
        good[name].insert(-1, view(3, 4, 20.5, removed=["d"], joined=["e"]))
        good[name][-1]["version"] = 4
    outcome = summary(good, ["d"], 10.0, 20.0)
    assert outcome["view_changes_after_kill"] == 2
    assert outcome["identical_views"]
    assert not outcome["agreed"]


def test_it_must_be_the_killed_who_are_removed(good: Views) -> None:
    for name in "abc":
        good[name][-1]["removed"] = ["x"]
    outcome = summary(good, ["d"], 10.0, 20.0)
    assert outcome["problems"] == ["not all of those that were killed, and only those, were removed at once"]


@pytest.mark.parametrize("field", ["cluster_id", "digest", "size"])
def test_the_same_version_must_be_the_same_view(good: Views, field: str) -> None:
    assert disagreements(good) == []
    good["c"][0][field] = "other"
    assert disagreements(good) == [f"version 2: c has the {field} other, a has {good['a'][1][field]}"]


def test_a_gap_is_a_disagreement(good: Views) -> None:
    del good["a"][1]
    assert disagreements(good) == ["a has reported version 3 after 1"]


def test_a_view_reported_twice_is_a_disagreement(good: Views) -> None:
    good["d"] *= 2
    assert disagreements(good) == ["d has reported version 2 after 2"]


def test_a_silent_process_is_a_disagreement(good: Views) -> None:
    good["e"] = []
    assert disagreements(good) == ["e has reported no view"]


def test_the_summary_for_people(good: Views) -> None:
    text = as_text(summary(good, ["d"], 10.0, 20.0))
    assert "0.900 s until all 4 saw all" in text
    assert "3: 1, 3, 4" in text
    assert "1.500 s" in text
    assert "PROBLEM" not in text
    good["a"][1]["digest"] = "other"
    assert "PROBLEM: version 2" in as_text(summary(good, ["d"], 10.0, 20.0))


@pytest.mark.parametrize("arguments", [["--nodes", "1"], ["--nodes", "10", "--kill", "5"], ["--kill", "-1"]])
def test_what_cannot_be_shown(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", *arguments]) == 2
    assert "fewer than half" in capsys.readouterr().err


def agents(views: Views) -> list[Agent]:
    """What the processes of these views look like to the displays."""
    shown = []
    for name, reports in views.items():
        agent = Agent(Mock(spec=Process))
        agent.endpoint = name
        agent.views = list(reports)
        shown.append(agent)
    return shown


def test_lines(good: Views, capfd: pytest.CaptureFixture[str]) -> None:
    shown = agents(good)
    shown[3].is_killed = True
    last = [agent.views.pop() for agent in shown[:3]]
    with Lines() as display:
        display.phase("begun")
        display.show(shown)
        for agent, newest in zip(shown[:3], last, strict=True):
            agent.views.append(newest)
            display.show(shown)
            display.show(shown)
    lines = [line[8:].strip() for line in capfd.readouterr().out.splitlines()]
    assert lines == [
        "begun",
        "version 2, size 4: first seen by a",
        "version 3, size 3: first seen by a",
        "version 3, size 3: seen by all",
    ]


def test_the_table(good: Views) -> None:
    console = pytest.importorskip("rich.console").Console(file=io.StringIO(), width=100)
    shown = agents(good)
    shown[3].is_killed = True
    table = Table()
    table.phase("begun")
    table.show(shown)
    console.print(table.rendered())
    text = console.file.getvalue()
    assert "begun" in text
    assert text.count("v3   sees 3") == 3
    assert "killed" in text
    assert "version 3, size 3: seen by 3" in text
