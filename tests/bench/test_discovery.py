"""Service discovery under a load: the figure, and all of it in small where there is an nginx."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from benchmarks.applications import discovery
from benchmarks.applications.balancer import http_address
from benchmarks.applications.figures import last_reload, latencies, percentile, write_discovery
from benchmarks.applications.visitors import visit
from benchmarks.peers.fleet import free_addresses
from examples.service_discovery.backend import serve

from .made import ORIGIN
from .test_run import ROOT, environment

needs_nginx = pytest.mark.skipif(
    shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin") is None,
    reason="there is no command nginx; on Debian: apt-get install nginx-light",
)


def a_run(system: str) -> dict[str, Any]:
    """A request a tenth of a second; one in the second after the failure takes long and fails."""
    done = [[100 + n / 10, 0.001, 200] for n in range(200)]
    done[105] = [110.5, 5.0, 0]
    return {
        "system": system, "begun": 100.0, "struck": 110.0, "ended": 120.0,
        "reloads": [[111.0, 28], [113.5, 27]], "done": done,
    }  # fmt: skip


class TestFigure:
    def test_the_numbers(self) -> None:
        run = a_run("rapid")
        assert last_reload(run) == 3.5
        assert latencies(run, 100.0, 110.0) == [1.0] * 100
        assert latencies(run, 110.0, 120.0)[-2:] == [1.0, 5000.0]

    def test_percentiles(self) -> None:
        values = [float(value) for value in range(1, 101)]
        assert [percentile(values, percent) for percent in (1, 50, 99, 99.9, 100)] == [1, 50, 99, 100, 100]
        assert percentile([], 50) == 0

    def test_it_is_written(self, tmp_path: Path) -> None:
        results = {
            "origin": asdict(ORIGIN), "options": {"backends": 30},
            "runs": [a_run("rapid"), a_run("memberlist")], "missing": ["missing: kinship: install Python"],
        }  # fmt: skip
        figure, summary = write_discovery(results, tmp_path)
        assert figure.read_text().count("seconds since the failure") == 2
        assert "| memberlist | 1 | 2 | 3.50 | 1 | 200 | 1 | 1 | 1 | 5,000 | 5,000 |" in summary.read_text()
        assert "- missing: kinship: install Python" in summary.read_text()


class TestVisits:
    async def test_an_answer_and_none(self) -> None:
        silent, answering = free_addresses(2)
        async with await serve(answering):
            host, _, port = answering.rpartition(":")
            assert await visit(host, int(port)) == 200
        assert await visit("127.0.0.1", int(silent.rpartition(":")[2])) == 0


def test_backends_have_an_address_beside_their_members() -> None:
    assert http_address("127.0.0.1:7401") == "127.0.0.2:7401"


def test_a_missing_nginx_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    monkeypatch.setattr(sys, "argv", ["discovery"])
    assert discovery.main() == 3
    assert "there is no command nginx" in capsys.readouterr().err


@needs_nginx
@pytest.mark.timeout(180)
def test_all_of_it_in_small(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.applications.discovery", "--out", str(tmp_path)]
    command += ["--peers", "rapid", "--backends", "4", "--failures", "1", "--rate", "20"]
    command += ["--settle", "0.5", "--before", "1", "--after", "8"]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (run,) = json.loads((tmp_path / "results.json").read_text())["runs"]
    assert len(run["done"]) == 180
    assert 200 in {status for _, _, status in run["done"]}
    assert {backends for _, backends in run["reloads"]} <= {3}
    assert (tmp_path / "figure.svg").exists()
