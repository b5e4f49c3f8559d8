"""Processes that start together: one cluster comes of it, or two that become one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from rapid.cli.fleet import Agent, Fleet

from .forming import (
    LOCAL,
    clusters_of,
    differences,
    form,
    free_endpoints,
    newest,
    through,
    until,
    until_one_cluster,
)


async def waiting(fleet: Fleet, endpoints: Sequence[str], *options: str) -> list[Agent]:
    """One process for each address, ready to begin."""
    agents = [
        await fleet.start("--listen", endpoint, "--settings", "local", "--wait", *options)
        for endpoint in endpoints
    ]
    await until(fleet, lambda: all(agent.is_ready for agent in agents))
    return agents


@pytest.mark.parametrize("count", [3, 6])
async def test_those_that_start_together_become_one_cluster(fleet: Fleet, count: int) -> None:
    for _ in range(5 if count == 3 else 1):
        endpoints = free_endpoints(count)
        seeds = through(endpoints[:3])
        agents = await waiting(fleet, endpoints, "--bootstrap-expect", "3", *seeds)
        for agent in agents:
            agent.release()
        await until_one_cluster(fleet, agents)
        assert len(clusters_of(agents)) == 1
        # what is reported first is the view with which start() has returned
        assert all(agent.views[0]["size"] >= 3 for agent in agents)
        for agent in agents:
            agent.kill()
        await until(fleet, lambda: all(agent.ended for agent in agents))  # noqa: B023 - awaited in the turn


async def test_two_do_not_begin_without_the_third(fleet: Fleet) -> None:
    endpoints = free_endpoints(3)
    options = ("--bootstrap-expect", "3", *through(endpoints))
    agents = await waiting(fleet, endpoints[:2], *options, "--join-timeout", "2")
    for agent in agents:
        agent.release()
    for agent in agents:
        agent.is_killed = True  # it ends with an error, which is expected here
    await until(fleet, lambda: all(agent.ended for agent in agents))
    for agent in agents:
        assert agent.status == 1
        assert "connection refused" in agent.last_words[-1]
        assert agent.views == []


async def test_one_that_comes_late_joins_those_that_began(fleet: Fleet) -> None:
    endpoints = free_endpoints(4)
    options = ("--bootstrap-expect", "3", *through(endpoints))
    # without the lowest of the seeds, which would have founded
    first, *rest = sorted(endpoints, key=lambda endpoint: int(endpoint.rpartition(":")[2]))
    agents = await waiting(fleet, rest, *options)
    for agent in agents:
        agent.release()
    await until_one_cluster(fleet, agents)
    late = await fleet.start("--listen", first, "--settings", "local", *options)
    await until_one_cluster(fleet, [*agents, late])
    assert len(clusters_of(fleet.agents)) == 1
    assert differences(fleet) == []


async def test_the_seeds_of_a_file(fleet: Fleet, tmp_path: Path) -> None:
    path = tmp_path / "seeds"
    founder = await fleet.start(*LOCAL)
    other = await fleet.start(*LOCAL, "--seed-file", str(path))
    await until(fleet, lambda: founder.view)
    path.write_text(f"# the founder\n{founder}\n")
    await until_one_cluster(fleet, [founder, other])


async def test_the_seeds_of_a_name(fleet: Fleet) -> None:
    founder = await fleet.start(*LOCAL)
    await until(fleet, lambda: founder.view)
    port = str(founder).rpartition(":")[2]
    other = await fleet.start(*LOCAL, "--seed-dns", f"localhost:{port}")
    await until_one_cluster(fleet, [founder, other])


async def test_two_clusters_become_one(fleet: Fleet, tmp_path: Path) -> None:
    path = tmp_path / "seeds"
    [endpoint] = free_endpoints(1)
    path.write_text(endpoint)
    lone = await fleet.start("--listen", endpoint, "--settings", "local", "--merge", "--seed-file", str(path))
    pair = await form(fleet, 2, (*LOCAL, "--merge"))
    await until(fleet, lambda: lone.view)
    assert len(clusters_of(fleet.agents)) == 2
    path.write_text(f"{endpoint}\n{pair[0]}\n")
    await until_one_cluster(fleet, [lone, *pair])
    # the smaller one went
    assert newest(pair[0])["cluster_id"] == pair[0].views[0]["cluster_id"]
    assert [report["merging"] for report in lone.events("other cluster")] == [True]
    assert [view["removed"] for agent in pair for view in agent.views if view["removed"]] == []


async def test_of_two_clusters_of_one_size_one_goes_to_the_other(fleet: Fleet) -> None:
    endpoints = free_endpoints(2)
    options = ("--settings", "local", "--merge")
    # nobody is there when it looks for the other
    first = await fleet.start("--listen", endpoints[0], *options, *through(endpoints))
    await until(fleet, lambda: first.view)
    second = await fleet.start("--listen", endpoints[1], *options)
    await until_one_cluster(fleet, [first, second])
