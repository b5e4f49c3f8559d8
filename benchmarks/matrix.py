"""Which runs are made, in which order, and each of them from its begin to its end."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from benchmarks import simulated
from benchmarks.experiments import EXPERIMENTS
from benchmarks.peers.fleet import Fleet
from benchmarks.peers.registry import TOOLCHAIN_MISSING, Peer, build_environment, named
from benchmarks.progress import Progress
from benchmarks.store import FAILED, INTERRUPTED, MISSING, OK, Plan, Process, Store
from benchmarks.topology import Network, obstacle
from benchmarks.trial import Trial
from rapid.cli.processes import Overdue
from rapid.errors import RapidError


@dataclass(frozen=True, slots=True)
class Matrix:
    """What is asked for: ``runs`` of every combination; ``sizes`` are of processes, ``simulated`` of none."""

    experiments: Sequence[str]
    peers: Sequence[Peer]
    sizes: Sequence[int]
    simulated: Sequence[int]
    runs: int
    options: Mapping[str, float]
    limit: float

    def plans(self) -> Iterator[Plan]:
        """In order: the systems take turns, so that what changes on the machine meanwhile meets them all.

        The simulated runs come last, when no process is disturbed by them.
        """
        for experiment in self.experiments:
            for nodes in self.sizes:
                for number in range(1, self.runs + 1):
                    for peer in self.peers:
                        yield self._plan(experiment, peer.name, peer.version, nodes, number)
        version = named("rapid").version
        for experiment in self.experiments:
            if experiment in simulated.EXPERIMENTS:
                for nodes in self.simulated:
                    for number in range(1, self.runs + 1):
                        yield self._plan(experiment, simulated.SYSTEM, version, nodes, number)

    def _plan(self, experiment: str, system: str, version: str, nodes: int, number: int) -> Plan:
        options = tuple((name, self.options[name]) for name in EXPERIMENTS[experiment].options)
        return Plan(experiment, system, version, nodes, number, options)


def build(peers: Sequence[Peer], progress: Progress) -> dict[str, str]:
    """Build all that are not built; by name, why it could not be."""
    missing = {}
    for peer in peers:
        progress.begin(f"building {peer.name}")
        command = peer.build_command()
        built = subprocess.run(command, capture_output=True, text=True, env=build_environment(), check=False)
        progress.end()
        if built.returncode == 0:
            continue
        said = [line.strip() for line in built.stderr.splitlines() if line.strip()] or ["it said nothing"]
        if built.returncode == TOOLCHAIN_MISSING:
            missing[peer.name] = said[-1]
        else:
            sys.stderr.write(built.stderr)
            missing[peer.name] = f"its build ended with status {built.returncode}: {said[-1]}"
    return missing


def run_all(
    matrix: Matrix, store: Store, session: int, missing: Mapping[str, str], progress: Progress
) -> dict[str, int]:
    """Make all the runs; how many came to which outcome.

    KeyboardInterrupt ends the present run first, with all that it has measured so far in the file.
    """
    outcomes: dict[str, int] = {}
    on_networks = any(EXPERIMENTS[name].networks for name in matrix.experiments)
    no_networks = obstacle() if on_networks else None
    for plan in matrix.plans():
        progress.begin(str(plan))
        run = store.begin(session, plan)
        problem: str | None = None
        if plan.system in missing:
            outcome, problem = MISSING, missing[plan.system]
            store.end(run, outcome, problem)
        elif no_networks is not None and EXPERIMENTS[plan.experiment].networks:
            outcome, problem = MISSING, f"no network to break: {no_networks}"
            store.end(run, outcome, problem)
        elif plan.system == simulated.SYSTEM:
            progress.step("simulating", 0, 1)
            outcome, problem = _simulate(plan, store, run)
        else:
            outcome, problem = _measure(plan, matrix.limit, store, run, progress)
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
        progress.end(f"{plan}: {outcome}{f': {problem}' if problem else ''}")
    return outcomes


def _measure(plan: Plan, limit: float, store: Store, run: int, progress: Progress) -> tuple[str, str | None]:
    trials: list[Trial] = []
    experiment, peer = EXPERIMENTS[plan.experiment], named(plan.system)

    async def life() -> None:
        with (
            tempfile.TemporaryDirectory() as data,
            Network(plan.nodes + peer.needs_server) if experiment.networks else nullcontext() as network,
        ):
            async with Fleet() as fleet:
                trial = Trial(fleet, peer, plan.nodes, limit, plan.number, Path(data), progress, network)
                trials.append(trial)
                try:
                    await experiment.run(trial, dict(plan.options))
                except Overdue:
                    # what it has cost so far, while its processes are still there
                    trial.measure("failed")
                    raise

    def end(outcome: str, problem: str | None) -> tuple[str, str | None]:
        for trial in trials:
            store.end(run, outcome, problem, trial.processes(), trial.moments)
        return outcome, problem

    try:
        asyncio.run(life())
    except Overdue as overdue:
        return end(FAILED, str(overdue))
    except BaseException as error:
        end(INTERRUPTED, repr(error))
        raise
    return end(OK, None)


def _simulate(plan: Plan, store: Store, run: int) -> tuple[str, str | None]:
    processes: list[Process] = []
    try:
        processes, moments = simulated.EXPERIMENTS[plan.experiment](
            plan.nodes, plan.number, dict(plan.options)
        )
    except RapidError as broken:
        store.end(run, FAILED, str(broken))
        return FAILED, str(broken)
    except BaseException as error:
        store.end(run, INTERRUPTED, repr(error))
        raise
    store.end(run, OK, None, processes, moments)
    return OK, None
