"""A constant load of HTTP requests as a process: so many begin a second, whether or not others have ended.

Each is a connection of its own. Prints one JSON object: of each request its begin (unix time), how long it
took, and its status; 0 where there was no answer.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time

from benchmarks.peers.contract import tether

PATIENCE = 5.0
"""Seconds after which a request has failed."""


async def visit(host: str, port: int) -> int:
    """The status; 0 without an answer."""
    try:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(b"GET / HTTP/1.0\r\n\r\n")
                answer = await reader.read()
            finally:
                writer.close()
        return int(answer.split(b" ", 2)[1])
    except (OSError, IndexError):
        return 0


async def load(address: str, rate: float, seconds: float) -> list[tuple[float, float, int]]:
    """All of them, in the order of their ends."""
    host, _, port = address.rpartition(":")
    done: list[tuple[float, float, int]] = []

    async def one() -> None:
        begun = time.time()
        status = await visit(host, int(port))
        done.append((round(begun, 4), round(time.time() - begun, 4), status))

    begin = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        for number in range(int(rate * seconds)):
            await asyncio.sleep(begin + number / rate - time.monotonic())
            tasks.create_task(one())
    return done


def main() -> None:
    options = argparse.ArgumentParser(description="A constant load of HTTP requests.")
    options.add_argument("--http", required=True, metavar="HOST:PORT")
    options.add_argument("--rate", type=float, required=True)
    options.add_argument("--seconds", type=float, required=True)
    chosen = options.parse_args()
    tether(lambda: os._exit(1))
    done = asyncio.run(load(chosen.http, chosen.rate, chosen.seconds))
    print(json.dumps({"at": time.time(), "event": "load", "done": done}), flush=True)


if __name__ == "__main__":
    main()
