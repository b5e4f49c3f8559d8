"""What was installed works: run by `make package` with an interpreter that has the wheel and nothing else."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import rapid

SOURCES = Path(__file__).parents[2]


async def two_members_see_each_other() -> None:
    settings = rapid.Settings.local()
    async with (
        rapid.Cluster("127.0.0.1:0", settings=settings) as one,
        rapid.Cluster("127.0.0.1:0", seeds=[one.endpoint], settings=settings) as other,
    ):
        views = [await member.wait_for(2, timeout=30.0) for member in (one, other)]
        assert views[0] == views[1], views


def says(*command: str) -> str:
    rapid_command = str(Path(sys.executable).parent / "rapid")
    done = subprocess.run([rapid_command, *command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def main() -> None:
    installed = Path(rapid.__file__).resolve()
    assert not installed.is_relative_to(SOURCES / "rapid"), "this is the checkout, not what was installed"
    for file in (SOURCES / "rapid").rglob("*"):
        # what configures a linter is for the sources alone, and what is cached for nobody
        name = file.relative_to(SOURCES / "rapid")
        if file.is_file() and "cache" not in str(name) and file.suffix != ".toml":
            assert (installed.parent / name).is_file(), f"{name} is not there"
    assert (installed.parent / "py.typed").is_file(), "type checkers would not believe it"
    asyncio.run(two_members_see_each_other())
    assert rapid.__version__ == version("rapid-membership")
    assert says("--version") == f"rapid {rapid.__version__}\n"
    for command in ("--help", "agent --help", "demo --help", "simulate --help", "overlay --help"):
        assert "usage: rapid" in says(*command.split()), command
    print(f"rapid-membership {rapid.__version__} works under Python {sys.version.split()[0]}")


if __name__ == "__main__":
    main()
