"""The balancer as a process, on any peer: nginx in front of whoever is in the views; it prints each reload.

On rapid it is the example's own, a member that knows each backend's address by its metadata. Of other
libraries a process of its own runs beside it, as beside each backend, and where that serves is a rule.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Collection
from pathlib import Path

import structlog

import rapid
from benchmarks.peers.contract import View, parse, tether
from benchmarks.peers.registry import named
from examples.service_discovery.balancer import Balancer, follow
from examples.service_discovery.nginx import Nginx, NoNginx

HTTP = "127.0.0.2"
"""Backends serve at this address of the machine, each at its member's port."""


def http_address(member: str) -> str:
    """Where the backend beside the member at this address serves."""
    return f"{HTTP}:{member.rpartition(':')[2]}"


def report(event: str, **fields: object) -> None:
    """A line for the benchmark, in its contract."""
    print(json.dumps({"at": time.time(), "event": event, **fields}), flush=True)


def reloaded(backends: Collection[str]) -> None:
    """nginx has been given other backends."""
    report("reload", backends=len(backends))


async def beside(peer: str, me: str, balancer: Balancer) -> None:
    """Run a member of a peer, and take who else is in its views, until it ends."""
    process = await asyncio.create_subprocess_exec(
        *named(peer).command(me, [me]), stdout=asyncio.subprocess.PIPE, limit=2**24
    )
    assert process.stdout is not None, "it is a pipe"
    async for line in process.stdout:
        match parse(line):
            case View(members=members) if members is not None:
                balancer.take([http_address(member) for member in members if member != me])
    raise rapid.RapidError(f"the member of {peer} has ended with status {await process.wait()}")


async def run(peer: str, me: str, http: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        # nginx's workers are another user's
        os.chmod(directory, 0o755)
        async with Nginx(http, Path(directory)) as nginx:
            balancer = Balancer(nginx, reloaded)
            report("ready")
            if peer != "rapid":
                await beside(peer, me, balancer)
            cluster = rapid.Cluster(me, metadata={"role": "balancer"})
            async with cluster:
                await follow(cluster, balancer)


def _end_all() -> None:
    # nginx and the member belong to this process's group
    os.killpg(0, signal.SIGKILL)


def main() -> None:
    options = argparse.ArgumentParser(description="nginx in front of the members of a cluster.")
    options.add_argument("--peer", required=True)
    options.add_argument("--listen", required=True, metavar="HOST:PORT", help="for membership")
    options.add_argument("--http", required=True, metavar="HOST:PORT", help="for nginx")
    chosen = options.parse_args()
    # standard output is for the benchmark
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    tether(_end_all)
    try:
        asyncio.run(run(chosen.peer, chosen.listen, chosen.http))
    except (rapid.RapidError, NoNginx) as problem:
        sys.exit(f"{problem}")


if __name__ == "__main__":
    main()
