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
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.topology import Host, Network
from rapid.cli.demo import AT_ONCE
from rapid.cli.fleet import Agent, Fleet, Report, named
from rapid.cli.processes import Overdue

PORT = 7400
FORMATION = 120.0
"""Seconds that the processes may take to start and to find each other."""
SETTLING = 3.0
"""Seconds after which each has probed each that it observes, over a stream that has long been open."""
_VIEWS = ("view", "views skipped")
PREFERENCE = -5
"""Niceness: what else this machine is busy with shall not look like a fault of the network."""


class Lab:
    """``count`` agents of one cluster; ``agents[n]`` runs on ``hosts[n]``. Nothing outlives the ``with``."""

    def __init__(self, count: int) -> None:
        self.network = Network(count)
        self.hosts: Sequence[Host] = self.network.hosts
        self.agents: list[Agent] = []
        self._news = asyncio.Event()
        self._fleet = Fleet(heard=self._news.set)
        self._networks = ExitStack()
        self._began = time.time()

    async def __aenter__(self) -> Self:
        self._networks.enter_context(self.network)
        try:
            await self._fleet.__aenter__()
            await self._form()
        except BaseException as error:
            await self.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._fleet.__aexit__(kind, error, trace)
        finally:
            self._networks.close()

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

    def apart(self) -> list[Agent]:
        """Those that are in no view of all."""
        views = [(agent, current(agent)) for agent in self.agents]
        return [agent for agent, view in views if view is None or view["size"] != len(self.hosts)]

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
        await self._formed(lambda: not self.apart())
        await asyncio.sleep(SETTLING)

    async def _formed(self, condition: Callable[[], object]) -> None:
        def missing() -> str:
            apart = self.apart()
            waited = max(map(waiting, self.agents))
            return (
                f"no cluster of {len(self.hosts)} at {named(apart)}; {last_words(apart)}"
                f"{story(self.agents, self._began)}\n  one waited {waited:.1f} s for a processor"
            )

        await self.until(condition, FORMATION, missing)


def current(agent: Agent) -> Report | None:
    """The view that it is in; None where it has been evicted from the last that it told of."""
    standing = [report for report in agent.reports if report["event"] in (*_VIEWS, "evicted")]
    return standing[-1] if standing and standing[-1]["event"] != "evicted" else None


def spans(agent: Agent) -> list[list[Report]]:
    """The views that it has reported, parted where it was evicted or says that it skipped some."""
    found: list[list[Report]] = []
    begins = True
    for report in agent.reports:
        begins |= report["event"] in ("evicted", "views skipped")
        if report["event"] in _VIEWS:
            if begins:
                found.append([])
            found[-1].append(report)
            begins = False
    return found


def waiting(agent: Agent) -> float:
    """For how many seconds its threads, taken together, were ready to run and did not; 0 once it ended."""
    try:
        tasks = list(Path(f"/proc/{agent.process.pid}/task").iterdir())
        return sum(int((task / "schedstat").read_text().split()[1]) for task in tasks) / 1e9
    except OSError:
        return 0.0


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
