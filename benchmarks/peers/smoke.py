"""Each peer in small: some processes form a cluster, one is killed, the others leave.

python -m benchmarks.peers.smoke [PEER ...]

Prints one JSON object for each peer; times are seconds, and say little on a busy machine. Exit
status: 0 when all went well, 1 when something failed, 3 when nothing did and a peer was missing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.peers.fleet import Agent, Fleet, free_addresses
from benchmarks.peers.registry import BUILT, PEERS, TOOLCHAIN_MISSING, Peer, build_environment, named
from rapid.cli.processes import Overdue

Result = dict[str, Any]


def build(peer: Peer, into: Path = BUILT) -> str | None:
    """Build it; what is missing, where something is. CalledProcessError when the build fails."""
    command = peer.build_command(into)
    done = subprocess.run(command, capture_output=True, text=True, env=build_environment(), check=False)
    if done.returncode == TOOLCHAIN_MISSING:
        return last_line(done.stderr)
    if done.returncode != 0:
        sys.stderr.write(done.stderr)
        done.check_returncode()
    return None


def last_line(text: str) -> str:
    """The last line with something in it, or nothing."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


async def form(fleet: Fleet, peer: Peer, nodes: int, within: float, data: Path) -> tuple[list[Agent], float]:
    """A cluster of this many, all of which see each other; and when all but the first began to join."""
    addresses = free_addresses(nodes + peer.needs_server)
    seed = addresses[0]
    if peer.needs_server:
        del addresses[0]
        server = await fleet.start("server", peer.server_command(seed, data, "--tether"))
        await fleet.until(lambda agent: agent.is_ready, [server], within, "not ready")
    agents = []
    for address in addresses:
        command = peer.command(address, [seed], "--wait", "--tether")
        agents.append(await fleet.start(address, command))
    await fleet.until(lambda agent: agent.is_ready, agents, within, "not ready")
    founder, *joiners = agents
    founder.release()
    await fleet.until(lambda agent: agent.size == 1, [founder], within, "no view of itself")
    released = time.time()
    for agent in joiners:
        agent.release()
    await fleet.until(lambda agent: agent.size == nodes, agents, within, f"no view of {nodes}")
    return agents, released


async def run(peer: Peer, nodes: int, within: float, settle: float) -> Result:
    """One life of a cluster: it forms, loses a process, and ends. Overdue when it does not in time.

    ``settle`` seconds go by between the first two: a process may see all while others, on a busy
    machine, still suspect some.
    """
    with tempfile.TemporaryDirectory() as data:
        async with Fleet() as fleet:
            started = time.time()
            agents, released = await form(fleet, peer, nodes, within, Path(data))
            await asyncio.sleep(settle)
            *survivors, victim = agents
            killed = time.time()
            victim.kill()
            left = nodes - 1
            await fleet.until(lambda agent: agent.size == left, survivors, within, f"no view of {left}")
            leaving = time.time()
            for agent in survivors:
                agent.send(peer.graceful)
            await fleet.until(lambda agent: agent.ended, survivors, within, "not ended")
            ended = time.time()
            for agent in fleet.agents:
                agent.terminate()
            await fleet.until(lambda agent: agent.ended, fleet.agents, within, "not ended")
            for agent in fleet.agents:
                if agent is not victim and agent.status != 0:
                    raise Overdue(f"{agent.name} ended with the status {agent.status}, not 0")
    return {
        "start": round(released - started, 2),
        "bootstrap": round(max(agent.first(nodes, released) for agent in agents) - released, 2),
        "kill_to_view": round(max(agent.first(left, killed) for agent in survivors) - killed, 2),
        "leave": round(ended - leaving, 2),
    }


def try_peer(peer: Peer, nodes: int, within: float, settle: float) -> Result:
    """The line about a peer."""
    head: Result = {"peer": peer.name, "version": peer.version, "nodes": nodes}
    try:
        missing = build(peer)
        if missing is not None:
            return {**head, "outcome": "missing", "problem": missing}
        return {**head, "outcome": "ok", **asyncio.run(run(peer, nodes, within, settle))}
    except (Overdue, subprocess.CalledProcessError) as problem:
        return {**head, "outcome": "failed", "problem": str(problem)}


def main() -> int:
    """Exit status as above."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("peers", nargs="*", metavar="PEER", help="all, by default")
    parser.add_argument("--nodes", type=int, default=5)
    parser.add_argument("--within", type=float, default=60.0, metavar="SECONDS", help="for each step")
    parser.add_argument(
        "--settle", type=float, default=5.0, metavar="SECONDS", help="before the kill (%(default)s)"
    )
    options = parser.parse_args()
    if options.nodes < 3:
        parser.error("--nodes: it takes 3, for two to see that the third is gone")
    try:
        chosen = [named(name) for name in options.peers] or list(PEERS)
    except ValueError as problem:
        parser.error(str(problem))
    outcomes = set()
    try:
        for peer in chosen:
            result = try_peer(peer, options.nodes, options.within, options.settle)
            outcomes.add(result["outcome"])
            print(json.dumps(result), flush=True)
    except KeyboardInterrupt:
        return 130
    return 1 if "failed" in outcomes else 3 if "missing" in outcomes else 0


if __name__ == "__main__":
    sys.exit(main())
