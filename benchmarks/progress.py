"""How far a benchmark is: the runs, and the step of the present one. On standard error."""

from __future__ import annotations

import sys
import time
from importlib.util import find_spec
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

QUIET = 2.0
"""Seconds between two lines, where there is no terminal for bars."""


class Progress:
    """Two bars on a terminal where rich is installed, gone at the end; otherwise a line now and then."""

    def __init__(self, runs: int) -> None:
        self._runs = runs
        self._done = 0
        self._what = ""
        self._last = time.monotonic()
        self._bars: Bars | None = None
        if sys.stderr.isatty() and find_spec("rich") is not None:
            self._bars = _bars()
            self._all = self._bars.add_task("runs", total=runs)
            self._step = self._bars.add_task("")

    def begin(self, what: str) -> None:
        """The next run, or whatever else takes its time."""
        self._what = what
        if self._bars is not None:
            self._bars.update(self._all, description=what)
        self.step("", 0, 1)

    def step(self, what: str, done: float, total: float) -> None:
        """How far the present run's step is."""
        if self._bars is not None:
            self._bars.update(self._step, description=what, completed=done, total=total)
        elif time.monotonic() - self._last >= QUIET:
            self._last = time.monotonic()
            of_runs = f"{self._done + 1} of {self._runs}"
            print(f"{of_runs}: {self._what}: {what} {done:.0f} of {total:.0f}", file=sys.stderr, flush=True)

    def end(self, line: str = "") -> None:
        """It has ended; a line about it, if there is any, on standard output."""
        self._done += 1
        if self._bars is not None:
            self._bars.advance(self._all)
        if line:
            print(line, flush=True)

    def __enter__(self) -> Self:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()


def _bars() -> Bars:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    # what is printed meanwhile goes above the bars, to where it would go without them
    return Bars(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False)
