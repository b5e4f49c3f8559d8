"""Clusters of agents, and waiting for what they report."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Sequence

from rapid.cli.agreement import disagreements
from rapid.cli.fleet import Agent, Fleet, Report, named

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


def newest(agent: Agent) -> Report:
    """The newest view that it has reported, also the first one in another cluster or life."""
    views = [report for report in agent.reports if report["event"] in ("view", "views skipped")]
    return views[-1] if views else {"cluster_id": "", "version": 0, "size": 0, "digest": ""}


async def until_one_cluster(fleet: Fleet, agents: Sequence[Agent]) -> None:
    """Wait until all of these, and only so many, are in one view."""

    def state(agent: Agent) -> tuple[str, int, str]:
        view = newest(agent)
        return view["cluster_id"], view["version"], view["digest"]

    await until(
        fleet,
        lambda: (
            all(newest(agent)["size"] == len(agents) for agent in agents)
            and len(set(map(state, agents))) == 1
        ),
    )


def clusters_of(agents: Iterable[Agent]) -> set[str]:
    """The clusters that any of them has ever been in, as far as it has said."""
    return {report["cluster_id"] for agent in agents for report in agent.reports if "size" in report}


def free_endpoints(count: int) -> list[str]:
    """Addresses that nobody listens on."""
    trials = [socket.socket() for _ in range(count)]
    try:
        for trial in trials:
            trial.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{trial.getsockname()[1]}" for trial in trials]
    finally:
        for trial in trials:
            trial.close()


def through(seeds: Iterable[object]) -> list[str]:
    """The options that name these seeds."""
    return [option for seed in seeds for option in ("--seed", str(seed))]
