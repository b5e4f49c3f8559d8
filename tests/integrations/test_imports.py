"""Whoever does not ask for an integration does not pay for it, and need not have installed it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from .clusters import ROOT

PACKAGE = ROOT / "rapid"
EXTRAS = ("fastapi", "starlette", "pydantic", "prometheus_client", "opentelemetry", "ortools")
NEEDS = {
    "fastapi": {"fastapi", "starlette", "pydantic"},
    "prometheus": {"prometheus_client"},
    "opentelemetry": {"opentelemetry"},
    "grpc_channel": set[str](),
    "health": set[str](),
    "standing": set[str](),
    "tally": set[str](),
}
"""What of these each module imports."""


def named_by(file: Path) -> set[str]:
    """The modules that the imports of a file name, and the packages that they are in."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"), str(file))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {".".join(name.split(".")[: n + 1]) for name in names for n in range(name.count(".") + 1)}


def test_using_the_library_loads_no_integration_and_no_extra() -> None:
    program = (
        "import sys\n"
        "before = set(sys.modules)\n"  # a .pth file of the environment may have loaded anything
        "import rapid\n"
        "for name in rapid.__all__: getattr(rapid, name)\n"
        "import rapid.runtime.membership\n"
        f"unwanted = {(*EXTRAS, 'rapid.integrations')!r}\n"
        "print(*sorted(set(unwanted) & (set(sys.modules) - before)))\n"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()) == (0, []), done.stderr


def test_each_integration_is_known_here() -> None:
    modules = {file.stem for file in (PACKAGE / "integrations").glob("*.py")} - {"__init__"}
    assert modules == set(NEEDS)


@pytest.mark.parametrize("module", NEEDS)
def test_an_integration_imports_what_its_extra_has(module: str) -> None:
    assert named_by(PACKAGE / "integrations" / f"{module}.py") & set(EXTRAS) == NEEDS[module]


def test_the_library_does_not_know_its_integrations() -> None:
    # programs may use them: the agent, the commands
    layers = [p for p in PACKAGE.iterdir() if p.name not in ("integrations", "agent", "cli", "__pycache__")]
    files = [file for layer in layers for file in ([layer] if layer.is_file() else layer.rglob("*.py"))]
    sources = [file for file in files if file.suffix == ".py"]
    assert len(sources) > 40
    known = {str(file): named_by(file) & {*EXTRAS, "rapid.integrations"} for file in sources}
    assert {file for file, names in known.items() if names} == set()


def test_an_import_is_found_in_every_form(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    for text in ("import fastapi.routing", "from fastapi.routing import x", "from fastapi import y"):
        file.write_text(f"def f():\n    {text}")
        assert "fastapi" in named_by(file)
    file.write_text("from rapid import integrations")
    assert "rapid.integrations" in named_by(file)
