"""`make quick` needs no more than the group `quick` and what the library itself needs."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
CONFIGURATION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PLUGINS = ("pytest_asyncio.plugin", "pytest_timeout", "xdist.plugin")

COLLECT = """
import sys

refused, arguments = eval(sys.argv[1]), sys.argv[2:]

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in refused:
            raise ModuleNotFoundError(f"{name} is not there for `make quick`", name=name)

sys.meta_path.insert(0, Refuse())

import pytest

sys.exit(pytest.main(arguments))
"""


def needed() -> set[str]:
    """The distributions that `make quick` installs, with all that they need."""
    todo = [*CONFIGURATION["dependency-groups"]["quick"], *CONFIGURATION["project"]["dependencies"]]
    found: set[str] = set()
    while todo:
        requirement = Requirement(todo.pop())
        name = canonicalize_name(requirement.name)
        if name in found or not (requirement.marker is None or requirement.marker.evaluate({"extra": ""})):
            continue
        found.add(name)
        try:
            todo += requires(name) or []
        except PackageNotFoundError:
            continue  # for another system
    return found


def refused() -> set[str]:
    """The modules of all other distributions that are installed here."""
    allowed = needed() | {"rapid-membership", "pip", "setuptools"}
    return {
        module
        for module, owners in packages_distributions().items()
        if not any(canonicalize_name(owner) in allowed for owner in owners)
    }


def collected(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Collect tests where the modules of all else are not to be had."""
    plugins = [word for plugin in PLUGINS for word in ("-p", plugin)]
    options = ["--collect-only", "-qq", "-p", "no:cacheprovider", *plugins]
    return subprocess.run(
        [sys.executable, "-c", COLLECT, repr(refused()), *options, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_is_heavy_is_refused() -> None:
    assert {"cryptography", "markdown_it", "networkx", "starlette", "yaml"} <= refused()
    assert not {"_pytest", "google", "grpc", "hypothesis", "structlog", "xxhash"} & refused()


@pytest.mark.skipif(shutil.which("make") is None, reason="it is about make, which is not here")
def test_its_tests_import_no_more_than_it_installs() -> None:
    made = subprocess.run(
        ["make", "--dry-run", "quick"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    (command,) = (line for line in made.stdout.splitlines() if "-m pytest" in line)
    done = collected(*(word for word in shlex.split(command) if word.startswith(("tests/", "--ignore="))))
    assert done.returncode == 0, done.stdout + done.stderr
    files = {line.partition(":")[0] for line in done.stdout.splitlines() if line.startswith("tests/")}
    assert {"tests/protocol/test_node.py", "tests/test_architecture.py"} <= files


def test_a_test_that_needs_more_is_found() -> None:
    done = collected("tests/docs/test_paper.py")
    assert done.returncode != 0
    assert "markdown_it is not there for `make quick`" in done.stdout
