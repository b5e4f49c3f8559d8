"""Service discovery: nginx in front of some backends, a constant load, and some of the backends fail at once.

python -m benchmarks.applications.discovery --out DIR [--peers rapid,memberlist,kinship]

The same balancer follows the views of each peer. Everything is on this machine's loopback device.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path

from benchmarks.applications.balancer import http_address
from benchmarks.applications.figures import write_discovery
from benchmarks.matrix import build
from benchmarks.origin import origin
from benchmarks.peers.fleet import Agent, Fleet, free_addresses
from benchmarks.peers.registry import Peer, named
from benchmarks.progress import Progress
from benchmarks.trial import AT_ONCE
from examples.service_discovery.nginx import NoNginx
from examples.service_discovery.nginx import command as nginx_command

LIMIT = 120.0
"""Seconds in which each step must be done."""
HOW = {"kill": signal.SIGKILL, "freeze": signal.SIGSTOP}


async def measure(peer: Peer, options: argparse.Namespace, seed: int) -> dict[str, object]:
    """One run: ``before`` seconds of load, then the failure, and ``after`` seconds more."""
    me, http, *members = free_addresses(2 + options.backends)
    async with Fleet() as fleet:
        command = [sys.executable, "-m", "benchmarks.applications.balancer"]
        balancer = await fleet.start(
            "balancer", [*command, "--peer", peer.name, "--listen", me, "--http", http]
        )
        await fleet.until(lambda agent: agent.is_ready, [balancer], LIMIT, "not ready")
        backends = [await backend(fleet, peer, address, me) for address in members]
        for _, member in backends:
            member.release()

        await fleet.until(
            lambda agent: agent.told and agent.told[-1]["backends"] == len(backends), [balancer], LIMIT,
            "not all backends are known",
        )  # fmt: skip
        await asyncio.sleep(options.settle)
        seconds = options.before + options.after
        command = [sys.executable, "-m", "benchmarks.applications.visitors", "--http", http]
        load = await fleet.start("load", [*command, "--rate", str(options.rate), "--seconds", str(seconds)])
        begun = time.time()
        await asyncio.sleep(options.before)
        struck = time.time()
        for pair in random.Random(seed).sample(backends, options.failures):
            for agent in pair:
                agent.send(HOW[options.how])
        await fleet.until(lambda agent: agent.told, [load], options.after + LIMIT, "no result")
        return {
            "system": peer.name, "begun": begun, "struck": struck, "ended": begun + seconds,
            "reloads": [(told["at"], told["backends"]) for told in balancer.told if told["at"] >= begun],
            "done": load.told[0]["done"],
        }  # fmt: skip


async def backend(fleet: Fleet, peer: Peer, address: str, seed: str) -> tuple[Agent, Agent]:
    """A web server and the member beside it, which waits to be released."""
    http = http_address(address)
    server = await fleet.start(http, [sys.executable, "-m", "benchmarks.applications.backend", http])
    extra = ["--wait", "--tether", "--no-members"]
    if peer.folder == "rapid":
        extra += ["--metadata", "role=backend", "--metadata", f"http={http}"]
    member = await fleet.start(address, peer.command(address, [seed], *extra))
    starting = [agent for agent in fleet.agents if not agent.is_ready]
    if len(starting) >= AT_ONCE:
        await fleet.until(lambda agent: agent.is_ready, starting, LIMIT, "not ready")
    return server, member


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("build/applications/discovery"), metavar="DIR")
    parser.add_argument("--peers", default="rapid,memberlist,kinship", metavar="NAME,...")
    parser.add_argument("--backends", type=int, default=30)
    parser.add_argument("--failures", type=int, default=6)
    parser.add_argument(
        "--how", choices=list(HOW), default="kill", help="freeze: they fall silent (%(default)s)"
    )
    parser.add_argument("--rate", type=float, default=500.0, help="requests a second")
    parser.add_argument("--settle", type=float, default=5.0, metavar="SECONDS")
    parser.add_argument("--before", type=float, default=10.0, metavar="SECONDS", help="with all backends")
    parser.add_argument("--after", type=float, default=30.0, metavar="SECONDS", help="from the failure on")
    parser.add_argument("--runs", type=int, default=1)
    options = parser.parse_args()
    try:
        nginx_command()
    except NoNginx as problem:
        print(problem, file=sys.stderr)
        return 3
    peers = [named(name) for name in options.peers.split(",")]
    with Progress(len(peers)) as progress:
        missing = build(peers, progress)
    runs = []
    for number in range(1, options.runs + 1):
        for peer in peers:
            if peer.name not in missing:
                print(f"{peer.name}, run {number}", flush=True)
                runs.append(asyncio.run(measure(peer, options, number)))
    options.out.mkdir(parents=True, exist_ok=True)
    results = {
        "origin": asdict(origin("shared")),
        "options": {name: value for name, value in vars(options).items() if name not in ("out", "peers")},
        "runs": runs,
        "missing": [f"missing: {name}: {problem}" for name, problem in missing.items()],
    }
    (options.out / "results.json").write_text(json.dumps(results))
    for file in write_discovery(results, options.out):
        print(file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
