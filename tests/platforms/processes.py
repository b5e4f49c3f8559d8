"""Processes that run on another interpreter than this one, as far as that can be had."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

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
