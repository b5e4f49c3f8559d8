"""``rapid demo``: many processes form a cluster, some are killed, the others agree on who is left."""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from collections.abc import Callable
from typing import Any

from rapid.agent.printable import printable
from rapid.agent.signals import call_at, ending_signals
from rapid.cli.agreement import summary
from rapid.cli.display import Display, display_for
from rapid.cli.fleet import Agent, Fleet, named
from rapid.cli.processes import Overdue

AT_ONCE = 8
"""Interpreters that are starting at the same time: more of them just wait for the processors."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``rapid demo``."""
    parser.description = (
        "Start agents on this machine, release all but the first at once, kill some of them with SIGKILL"
        " when all see each other, and see whether the survivors agree on one view without them."
    )
    parser.epilog = (
        "Exit status: 0 only when all processes have reported the same views, and one change after the kill."
    )
    parser.add_argument("--nodes", type=int, default=30, metavar="N", help="processes (%(default)s)")
    parser.add_argument("--kill", type=int, default=5, metavar="N", help="how many are killed (%(default)s)")
    parser.add_argument(
        "--settings",
        choices=("lan", "wan", "local"),
        default="lan",
        help="settings of the members (%(default)s)",
    )
    parser.add_argument("--seed-random", type=int, metavar="N", help="have the same ones killed every time")
    parser.add_argument(
        "--limit",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="give up on a step after this long (%(default)g)",
    )
    parser.add_argument("--json", action="store_true", help="print nothing but the summary, as a JSON object")


def run(args: argparse.Namespace) -> int:
    """Exit status 0 only when all agreed; 2 for arguments that make no sense; 128 + n after signal n."""
    if args.nodes < 2 or args.kill < 0 or 2 * args.kill >= args.nodes:
        print(
            "rapid demo: take at least 2 nodes, and kill fewer than half of them: the others must be a"
            " majority to agree on anything",
            file=sys.stderr,
        )
        return 2
    outcome = asyncio.run(_until_signal(args))
    if isinstance(outcome, int):
        return outcome
    # not before the event loop has ended: nobody may read it, and signals must be heard all the same
    print(json.dumps(outcome) if args.json else as_text(outcome))
    return 0 if outcome["agreed"] else 1


async def _until_signal(args: argparse.Namespace) -> dict[str, Any] | int:
    demo = asyncio.create_task(_demo(args))
    received: list[int] = []

    def stop(number: int) -> None:
        received.append(number)
        demo.cancel()

    call_at(ending_signals(), stop)
    try:
        return await demo
    except asyncio.CancelledError:
        if not received:
            raise
        return 128 + received[0]


async def _demo(args: argparse.Namespace) -> dict[str, Any] | int:
    with display_for(args) as display:
        async with Fleet(heard=lambda: display.show(fleet.agents)) as fleet:
            demo = Demo(fleet, display, args)
            try:
                return await demo.play()
            except Overdue as overdue:
                print("\n".join(map(printable, f"rapid demo: {overdue}".split("\n"))), file=sys.stderr)
                return 1


class Demo:
    """One run, with a fleet of its own."""

    def __init__(self, fleet: Fleet, display: Display, args: argparse.Namespace) -> None:
        self.fleet = fleet
        self.display = display
        self.nodes: int = args.nodes
        self.kills: int = args.kill
        self.limit: float = args.limit
        self.options = ("--wait", "--listen", "127.0.0.1:0", "--settings", args.settings)
        self.rng = random.Random(args.seed_random)

    async def play(self) -> dict[str, Any]:
        """The summary. Overdue when a step takes too long or a process fails."""
        await self.start()
        released = await self.bootstrap()
        victims, killed = await self.kill()
        views = {str(agent): agent.views for agent in self.fleet.agents}
        return summary(views, [str(victim) for victim in victims], released, killed)

    async def start(self) -> None:
        """Have all processes ready, the first of them a cluster of one."""
        self.display.phase(f"starting {self.nodes} processes")
        seed = await self.fleet.start(*self.options)
        seed.release()
        await self._until(lambda: seed.view, lambda: f"{seed} founds no cluster")
        for count in range(1, self.nodes):
            await self.fleet.start(*self.options, "--seed", str(seed.endpoint))
            await self._ready(all_but=AT_ONCE if count < self.nodes - 1 else 0)

    async def bootstrap(self) -> float:
        """Release all and wait until each of them sees all; the unix time of the release."""
        self.display.phase("released: all join through the first")
        released = time.time()
        for agent in self.fleet.agents[1:]:
            agent.release()
        agents = self.fleet.agents
        await self._until(
            lambda: all(agent.size == self.nodes for agent in agents),
            lambda: f"no view of {self.nodes} at {named(a for a in agents if a.size != self.nodes)}",
        )
        return released

    async def kill(self) -> tuple[list[Agent], float]:
        """Kill some and wait until all others see only each other; who, and the unix time."""
        victims = self.rng.sample(self.fleet.agents, self.kills)
        survivors = [agent for agent in self.fleet.agents if agent not in victims]
        left = len(survivors)
        self.display.phase(f"SIGKILL to {named(victims, most=self.kills)}" if victims else "nobody is killed")
        killed = time.time()
        for victim in victims:
            victim.kill()
        await self._until(
            lambda: all(agent.size == left for agent in survivors),
            lambda: f"no view of {left} at {named(a for a in survivors if a.size != left)}",
        )
        self.display.phase("the survivors see each other, and nobody else")
        return victims, killed

    async def _ready(self, all_but: int) -> None:
        def starting() -> list[Agent]:
            return [agent for agent in self.fleet.agents if not agent.is_ready]

        await self._until(lambda: len(starting()) <= all_but, lambda: f"not ready: {named(starting())}")

    async def _until(self, condition: Callable[[], object], missing: Callable[[], str]) -> None:
        await self.fleet.until(condition, self.limit, missing)


def as_text(outcome: dict[str, Any]) -> str:
    """The summary for people."""
    sizes = outcome["distinct_sizes"]
    lines = [
        f"bootstrap                {outcome['bootstrap_seconds']:.3f} s until all {outcome['nodes']} saw all",
        f"distinct sizes reported  {len(sizes)}: {', '.join(map(str, sizes))}",
    ]
    if outcome["killed"]:
        lines += [
            f"kill to last view        {outcome['kill_to_view_seconds']:.3f} s",
            f"view changes after it    {outcome['view_changes_after_kill']}",
        ]
    lines.append(f"identical views          {'yes' if outcome['identical_views'] else 'NO'}")
    lines += [f"PROBLEM: {problem}" for problem in outcome["problems"]]
    return "\n".join(["", *map(printable, lines)])
