"""An interpreter built without OpenSSL: members without TLS do, all else says what to do about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.platforms.processes import environment, run

BUILD = "this Python was built without the module ssl: build it again with the development files of OpenSSL"
TLS = """
import rapid, rapid.blocking
try:
    rapid.TLS(ca={0!r}, certificate={0!r}, key={0!r})
except rapid.RapidError as error:
    print(type(error).__name__, error)
"""


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return environment(tmp_path / "site", "block('ssl', '_ssl')")


def test_there_is_none(env: dict[str, str], tmp_path: Path) -> None:
    assert "No module named 'ssl'" in run("-c", "import ssl", env=env, directory=tmp_path).stderr


def test_two_members_form_a_cluster_and_leave(env: dict[str, str], tmp_path: Path) -> None:
    done = run("-m", "tests.platforms.two_members", env=env, directory=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[1:] == ["left", "left"]


@pytest.mark.parametrize("file", ["is not there.pem", "is there.pem"])
def test_tls_names_the_remedy(file: str, env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "is there.pem").touch()
    done = run("-c", TLS.format(file), env=env, directory=tmp_path)
    assert done.stdout.startswith(f"TLSError tls: certificates cannot be looked at: {BUILD}"), done.stderr


AGENT = ("-m", "rapid", "agent", "--listen", "127.0.0.1:0")


@pytest.mark.parametrize(
    "options", [("--tls-ca", "a", "--tls-certificate", "b", "--tls-key", "c"), ("--admin", "0")]
)
def test_an_agent_names_the_remedy(options: tuple[str, ...], env: dict[str, str], tmp_path: Path) -> None:
    done = run(*AGENT, *options, env=env, directory=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert BUILD in done.stderr


def test_a_module_that_needs_it_through_another_names_the_remedy(
    env: dict[str, str], tmp_path: Path
) -> None:
    done = run("-c", "import rapid.integrations.prometheus", env=env, directory=tmp_path)
    assert done.stderr.splitlines()[-1].startswith("rapid.errors.MissingExtraError: ")
    assert BUILD in done.stderr


def test_processes_form_a_cluster(env: dict[str, str], tmp_path: Path) -> None:
    done = run("-m", "rapid", "demo", "--nodes", "2", "--kill", "0", "--json", env=env, directory=tmp_path)
    assert done.returncode == 0, done.stderr
