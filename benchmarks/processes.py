"""Real processes on this machine: they form a cluster, some are killed; medians of several runs.

python benchmarks/processes.py --nodes 50 --kill 5 --runs 5

Prints one JSON object a run, then the medians; all times are seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from typing import Any


def demo(nodes: int, kill: int) -> dict[str, Any]:
    """One run of ``rapid demo``; its summary."""
    command = [sys.executable, "-m", "rapid", "demo", "--nodes", str(nodes), "--kill", str(kill), "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False, timeout=300)
    summary: dict[str, Any] = json.loads(done.stdout)
    summary["status"] = done.returncode
    return summary


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--nodes", type=int, default=50)
    parser.add_argument("--kill", type=int, default=5)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    describe = ["git", "describe", "--always", "--dirty"]
    commit = subprocess.run(describe, capture_output=True, text=True, check=False)
    print(json.dumps({
        "commit": commit.stdout.strip(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "nodes": options.nodes,
        "kill": options.kill,
    }), flush=True)  # fmt: skip
    runs = []
    for _ in range(options.runs):
        runs.append(demo(options.nodes, options.kill))
        print(json.dumps(runs[-1]), flush=True)
    numbers = [name for name, value in runs[0].items() if isinstance(value, int | float)]
    print(json.dumps({"median": {name: statistics.median(run[name] for run in runs) for name in numbers}}))
    return max(int(run["status"]) for run in runs)


if __name__ == "__main__":
    sys.exit(main())
