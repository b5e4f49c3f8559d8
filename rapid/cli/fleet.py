"""Many ``rapid agent`` processes on this machine, and what they report."""

from __future__ import annotations

import json
import os
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import Callable, Iterable
from typing import Any

from rapid.agent.sources import configures
from rapid.cli.processes import KILL, Child, Children

Report = dict[str, Any]


class Agent(Child):
    """One process: what it has reported so far, in order."""

    def __init__(self, process: Process) -> None:
        super().__init__(process)
        self.is_killed = False
        self.endpoint: str | None = None
        self.reports: list[Report] = []
        self.views: list[Report] = []

    @property
    def is_ready(self) -> bool:
        """Whether it listens."""
        return self.endpoint is not None

    @property
    def view(self) -> Report | None:
        """The newest view."""
        return self.views[-1] if self.views else None

    @property
    def size(self) -> int:
        """The size of the newest view; 0 without one."""
        return self.views[-1]["size"] if self.views else 0

    @property
    def has_failed(self) -> bool:
        """Whether it has ended by itself with an error."""
        return self.ended and self.status != 0 and not self.is_killed

    def events(self, name: str) -> list[Report]:
        """All reports of one kind."""
        return [report for report in self.reports if report["event"] == name]

    def send(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        self.is_killed |= number is KILL
        super().send(number)

    def __str__(self) -> str:
        return self.endpoint or f"process {self.process.pid}"

    def take(self, line: bytes) -> None:
        """One line of its standard output."""
        report: Report = json.loads(line)
        self.reports.append(report)
        match report["event"]:
            case "listening":
                self.endpoint = report["endpoint"]
            case "view":
                self.views.append(report)
            case "views skipped":
                # it holds this view, but was not told how it came to be
                self.views.append({"joined": [], "removed": [], "left": [], **report})


class Fleet(Children[Agent]):
    """Starts agents; on exit, and when this process dies in whatever way, none of them lives on."""

    async def start(self, *options: str) -> Agent:
        """Start ``rapid agent --json`` with more options."""
        command = (sys.executable, "-m", "rapid", "agent", "--json", "--tether", *options)
        # its configuration is in its options
        environment = {name: value for name, value in os.environ.items() if not configures(name)}
        return await self._begin(Agent, command, environment)

    async def until(self, condition: Callable[[], object], within: float, missing: Callable[[], str]) -> None:
        """Wait for a condition on what the agents report; Overdue, with what is missing, after ``within`` s.

        Overdue also at once when an agent has ended by itself with an error.
        """
        await self._wait(condition, within, missing)


def named(agents: Iterable[Agent], most: int = 5) -> str:
    """Some agents, for messages to people."""
    names = [str(agent) for agent in agents]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
