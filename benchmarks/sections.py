"""Which runs may stand beside each other in one table or figure: those that differ in nothing else."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from benchmarks.results import TIMES, VALUES, Values
from benchmarks.runs import Run, Time
from benchmarks.store import FAILED, MISSING, OK


@dataclass(frozen=True, slots=True)
class Conditions:
    """What all runs of a section share. ``code`` is None where commits are compared."""

    experiment: str
    code: str | None
    machine: str
    python: str
    network: str
    options: str

    def __str__(self) -> str:
        options = ", ".join(f"{name} {value:g}" for name, value in json.loads(self.options).items())
        commit = "several commits" if self.code is None else f"commit {self.code}"
        return f"{commit}; {self.machine}; {self.python}; network: {self.network}; {options}"


class Cell:
    """All runs of one system at one size."""

    def __init__(self, label: str, nodes: int, runs: Sequence[Run]) -> None:
        self.label = label
        self.nodes = nodes
        self.runs = runs
        self.counted = [run for run in runs if run.counts]
        """Those that were tries to the end."""
        outcomes = Counter(run.outcome for run in runs)
        self.outcome = ", ".join(
            outcome if outcome == MISSING else f"{count}" if outcome == OK else f"{count} {outcome}"
            for outcome, count in outcomes.items()
        )
        """How many there were, and what became of them."""

    @cached_property
    def values(self) -> list[Values]:
        """Of each run that went well. The others' problems are told beside them."""
        return [VALUES[run.experiment](run) for run in self.runs if run.outcome == OK]

    @cached_property
    def times(self) -> list[Time]:
        """Of all processes of all runs that were tries to the end, those that failed too."""
        return [time for run in self.counted for time in TIMES[run.experiment](run)]

    def column(self, name: str) -> list[float]:
        """One number of each run that went well and has it."""
        return [values[name] for values in self.values if name in values]

    def problems(self) -> list[str]:
        """Why runs failed or were not made, each once."""
        return list(dict.fromkeys(run.problem for run in self.runs if run.problem))


@dataclass(frozen=True, slots=True)
class Section:
    """One experiment under one set of conditions."""

    conditions: Conditions
    cells: list[Cell]

    def columns(self) -> list[str]:
        """The names of all numbers, in their order."""
        return list(dict.fromkeys(name for cell in self.cells for values in cell.values for name in values))

    def labels(self) -> list[str]:
        """The systems."""
        return list(dict.fromkeys(cell.label for cell in self.cells))

    def sizes(self) -> list[int]:
        """The sizes at which anything was tried, ascending."""
        return sorted({cell.nodes for cell in self.cells if cell.counted})

    def number_of_runs(self) -> str:
        """For captions: the runs that a system has at a size."""
        counts = {len(cell.counted) for cell in self.cells if cell.counted}
        if not counts:
            return "no runs"
        least, most = min(counts), max(counts)
        return f"{most} run{'s' * (most != 1)}" if least == most else f"{least} to {most} runs"

    def failed(self) -> int:
        """Runs that failed."""
        return sum(run.outcome == FAILED for cell in self.cells for run in cell.runs)


def sections(runs: Iterable[Run], *, compare_commits: bool) -> list[Section]:
    """All runs in their sections, in the order of their first runs."""
    found: dict[Conditions, dict[tuple[str, int], list[Run]]] = {}
    for run in runs:
        origin = run.origin
        code = None if compare_commits else origin.code
        conditions = Conditions(
            run.experiment, code, origin.machine, origin.python, origin.network, run.options
        )
        label = f"{run.system} {run.version}" + (f" ({origin.code})" if compare_commits else "")
        found.setdefault(conditions, {}).setdefault((label, run.nodes), []).append(run)
    return [
        Section(conditions, [Cell(*key, alike) for key, alike in sorted(cells.items(), key=_nodes)])
        for conditions, cells in found.items()
    ]


def _nodes(item: tuple[tuple[str, int], object]) -> int:
    return item[0][1]


def spread(values: list[float]) -> str:
    """The median, with the least and the most where there are several; a dash for nothing."""
    if not values:
        return "–"  # noqa: RUF001 - a dash for people
    middle = _digits(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({_digits(min(values))} to {_digits(max(values))})"


def _digits(value: float) -> str:
    """Three digits that count, without an exponent."""
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3f}" if abs(value) < 1 else f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"
