"""Processes of agents: what they print, waiting for it, and their certain end."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from benchmarks.peers.contract import Ready, View, parse

_LAST_WORDS = 5
"""Lines of standard error that are kept of a process."""
_LINE_LIMIT = 16 * 1024 * 1024
"""Bytes of one line: a view may list all members."""
_PORTS = range(20000, 32000)
"""Below those that systems hand out for outgoing connections."""


class Overdue(Exception):
    """What was waited for has not come true in time, or cannot any more."""


class Agent:
    """One process, which leads a process group of its own, and what it has said so far."""

    def __init__(self, name: str, process: Process) -> None:
        self.name = name
        self.process = process
        self.is_ready = False
        self.views: list[View] = []
        self.told: list[dict[str, Any]] = []
        """What it has printed that is no event of the contract."""
        self.last_words: deque[str] = deque(maxlen=_LAST_WORDS)
        self.is_signalled = False
        self.ended = False

    @property
    def size(self) -> int:
        """The size of the newest view; 0 without one."""
        return self.views[-1].size if self.views else 0

    @property
    def status(self) -> int | None:
        """The exit status; None while it runs."""
        return self.process.returncode

    def first(self, size: int, after: float) -> float:
        """When it first had a view of the size, after a time; both unix time. It must have had."""
        return next(view.at for view in self.views if view.size == size and view.at >= after)

    def release(self) -> None:
        """Let it join, where it was started with ``--wait``."""
        assert self.process.stdin is not None, "it is a pipe"
        self.process.stdin.write(b"\n")

    def kill(self) -> None:
        """SIGKILL, on purpose."""
        self.send(signal.SIGKILL)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send(signal.SIGTERM)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to it and to all that it has started. From then on it may end."""
        self.is_signalled = True
        if not self.ended:
            try:
                os.killpg(self.process.pid, number)
            except ProcessLookupError:
                return  # it has ended, and its output is yet to be read

    def take(self, line: bytes) -> None:
        """One line of its standard output."""
        if line == b"ready\n":
            # ``rapid agent --wait``, which listens only once it is released
            self.is_ready = True
            return
        match parse(line):
            case Ready():
                self.is_ready = True
            case View() as view:
                self.views.append(self._compared(view))
            case None:
                self.told.append(json.loads(line))

    def _compared(self, view: View) -> View:
        """With those who are in the view before it and not in this one, where both list their members."""
        before = self.views[-1].members if self.views else None
        if before is None or view.members is None:
            return view
        return replace(view, removed=tuple(sorted({*before} - {*view.members})))


class Fleet:
    """Starts agents; on exit none of them lives on.

    Nor does one that was started with ``--tether`` when this process is killed.
    """

    def __init__(self) -> None:
        self.agents: list[Agent] = []
        self._news = asyncio.Event()
        self._listeners: list[asyncio.Task[None]] = []

    async def start(self, name: str, command: Sequence[str]) -> Agent:
        """Start one, in a session of its own, which Ctrl-C in the terminal does not reach."""
        process = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=PIPE, stderr=PIPE, limit=_LINE_LIMIT, start_new_session=True
        )
        agent = Agent(name, process)
        self.agents.append(agent)
        self._listeners.append(asyncio.create_task(self._listen(agent)))
        return agent

    async def until(
        self, condition: Callable[[Agent], object], agents: Sequence[Agent], within: float, missing: str
    ) -> None:
        """Wait until it holds for each of these; Overdue, with those that are missing, after ``within`` s.

        Overdue also at once when an agent that was sent no signal has ended.
        """
        try:
            async with asyncio.timeout(within):
                while not all(condition(agent) for agent in agents):
                    self._none_failed()
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            late = ", ".join(f"{agent.name} ({agent.size})" for agent in agents if not condition(agent))
            raise Overdue(f"after {within:g} s {missing}: {late}") from None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for agent in self.agents:
            agent.send(signal.SIGKILL)
        await asyncio.gather(*self._listeners, return_exceptions=error is not None)

    def _none_failed(self) -> None:
        for listener in self._listeners:
            if listener.done():
                listener.result()
        for agent in self.agents:
            if agent.ended and not agent.is_signalled:
                said = "".join(f"\n  {line}" for line in agent.last_words)
                raise Overdue(f"{agent.name} has ended with status {agent.status}{said}")

    async def _listen(self, agent: Agent) -> None:
        process = agent.process
        assert process.stdout is not None, "it is a pipe"
        assert process.stderr is not None, "it is a pipe"
        errors = asyncio.create_task(_gather(process.stderr, agent.last_words))
        try:
            async for line in process.stdout:
                agent.take(line)
                self._news.set()
            await errors
            await process.wait()
        finally:
            agent.ended = True
            self._news.set()


async def _gather(stream: asyncio.StreamReader, lines: deque[str]) -> None:
    async for line in stream:
        lines.append(line.decode(errors="replace").rstrip())


def free_addresses(count: int, host: str = "127.0.0.1") -> list[str]:
    """Addresses that nobody listens at by TCP or UDP. Somebody may before they are used."""
    found: list[str] = []
    first = random.choice(_PORTS)
    for offset in range(len(_PORTS)):
        if len(found) == count:
            break
        port = _PORTS[(first + offset) % len(_PORTS)]
        if _is_free(host, port, socket.SOCK_STREAM) and _is_free(host, port, socket.SOCK_DGRAM):
            found.append(f"{host}:{port}")
    return found


def _is_free(host: str, port: int, kind: socket.SocketKind) -> bool:
    with socket.socket(socket.AF_INET, kind) as probe:
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True
