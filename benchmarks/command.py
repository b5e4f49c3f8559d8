"""The options of ``rapid bench``, and what it does with them."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks import matrix, report
from benchmarks.experiments import COLD, EXPERIMENTS, GROUPS
from benchmarks.loopback import SHARED, leave_network
from benchmarks.origin import origin
from benchmarks.peers.registry import PEERS, Peer, named
from benchmarks.progress import Progress
from benchmarks.store import FAILED, MISSING, Store
from rapid.errors import RapidError

FILE = Path("bench.sqlite")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``rapid bench``."""
    parser.description = (
        "Measure clusters of real processes on this machine, of this library and of others, and report"
        " it. docs/benchmarks.md says what each number means."
    )
    parser.epilog = (
        "Exit status: 0 when all went well or could not be built, 1 when a cluster did not do what it"
        " should, 130 when interrupted."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _configure_run(commands.add_parser("run", help="measure", description="Make runs and store all of them."))
    reporting = commands.add_parser(
        "report", help="make figures and tables", description="Write index.html and summary.md."
    )
    reporting.add_argument("db", nargs="?", type=Path, default=FILE, help="what was written (%(default)s)")
    reporting.add_argument(
        "--out", type=Path, default=Path("bench-report"), metavar="DIR", help="made if missing (%(default)s)"
    )
    reporting.add_argument(
        "--compare-commits", action="store_true", help="show different commits in one figure"
    )
    reporting.set_defaults(action=_report)


def run(args: argparse.Namespace) -> int:
    """Exit status as in the epilog above."""
    action: Callable[[argparse.Namespace], int] = args.action
    try:
        return action(args)
    except RapidError as problem:
        print(f"rapid bench: {problem}", file=sys.stderr)
        return 2


def _configure_run(parser: argparse.ArgumentParser) -> None:
    experiments = ", ".join(f"{name}: {experiment.what}" for name, experiment in EXPERIMENTS.items())
    experiments = experiments.replace("%", "%%")  # argparse fills in what follows one
    add = parser.add_argument
    add("experiments", nargs="+", choices=[*EXPERIMENTS, *GROUPS], metavar="EXPERIMENT",
        help=f"all, or some of {experiments}; loss and flipflop are both ways, one after the other,"
        " and need root")  # fmt: skip
    add("--nodes", type=_sizes, default=(50, 100, 200), metavar="N,...",
        help="sizes of the clusters (50,100,200)")  # fmt: skip
    add("--runs", type=_positive, default=5, metavar="N", help="of each combination (%(default)s)")
    add("--peers", type=_peers, default=[named("rapid")], metavar="NAME,...",
        help=f"all, or some of {', '.join(peer.name for peer in PEERS)} (rapid)")  # fmt: skip
    add("--simulated", type=_sizes, default=(), metavar="N,...",
        help="sizes of simulated clusters beside them, such as 100,1000,10000; for bootstrap and"
        " crash (none)")  # fmt: skip
    add("--db", type=Path, default=FILE, metavar="FILE", help="where results are added (%(default)s)")
    add("--limit", type=float, default=120.0, metavar="SECONDS", help="for each step (%(default)g)")
    add("--settle", type=float, default=5.0, metavar="SECONDS",
        help="between two things that are done to a cluster (%(default)g)")  # fmt: skip
    add("--window", type=float, default=60.0, metavar="SECONDS",
        help="how long idle measures (%(default)g)")  # fmt: skip
    add("--part", type=float, default=0.1, metavar="SHARE",
        help="how many crash kills and freeze stops (%(default)g)")  # fmt: skip
    add("--fault", type=float, default=80.0, metavar="SECONDS",
        help="how long loss and flipflop last (%(default)g)")  # fmt: skip
    add("--period", type=float, default=20.0, metavar="SECONDS",
        help="how long flipflop is on, and then off (%(default)g)")  # fmt: skip
    add("--restarts", type=_positive, default=10, metavar="N",
        help="how many members churn restarts at most (%(default)s)")  # fmt: skip
    add("--cold", action="store_true",
        help=f"bootstrap counts from the moment that the processes are started; it is {COLD} in the report,"
        " beside what it is without")  # fmt: skip
    parser.set_defaults(action=_run)


def _run(args: argparse.Namespace) -> int:
    names = _experiments(args.experiments, cold=args.cold)
    options = {
        name: float(getattr(args, name))
        for name in ("settle", "window", "part", "restarts", "fault", "period")
    }
    asked = matrix.Matrix(names, args.peers, args.nodes, args.simulated, args.runs, options, args.limit)
    if not 0 < args.part < 0.5:
        raise RapidError(f"--part {args.part:g}: take more than 0 and less than 0.5, to leave a majority")
    if args.period <= 0:
        raise RapidError(f"--period {args.period:g}: take more than 0")
    for number in (signal.SIGTERM, signal.SIGHUP):
        # as Ctrl-C, after which the present run is put away
        signal.signal(number, lambda *_: signal.raise_signal(signal.SIGINT))
    with Store(args.db) as store:
        with Progress(len(asked.peers)) as progress:
            missing = matrix.build(asked.peers, progress)
        # from here on there is no way to the outside, which only builds need; nor is there a bar's thread yet
        network = leave_network()
        if network == SHARED:
            print("rapid bench: bytes and packets include what else goes over lo here, since this user may"
                  " not make a network namespace", file=sys.stderr)  # fmt: skip
        with Progress(sum(1 for _ in asked.plans())) as progress:
            outcomes = matrix.run_all(asked, store, store.session(origin(network)), missing, progress)
    print(", ".join(f"{count} {outcome}" for outcome, count in outcomes.items()), f"in {args.db}")
    for name, problem in missing.items():
        print(f"{MISSING}: {name}: {problem}", file=sys.stderr)
    return 1 if FAILED in outcomes else 0


def _experiments(asked: Sequence[str], *, cold: bool) -> list[str]:
    """The names of those that are asked for, each once. RapidError where ``cold`` says nothing of them."""
    names = list(dict.fromkeys(name for one in asked for name in GROUPS.get(one, (one,))))
    if not cold:
        return names
    if others := [name for name in names if name not in ("bootstrap", COLD)]:
        raise RapidError(f"--cold is for bootstrap: {', '.join(others)} given too; measure these without it")
    return [COLD]


def _report(args: argparse.Namespace) -> int:
    if not args.db.is_file():
        raise RapidError(f"{args.db} is no file; rapid bench run makes one")
    with Store(args.db) as store:
        for file in report.write(store, args.out, compare_commits=args.compare_commits):
            print(file)
    return 0


def _sizes(text: str) -> tuple[int, ...]:
    sizes = tuple(dict.fromkeys(_positive(part) for part in text.split(",")))
    if min(sizes) < 3:
        raise argparse.ArgumentTypeError(f"{min(sizes)}: it takes 3, for two to see that the third is gone")
    return sizes


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is no positive number")
    return int(text)


def _peers(text: str) -> list[Peer]:
    if text == "all":
        return list(PEERS)
    try:
        return [named(name) for name in dict.fromkeys(text.split(","))]
    except ValueError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from problem
