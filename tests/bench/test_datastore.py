"""The data store under a black hole: the detector that it is compared with, and the figure."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from benchmarks.applications import datastore
from benchmarks.applications.datastore import partner
from benchmarks.applications.figures import changes, gaps, rate, write_datastore
from benchmarks.applications.heartbeats import INTERVAL, TIMEOUT, Heartbeats, Word
from benchmarks.overlay import most_rings, rings
from benchmarks.topology import obstacle

from .made import ORIGIN
from .test_run import ROOT, environment

EVERYONE = [f"10.77.0.{number}:7400" for number in range(1, 17)]


class Servers:
    """All of them, in steps of a heartbeat's time; what is sent arrives at once, unless it is cut off."""

    def __init__(self, *names: str) -> None:
        self.now = 0.0
        self.cut: set[frozenset[str]] = set()
        self.each = {name: Heartbeats(name, names, 0.0) for name in names}

    def step(self) -> None:
        self.now += INTERVAL
        for name, server in self.each.items():
            self.send(name, [server.beat(), *server.check(self.now)])

    def send(self, sender: str, words: list[Word]) -> None:
        for word in words:
            for name, server in self.each.items():
                if name != sender and frozenset((sender, name)) not in self.cut:
                    self.send(name, server.receive(word, self.now))

    def opinions(self) -> set[tuple[str, ...]]:
        return {tuple(server.living) for server in self.each.values()}


class TestHeartbeats:
    def test_all_live(self) -> None:
        servers = Servers("a", "b", "c", "d")
        for _ in range(20):
            servers.step()
            assert servers.opinions() == {("a", "b", "c", "d")}

    def test_who_is_silent_for_all_is_dead_for_all(self) -> None:
        servers = Servers("a", "b", "c", "d")
        servers.cut = {frozenset(("a", other)) for other in "bcd"}
        while servers.now <= TIMEOUT + INTERVAL:
            servers.step()
        assert {tuple(servers.each[name].living) for name in "bcd"} == {("b", "c", "d")}

    def test_one_black_hole_has_a_living_one_taken_for_dead_by_all_again_and_again(self) -> None:
        servers = Servers("a", "b", "c", "d")
        servers.cut = {frozenset(("a", "d"))}
        deaths = 0
        received = servers.each["b"].receive

        def receive(word: Word, now: float) -> list[Word]:
            nonlocal deaths
            answer = received(word, now)
            deaths += "a" not in servers.each["b"].living
            return answer

        servers.each["b"].receive = receive  # type: ignore[method-assign] # to see between two words
        for _ in range(30):
            servers.step()
        assert deaths > 3
        assert "a" in servers.each["c"].living, "it has denied it"

    def test_a_word_of_nobody(self) -> None:
        with pytest.raises(ValueError, match="is no word of a server"):
            Heartbeats("a", ["a", "b"], 0.0).receive({"hello": "b"}, 1.0)


def test_the_pair_that_is_cut_is_one_that_rapid_does_not_believe() -> None:
    leader = EVERYONE[3]
    held = {other: rings(other, leader, EVERYONE) for other in EVERYONE}
    assert sum(held.values()) == 10
    assert most_rings(leader, EVERYONE) == max(rings(leader, other, EVERYONE) for other in EVERYONE)
    for seed in range(20):
        other = partner(leader, EVERYONE, seed)
        assert other != leader
        assert max(held[other], rings(leader, other, EVERYONE)) < 3


def a_run(system: str) -> dict[str, Any]:
    """Twenty transactions a second from 100 on; struck at 110, when two seconds are lost; over at 120."""
    done = [[100 + n / 20, 0.01] for n in range(400) if not 110 <= 100 + n / 20 < 112]
    leaders = [[99.0, "a", "a"], [99.0, "b", "a"], [110.5, "b", "b"], [112.0, "b", "a"]]
    return {
        "system": system,
        "begun": 100.0,
        "struck": 110.0,
        "ended": 120.0,
        "leaders": leaders,
        "done": done,
    }


class TestFigure:
    def test_the_numbers(self) -> None:
        run = a_run("heartbeats")
        assert rate(run, 100.0, 110.0) == 20
        assert rate(run, 110.0, 120.0) == 16
        assert changes(run) == 2
        assert gaps(run) == pytest.approx([2.0])

    def test_it_is_written(self, tmp_path: Path) -> None:
        results = {
            "origin": asdict(ORIGIN), "options": {"servers": 16},
            "runs": [a_run("rapid"), a_run("heartbeats"), a_run("rapid"), a_run("heartbeats")],
        }  # fmt: skip
        figure, summary = write_datastore(results, tmp_path)
        assert figure.read_text().count("seconds since the black hole") == 2
        numbers = " | ".join(f"{number} ({number} to {number})" for number in (20, 16, 80, 2, 2, 2))
        assert f"| rapid | 2 | {numbers} |" in summary.read_text()


def test_without_rights_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(datastore, "obstacle", lambda: "only root may make network namespaces")
    monkeypatch.setattr(sys, "argv", ["datastore"])
    assert datastore.main() == 3
    assert "no network to break: only root may" in capsys.readouterr().err


@pytest.mark.network
@pytest.mark.timeout(300)
def test_a_black_hole_in_small(tmp_path: Path) -> None:
    if (reason := obstacle()) is not None:
        pytest.skip(f"no network to break: {reason}")
    command = [sys.executable, "-m", "benchmarks.applications.datastore", "--out", str(tmp_path)]
    command += ["--servers", "12", "--clients", "4", "--rate", "50", "--settle", "3"]
    command += ["--before", "3", "--after", "10"]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    runs = {run["system"]: run for run in json.loads((tmp_path / "results.json").read_text())["runs"]}
    assert all(run["dropped"] > 0 for run in runs.values())
    assert changes(runs["rapid"]) == 0
    assert changes(runs["heartbeats"]) > 0
