"""Commands whose output has no reader, or no room, and Ctrl-C: they end, and make no fuss."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

FULL = Path("/dev/full")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are other streams there")
SOME = [["overlay"], ["--version"]]


def rapid(*arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "rapid", *arguments]
    return subprocess.Popen(command, **{"stdin": subprocess.DEVNULL, "stderr": subprocess.PIPE, **options})


@pytest.mark.parametrize("arguments", SOME, ids=" ".join)
def test_output_that_nobody_reads_any_more(arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    process = rapid(*arguments, stdout=writing)
    os.close(writing)
    assert process.communicate()[1] == b""
    assert process.returncode == 1


def test_output_and_errors_that_nobody_reads_any_more() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    process = rapid("dance", stdout=writing, stderr=writing)
    os.close(writing)
    assert process.wait() in (1, 2)


def test_a_demo_that_is_looked_at_for_a_moment() -> None:
    process = rapid("demo", "--nodes", "3", "--kill", "1", stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert b"starting 3 processes" in process.stdout.readline()
    process.stdout.close()
    assert process.communicate()[1] == b""
    assert process.returncode == 1


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("arguments", SOME, ids=" ".join)
def test_a_full_disk_is_said_in_one_line(arguments: list[str]) -> None:
    with FULL.open("wb") as full:
        process = rapid(*arguments, stdout=full)
        assert process.communicate()[1] == b"rapid: cannot write: No space left on device\n"
    assert process.returncode == 1


@pytest.mark.parametrize("closed", [[0], [1], [2], [0, 1, 2]], ids=str)
def test_streams_that_are_closed_from_the_start(closed: list[int]) -> None:
    program = (
        f"import os, sys\nfor one in {closed}: os.close(one)\n"
        f"os.execv(sys.executable, [sys.executable, '-m', 'rapid', '--version'])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"rapid ") == (1 not in closed)


def test_what_the_encoding_of_the_output_has_not_is_an_escape() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    process = rapid("overlay", stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
    said, complaints = process.communicate("müller:1\n".encode())
    assert (process.returncode, complaints) == (0, b"")
    assert rb"m\xfcller:1" in said


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_ctrl_c(jobs: str) -> None:
    # a study tells on standard error, now and then, how far it is
    process = rapid(
        "simulate", "--jobs", jobs, "spectrum",
        stdout=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    assert process.stderr is not None
    assert process.stderr.readline().startswith(b"spectrum: ")
    os.killpg(process.pid, signal.SIGINT)
    rest = process.communicate()[1].splitlines()
    assert [line for line in rest if not line.startswith(b"spectrum: ")] == []
    assert process.returncode == 130


def full_pipe() -> tuple[int, int]:
    """Its ends. It takes nothing until it is read."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with suppress(BlockingIOError):
        while os.write(writing, bytes(4096)):
            pass
    os.set_blocking(writing, True)
    return reading, writing


def test_output_that_nobody_reads_does_not_hold_up_ctrl_c() -> None:
    reading, writing = os.pipe()
    process = rapid("overlay", stdin=subprocess.PIPE, stdout=writing)
    assert process.stdin is not None
    process.stdin.write(b"\n".join(b"10.0.0.1:%d" % port for port in range(1, 2000)))
    process.stdin.close()
    # more than the pipe takes
    while len(select.select([], [writing], [], 0)[1]) == 1:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    assert process.stderr.read() == b""
    assert process.wait() == 130
    process.stderr.close()
    os.close(reading)
    os.close(writing)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_demo_that_nobody_reads_ends_at_a_signal(number: signal.Signals) -> None:
    reading, writing = full_pipe()
    process = rapid("demo", "--nodes", "3", "--kill", "1", stdout=writing)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    if not children.exists():
        process.kill()
        pytest.skip("the system does not tell which processes there are")
    # it has its handlers before it starts the first
    while not children.read_text().strip():
        time.sleep(0.01)
    process.send_signal(number)
    assert process.communicate()[1] == b""
    assert process.returncode == 128 + number
    os.close(reading)
    os.close(writing)
