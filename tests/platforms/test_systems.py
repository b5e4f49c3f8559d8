"""Nothing is needed that only Linux has: it is taken away here. No other system was there to try it on."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.platforms.elsewhere import SYSTEMS
from tests.platforms.processes import agent, environment, run

MISSING = {
    "windows": (
        "import fcntl",
        "import resource",
        "import termios",
        "import os; os.register_at_fork",
        "import os; os.sched_getscheduler",
        "import signal; signal.SIGHUP",
        "import signal; signal.SIGKILL",
        "import select; select.epoll",
        "import socket; socket.AF_UNIX",
    ),
    "macos": (
        "import os; os.sched_getscheduler",
        "import select; select.epoll",
    ),
}


@pytest.fixture(params=SYSTEMS)
def system(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def env(system: str, tmp_path: Path) -> dict[str, str]:
    return environment(tmp_path / "site", f"pretend({system!r})")


def test_what_is_taken_away_is_not_there(system: str, env: dict[str, str], tmp_path: Path) -> None:
    for statement in MISSING[system]:
        done = run("-c", statement, env=env, directory=tmp_path)
        assert done.returncode == 1, statement
        assert "ModuleNotFoundError" in done.stderr or "AttributeError" in done.stderr, done.stderr
    program = "from rapid.cli import sys; print(sys.platform)"
    assert run("-c", program, env=env, directory=tmp_path).stdout == f"{SYSTEMS[system].platform}\n"


def test_loops_of_windows_take_no_signals(tmp_path: Path) -> None:
    env = environment(tmp_path / "site", "pretend('windows')")
    program = "import asyncio; asyncio.new_event_loop().add_signal_handler(2, print)"
    assert "NotImplementedError" in run("-c", program, env=env, directory=tmp_path).stderr


def test_every_module_can_be_imported(env: dict[str, str], tmp_path: Path) -> None:
    done = run("-m", "tests.platforms.all_modules", env=env, directory=tmp_path)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 100


def test_two_members_form_a_cluster_and_leave(env: dict[str, str], tmp_path: Path) -> None:
    done = run("-m", "tests.platforms.two_members", env=env, directory=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    in_use, *rest = done.stdout.splitlines()
    assert "in use" in in_use
    assert rest == ["left", "left"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_agent_leaves_at_a_signal(number: signal.Signals, env: dict[str, str], tmp_path: Path) -> None:
    with agent(env, tmp_path) as process:
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    assert "leaving" in [json.loads(line)["event"] for line in out.splitlines()]


def test_an_agent_ends_at_once_at_a_second_signal(env: dict[str, str], tmp_path: Path) -> None:
    with agent(env, tmp_path) as process:
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")


def test_an_agent_runs_where_nothing_is_said_of_scheduling(tmp_path: Path) -> None:
    # as musl has it
    refused = "def refuse(*_): raise OSError(38, 'Function not implemented')"
    statement = f"import os\n{refused}\nos.sched_getscheduler = os.sched_setscheduler = refuse"
    with agent(environment(tmp_path / "site", statement), tmp_path) as process:
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")


def test_an_agent_ends_with_the_process_behind_it(env: dict[str, str], tmp_path: Path) -> None:
    with agent(env, tmp_path, "--tether") as process:
        assert process.stdin is not None, "it is a pipe"
        process.stdin.close()
        assert process.wait(timeout=30) == 1


def test_an_agent_answers_operators(env: dict[str, str], tmp_path: Path) -> None:
    with agent(env, tmp_path, "--admin", "0") as process:
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")


def test_many_agents_agree_and_end(env: dict[str, str], tmp_path: Path) -> None:
    done = run("-m", "rapid", "demo", "--nodes", "3", "--kill", "1", "--json", env=env, directory=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["agreed"]


def test_certificates_are_made(env: dict[str, str], tmp_path: Path) -> None:
    done = run("-m", "rapid", "certs", "pki", "--host", "a", env=env, directory=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "pki" / "member-a.pem").stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "pki" / "member-a.key").stat().st_mode & 0o777 == 0o600
