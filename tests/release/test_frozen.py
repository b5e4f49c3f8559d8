"""Programs that were built of the package: its modules in an archive, no files beside them, no metadata."""

from __future__ import annotations

import ast
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from rapid import __version__
from rapid.cli import COMMANDS

PACKAGE = Path(__file__).parents[2] / "rapid"

# the installed package of the checkout must not stand in for it
FOUND = """
import importlib.metadata, sys
def missing(name, **_):
    raise importlib.metadata.PackageNotFoundError(name)
importlib.metadata.version = missing
sys.path.insert(0, sys.argv.pop(1))
import rapid
assert ".zip" in rapid.__file__, rapid.__file__
"""
MEMBER = """
from rapid import Settings, blocking
S = Settings.local()
with blocking.Cluster("127.0.0.1:0", settings=S) as a:
    with blocking.Cluster("127.0.0.1:0", seeds=[a.endpoint], settings=S) as b:
        print(a.wait_for(2, timeout=20).size)
"""
COMMAND = """
from rapid.cli import main
sys.exit(main())
"""
PAGE = """
import asyncio
from rapid.agent.admin import Admin
answer = asyncio.run(Admin.page(None, None))
print(answer.status_code, answer.body.decode())
"""


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package's modules, but for one command."""
    made = tmp_path_factory.mktemp("frozen") / "program.zip"
    with zipfile.ZipFile(made, "w") as file:
        for module in PACKAGE.rglob("*.py"):
            if module.name != "overlay.py":
                file.write(module, module.relative_to(PACKAGE.parent))
    return made


def run(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", FOUND + program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)


def test_a_member_runs(archive: Path) -> None:
    done = run(MEMBER, archive)
    assert (done.returncode, done.stdout, done.stderr) == (0, "2\n", "")


def test_the_command_runs(archive: Path) -> None:
    done = run(COMMAND, archive, "--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"rapid {__version__}\n", "")


def test_a_command_that_was_left_out_says_how_to_build_it_in(archive: Path) -> None:
    done = run(COMMAND, archive, "overlay", "127.0.0.1:1")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("rapid overlay: the module rapid.cli.overlay is not in this program")
    assert "--collect-all rapid" in done.stderr


def test_the_page_that_was_left_out_says_how_to_build_it_in(archive: Path) -> None:
    done = run(PAGE, archive)
    assert done.stdout.startswith("500 "), done.stderr
    assert "--collect-data rapid" in done.stdout


def test_what_builds_programs_finds_each_command() -> None:
    """By an import statement: the commands are imported by name."""
    tree = ast.parse((PACKAGE / "cli" / "__init__.py").read_text(encoding="utf-8"))
    found = {
        name.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "rapid.cli"
        for name in node.names
    }
    assert found == {command.replace("-", "_") for command in COMMANDS}
