"""The entry point of the command: how an agent's process begins and ends, and which status it has."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

WATCHED = """
import atexit, gc, sys

class Kept:
    def __del__(self):
        print("taken apart", flush=True)

kept = Kept()
atexit.register(lambda: print("collecting", gc.isenabled(), gc.get_freeze_count() > 1000))
sys.argv[0] = "rapid"
from rapid.cli import entry
entry()
"""
"""Says what happens at the end of the process."""


@contextmanager
def watched(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", WATCHED, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def finished(*arguments: str) -> tuple[int, str, str]:
    with watched(*arguments) as process:
        out, err = process.communicate(timeout=50)
        return process.returncode, out, err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_agent_that_leaves_ends_without_taking_the_interpreter_apart(number: signal.Signals) -> None:
    with watched("agent", "--listen", "127.0.0.1:0", "--settings", "local") as process:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        assert any(" 1 " in line or "size" in line for line in lines)
        process.send_signal(number)
        out, err = process.communicate(timeout=50)
    assert (process.returncode, err) == (0, "")
    # all is written that was to be, in the functions for the end of the process, too
    assert out.splitlines()[-1] == "collecting True True"


def test_an_agent_that_cannot_listen_says_so_and_has_status_1() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        status, out, err = finished("agent", "--listen", f"127.0.0.1:{port}")
    assert status == 1
    assert err.startswith(f"rapid agent: cannot listen on 127.0.0.1:{port}: ")
    assert out == "collecting True True\n"


@pytest.mark.parametrize("arguments", [["agent", "--listen", "nowhere"], ["agent", "--settings", "moon"]])
def test_bad_arguments_of_an_agent_have_status_2(arguments: list[str]) -> None:
    status, _, err = finished(*arguments)
    assert status == 2
    assert err


def test_other_commands_end_as_programs_do() -> None:
    status, out, err = finished("--version")
    assert (status, err) == (0, "")
    version, collecting, end = out.splitlines()
    assert version.startswith("rapid ")
    assert (collecting, end) == ("collecting True False", "taken apart")
