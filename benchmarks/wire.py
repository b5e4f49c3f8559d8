"""What a connection and a message cost: ``python -m benchmarks.wire``.

Prints medians over several rounds, with their spread. CPU is user and system time; of a message and a
connection it is that of both ends together. The other end is a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from timeit import repeat

from benchmarks.origin import origin
from rapid.detection.alert import Alert, Status
from rapid.overlay.member import ClusterId, Endpoint, Member, NodeId
from rapid.proto.codec import decode, encode
from rapid.protocol.messages import Facts, Message, Probe
from rapid.runtime.transport import Transport
from rapid.settings import Settings

ROUNDS = 5
PEERS = 10
MESSAGES = 200
TICK = os.sysconf("SC_CLK_TCK")
ID = bytes(range(16))
HERE, THERE = Endpoint("127.0.0.1", 7400), Endpoint("127.0.0.1", 0)
PROBE = Probe(HERE, NodeId(ID), 1000, ClusterId(ID), 12, 1 << 63, 100)
ALERTS = Facts(
    HERE, ClusterId(ID), 12,
    tuple(
        Alert(None, Member(Endpoint("127.0.0.1", 7500 + number), NodeId(ID)), Status.UP, 1023)
        for number in range(40)
    ),
    (), (), (), (), (), False,
)  # fmt: skip


def process_cpu(pid: int) -> float:
    """CPU seconds of a process so far, in hundredths."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def show(name: str, values: list[float], unit: str) -> None:
    print(f"{name:44} {median(values):9.2f} {unit:4} ({min(values):.2f} to {max(values):.2f})", flush=True)


# -- the wire


@contextmanager
def other_end() -> Iterator[tuple[int, list[Endpoint]]]:
    """A process that answers each message with itself at several ports; its id and the addresses."""
    command = [sys.executable, "-m", "benchmarks.wire", "--answer"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.pid, [Endpoint.parse(process.stdout.readline().strip()) for _ in range(PEERS)]
        finally:
            process.kill()


async def answer() -> None:
    """The other end."""
    transports: list[Transport] = []
    for _ in range(PEERS):

        def received(messages: list[Message], token: object, at: int = len(transports)) -> None:
            for message in messages:
                transports[at].reply(token, message)

        transport = Transport(Settings(), received, lambda *_: None, Counter())
        me = await transport.bind(THERE)
        await transport.serve(me)
        transports.append(transport)
        print(me, flush=True)
    await asyncio.Event().wait()


class Caller:
    """Sends to all peers and waits for their answers."""

    def __init__(self) -> None:
        self._missing = 0
        self._all_here = asyncio.Event()
        self.transport = Transport(Settings(), self._received, self._failed, Counter())

    def _received(self, messages: list[Message], token: object) -> None:
        self._missing -= len(messages)
        if not self._missing:
            self._all_here.set()

    def _failed(self, endpoint: Endpoint, refused: bool) -> None:
        raise SystemExit(f"the connection to {endpoint} failed")

    async def call(self, peers: list[Endpoint]) -> None:
        self._all_here.clear()
        self._missing = len(peers)
        for peer in peers:
            self.transport.send(peer, PROBE)
        await self._all_here.wait()


async def wire(pid: int, peers: list[Endpoint]) -> dict[str, list[float]]:
    """Milliseconds of CPU for each connection, and for each message, one at a time and ten at a time."""
    found: dict[str, list[float]] = {"connection": [], "lone": [], "together": []}
    for _ in range(ROUNDS):
        callers = []
        for _ in range(10):
            caller = Caller()
            await caller.transport.serve(await caller.transport.bind(THERE))
            callers.append(caller)

        def cpu() -> float:
            return time.process_time() + process_cpu(pid)

        began = cpu()
        for caller in callers:
            await caller.call(peers)
        found["connection"].append(1e3 * (cpu() - began) / (len(callers) * len(peers)))
        began = cpu()
        for count in range(MESSAGES):
            await callers[count % 10].call([peers[count % PEERS]])
        found["lone"].append(1e3 * (cpu() - began) / (2 * MESSAGES))
        began = cpu()
        for count in range(MESSAGES // PEERS):
            await callers[count % 10].call(peers)
        found["together"].append(1e3 * (cpu() - began) / (2 * MESSAGES))
        for caller in callers:
            await caller.transport.close()
    return found


# -- the codec


def microseconds(act: Callable[[], object]) -> list[float]:
    return [1e6 * seconds / 1000 for seconds in repeat(act, number=1000, repeat=ROUNDS)]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.wire", description=__doc__)
    parser.add_argument("--answer", action="store_true", help=argparse.SUPPRESS)
    if parser.parse_args().answer:
        asyncio.run(answer())
        return
    here = origin("shared")
    print(f"{here.machine}; Python {here.python}; commit {here.code}")
    for name, message in (("a probe", PROBE), ("40 joiners' alerts", ALERTS)):
        raw = encode(message)
        show(f"encode {name}", microseconds(partial(encode, message)), "us")
        show(f"decode {name}", microseconds(partial(decode, raw, HERE)), "us")
        print(f"{'size of ' + name:44} {len(raw):9} bytes")
    with other_end() as (pid, peers):
        costs = asyncio.run(wire(pid, peers))
    show("CPU of a connection and its first exchange", costs["connection"], "ms")
    show("CPU of a message, one at a time", costs["lone"], "ms")
    show("CPU of a message, ten at a time", costs["together"], "ms")


if __name__ == "__main__":
    main()
