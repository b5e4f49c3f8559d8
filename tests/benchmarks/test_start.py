"""The benchmarks that are commands of their own come to their end, and measure something."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest


def lines_of(*command: str) -> list[str]:
    command = (sys.executable, "-m", *command)
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return run.stdout.splitlines()


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_start() -> None:
    table = lines_of("benchmarks.start", "--processes", "2", "--rounds", "1")[4:]
    assert len(table) == 8
    rows = [[float(cell) for cell in line.split("|")[2:-1]] for line in table]
    python, agent = rows[0], rows[-1]
    for of_python, of_agent in zip(python, agent, strict=True):
        assert 0 < of_python < of_agent
    for _, rss, pss, own in rows:
        assert own <= pss <= rss


def test_wire() -> None:
    found = dict(re.findall(r"^(.*?)  +([\d.]+) ", line)[0] for line in lines_of("benchmarks.wire")[1:])
    assert len(found) == 9
    assert all(float(value) > 0 for value in found.values())
