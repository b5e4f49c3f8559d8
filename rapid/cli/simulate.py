"""``rapid simulate``: many seeds, each a small cluster under its own faults, until a promise is broken."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice, takewhile
from math import inf

from rapid.cli import studies
from rapid.cli.studies import jobs
from rapid.cli.workers import pool
from rapid.errors import RapidError
from rapid.simulation.outcome import Outcome
from rapid.simulation.worlds import never_occurred, run_seed

TWICE = 20
"""One seed of this many runs twice, the second time under another PYTHONHASHSEED: the same must happen."""
TRACE = 60
SEEDS = range(100)
COVERAGE = 1000


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
        metavar="FIRST-LAST",
        help="which seeds, or one seed (0-99)",
    )
    add("--jobs", type=jobs, default=1, metavar="N", help="processes to use (%(default)s)")
    add("--for", dest="budget", type=float, default=inf, metavar="SECONDS",
        help="begin no more seeds after this long")  # fmt: skip
    add("--coverage", type=int, metavar="N",
        help=f"fail when some fault or path never occurred in N seeds or more ({COVERAGE})")  # fmt: skip
    add(
        "--canary",
        action="store_true",
        help="add an invariant that is false, to see that violations are found",
    )
    add("--json", action="store_true", help="print the summary as one JSON object")
    studies.configure(parser)


def run(args: argparse.Namespace) -> int:
    """Exit status 0 when every promise held and everything occurred; 1 when not; 2 for a misplaced option."""
    if args.study is not None:
        given = {
            "--seeds": args.seeds is not None,
            "--for": args.budget < inf,
            "--coverage": args.coverage is not None,
            "--canary": args.canary,
        }
        if misplaced := [option for option, there in given.items() if there]:
            print(
                f"rapid simulate {args.study}: {misplaced[0]} is for random worlds; a study takes only --jobs"
                f" and --json before its name, and after it --seed N and its own options",
                file=sys.stderr,
            )
            return 2
        return studies.run(args)
    numbers = SEEDS if args.seeds is None else args.seeds
    coverage = COVERAGE if args.coverage is None else args.coverage
    stats: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    hashes: dict[int, str] = {}
    done = 0
    for outcome in _outcomes(numbers, args.jobs, args.canary, time.monotonic() + args.budget):
        done += 1
        stats.update(outcome.stats)
        faults.update(outcome.faults)
        if outcome.problem is not None:
            _report(outcome, args.canary)
            return 1
        if (outcome.seed - numbers[0]) % TWICE == 0:
            hashes[outcome.seed] = outcome.hash
    for seed, again in _elsewhere(list(hashes), args.jobs):
        if hashes[seed] != again:
            print(f"seed {seed}: {hashes[seed]} here, {again} under another PYTHONHASHSEED", file=sys.stderr)
            return 1
    missing = never_occurred(stats, faults)
    _summary(done, stats, faults, missing, args.json)
    return 1 if missing and done >= coverage else 0


def seeds(text: str) -> range:
    """``FIRST-LAST`` or one number, as an option's value."""
    first, dash, last = text.partition("-")
    if any(not (part.isascii() and part.isdigit()) for part in ((first, last) if dash else (first,))):
        raise argparse.ArgumentTypeError(f"{text!r} is no range such as 0-99")
    found = range(int(first), int(last or first) + 1)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is empty")
    return found


def _task(task: tuple[int, bool]) -> Outcome:
    seed, canary = task
    return run_seed(seed, canary=canary)


def _outcomes(numbers: range, processes: int, canary: bool, until: float) -> Iterator[Outcome]:
    """In the order of the seeds, whatever finishes first."""
    tasks = takewhile(lambda _: time.monotonic() < until, ((seed, canary) for seed in numbers))
    if processes == 1:
        yield from map(_task, tasks)
        return
    with pool(processes) as workers:
        # a bounded number at a time, so that a violation does not wait for all the other seeds
        while batch := list(islice(tasks, 50 * processes)):
            yield from workers.map(_task, batch, chunksize=5)


def _elsewhere(numbers: list[int], processes: int) -> Iterator[tuple[int, str]]:
    """The same seeds once more, in other processes that hash otherwise."""
    other = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    shares = [share for at in range(processes) if (share := numbers[at::processes])]
    running = []
    for share in shares:
        program = (
            "import signal; from rapid.simulation.worlds import run_seed\n"
            "signal.signal(signal.SIGINT, signal.SIG_DFL)\n"
            f"for seed in {share}: print(seed, run_seed(seed).hash)"
        )
        running.append(
            subprocess.Popen(
                [sys.executable, "-c", program],
                env={**os.environ, "PYTHONHASHSEED": other},
                stdout=subprocess.PIPE,
                text=True,
            )
        )
    for process in running:
        printed, _ = process.communicate()
        if process.returncode:
            raise RapidError(f"seeds {numbers} did not run again: exit status {process.returncode}")
        for line in printed.splitlines():
            seed, _, found = line.partition(" ")
            yield int(seed), found


def _report(outcome: Outcome, canary: bool) -> None:
    print(f"The last events of seed {outcome.seed}:")
    for line in outcome.trace[-TRACE:]:
        print(f"  {line}")
    command = f"rapid simulate --seeds {outcome.seed}{' --canary' if canary else ''}"
    print(f"\n{outcome.problem}\nto see it again: {command}")


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
