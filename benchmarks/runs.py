"""Runs as they were stored, for what follows from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.origin import Origin
from benchmarks.store import FAILED, OK, Store
from benchmarks.trial import SERVER

Time = float | None
"""Seconds, or None for never."""


@dataclass(frozen=True, slots=True)
class Process:
    """A process as it was stored."""

    name: str
    role: str
    killed: Time
    views: Sequence[tuple[float, int]]
    removals: Sequence[tuple[float, str]] = ()

    def reached(self, size: int, after: float) -> Time:
        """Seconds from a time until it first reported a size; 0 when it already had before."""
        before = [found for at, found in self.views if at < after]
        if before and before[-1] == size:
            return 0.0
        return next((at - after for at, found in self.views if at >= after and found == size), None)


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment as it was stored: counters, and by process the CPU seconds, RSS and PSS."""

    name: str
    at: float
    bytes: int | None
    packets: int | None
    busy: float | None
    own: float | None
    cpu: dict[int, float]
    memory: dict[int, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Run:
    """A run as it was stored."""

    origin: Origin
    experiment: str
    system: str
    version: str
    nodes: int
    number: int
    options: str
    outcome: str
    problem: str | None
    processes: dict[int, Process]
    moments: list[Moment]

    @property
    def counts(self) -> bool:
        """Whether it was a try to the end: not missing, nor cut short."""
        return self.outcome in (OK, FAILED)

    def at(self, name: str) -> Moment | None:
        """The first moment of the name; None when it did not get that far."""
        return next((moment for moment in self.moments if moment.name == name), None)

    def members(self) -> list[Process]:
        """All processes but a server."""
        return [process for process in self.processes.values() if process.role != SERVER]

    def sizes(self, after: float) -> set[int]:
        """All that anybody has reported since."""
        return {size for process in self.members() for at, size in process.views if at >= after}


def load(store: Store) -> Iterator[Run]:
    """All runs, in the order in which they were made."""
    origins = store.origins()
    found = store.records(
        "select id, session, experiment, system, version, nodes, number, options, outcome, problem"
        " from runs order by id"
    )
    for record in found:
        key, origin = record.pop("id"), origins[record.pop("session")]
        yield Run(origin=origin, processes=_processes(store, key), moments=_moments(store, key), **record)


def _processes(store: Store, run: int) -> dict[int, Process]:
    views: dict[int, list[tuple[float, int]]] = {}
    removals: dict[int, list[tuple[float, str]]] = {}
    for process, at, size in store.rows(
        "select process, at, size from views join processes on process = processes.id where run = ?"
        " order by views.rowid", run,
    ):  # fmt: skip
        views.setdefault(process, []).append((at, size))
    for process, at, name in store.rows(
        "select process, at, removals.name from removals join processes on process = processes.id"
        " where run = ? order by removals.rowid", run,
    ):  # fmt: skip
        removals.setdefault(process, []).append((at, name))
    found = store.records("select id, name, role, killed from processes where run = ? order by id", run)
    return {
        (key := record.pop("id")): Process(
            views=views.get(key, []), removals=removals.get(key, []), **record
        )
        for record in found
    }


def _moments(store: Store, run: int) -> list[Moment]:
    moments: dict[int, Moment] = {}
    for record in store.records(
        "select id, name, at, bytes, packets, busy, own from moments where run = ? order by id", run
    ):
        key = record.pop("id")
        moments[key] = Moment(cpu={}, memory={}, **record)
    for key, process, cpu, rss, pss in store.rows(
        "select moment, process, user + system, rss, pss from samples join moments on moment = moments.id"
        " where run = ?", run,
    ):  # fmt: skip
        moments[key].cpu[process] = cpu
        if rss is not None:
            moments[key].memory[process] = (rss, pss)
    return list(moments.values())
