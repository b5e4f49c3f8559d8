"""The data store, while nothing passes any more between its serialiser and one other server.

python -m benchmarks.applications.datastore --out DIR

The black hole is a real one: each server has a network namespace, and nftables loses what the two send each
other. All other servers, and the clients, reach both. It needs root.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.applications.figures import write_datastore
from benchmarks.applications.store import data_address
from benchmarks.origin import origin
from benchmarks.overlay import rings
from benchmarks.peers.fleet import Agent, Fleet
from benchmarks.topology import Network, between, obstacle
from rapid import Settings

PORT = 7400
LIMIT = 60.0
"""Seconds in which the servers must have started and agree on who leads."""
SYSTEMS = ("rapid", "heartbeats")


def partner(leader: str, everyone: Sequence[str], seed: int) -> str:
    """A server whose word alone, about the leader or from it, is below Rapid's low watermark.

    In a small cluster one observer may hold as many rings as the watermark asks for; docs/design.md,
    Limits, says so, and such a pair would be a test of that.
    """
    fit = [
        other
        for other in everyone
        if other != leader
        and max(rings(other, leader, everyone), rings(leader, other, everyone)) < Settings.lan().l
    ]
    return random.Random(seed).choice(fit)


async def measure(system: str, options: argparse.Namespace, seed: int) -> dict[str, object]:
    """One run: ``before`` seconds of load, then the black hole for ``after`` seconds."""
    with Network(options.servers + 1) as network:
        *hosts, clients = network.hosts
        everyone = [f"{host.address}:{PORT}" for host in hosts]
        async with Fleet() as fleet:
            servers: list[Agent] = []
            for host, address in zip(hosts, everyone, strict=True):
                command = [sys.executable, "-m", "benchmarks.applications.store", "--membership", system]
                command += ["--listen", address, "--servers", ",".join(everyone)]
                with network.within(host):
                    servers.append(await fleet.start(address, command))
            await fleet.until(lambda agent: agent.is_ready, servers, LIMIT, "not ready")
            leader = await settled(fleet, servers, options.settle)
            other = partner(leader, everyone, seed)
            data = ",".join(map(data_address, everyone))
            seconds = options.before + options.after
            command = [sys.executable, "-m", "benchmarks.applications.transactions", "--servers", data]
            command += ["--clients", str(options.clients), "--rate", str(options.rate)]
            command += ["--seconds", str(seconds)]
            with network.within(clients):
                load = await fleet.start("clients", command)
            begun = time.time()
            await asyncio.sleep(options.before)
            pair = [[hosts[everyone.index(name)]] for name in (leader, other)]
            struck = time.time()
            network.impose(*between(*pair))
            await fleet.until(lambda agent: agent.told, [load], options.after + LIMIT, "no result")
            dropped = network.dropped()
    return {
        "system": system, "begun": begun, "struck": struck, "ended": begun + seconds, "leader": leader,
        "other": other, "dropped": dropped,
        "rings": [rings(other, leader, everyone), rings(leader, other, everyone)],
        "leaders": sorted(
            (told["at"], server.name, told["leader"]) for server in servers for told in server.told
        ),
        "done": load.told[0]["done"], "conflicts": load.told[0]["conflicts"],
    }  # fmt: skip


async def settled(fleet: Fleet, servers: Sequence[Agent], seconds: float) -> str:
    """Wait until all name one leader, and for so long more; the address for membership of that one."""

    def agreed(_: Agent) -> bool:
        named = {server.told[-1]["leader"] if server.told else None for server in servers}
        return len(named) == 1 and None not in named

    # while members join, the leader may change; nobody names one of a view that is not the last for long
    quiet = time.monotonic()
    await fleet.until(agreed, servers[:1], LIMIT, "no common leader")
    said = sum(len(server.told) for server in servers)
    while time.monotonic() - quiet < seconds:
        await asyncio.sleep(0.25)
        if said != (said := sum(len(server.told) for server in servers)):
            quiet = time.monotonic()
    await fleet.until(agreed, servers[:1], LIMIT, "no common leader")
    leader = servers[0].told[-1]["leader"]
    return next(server.name for server in servers if data_address(server.name) == leader)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("build/applications/datastore"), metavar="DIR")
    parser.add_argument("--servers", type=int, default=16)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--rate", type=float, default=200.0, help="transactions a second")
    parser.add_argument("--settle", type=float, default=5.0, metavar="SECONDS")
    parser.add_argument("--before", type=float, default=15.0, metavar="SECONDS", help="with a whole network")
    parser.add_argument("--after", type=float, default=45.0, metavar="SECONDS", help="with the black hole")
    parser.add_argument("--runs", type=int, default=1)
    options = parser.parse_args()
    if (reason := obstacle()) is not None:
        print(f"no network to break: {reason}", file=sys.stderr)
        return 3
    runs = []
    for number in range(1, options.runs + 1):
        for system in SYSTEMS:
            print(f"{system}, run {number}", flush=True)
            runs.append(asyncio.run(measure(system, options, number)))
    options.out.mkdir(parents=True, exist_ok=True)
    results = {
        "origin": asdict(origin("namespaces")),
        "options": {name: value for name, value in vars(options).items() if name != "out"},
        "runs": runs,
    }
    (options.out / "results.json").write_text(json.dumps(results))
    for file in write_datastore(results, options.out):
        print(file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
