"""How the demo shows what goes on: a live table, plain lines, or nothing."""

from __future__ import annotations

import argparse
import sys
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from rapid.agent.output import FLUSH, LineWriter
from rapid.agent.printable import printable
from rapid.cli.fleet import Agent

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text


def display_for(args: argparse.Namespace) -> Display:
    """A live table on a terminal, where rich is installed; otherwise lines."""
    if args.json:
        return Nothing()
    if sys.stdout.isatty() and find_spec("rich") is not None:
        return Table()
    return Lines()


class Display(AbstractContextManager["Display"], ABC):
    """Told of every phase, and of the agents whenever one has reported something."""

    @abstractmethod
    def phase(self, text: str) -> None: ...

    @abstractmethod
    def show(self, agents: Sequence[Agent]) -> None: ...

    def __exit__(self, *_: object) -> None:
        return None


class Nothing(Display):
    def phase(self, text: str) -> None:
        pass

    def show(self, agents: Sequence[Agent]) -> None:
        pass


class Lines(Display):
    """A line for each phase, for each view when it is first reported and when all alive have it."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        # who does not read it must not hold up the event loop, which hears the signals
        self._out = LineWriter(
            sys.stdout.fileno(), "standard output", "{} lines are missing here".format, Counter()
        )
        self._first: set[int] = set()
        self._complete: set[int] = set()

    def phase(self, text: str) -> None:
        self._print(text)

    def show(self, agents: Sequence[Agent]) -> None:
        alive = [agent for agent in agents if not agent.is_killed and agent.view is not None]
        newest = max((agent.views[-1]["version"] for agent in alive), default=0)
        for agent in alive:
            view = agent.views[-1]
            if view["version"] == newest and newest not in self._first:
                self._first.add(newest)
                self._print(f"  version {newest}, size {view['size']}: first seen by {agent}")
        have = [agent for agent in alive if agent.views[-1]["version"] == newest]
        if newest not in self._complete and alive and len(have) == have[0].size:
            self._complete.add(newest)
            self._print(f"  version {newest}, size {len(have)}: seen by all")

    def _print(self, text: str) -> None:
        if isinstance(self._out.problem, BrokenPipeError):
            raise self._out.problem
        self._out.write(f"{time.monotonic() - self._begun:8.3f}  {printable(text)}")

    def __exit__(self, *_: object) -> None:
        self._out.close(FLUSH)


class Table(Display):
    """One cell a process: what it last saw. Below, how far each view has come."""

    _STYLES = ("cyan", "green", "magenta", "yellow", "blue")

    def __init__(self) -> None:
        from rich.live import Live

        self._agents: Sequence[Agent] = ()
        self._phases: list[str] = []
        self._begun = time.monotonic()
        self._live = Live(get_renderable=self.rendered, refresh_per_second=12)

    def __enter__(self) -> Table:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def phase(self, text: str) -> None:
        self._phases.append(f"{time.monotonic() - self._begun:8.3f}  {printable(text)}")

    def show(self, agents: Sequence[Agent]) -> None:
        self._agents = agents

    def rendered(self) -> RenderableType:
        """What the terminal shows now."""
        from rich.columns import Columns
        from rich.console import Group
        from rich.text import Text

        versions: dict[int, Any] = {}
        for agent in self._agents:
            if agent.view is not None and not agent.is_killed:
                versions.setdefault(agent.view["version"], []).append(agent)
        progress = [
            Text(f"version {version}, size {have[0].size}: seen by {len(have)}", style=self._style(version))
            for version, have in sorted(versions.items())
        ]
        cells = Columns([self._cell(agent) for agent in self._agents], padding=(0, 3))
        return Group(*map(Text, self._phases), cells, *progress)

    def _cell(self, agent: Agent) -> Text:
        from rich.text import Text

        name = printable(agent.endpoint or "starting")
        if agent.is_killed:
            return Text(f"{name:<15} killed      ", style="red strike")
        if agent.view is None:
            return Text(f"{name:<28}", style="dim")
        version = agent.view["version"]
        return Text(f"{name:<15} v{version:<3} sees {agent.size:<3}", style=self._style(version))

    def _style(self, version: int) -> str:
        return self._STYLES[version % len(self._STYLES)]
