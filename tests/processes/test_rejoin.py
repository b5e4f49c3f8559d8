"""Processes that are restarted, evicted or told to leave, and what the others see of it."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence

import pytest

from rapid.cli.fleet import Agent, Fleet

from .forming import (
    LAN,
    LOCAL,
    clusters_of,
    differences,
    form,
    free_endpoints,
    newest,
    through,
    until,
    until_all_see,
    until_one_cluster,
)

TRUSTING = (*LAN, "--set", "window=1000", "--set", "failures=1000")
"""It finds nobody faulty who is silent or refuses."""


async def test_a_restart_is_back_while_its_old_entry_is_still_in_the_view(fleet: Fleet) -> None:
    """Nobody finds the old process faulty; the new one at its address is what gives it away."""
    *others, old = await form(fleet, 5, TRUSTING)
    version = old.views[-1]["version"]
    old.kill()
    await until(fleet, lambda: old.ended)
    started = time.time()
    new = await fleet.start(*TRUSTING[2:], "--listen", str(old), *through(others[:2]))
    await until(fleet, lambda: new.view and str(old) in new.views[0]["joined"])
    print(f"back {new.views[0]['t'] - started:.2f} s after the start of its process")
    await until_all_see(fleet, 5, [*others, new])
    assert newest(new)["version"] <= version + 2
    assert newest(new)["cluster_id"] == newest(others[0])["cluster_id"]
    # the size is the same before and after: wait for the change itself
    await until(fleet, lambda: any(str(old) in view["removed"] for view in others[0].views))
    gone = [view for view in others[0].views if str(old) in view["removed"]]
    assert [view["left"] for view in gone] == [[]]
    assert gone[0]["t"] > started
    assert differences(fleet) == []


async def formed(fleet: Fleet, endpoints: Sequence[str], seeds: Sequence[str]) -> list[Agent]:
    """One cluster of a process at each of these addresses, with LAN settings."""
    agents = [await fleet.start("--listen", endpoint, *through(seeds)) for endpoint in endpoints]
    await until_one_cluster(fleet, agents)
    assert len(clusters_of(agents)) == 1
    return agents


@pytest.mark.parametrize("count", [6, pytest.param(30, marks=pytest.mark.verify)])
async def test_all_are_restarted_one_after_the_other(fleet: Fleet, count: int) -> None:
    """The next is killed once the one before is back: the cluster lives on."""
    endpoints = free_endpoints(count)
    seeds = endpoints[:3]
    agents = await formed(fleet, endpoints, seeds)
    [cluster] = clusters_of(agents)
    successors = []
    for old in agents:
        old.kill()
        await until(fleet, lambda: old.ended)  # noqa: B023 - awaited within the turn
        new = await fleet.start("--listen", str(old), *through(seeds))
        successors.append(new)
        await until(fleet, lambda: new.view)  # noqa: B023 - awaited within the turn
    await until_one_cluster(fleet, successors)
    assert clusters_of(fleet.agents) == {cluster}


@pytest.mark.parametrize("count", [12, pytest.param(30, marks=pytest.mark.verify)])
async def test_all_are_restarted_at_once(fleet: Fleet, count: int) -> None:
    """Nobody waits for anyone: the old cluster dies with its last member, and one new one comes after it."""
    endpoints = free_endpoints(count)
    seeds = endpoints[:3]
    agents = await formed(fleet, endpoints, seeds)
    [before] = clusters_of(agents)
    successors = []
    for old in agents:
        old.kill()
        await until(fleet, lambda: old.ended)  # noqa: B023 - awaited within the turn
        successors.append(await fleet.start("--listen", str(old), *through(seeds)))
    died = time.time()
    await until_one_cluster(fleet, successors)
    [after] = clusters_of(successors)
    assert after != before
    assert min(view["t"] for agent in successors for view in agent.views) > died


async def stop_until_evicted(fleet: Fleet, agents: Sequence[Agent], victim: Agent) -> None:
    """Stop a member until the others have agreed that it is gone, then let it go on."""
    victim.send(signal.SIGSTOP)
    others = [agent for agent in agents if agent is not victim]
    await until(fleet, lambda: all(str(victim) in newest(agent).get("removed", ()) for agent in others))
    victim.send(signal.SIGCONT)


async def test_one_that_was_stopped_for_too_long_comes_back_by_itself(fleet: Fleet) -> None:
    agents = await form(fleet, 4)
    *others, victim = agents
    await stop_until_evicted(fleet, agents, victim)
    removed = newest(others[0])["version"]
    await until_one_cluster(fleet, agents)
    [evicted] = victim.events("evicted")
    assert (evicted["version"], evicted["rejoining"]) == (removed, True)
    assert newest(others[0])["cluster_id"] == evicted["cluster_id"]
    # the view with which it is back is the next thing that it tells
    after = victim.reports[victim.reports.index(evicted) + 1]
    assert (after["event"], after["size"]) == ("views skipped", 4)
    assert str(victim) in others[0].views[-1]["joined"]
    assert victim.status is None


async def test_one_that_shall_not_rejoin_ends(fleet: Fleet) -> None:
    agents = await form(fleet, 4, (*LOCAL, "--no-rejoin"))
    *others, victim = agents
    await stop_until_evicted(fleet, agents, victim)
    await until(fleet, lambda: victim.ended)
    assert victim.status == 1
    # the log is written by a thread of its own, before or after that
    assert "rapid agent: the cluster went on without this member" in victim.last_words
    assert [report["rejoining"] for report in victim.events("evicted")] == [False]
    assert victim.reports[-1]["event"] == "evicted"
    assert [agent.size for agent in others] == [3, 3, 3]


async def test_half_of_ten_leave_at_once(fleet: Fleet) -> None:
    agents = await form(fleet, 10, LAN)
    leavers, stayers = agents[::2], agents[1::2]
    version = newest(stayers[0])["version"]
    told = time.time()
    for leaver in leavers:
        leaver.terminate()
    await until_all_see(fleet, 5, stayers)
    await until(fleet, lambda: all(leaver.ended for leaver in leavers))
    changes = [view for view in stayers[0].views if view["version"] > version]
    print(f"agreed {changes[-1]['t'] - told:.2f} s after the signals, in {len(changes)} view changes")
    left = [endpoint for view in changes for endpoint in view["left"]]
    assert sorted(left) == sorted(map(str, leavers))
    assert [view["removed"] for view in changes] == [view["left"] for view in changes]
    assert len(changes) <= 3
    assert [(leaver.status, list(leaver.last_words)) for leaver in leavers] == [(0, [])] * 5
    assert differences(fleet) == []
