"""One cluster of real processes: it forms, is measured, and ends."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.meter import Moment, measure
from benchmarks.peers.fleet import Agent, Fleet, free_addresses
from benchmarks.peers.registry import Peer
from benchmarks.progress import Progress
from benchmarks.store import Process
from benchmarks.topology import Host, Network

AT_ONCE = 8
"""Processes that are starting at the same time: more of them just wait for the processors."""
_LOOK = 0.25
"""Seconds between two looks at how far it is, for the progress bar."""

FOUNDER, JOINER, RESTARTED, SERVER = "founder", "joiner", "restarted", "server"
FAULTY = "faulty"
"""A joiner that the network's fault has struck."""
_PORT = 7400
"""Of each process, where each has an address of its own."""


@dataclass(slots=True)
class Taking:
    """A process that takes part."""

    agent: Agent
    role: str
    started: float
    killed: float | None = None


class Trial:
    """What an experiment can do with one cluster of a peer. Each step raises Overdue after ``limit`` s.

    With a ``network`` each process is on a host of it, a server among them; without, all are on loopback.
    """

    def __init__(
        self, fleet: Fleet, peer: Peer, nodes: int, limit: float, seed: int, data: Path, progress: Progress,
        network: Network | None = None,
    ) -> None:  # fmt: skip
        self.peer = peer
        self.nodes = nodes
        self.limit = limit
        self.random = random.Random(seed)
        self.moments: list[Moment] = []
        self._fleet = fleet
        self._data = data
        self._progress = progress
        self._network = network
        self._hosts = {f"{host.address}:{_PORT}": host for host in network.hosts} if network else {}
        self._takings: list[Taking] = []
        self._seed = ""

    @property
    def members(self) -> list[Agent]:
        """All that nobody has ended."""
        return [taking.agent for taking in self._takings if taking.killed is None and taking.role != SERVER]

    @property
    def joiners(self) -> list[Agent]:
        """The same without the founder, whom the others may need as a seed."""
        return self.members[1:]

    def processes(self) -> list[Process]:
        """All that took part, with everything they have reported."""
        return [
            Process(
                taking.agent.name, taking.role, taking.started, taking.killed, taking.agent.process.pid,
                tuple((view.at, view.size) for view in taking.agent.views),
                tuple((view.at, name) for view in taking.agent.views for name in view.removed),
            )
            for taking in self._takings
        ]  # fmt: skip

    def measure(self, name: str, *, memory: bool = False) -> Moment:
        """Note everything that can be counted, under a name."""
        groups = [taking.agent.process.pid for taking in self._takings if taking.killed is None]
        moment = measure(name, groups, memory=memory)
        if self._network is not None:
            # what loopback has carried is nothing of theirs
            moment = replace(moment, traffic=None)
        self.moments.append(moment)
        return moment

    async def form(self) -> None:
        """All are started first, and then released at once: the moments ``released`` and ``formed``."""
        addresses = await self._addressed()
        for address in addresses:
            starting = [agent for agent in self.members if not agent.is_ready]
            while len(starting) >= AT_ONCE:
                await self.until(lambda agent: agent.is_ready, starting[:1], "not ready")
                starting = [agent for agent in starting if not agent.is_ready]
            await self.start(address, JOINER if self.members else FOUNDER)
            self._progress.step("starting", len(self.members), self.nodes)
        await self.until(lambda agent: agent.is_ready, self.members, "not ready")
        founder, *joiners = self.members
        founder.release()
        await self.until(lambda agent: agent.size == 1, [founder], "no view of itself")
        self.measure("released")
        for agent in joiners:
            agent.release()
        await self.agree(self.nodes)
        self.measure("formed")

    async def form_cold(self) -> None:
        """All are started at once and wait for nothing: the moments ``started`` and ``formed``.

        The former is just before the first is started. A server is there before.
        """
        addresses = await self._addressed()
        self.measure("started")
        for address in addresses:
            await self.start(address, JOINER if self.members else FOUNDER, wait=False)
            self._progress.step("starting", len(self.members), self.nodes)
        await self.agree(self.nodes)
        self.measure("formed")

    async def _addressed(self) -> list[str]:
        """The addresses of all members, the founder's first. A server is started, and is everyone's seed."""
        addresses = list(self._hosts) or free_addresses(self.nodes + self.peer.needs_server)
        self._seed = addresses[0]
        if self.peer.needs_server:
            del addresses[0]
            command = self.peer.server_command(self._seed, self._data, "--tether")
            server = await self._take("server", SERVER, command, self._hosts.get(self._seed))
            await self.until(lambda agent: agent.is_ready, [server], "not ready")
        return addresses

    async def start(self, address: str, role: str, *, wait: bool = True) -> Agent:
        """Start one that waits to be released, or does not ``wait`` and joins as soon as it can."""
        options = ["--wait", "--tether"] if wait else ["--tether"]
        if self._network is None:
            # who is in the views is worth its cost only where the wrong one may be removed
            options.append("--no-members")
        if self.peer.gives_up:
            # the others try to join for ever
            options += ["--join-timeout", f"{self.limit:g}"]
        command = self.peer.command(address, [self._seed], *options)
        return await self._take(address, role, command, self._hosts.get(address))

    def strike(self) -> Host:
        """Choose the joiner that is to be struck: the moment ``struck``. Only on a network."""
        victim = self.random.choice([taking for taking in self._takings if taking.role == JOINER])
        victim.role = FAULTY
        # a library may end the process that it finds cut off
        victim.agent.is_signalled = True
        self.measure("struck")
        return self._hosts[victim.agent.name]

    def impose(self, *rules: str) -> None:
        """Let these faults of the network, and no others, be in force from now on."""
        assert self._network is not None, "the experiment says that it needs one"
        self._network.impose(*rules)

    def kill(self, agents: Sequence[Agent]) -> None:
        """SIGKILL to all of these."""
        self._ended(agents)
        for agent in agents:
            agent.kill()

    def freeze(self, agents: Sequence[Agent]) -> None:
        """SIGSTOP to all of these: they say nothing any more, and the host refuses nothing for them."""
        self._ended(agents)
        for agent in agents:
            agent.send(signal.SIGSTOP)

    async def stop(self, agent: Agent) -> None:
        """Let one leave in its library's own way, until its process has ended."""
        self._ended([agent])
        agent.send(self.peer.graceful)
        await self.until(lambda agent: agent.ended, [agent], "not ended")

    async def agree(self, size: int) -> None:
        """Until the newest view of each member has this size."""
        await self.until(lambda agent: agent.size == size, self.members, f"no view of {size}")

    async def until(self, condition: Callable[[Agent], bool], agents: Sequence[Agent], missing: str) -> None:
        """Until it holds for each."""
        looking = asyncio.create_task(self._look(condition, agents, missing))
        try:
            await self._fleet.until(condition, agents, self.limit, missing)
        finally:
            looking.cancel()

    async def wait(self, seconds: float, why: str) -> None:
        """Let time pass."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._progress.step(why, seconds - left, seconds)
            await asyncio.sleep(min(_LOOK, left))

    async def _take(self, name: str, role: str, command: Sequence[str], host: Host | None) -> Agent:
        started = time.time()
        with self._network.within(host) if self._network and host else nullcontext():
            agent = await self._fleet.start(name, command)
        self._takings.append(Taking(agent, role, started))
        return agent

    def _ended(self, agents: Sequence[Agent]) -> None:
        now = time.time()
        for taking in self._takings:
            if taking.agent in agents:
                taking.killed = now

    async def _look(self, condition: Callable[[Agent], bool], agents: Sequence[Agent], missing: str) -> None:
        while True:
            self._progress.step(f"waiting ({missing})", sum(map(condition, agents)), len(agents))
            await asyncio.sleep(_LOOK)
