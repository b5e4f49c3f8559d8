"""Many ``rapid agent`` processes on this machine, what they print, and their certain end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self

from rapid.agent.sources import configures
from rapid.errors import RapidError

Report = dict[str, Any]
_LAST_WORDS = 20
"""Lines of standard error that are kept of a process."""
_LINE_LIMIT = 16 * 1024 * 1024
"""Bytes of one line: a view names all members."""


class Overdue(RapidError):
    """What was waited for has not come true in time, or cannot any more."""


def _nothing() -> None:
    """What is called for news when nobody wants any."""


class Agent:
    """One process: what it has reported so far, in order."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.is_ready = False
        self.is_killed = False
        self.endpoint: str | None = None
        self.reports: list[Report] = []
        self.views: list[Report] = []
        self.last_words: deque[str] = deque(maxlen=_LAST_WORDS)
        self.ended = False

    @property
    def view(self) -> Report | None:
        """The newest view."""
        return self.views[-1] if self.views else None

    @property
    def size(self) -> int:
        """The size of the newest view; 0 without one."""
        return self.views[-1]["size"] if self.views else 0

    @property
    def status(self) -> int | None:
        """The exit status; None while it runs."""
        return self.process.returncode

    def events(self, name: str) -> list[Report]:
        """All reports of one kind."""
        return [report for report in self.reports if report["event"] == name]

    def release(self) -> None:
        """Send the line that an agent started with ``--wait`` waits for."""
        assert self.process.stdin is not None, "it is a pipe"
        self.process.stdin.write(b"\n")

    def kill(self) -> None:
        """SIGKILL, on purpose."""
        self.is_killed = True
        self.send(signal.SIGKILL)

    def terminate(self) -> None:
        """SIGTERM: it leaves and ends."""
        self.send(signal.SIGTERM)

    def send(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        if self.status is None:
            self.process.send_signal(number)

    def __str__(self) -> str:
        return self.endpoint or f"process {self.process.pid}"

    def take(self, line: bytes) -> None:
        """One line of its standard output."""
        report: Report = json.loads(line)
        if report["event"] == "ready":
            self.is_ready = True
            return
        self.reports.append(report)
        match report["event"]:
            case "listening":
                self.endpoint = report["endpoint"]
            case "view":
                self.views.append(report)
            case "views skipped":
                # it holds this view, but was not told how it came to be
                self.views.append({"joined": [], "removed": [], "left": [], **report})


class Fleet:
    """Starts agents; on exit, and when this process dies in whatever way, none of them lives on.

    ``heard`` is called after each line that any of them has printed, and when one has ended.
    """

    def __init__(self, heard: Callable[[], None] = _nothing) -> None:
        self.agents: list[Agent] = []
        self._heard = heard
        self._news = asyncio.Event()
        self._listeners: list[asyncio.Task[None]] = []

    async def start(self, *options: str) -> Agent:
        """Start ``rapid agent --json`` with more options, in a session of its own.

        Ctrl-C in the terminal then reaches only this process, which decides what becomes of the others.
        """
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "rapid",
            "agent",
            "--json",
            "--tether",
            *options,
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            limit=_LINE_LIMIT,
            start_new_session=True,
            # its configuration is in its options
            env={name: value for name, value in os.environ.items() if not configures(name)},
        )
        agent = Agent(process)
        self.agents.append(agent)
        self._listeners.append(asyncio.create_task(self._listen(agent)))
        return agent

    async def until(self, condition: Callable[[], object], within: float, missing: Callable[[], str]) -> None:
        """Wait for a condition on what the agents report; Overdue, with what is missing, after ``within`` s.

        Overdue also at once when an agent has ended by itself with an error: no good comes of waiting.
        """
        try:
            async with asyncio.timeout(within):
                while not condition():
                    self._none_failed()
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise Overdue(f"after {within:g} s: {missing()}") from None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._heard = _nothing
        for agent in self.agents:
            agent.send(signal.SIGKILL)
        await asyncio.gather(*self._listeners, return_exceptions=error is not None)

    def _none_failed(self) -> None:
        for listener in self._listeners:
            if listener.done():
                listener.result()
        for agent in self.agents:
            if agent.ended and agent.status != 0 and not agent.is_killed:
                said = "".join(f"\n  {line}" for line in agent.last_words)
                raise Overdue(f"{agent} has ended with status {agent.status}{said}")

    async def _listen(self, agent: Agent) -> None:
        process = agent.process
        assert process.stdout is not None, "it is a pipe"
        assert process.stderr is not None, "it is a pipe"
        errors = asyncio.create_task(_gather(process.stderr, agent.last_words))
        try:
            async for line in process.stdout:
                agent.take(line)
                self._tell()
            await errors
            await process.wait()
        finally:
            agent.ended = True
            self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._heard()


async def _gather(stream: asyncio.StreamReader, lines: deque[str]) -> None:
    async for line in stream:
        lines.append(line.decode(errors="replace").rstrip())


def named(agents: Iterable[Agent], most: int = 5) -> str:
    """Some agents, for messages to people."""
    names = [str(agent) for agent in agents]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
