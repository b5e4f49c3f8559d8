"""Real agents whose output is not read, or cannot be written: they stay members, and end when told."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from rapid.agent.address import admin_endpoint
from rapid.cli.fleet import Fleet
from rapid.cli.remote import Agent as Remote

from .forming import LOCAL, free_endpoints, until, until_all_see

pytest.importorskip("uvicorn", reason="the package uvicorn, which serves the endpoint, is not installed")

FULL = "/dev/full"
Begin = Callable[..., Awaitable[Process]]


@pytest.fixture
async def begin() -> AsyncIterator[Begin]:
    """Starts agents whose streams are the test's own."""
    begun: list[Process] = []

    async def begin(*arguments: str, stdout: int, stderr: int | None = None) -> Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, stdin=DEVNULL, stdout=stdout, stderr=stderr
        )
        begun.append(process)
        return process

    yield begin
    for process in begun:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def agent(listen: str, *options: str) -> tuple[str, ...]:
    return ("-m", "rapid", "agent", "--listen", listen, "--settings", "local", *options)


def filled_pipe() -> tuple[int, int]:
    """Its ends. It takes nothing until it is read."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with suppress(BlockingIOError):
        while os.write(writing, bytes(4096)):
            pass
    os.set_blocking(writing, True)
    return reading, writing


def wait_until_member(remote: Remote) -> None:
    for _ in remote.events():
        if remote.get("/livez")["state"] == "member":
            return


@pytest.mark.parametrize(
    ("number", "options"),
    [(signal.SIGTERM, ["--json"]), (signal.SIGINT, []), (signal.SIGHUP, [])],
)
async def test_streams_that_nobody_reads_hold_up_no_end(
    number: signal.Signals, options: list[str], fleet: Fleet, begin: Begin
) -> None:
    seed = await fleet.start(*LOCAL)
    await until(fleet, lambda: seed.view)
    at, admin = free_endpoints(2)
    reading, writing = filled_pipe()
    options = ["--seed", str(seed), "--admin", admin, *options]
    process = await begin(*agent(at, *options), stdout=writing, stderr=writing)
    await until_all_see(fleet, 2, [seed])
    # it has nothing else to say it by
    await asyncio.to_thread(wait_until_member, Remote(admin_endpoint(admin)))
    process.send_signal(number)
    assert await process.wait() == 0
    await until_all_see(fleet, 1, [seed])
    assert seed.views[-1]["left"] == [at]
    os.close(reading)
    os.close(writing)


@pytest.mark.parametrize("what", ["a full disk", "no reader"])
async def test_output_that_cannot_be_written_costs_no_membership(
    what: str, fleet: Fleet, begin: Begin
) -> None:
    seed = await fleet.start(*LOCAL)
    await until(fleet, lambda: seed.view)
    if what == "no reader":
        reading, out = os.pipe()
        os.close(reading)
    elif Path(FULL).exists():  # noqa: ASYNC240 - at once
        out = os.open(FULL, os.O_WRONLY)
    else:
        pytest.skip(f"there is no {FULL} here")
    process = await begin(*agent("127.0.0.1:0", "--seed", str(seed), "--json"), stdout=out, stderr=PIPE)
    os.close(out)
    await until_all_see(fleet, 2, [seed])
    # and a view that comes after the first that could not be written
    other = await fleet.start(*LOCAL, "--seed", str(seed))
    await until_all_see(fleet, 3, [seed, other])
    assert process.returncode is None
    process.send_signal(signal.SIGTERM)
    _, complaints = await process.communicate()
    assert process.returncode == 0
    await until_all_see(fleet, 2, [seed, other])
    assert len(seed.views[-1]["left"]) == 1
    said = [line for line in complaints.decode().splitlines() if line.startswith("rapid agent: ")]
    assert len(said) == 2, said
    assert said[0].startswith("rapid agent: cannot write to standard output: ")
    assert said[1].endswith(" lines were not taken from standard output")


async def test_a_hangup_has_it_leave_but_not_where_it_is_ignored(fleet: Fleet, begin: Begin) -> None:
    seed = await fleet.start(*LOCAL)
    await until(fleet, lambda: seed.view)
    hung_up = await fleet.start(*LOCAL, "--seed", str(seed))
    await until_all_see(fleet, 2, [seed])
    hung_up.send(signal.SIGHUP)
    await until(fleet, lambda: hung_up.ended)
    assert (hung_up.status, list(hung_up.last_words)) == (0, [])
    await until_all_see(fleet, 1, [seed])
    assert seed.views[-1]["left"] == [str(hung_up)]
    program = (
        "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN);"
        f"os.execv(sys.executable, [sys.executable, *{agent('127.0.0.1:0', '--json')!r}])"
    )
    under_nohup = await begin("-c", program, stdout=PIPE)
    assert under_nohup.stdout is not None
    assert json.loads(await under_nohup.stdout.readline())["event"] == "listening"
    under_nohup.send_signal(signal.SIGHUP)
    assert json.loads(await under_nohup.stdout.readline())["event"] == "view"
    under_nohup.send_signal(signal.SIGTERM)
    assert [json.loads(line)["event"] async for line in under_nohup.stdout] == ["leaving"]
    assert await under_nohup.wait() == 0
