"""A server of the data store as a process, on Rapid or on heartbeats; it prints whom it takes for leader."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time

import structlog

import rapid
from benchmarks.applications import heartbeats
from benchmarks.peers.contract import tether
from examples.datastore.membership import follow
from examples.datastore.server import Server

DATA = 1000
"""The port of the store's own traffic is this much higher than the one for membership."""


def data_address(listen: str) -> str:
    """Where the server at this address for membership serves clients and other servers."""
    host, _, port = listen.rpartition(":")
    return f"{host}:{int(port) + DATA}"


def report(event: str, **fields: object) -> None:
    """A line for the benchmark, in its contract."""
    print(json.dumps({"at": time.time(), "event": event, **fields}), flush=True)


def leads(leader: str | None) -> None:
    """Another one serialises, as far as is known here."""
    report("leader", leader=leader)


async def run(membership: str, me: str, everyone: list[str]) -> None:
    data = {address: data_address(address) for address in everyone}
    async with Server(data[me], list(data.values())) as server:
        report("ready")
        if membership == "heartbeats":
            await heartbeats.follow(me, everyone, data, server, leads)
            return
        cluster = rapid.Cluster(me, seeds=everyone[:1], metadata={"role": "store", "data": data[me]})
        async with cluster:
            await follow(cluster, server, leads)


def main() -> None:
    options = argparse.ArgumentParser(description="A server of the data store.")
    options.add_argument("--membership", choices=("rapid", "heartbeats"), required=True)
    options.add_argument("--listen", required=True, metavar="HOST:PORT")
    options.add_argument("--servers", required=True, metavar="HOST:PORT,...",
                         help="all of them; the first founds")  # fmt: skip
    chosen = options.parse_args()
    # standard output is for the benchmark
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    tether(lambda: os._exit(1))
    try:
        asyncio.run(run(chosen.membership, chosen.listen, chosen.servers.split(",")))
    except rapid.RapidError as problem:
        sys.exit(f"{problem}")


if __name__ == "__main__":
    main()
