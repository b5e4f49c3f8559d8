"""``rapid demo`` as a user runs it, and what it leaves behind: nothing."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from uuid import uuid4

import pytest

MARK = "RAPID_TEST_RUN"

PROC = Path("/proc")

pytestmark = pytest.mark.skipif(not (PROC / "self/environ").exists(), reason="looks for processes in /proc")


class Run:
    """The demo as a process; it and all that it starts carry a mark in their environment."""

    def __init__(self) -> None:
        self.mark = f"{MARK}={uuid4()}"
        self.process: Process | None = None

    async def start(self, *options: str) -> Process:
        name, _, value = self.mark.partition("=")
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "rapid",
            "demo",
            *options,
            stdout=PIPE,
            stderr=PIPE,
            env={**os.environ, name: value},
            start_new_session=True,
        )
        return self.process

    def alive(self) -> list[int]:
        """The processes of this run that have not ended."""
        found = []
        for entry in PROC.glob("[0-9]*"):
            try:
                if self.mark.encode() in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
            except OSError:
                continue  # it has ended meanwhile, or is not ours
        return found

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(40):
            while not condition():  # noqa: ASYNC110 - nothing tells of other processes
                await asyncio.sleep(0.01)

    def clear(self) -> None:
        """After a failed test."""
        for process in self.alive():
            os.kill(process, signal.SIGKILL)


@pytest.fixture
async def demo() -> AsyncIterator[Run]:
    run = Run()
    yield run
    run.clear()
    if run.process is not None:
        await run.process.communicate()


async def test_the_summary_is_one_object_and_nothing_is_left(demo: Run) -> None:
    process = await demo.start("--nodes", "5", "--kill", "1", "--settings", "local", "--json")
    out, errors = await process.communicate()
    assert errors.decode() == ""
    outcome = json.loads(out)
    assert outcome["agreed"], outcome
    assert outcome["nodes"] == 5
    assert len(outcome["killed"]) == outcome["view_changes_after_kill"] == 1
    assert process.returncode == 0
    assert demo.alive() == []


async def test_the_lines(demo: Run) -> None:
    process = await demo.start("--nodes", "3", "--kill", "1", "--settings", "local")
    out, _ = await process.communicate()
    text = out.decode()
    assert process.returncode == 0, text
    assert "starting 3 processes" in text
    assert "size 3: seen by all" in text
    assert "size 2: seen by all" in text
    assert "identical views          yes" in text


async def test_a_step_that_takes_too_long_says_what_is_missing(demo: Run) -> None:
    process = await demo.start("--nodes", "3", "--kill", "1", "--limit", "0.001")
    _, errors = await process.communicate()
    assert process.returncode == 1
    assert b"rapid demo: after 0.001 s: process " in errors
    assert b" founds no cluster" in errors
    assert demo.alive() == []


async def starting(demo: Run, _: Process) -> None:
    await demo.until(lambda: len(demo.alive()) >= 3)


async def released(_: Run, process: Process) -> None:
    assert process.stdout is not None
    async for line in process.stdout:
        if b"released" in line:
            return


@pytest.mark.parametrize("phase", [starting, released])
@pytest.mark.parametrize(
    ("number", "status"),
    [
        (signal.SIGINT, 130),
        (signal.SIGTERM, 143),
        (signal.SIGHUP, 129),
        (signal.SIGKILL, -9),
    ],
)
async def test_however_it_ends_nothing_is_left(
    demo: Run, phase: Callable[[Run, Process], Awaitable[None]], number: signal.Signals, status: int
) -> None:
    process = await demo.start("--nodes", "6", "--kill", "2")
    await phase(demo, process)
    process.send_signal(number)
    await process.communicate()
    assert process.returncode == status
    if number != signal.SIGKILL:
        assert demo.alive() == []
    # its children notice by themselves
    await demo.until(lambda: not demo.alive())


async def test_nothing_is_left_when_nobody_reads_its_output(demo: Run) -> None:
    process = await demo.start("--nodes", "4", "--kill", "1")
    assert process.stdout is not None
    await process.stdout.readline()
    transport = process._transport.get_pipe_transport(1)  # type: ignore[attr-defined]  # no public way
    transport.close()
    assert process.stderr is not None
    errors = await process.stderr.read()
    assert (await process.wait(), errors) == (1, b"")
    assert demo.alive() == []
