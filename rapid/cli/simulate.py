"""``rapid simulate``: many seeds, each a small cluster under its own faults, until a promise is broken."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice

from rapid.cli import studies
from rapid.cli.studies import jobs
from rapid.simulation.swarm import Outcome, never_occurred, run_seed

TWICE = 20
"""One seed of this many runs twice: the same events must happen again."""
TRACE = 60


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``rapid simulate``."""
    parser.description = (
        "Run clusters under a virtual clock, with sizes, settings and faults drawn from each seed, and check"
        " the protocol's promises after every event. Stops at the first broken one."
    )
    add = parser.add_argument
    add(
        "--seeds",
        type=seeds,
        default=range(100),
        metavar="FIRST-LAST",
        help="which seeds, or one seed (0-99)",
    )
    add("--jobs", type=jobs, default=1, metavar="N", help="processes to use (%(default)s)")
    add("--coverage", type=int, default=1000, metavar="N",
        help="fail when some fault or path never occurred in N seeds or more (%(default)s)")  # fmt: skip
    add(
        "--canary",
        action="store_true",
        help="add an invariant that is false, to see that violations are found",
    )
    add("--json", action="store_true", help="print the summary as one JSON object")
    studies.configure(parser)


def run(args: argparse.Namespace) -> int:
    """Exit status 0 when every promise held and everything occurred; 1 when not."""
    if args.study is not None:
        return studies.run(args)
    stats: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    done = 0
    for outcome, again in _outcomes(args.seeds, args.jobs, args.canary):
        done += 1
        stats.update(outcome.stats)
        faults.update(outcome.faults)
        problem = outcome.problem
        if again is not None and again != outcome.hash:
            problem = f"seed {outcome.seed}: ran differently the second time: {outcome.hash}, then {again}"
        if problem is not None:
            _report(outcome, problem, args.canary)
            return 1
    first = args.seeds[0]
    here, elsewhere = run_seed(first).hash, _hash_elsewhere(first)
    if here != elsewhere:
        print(f"seed {first}: {here} here, {elsewhere} under another PYTHONHASHSEED", file=sys.stderr)
        return 1
    missing = never_occurred(stats, faults)
    _summary(done, stats, faults, missing, args.json)
    return 1 if missing and done >= args.coverage else 0


def seeds(text: str) -> range:
    """``FIRST-LAST`` or one number, as an option's value."""
    first, dash, last = text.partition("-")
    if any(not (part.isascii() and part.isdigit()) for part in ((first, last) if dash else (first,))):
        raise argparse.ArgumentTypeError(f"{text!r} is no range such as 0-99")
    found = range(int(first), int(last or first) + 1)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is empty")
    return found


def _task(task: tuple[int, bool]) -> tuple[Outcome, str | None]:
    seed, canary = task
    outcome = run_seed(seed, canary=canary)
    return outcome, run_seed(seed, canary=canary).hash if seed % TWICE == 0 else None


def _outcomes(numbers: range, processes: int, canary: bool) -> Iterator[tuple[Outcome, str | None]]:
    """In the order of the seeds, whatever finishes first."""
    tasks = ((seed, canary) for seed in numbers)
    if processes == 1:
        yield from map(_task, tasks)
        return
    with ProcessPoolExecutor(processes) as pool:
        # a bounded number at a time, so that a violation does not wait for all the other seeds
        while batch := list(islice(tasks, 50 * processes)):
            yield from pool.map(_task, batch, chunksize=5)


def _hash_elsewhere(seed: int) -> str:
    program = f"from rapid.simulation.swarm import run_seed; print(run_seed({seed}).hash)"
    environment = {**os.environ, "PYTHONHASHSEED": "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def _report(outcome: Outcome, problem: str, canary: bool) -> None:
    print(f"The last events of seed {outcome.seed}:")
    for line in outcome.trace[-TRACE:]:
        print(f"  {line}")
    command = f"rapid simulate --seeds {outcome.seed}{' --canary' if canary else ''}"
    print(f"\n{problem}\nto see it again: {command}")


def _summary(done: int, stats: Counter[str], faults: Counter[str], missing: list[str], as_json: bool) -> None:
    if as_json:
        counts = dict(sorted(stats.items()))
        summary = {
            "seeds": done,
            "faults": dict(sorted(faults.items())),
            "counts": counts,
            "missing": missing,
        }
        print(json.dumps(summary))
        return
    print(f"{done} seeds, every promise held")
    for title, counts in (("faults", faults), ("what happened", stats)):
        print(f"\n{title}:")
        for name, count in sorted(counts.items()):
            print(f"  {count:>12,}  {name}")
    if missing:
        print(f"\nnever occurred: {', '.join(missing)}")
