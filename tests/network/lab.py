"""One agent a host on a network that can be broken, and waiting for what the agents report.

All agents read the clock of this machine, so the times in their reports compare with each other's and
with those of what was done to them.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from types import TracebackType
from typing import Self

from rapid.cli.demo import AT_ONCE
from rapid.cli.fleet import Agent, Fleet, Overdue, Report, named

from .topology import Host, Network

PORT = 7400
FORMATION = 120.0
"""Seconds that the processes may take to start and to find each other."""
SETTLING = 3.0
"""Seconds after which each has probed each that it observes, over a stream that has long been open."""
PREFERENCE = -5
"""Niceness: what else this machine is busy with shall not look like a fault of the network."""
_TICK = 0.1


class Lab:
    """``count`` agents of one cluster; ``agents[n]`` runs on ``hosts[n]``. Nothing outlives the ``with``."""

    def __init__(self, count: int) -> None:
        self.network = Network(count)
        self.hosts: Sequence[Host] = self.network.hosts
        self.agents: list[Agent] = []
        self._news = asyncio.Event()
        self._fleet = Fleet(heard=self._news.set)
        self._networks = ExitStack()
        self._clock: asyncio.Task[None] | None = None
        self._late = 0.0
        self._began = time.time()

    async def __aenter__(self) -> Self:
        self._networks.enter_context(self.network)
        try:
            await self._fleet.__aenter__()
            self._clock = asyncio.create_task(self._notice_stalls())
            await self._form()
        except BaseException as error:
            await self.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._clock is not None:
                self._clock.cancel()
            await self._fleet.__aexit__(kind, error, trace)
        finally:
            self._networks.close()

    @property
    def lateness(self) -> str:
        """For people, who must know whether the machine stood still for longer than a probe may take."""
        return f"this process, on the same processors, ran up to {self._late:.3f} s late"

    def impose(self, *rules: str) -> float:
        """Let these faults, and no others, be in force from now on; the unix time of it."""
        self.network.impose(*rules)
        return time.time()

    async def until(self, condition: Callable[[], object], within: float, missing: Callable[[], str]) -> None:
        """Wait for a condition on what the agents report; Overdue, with what is missing, after ``within`` s.

        What the condition raises ends the wait.
        """
        if not await self._watch(condition, within):
            raise Overdue(f"after {within:g} s: {missing()}")

    async def throughout(self, seconds: float, check: Callable[[], None]) -> None:
        """Call ``check``, which raises when something is wrong, at all that is reported in this time."""
        await self._watch(check, seconds)
        check()

    async def _watch(self, condition: Callable[[], object], seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return bool(condition())
        return True

    async def _notice_stalls(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _TICK
            await asyncio.sleep(_TICK)
            self._late = max(self._late, loop.time() - due)

    async def _form(self) -> None:
        """Have all processes ready before any of them joins: their start takes the processors for itself."""
        for host in self.hosts:
            seed = ("--seed", str(self.agents[0])) if self.agents else ()
            with self.network.within(host):
                agent = await self._fleet.start("--wait", "--listen", f"{host.address}:{PORT}", *seed)
            self.agents.append(agent)
            if agent is self.agents[0]:
                agent.release()
                await self._formed(lambda: self.agents[0].view)
            await self._formed(lambda: sum(not agent.is_ready for agent in self.agents) < AT_ONCE)
        await self._formed(lambda: all(agent.is_ready for agent in self.agents))
        for agent in self.agents:
            with suppress(PermissionError):  # then they compete on even terms
                # each leads a group of its own, and as a group all its threads are meant
                os.setpriority(os.PRIO_PGRP, agent.process.pid, PREFERENCE)
        for agent in self.agents[1:]:
            agent.release()
        count = len(self.agents)
        await self._formed(lambda: all(agent.size == count for agent in self.agents))
        await asyncio.sleep(SETTLING)

    async def _formed(self, condition: Callable[[], object]) -> None:
        def missing() -> str:
            apart = [agent for agent in self.agents if agent.size != len(self.hosts)]
            return (
                f"no cluster of {len(self.hosts)} at {named(apart)}; {last_words(apart)}"
                f"{story(self.agents, self._began)}\n  {self.lateness}"
            )

        await self.until(condition, FORMATION, missing)


def current(agent: Agent) -> Report | None:
    """The view that it is in; None where it has been evicted from the last that it told of."""
    standing = [report for report in agent.reports if report["event"] in ("view", "evicted")]
    return standing[-1] if standing and standing[-1]["event"] == "view" else None


def lives(agent: Agent) -> list[list[Report]]:
    """The views that the process has reported as one member, and as the next after each eviction."""
    found: list[list[Report]] = [[]]
    for report in agent.reports:
        if report["event"] == "evicted":
            found.append([])
        elif report["event"] == "view":
            found[-1].append(report)
    return [views for views in found if views]


def story(agents: Sequence[Agent], since: float) -> str:
    """All that they have reported since then: each thing once, with when and by whom."""
    told: dict[str, list[tuple[float, Agent]]] = {}
    for agent in agents:
        for report in agent.reports:
            if report["t"] >= since:
                what = {key: value for key, value in report.items() if key != "t"}
                told.setdefault(json.dumps(what), []).append((report["t"] - since, agent))
    lines = []
    for said, tellers in told.items():
        first, last = min(at for at, _ in tellers), max(at for at, _ in tellers)
        who = named((agent for _, agent in tellers), most=3)
        lines.append((first, f"\n  {first:.3f} s to {last:.3f} s, {len(tellers)} ({who}): {said}"))
    return "".join(line for _, line in sorted(lines))


def last_words(agents: Sequence[Agent]) -> str:
    """How those of them that have ended did so."""
    said = [f"\n  {a}, status {a.status}: {' / '.join(a.last_words)}" for a in agents if a.ended]
    return "".join(said) or "none has ended"
