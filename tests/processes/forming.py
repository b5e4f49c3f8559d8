"""Clusters of agents, and waiting for what they report."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rapid.cli.agreement import disagreements
from rapid.cli.fleet import Agent, Fleet, named

LOCAL = ("--listen", "127.0.0.1:0", "--settings", "local")
LAN = ("--listen", "127.0.0.1:0")
WITHIN = 40.0


async def until(fleet: Fleet, condition: Callable[[], object]) -> None:
    """Wait; when it is in vain, say what each process has reported last."""

    def state() -> str:
        return "".join(f"\n{agent}: {agent.reports[-1:]}" for agent in fleet.agents)

    await fleet.until(condition, WITHIN, state)


async def until_all_see(fleet: Fleet, size: int, agents: Sequence[Agent]) -> None:
    """Wait until the newest view of each has this size."""
    await fleet.until(
        lambda: all(agent.size == size for agent in agents),
        WITHIN,
        lambda: f"no view of {size} at {named(agent for agent in agents if agent.size != size)}",
    )


async def form(fleet: Fleet, count: int, options: Sequence[str] = LOCAL) -> list[Agent]:
    """A cluster of this many, all of which see each other; the first of them founded it."""
    seed = await fleet.start(*options)
    await until(fleet, lambda: seed.view)
    others = [await fleet.start(*options, "--seed", str(seed)) for _ in range(count - 1)]
    agents = [seed, *others]
    await until_all_see(fleet, count, agents)
    return agents


def differences(fleet: Fleet) -> list[str]:
    """Where any two processes have not reported the same."""
    return disagreements({str(agent): agent.views for agent in fleet.agents})
