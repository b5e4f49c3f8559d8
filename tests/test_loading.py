"""What is loaded by those who use it, and by nobody else: a start costs what it loads, in time and memory."""

from __future__ import annotations

import subprocess
import sys

import pytest

NAMES = "import rapid"
STARTED = """
from rapid import blocking
with blocking.Cluster("127.0.0.1:0") as cluster:
    assert cluster.view.size == 1
"""
JOINED = """
from rapid import Settings, blocking
local = Settings.local()
with blocking.Cluster("127.0.0.1:0", settings=local) as first:
    with blocking.Cluster("127.0.0.1:0", settings=local, seeds=[str(first.endpoint)]) as second:
        assert second.view.size == 2
"""
AGENT = "import rapid.cli.agent, rapid.agent.service, rapid.runtime.membership"

IO = (
    "asyncio",
    "concurrent.futures",
    "logging",
    "threading",
    "ssl",
    "socket",
    "grpc",
    "google.protobuf",
    "structlog",
)
"""What a program that only handles views does without."""
UNUSED = (
    "rapid.simulation", "rapid.integrations", "rapid.cli", "rapid.leading", "rapid.runtime.tls",
    "rapid.runtime.credentials", "rapid.runtime.prober", "rapid.overlay.expander", "dns", "numpy", "networkx",
    "multiprocessing", "argparse", "tomllib", "uuid", "http", "email", "xml", "unittest",
    "importlib.metadata", "importlib.resources",
)  # fmt: skip
"""What a plain member does without: TLS, an application's prober, leading, the simulation and so on."""
OF_THE_AGENT = {"rapid.cli", "argparse"}
ADMIN = ("starlette", "uvicorn", "pydantic", "pydantic_settings", "rapid.agent.admin", "rapid.agent.metrics")


def loaded(program: str, names: tuple[str, ...]) -> list[str]:
    """Which of these modules a fresh interpreter has loaded once it has run the program."""
    observed = (
        "import sys\n"
        "before = set(sys.modules)\n"  # a .pth file of the environment may have loaded anything
        f"{program}\n"
        f"print(*sorted(set({names!r}) & (set(sys.modules) - before)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", observed], capture_output=True, text=True, check=False, timeout=50
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_public_names_load_nothing_that_does_io() -> None:
    # what concerns the environment's own start is left out by `loaded`
    assert loaded(NAMES, (*IO, *UNUSED)) == []


@pytest.mark.parametrize("program", [STARTED, JOINED], ids=["alone", "joined"])
def test_a_plain_member_loads_nothing_that_it_does_not_use(program: str) -> None:
    assert loaded(program, UNUSED) == []


def test_a_member_without_seeds_loads_no_discovery() -> None:
    assert loaded(STARTED, ("rapid.discovery",)) == []


def test_an_agent_loads_no_admin_endpoint_unless_it_is_asked_for() -> None:
    assert loaded(AGENT, (*(name for name in UNUSED if name not in OF_THE_AGENT), *ADMIN)) == []


@pytest.mark.parametrize(
    ("use", "module"),
    [
        ("rapid.TLS", "rapid.runtime.tls"),
        ("rapid.singleton", "rapid.leading"),
        ("rapid.discovery", "rapid.discovery"),
    ],
)
def test_what_is_used_is_loaded(use: str, module: str) -> None:
    assert loaded(f"import rapid; {use}", (module,)) == [module]
