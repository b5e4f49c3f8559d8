"""Clusters that meet, joiners that a cluster refuses, and one that goes on after its majority is gone."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

import rapid
from rapid import Change, Cluster, Evicted, OtherCluster, Settings, ViewsSkipped

from .reactor_loop import until
from .test_addresses import V4, free_port, member, until_all_agree

LOCAL = Settings.local()
CURIOUS = Settings.local(outreach_interval=0.05)
PATIENT = Settings.local(probe_interval=0.5, probe_timeout=0.5)
"""It waits longer for an answer to whether a quorum is there."""


def told(cluster: Cluster) -> list[Change]:
    """What the member tells from now on; grows."""
    changes: list[Change] = []
    cluster.subscribe(changes.append)
    return changes


# two clusters


async def test_another_cluster_is_told_of_once() -> None:
    async with AsyncExitStack() as stack:
        other = await member(stack, V4, settings=CURIOUS)
        seeds = [f"127.0.0.1:{free_port()}"]

        async def provide() -> list[str]:
            return seeds

        one = await member(stack, seeds[0], provide, settings=CURIOUS)
        changes, others = told(one), told(other)
        seeds.append(str(other.endpoint))
        await until(lambda: one.stats["seeds probed"] > 10)
        for own, met, events in ((one, other, changes), (other, one, others)):
            await until(lambda: any(isinstance(event, OtherCluster) for event in events))  # noqa: B023 - it ends with its turn
            [event] = [event for event in events if isinstance(event, OtherCluster)]
            assert event == OtherCluster(met.endpoint, met.view.cluster_id, 1, merging=False)
            assert own.view.endpoints == (own.endpoint,)


async def test_an_eviction_is_told_and_the_member_comes_back_as_another() -> None:
    well = True

    async def prober(of: rapid.Member) -> bool:
        return well or of.endpoint != victim.endpoint

    async with AsyncExitStack() as stack:
        a = await member(stack, V4, prober=prober)
        rest = [await member(stack, V4, [a.endpoint], prober=prober) for _ in range(2)]
        victim = await member(stack, V4, [a.endpoint])
        await until_all_agree([a, *rest, victim])
        before, view = victim.node_id, victim.view
        events = told(victim)
        well = False
        await until(lambda: any(isinstance(event, Evicted) for event in events))
        well = True
        await until_all_agree([a, *rest, victim])
        assert victim.node_id != before
        at = next(at for at, event in enumerate(events) if isinstance(event, Evicted))
        await until(lambda: len(events) > at + 1)  # told on another thread than the view is set
        evicted, back = events[at : at + 2]
        assert isinstance(evicted, Evicted)
        assert (evicted.cluster_id, evicted.rejoining) == (view.cluster_id, True)
        assert isinstance(back, ViewsSkipped)
        assert back.view.version - back.skipped - 1 == view.version
        member_again = back.view.member(victim.endpoint)
        assert member_again is not None
        assert member_again.node_id != before


# who is refused


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"settings": Settings.local(k=8, h=7)}, "its k is 8, this cluster's is 10"),
        ({"settings": Settings.local(h=8)}, "its h is 8, this cluster's is 9"),
        ({"settings": Settings.local(l=2)}, "its l is 2, this cluster's is 3"),
        ({"cluster_name": "jobs"}, "its cluster name is 'jobs', this cluster's is ''"),
        ({"cluster_id": "ab" * 16}, f"its cluster is {'ab' * 16}, this cluster's is "),
    ],
)
async def test_who_does_not_fit_is_told_which_value_differs(options: dict[str, Any], why: str) -> None:
    async with AsyncExitStack() as stack:
        a = await member(stack, V4)
        b = await member(stack, V4, [a.endpoint])
        with pytest.raises(rapid.JoinError, match=f"refused: {why}"):
            await Cluster(V4, seeds=[a.endpoint, b.endpoint], **{"settings": LOCAL, **options}).start()
        assert a.view.size == 2
        assert a.stats["joins refused"] == 1


async def test_who_names_the_right_cluster_is_let_in() -> None:
    async with AsyncExitStack() as stack:
        a = await member(stack, V4, cluster_name="cache")
        options = {"cluster_id": a.view.cluster_id, "cluster_name": "cache"}
        b = await member(stack, V4, [a.endpoint], **options)
        await until_all_agree([a, b])


async def test_an_address_that_passes_to_another_service_is_removed_and_no_way_in() -> None:
    """Also where there are no names: the new owner of the address has seeds of its own, which are not up."""
    for name in ("cache", ""):
        async with AsyncExitStack() as stack:
            a = await member(stack, V4, cluster_name=name)
            b, c = [await member(stack, V4, [a.endpoint], cluster_name=name) for _ in range(2)]
            await until_all_agree([a, b, c])
            at = c.endpoint
            await c.close()
            seeds = [f"127.0.0.1:{free_port()}" for _ in range(2)]
            jobs = Cluster(at, seeds=seeds, settings=Settings.local(join_timeout=2.0), cluster_name="")
            with pytest.raises(rapid.JoinError):
                await jobs.start()
            await until_all_agree([a, b])


@pytest.mark.parametrize("name", ["a\nb", "n" * 256, 7])
def test_what_is_no_cluster_name(name: Any) -> None:
    with pytest.raises(rapid.SettingsError, match="^cluster_name: "):
        Cluster(V4, cluster_name=name)


async def test_who_cannot_be_reached_is_told_so() -> None:
    async with AsyncExitStack() as stack:
        a = await member(stack, V4)
        b = await member(stack, V4, [a.endpoint])
        await until_all_agree([a, b])
        nowhere = f"127.0.0.1:{free_port()}"
        stranger = Cluster(
            V4, seeds=[a.endpoint], advertise=nowhere, settings=Settings.local(join_timeout=1.5)
        )
        with pytest.raises(rapid.JoinError) as refused:
            await stranger.start()
        assert f"{nowhere} was turned away by its observers" in str(refused.value)
        assert "(its host refused the connection)" in str(refused.value)
        assert any(str(cluster.endpoint) in str(refused.value) for cluster in (a, b))
        assert a.view.size == 2


# after the majority is gone


async def test_a_new_cluster_may_be_forced_only_when_no_quorum_answers() -> None:
    async with AsyncExitStack() as stack:
        a = await member(stack, V4, settings=PATIENT)
        rest = [await member(stack, V4, [a.endpoint], settings=PATIENT) for _ in range(4)]
        await until_all_agree([a, *rest])
        before = a.view
        events = told(a)
        with pytest.raises(rapid.QuorumError, match="5 of the 5 members of version"):
            await a.force_new_cluster()
        await rest[0].close()
        with pytest.raises(rapid.QuorumError):
            await a.force_new_cluster()
        await until_all_agree([a, *rest[1:]])
        assert a.view.cluster_id == before.cluster_id
        version = a.view.version

        for lost in rest[2:]:
            await lost.close()
        # two of four are no quorum
        view = await a.force_new_cluster()
        assert view.cluster_id != before.cluster_id
        assert (view.version > version, set(view.endpoints)) == (True, {a.endpoint, rest[1].endpoint})
        await until_all_agree([a, rest[1]])
        assert [event.view for event in events if isinstance(event, ViewsSkipped)] == [view]
        # and it is a cluster like any other
        newcomer = await member(stack, V4, [rest[1].endpoint])
        await until_all_agree([a, rest[1], newcomer])


async def test_who_is_no_member_forces_nothing() -> None:
    cluster = Cluster(V4, settings=LOCAL)
    with pytest.raises(rapid.StateError):
        await cluster.force_new_cluster()
    await cluster.start()
    with pytest.raises(rapid.QuorumError, match="1 of the 1 members"):
        await cluster.force_new_cluster()
    forcing = asyncio.create_task(cluster.force_new_cluster())
    await cluster.close()
    with pytest.raises((rapid.StateError, rapid.QuorumError)):
        await forcing
    with pytest.raises(rapid.StateError):
        await cluster.force_new_cluster()
