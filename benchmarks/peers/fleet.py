"""Processes of agents of any library, and addresses for them."""

from __future__ import annotations

import json
import random
import signal
import socket
from asyncio.subprocess import Process
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from benchmarks.peers.contract import Ready, View, parse
from rapid.cli.processes import Child, Children

_PORTS = range(20000, 32000)
"""Below those that systems hand out for outgoing connections."""


class Agent(Child):
    """One process, and what it has said so far by the contract."""

    def __init__(self, name: str, process: Process) -> None:
        super().__init__(process)
        self.name = name
        self.is_ready = False
        self.views: list[View] = []
        self.told: list[dict[str, Any]] = []
        """What it has printed that is no event of the contract."""
        self.is_signalled = False

    @property
    def size(self) -> int:
        """The size of the newest view; 0 without one."""
        return self.views[-1].size if self.views else 0

    @property
    def has_failed(self) -> bool:
        """Whether it has ended and was sent no signal."""
        return self.ended and not self.is_signalled

    def first(self, size: int, after: float) -> float:
        """When it first had a view of the size, after a time; both unix time. It must have had."""
        return next(view.at for view in self.views if view.size == size and view.at >= after)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to it and to all that it has started. From then on it may end."""
        self.is_signalled = True
        super().send(number)

    def __str__(self) -> str:
        return self.name

    def take(self, line: bytes) -> None:
        """One line of its standard output."""
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


class Fleet(Children[Agent]):
    """Starts agents; on exit none of them lives on."""

    async def start(self, name: str, command: Sequence[str]) -> Agent:
        """Start one."""
        return await self._begin(partial(Agent, name), command)

    async def until(
        self, condition: Callable[[Agent], object], agents: Sequence[Agent], within: float, missing: str
    ) -> None:
        """Wait until it holds for each of these; Overdue, with those that are missing, after ``within`` s.

        Overdue also at once when an agent that was sent no signal has ended.
        """

        def late() -> str:
            names = ", ".join(f"{agent} ({agent.size})" for agent in agents if not condition(agent))
            return f"{missing}: {names}"

        await self._wait(lambda: all(condition(agent) for agent in agents), within, late)


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
