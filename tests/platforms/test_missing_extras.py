"""What is optional says what to type when it is not installed, and nothing else needs it."""

from __future__ import annotations

import pickle
import tomllib
from pathlib import Path

import pytest

from rapid import MissingExtraError, RapidError
from tests.platforms.processes import ROOT, environment, run

PROGRAM_ENDS = "import sys; from rapid.cli import main; sys.exit(main({!r}))"
AGENT = ("-m", "rapid", "agent", "--listen", "127.0.0.1:0")
OVERLAY = "import io, sys; sys.stdin = io.TextIOWrapper(io.BytesIO(b'a:1\\nb:2\\nc:3\\n')); "
ANALYSE = ("-c", OVERLAY + PROGRAM_ENDS.format(["overlay", "--analyse"]))
STUDY = ("-m", "rapid", "simulate", "costs")
SRV = ("-c", "import rapid; rapid.discovery.srv('_rapid._tcp.example.org')")
IN_A_CHECKOUT = {"placement"}
"""Extras of what is in no wheel."""
OF_OTHERS = {"all"}
"""Extras that bring no package of their own."""
CASES = [
    ("cli", "shtab", ("-m", "rapid", "completion", "bash")),
    ("agent", "starlette", (*AGENT, "--admin", "0")),
    ("agent", "uvicorn", (*AGENT, "--admin", "0")),
    ("agent", "pydantic", (*AGENT, "--config", "a.toml")),
    ("agent", "pydantic_settings", (*AGENT, "--config", "a.toml")),
    ("analysis", "matplotlib", (*STUDY, "--plot", "a.svg")),
    ("analysis", "networkx", ANALYSE),
    ("analysis", "scipy", ANALYSE),
    ("dns", "dns", SRV),
    ("dns", "dns", (*AGENT, "--seed-srv", "_rapid._tcp.example.org")),
    ("tls", "cryptography", ("-m", "rapid", "certs", "pki", "--host", "a")),
    ("fastapi", "fastapi", ("-c", "import rapid.integrations.fastapi")),
    ("fastapi", "starlette", ("-c", "import rapid.integrations.fastapi")),
    ("prometheus", "prometheus_client", ("-c", "import rapid.integrations.prometheus")),
    ("opentelemetry", "opentelemetry", ("-c", "import rapid.integrations.opentelemetry")),
    ("placement", "ortools", ("-m", "examples.placement", "a.sqlite", "127.0.0.1:0")),
]
"""The extra, a package that it brings, and arguments of Python that need it."""


@pytest.mark.parametrize(("extra", "package", "arguments"), CASES)
def test_an_error_says_what_to_type(
    extra: str, package: str, arguments: tuple[str, ...], tmp_path: Path
) -> None:
    done = run(*arguments, env=environment(tmp_path / "site", f"block({package!r})"), directory=tmp_path)
    what = f"--editable '.[{extra}]'" if extra in IN_A_CHECKOUT else f"'rapid-membership[{extra}]'"
    assert done.returncode in (1, 2)
    # the last line: of a module that is imported there is a traceback before it
    assert f"pip install {what}" in done.stderr.splitlines()[-1], done.stderr
    assert ("Traceback" in done.stderr) == (arguments[0] == "-c" and arguments is not ANALYSE)


def test_a_report_of_benchmarks_names_the_package_that_it_needs(tmp_path: Path) -> None:
    report = "from benchmarks.plots import _figure; _figure(1, 1)"
    env = environment(tmp_path / "site", "block('matplotlib')")
    done = run("-c", report, env=env, directory=tmp_path)
    assert done.stderr.endswith("a report needs matplotlib: pip install matplotlib\n")


def test_every_extra_was_tried() -> None:
    with open(ROOT / "pyproject.toml", "rb") as file:
        extras = set(tomllib.load(file)["project"]["optional-dependencies"])
    assert extras - OF_OTHERS == {extra for extra, _, _ in CASES}


def test_a_cluster_needs_no_extra(tmp_path: Path) -> None:
    packages = sorted({package for _, package, _ in CASES} | {"rich"})
    env = environment(tmp_path / "site", f"block(*{packages!r})")
    done = run("-m", "tests.platforms.two_members", env=env, directory=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[1:] == ["left", "left"]


def test_a_demo_without_rich_prints_lines(tmp_path: Path) -> None:
    env = environment(tmp_path / "site", "block('rich')")
    done = run("-m", "rapid", "demo", "--nodes", "2", "--kill", "0", env=env, directory=tmp_path)
    assert done.returncode == 0, done.stderr


def test_an_import_that_fails_is_an_import_error_that_names_the_extra() -> None:
    error = MissingExtraError("rapid.integrations.fastapi", "fastapi", "starlette")
    assert isinstance(error, RapidError)
    assert isinstance(error, ModuleNotFoundError)
    assert (error.extra, error.name) == ("fastapi", "starlette")
    assert str(error) == (
        "rapid.integrations.fastapi needs 'starlette': it is not installed:"
        " pip install 'rapid-membership[fastapi]'"
    )
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.extra, copy.name) == (str(error), error.extra, error.name)
