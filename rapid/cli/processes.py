"""Processes that print lines: what they have said, waiting for it, and their certain end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from abc import ABC, abstractmethod
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Generic, Self, TypeVar

from rapid.errors import RapidError

KILL: signal.Signals = getattr(signal, "SIGKILL", signal.SIGTERM)
"""The signal that ends a process whatever it does; Windows has one way to end another, called SIGTERM."""
_LAST_WORDS = 20
"""Lines of standard error that are kept of a process."""
_LINE_LIMIT = 16 * 1024 * 1024
"""Bytes of one line: a view may name all members."""


class Overdue(RapidError):
    """What was waited for has not come true in time, or cannot any more."""


class Child(ABC):
    """One process, which leads a process group of its own; ``str`` of it is its name for people."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.last_words: deque[str] = deque(maxlen=_LAST_WORDS)
        """The last lines of its standard error."""
        self.ended = False
        """Whether it has ended, and all that it has printed was taken."""

    @abstractmethod
    def take(self, line: bytes) -> None:
        """One line of its standard output."""

    @property
    @abstractmethod
    def has_failed(self) -> bool:
        """Whether it has ended and should not have."""

    @property
    def status(self) -> int | None:
        """The exit status; None while it runs."""
        return self.process.returncode

    def release(self) -> None:
        """Send the line that one started with ``--wait`` waits for."""
        assert self.process.stdin is not None, "it is a pipe"
        self.process.stdin.write(b"\n")

    def kill(self) -> None:
        """``KILL``, on purpose."""
        self.send(KILL)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send(signal.SIGTERM)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to it and, where the system has groups of processes, to all that it has started.

        Nothing is sent when it has ended.
        """
        if not self.ended:
            try:
                if hasattr(os, "killpg"):
                    os.killpg(self.process.pid, number)
                else:
                    self.process.send_signal(number)
            except ProcessLookupError:
                return  # it has ended, and its output is yet to be read


AnyChild = TypeVar("AnyChild", bound=Child)


def _nothing() -> None:
    """What is called for news when nobody wants any."""


class Children(Generic[AnyChild]):
    """Starts processes; on exit none of them lives on.

    Nor does one that was started with ``--tether`` when this process dies in whatever way. ``heard`` is
    called after each line that any of them has printed, and when one has ended.
    """

    def __init__(self, heard: Callable[[], None] = _nothing) -> None:
        self.agents: list[AnyChild] = []
        self._heard = heard
        self._news = asyncio.Event()
        self._listeners: list[asyncio.Task[None]] = []

    async def _begin(
        self,
        made: Callable[[Process], AnyChild],
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
    ) -> AnyChild:
        """Start one, in a session or, on Windows, a group of its own, which Ctrl-C does not reach.

        It is this process that decides then what becomes of the others.
        """
        agent = made(
            await asyncio.create_subprocess_exec(
                *command,
                stdin=PIPE,
                stdout=PIPE,
                stderr=PIPE,
                limit=_LINE_LIMIT,
                start_new_session=True,
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
                env=environment,
            )
        )
        self.agents.append(agent)
        self._listeners.append(asyncio.create_task(self._listen(agent)))
        return agent

    async def _wait(self, condition: Callable[[], object], within: float, missing: Callable[[], str]) -> None:
        """Until the condition holds; Overdue, with what is missing, after ``within`` s.

        Overdue also at once when a process has failed: no good comes of waiting.
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
            agent.send(KILL)
        # a listener may have ended before its process
        await asyncio.gather(*(agent.process.wait() for agent in self.agents))
        await asyncio.gather(*self._listeners, return_exceptions=error is not None)

    def _none_failed(self) -> None:
        for listener in self._listeners:
            if listener.done():
                listener.result()
        for agent in self.agents:
            if agent.has_failed:
                said = "".join(f"\n  {line}" for line in agent.last_words)
                raise Overdue(f"{agent} has ended with status {agent.status}{said}")

    async def _listen(self, agent: AnyChild) -> None:
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
            agent.ended = True
            self._heard()
        finally:
            # who waits looks at why no more is heard, too
            self._news.set()

    def _tell(self) -> None:
        self._news.set()
        self._heard()


async def _gather(stream: asyncio.StreamReader, lines: deque[str]) -> None:
    async for line in stream:
        lines.append(line.decode(errors="replace").rstrip())
