"""What a start costs, and what memory is made of: ``python -m benchmarks.start``.

Each line is a process that has done what the lines above it say as well. Instead of that the last two
listen: a plain program that uses ``rapid.Cluster``, and an agent.
CPU is user and system time until then. As many processes as ``--processes`` run at once, as in a fleet on
one machine, so that each bears its part of what they share; ``own`` is what it shares with none. Medians over
them, and over the rounds.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.meter import measure
from benchmarks.origin import origin

STEPS = (
    ("Python", "pass"),
    ("asyncio", "import asyncio"),
    ("the public names", "import rapid"),
    ("protobuf", "import rapid.proto.codec"),
    ("grpcio", "import grpc.aio"),
    ("all of a member", "import rapid.cluster, rapid.runtime.membership"),
)
WAITING = "print('listening', flush=True); import sys; sys.stdin.read()"
PROGRAM = """
import asyncio, sys, rapid

async def main():
    cluster = rapid.Cluster("127.0.0.1:0")
    await cluster.bind()
    print("listening", flush=True)
    sys.stdin.read()

asyncio.run(main())
"""
AGENT = ("-m", "rapid", "agent", "--wait", "--listen", "127.0.0.1:0")


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one process: milliseconds of CPU, and bytes."""

    cpu: float
    rss: int
    pss: int
    own: int


def costs(arguments: tuple[str, ...], processes: int) -> list[Cost]:
    """Of processes that were started together and wait now."""
    with ExitStack() as ending:
        started = []
        for _ in range(processes):
            process = subprocess.Popen(
                [sys.executable, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
            )
            ending.enter_context(process)
            ending.callback(process.kill)
            started.append(process)
        for process in started:
            assert process.stdout is not None
            while b"listening" not in (line := process.stdout.readline()):
                if not line:
                    raise SystemExit(f"{' '.join(arguments)} ended with {process.wait()}")
        groups = [process.pid for process in started]
        usage = measure("started", groups, memory=True).usage
        found = []
        for group in groups:
            used = usage[group]
            assert used.rss is not None
            assert used.pss is not None
            found.append(Cost(1e3 * (used.user + used.system), used.rss, used.pss, _own(group)))
        return found


def _own(process: int) -> int:
    """Bytes in pages that no other process has."""
    lines = Path("/proc", str(process), "smaps_rollup").read_text().splitlines()
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.start", description=__doc__)
    parser.add_argument("--processes", type=int, default=20, metavar="N", help="at once (20)")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="of all lines in turn (5)")
    options = parser.parse_args()
    here = origin("shared")
    print(f"{here.machine}; Python {here.python}; commit {here.code}\n")
    commands: dict[str, tuple[str, ...]] = {}
    done = ""
    for name, code in STEPS:
        done += f"{code}; "
        commands[name] = ("-c", done + WAITING)
    commands["a program that listens"] = ("-c", PROGRAM)
    commands["an agent that listens"] = AGENT
    found: dict[str, list[Cost]] = {name: [] for name in commands}
    for _ in range(options.rounds):
        for name, arguments in commands.items():
            found[name] += costs(arguments, options.processes)
    print("| | CPU, ms | RSS, MB | PSS, MB | own, MB |\n|---|---|---|---|---|")
    for name, values in found.items():
        cpu = median(one.cpu for one in values)
        sizes = (median(getattr(one, kind) for one in values) for kind in ("rss", "pss", "own"))
        print(f"| {name} | {cpu:.0f} | {' | '.join(f'{size / 1e6:.1f}' for size in sizes)} |")


if __name__ == "__main__":
    main()
