"""Processes that run on another interpreter than this one, as far as that can be had."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def environment(directory: Path, statement: str) -> dict[str, str]:
    """Of processes, and those that they start, that begin with this statement about the functions above."""
    directory.mkdir(exist_ok=True)
    begin = f"from tests.platforms.elsewhere import block, pretend\n{statement}\n"
    (directory / "sitecustomize.py").write_text(begin, encoding="utf-8")
    return {**os.environ, "PYTHONPATH": os.pathsep.join((str(directory), str(ROOT)))}


def run(
    *arguments: str, env: dict[str, str], directory: Path, within: float = 50.0
) -> subprocess.CompletedProcess[str]:
    """A Python process with these arguments, at its end."""
    done = subprocess.run(
        [sys.executable, *arguments], env=env, cwd=directory, capture_output=True, text=True, timeout=within
    )
    assert "Error in sitecustomize" not in done.stderr, done.stderr
    return done


class Agent(subprocess.Popen[str]):
    """A process that runs ``rapid agent --json``."""

    endpoint: str

    def wait_for(self, event: str) -> dict[str, Any]:
        """The next report of an event."""
        assert self.stdout is not None, "it is a pipe"
        for line in self.stdout:
            report: dict[str, Any] = json.loads(line)
            if report["event"] == event:
                return report
        raise AssertionError(f"it has ended before {event!r}")


@contextmanager
def agent(env: dict[str, str], directory: Path, *options: str) -> Iterator[Agent]:
    """One that has joined."""
    command = [sys.executable, "-m", "rapid", "agent", "--json", "--listen", "127.0.0.1:0", *options]
    pipe = subprocess.PIPE
    with Agent(command, env=env, cwd=directory, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            process.endpoint = process.wait_for("listening")["endpoint"]
            process.wait_for("view")
            yield process
        finally:
            process.kill()
