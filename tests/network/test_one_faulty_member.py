"""One member with bad links, a broken health check or an unread pipe has nobody else removed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import pytest

from benchmarks.topology import Host, between

from .lab import PORT, Lab
from .watch import Watch

pytestmark = [
    pytest.mark.network,
    pytest.mark.timeout(600),
    pytest.mark.parametrize("members", [5], indirect=True),
]

FAULTY = 1
LONG = 40.0
"""Seconds in which a fault would have had others removed several times over."""
PIPE_SIZE = 4096
NEVER = """
import asyncio, sys, rapid

async def never(member):
    await asyncio.Event().wait()

async def main():
    async with rapid.Cluster(sys.argv[1], seeds=[sys.argv[2]], prober=never) as cluster:
        async for _ in cluster.changes():
            pass

asyncio.run(main())
"""
Begin = Callable[..., Awaitable[Process]]


@pytest.fixture
async def begin(lab: Lab) -> AsyncIterator[Begin]:
    """Starts a process on one of the hosts; its streams are the test's own."""
    begun: list[Process] = []

    async def begin(host: Host, *arguments: str, stdout: int) -> Process:
        with lab.network.within(host):
            process = await asyncio.create_subprocess_exec(
                sys.executable, *arguments, stdin=DEVNULL, stdout=stdout, stderr=DEVNULL
            )
        begun.append(process)
        return process

    yield begin
    for process in begun:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def sizes(lab: Lab) -> set[int]:
    return {views[-1]["size"] for agent in lab.agents if (views := agent.views)}


@pytest.mark.parametrize("both", [True, False], ids=["both ways", "to the member only"])
@pytest.mark.parametrize("bad", [(0, 2), (2, 3), (3, 4)])
async def test_two_bad_links_of_one_member(lab: Lab, bad: tuple[int, int], both: bool) -> None:
    watch = Watch(lab, [lab.agents[FAULTY]])
    cut = between([lab.hosts[FAULTY]], [lab.hosts[number] for number in bad])
    lab.impose(*(cut if both else cut[1:]))
    await lab.throughout(LONG, watch.contained)
    lab.impose()
    watch.agreed()


async def test_a_health_check_that_never_answers(lab: Lab, begin: Begin) -> None:
    host = lab.hosts[FAULTY]
    await begin(
        host, "-c", NEVER, f"{host.address}:{PORT + 1}", f"{lab.hosts[0].address}:{PORT}", stdout=DEVNULL
    )
    await lab.until(lambda: sizes(lab) == {6}, 30.0, lambda: f"it has not joined: {sizes(lab)}")
    watch = Watch(lab, [])
    await lab.throughout(LONG, watch.contained)
    watch.agreed()


async def test_an_agent_whose_output_nobody_reads(lab: Lab, begin: Begin) -> None:
    fcntl = pytest.importorskip("fcntl")
    host, seed = lab.hosts[FAULTY], f"{lab.hosts[0].address}:{PORT}"
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
    options = ("-m", "rapid", "agent", "--json", "--seed", seed, "--listen")
    unread = await begin(host, *options, f"{host.address}:{PORT + 1}", stdout=writing)
    os.close(writing)
    await lab.until(lambda: sizes(lab) == {6}, 30.0, lambda: f"it has not joined: {sizes(lab)}")
    watch = Watch(lab, [])
    for number in range(6):  # each tells a view or two, which fill the pipe
        guest = await begin(host, *options, f"{host.address}:{PORT + 2 + number}", stdout=DEVNULL)
        await lab.until(lambda: sizes(lab) == {7}, 30.0, lambda: f"a guest has not joined: {sizes(lab)}")
        guest.send_signal(signal.SIGTERM)
        await lab.until(lambda: sizes(lab) == {6}, 30.0, lambda: f"a guest has not left: {sizes(lab)}")
    unread.send_signal(signal.SIGTERM)
    await lab.until(lambda: sizes(lab) == {5}, 30.0, lambda: f"it has not left: {sizes(lab)}")
    async with asyncio.timeout(10.0):
        assert await unread.wait() == 0
    os.close(reading)
    members = {str(agent) for agent in lab.agents}
    removed = {
        endpoint for agent in lab.agents for view in watch.views(agent) for endpoint in view["removed"]
    }
    assert not removed & members, watch.story()
    watch.agreed()
