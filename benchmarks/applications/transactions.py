"""Clients of the data store as a process: each reads a key, writes it, and begins anew, until a time is up.

All together begin so many transactions a second, as long as the store keeps up; what it has missed is not
made up for. Prints one JSON object: for each transaction that was agreed on, its end (unix time) and how
long it took, and how many have met with a conflict.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import time

from benchmarks.peers.contract import tether
from examples.datastore.client import Client
from examples.datastore.serialiser import Conflict

KEYS = 1000


async def load(servers: list[str], clients: int, rate: float, seconds: float) -> dict[str, object]:
    """All clients at once."""
    done: list[tuple[float, float]] = []
    conflicts = 0

    async def work(number: int) -> None:
        nonlocal conflicts
        choose = random.Random(number)
        client = Client(servers)
        try:
            due = time.monotonic() + choose.random() * clients / rate
            while True:
                await asyncio.sleep(due - time.monotonic())
                due = max(due + clients / rate, time.monotonic())
                begun = time.time()
                key = f"key {choose.randrange(KEYS)}"
                found = (await client.read(key))[key]
                try:
                    await client.transact({key: (found.value or 0) + 1}, reads={key: found.version})
                except Conflict:
                    conflicts += 1
                    continue
                ended = time.time()
                done.append((round(ended, 4), round(ended - begun, 4)))
        finally:
            client.close()

    tasks = [asyncio.create_task(work(number)) for number in range(clients)]
    await asyncio.wait(tasks, timeout=seconds)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    return {"done": done, "conflicts": conflicts}


def main() -> None:
    options = argparse.ArgumentParser(description="Clients of the data store.")
    options.add_argument("--servers", required=True, metavar="HOST:PORT,...")
    options.add_argument("--clients", type=int, default=8)
    options.add_argument("--rate", type=float, default=200.0)
    options.add_argument("--seconds", type=float, required=True)
    chosen = options.parse_args()
    tether(lambda: os._exit(1))
    found = asyncio.run(load(chosen.servers.split(","), chosen.clients, chosen.rate, chosen.seconds))
    print(json.dumps({"at": time.time(), "event": "load", **found}), flush=True)


if __name__ == "__main__":
    main()
