"""How far a long piece of work is, on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from typing import TypeVar

T = TypeVar("T")
QUIET = 2.0
"""Seconds between two lines, where there is no terminal for a bar."""


def followed(results: Iterable[T], total: int, what: str) -> Iterator[T]:
    """Pass the results on as they come; show how many of ``total`` there are.

    A bar on a terminal where rich is installed, gone at the end; otherwise a line now and then, none
    for what takes less than two seconds.
    """
    if sys.stderr.isatty() and find_spec("rich") is not None:
        yield from _bar(results, total, what)
        return
    last = time.monotonic()
    for done, result in enumerate(results, start=1):
        if time.monotonic() - last >= QUIET:
            last = time.monotonic()
            print(f"{what}: {done} of {total}", file=sys.stderr, flush=True)
        yield result


def _bar(results: Iterable[T], total: int, what: str) -> Iterator[T]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    text = TextColumn("{task.description}", markup=False)
    columns = (text, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield from progress.track(results, total=total, description=what)
